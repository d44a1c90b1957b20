"""Throughput of `BoxCutMix` and `PatchCutMix` on 256×3×224×224 float32, against kornia's CutMix in the same run.

Rounds are interleaved, so that all see the same machine; the batch is the same. kornia is left out where it is not installed
(`make compare-laws` installs it). Prints a table, and writes it as JSON with --json FILE.

On 2 cores of x86_64, torch 2.13.0+cpu with 2 threads, kornia 0.9.0, 24 November 2026; ms a batch, median of 7 rounds (range):
BoxCutMix 175 (169–434), unclipped 170 (163–364), PatchCutMix 14×14 128 (126–384), kornia's RandomCutMixV2 791 (766–1340).
By the medians, BoxCutMix was 4.5 times and PatchCutMix 6.2 times as fast as kornia.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from augscope.images import BoxCutMix, PatchCutMix
from augscope.support.files import write_whole

BATCH, CLASSES, ROUNDS = (256, 3, 224, 224), 1000, 7


def transforms() -> dict[str, Callable]:
    """What is timed, by name."""
    found: dict[str, Callable] = {
        "augscope BoxCutMix": BoxCutMix(num_classes=CLASSES, generator=torch.Generator().manual_seed(0)),
        "augscope BoxCutMix unclipped": BoxCutMix(
            boxes="unclipped", num_classes=CLASSES, generator=torch.Generator().manual_seed(0)
        ),
        "augscope PatchCutMix 14×14": PatchCutMix(14, num_classes=CLASSES, generator=torch.Generator().manual_seed(0)),
    }
    if importlib.util.find_spec("kornia"):
        from kornia.augmentation import RandomCutMixV2

        found["kornia RandomCutMixV2"] = RandomCutMixV2(data_keys=["input", "class"], use_correct_lambda=True)
    return found


def main() -> None:
    """Time everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    images, labels = torch.rand(BATCH), torch.randint(0, CLASSES, BATCH[:1])
    timed = transforms()
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for turn in range(ROUNDS + 1):
        for name, transform in timed.items():
            begun = time.perf_counter()
            transform(images, labels)
            if turn > 0:  # the first warms up
                seconds[name].append(time.perf_counter() - begun)
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    print(f"{machine}; batch {'×'.join(map(str, BATCH))} float32, {ROUNDS} rounds")
    print(f"{'':30} {'ms a batch: median (range)':>28} {'images/s':>10}")
    for name, times in seconds.items():
        middle = statistics.median(times)
        shown = f"{middle * 1e3:.0f} ({min(times) * 1e3:.0f}–{max(times) * 1e3:.0f})"
        print(f"{name:30} {shown:>28} {BATCH[0] / middle:>10,.0f}")
    if arguments.json:
        write_whole(arguments.json, json.dumps({"machine": machine, "seconds": seconds}, indent=2).encode())


if __name__ == "__main__":
    main()
