"""Throughput of our five transforms on 256×3×224×224 float32, before and after `torch.compile`, beside torchvision's and kornia's own.

    python benchmarks/augmentations.py --compile --json reports/augmentations.json

Rounds are interleaved, so that all see the same machine; the batch is the same. Labels are soft, (256, 1000), where a transform takes
them; kornia's take class indices. Libraries that are not installed are left out (`make compare-laws` installs them). What cannot be
compiled is said. Figures, with their conditions, are in docs/transforms.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from augscope.images import BoxCutMix, BoxCutout, Mixup, PatchCutMix, PatchCutout
from augscope.support.files import write_whole

BATCH, CLASSES = (256, 3, 224, 224), 1000


def transforms() -> dict[str, Callable]:
    """What is timed, by name."""
    timed: dict[str, Callable] = {
        "augscope BoxCutMix": BoxCutMix(num_classes=CLASSES),
        "augscope PatchCutMix 14×14": PatchCutMix(14, num_classes=CLASSES),
        "augscope BoxCutout 112": BoxCutout(112, num_classes=CLASSES),
        "augscope PatchCutout 49 of 14×14": PatchCutout(49, 14, num_classes=CLASSES),
        "augscope Mixup": Mixup(num_classes=CLASSES),
    }
    if importlib.util.find_spec("torchvision"):
        from torchvision.transforms import v2

        timed |= {
            "torchvision CutMix": v2.CutMix(num_classes=CLASSES),
            "torchvision MixUp": v2.MixUp(num_classes=CLASSES),
        }
    if importlib.util.find_spec("kornia"):
        from kornia.augmentation import RandomCutMixV2, RandomMixUpV2

        keys = ["input", "class"]
        timed |= {
            "kornia RandomCutMixV2": RandomCutMixV2(data_keys=keys),
            "kornia RandomMixUpV2": RandomMixUpV2(data_keys=keys),
        }
    return timed


def compiled(timed: dict[str, Callable], arguments: Callable[[str], tuple]) -> dict[str, Callable]:
    """The same through `torch.compile`, called once; what raises is left out, with a line."""
    made = {}
    for name, transform in timed.items():
        begun, faster = time.perf_counter(), torch.compile(transform)
        try:
            faster(*arguments(name))
        except Exception as error:  # whatever a compiler or a library raises
            print(
                f"{name} is not compiled: {type(error).__name__}: {str(error).splitlines()[0][:120]}", file=sys.stderr
            )
        else:
            made[f"{name}, compiled"] = faster
            print(f"{name}: compiled in {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    return made


def times(timed: dict[str, Callable], arguments: Callable[[str], tuple], rounds: int) -> dict[str, list[float]]:
    """Seconds a call, by name; the first round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for turn in range(rounds + 1):
        for name, transform in timed.items():
            begun = time.perf_counter()
            transform(*arguments(name))
            if turn > 0:
                seconds[name].append(time.perf_counter() - begun)
    return seconds


def main() -> None:
    """Time everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compile", action="store_true", help="after torch.compile too")
    parser.add_argument("--rounds", type=int, default=7, help="rounds that are timed")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    images, labels = torch.rand(BATCH), torch.randint(0, CLASSES, BATCH[:1])
    rows = torch.nn.functional.one_hot(labels, CLASSES).float()

    def arguments(name: str) -> tuple:
        return images, labels if name.startswith("kornia") else rows

    timed = transforms()
    if options.compile:
        timed |= compiled(timed, arguments)
    seconds = times(timed, arguments, options.rounds)
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    print(f"{machine}; batch {'×'.join(map(str, BATCH))} float32, {options.rounds} rounds")
    print(f"{'':42} {'ms a batch: median (range)':>28} {'images/s':>10}")
    for name, some in sorted(seconds.items()):
        middle = statistics.median(some)
        shown = f"{middle * 1e3:.0f} ({min(some) * 1e3:.0f}–{max(some) * 1e3:.0f})"
        print(f"{name:42} {shown:>28} {BATCH[0] / middle:>10,.0f}")
    if options.json:
        write_whole(options.json, json.dumps({"machine": machine, "seconds": seconds}, indent=2).encode())


if __name__ == "__main__":
    main()
