"""Packages that only some parts need: what to install is said where one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

PACKAGES = {"sklearn": "scikit-learn", "PIL": "Pillow"}  # modules with another name than their package


class ExtraMissing(ImportError, ValueError):
    """A package of an extra is not installed; the message says what to install."""


@contextmanager
def needs_extra(user: str, extra: str) -> Iterator[None]:
    """Around imports: raise ExtraMissing where a package is not installed.

    Args:
        user: who needs it, for the message, such as "`explore`".
        extra: the extra of augscope that installs it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = PACKAGES.get(error.name or "", error.name)
        raise ExtraMissing(f"{user} needs {package}: pip install 'augscope[{extra}]'", name=error.name) from None
