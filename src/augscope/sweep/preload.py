"""What a local dask worker loads first: Ctrl-C is for the sweep itself, which then ends its workers in good order."""

from __future__ import annotations

import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C alone; dask calls this by its name."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
