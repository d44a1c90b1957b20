"""What a program of ours asks of JAX before it computes: float64, and compiled programs kept between runs."""

from __future__ import annotations

import os
import shutil
import warnings
from contextlib import suppress
from pathlib import Path

CACHE_VARIABLE = "AUGSCOPE_CACHE"  # a folder for compiled programs; "off" keeps none
LARGEST_CACHE = 500 * 2**20  # bytes; about 1 MiB is kept per shape of problem


def set_up_jax() -> None:
    """Enable float64 and keep compiled programs in the user's cache folder. Importing the library does neither."""
    import jax

    jax.config.update("jax_enable_x64", True)
    folder = cache_folder(jax.__version__)
    if folder is None:
        return
    _empty_if_large(folder)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # An entry that a power loss cut short, or a full disk: the program is compiled anew, and no message is needed.
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache entry")


def cache_folder(version: str) -> Path | None:
    """Return where programs compiled by this version of JAX are kept, or None for nowhere."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen == "off":
        return None
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (Path(chosen) if chosen else home / "augscope") / f"programs-jax-{version}"


def _empty_if_large(folder: Path) -> None:
    """Start again once the folder has grown large; workers that start together may all find it so."""
    with suppress(FileNotFoundError):  # none yet, or another empties it at this moment
        if sum(entry.stat().st_size for entry in os.scandir(folder)) > LARGEST_CACHE:
            shutil.rmtree(folder, ignore_errors=True)
