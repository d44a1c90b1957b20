"""Intervals over trained networks and test images at once: both are a sample, and each image is seen by every network.

What is asked of a comparison on a subgroup is: would another training, on other test images of the subgroup, differ the
same way? Correctness of network s on image i is modelled as crossed random effects, x_si = μ + a_i + b_s + e_si. The mean
over all S networks and n images has variance σ_a²/n + σ_b²/S + σ_e²/(nS). Treating the images as the only sample misses b (a
lucky seed), treating the seeds as the only one misses a (lucky images), and the larger of the two p-values misses up to half
of the variance. So both count. With v_images = var_i(mean over networks)/n and v_networks = var_s(mean over images)/S,
whose expectations sum to the variance and σ_e²/(nS) more, the interval at level 1 − α is

    mean ± √(t²_{n−1} v_images + t²_{S−1} v_networks),   t_f the two-sided α-quantile of Student's t with f degrees of freedom,

which holds the mean with probability at least 1 − α for normal effects, whatever the variances (Banerjee 1960); the p-value is the α
at which it touches 0. Pooling the degrees of freedom as Satterthwaite does is shorter and was found to reject up to twice,
at α = 0.005 with three networks five times, as often as it says where σ_b matters and happens to look small.

Where all images agree both variances are 0 while the uncertainty is not; so images that nobody took are added before all else,
as Agresti & Coull (1998) do for a share (two right, two wrong) and Agresti & Min (2005) for a paired difference (one each way).

The training set is fixed: nothing here speaks of other training sets.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import optimize, special

from augscope.support.statistics import LEVEL, Difference, Interval
from augscope.support.values import check

_SHARE = (1.0, 1.0, 0.0, 0.0)  # images that nobody took
_DIFFERENCE = (1.0, -1.0)
_TINY = 1e-12  # the least p-value that is told from 0

Variances = list[tuple[float, float]]  # estimated variances of a mean, each with its degrees of freedom


def crossed_share(right: np.ndarray, level: float = LEVEL) -> Interval:
    """The share of right answers and its interval, for networks and images like these.

    Args:
        right: (S, n), 0 or 1 (or shares): network by image; S ≥ 2, n ≥ 1.
        level: of confidence.

    Raises:
        ValueError: with fewer than two networks, or no image.
    """
    right = _checked(right)
    mean, variances = _moments(right, _SHARE)
    return _around(float(right.mean()), mean, _half_width(variances, 1 - level), 0.0)


def given_share(right: np.ndarray, level: float = LEVEL) -> Interval:
    """The share of right answers on images that are given, such as the training images: only networks are a sample.

    Args:
        right: (S, n), as in `crossed_share`.
        level: of confidence.
    """
    right = _checked(right)
    mean, variances = _given_moments(right)
    return _around(float(right.mean()), mean, _half_width(variances, 1 - level), 0.0)


def crossed_difference(first: np.ndarray, second: np.ndarray, level: float = LEVEL) -> Difference:
    """The mean of `first − second`, paired by network and by image, its interval, and the p-value of there being none.

    Args:
        first, second: (S, n), correctness of two methods' networks on the same images; row s of both began alike.
        level: of confidence.

    Raises:
        ValueError: with fewer than two networks, no image, or shapes that differ.

    Example:
        >>> import numpy as np
        >>> right, wrong = np.ones((5, 40)), np.zeros((5, 40))
        >>> found = crossed_difference(right, wrong)
        >>> print(f"{found.estimate:.2f} [{found.low:.2f}, {found.high:.2f}] {found.p_value < 1e-6}")
        1.00 [0.86, 1.00] True
        >>> crossed_difference(right, right).p_value
        1.0
    """
    check(np.shape(first) == np.shape(second), f"shapes must be equal, got {np.shape(first)} and {np.shape(second)}")
    values = _checked(np.asarray(first, float) - np.asarray(second, float))
    mean, variances = _moments(values, _DIFFERENCE)
    found = _around(float(values.mean()), mean, _half_width(variances, 1 - level), -1.0)
    return Difference(*found, _p_value(abs(mean), variances))


def crossed_gap(first: np.ndarray, second: np.ndarray, level: float = LEVEL) -> Interval:
    """The mean of `first`, on given images, less that of `second`, on a sample of images: training less test accuracy.

    Args:
        first, second: (S, n) and (S, m), of the same networks.
        level: of confidence.

    Raises:
        ValueError: with fewer than two networks, or not the same, or no image.
    """
    first, second = _checked(first), _checked(second)
    check(len(first) == len(second), f"networks must be the same, got {len(first)} and {len(second)}")
    networks = first.mean(axis=1) - second.mean(axis=1)
    there, (images, _) = _moments(second, _SHARE)  # what each network answers on given images is known exactly
    between = (float(networks.var(ddof=1)) / len(networks), len(networks) - 1.0)
    half = _half_width([images, between], 1 - level)
    return _around(float(networks.mean()), float(first.mean()) - there, half, -1.0)


def _checked(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, float)
    good = values.ndim == 2 and values.shape[0] >= 2 and values.shape[1] >= 1
    check(good, f"values must have shape (networks ≥ 2, images ≥ 1), got {values.shape}")
    return values


def _moments(values: np.ndarray, added: tuple[float, ...]) -> tuple[float, Variances]:
    """The mean with the added images, and its variance from images and from networks."""
    columns = np.broadcast_to(np.array(added), (len(values), len(added)))
    values = np.concatenate([values, columns], axis=1)
    networks, images = values.shape
    by_image = float(values.mean(axis=0).var(ddof=1)) / images
    by_network = float(values.mean(axis=1).var(ddof=1)) / networks
    return float(values.mean()), [(by_image, images - 1.0), (by_network, networks - 1.0)]


def _given_moments(values: np.ndarray) -> tuple[float, Variances]:
    """The mean with the added answers, and its variance from single answers and from networks."""
    networks, answers = len(values), values.size + len(_SHARE)
    mean = (float(values.sum()) + sum(_SHARE)) / answers
    by_network = float(values.mean(axis=1).var(ddof=1)) / networks
    return mean, [(mean * (1 - mean) / answers, answers - 1.0), (by_network, networks - 1.0)]


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
