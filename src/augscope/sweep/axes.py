"""Axes of a grid: the values that fields or free parameters take, as a list, a range, or several lists in step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from augscope.support.values import check

MAX_COUNT = 100_000  # of values on one axis: more is a slip of the hand
DIGITS = 12  # significant, of computed values: grids meet in the same cells although they round differently on the way


@dataclass(frozen=True)
class Axis:
    """Names that change together, and the values they take.

    Attributes:
        names: one, or several for a zipped axis.
        values: a row per step of the axis, with a value per name.
        computed: the values come from a range: for whole-number fields they may be rounded.
    """

    names: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]
    computed: bool = False

    @classmethod
    def read(cls, name: str, given: Any) -> Axis:
        """Read `[…]` or `{ from = …, to = …, count = …, scale = "log" }`. Raises ValueError naming the axis."""
        if isinstance(given, Mapping):
            return cls._read_range(name, given)
        check(
            isinstance(given, Sequence) and not isinstance(given, str),
            f"axis `{name}` must be a list or a range, got {given!r}",
        )
        check(len(given) >= 1, f"axis `{name}` must hold at least one value, got none")
        values = tuple(_frozen(value) for value in given)
        check(len(set(values)) == len(values), f"axis `{name}` must hold each value once, got {list(given)}")
        return cls((name,), tuple((value,) for value in values))

    @classmethod
    def _read_range(cls, name: str, given: Mapping[str, Any]) -> Axis:
        unknown = sorted(set(given) - {"from", "to", "count", "scale"})
        check(not unknown, f"axis `{name}` has no `{', '.join(unknown)}`: a range has from, to, count and scale")
        missing = [part for part in ("from", "to", "count") if part not in given]
        check(not missing, f"axis `{name}` is a range without `{', '.join(missing)}`")
        low, high, count, scale = given["from"], given["to"], given["count"], given.get("scale", "linear")
        check(
            type(count) is int and 1 <= count <= MAX_COUNT,
            f"axis `{name}` must have a count from 1 to {MAX_COUNT:,}, got {count!r}",
        )
        check(scale in ("linear", "log"), f"axis `{name}` must have the scale linear or log, got {scale!r}")
        for part, value in (("from", low), ("to", high)):
            check(
                type(value) in (int, float) and np.isfinite(value),
                f"axis `{name}` must go `{part}` a number, got {value!r}",
            )
        check(scale == "linear" or min(low, high) > 0, f"axis `{name}` must lie above 0 to be log, got {low} to {high}")
        check(count == 1 or low != high, f"axis `{name}` must go from one number to another, got {low} to {high}")
        spaced = (np.geomspace if scale == "log" else np.linspace)(low, high, count)
        return cls((name,), tuple((rounded(value),) for value in spaced), computed=True)

    @classmethod
    def read_zip(cls, given: Any) -> Axis:
        """Read a zipped axis: names with lists of one length. Raises ValueError naming them."""
        check(isinstance(given, Mapping) and len(given) >= 1, f"`zip` must hold tables of lists, got {given!r}")
        columns = [cls.read_column(name, values) for name, values in given.items()]
        lengths = {name: len(column) for name, column in zip(given, columns, strict=True)}
        shown = ", ".join(f"{name} {length}" for name, length in lengths.items())
        check(len(set(lengths.values())) == 1, f"zipped axes must be lists of one length, got {shown}")
        return cls(tuple(given), tuple(zip(*columns, strict=True)))

    @staticmethod
    def read_column(name: str, values: Any) -> tuple[Any, ...]:
        """One list of a zipped axis; unlike an axis of its own it may hold a value twice."""
        check(isinstance(values, list), f"zipped axis `{name}` must be a list, got {values!r}")
        check(len(values) >= 1, f"zipped axis `{name}` must hold at least one value, got none")
        return tuple(_frozen(value) for value in values)


def rounded(value: Any) -> float:
    """Return a computed number to 12 significant digits."""
    return float(f"{float(value):.{DIGITS}g}")


def points(axes: Sequence[Axis]) -> Iterator[dict[str, Any]]:
    """Yield every combination of the axes' values by name, the last axis fastest."""
    for rows in product(*(axis.values for axis in axes)):
        yield {
            name: value
            for axis, row in zip(axes, rows, strict=True)
            for name, value in zip(axis.names, row, strict=True)
        }


def _frozen(value: Any) -> Any:
    """Lists of a file as tuples, so that values can be compared and hashed."""
    return tuple(_frozen(part) for part in value) if isinstance(value, list) else value
