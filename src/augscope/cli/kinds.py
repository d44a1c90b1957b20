"""Kinds of options that many commands take; nothing heavy is imported, so that `--help` answers at once."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from cyclopts import Parameter


def _whole(kind: Any, tokens: Any) -> int:
    """A whole number as typed: 2000 or 2e3, but not 2.5, which would have to be rounded."""
    text = tokens[0].value
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = None
    # 10^30 is beyond any field; int() of a number such as 1e999999999 would not end.
    if value is None or not value.is_finite() or value.adjusted() > 30 or value != int(value):
        raise ValueError(f"it must be a whole number, got {text!r}")
    return int(value)


Whole = Annotated[int, Parameter(converter=_whole)]
Flag = Annotated[bool, Parameter(negative="")]
Json = Annotated[bool, Parameter(name="--json", negative="")]
