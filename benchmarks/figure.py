"""All three methods at `presets.figure`: 10,000 exact float64 steps each, against straightforward PyTorch in the same run.

The reference does what one would write first: patch scores from dense patches (d = 2,000), every subset and every ordered pair
of points enumerated on the scores, gradients by autograd, full batch, float64. It is timed over a few steps and checked to give
the same loss. Run `make bench`; prints a table, and writes it as JSON with --json FILE.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import time
from itertools import combinations
from math import comb
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)

import augscope as ag  # noqa: E402

if TYPE_CHECKING:
    import torch  # imported late, so that the peak memory of our own part can be told apart

REFERENCE_STEPS = 7
THREADS = 2


def reference_loss(method: ag.Method, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The training loss with every subset and ordered pair written out."""
    import torch

    logistic = torch.nn.functional.softplus
    num_samples, num_patches = scores.shape
    if isinstance(method, ag.Erm):
        return logistic(-labels * scores.sum(1)).mean()
    if isinstance(method, ag.Cutout):
        kept = [list(set(range(num_patches)) - set(cut)) for cut in combinations(range(num_patches), method.num_cut)]
        return torch.stack([logistic(-labels * scores[:, keep].sum(1)).mean() for keep in kept]).mean()
    total = torch.zeros((), dtype=scores.dtype)
    for size in range(num_patches + 1):
        for subset in combinations(range(num_patches), size):
            inside = torch.zeros(num_patches, dtype=scores.dtype)
            inside[list(subset)] = 1
            mixed = (scores @ inside)[:, None] + (scores @ (1 - inside))[None, :]
            share = size / num_patches
            losses = share * logistic(-labels[:, None] * mixed) + (1 - share) * logistic(-labels[None, :] * mixed)
            total = total + losses.sum() / ((num_patches + 1) * comb(num_patches, size) * num_samples**2)
    return total


def reference_scores(weights: torch.Tensor, patches: torch.Tensor, network: ag.Network) -> torch.Tensor:
    """Patch scores from the weights, as in the paper."""
    import torch

    z = torch.einsum("sd,npd->snp", weights, patches)
    beta, r = network.negative_slope, network.smoothing
    inside = z.clamp(0, r)
    active = beta * z + (1 - beta) * (inside**2 / (2 * r) + (z - r).clamp(min=0))
    return active[0] - active[1]


def time_reference(method: ag.Method, dataset: ag.Dataset, preset: ag.Experiment) -> tuple[list[float], float]:
    """Seconds of each reference step, and the loss before the first."""
    import torch

    torch.set_num_threads(THREADS)
    weights = torch.tensor(np.asarray(dataset.initial_weights), requires_grad=True)
    patches = torch.tensor(np.asarray(dataset.patches))
    labels = torch.tensor(np.asarray(dataset.labels), dtype=torch.float64)
    seconds, first = [], float("nan")
    for step in range(REFERENCE_STEPS + 1):
        begun = time.perf_counter()
        loss = reference_loss(method, reference_scores(weights, patches, preset.network), labels)
        (gradient,) = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            weights -= preset.step_size * gradient
        if step == 0:
            first = float(loss.detach())  # warm-up, not timed
        else:
            seconds.append(time.perf_counter() - begun)
    return seconds, first


def time_ours(method: ag.Method, preset: ag.Experiment, dataset: ag.Dataset) -> dict[str, float]:
    """Time a method's full run, with compilation and 40 records, and again compiled, with one record."""
    begun = time.perf_counter()
    run = preset.run(method, dataset)
    whole = time.perf_counter() - begun
    bare = preset.replace(record_at=(0,))
    begun = time.perf_counter()
    bare.run(method, dataset)
    steps_alone = time.perf_counter() - begun
    return {"whole": whole, "steps": steps_alone, "accuracy": float(run.history.accuracy[-1])}


def peak_mib() -> float:
    """Peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Time everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    preset = ag.presets.figure
    dataset, dense = preset.sample(0), preset.replace(coordinates="dense", num_steps=1)
    rows = {method.title: time_ours(method, preset, dataset) for method in preset.methods}
    peak = peak_mib()
    print(
        f"{'method':8} {'whole run':>10} {'T steps':>9} {'a step':>10} {'PyTorch step: median (range)':>34} {'ratio':>7}  accuracy"
    )
    for method in preset.methods:
        row = rows[method.title]
        seconds, first = time_reference(method, dense.sample(0), preset)
        loss = dense.run(method, dense.sample(0)).history.loss[0]
        assert abs(loss - first) < 1e-12, "the reference computes another loss"
        reference, step = statistics.median(seconds), row["steps"] / preset.num_steps
        row |= {"step": step, "reference": reference, "ratio": reference / step}
        spread = f"{reference * 1e3:.2f} ms ({min(seconds) * 1e3:.2f}–{max(seconds) * 1e3:.2f})"
        print(
            f"{method.title:8} {row['whole']:8.2f} s {row['steps']:7.2f} s {step * 1e3:7.3f} ms {spread:>34} "
            f"{row['ratio']:7.1f}  {row['accuracy']:.4f}"
        )
    total = sum(row["steps"] for row in rows.values())
    print(f"three methods, {preset.num_steps:,} steps each: {total:.2f} s; peak memory {peak:.0f} MiB without PyTorch")
    print(f"{platform.machine()}, {THREADS} threads, float64, jax {jax.__version__}")
    if arguments.json:
        temporary = arguments.json.with_suffix(".part")
        temporary.write_text(
            json.dumps({"rows": rows, "total_seconds": total, "peak_mib": peak}, indent=2), encoding="utf-8"
        )
        temporary.replace(arguments.json)


if __name__ == "__main__":
    main()
