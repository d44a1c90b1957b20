"""Durations, p-values and versions in words, and texts of others without control codes."""

from __future__ import annotations

import platform
import re
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

LONG_SECONDS = 3600.0  # what takes longer needs `yes`
VERSIONED = ("augscope", "jax", "jaxlib", "numpy", "scipy")  # the packages that decide the lab's numbers

# C0 and C1 but for tab and line feed, what turns the direction of writing or ends a line, and halves of characters.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Return a text with its control codes written out as JSON does, so that a terminal shows them and does not obey.

    Example:
        >>> print(printable("red: \\x1b[31m"))
        red: \\u001b[31m
    """
    return _CONTROLS.sub(lambda code: f"\\u{ord(code[0]):04x}", text)


def in_words(seconds: float) -> str:
    """Return a duration in the usual unit.

    Example:
        >>> [in_words(seconds) for seconds in (9000, 379, 12, 0.135, 0.0012)]
        ['2.5 hours', '6.3 min', '12.0 s', '135 ms', '1.2 ms']
    """
    for unit, size in (("hours", 3600.0), ("min", 60.0), ("s", 1.0)):
        if seconds >= 1.5 * size or (unit == "s" and seconds >= 1):
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds * 1e3:{'.0f' if seconds >= 0.01 else '.2g'}} ms"


def check_asked_for(seconds: float, sentence: str, yes: bool) -> None:
    """Raise ValueError if it takes over an hour and `yes` was not given; `sentence` says what takes how long."""
    if seconds > LONG_SECONDS and not yes:
        raise ValueError(f"`yes` must be given for what takes over an hour. {sentence} Give --yes, or ask for less")


def p_value_text(p_value: float) -> str:
    """Return a p-value with two digits, for a cell of a table.

    Example:
        >>> [p_value_text(value) for value in (0.25, 0.0123, 1e-9)]
        ['0.25', '0.012', '< 0.0001']
    """
    return f"{p_value:.2g}" if p_value >= 1e-4 else "< 0.0001"


def p_value_in_words(p_value: float) -> str:
    """Return a p-value as a sentence quotes it: "p = 0.012" or "p < 0.0001"."""
    text = p_value_text(p_value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


@lru_cache(maxsize=64)
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def versions(names: tuple[str, ...] = VERSIONED) -> dict[str, str]:
    """Return the versions of Python and of those of the packages that are installed."""
    installed = {name: text for name in names if (text := _version(name)) is not None}
    return {"python": platform.python_version(), **installed}
