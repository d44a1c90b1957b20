"""Intervals and tests over seeds, and over trained networks and test images at once.

**Networks and images.** A subgroup's comparison must answer: would another training, on other test images of the subgroup,
differ in the same way? The correctness of network s on image i is modelled as crossed random effects,
x_si = μ + a_i + b_s + e_si. The mean over all S networks and n images has the variance σ_a²/n + σ_b²/S + σ_e²/(nS). Images
alone as the sample miss b (a lucky seed), seeds alone miss a (lucky images), and the larger of the two p-values misses up to
half of the variance. So both count. With v_images = var_i(mean over networks)/n and v_networks = var_s(mean over images)/S,
whose expectations sum to that variance plus σ_e²/(nS), the interval at level 1 − α is

    mean ± √(t²_{n−1} v_images + t²_{S−1} v_networks),   t_f the two-sided α-quantile of Student's t with f degrees of freedom,

which holds the mean with probability at least 1 − α for normal effects, whatever the variances (Banerjee 1960); the p-value is the α
at which it touches 0. Pooled degrees of freedom (Satterthwaite) make it shorter, but measurements showed twice as many
rejections as stated, and five times at α = 0.005 with three networks, where σ_b matters and happens to look small.

Where all images agree both variances are 0 while the uncertainty is not. So a few answers that nobody gave are added first,
as Agresti & Coull (1998) do for a share (two right, two wrong) and Agresti & Min (2005) for a paired difference (one each way).

One network alone says nothing of others: its v_networks is taken for 0, and the interval is over images, for this very network.

The training set is fixed: nothing here speaks of other training sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize, special, stats

from augscope.support.values import check

LEVEL = 0.95
ROUNDING = 1e-12  # relative: shares k/n have differences that are equal but for the last digits

_SHARE = (1.0, 1.0, 0.0, 0.0)  # added answers, for a share
_DIFFERENCE = (1.0, -1.0)  # for a paired difference
_TINY = 1e-12  # smaller p-values are not computed

Variances = list[tuple[float, float]]  # estimated variances of a mean, each with its degrees of freedom


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
    mean, half = float(values.mean()), float("inf")
    if len(values) > 1:
        half = float(stats.t.isf((1 - level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Interval(mean, mean - half, mean + half)


def paired_difference(first: np.ndarray, second: np.ndarray, level: float = LEVEL) -> Difference:
    """The mean of `first − second` over seeds (entry s of both is the same seed), Student's t interval and test.

    Where all S differences are equal, up to rounding, their spread says nothing: the p-value is 1 for no difference, and
    otherwise 2^(1−S), the probability of S equal signs by chance. With one seed it is 1.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    differences, rounding = first - second, ROUNDING * max(np.abs(first).max(), np.abs(second).max())
    interval = mean_interval(differences, level)
    if len(differences) < 2:
        return Difference(*interval, 1.0)
    spread = differences.std(ddof=1)
    if spread <= rounding:
        return Difference(*interval, 1.0 if abs(interval.estimate) <= rounding else 2.0 ** (1 - len(differences)))
    p_value = 2 * stats.t.sf(abs(interval.estimate) * np.sqrt(len(differences)) / spread, len(differences) - 1)
    return Difference(*interval, float(p_value))


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values, same shape: rejecting those ≤ α makes one or more false claims with probability ≤ α."""
    p_values = np.asarray(p_values, float)
    flat = p_values.ravel()
    order = np.argsort(flat, kind="stable")
    steps = np.maximum.accumulate(flat[order] * np.arange(len(flat), 0, -1)) if len(flat) else flat
    adjusted = np.empty_like(flat)
    adjusted[order] = np.minimum(1, steps)
    return adjusted.reshape(p_values.shape)


def crossed_share(right: np.ndarray, level: float = LEVEL) -> Interval:
    """The share of right answers and its interval, for networks and images like these.

    Args:
        right: (S, n), 0 or 1 (or shares): network by image; n ≥ 1.
        level: of confidence.

    Raises:
        ValueError: without network or image.
    """
    right = _checked(right)
    mean, variances = _moments(right, _SHARE)
    return _around(float(right.mean()), mean, _half_width(variances, 1 - level), 0.0)


def given_share(right: np.ndarray, level: float = LEVEL) -> Interval:
    """The share of right answers on fixed images, such as the training images: only networks are a sample.

    Args and Raises as for `crossed_share`.
    """
    right = _checked(right)
    answers = right.size + len(_SHARE)
    mean = (float(right.sum()) + sum(_SHARE)) / answers
    variances = [(mean * (1 - mean) / answers, answers - 1.0), _over_networks(right.mean(axis=1))]
    return _around(float(right.mean()), mean, _half_width(variances, 1 - level), 0.0)


def crossed_difference(first: np.ndarray, second: np.ndarray, level: float = LEVEL) -> Difference:
    """The mean of `first − second`, paired by network and by image, its interval, and the p-value of there being none.

    Args:
        first, second: (S, n), correctness of two methods' networks on the same images; row s of both started alike.
        level: of confidence.

    Raises:
        ValueError: without network or image, or if shapes differ.

    Example:
        >>> import numpy as np
        >>> right, wrong = np.ones((5, 40)), np.zeros((5, 40))
        >>> difference = crossed_difference(right, wrong)
        >>> print(f"{difference.estimate:.2f} [{difference.low:.2f}, {difference.high:.2f}] {difference.p_value < 1e-6}")
        1.00 [0.86, 1.00] True
        >>> crossed_difference(right, right).p_value
        1.0
    """
    check(np.shape(first) == np.shape(second), f"shapes must be equal, got {np.shape(first)} and {np.shape(second)}")
    values = _checked(np.asarray(first, float) - np.asarray(second, float))
    mean, variances = _moments(values, _DIFFERENCE)
    interval = _around(float(values.mean()), mean, _half_width(variances, 1 - level), -1.0)
    return Difference(*interval, _p_value(abs(mean), variances))


def crossed_gap(first: np.ndarray, second: np.ndarray, level: float = LEVEL) -> Interval:
    """The mean of `first`, on fixed images, less that of `second`, on a sample of images: training less test accuracy.

    Args:
        first, second: (S, n) and (S, m), of the same networks.
        level: of confidence.

    Raises:
        ValueError: without network or image, or if networks are not the same.
    """
    first, second = _checked(first), _checked(second)
    check(len(first) == len(second), f"networks must be the same, got {len(first)} and {len(second)}")
    gaps = first.mean(axis=1) - second.mean(axis=1)
    test_mean, (images, _) = _moments(second, _SHARE)  # the answers on fixed images are known exactly
    half = _half_width([images, _over_networks(gaps)], 1 - level)
    return _around(float(gaps.mean()), float(first.mean()) - test_mean, half, -1.0)


def _checked(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, float)
    good = values.ndim == 2 and values.size > 0
    check(good, f"values must have shape (networks ≥ 1, images ≥ 1), got {values.shape}")
    return values


def _moments(values: np.ndarray, added: tuple[float, ...]) -> tuple[float, Variances]:
    """The mean with the added images, and its variance from images and from networks."""
    columns = np.broadcast_to(np.array(added), (len(values), len(added)))
    values = np.concatenate([values, columns], axis=1)
    images = values.shape[1]
    by_image = float(values.mean(axis=0).var(ddof=1)) / images
    return float(values.mean()), [(by_image, images - 1.0), _over_networks(values.mean(axis=1))]


def _over_networks(means: np.ndarray) -> tuple[float, float]:
    """The variance of a mean over networks, and its degrees of freedom; of one network, none is known."""
    if len(means) == 1:
        return 0.0, 1.0
    return float(means.var(ddof=1)) / len(means), len(means) - 1.0


def _half_width(variances: Variances, alpha: float) -> float:
    # `stdtrit` is what `stats.t.isf` computes, to the bit, a hundred times faster.
    squares = [variance * special.stdtrit(freedom, alpha / 2) ** 2 for variance, freedom in variances]
    return float(np.sqrt(sum(squares)))


def _p_value(distance: float, variances: Variances) -> float:
    """The α at which the interval's half width is the distance."""
    if _half_width(variances, _TINY) < distance:
        return _TINY
    if distance == 0:
        return 1.0
    low, high = np.log10(_TINY), 0.0  # of the exponent; the half width falls from one to the other
    exponent: Any = optimize.brentq(lambda power: _half_width(variances, 10**power) - distance, low, high, xtol=1e-10)
    return float(10**exponent)


def _around(estimate: float, mean: float, half: float, least: float) -> Interval:
    """The plain mean, with the interval around the other one between `least` and 1; it holds the estimate."""
    low, high = max(least, mean - half), min(1.0, mean + half)
    return Interval(estimate, min(low, estimate), max(high, estimate))
