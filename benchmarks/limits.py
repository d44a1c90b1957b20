"""The machine's own limits: how fast it reads an array of a given size, and how fast it evaluates exponentials."""

from __future__ import annotations

import numpy as np
from harness import seconds


def read_bandwidth(size: int, threads: int) -> float:
    """Return the most bytes a second at which a square float64 array of about `size` bytes is read again and again.

    The best of PyTorch's sum and matrix–vector product (MKL) on so many threads, and on one thread of NumPy's sum too.
    """
    import torch

    count = max(8, int((size / 8) ** 0.5))
    array = np.random.default_rng(0).normal(size=(count, count))
    tensor, vector = torch.tensor(array), torch.ones(count, dtype=torch.float64)
    readers = [lambda: tensor @ vector, tensor.sum] + [array.sum] * (threads == 1)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    fastest = min(min(seconds(reader, 5, max(1, int(2e8 / array.nbytes)))) for reader in readers)
    torch.set_num_threads(before)
    return array.nbytes / fastest


def exponential_rate() -> float:
    """Return how many float64 exponentials a second the machine evaluates, array in cache: the best of NumPy and PyTorch."""
    import torch

    array = np.random.default_rng(0).normal(size=30_000)
    tensor, out = torch.tensor(array), np.empty_like(array)
    there = torch.empty_like(tensor)
    readers = (lambda: np.exp(array, out=out), lambda: torch.exp(tensor, out=there))
    return len(array) / min(min(seconds(reader, 5, 200)) for reader in readers)
