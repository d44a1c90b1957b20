"""The versions that decide the numbers."""

from __future__ import annotations

import platform
from functools import lru_cache
from importlib.metadata import version

VERSIONED = ("augscope", "jax", "jaxlib", "numpy", "scipy")


@lru_cache(maxsize=8)
def _found(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return (("python", platform.python_version()), *((name, version(name)) for name in names))


def versions(names: tuple[str, ...] = VERSIONED) -> dict[str, str]:
    """Return the versions of Python and of the packages that decide the numbers: by default the lab's."""
    return dict(_found(names))
