"""Exact test accuracy: milliseconds a call alone and a record in a batch of 40, with the certified error, at P = 3, 8 and 16.

The weights are those of 2,000 steps of every method at both presets (P = 3), 40 records each; P = 8 and 16 use the same
weights with more background patches. "Alone" is the first record computed in a fresh process after import.

    python benchmarks/accuracy.py 500

times that many random cases of ordinary and of extreme scales, which nobody trained; without a number, see `bench.py`.
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


def time_random_cases(count: int) -> None:
    """Time cases whose norms, noises and bends are drawn at random, and print how many have a proved bound."""
    from augscope.accuracy.exact import accuracy_from_projections
    from augscope.model.distribution import FeatureNoise
    from augscope.model.network import Network

    rng = np.random.default_rng(0)
    for label, patches, decades, slopes, bends in (
        ("ordinary", (3, 4, 8, 16), 1, (-1.3, 0), (-1, 0.5)),
        ("extreme", (3, 8, 32, 64, 256), 2, (-3, 0), (-3, 0.5)),
    ):
        took, proved, estimates = [], 0, []
        for _ in range(count):
            norms, cosine = 10 ** rng.uniform(-decades, decades, 2), rng.uniform(-0.97, 0.97)
            network = Network(negative_slope=10 ** rng.uniform(*slopes), smoothing=10 ** rng.uniform(*bends))
            dominant = rng.uniform(0.5, 3)
            distribution = FeatureNoise(
                num_patches=int(rng.choice(patches)),
                frequencies=(1.0,),
                dominant_noise_std=dominant,
                background_noise_std=dominant * 10 ** rng.uniform(-1 - decades, 0),
                feature_noise=0.0,
                dim=3000,
            )
            cross = cosine * norms[0] * norms[1]
            gram = np.array([[norms[0] ** 2, cross], [cross, norms[1] ** 2]])
            projections = rng.uniform(0, 3) * np.eye(2)[:, :, None]
            begun = time.perf_counter()
            answer = accuracy_from_projections(projections, gram, distribution, network)
            took.append(time.perf_counter() - begun)
            proved += bool(np.isfinite(answer.error_bound))
            estimates.append(answer.error_estimate)
        middle, most, longest = np.percentile(took, [50, 99, 100]) * 1e3
        print(
            f"{count} {label} cases: the median {middle:.0f} ms, 99 % below {most:.0f} ms, the longest {longest:.0f} ms; "
            f"{proved / count:.0%} proved, errors at most {max(estimates):.0e}",
            flush=True,
        )


if __name__ == "__main__" and len(sys.argv) == 2:
    time_random_cases(int(sys.argv[1]))
elif __name__ == "__main__":
    _, alone, kept, preset_name, method_title, patches = sys.argv  # how `time_alone` calls this file
    print(time_records(Path(kept), preset_name, method_title, int(patches), [-1])[0][0])
