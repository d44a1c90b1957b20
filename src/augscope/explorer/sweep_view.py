"""A sweep's folder as the explorer browses it: which axes and values there are, a diagram, one place's trajectories.

Everything that reaches SQL is taken from lists of columns that the records have, and numbers; nothing is typed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augscope.phase import PhaseDiagram, phase_diagram
from augscope.records import Records
from augscope.sweep.axes import rounded
from augscope.sweep.folder import SweepFolder
from augscope.validation import check

SWEPT = (
    "dim",
    "num_patches",
    "num_samples",
    "feature_noise",
    "dominant_noise_std",
    "background_noise_std",
    "negative_slope",
    "smoothing",
    "num_cut",
    "init_std",
    "step_size",
    "num_steps",
    "until",
)
MEASURED = (
    "accuracy",
    "best_accuracy",
    "num_learned",
    "unevenness",
    "loss",
    "gradient_norm",
    "margin",
    "excess_loss",
    "window_opens",
    "window_until",
)
MEASURED_BY_FEATURE = ("feature_accuracy", "feature_score")
FREE = "free parameter of a grid"  # what `Records.columns` says of one
CLOSE = 1e-8  # relative: places are rounded to ten digits
MAX_RUNS = 60  # whose trajectories are drawn at once
LONGEST = 60  # characters of a label


def find_sweeps(folder: Path) -> dict[str, Path]:
    """Return the sweeps that a folder is or holds, by name.

    Raises:
        ValueError: if there is none.
    """
    check(folder.is_dir(), f"`sweep` must be a folder, got {folder}")
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and _is_sweep(path))
    found = {path.name: path for path in ([folder] if _is_sweep(folder) else inside)}
    check(
        len(found) > 0,
        f"`sweep` must be the folder of a sweep or of several (made by `augscope sweep`), got {folder}: it holds none",
    )
    return found


def _is_sweep(folder: Path) -> bool:
    try:
        SweepFolder(folder).check_exists()
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class SweepView:
    """What one sweep's folder holds now; look again with `SweepView.of` while it is being written.

    Attributes:
        records: the records.
        title: of the newest grid, or the folder's name.
        progress: how far the sweep is, in words.
        axes: columns and free parameters that take more than one value, by what they are called here, with those values.
        measures: what can be shown, SQL expressions by what they are called here.
    """

    records: Records
    title: str
    progress: str
    axes: dict[str, tuple[float, ...]]
    measures: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path) -> SweepView:
        """Look at a folder.

        Raises:
            ValueError: if it is no sweep's, or holds nothing that can be drawn yet.
        """
        records = Records(folder)
        try:
            progress = str(SweepFolder(folder).read_progress())
        except ValueError as error:
            progress = str(error)
        count, features = _only_row(records, "count(*), max(num_features)", "status <> 'failed'")
        check(count > 0, f"{folder.name} holds no finished run yet ({progress}): look again later")
        swept = dict.fromkeys(name for grid in SweepFolder(folder).grids() for name in grid.axis_names)
        known = [name for name in swept if name in SWEPT or records.columns.get(name) == FREE]
        axes = {name: values for name in known if len(values := _values(records, name)) > 1}
        check(len(axes) >= 2, f"{folder.name} has not two axes yet along which something changes ({progress})")
        by_feature = [f"{name}[{k + 1}]" for name in MEASURED_BY_FEATURE for k in range(features)]
        measures = tuple(name for name in (*MEASURED, *by_feature) if _is_measured(records, name))
        return cls(records, records.title or folder.name, progress, axes, measures)

    def label(self, name: str) -> str:
        """Return how an axis or measure is written: the grid's label for it, shortened, or its name."""
        text = self.records.labels.get(name, name.replace("_", " "))
        return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"

    def diagram(self, x: str, y: str, measure: str, fixed: Mapping[str, float] | None = None) -> PhaseDiagram:
        """Return the phase diagram of a measure, a panel a method.

        Args:
            x, y: two of `axes`. measure: one of `measures`.
            fixed: values of other axes; over those that are not fixed the diagram averages.

        Raises:
            ValueError: if these are not as told, or there is nothing to draw.
        """
        for name in (x, y, *(fixed or {})):
            check(name in self.axes, f"`axis` must be one of {', '.join(self.axes)}, got {name!r}")
        check(x != y, f"`y` must be another axis than `x`, got {x} for both")
        check(measure in self.measures, f"`measure` must be one of {', '.join(self.measures)}, got {measure!r}")
        found = phase_diagram(
            self.records,
            x=_quoted(x),
            y=_quoted(y),
            value=measure,
            panels="method",
            where=_where(fixed or {}),
        )
        labels = {_quoted(x): self.label(x), _quoted(y): self.label(y), measure: self.label(measure)}
        return PhaseDiagram(**{**vars(found), "labels": labels, "title": self.title})

    def trajectories(self, place: Mapping[str, float]) -> list[dict[str, Any]]:
        """Return what was recorded at a place, a row a run and step: method, seed, step, accuracy, and per feature.

        Args:
            place: values of axes; at most 60 runs are returned, in order of method and seed.

        Raises:
            ValueError: if nothing was recorded there.
        """
        chosen = f"SELECT cell, method_title FROM records WHERE {_where(place)} ORDER BY ALL LIMIT {MAX_RUNS}"
        sql = f"""SELECT method_title AS method, seed, step, accuracy, unevenness, feature_scores, accuracy_per_feature
            FROM trajectories JOIN ({chosen}) USING (cell) ORDER BY method, seed, step"""
        rows = self.records.query(sql).to_pylist()
        told = ", ".join(f"{self.label(name)} = {value:g}" for name, value in place.items())
        check(len(rows) > 0, f"nothing was recorded at {told}")
        return rows


def _quoted(name: str) -> str:
    """A column's name in SQL, whatever it is made of."""
    return '"' + name.replace('"', '""') + '"'


def _where(place: Mapping[str, float]) -> str:
    """The condition of lying at a place, up to rounding."""
    near = [
        f"abs({_quoted(name)} - {float(value)!r}) <= {CLOSE * abs(float(value))!r}" for name, value in place.items()
    ]
    return " AND ".join(near) or "true"


def _only_row(records: Records, columns: str, where: str) -> tuple[Any, ...]:
    (row,) = records.query(f"SELECT {columns} FROM records WHERE {where}").to_pylist()
    return tuple(row.values())


def _values(records: Records, name: str) -> tuple[float, ...]:
    """The different values of a column, in order, as far as they differ in ten digits."""
    column = f"CAST(printf('%.9e', CAST({_quoted(name)} AS DOUBLE)) AS DOUBLE)"
    sql = f"SELECT DISTINCT {column} AS value FROM records WHERE {_quoted(name)} IS NOT NULL AND status <> 'failed' ORDER BY value"
    return tuple(rounded(row["value"]) for row in records.query(sql).to_pylist())


def _is_measured(records: Records, name: str) -> bool:
    """Whether any record has a number for this."""
    return bool(_only_row(records, "count(*)", f"isfinite(CAST({name} AS DOUBLE))")[0])
