"""Intervals and tests over seeds: means, shares, paired differences, and Holm's correction for many of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from augscope.support.values import check

LEVEL = 0.95
ROUNDING = 1e-12  # relative: shares k/n have differences that are equal but for the last digits


class Interval(NamedTuple):
    """An estimate with a two-sided confidence interval."""

    estimate: float
    low: float
    high: float


class Difference(NamedTuple):
    """A paired difference: its mean and interval, and the two-sided p-value of there being none."""

    estimate: float
    low: float
    high: float
    p_value: float


def clopper_pearson(successes: int, trials: int) -> tuple[float, float]:
    """Return the exact two-sided 95 % interval of a share: it covers at least as often, at any number of trials.

    Raises:
        ValueError: unless 0 ≤ successes ≤ trials.

    Example:
        >>> from augscope.support.statistics import clopper_pearson
        >>> [round(end, 4) for end in clopper_pearson(8, 8)]
        [0.6306, 1.0]
    """
    check(0 <= successes <= trials, f"`successes` must be in [0, trials], got {successes} of {trials}")
    if trials == 0:
        return 0.0, 1.0
    tail = (1 - LEVEL) / 2
    low = float(stats.beta.ppf(tail, successes, trials - successes + 1)) if successes else 0.0
    high = float(stats.beta.ppf(1 - tail, successes + 1, trials - successes)) if successes < trials else 1.0
    return low, high


def mean_interval(values: Sequence[float] | np.ndarray, level: float = LEVEL) -> Interval:
    """Student's t interval of a mean over seeds; with one value, an interval without bounds."""
    values = np.asarray(values, float)
    mean, half = float(values.mean()), _half_width(values, level)
    return Interval(mean, mean - half, mean + half)


def paired_difference(first: np.ndarray, second: np.ndarray, level: float = LEVEL) -> Difference:
    """The mean of `first − second` over seeds (the same seed in the same place), Student's t interval and test.

    Where all S differences are equal, up to rounding, their spread tells nothing: the p-value is 1 for no difference, and
    otherwise 2^(1−S), that of all signs being alike by chance. With one seed it is 1.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    differences, rounding = first - second, ROUNDING * max(np.abs(first).max(), np.abs(second).max())
    found = mean_interval(differences, level)
    if len(differences) < 2:
        return Difference(*found, 1.0)
    spread = differences.std(ddof=1)
    if spread <= rounding:
        return Difference(*found, 1.0 if abs(found.estimate) <= rounding else 2.0 ** (1 - len(differences)))
    p_value = 2 * stats.t.sf(abs(found.estimate) * np.sqrt(len(differences)) / spread, len(differences) - 1)
    return Difference(*found, float(p_value))


def _half_width(values: np.ndarray, level: float) -> float:
    if len(values) < 2:
        return float("inf")
    return float(stats.t.isf((1 - level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values, same shape: rejecting those ≤ α makes one or more false claims with probability ≤ α."""
    p_values = np.asarray(p_values, float)
    flat = p_values.ravel()
    order = np.argsort(flat, kind="stable")
    steps = np.maximum.accumulate(flat[order] * np.arange(len(flat), 0, -1)) if len(flat) else flat
    adjusted = np.empty_like(flat)
    adjusted[order] = np.minimum(1, steps)
    return adjusted.reshape(p_values.shape)
