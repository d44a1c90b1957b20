"""Exact test accuracy against closed forms, sampling and independent quadrature, singular noise included."""

from __future__ import annotations

from types import SimpleNamespace

import mpmath
import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from augscope.accuracy import TestAccuracy, accuracy_from_projections, test_accuracy
from augscope.distribution import FeatureNoise
from augscope.network import Network

NETWORK = Network(negative_slope=0.1, smoothing=1.0)
LINEAR = Network(negative_slope=1.0, smoothing=1.0)


def make_distribution(num_patches, frequencies=(0.8, 0.15, 0.05), alpha=0.1, dominant=0.25, background=0.15, dim=2000):
    return FeatureNoise(
        dim=dim,
        num_patches=num_patches,
        frequencies=frequencies,
        feature_noise=alpha,
        dominant_noise_std=dominant,
        background_noise_std=background,
    )


def make_gram(first, second, correlation):
    cross = correlation * first * second
    return np.array([[first**2, cross], [cross, second**2]])


def phi(z, network):
    """φ written out by cases from model.md §3."""
    beta, r = network.negative_slope, network.smoothing
    bent = (1 - beta) * z**2 / (2 * r) + beta * z
    return np.where(z <= 0, beta * z, np.where(z >= r, z - (1 - beta) * r / 2, bent))


def difference(pair, network):
    return phi(pair[0], network) - phi(pair[1], network)


def root_of(gram):
    values, vectors = np.linalg.eigh(gram)
    return vectors * np.sqrt(np.maximum(values, 0))


def sampled(projections, gram, distribution, network, count, seed):
    """Estimate the accuracies by sampling the scalar model: (2, K) and its number of samples."""
    rng, root = np.random.default_rng(seed), root_of(gram)
    correct, chunk = np.zeros(projections.shape[1:]), 250_000
    scores = difference(projections, network)
    for _ in range(count // chunk):
        u = rng.integers(2, size=chunk)
        mean = distribution.feature_noise * projections[:, u, 0]
        total = difference(mean + distribution.dominant_noise_std * (root @ rng.standard_normal((2, chunk))), network)
        for _ in range(distribution.num_patches - 2):
            total += difference(distribution.background_noise_std * (root @ rng.standard_normal((2, chunk))), network)
        total.sort()
        correct[0] += chunk - np.searchsorted(total, -scores[0], side="right")
        correct[1] += np.searchsorted(total, -scores[1], side="left")
    return correct / count


def assert_agrees(answer: TestAccuracy, estimate, count):
    # Five standard deviations: a false alarm of 6e-7 an entry, under 1e-4 for all entries of this file together.
    slack = 5 * np.sqrt(np.maximum(answer.per_feature * (1 - answer.per_feature), 1 / count) / count) + 1 / count
    np.testing.assert_array_less(np.abs(answer.per_feature - estimate), slack + answer.error_bound)


def random_case(seed):
    rng = np.random.default_rng(seed)
    num_features = int(rng.integers(1, 4))
    num_patches = int(rng.choice([2, 3, 3, 4, 5, 8, 16], p=[0.15, 0.25, 0.2, 0.2, 0.1, 0.07, 0.03]))
    distribution = make_distribution(
        num_patches,
        frequencies=(1 / num_features,) * num_features,
        alpha=float(rng.choice([0.0, 0.1, 1.0])),
        dominant=float(10 ** rng.uniform(-1.5, 0.5)),
        background=float(10 ** rng.uniform(-1.5, 0.5)),
    )
    network = Network(
        negative_slope=float(rng.choice([0.01, 0.1, 0.5, 1.0])), smoothing=float(10 ** rng.uniform(-1, 1))
    )
    spread = np.hypot(distribution.dominant_noise_std, np.sqrt(num_patches) * distribution.background_noise_std)
    projections = spread * 10 ** rng.uniform(-0.5, 0.7) * rng.normal(size=(2, 2, num_features))
    weights = 10 ** rng.uniform(-0.3, 0.3) * rng.normal(size=(2, int(rng.integers(2, 6))))
    return projections, weights @ weights.T, distribution, network


@pytest.mark.parametrize("seed", range(32))
def test_scalar_sampling_agrees(seed):
    projections, gram, distribution, network = random_case(seed)
    answer = accuracy_from_projections(projections, gram, distribution, network)
    assert answer.error_bound <= 1e-6
    assert_agrees(answer, sampled(projections, gram, distribution, network, 1_000_000, seed), 1_000_000)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(32))
def test_scalar_sampling_agrees_closely(seed):
    projections, gram, distribution, network = random_case(seed)
    answer = accuracy_from_projections(projections, gram, distribution, network)
    assert_agrees(answer, sampled(projections, gram, distribution, network, 10_000_000, seed + 1000), 10_000_000)


def sampled_patches(weights, features, distribution, network, count, rng):
    """Estimate the accuracies by drawing whole points, patch by patch, from model.md §2."""
    num_features, dim = features.shape[1:]
    flat = features.reshape(-1, dim)
    estimate = np.zeros((2, num_features))
    for label in range(2):
        for k in range(num_features):
            patches = rng.standard_normal((count, distribution.num_patches, dim))
            patches -= (patches @ flat.T) @ flat
            patches *= distribution.background_noise_std
            patches[:, 1] *= distribution.dominant_noise_std / distribution.background_noise_std
            patches[:, 1] += distribution.feature_noise * features[rng.integers(2, size=count), 0]
            patches[:, 0] = features[label, k]
            f = difference(np.moveaxis(patches @ weights.T, -1, 0), network).sum(axis=1)
            estimate[label, k] = np.mean((1 - 2 * label) * f > 0)
    return estimate


@pytest.mark.parametrize("seed", range(8))
def test_patch_sampling_agrees(seed):
    rng, count = np.random.default_rng(seed), 50_000
    dim = int(rng.integers(5, 9))
    distribution = make_distribution(
        2 + seed % 4, frequencies=(0.7, 0.3), alpha=0.5, dominant=0.6, background=0.4, dim=dim
    )
    features = np.linalg.qr(rng.normal(size=(dim, 4)))[0].T.reshape(2, 2, dim)
    weights = rng.normal(size=(2, dim))
    answer = test_accuracy(weights, distribution, NETWORK, features=features, residual_gram=np.zeros((2, 2)))
    assert_agrees(answer, sampled_patches(weights, features, distribution, NETWORK, count, rng), count)
    dataset = SimpleNamespace(distribution=distribution, features=features, residual_gram=np.zeros((2, 2)))
    again = test_accuracy(weights, dataset, NETWORK)
    np.testing.assert_array_equal(again.per_feature, answer.per_feature)
    assert answer.overall == pytest.approx(np.array([0.7, 0.3]) @ answer.per_feature.mean(axis=0))


def gaussian_accuracy(projections, gram, distribution):
    """β = 1: φ is the identity and S given u is N(α (w_1 − w_{−1})·u, (σ_d² + (P−2) σ_b²) (1, −1) M (1, −1)ᵀ)."""
    variance = gram[0, 0] - 2 * gram[0, 1] + gram[1, 1]
    patches = distribution.dominant_noise_std**2 + (distribution.num_patches - 2) * distribution.background_noise_std**2
    std, scores = np.sqrt(variance * patches), projections[0] - projections[1]
    answer = np.zeros(scores.shape)
    for u in range(2):
        margin = np.array([[1], [-1]]) * (scores + distribution.feature_noise * scores[u, 0])
        answer += (ndtr(margin / std) if std else (margin > 0)) / 2
    return answer


@pytest.mark.parametrize("num_patches", [2, 3, 4, 8, 16])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e6])
@pytest.mark.parametrize("correlation", [0.0, 0.5, -0.9, 1 - 1e-4, -1 + 1e-4, 1 - 1e-8, -1 + 1e-8, 1.0, -1.0])
def test_linear_network_has_a_closed_form(num_patches, scale, correlation):
    distribution = make_distribution(num_patches, alpha=0.1)
    gram = make_gram(1.5 * scale, 2.0 * scale, correlation)
    projections = 0.5 * scale * np.random.default_rng(num_patches).normal(size=(2, 2, 3))
    answer = accuracy_from_projections(projections, gram, distribution, LINEAR)
    expected = gaussian_accuracy(projections, gram, distribution)
    assert answer.error_bound <= 1e-7
    np.testing.assert_allclose(answer.per_feature, expected, rtol=0, atol=answer.error_bound)


@pytest.mark.parametrize(
    ("beta", "r", "scale", "correlation"),
    [(0.1, 1.0, 1.0, 0.3), (0.01, 1.0, 1.0, -0.5), (0.1, 1e-3, 1.0, 0.0), (0.1, 1.0, 1e-8, 0.5), (0.1, 1.0, 1e6, 0.5),
     (0.5, 1.0, 1.0, 0.999), (0.1, 1.0, 1.0, -0.999)],
)  # fmt: skip
def test_two_patches_against_high_precision_quadrature(beta, r, scale, correlation):
    # Over the FIRST coordinate, in 30 digits, split where φ or the integrand's cdf bends or steps.
    network, distribution = Network(negative_slope=beta, smoothing=r), make_distribution(2, (1.0,), alpha=0.2)
    gram = make_gram(scale, 1.3 * scale, correlation)
    projections = 0.3 * scale * np.array([[[1.0], [-0.4]], [[-0.3], [0.8]]])
    answer = accuracy_from_projections(projections, gram, distribution, network)
    first, second = 0.25 * scale, 0.25 * 1.3 * scale
    inner = second * mpmath.sqrt(1 - mpmath.mpf(correlation) ** 2)

    def activation(z):
        return beta * z if z <= 0 else z - (1 - beta) * r / 2 if z >= r else (1 - beta) * z * z / (2 * r) + beta * z

    def inverse(y):
        if y <= 0:
            return y / beta
        if y >= activation(r):
            return y + (1 - mpmath.mpf(beta)) * r / 2
        return 2 * y / (beta + mpmath.sqrt(beta**2 + 2 * (1 - mpmath.mpf(beta)) * y / r))

    def survival(t, mean):  # P(φ(Z_1) − φ(Z_2) > t) = ∫ n(x) P(Z_2 < φ^{−1}(φ(z_1) − t) | x) dx
        def integrand(x):
            gap = inverse(activation(mean[0] + first * x) - t) - mean[1] - correlation * second * x
            return mpmath.npdf(x) * mpmath.ncdf(gap / inner)

        bends = [(point - mean[0]) / first for point in (0, r, inverse(mpmath.mpf(t)), inverse(activation(r) + t))]
        grid = sorted(
            {
                mpmath.mpf(x)
                for x in [*np.linspace(-9, 9, 61 if abs(correlation) < 0.99 else 121), *bends]
                if -9 <= x <= 9
            }
        )
        return mpmath.quad(integrand, grid, maxdegree=4)

    score = float(difference(projections[:, 0, 0], network))
    with mpmath.workdps(20):
        parts = [survival(-score, [mpmath.mpf(float(m)) for m in 0.2 * projections[:, u, 0]]) for u in range(2)]
    assert abs(answer.per_feature[0, 0] - float(sum(parts)) / 2) <= answer.error_bound + 1e-13
    assert answer.error_bound <= 1e-8


def normal_rule(breaks, num_panels):
    """Gauss–Legendre nodes and normal weights on even panels of [−8, 8] split at the breaks."""
    nodes, weights = np.polynomial.legendre.leggauss(8)
    edges = np.unique(np.clip(np.concatenate([np.linspace(-8, 8, num_panels + 1), breaks]), -8, 8))
    half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
    x = (middle[:, None] + half[:, None] * nodes).ravel()
    return x, (half[:, None] * weights).ravel() * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)


def dense_three_patches(projections, gram, distribution, network, num_panels):
    """P = 3 as E over both of B's coordinates and D's first of a normal cdf in D's second, on one dense grid."""
    root = np.linalg.cholesky(gram)
    lower, levels = distribution.background_noise_std * root, np.array([0.0, network.smoothing])
    b, b_weight = [], []
    for x1, w1 in zip(*normal_rule(levels / lower[0, 0], num_panels), strict=True):
        x2, w2 = normal_rule((levels - lower[1, 0] * x1) / lower[1, 1], num_panels)
        b.append(difference((np.full_like(x2, lower[0, 0] * x1), lower[1, 0] * x1 + lower[1, 1] * x2), network))
        b_weight.append(w1 * w2)
    b, b_weight = np.concatenate(b), np.concatenate(b_weight)
    b, b_weight = b[b_weight > 1e-13], b_weight[b_weight > 1e-13]
    answer = np.zeros(projections.shape[1:])
    scores = difference(projections, network)
    for (label, k), score in np.ndenumerate(scores):
        for u in range(2):
            mean = distribution.feature_noise * projections[:, u, 0]
            kinks = (levels - mean[0]) / (distribution.dominant_noise_std * root[0, 0])
            x, weight = normal_rule(kinks, 8 * num_panels)
            first = mean[0] + distribution.dominant_noise_std * root[0, 0] * x
            center = mean[1] + distribution.dominant_noise_std * root[1, 0] * x
            survival = np.zeros(len(b))
            for z, c, w in zip(first, center, weight, strict=True):
                bound = network.activation_inverse(phi(z, network) + b + score)
                survival += w * ndtr((bound - c) / (distribution.dominant_noise_std * root[1, 1]))
            value = b_weight @ survival
            answer[label, k] += (value if label == 0 else 1 - value) / 2
    return answer


@pytest.mark.parametrize(("beta", "r", "correlation"), [(0.1, 1.0, 0.3), (0.3, 0.5, -0.6), (0.05, 2.0, 0.8)])
def test_three_patches_against_dense_quadrature(beta, r, correlation):
    network, distribution = Network(negative_slope=beta, smoothing=r), make_distribution(3, (1.0,), alpha=0.3)
    projections = 0.3 * np.array([[[1.0], [-0.4]], [[-0.3], [0.8]]])
    gram = make_gram(2.0, 1.7, correlation)
    answer = accuracy_from_projections(projections, gram, distribution, network)
    expected = [dense_three_patches(projections, gram, distribution, network, nodes) for nodes in (10, 14)]
    own_error = np.abs(expected[1] - expected[0]).max()  # of the coarser sum; the finer one's is several times less
    assert own_error <= 3e-6
    np.testing.assert_allclose(answer.per_feature, expected[1], rtol=0, atol=answer.error_bound + own_error)
    assert answer.error_bound <= 1e-8


@pytest.mark.parametrize("num_patches", [2, 3, 4, 8, 16])
@pytest.mark.parametrize("sides", [(1.3, 2.1), (1.3, 1.3), (1.0, 0.1)])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("gap", [1e-4, 1e-8, 0.0])
def test_nearly_parallel_filters_agree_with_sampling(num_patches, sides, sign, gap):
    seed = num_patches
    distribution, gram = make_distribution(num_patches, (1.0,)), make_gram(*sides, sign * (1 - gap))
    projections = 0.3 * np.random.default_rng(seed).normal(size=(2, 2, 1))
    answer = accuracy_from_projections(projections, gram, distribution, NETWORK)
    assert answer.error_bound <= 1e-6
    assert_agrees(answer, sampled(projections, gram, distribution, NETWORK, 250_000, seed), 250_000)


@pytest.mark.parametrize("num_patches", [2, 3, 4, 16])
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
    direction, fine = np.array([[sides[0]], [correlation * sides[1]]]), (np.arange(2_000_000) + 0.5) / 2_000_000
    quantiles = mid_normal(fine)
    background = np.zeros(1)
    if num_patches == 3:
        background = difference(
            distribution.background_noise_std * direction * mid_normal((np.arange(4000) + 0.5) / 4000), NETWORK
        )
    expected = np.zeros((2, 1))
    for u in range(2):
        mean = distribution.feature_noise * projections[:, u]
        dominant = np.sort(difference(mean + distribution.dominant_noise_std * direction * quantiles, NETWORK))
        scores = difference(projections, NETWORK)[:, 0]
        expected[0] += 1 - np.searchsorted(dominant, -scores[0] - background, side="right").mean() / len(fine)
        expected[1] += np.searchsorted(dominant, -scores[1] - background, side="left").mean() / len(fine)
    # Equal-probability midpoints: 1e-6 for the dominant patch, the coarser background grid adds a few 1e-7.
    np.testing.assert_allclose(answer.per_feature, expected / 2, rtol=0, atol=answer.error_bound + 3e-6)


def mid_normal(probabilities):
    return ndtri(probabilities)


def test_no_noise_at_all_is_decided_exactly():
    distribution = make_distribution(5, (0.6, 0.4), alpha=1.0)
    # g(u) = ±1 for the two u; the features score 2, 1 (label +1) and −1, −3 (label −1).
    projections = np.array([[[2.0, 1.0], [-1.0, -3.0]], [[0.0, 0.0], [0.0, 0.0]]])
    answer = accuracy_from_projections(projections, np.zeros((2, 2)), distribution, LINEAR)
    # f = score + (2 or −1): label +1: 4, 1 and 3, 0; label −1: 1, −2 and −1, −4.
    np.testing.assert_array_equal(answer.per_feature, [[1.0, 0.5], [0.5, 1.0]])
    np.testing.assert_array_equal(answer.tie_probability, [[0.0, 0.5], [0.0, 0.0]])
    assert answer.error_bound <= 1e-12


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
    assert answer.per_feature[0, 0] == pytest.approx(1 / 2 + 1 / 2, abs=1e-12)
    # Given u = v_{−1,1}: D ≡ 0: f = 0 always for label −1's feature.
    assert answer.tie_probability[1, 0] == pytest.approx(0.5, abs=1e-12)
    # A feature of score −0.1 ties on that flat piece.
    projections = np.array([[[-2.0], [-1.0]], [[-3.0], [0.0]]])
    answer = accuracy_from_projections(projections, np.ones((2, 2)), distribution, NETWORK)
    # u = v_{+1,1}: D = 0.1 with probability Φ(2) and more otherwise; u = v_{−1,1}: D ≤ −0.1: never a tie with +0.1.
    assert answer.tie_probability[1, 0] == pytest.approx(ndtr(2) / 2, abs=1e-12)
    assert answer.per_feature[1, 0] == pytest.approx(1 / 2, abs=1e-12)
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
        scaled.per_feature, plain.per_feature, rtol=0, atol=plain.error_bound + scaled.error_bound
    )


@pytest.mark.parametrize("num_patches", [2, 3, 4])
@pytest.mark.parametrize("dominant", [1e-8, 1e6])
def test_tiny_and_huge_dominant_noise(num_patches, dominant):
    distribution = make_distribution(num_patches, (1.0,), dominant=dominant)
    projections = 0.3 * np.random.default_rng(2).normal(size=(2, 2, 1))
    answer = accuracy_from_projections(projections, make_gram(1.3, 2.1, 0.4), distribution, NETWORK)
    assert answer.error_bound <= 1e-6
    assert_agrees(answer, sampled(projections, make_gram(1.3, 2.1, 0.4), distribution, NETWORK, 500_000, 0), 500_000)


def test_bounds_are_small_in_ordinary_cases():
    for num_patches in (2, 3, 4, 8, 16):
        projections = np.random.default_rng(num_patches).normal(size=(2, 2, 3))
        answer = accuracy_from_projections(
            projections, make_gram(2.0, 3.0, -0.3), make_distribution(num_patches), NETWORK
        )
        assert answer.error_bound <= 2e-8


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"weights": np.zeros((3, 5))}, r"`weights` must have shape \(2, D\), got \(3, 5\)"),
        ({"weights": np.full((2, 5), np.nan)}, "`weights` must be finite, got 10 entries"),
        ({"features": np.zeros((2, 2, 5))}, r"`features` must have shape \(2, 1, 5\) to match `weights`"),
        ({"features": None}, "`features` and `residual_gram` are required unless a dataset is given"),
        ({"residual_gram": None}, "`features` and `residual_gram` are required unless a dataset is given"),
        ({"residual_gram": np.zeros(2)}, r"`residual_gram` must have shape \(2, 2\), got \(2,\)"),
        ({"residual_gram": -np.eye(2)}, "`noise_gram` must be positive semidefinite"),
        ({"residual_gram": np.full((2, 2), np.inf)}, "`residual_gram` must be finite"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(change, sentence):
    arguments = {
        "weights": np.zeros((2, 5)),
        "features": np.eye(5)[:2, None],
        "residual_gram": np.zeros((2, 2)),
        **change,
    }
    with pytest.raises(ValueError, match=sentence):
        test_accuracy(arguments.pop("weights"), make_distribution(3, (1.0,)), NETWORK, **arguments)


@pytest.mark.parametrize(
    ("projections", "gram", "sentence"),
    [
        (np.zeros((2, 2, 2)), np.eye(2), r"`feature_projections` must have shape \(2, 2, 1\), got \(2, 2, 2\)"),
        (np.zeros((2, 2, 1)), np.array([[1.0, 2.0], [2.0, 1.0]]), "`noise_gram` must be positive semidefinite"),
        (np.zeros((2, 2, 1)), np.array([[0.0, 1.0], [1.0, 0.0]]), "`noise_gram` must be positive semidefinite"),
        (np.zeros((2, 2, 1)), np.array([[1.0, 0.2], [0.3, 1.0]]), "`noise_gram` must be symmetric"),
        (np.full((2, 2, 1), np.nan), np.eye(2), "`feature_projections` must be finite"),
    ],
)
def test_bad_projections_are_refused_in_a_sentence(projections, gram, sentence):
    with pytest.raises(ValueError, match=sentence):
        accuracy_from_projections(projections, gram, make_distribution(3, (1.0,)), NETWORK)
