"""Pieces that users wrote themselves, named by import path: `module:Name`, for files, records and identities."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any

from augscope.support.values import check


def import_piece(field: str, path: str) -> Any:
    """Return what `module:Name` names, looked up on Python's path and then in the working directory.

    Importing a module runs it: only paths that the user wrote are to be read. Nothing else is evaluated.

    Raises:
        ValueError: naming `field`, if the path is not of this form, or nothing can be imported from there.
    """
    module, separator, name = path.partition(":")
    check(bool(separator and module and name.isidentifier()), f"`{field}` must read module:Name, got {path!r}")
    if os.getcwd() not in sys.path:  # an installed command has its own folder there in place of the user's
        sys.path.append(os.getcwd())
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ValueError(f"`{field}` could not be imported, got {path!r}: {error}") from None
    except AttributeError:
        raise ValueError(f"`{field}` could not be imported, got {path!r}: {module} has no {name!r}") from None


def path_of(field: str, piece: Any) -> str:
    """Return the import path of a class or function. Raises ValueError, naming `field`, if it can have none."""
    module, name = getattr(piece, "__module__", None), getattr(piece, "__qualname__", "")
    check(
        bool(module) and name.isidentifier(),
        f"`{field}` must be at the top level of a module to be written down, got {name or piece!r}",
    )
    return f"{module}:{name}"


def named_pieces(configuration: Mapping[str, Any]) -> list[str]:
    """Return the import paths in a configuration's network and methods."""
    tables = [configuration.get("network"), *configuration.get("methods", ())]
    names = [table.get("name") if isinstance(table, Mapping) else table for table in tables]
    return [name for name in names if isinstance(name, str) and ":" in name]
