"""Phase diagrams: a value over two axes with its spread over seeds, and the boundaries that theory predicts."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.special import stdtrit

from augscope.distribution import LEARNING_THRESHOLD
from augscope.methods import METHOD_NAMES
from augscope.plain import plain
from augscope.records import Records
from augscope.store import OutputFolder
from augscope.sweep.axes import rounded
from augscope.validation import check

CONFIDENCE = 0.95
# Of κ: test noise of half the plateau (model.md identity 10: accuracy 0.995 at κ = 0.51, 0.91 at 1.23).
KAPPA_LEVEL = 0.5
DEFAULT_BOUNDARIES = {"erm": ("dominant", "erm"), "cutout": ("background", "cutout"), "cutmix": ("kappa",)}  # by method
# Of `Boundary.named("erm")`: fitted to 46 measured boundaries, worst factor 1.6 (docs/sweeps.md).
PULL, TEST_NOISE = 5.4, 5.4
_ORDER = {name: place for place, name in enumerate(METHOD_NAMES)}
_KAPPA = "sqrt(num_samples / dim * (1 + (num_patches - 2) * power(dominant_noise_std / background_noise_std, 2)))"
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)")
_FEATURE = re.compile(r"(dominant|background|erm|cutout)(?::(\d+))?")


@dataclass(frozen=True)
class Boundary:
    """Where theory expects a change: a quantity that every record has, and its level there.

    Attributes:
        name: in words, for a legend.
        quantity: an SQL expression over `records`.
        level: the quantity's value on the boundary.
    """

    name: str
    quantity: str
    level: float

    @classmethod
    def named(cls, name: str) -> Boundary:
        """Return a known boundary.

        "dominant" or "dominant:k": R(σ_d) = 0.7 of feature k, where ERM ceases to learn it; "background" or "background:k":
        R(σ_b) = 0.7, likewise for Cutout (model.md identity 9); without k the rarest feature. "erm" and "cutout", likewise: the
        same with what an unlearned feature must exceed in place of 0.7, R_k = √((4.9 α R_1/(2 + R_1))² + 5.2² n/d): the pull of the
        feature noise through the most common feature, and the test noise. "kappa" or "kappa=x": κ = x, by default 0.5, from which
        on Theorem 3.3 (3) fails (identity 10). "EXPRESSION=LEVEL": an SQL expression of your own.

        Raises:
            ValueError: naming what is known.
        """
        if match := _FEATURE.fullmatch(name):
            return cls._of_feature(match[1], int(match[2] or -1))
        if name == "kappa":
            return cls(f"κ = {KAPPA_LEVEL}", _KAPPA, KAPPA_LEVEL)
        quantity, _, level = name.rpartition("=")
        try:
            value = float(level)
        except ValueError:
            value = float("nan")
        check(
            bool(quantity.strip()) and np.isfinite(value) and value > 0,
            f"`boundary` must be dominant, background, erm or cutout (or one of them with :k), kappa, kappa=x or EXPRESSION=LEVEL, got {name!r}",
        )
        return (
            cls(f"κ = {value:g}", _KAPPA, value)
            if quantity == "kappa"
            else cls(f"{quantity} = {value:g}", quantity, value)
        )

    @classmethod
    def _of_feature(cls, kind: str, index: int) -> Boundary:
        """Where a feature (-1: the rarest) ceases to be learned."""
        column, letter = ("dominant_ratio", "d") if kind in ("dominant", "erm") else ("background_ratio", "b")
        which = "" if index < 0 else f", feature {index}"
        if kind in ("dominant", "background"):
            return cls(f"R(σ_{letter}) = {LEARNING_THRESHOLD}{which}", f"{column}[{index}]", LEARNING_THRESHOLD)
        pull = f"{PULL} * feature_noise * {column}[1] / (2 + {column}[1])"
        noise = f"{TEST_NOISE**2:g} * num_samples / dim"
        name = f"R(σ_{letter}) = pull of α and test noise{which}"
        return cls(name, f"{column}[{index}] / sqrt(power({pull}, 2) + {noise})", 1.0)


@dataclass(frozen=True)
class Panel:
    """One diagram: the records of one group, by place. All arrays have a row a place, places in order of x, then y.

    Attributes:
        name: of the group, "" for all.
        x, y: where.
        count: records there. mean, low, high: of the value, and the 95 % t-interval of its mean over seeds (NaN where there is
            one record). smallest, largest: over seeds.
        boundaries: by name, the quantity divided by its level: 1 on the boundary.
    """

    name: str
    x: Float[np.ndarray, " M"]
    y: Float[np.ndarray, " M"]
    count: Int[np.ndarray, " M"]
    mean: Float[np.ndarray, " M"]
    low: Float[np.ndarray, " M"]
    high: Float[np.ndarray, " M"]
    smallest: Float[np.ndarray, " M"]
    largest: Float[np.ndarray, " M"]
    boundaries: dict[str, Float[np.ndarray, " M"]]

    @property
    def spread(self) -> Float[np.ndarray, " M"]:
        """Largest minus smallest value over seeds."""
        return self.largest - self.smallest

    def crossings(self, level: float, column: str = "mean") -> dict[float, float]:
        """Return, by x, the largest y at which the value crosses a level between two places, linear in log y.

        Args:
            level: of the value (`column` "mean"), or 1 for a boundary (`column` its name).
            column: "mean" or the name of a boundary.

        A column of places that lies on one side of the level has none.
        """
        values = self.mean if column == "mean" else self.boundaries[column]
        found = {}
        for x in np.unique(self.x):
            here = np.flatnonzero(self.x == x)
            at, value = np.log(self.y[here]), values[here] - level
            if column != "mean":
                value = np.log(values[here])
            for i in range(len(here) - 1):
                if value[i] * value[i + 1] < 0:
                    share = value[i] / (value[i] - value[i + 1])
                    found[float(x)] = float(np.exp(at[i] + share * (at[i + 1] - at[i])))
        return found


@dataclass(frozen=True)
class PhaseDiagram:
    """A value over two axes.

    Attributes:
        x, y, value: what was asked for, as written.
        level: of the value, where the contour is drawn.
        x_log, y_log: whether an axis is logarithmic.
        panels: one a group: methods in their usual order, others by name.
        title: for the picture. labels: how x, y and value are written there.
    """

    x: str
    y: str
    value: str
    level: float
    x_log: bool
    y_log: bool
    panels: tuple[Panel, ...]
    title: str = ""
    labels: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = []
        for panel in self.panels:
            title = f"{panel.name}: " if panel.name else ""
            lines.append(
                f"{title}{self.value} from {panel.mean.min():.4g} to {panel.mean.max():.4g} at {len(panel.x)} places"
            )
            for x, y in panel.crossings(self.level).items():
                told = [f"{name} at {at[x]:.3g}" for name in panel.boundaries if x in (at := panel.crossings(1, name))]
                predicted = f"; predicted: {', '.join(told)}" if told else ""
                lines.append(f"  {self.x} = {x:g}: crosses {self.level:.3g} at {self.y} = {y:.3g}{predicted}")
        return "\n".join(lines)

    def to_csv(self) -> str:
        """Return the data behind the picture, a row a panel and place."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        names = ("count", "mean", "low", "high", "smallest", "largest")
        boundaries = list(dict.fromkeys(name for panel in self.panels for name in panel.boundaries))
        writer.writerow(["panel", self.x, self.y, *names, *(f"{name}: quantity / level" for name in boundaries)])
        for panel in self.panels:
            for i in range(len(panel.x)):
                ratios = [panel.boundaries[name][i] if name in panel.boundaries else "" for name in boundaries]
                writer.writerow(
                    [panel.name, panel.x[i], panel.y[i], *(getattr(panel, name)[i] for name in names), *ratios]
                )
        return buffer.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, ready for JSON (NaN becomes None)."""
        return {
            **{name: getattr(self, name) for name in ("x", "y", "value", "level", "x_log", "y_log", "title")},
            "panels": [_panel_dict(panel, self.level) for panel in self.panels],
        }


def phase_diagram(
    records: Records,
    *,
    x: str,
    y: str,
    value: str = "accuracy",
    panels: str | None = None,
    where: str = "true",
    minus: str | None = None,
    level: float | None = None,
    boundaries: Sequence[str] | None = None,
    title: str = "",
) -> PhaseDiagram:
    """Return a value's mean and spread over seeds at every place of two axes.

    Args:
        records: of a sweep's folder.
        x, y, value: columns of `records`, free parameters of the grid, or SQL expressions of both, such as
            "power(dominant_noise_std, 2) * dim / num_samples" or "feature_accuracy[2]".
        panels: a column whose values each get a panel, such as "method".
        where: which records, as an SQL condition.
        minus: an SQL condition such as "method = 'cutout'": the value is then the difference to that of the record which meets it
            and has the same experiment and seed.
        level: of the value, for the contour; by default the middle between its smallest and largest mean.
        boundaries: see `Boundary.named`; by default the learning-speed predictions of the panel's method, κ for
            CutMix. Those given by name are drawn in every panel.
        title: for the picture.

    Raises:
        ValueError: if an expression is not valid, or nothing is left to draw.

    Cost: 10⁵ records in about a second (benchmarks/sweep_records.py).
    """
    wanted = None if boundaries is None else [Boundary.named(name) for name in boundaries]
    known = (
        wanted
        if wanted is not None
        else [Boundary.named(name) for names in DEFAULT_BOUNDARIES.values() for name in names]
    )
    found = records.query(_places_sql(x, y, value, panels, where, minus, [line.quantity for line in known]))
    check(found.num_rows > 0, f"nothing to draw: no records with a value of {value} where {where}")
    columns = {name: np.array(found[name].to_pylist()) for name in found.column_names}
    names = sorted(set(columns["panel"].tolist()), key=_panel_order)
    shown = tuple(_panel(name, columns, known, wanted) for name in names)
    means = np.concatenate([panel.mean for panel in shown])
    middle = float(means.min() + means.max()) / 2 if level is None else level
    x_log, y_log = (_is_log(np.unique([rounded(value) for value in columns[name]])) for name in ("x", "y"))
    labels = {name: records.labels.get(name, name) for name in (x, y, value)}
    return PhaseDiagram(x, y, value, middle, x_log, y_log, shown, title, labels)


def _panel_order(name: str) -> tuple[Any, ...]:
    """Methods in their usual order; then by name, numbers in it by size."""
    return _ORDER.get(name, len(_ORDER)), [
        (float(part), "") if _NUMBER.fullmatch(part) else (0.0, part) for part in _NUMBER.split(name)
    ]


def _places_sql(
    x: str, y: str, value: str, panels: str | None, where: str, minus: str | None, quantities: Sequence[str]
) -> str:
    """The query for value and quantities by panel and place; places to ten digits, so that formulas need not agree in the last."""
    group = "''" if panels is None else f"CAST({panels} AS VARCHAR)"
    at = {name: f"CAST(printf('%.9e', CAST({formula} AS DOUBLE)) AS DOUBLE)" for name, formula in (("x", x), ("y", y))}
    averages = "".join(
        f", {_in_order('avg', f'CAST({quantity} AS DOUBLE)')} AS q{i}" for i, quantity in enumerate(quantities)
    )
    own, source = f"CAST({value} AS DOUBLE)", "records"
    if minus is not None:
        reference = f"SELECT experiment, seed, {own} AS reference_value FROM records WHERE {minus}"
        own, source = f"{own} - reference_value", f"records JOIN ({reference}) USING (experiment, seed)"
    return f"""
        SELECT place_panel AS panel, place_x AS x, place_y AS y, count(*) AS count, {_in_order("avg", "place_value")} AS mean,
            {_in_order("stddev_samp", "place_value")} AS std, min(place_value) AS smallest, max(place_value) AS largest,
            min(method) AS first, max(method) AS last{averages}
        FROM (SELECT *, {group} AS place_panel, {at["x"]} AS place_x, {at["y"]} AS place_y, {own} AS place_value
            FROM {source} WHERE ({where}) AND status <> 'failed')
        WHERE isfinite(place_value) AND place_x IS NOT NULL AND place_y IS NOT NULL
        GROUP BY ALL ORDER BY ALL"""


def _in_order(aggregate: str, value: str) -> str:
    """An SQL aggregate that adds in order of size: DuckDB's threads would add as they come, and the last digit vary."""
    return f"list_{aggregate}(list_sort(list({value})))"


def _panel(
    name: str, columns: dict[str, np.ndarray], known: Sequence[Boundary], wanted: Sequence[Boundary] | None
) -> Panel:
    """The places of one group."""
    here = {column: values[columns["panel"] == name] for column, values in columns.items()}
    counts, means = here["count"].astype(int), here["mean"].astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        half = stdtrit(counts - 1, (1 + CONFIDENCE) / 2) * here["std"].astype(float) / np.sqrt(counts)
    one_method = len({*here["first"], *here["last"]}) == 1
    default = [Boundary.named(name) for name in DEFAULT_BOUNDARIES.get(here["first"][0], ())] if one_method else []
    drawn = default if wanted is None else wanted
    return Panel(
        name=name,
        x=np.array([rounded(value) for value in here["x"]]),
        y=np.array([rounded(value) for value in here["y"]]),
        count=counts,
        mean=means,
        low=means - half,
        high=means + half,
        smallest=here["smallest"].astype(float),
        largest=here["largest"].astype(float),
        boundaries={line.name: here[f"q{known.index(line)}"].astype(float) / line.level for line in drawn},
    )


def _is_log(values: np.ndarray) -> bool:
    """Whether an axis is drawn logarithmic: positive, and more even so than linear."""
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
        "crossings": {str(x): y for x, y in panel.crossings(level).items()},
        "predicted_crossings": {
            name: {str(x): y for x, y in panel.crossings(1, name).items()} for name in panel.boundaries
        },
    }


def write_phase(diagram: PhaseDiagram, folder: Path, *, grids: Sequence[str] = (), again: str = "") -> list[Path]:
    """Write phase.png, phase.svg, phase.csv and phase.json (the data behind them) and phase.html, each whole; return their paths.

    Args:
        diagram: what is drawn.
        folder: where to.
        grids: for the page, the grids swept, as TOML.
        again: for the page, the command that draws it again.

    Raises:
        ValueError: if the folder cannot be written.
    """
    from augscope.phase_figures import phase_figure
    from augscope.phase_page import phase_page
    from augscope.rendering import lay_out, to_bytes

    figure = phase_figure(diagram)
    lay_out(figure)
    files = {f"phase.{kind}": to_bytes(figure, kind) for kind in ("png", "svg")}
    files["phase.csv"] = diagram.to_csv().encode()
    files["phase.json"] = json.dumps(diagram.to_dict(), allow_nan=False).encode()
    files["phase.html"] = phase_page(diagram, files["phase.svg"], grids=grids, again=again).encode()
    return OutputFolder(folder).write(files)
