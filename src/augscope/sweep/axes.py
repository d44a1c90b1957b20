"""Axes of a grid: the values that fields or free parameters take, as a list, a range, or several lists in step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from augscope.support.values import check

MAX_COUNT = 100_000  # values on one axis: more is a typing error
DIGITS = 12  # significant digits of computed values: two grids then share cells although rounding differs


@dataclass(frozen=True)
class Axis:
    """Names that change together, and the values they take.

    Attributes:
        names: one, or several for a zipped axis.
        values: a row per step of the axis, with a value per name.
        computed: whether the values come from a range: whole-number fields round them.
    """

    names: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]
    computed: bool = False

    @classmethod
    def read(cls, name: str, values: Any) -> Axis:
        """Read `[…]` or `{ from = …, to = …, count = …, scale = "log" }`. Raises ValueError naming the axis."""
        if isinstance(values, Mapping):
            return cls._read_range(name, values)
        is_list = isinstance(values, Sequence) and not isinstance(values, str)
        check(is_list, f"axis `{name}` must be a list or a range, got {values!r}")
        check(len(values) >= 1, f"axis `{name}` must hold at least one value, got none")
        tables = [value for value in values if isinstance(value, Mapping)]
        check(not tables, f"axis `{name}` must hold numbers, texts or lists, got {tables[:1]}")
        rows = tuple((_hashable(value),) for value in values)
        check(len(set(rows)) == len(rows), f"axis `{name}` must hold each value once, got {list(values)}")
        return cls((name,), rows)

    @classmethod
    def _read_range(cls, name: str, parts: Mapping[str, Any]) -> Axis:
        unknown = sorted(set(parts) - {"from", "to", "count", "scale"})
        check(not unknown, f"axis `{name}` has no `{', '.join(unknown)}`: a range has from, to, count and scale")
        missing = [part for part in ("from", "to", "count") if part not in parts]
        check(not missing, f"axis `{name}` is a range without `{', '.join(missing)}`")
        low, high, count, scale = parts["from"], parts["to"], parts["count"], parts.get("scale", "linear")
        in_range = type(count) is int and 1 <= count <= MAX_COUNT
        check(in_range, f"axis `{name}` must have a count from 1 to {MAX_COUNT:,}, got {count!r}")
        check(scale in ("linear", "log"), f"axis `{name}` must have the scale linear or log, got {scale!r}")
        for part, value in (("from", low), ("to", high)):
            is_number = type(value) in (int, float) and np.isfinite(value)
            check(is_number, f"axis `{name}` must go `{part}` a number, got {value!r}")
        check(scale == "linear" or min(low, high) > 0, f"axis `{name}` must lie above 0 to be log, got {low} to {high}")
        check(count == 1 or low != high, f"axis `{name}` must go from one number to another, got {low} to {high}")
        spaced = (np.geomspace if scale == "log" else np.linspace)(low, high, count)
        return cls((name,), tuple((rounded(value),) for value in spaced), computed=True)

    @classmethod
    def read_zip(cls, table: Any) -> Axis:
        """Read a zipped axis: names with lists of one length, which may hold a value twice. Raises ValueError naming them."""
        check(isinstance(table, Mapping) and len(table) >= 1, f"`zip` must hold tables of lists, got {table!r}")
        for name, values in table.items():
            check(isinstance(values, list), f"zipped axis `{name}` must be a list, got {values!r}")
            check(len(values) >= 1, f"zipped axis `{name}` must hold at least one value, got none")
        lengths = ", ".join(f"{name} {len(values)}" for name, values in table.items())
        check(len(set(map(len, table.values()))) == 1, f"zipped axes must be lists of one length, got {lengths}")
        columns = [[_hashable(value) for value in values] for values in table.values()]
        return cls(tuple(table), tuple(zip(*columns, strict=True)))


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


def _hashable(value: Any) -> Any:
    """A file's value with tuples in place of lists."""
    return tuple(_hashable(part) for part in value) if isinstance(value, list) else value
