"""How many threads PyTorch takes, where it is loaded: an optional package, which nothing here imports."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """PyTorch, if it is loaded, with one thread, and with as many as before afterwards.

    Their number decides bits, and for small batches more threads only wait for each other.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
