"""How the time of a CutMix gradient grows with n, and a step's with d; and the error where enumeration can still tell."""

from __future__ import annotations

import jax
import numpy as np
from harness import Figure, figure, seconds
from step import ours

import augscope as ag

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000)
ENUMERATED = (300, 1_000, 3_000)
SLOPE = 1.1
ERROR = 1e-12  # of 1/n, per gradient entry


def drawn(num_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of standard deviation 2 at P = 3, and labels: the same for every size up to its length."""
    rng = np.random.default_rng(0)
    return 2 * rng.normal(size=(num_samples, 3)), np.where(rng.random(num_samples) < 0.5, 1, -1)


def gradient_error(num_samples: int) -> float:
    """Return the largest error of a gradient entry against every ordered pair, in units of 1/n.

    The pairs are summed point by point in NumPy, as a table of all does not fit at n = 3,000.
    """
    scores, labels = drawn(num_samples)
    found = np.asarray(ag.CutMix().loss_and_gradient(scores, labels)[1])
    exact = np.zeros_like(scores)
    for size in range(4):
        for subset in _subsets(3, size):
            inside, share = np.isin(np.arange(3), subset).astype(float), size / 3
            rows, columns = scores @ inside, scores @ (1 - inside)
            law = 1 / (4 * len(_subsets(3, size)))
            for i in range(num_samples):
                mixed = rows[i] + columns
                own = -labels[i] / (1 + np.exp(labels[i] * mixed))
                other = -labels / (1 + np.exp(labels * mixed))
                slope = law * (share * own + (1 - share) * other)
                exact[i] += inside * slope.sum()
                exact += np.outer(slope, 1 - inside)
    return float(np.abs(found - exact / num_samples**2).max() * num_samples)


def _subsets(num_patches: int, size: int) -> list[tuple[int, ...]]:
    from itertools import combinations

    return list(combinations(range(num_patches), size))


def figures() -> list[Figure]:
    """Time gradients for every n, fit the slope, check errors, and compare d = 10⁹ with d = 2,000."""
    found, medians = [], []
    for count in SIZES:
        scores, labels = drawn(count)
        scores, labels = jax.numpy.asarray(scores), jax.numpy.asarray(labels)
        inside = max(1, 30_000 // count)
        times = seconds(
            lambda a=scores, b=labels: jax.block_until_ready(ag.CutMix().loss_and_gradient(a, b)), 5, inside
        )
        medians.append(sorted(times)[len(times) // 2])
        found.append(figure(f"CutMix gradient, n = {count:,}", [1e3 * value for value in times], "ms"))
    slope = float(np.polyfit(np.log(SIZES), np.log(medians), 1)[0])
    found.append(figure("log–log slope in n", [slope], at_most=SLOPE))
    for count in ENUMERATED:
        found.append(figure(f"error of an entry, n = {count:,}, in 1/n", [gradient_error(count)], at_most=ERROR))
    preset = ag.presets.figure
    small = ours(preset, ag.CutMix())
    shrink = (preset.distribution.dim / 1e9) ** 0.5  # so that σ²d, and with it every score, is the same
    stds = {
        name: shrink * getattr(preset.distribution, name) for name in ("dominant_noise_std", "background_noise_std")
    }
    large = ours(preset.replace(distribution=preset.distribution.replace(dim=10**9, **stds)), ag.CutMix())
    found.append(figure("step at d = 10⁹ over step at d = 2,000", [sorted(large)[3] / sorted(small)[3]], at_most=1.1))
    return found
