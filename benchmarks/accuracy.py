"""Exact test accuracy: milliseconds a call alone and a record in a batch of 40, with the certified error, at P = 3, 8 and 16.

The weights are those of 2,000 steps of every method at both presets (P = 3), 40 records each; P = 8 and 16 use the same
weights with more background patches. "Alone" is the first record computed in a fresh process after import.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from harness import Figure, figure

PATCHES = (3, 8, 16)
NUM_STEPS, ROUNDS, PROCESSES = 2_000, 5, 3


def train_histories(file: Path) -> None:
    """Write the few numbers that test accuracy depends on, for every preset, method and record."""
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
    from augscope.accuracy.exact import accuracy_from_projections

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


def figures() -> list[Figure]:
    """Train, and time every preset, method and P."""
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "histories.npz"
        train_histories(file)
        for name in ("theorem", "figure"):
            for method in ("ERM", "Cutout", "CutMix"):
                for num_patches in PATCHES:
                    batches = [time_records(file, name, method, num_patches, list(range(40))) for _ in range(ROUNDS)]
                    label, bar = f"{name} {method} P = {num_patches}", 3 if num_patches == 3 else None
                    means = [statistics.mean(times) for times, _ in batches]
                    found += [
                        figure(f"{label}: a record of 40", means, "ms", at_most=bar),
                        figure(f"{label}: alone", time_alone(file, name, method, num_patches), "ms", at_most=50),
                        figure(f"{label}: error bound", [batches[0][1]], at_most=1e-8),
                    ]
    return found


if __name__ == "__main__":
    _, alone, kept, preset_name, method_title, patches = sys.argv  # how `time_alone` calls this file
    print(time_records(Path(kept), preset_name, method_title, int(patches), [-1])[0][0])
