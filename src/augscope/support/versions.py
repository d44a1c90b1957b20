"""The versions that decide the numbers."""

from __future__ import annotations

import platform
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

VERSIONED = ("augscope", "jax", "jaxlib", "numpy", "scipy")


@lru_cache(maxsize=64)
def _version(name: str) -> str | None:
    if name == "python":
        return platform.python_version()
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def versions(names: tuple[str, ...] = VERSIONED) -> dict[str, str]:
    """Return the versions of Python and of the packages that are installed among these: by default the lab's."""
    return {name: text for name in ("python", *names) if (text := _version(name)) is not None}
