"""The tests behind a certificate; each returns a p-value: exact bounds, but for `normal_test` and `group_test`, which are large-sample."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

MANY = 20_000  # trials


def cdf_test(samples: np.ndarray, cdf: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float]:
    """Distance of an empirical cdf from a law's, and the bound 2 exp(−2nD²) on its p-value (Dvoretzky–Kiefer–Wolfowitz–Massart).

    The bound holds at every n, for discrete laws too. Laws and samples that share a lattice are compared on it.
    """
    values = np.sort(samples)
    if not len(values):
        return 0.0, 1.0
    count = len(values)
    points = np.unique(values)
    upto = np.searchsorted(values, points, side="right") / count
    before = np.searchsorted(values, points, side="left") / count
    distance = max(np.abs(upto - cdf(points)).max(), np.abs(before - cdf(points - 1e-6)).max())
    return float(distance), float(min(1.0, 2 * np.exp(-2 * count * distance**2)))


def binomial_test(successes: np.ndarray | int, trials: int, probability: np.ndarray | float) -> float:
    """The least two-sided exact p-value of many counts, times their number (Bonferroni)."""
    successes, probability = np.broadcast_arrays(np.atleast_1d(successes), np.clip(probability, 0, 1))
    low = stats.binom.cdf(successes, trials, probability)
    high = stats.binom.sf(successes - 1, trials, probability)
    least = np.minimum(1, 2 * np.minimum(low, high)).min()
    return float(min(1.0, least * successes.size))


def binomial_tail(successes: int, trials: int, probability: float) -> float:
    """One-sided exact p-value of a count that is too large."""
    return float(stats.binom.sf(successes - 1, trials, min(max(probability, 0.0), 1.0)))


def mixed_binomial_test(successes: int, trials: np.ndarray, probabilities: np.ndarray) -> float:
    """Two-sided exact p-value of a count of successes in groups of trials, each group with a probability of its own.

    Cost: the square of the number of trials, at worst; from `MANY` trials on, the sum is taken as normal.
    """
    mean, variance = float(trials @ probabilities), float(trials @ (probabilities * (1 - probabilities)))
    if trials.sum() > MANY:
        return normal_test(successes, mean, variance)
    law = np.ones(1)
    for count, probability in zip(trials, probabilities, strict=True):
        law = np.convolve(law, stats.binom.pmf(np.arange(count + 1), count, probability))
    return float(min(1.0, 2 * min(law[: successes + 1].sum(), law[successes:].sum())))


def normal_test(count: float, mean: float, variance: float) -> float:
    """Two-sided p-value of a sum that is normal to good accuracy."""
    return float(2 * stats.norm.sf(abs(count - mean) / np.sqrt(variance))) if variance > 0 else float(count == mean)


def uniform_test(counts: np.ndarray) -> float:
    """p-value that all categories are equally likely: of the count that is least so, exact, times their number.

    Pearson's χ² is small too often where counts are: at 20 a category 1.2 times, and at 2 a category 2.4 times as often as 8e-5.
    """
    return binomial_test(counts, int(counts.sum()), 1 / len(counts))


def group_test(values: np.ndarray, included: np.ndarray) -> float:
    """One-sided F test that the rows of (R, N) have one mean; entries that are not included do not count."""
    counts = included.sum(axis=1)
    values, included, counts = values[counts > 0], included[counts > 0], counts[counts > 0]
    groups, total = len(counts), counts.sum()
    if groups < 2 or total <= groups:
        return 1.0
    means = np.where(included, values, 0).sum(axis=1) / counts
    mean = (means * counts).sum() / total
    between = (counts * (means - mean) ** 2).sum() / (groups - 1)
    within = np.where(included, (values - means[:, None]) ** 2, 0).sum() / (total - groups)
    if within <= 1e-15:
        return 1.0 if between <= 1e-15 else 0.0
    return float(stats.f.sf(between / within, groups - 1, total - groups))
