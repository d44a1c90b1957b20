"""Values as other programs read them: JSON without NaN, and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any


def plain(value: Any) -> Any:
    """Return a value as JSON knows it: tuples and arrays as lists, times as text, NaN and infinities as None.

    Example:
        >>> plain({"loss": float("nan"), "seeds": (1, 2)})
        {'loss': None, 'seeds': [1, 2]}
    """
    if hasattr(value, "tolist"):  # an array, or one of its numbers
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(part) for part in value]
    return value.isoformat() if isinstance(value, datetime) else value


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return rows under their columns' names as CSV; lines end in a line feed alone.

    A text that a spreadsheet would take for a formula gets a `'` in front, by which spreadsheets know it for a text.

    Example:
        >>> print(csv_text(["file", "change"], [["=1+1.png", -0.5]]), end="")
        file,change
        '=1+1.png,-0.5
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    for row in (columns, *rows):
        writer.writerow([_no_formula(cell) for cell in row])
    return stream.getvalue()


def _no_formula(cell: Any) -> Any:
    if not isinstance(cell, str) or not cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell
