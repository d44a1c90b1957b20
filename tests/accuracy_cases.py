"""Cases for the tests of exact test accuracy, and the same accuracy by sampling the scalar model."""

from __future__ import annotations

import numpy as np

from augscope.accuracy.exact import TestAccuracy
from augscope.model.distribution import FeatureNoise
from augscope.model.network import Network

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
    correct, chunk = np.zeros(projections.shape[1:]), min(count, 250_000)
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
    np.testing.assert_array_less(np.abs(answer.per_feature - estimate), slack + answer.error_estimate)
