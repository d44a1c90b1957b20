"""Plain data: what JSON can hold. Imports nothing heavy, so that commands start quickly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: a number that is not finite becomes None, an array or tuple a list, a time text.

    Mappings, lists and tuples are converted with everything in them; what JSON knows already stays as it is.

    Example:
        >>> from augscope.support.plain import plain
        >>> plain({"margins": (1.5, float("nan")), "count": 2})
        {'margins': [1.5, None], 'count': 2}
    """
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value.isoformat() if isinstance(value, datetime) else value
