"""Exact test accuracy where its integrals degenerate: filters (nearly) parallel or equal, no noise, scales far apart."""

from __future__ import annotations

import numpy as np
import pytest
from accuracy_cases import LINEAR, NETWORK, assert_agrees, difference, make_distribution, make_gram, sampled
from scipy.special import ndtr, ndtri

from augscope.accuracy.exact import accuracy_from_projections, test_accuracy
from augscope.model.network import FunctionNetwork, Network


@pytest.mark.parametrize(("num_patches", "sides"), [
    (2, (1.3, 2.1)), (2, (1.3, 1.3)), (2, (1.0, 0.1)), (3, (1.3, 2.1)), (3, (1.3, 1.3)), (3, (1.0, 0.1)),
    (4, (1.0, 0.1)), (16, (1.3, 2.1)),
])  # fmt: skip
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("gap", [1e-4, 1e-8, 0.0])
def test_nearly_parallel_filters_agree_with_sampling(num_patches, sides, sign, gap):
    seed = num_patches
    distribution, gram = make_distribution(num_patches, (1.0,)), make_gram(*sides, sign * (1 - gap))
    projections = 0.3 * np.random.default_rng(seed).normal(size=(2, 2, 1))
    answer = accuracy_from_projections(projections, gram, distribution, NETWORK)
    assert answer.error_estimate <= 1e-6
    assert_agrees(answer, sampled(projections, gram, distribution, NETWORK, 100_000, seed), 100_000)


@pytest.mark.parametrize("num_patches", [2, 3, 16])
@pytest.mark.parametrize("sign", [1, -1])
def test_accuracy_is_continuous_at_singular_noise(num_patches, sign):
    distribution = make_distribution(num_patches)
    projections = 0.3 * np.random.default_rng(5).normal(size=(2, 2, 3))
    gaps = (1e-12, 1e-14, 0.0)
    answers = [
        accuracy_from_projections(projections, make_gram(1.0, 0.5, sign * (1 - g)), distribution, NETWORK) for g in gaps
    ]
    for near in answers[:-1]:
        # The filters differ from parallel ones by √(2 gap) ≤ 1.5e-6, relative to spreads of order 1.
        np.testing.assert_allclose(near.per_feature, answers[-1].per_feature, rtol=0, atol=2e-5)


@pytest.mark.parametrize(("num_patches", "correlation", "sides"), [
    (2, 1.0, (1.0, 0.5)), (2, -1.0, (1.0, 0.5)), (3, 1.0, (1.0, 0.5)), (3, -1.0, (1.0, 1.0)), (2, 1.0, (0.1, 1.0)),
])  # fmt: skip
def test_parallel_filters_against_a_sum_over_the_line(num_patches, correlation, sides):
    distribution, gram = make_distribution(num_patches, (1.0,), alpha=0.3), make_gram(*sides, correlation)
    projections = 0.3 * np.array([[[1.0], [-0.4]], [[-0.3], [0.8]]])
    answer = accuracy_from_projections(projections, gram, distribution, NETWORK)
    direction, fine = np.array([[sides[0]], [correlation * sides[1]]]), (np.arange(1_000_000) + 0.5) / 1_000_000
    quantiles = ndtri(fine)
    background = np.zeros(1)
    if num_patches == 3:
        background = difference(
            distribution.background_noise_std * direction * ndtri((np.arange(4000) + 0.5) / 4000), NETWORK
        )
    expected = np.zeros((2, 1))
    for u in range(2):
        mean = distribution.feature_noise * projections[:, u]
        dominant = np.sort(difference(mean + distribution.dominant_noise_std * direction * quantiles, NETWORK))
        scores = difference(projections, NETWORK)[:, 0]
        expected[0] += 1 - np.searchsorted(dominant, -scores[0] - background, side="right").mean() / len(fine)
        expected[1] += np.searchsorted(dominant, -scores[1] - background, side="left").mean() / len(fine)
    # Equal-probability midpoints: 1e-6 for the dominant patch, the coarser background grid adds a few 1e-7.
    np.testing.assert_allclose(answer.per_feature, expected / 2, rtol=0, atol=answer.error_estimate + 3e-6)


def test_no_noise_at_all_is_decided_exactly():
    distribution = make_distribution(5, (0.6, 0.4), alpha=1.0)
    # g(u) = ±1 for the two u; the features score 2, 1 (label +1) and −1, −3 (label −1).
    projections = np.array([[[2.0, 1.0], [-1.0, -3.0]], [[0.0, 0.0], [0.0, 0.0]]])
    answer = accuracy_from_projections(projections, np.zeros((2, 2)), distribution, LINEAR)
    # f = score + (2 or −1): label +1: 4, 1 and 3, 0; label −1: 1, −2 and −1, −4.
    np.testing.assert_array_equal(answer.per_feature, [[1.0, 0.5], [0.5, 1.0]])
    np.testing.assert_array_equal(answer.tie_probability, [[0.0, 0.5], [0.0, 0.0]])
    assert answer.error_bound <= 1e-12


@pytest.mark.parametrize("num_patches", [2, 3])
def test_no_noise_is_decided_for_an_activation_of_ones_own_too(num_patches):
    own, distribution = FunctionNetwork(function=lambda z: 1.0 * z), make_distribution(num_patches, (1.0,), alpha=0.0)
    for projections in (np.zeros((2, 2, 1)), np.random.default_rng(0).normal(size=(2, 2, 1))):
        answer, known = (
            accuracy_from_projections(projections, np.zeros((2, 2)), distribution, network) for network in (own, LINEAR)
        )
        np.testing.assert_array_equal(answer.per_feature, known.per_feature)
        np.testing.assert_array_equal(answer.tie_probability, known.tie_probability)


@pytest.mark.parametrize("num_patches", [2, 3, 16])
@pytest.mark.parametrize("seed", range(3))
def test_equal_filters_always_tie(num_patches, seed):
    rng = np.random.default_rng(seed)
    distribution = make_distribution(num_patches, dim=40)
    features = np.linalg.qr(rng.normal(size=(40, 6)))[0].T.reshape(2, 3, 40)
    weights = np.tile(rng.normal(size=40), (2, 1))
    answer = test_accuracy(weights, distribution, NETWORK, features=features, residual_gram=np.full((2, 2), 0.3))
    np.testing.assert_array_equal(answer.per_feature, 0.0)
    np.testing.assert_allclose(answer.tie_probability, 1.0, atol=1e-12)
    assert answer.overall == 0.0


def test_a_flat_piece_of_parallel_filters_ties():
    # Equal noise parts p = q and means 5 r apart in z: g is flat where both lie in one linear piece of φ.
    distribution = make_distribution(2, (1.0,), alpha=1.0, dominant=1.0)
    projections = np.array([[[-2.0], [0.0]], [[-3.0], [0.0]]])
    answer = accuracy_from_projections(projections, np.ones((2, 2)), distribution, NETWORK)
    # Given u = v_{+1,1}: D = φ(−2+x) − φ(−3+x) = 0.1 for x ≤ 2; the label −1 feature scores 0, label +1's scores 0.1.
    assert answer.per_feature[0, 0] == pytest.approx(1 / 2 + 1 / 2, abs=answer.error_bound)
    # Given u = v_{−1,1}: D ≡ 0: f = 0 always for label −1's feature.
    assert answer.tie_probability[1, 0] == pytest.approx(0.5, abs=1e-12)
    # A feature of score −0.1 ties on that flat piece.
    projections = np.array([[[-2.0], [-1.0]], [[-3.0], [0.0]]])
    answer = accuracy_from_projections(projections, np.ones((2, 2)), distribution, NETWORK)
    # u = v_{+1,1}: D = 0.1 with probability Φ(2) and more otherwise; u = v_{−1,1}: D ≤ −0.1: never a tie with +0.1.
    assert answer.tie_probability[1, 0] == pytest.approx(ndtr(2) / 2, abs=1e-12)
    assert answer.per_feature[1, 0] == pytest.approx(1 / 2, abs=answer.error_bound)
    # Beside its flat piece D rises quadratically: rounding of the threshold by ε moves the answer by √ε.
    assert answer.error_bound <= 1e-6


@pytest.mark.parametrize("num_patches", [2, 3, 4])
@pytest.mark.parametrize("scale", [1e-8, 1e6])
def test_scale_is_only_relative_to_the_activation(num_patches, scale):
    # φ with smoothing r is positively homogeneous in (z, r): scaling weights and r together changes nothing.
    distribution, gram = make_distribution(num_patches), make_gram(1.3, 2.1, 0.4)
    projections = 0.3 * np.random.default_rng(2).normal(size=(2, 2, 3))
    plain = accuracy_from_projections(projections, gram, distribution, NETWORK)
    scaled_network = Network(negative_slope=0.1, smoothing=scale)
    scaled = accuracy_from_projections(projections * scale, gram * scale**2, distribution, scaled_network)
    np.testing.assert_allclose(
        scaled.per_feature, plain.per_feature, rtol=0, atol=plain.error_estimate + scaled.error_estimate
    )


@pytest.mark.parametrize("num_patches", [2, 3, 4])
@pytest.mark.parametrize("dominant", [1e-8, 1e6])
def test_tiny_and_huge_dominant_noise(num_patches, dominant):
    distribution = make_distribution(num_patches, (1.0,), dominant=dominant)
    projections = 0.3 * np.random.default_rng(2).normal(size=(2, 2, 1))
    answer = accuracy_from_projections(projections, make_gram(1.3, 2.1, 0.4), distribution, NETWORK)
    assert answer.error_estimate <= 1e-6
    assert_agrees(answer, sampled(projections, make_gram(1.3, 2.1, 0.4), distribution, NETWORK, 100_000, 0), 100_000)
