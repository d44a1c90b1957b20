"""The versions that decide the numbers."""

from __future__ import annotations

import platform
from functools import lru_cache
from importlib.metadata import version

VERSIONED = ("augscope", "jax", "jaxlib", "numpy", "scipy")


@lru_cache(maxsize=1)
def _found() -> tuple[tuple[str, str], ...]:
    return (("python", platform.python_version()), *((name, version(name)) for name in VERSIONED))


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide the numbers."""
    return dict(_found())
