"""Exact test accuracy: milliseconds a call alone and a record in a batch of 40, with the certified error, at P = 3, 8 and 16.

The weights are those of 2,000 steps of every method at both presets (P = 3), 40 records each; P = 8 and 16 use the same
weights with more background patches. "Alone" is the first record computed in a fresh process after import. Prints a table,
and writes it as JSON with --json FILE.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

PATCHES = (3, 8, 16)
NUM_STEPS, ROUNDS, PROCESSES = 2_000, 5, 3


def train_histories(file: Path) -> None:
    """Write the few numbers that test accuracy depends on, for every preset, method and record."""
    import jax

    jax.config.update("jax_enable_x64", True)
    import augscope as ag

    arrays = {}
    for name, preset in zip(ag.presets._fields, ag.presets, strict=True):
        short = preset.replace(num_steps=NUM_STEPS)
        dataset = short.sample(0)
        for method in short.methods:
            history = short.run(method, dataset).history
            arrays[f"{name} {method.title} projections"] = history.feature_projections
            arrays[f"{name} {method.title} gram"] = history.noise_gram
    np.savez(file, **arrays)


def time_records(file: Path, name: str, method: str, num_patches: int, indices: list[int]) -> tuple[list[float], float]:
    """Milliseconds of every record, and the largest certified error."""
    import augscope as ag
    from augscope.accuracy import accuracy_from_projections

    preset = getattr(ag.presets, name)
    distribution = preset.distribution.replace(num_patches=num_patches)
    with np.load(file) as arrays:
        projections, grams = arrays[f"{name} {method} projections"], arrays[f"{name} {method} gram"]
    milliseconds, errors = [], []
    for i in indices:
        begun = time.perf_counter()
        answer = accuracy_from_projections(projections[i], grams[i], distribution, preset.network)
        milliseconds.append((time.perf_counter() - begun) * 1e3)
        errors.append(answer.error_bound)
    return milliseconds, max(errors)


def time_alone(file: Path, name: str, method: str, num_patches: int) -> list[float]:
    """Milliseconds of the last record, as the first call of a fresh process; one number for every process."""
    command = [sys.executable, __file__, "--alone", str(file), name, method, str(num_patches)]
    return [float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(PROCESSES)]


def spread(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):6.1f} ({min(values):.1f}–{max(values):.1f})"


def main() -> None:
    """Time everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--alone", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        file, name, method, num_patches = arguments.alone
        print(time_records(Path(file), name, method, int(num_patches), [-1])[0][0])
        return
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder) / "histories.npz")
    print(f"{platform.machine()}, {os.cpu_count()} cores, {ROUNDS} batches a row, {PROCESSES} processes alone")
    if arguments.json:
        temporary = arguments.json.with_suffix(".part")
        temporary.write_text(json.dumps({"rows": rows}, indent=2), encoding="utf-8")
        temporary.replace(arguments.json)


def measure(file: Path) -> list[dict[str, object]]:
    """Train, time every preset, method and P, and print a row for each."""
    train_histories(file)
    print(f"{'':24} {'ms a record of 40: median (range)':>34} {'ms alone: median (range)':>28}  error bound")
    rows: list[dict[str, object]] = []
    for name in ("theorem", "figure"):
        for method in ("ERM", "Cutout", "CutMix"):
            for num_patches in PATCHES:
                batches = [time_records(file, name, method, num_patches, list(range(40))) for _ in range(ROUNDS)]
                means, bound = [statistics.mean(times) for times, _ in batches], batches[0][1]
                alone = time_alone(file, name, method, num_patches)
                label = f"{name} {method} P = {num_patches}"
                print(f"{label:24} {spread(means):>34} {spread(alone):>28}  {bound:.1e}", flush=True)
                rows.append({"case": label, "record_ms": means, "alone_ms": alone, "error_bound": bound})
    return rows


if __name__ == "__main__":
    main()
