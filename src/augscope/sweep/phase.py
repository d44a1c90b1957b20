"""Phase diagrams: a value over two axes with its spread over seeds, and the boundaries that theory predicts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
from scipy.special import stdtrit

from augscope.model.methods import METHOD_NAMES
from augscope.support.plain_data import csv_text, plain
from augscope.support.values import check
from augscope.sweep.axes import rounded
from augscope.sweep.phase_boundaries import DEFAULT_BOUNDARIES, Boundary, Learned, named_boundary
from augscope.sweep.phase_limits import Problems
from augscope.sweep.phase_options import PhaseOptions
from augscope.sweep.phase_panels import Panel, Panels
from augscope.sweep.phase_queries import configurations_at, places_sql
from augscope.sweep.records import Records

CONFIDENCE = 0.95
_ORDER = {name: index for index, name in enumerate(METHOD_NAMES)}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)")


@dataclass(frozen=True, repr=False)
class PhaseDiagram(Panels):
    """A value over two axes.

    Attributes:
        x, y, value: as in `PhaseOptions`.
        level: of the value, where the contour is drawn.
        x_log, y_log: whether an axis is logarithmic.
        panels: one a group: methods in their usual order, others by name.
        title: for the picture. labels: of x, y and value there.
        notes: sentences on boundaries that are not drawn.
        minus: as in `PhaseOptions`: the value is a difference.
    """

    notes: tuple[str, ...] = ()

    def plot(self, axes: Any = None) -> Any:
        """Draw the diagram as its page does: a column a panel, the spread over seeds below where there are several.

        Args:
            axes: (rows, panels) of matplotlib's axes, one row or two; by default those of a new figure, with its legend.

        Returns:
            The axes, as an array of that shape.
        """
        from augscope.support.rendering import axes_grid
        from augscope.sweep.phase_figures import draw_phase, figure_size, num_rows

        grid = axes_grid(axes, num_rows(self.panels), len(self.panels), figure_size(self))
        draw_phase(grid, self, complete=axes is None)
        return grid

    def __str__(self) -> str:
        lines = []
        for panel in self.panels:
            title, smallest, largest = f"{panel.name}: " if panel.name else "", panel.mean.min(), panel.mean.max()
            lines.append(f"{title}{self.shown_value} from {smallest:.4g} to {largest:.4g} at {len(panel.x)} places")
            for x, y in panel.crossings(self.level).items():
                near = [f"{name} at {in_row(at[x])}" for name, at in panel.predicted_crossings.items() if x in at]
                predicted = f"; predicted: {', '.join(near)}" if near else ""
                lines.append(f"  {self.x} = {x:g}: crosses {self.level:.3g} at {self.y} = {y:.3g}{predicted}")
        return "\n".join([*lines, *self.notes])

    def __repr__(self) -> str:
        panels = [f"  {panel}" for panel in self.panels]
        return "\n".join([f"PhaseDiagram: {self.value} over {self.x} and {self.y}", *panels])

    def to_csv(self) -> str:
        """Return the data behind the picture, a row a panel and place."""
        names = ("count", "mean", "low", "high", "smallest", "largest")
        boundaries = list(dict.fromkeys(name for panel in self.panels for name in panel.boundaries))
        exact = list(dict.fromkeys(name for panel in self.panels for name in panel.exact))
        rows = []
        for panel in self.panels:
            absent = np.full(len(panel.x), "")
            arrays = [panel.x, panel.y, *(getattr(panel, name) for name in names)]
            arrays += [panel.boundaries.get(name, absent) for name in boundaries]
            arrays += [panel.exact[name].learned if name in panel.exact else absent for name in exact]
            rows += [(panel.name, *values) for values in zip(*arrays, strict=True)]
        columns = [*(f"{name}: quantity / level" for name in boundaries), *exact]
        return csv_text(["panel", self.x, self.y, *names, *columns], rows)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, ready for JSON (NaN becomes None)."""
        return {
            **{name: getattr(self, name) for name in ("x", "y", "value", "level", "x_log", "y_log", "title", "minus")},
            "notes": list(self.notes),
            "panels": [_panel_dict(panel, self.level) for panel in self.panels],
        }


def phase_diagram(records: Records, options: PhaseOptions | None = None, /, **fields: Any) -> PhaseDiagram:
    """Return a value's mean and spread over seeds at every place of two axes.

    Args:
        records: of a sweep's folder.
        options: what to show.
        fields: fields of `PhaseOptions`, in place of those in `options`: `phase_diagram(records, x="rho", y="speed")`.

    Raises:
        ValueError: if an expression is not valid, or nothing is left to draw.

    Cost: 10⁵ records in about a second (benchmarks/sweep_records.py); exact boundaries beside: see `Problems.boundary`.
    """
    options = PhaseOptions(**fields) if options is None else replace(options, **fields)
    lines = [line for line in boundaries(options) if isinstance(line, Boundary)]
    rows = records.query(places_sql(options, lines))
    check(rows.num_rows > 0, f"nothing to draw: no records with a value of {options.value} where {options.where}")
    columns = {name: np.array(rows[name].to_pylist()) for name in rows.column_names}
    names = sorted(set(columns["panel"].tolist()), key=_panel_order)
    panels = []
    for name in names:
        places = {column: values[columns["panel"] == name] for column, values in columns.items()}
        panels.append(_panel(name, places, options, lines))
    logs = _is_log(columns["x"]), _is_log(columns["y"])
    panels, notes = _with_exact(panels, records, options, logs)
    means = np.concatenate([panel.mean for panel in panels])
    labels = records.labels
    return PhaseDiagram(
        x=options.x,
        y=options.y,
        value=options.value,
        level=float(means.min() + means.max()) / 2 if options.level is None else options.level,
        x_log=logs[0],
        y_log=logs[1],
        panels=tuple(panels),
        notes=notes,
        minus=options.minus,
        title=records.title if options.title is None else options.title,
        labels={name: labels.get(name, name) for name in (options.x, options.y, options.value)},
    )


def boundaries(options: PhaseOptions, method: str | None = None) -> list[Boundary | Learned]:
    """Return the boundaries to draw: those of the options, else the usual ones of a method, or of all methods."""
    names = options.boundaries
    if names is None:
        known = DEFAULT_BOUNDARIES if method is None else {method: DEFAULT_BOUNDARIES.get(method, ())}
        names = list(chain.from_iterable(known.values()))
    return [named_boundary(name) for name in names]


def _panel_order(name: str) -> tuple[Any, ...]:
    """Methods in their usual order; then by name, numbers in it by size."""
    parts = [(float(part), "") if _NUMBER.fullmatch(part) else (0.0, part) for part in _NUMBER.split(name)]
    return _ORDER.get(name, len(_ORDER)), parts


def _panel(name: str, places: dict[str, np.ndarray], options: PhaseOptions, lines: Sequence[Boundary]) -> Panel:
    """The places of one group."""
    counts, means = places["count"].astype(int), places["mean"].astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        half = stdtrit(counts - 1, (1 + CONFIDENCE) / 2) * places["std"].astype(float) / np.sqrt(counts)
    methods = {*places["first"].tolist(), *places["last"].tolist()}
    method = methods.pop() if len(methods) == 1 else "several"
    drawn = [line for line in boundaries(options, method) if isinstance(line, Boundary)]
    return Panel(
        name=name,
        method=method,
        x=np.array([rounded(value) for value in places["x"]]),
        y=np.array([rounded(value) for value in places["y"]]),
        count=counts,
        mean=means,
        low=means - half,
        high=means + half,
        smallest=places["smallest"].astype(float),
        largest=places["largest"].astype(float),
        boundaries={line.name: places[f"q{lines.index(line)}"].astype(float) / line.level for line in drawn},
    )


def _with_exact(
    panels: Sequence[Panel],
    records: Records,
    options: PhaseOptions,
    logs: tuple[bool, bool],
) -> tuple[list[Panel], tuple[str, ...]]:
    """The panels with their exact boundaries, and a sentence on each that cannot be drawn."""
    wanted = {
        panel.name: [line for line in boundaries(options, panel.method) if isinstance(line, Learned)]
        for panel in panels
    }
    configurations = configurations_at(records, options) if any(wanted.values()) else {}
    notes: dict[str, None] = {}
    drawn, axes = [], (options.x, options.y)
    for panel in panels:
        exact = {}
        try:
            if wanted[panel.name]:
                texts = [configurations[panel.name, *place] for place in panel.places.tolist()]
                problems = Problems.of(panel.places, texts, records.grids, axes, logs)
                exact = {line.name: problems.boundary(line) for line in wanted[panel.name]}
        except ValueError as error:
            notes[f"no exact boundary: {error}"] = None
        drawn.append(replace(panel, exact=exact))
    return drawn, tuple(notes)


def in_row(values: Sequence[float]) -> str:
    """Return numbers in a row: "0.143, 0.31"."""
    return ", ".join(f"{value:.3g}" for value in values)


def _is_log(coordinates: np.ndarray) -> bool:
    """Whether an axis is drawn logarithmic: positive, and more even so than linear."""
    values = np.unique([rounded(value) for value in coordinates])
    if len(values) < 2 or values.min() <= 0:
        return False
    if len(values) == 2:
        return bool(values[1] > 3 * values[0])
    gaps, ratios = np.diff(values), np.diff(np.log(values))
    return bool(ratios.std() / ratios.mean() < gaps.std() / gaps.mean())


def _panel_dict(panel: Panel, level: float) -> dict[str, Any]:
    arrays = {name: value for name, value in vars(panel).items() if isinstance(value, np.ndarray)}
    return {
        "name": panel.name,
        **plain(arrays),
        "boundaries": plain(panel.boundaries),
        "crossings": _by_text(panel.crossings(level)),
        "predicted_crossings": {name: _by_text(at) for name, at in panel.predicted_crossings.items()},
        "exact": {name: plain(vars(boundary)) for name, boundary in panel.exact.items()},
    }


def _by_text(crossings: dict[float, Any]) -> dict[str, Any]:
    return {str(x): y for x, y in crossings.items()}
