"""A dataclass of arrays as a table of measures: every field says its shape, unit, meaning and how it is taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import cache, reduce
from textwrap import fill
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import numpy as np

from augscope.support.shown import Shown, data_frame

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Measure:
    """A row of the table.

    Attributes:
        name: of the field, and wherever the measure is written down.
        shape: its axes by name or size, such as ("R", "2", "K"); R counts records.
        unit, meaning, details: in words; details are a sentence more.
        of: takes it of a step's `Snapshot`; None for what follows from the exact test accuracy.
        of_accuracy: takes it of a `TestAccuracy` and the features' frequencies.
    """

    name: str
    shape: tuple[str, ...]
    unit: str
    meaning: str
    details: str
    of: Callable[[Any], Any] | None
    of_accuracy: Callable[[Any, Any], Any] | None

    @property
    def axes(self) -> str:
        """The shape as people write it, such as "(R, 2, K)"."""
        return f"({', '.join(self.shape)})"

    def __str__(self) -> str:
        details = f" {self.details}." if self.details else ""
        return f"{self.name}: {self.axes}, {self.meaning}.{details} Unit: {self.unit}."


def measure(
    unit: str,
    meaning: str,
    of: Callable[[Any], Any] | None = None,
    of_accuracy: Callable[[Any, Any], Any] | None = None,
    details: str = "",
) -> Any:
    """Return a field that is a measure; arguments as in `Measure`. The shape is that of the field's jaxtyping annotation."""
    row = {"unit": unit, "meaning": meaning, "details": details, "of": of, "of_accuracy": of_accuracy}
    return field(metadata=row)


@cache
def measures_of(history: type) -> tuple[Measure, ...]:
    """Return the rows of the table that a dataclass is, in order of its fields."""
    hints = get_type_hints(history)
    return tuple(Measure(row.name, _shape(hints[row.name]), **row.metadata) for row in fields(history))


def _shape(hint: Any) -> tuple[str, ...]:
    """The axes that a jaxtyping annotation names, or the first of several."""
    first, *_ = get_args(hint) or (hint,)
    return tuple(first.dim_str.split())


class MeasureTable(Shown):
    """What the dataclass of measures can do: show its last record, and become a data frame."""

    steps: Any

    def __str__(self) -> str:
        name = type(self).__name__
        if not len(self.steps):
            return f"{name}: nothing recorded"
        records = f"{len(self.steps)} record{'s' * (len(self.steps) > 1)}, {self.steps[0]:g} to {self.steps[-1]:,g}"
        return f"{name}: {records}; {self.last_text()}"

    def last_text(self) -> str:
        """Return some measures of the last record in words."""
        if not len(self.steps):
            return "nothing recorded"
        return ", ".join(f"{name.replace('_', ' ')} {getattr(self, name)[-1]:.4g}" for name in _IN_WORDS)

    def _table(self) -> list[list[str]]:
        """Every measure of up to 2K numbers at the first and the last record."""
        if not len(self.steps):
            return []
        rows = [["measure", "meaning", f"at {self.steps[0]:g}", f"at {self.steps[-1]:,g}"]]
        for row in measures_of(type(self))[1:]:
            if len(row.shape) <= 3:
                rows.append([row.name, row.meaning, *(_text(getattr(self, row.name)[at]) for at in (0, -1))])
        return rows

    def columns(self) -> dict[str, np.ndarray]:
        """Return a column a number, (R,) each, but for the steps: `plateau[1]` is `history.plateau[:, 1]`."""
        columns: dict[str, np.ndarray] = {}
        for row in measures_of(type(self))[1:]:
            array = getattr(self, row.name)
            for index in np.ndindex(array.shape[1:]):
                place = f"[{', '.join(map(str, index))}]" if index else ""
                columns[row.name + place] = array[:, *index]
        return columns

    def to_pandas(self) -> pd.DataFrame:
        """Return a row a record, indexed by step, and a column a number as `columns` does.

        Raises:
            ValueError: if pandas is not installed.
        """
        return data_frame(self.columns()).set_index(np.array(self.steps)).rename_axis("steps")


def mean_over_seeds(runs: Sequence[Any], field: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps that all runs recorded (one that diverged ends early) and the mean of a history field there."""
    steps = reduce(np.intersect1d, [run.history.steps for run in runs])
    values = [getattr(run.history, field)[np.isin(run.history.steps, steps)] for run in runs]
    return steps, np.mean(values, axis=0)


_IN_WORDS = ("loss", "gradient_norm", "margin", "accuracy")


def _text(values: Any) -> str:
    """Numbers of a measure, a label's separated by a stroke from the other's."""
    rows = np.reshape(values, (-1, np.shape(values)[-1] if np.ndim(values) > 1 else 1))
    return " / ".join(" ".join(f"{value:.4g}" for value in row) for row in rows)


def documented(history: Any) -> Any:
    """Add the rows of the table to its docstring."""
    rows = [fill(str(row), 120, initial_indent=" " * 8, subsequent_indent=" " * 12) for row in measures_of(history)]
    history.__doc__ = "\n".join([f"{history.__doc__}\n    Attributes:", *rows, ""])
    return history
