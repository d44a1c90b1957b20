"""Exact test accuracy against closed forms, sampling and independent quadrature."""

from __future__ import annotations

from types import SimpleNamespace

import mpmath
import numpy as np
import pytest
from accuracy_cases import LINEAR, NETWORK, assert_agrees, difference, make_distribution, make_gram, phi, sampled
from scipy.special import ndtr

from augscope.accuracy.exact import accuracy_from_projections, test_accuracy
from augscope.model.network import Network


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
    assert answer.error_estimate <= 1e-6
    assert_agrees(answer, sampled(projections, gram, distribution, network, 100_000, seed), 100_000)


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


@pytest.mark.parametrize("seed", range(4))
def test_patch_sampling_agrees(seed):
    rng, count = np.random.default_rng(seed), 50_000
    dim = int(rng.integers(5, 9))
    distribution = make_distribution(2 + seed, frequencies=(0.7, 0.3), alpha=0.5, dominant=0.6, background=0.4, dim=dim)
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


@pytest.mark.parametrize(
    ("num_patches", "scale"), [(2, 1e-8), (2, 1.0), (2, 1e6), (3, 1e-8), (3, 1.0), (3, 1e6), (4, 1.0), (16, 1.0)]
)
@pytest.mark.parametrize("correlation", [0.0, 0.5, -0.9, 1 - 1e-4, -1 + 1e-4, 1 - 1e-8, -1 + 1e-8, 1.0, -1.0])
def test_linear_network_has_a_closed_form(num_patches, scale, correlation):
    distribution = make_distribution(num_patches, alpha=0.1)
    gram = make_gram(1.5 * scale, 2.0 * scale, correlation)
    projections = 0.5 * scale * np.random.default_rng(num_patches).normal(size=(2, 2, 3))
    answer = accuracy_from_projections(projections, gram, distribution, LINEAR)
    expected = gaussian_accuracy(projections, gram, distribution)
    assert answer.error_estimate <= 1e-7
    np.testing.assert_allclose(answer.per_feature, expected, rtol=0, atol=answer.error_estimate)
    if abs(correlation) <= 0.9 or num_patches == 2:
        assert answer.error_bound <= 1e-7


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
                for x in [*np.linspace(-9, 9, 13 if abs(correlation) < 0.99 else 31), *bends]
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
