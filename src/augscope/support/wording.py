"""How long it takes: in words, and refused above an hour unless it is asked for twice."""

from __future__ import annotations

LONG_SECONDS = 3600.0


def in_words(seconds: float) -> str:
    """A duration in the unit that people would use.

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
