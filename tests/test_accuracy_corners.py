"""Exact test accuracy in corners: filters nearly parallel, scales far apart, steep or sharp activations, against mpmath."""

from __future__ import annotations

from itertools import pairwise

import mpmath
import numpy as np
import pytest
from accuracy_cases import LINEAR, assert_agrees, make_distribution, make_gram, sampled

from augscope.accuracy import exact
from augscope.accuracy.exact import accuracy_from_projections, test_accuracy
from augscope.accuracy.gaussian import GaussianPair
from augscope.accuracy.patch import PatchLaw
from augscope.accuracy.quadrature import OUTSIDE, Coordinates, place_nodes
from augscope.model.network import Network

FEATURES = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
POINTS = 24  # of the reference's Gauss–Legendre rule; its panels are so small that every digit asked for is right


def exact_accuracy(gram, std, beta, r, score):
    """P[score + φ(Z_1) − φ(Z_2) > 0], Z ~ N(0, std² gram), in 30 digits: over the coordinate of smaller variance.

    The other one given it is normal, so the integrand is a density times a cdf that may be a step: panels shrink by halves towards
    every zero of its argument and every bend.
    """
    mpmath.mp.dps = 30
    beta, r, y = mpmath.mpf(beta), mpmath.mpf(r), -mpmath.mpf(score)
    entries = [[mpmath.mpf(float(value)) * mpmath.mpf(std) ** 2 for value in row] for row in gram]
    outer = 0 if entries[0][0] < entries[1][1] else 1
    own, other, cross = entries[outer][outer], entries[1 - outer][1 - outer], entries[0][1]
    scale, slope, narrow = mpmath.sqrt(own), cross / own, mpmath.sqrt((own * other - cross**2) / own)
    sign = 1 if outer == 1 else -1

    def phi(z):
        return beta * z if z <= 0 else z - (1 - beta) * r / 2 if z >= r else (1 - beta) * z * z / (2 * r) + beta * z

    def inverse(v):
        if v <= 0:
            return v / beta
        return v + (1 - beta) * r / 2 if v >= phi(r) else 2 * v / (beta + mpmath.sqrt(beta**2 + 2 * (1 - beta) * v / r))

    def gap(x):
        return inverse(phi(scale * x) + sign * y) - slope * scale * x

    bends = [z / scale for z in (mpmath.mpf(0), r, inverse(-sign * y), inverse(phi(r) - sign * y))]
    grid = sorted({mpmath.mpf(k) / 8 for k in range(-72, 73)} | {x for x in bends if abs(x) < 9})
    centers = list(bends)
    for left, right in pairwise(grid):
        low, high = gap(left), gap(right)
        if low * high < 0:
            for _ in range(90):
                middle = (left + right) / 2
                left, right = (middle, right) if gap(middle) * low > 0 else (left, middle)
            centers.append(left)
    halvings = [mpmath.mpf(2) ** -k for k in range(3, 80, 2)]
    edges = {side for x in centers for h in halvings for side in (x - h, x, x + h) if abs(side) < 9}
    edges = sorted(set(grid) | edges)
    nodes, weights = np.polynomial.legendre.leggauss(POINTS)  # 16 digits are enough for the tests below
    total = mpmath.mpf(0)
    for left, right in pairwise(edges):
        middle, half = (left + right) / 2, (right - left) / 2
        if min(abs(left), abs(right)) > 9 or half < mpmath.mpf(10) ** -24:
            continue
        ends = sign * gap(left) / narrow, sign * gap(right) / narrow
        if min(ends) > 12 or max(ends) < -12:  # 0 or 1 to 30 digits
            total += (mpmath.ncdf(right) - mpmath.ncdf(left)) * (ends[0] > 0)
            continue
        total += half * sum(
            w * mpmath.npdf(x) * mpmath.ncdf(sign * gap(x) / narrow)
            for w, x in ((w, middle + half * node) for w, node in zip(weights.tolist(), nodes.tolist(), strict=True))
        )
    return float(1 - total)


def corner(seed):
    """Norm ratios to 10⁵, 1 − |cos| to 1e-10, r and β from 0.001 to 1."""
    rng = np.random.default_rng(seed)
    ratio, gap = 10 ** rng.uniform(-5, 5), 10 ** rng.uniform(-10, 0)
    cosine = float(rng.choice([-1.0, 1.0])) * (1 - gap)
    gram = np.array([[1.0, cosine * ratio], [cosine * ratio, ratio**2]])
    beta, r = 10 ** rng.uniform(-3, 0, 2)
    std = 10 ** rng.uniform(-1, 1)
    score = float(rng.normal()) * std * max(1.0, ratio) * 10 ** rng.uniform(-3, 0)
    return gram, std, float(beta), float(r), score


def assert_within_bound(seed, num_patches=2):
    gram, std, beta, r, score = corner(seed)
    network = Network(negative_slope=beta, smoothing=r)
    weight = float(network.activation_inverse(np.array(score)))  # the feature's projection that gives this score
    distribution = make_distribution(num_patches, (1.0,), alpha=0.0, dominant=std)
    projections = np.array([[[weight], [0.0]], [[0.0], [0.0]]])
    answer = accuracy_from_projections(projections, gram, distribution, network)
    exact = exact_accuracy(gram, std, beta, r, float(network.activation(np.array(weight))))
    assert (
        abs(answer.per_feature[0, 0] - exact) <= answer.error_bound + 1e-15
    )  # 1e-15: the reference's weights and nodes
    assert answer.error_bound <= 1e-9


@pytest.mark.parametrize("seed", range(12))
def test_two_patches_in_a_corner(seed):
    assert_within_bound(seed)


@pytest.mark.slow
@pytest.mark.parametrize("hundred", range(10))
def test_two_patches_in_a_thousand_corners(hundred):
    for seed in range(100 * hundred, 100 * hundred + 100):
        assert_within_bound(seed)


def corner_of_more_patches(seed):
    """One corner with P from 3 to 16: its answer, and the arguments for `sampled`."""
    gram, std, beta, r, score = corner(seed)
    rng = np.random.default_rng(10_000 + seed)
    num_patches, background = int(rng.choice([3, 4, 8, 16])), std * 10 ** rng.uniform(-2, 0)
    distribution = make_distribution(num_patches, (1.0,), alpha=0.0, dominant=std, background=float(background))
    network = Network(negative_slope=beta, smoothing=r)
    weight = float(network.activation_inverse(np.array(score)))
    projections = np.array([[[weight], [0.0]], [[0.0], [weight]]])
    return accuracy_from_projections(projections, gram, distribution, network), projections, gram, distribution, network


@pytest.mark.parametrize("seed", range(6))
def test_more_patches_in_a_corner_agree_with_samples(seed):
    answer, *case = corner_of_more_patches(seed)
    assert answer.error_estimate <= 1e-5
    assert_agrees(answer, sampled(*case, 100_000, seed), 100_000)


@pytest.mark.parametrize("num_patches", [2, 3])
def test_filters_nearly_antiparallel_beside_a_sharp_bend(num_patches):
    """The accuracy is 0.50033963405 to 11 digits; what the background adds at σ_b = 1e-9 is below 1e-9."""
    gap = 1e-6
    residual = np.array([[400.0, -200 * (1 - gap)], [-200 * (1 - gap), 100.0]])
    distribution = make_distribution(num_patches, (1.0,), alpha=0.0, dominant=1.0, background=1e-9, dim=100)
    answer = test_accuracy(
        np.array([[0.01, 0.0], [0.0, 0.0]]),
        distribution,
        Network(negative_slope=0.1, smoothing=0.01),
        features=FEATURES,
        residual_gram=residual,
    )
    error = abs(answer.per_feature[0, 0] - 0.50033963405)
    assert error <= 5e-12 + answer.error_estimate + (1e-9 if num_patches == 3 else 0.0)
    assert answer.error_estimate <= 1e-9
    assert num_patches == 3 or answer.error_bound <= 1e-12


@pytest.mark.parametrize("difference", [1e-5, 1e-7, 1e-8])
def test_filters_that_nearly_agree_keep_their_difference(difference):
    """β = 1: P = Φ(score/(σ |w_1 − w_{−1}|)), which a Gram matrix in floating point loses."""
    rng = np.random.default_rng(1)
    first = rng.normal(size=7)
    second = first + difference * rng.normal(size=7)
    own = np.array([[0.3 * difference, 0.0], [0.0, 0.0]])
    weights = np.concatenate([own, np.stack([first, second])], axis=1)
    features = np.concatenate([FEATURES, np.zeros((2, 1, 7))], axis=2)
    distribution = make_distribution(2, (1.0,), alpha=0.0, dominant=1.0)
    answer = test_accuracy(weights, distribution, LINEAR, features=features, residual_gram=np.zeros((2, 2)))
    mpmath.mp.dps = 40
    squares = sum((mpmath.mpf(a) - mpmath.mpf(b)) ** 2 for a, b in zip(first.tolist(), second.tolist(), strict=True))
    exact = float(mpmath.ncdf(mpmath.mpf(float(0.3 * difference)) / mpmath.sqrt(squares)))
    assert abs(answer.per_feature[0, 0] - exact) <= answer.error_bound
    assert answer.error_bound <= 1e-14 / difference


@pytest.mark.parametrize("num_patches", [2, 3, 16])
def test_a_network_without_weights_is_right_about_nothing(num_patches):
    distribution = make_distribution(num_patches, (1.0,), dim=100)
    answer = test_accuracy(np.zeros((2, 2)), distribution, Network(), features=FEATURES, residual_gram=np.zeros((2, 2)))
    np.testing.assert_array_equal(answer.per_feature, 0.0)
    np.testing.assert_allclose(answer.tie_probability, 1.0, atol=1e-12)
    assert answer.overall == 0.0


def test_filters_of_very_different_norms_are_integrated_within_the_bound():
    """One rule for a whole piece of φ had 16,000 points here: 16 seconds, and 1e-9 off where the bound allowed 2e-10."""
    network = Network(negative_slope=0.297, smoothing=2.536)
    pair = GaussianPair.of(make_gram(3.207, 0.198, 0.62))
    coordinates = Coordinates.of([PatchLaw(pair, std, (0.0, 0.0), network=network) for std in (0.186, 1.774)])
    nodes = place_nodes(coordinates, 0.0, 25.4, 1e-11)
    for std in coordinates.std.ravel():
        mass = float(nodes.weight @ np.exp(-((nodes.z / std) ** 2) / 2)) / (std * np.sqrt(2 * np.pi))
        assert abs(mass - 1) <= nodes.error + OUTSIDE


def test_filters_of_very_different_norms_agree_with_tables(monkeypatch):
    network = Network(negative_slope=0.297, smoothing=2.536)
    distribution = make_distribution(8, (1.0,), alpha=0.0, dominant=1.774, background=0.186)
    case = np.array([[[2.05], [0.0]], [[0.0], [2.05]]]), make_gram(3.207, 0.198, 0.62), distribution, network
    answer = accuracy_from_projections(*case)
    assert answer.error_bound <= 1e-8
    monkeypatch.setattr(exact, "sum_by_frequencies", lambda *_: None)
    other = accuracy_from_projections(*case)
    assert np.isinf(other.error_bound)
    # 2.6e-12 apart, and 2e-9 when a rule of 16,000 points stood for a piece of φ.
    np.testing.assert_allclose(answer.per_feature, other.per_feature, rtol=0, atol=1e-10)
