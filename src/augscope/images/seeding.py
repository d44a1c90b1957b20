"""Random numbers of a training: streams that come of its seed, and everybody's global generators seeded and given back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

BATCHES, TRANSFORM, MODEL = 1, 2, 3  # streams of random numbers that come of one seed


def stream(seed: int, number: int) -> torch.Generator:
    """Return a generator of its own for one of the uses that a seed has (CPU)."""
    state = np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> 1))


@contextmanager
def reproducible(seed: int, device: str | torch.device) -> Iterator[None]:
    """The global generators of PyTorch, NumPy and Python seeded, and cuDNN held to deterministic algorithms; all as before afterwards."""
    device = torch.device(device)
    devices = [device.index or 0] if device.type == "cuda" else []
    start = stream(seed, MODEL).initial_seed()
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - what augmentations of others draw from
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(start)
        random.seed(start)
        np.random.seed(start % 2**32)  # noqa: NPY002
        cudnn.deterministic, cudnn.benchmark = True, False
        try:
            yield
        finally:
            cudnn.deterministic, cudnn.benchmark = before
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
