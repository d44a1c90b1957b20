"""How many threads NumPy and PyTorch take: their number decides the last bits of a result."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController


@lru_cache(maxsize=1)
def _blas() -> Any:
    """The loaded libraries of linear algebra; finding them takes 4 ms."""
    return ThreadpoolController().select(user_api="blas")


def one_blas_thread() -> Any:
    """NumPy's and SciPy's linear algebra with one thread, and with as many as before afterwards. Cost 20 µs.

    To be entered where it is called, as `with one_blas_thread():`. Who measures in several threads enters it before
    starting them: of two threads that enter it by themselves, the one that ends last may leave one thread for all.
    """
    return _blas().limit(limits=1)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """PyTorch, if it is loaded, with one thread, and with as many as before afterwards.

    It is an optional package, which nothing here imports. For small batches more threads only wait for each other.
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
