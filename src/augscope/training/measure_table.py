"""A dataclass of arrays as a table of measures: every field says its shape, unit, meaning and how it is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cache
from textwrap import fill
from typing import Any, get_args, get_type_hints


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


def documented(history: Any) -> Any:
    """Add the rows of the table to its docstring."""
    rows = [fill(str(row), 120, initial_indent=" " * 8, subsequent_indent=" " * 12) for row in measures_of(history)]
    history.__doc__ = "\n".join([f"{history.__doc__}\n    Attributes:", *rows, ""])
    return history
