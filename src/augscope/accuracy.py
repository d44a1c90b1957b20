"""Exact test accuracy: P[y f(X) > 0 | feature] as an integral with an error bound, without sampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from augscope.cdf_table import convolve, repeated_sum, tabulate
from augscope.difference_law import DifferenceLaw, PairNoise
from augscope.fourier import CONCENTRATION, Coordinates, sum_cdf
from augscope.general_law import SPREAD, GeneralLaw, TabulatedActivation
from augscope.model.arrays import check, check_finite
from augscope.model.distribution import FeatureNoise
from augscope.model.network import BaseNetwork, Network

SINGULAR = 1e-12  # how far below 0 the determinant of a normalised Gram matrix may round
NEARLY_PARALLEL = 0.2  # conditional over marginal standard deviation below which tables are used
FLOOR = 1e-13  # rounding of the final sums


@dataclass(frozen=True)
class TestAccuracy:
    """The probability of a correct prediction on fresh data, with a bound on its error.

    Attributes:
        per_feature: P[y f(X) > 0 | feature], (2, K), row 0 for label +1; a tie is an error.
        overall: Σ_k ρ_k × the mean over both labels.
        error_bound: bound on the absolute error of every entry, and so of `overall`, for the given Gram matrix.
        tie_probability: P[f(X) = 0 | feature], (2, K): zeros unless the noise is degenerate.
    """

    per_feature: Float[np.ndarray, "2 K"]
    overall: float
    error_bound: float
    tie_probability: Float[np.ndarray, "2 K"]

    __test__ = False  # not a test class


def test_accuracy(
    weights: Float[Any, "2 D"],
    dataset_or_distribution: Any,
    network: BaseNetwork,
    *,
    features: Float[Any, "2 K D"] | None = None,
    residual_gram: Float[Any, "2 2"] | None = None,
) -> TestAccuracy:
    """Return the exact accuracy of the network with these weights on fresh data (model.md, identity 6).

    With M = W_⊥ W_⊥ᵀ + `residual_gram`, W_⊥ the weights' part orthogonal to the features, f(X) given the feature v
    is g(⟨w_1,v⟩, ⟨w_{−1},v⟩) + g(α⟨w_·,u⟩ + σ_d Z_1) + Σ_{p=2}^{P−1} g(σ_b Z_p), with g(a, b) = φ(a) − φ(b), Z_p ~ N(0, M)
    independent and u uniform on {v_{+1,1}, v_{−1,1}}.

    Args:
        weights: W, row 0 is w_1 and row 1 is w_{−1}.
        dataset_or_distribution: a dataset with `distribution`, `features` and `residual_gram`, or a `FeatureNoise`
            together with the two keyword arguments.
        network: the network; its φ.
        features: v_{s,k}, orthonormal, in the coordinates of the weights.
        residual_gram: the Gram matrix of the weights outside these coordinates (zeros if they are complete).

    Raises:
        ValueError: if shapes do not match, a number is not finite or an argument is missing.

    Cost: O(K D), and 2–20 ms (up to 0.5 s where the weights are almost parallel).

    Example:
        >>> import numpy as np, augscope as ag
        >>> distribution = ag.FeatureNoise(dim=3, num_patches=2, frequencies=(1.0,), feature_noise=0.0,
        ...                                dominant_noise_std=0.5, background_noise_std=0.1)
        >>> features = np.array([[[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]]])
        >>> weights = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, -1.0]])
        >>> ag.test_accuracy(weights, distribution, ag.Network(negative_slope=1.0), features=features,
        ...                  residual_gram=np.zeros((2, 2))).per_feature.round(6).tolist()
        [[0.841345], [0.841345]]
    """
    distribution = dataset_or_distribution
    if hasattr(dataset_or_distribution, "distribution"):
        distribution = dataset_or_distribution.distribution
        features = dataset_or_distribution.features if features is None else features
        residual_gram = dataset_or_distribution.residual_gram if residual_gram is None else residual_gram
    if features is None or residual_gram is None:
        raise ValueError("`features` and `residual_gram` are required unless a dataset is given")
    weights, features, residual = (np.asarray(array, np.float64) for array in (weights, features, residual_gram))
    num_features = distribution.num_features
    check(weights.ndim == 2 and len(weights) == 2, f"`weights` must have shape (2, D), got {weights.shape}")
    expected = (2, num_features, weights.shape[1])
    check(features.shape == expected, f"`features` must have shape {expected} to match `weights`, got {features.shape}")
    check(residual.shape == (2, 2), f"`residual_gram` must have shape (2, 2), got {residual.shape}")
    for name, array in (("weights", weights), ("features", features), ("residual_gram", residual)):
        check_finite(name, array)
    # Sums in one fixed order, so that equal filters give bitwise equal numbers, and exact ties.
    projections = np.stack([(features * row).sum(axis=2) for row in weights])
    across = np.stack([row - np.tensordot(values, features) for row, values in zip(weights, projections, strict=True)])
    gram = np.array([[(a * b).sum() for b in across] for a in across])
    return accuracy_from_projections(projections, gram + (residual + residual.T) / 2, distribution, network)


test_accuracy.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]


def accuracy_from_projections(
    feature_projections: Float[Any, "2 2 K"],
    noise_gram: Float[Any, "2 2"],
    distribution: FeatureNoise,
    network: BaseNetwork,
) -> TestAccuracy:
    """Return the exact test accuracy from the few numbers it depends on; see `test_accuracy`.

    Args:
        feature_projections: ⟨w_i, v_{s,k}⟩ by filter i, label s and feature k (row 0 is +1 in both).
        noise_gram: M, the Gram matrix of the weights' part orthogonal to the features, residual included.
        distribution: the data distribution; its dimension is not used.
        network: the network; its φ.
    """
    projections, gram = np.asarray(feature_projections, np.float64), np.asarray(noise_gram, np.float64)
    expected = (2, 2, distribution.num_features)
    check(projections.shape == expected, f"`feature_projections` must have shape {expected}, got {projections.shape}")
    check_finite("feature_projections", projections)
    noise = PairNoise.of(_checked_gram(gram))
    values = np.asarray(network.activation(projections))
    thresholds = (values[1] - values[0]).ravel()  # f > 0 where the noise exceeds −c_{s,k}
    slack = np.abs(values).sum(axis=0).ravel()
    means = [(first, second) for first, second in (distribution.feature_noise * projections[:, :, 0]).T.tolist()]
    if isinstance(network, Network):
        laws = [DifferenceLaw(noise, distribution.dominant_noise_std, mean, network) for mean in dict.fromkeys(means)]
        return _accuracy(_answers(laws, thresholds, slack, distribution), distribution)
    return _general(noise, thresholds, slack, means, distribution, network)


def _answers(
    laws: Sequence[DifferenceLaw], thresholds: np.ndarray, slack: np.ndarray, distribution: FeatureNoise
) -> list[Sides]:
    """The law of the whole noise at the thresholds, for each law of the dominant patch (one a u)."""
    if distribution.num_patches == 2 or laws[0].noise.same:  # every background patch scores 0
        return [_alone(law, thresholds, slack) for law in laws]
    return _with_background(laws, distribution, thresholds)


def _accuracy(answers: list[Sides], distribution: FeatureNoise) -> TestAccuracy:
    """The accuracy from the law of the noise at the thresholds."""
    below, above, ties, errors = zip(*answers, strict=True)
    below, above, ties = (np.mean(part, axis=0).reshape(2, -1) for part in (below, above, ties))
    per_feature = np.clip(np.stack([1 - above[0], below[1]]), 0.0, 1.0)
    overall = float(np.array(distribution.frequencies) @ per_feature.mean(axis=0))
    return TestAccuracy(per_feature, overall, min(1.0, float(np.max(errors)) + FLOOR), ties)


def _general(
    noise: PairNoise,
    thresholds: np.ndarray,
    slack: np.ndarray,
    means: list[tuple[float, float]],
    distribution: FeatureNoise,
    network: BaseNetwork,
) -> TestAccuracy:
    """The accuracy for an activation of one's own, from a table of it.

    A table that strays by e from φ moves the sum of P − 1 scores by 2 (P − 1) e at most: accuracies with thresholds moved
    by as much on either side enclose the exact one.
    """
    widest = SPREAD * max(distribution.dominant_noise_std, distribution.background_noise_std)
    reach = max(abs(value) for mean in means for value in mean) + widest * float(np.sqrt(noise.gram.diagonal().max()))
    table = TabulatedActivation.of(network, -reach, reach)
    as_network: Any = table  # it offers what the laws ask of one
    laws = [GeneralLaw(noise, distribution.dominant_noise_std, mean, as_network) for mean in dict.fromkeys(means)]
    moved = 2 * (distribution.num_patches - 1) * table.error
    tried = np.concatenate([thresholds + by for by in (0.0, -moved, moved)])
    answers, count = _answers(laws, tried, np.tile(slack, 3), distribution), len(thresholds)
    found, low, high = (
        _accuracy([_part(law, slice(start, start + count)) for law in answers], distribution)
        for start in (0, count, 2 * count)
    )
    spread = np.maximum(np.abs(found.per_feature - low.per_feature), np.abs(high.per_feature - found.per_feature))
    bound = found.error_bound + float(spread.max()) + CONCENTRATION
    return TestAccuracy(found.per_feature, found.overall, min(1.0, bound), found.tie_probability)


def _part(law: Sides, where: slice) -> Sides:
    below, above, ties, error = law
    return below[where], above[where], ties[where], error


def accuracies_from_projections(
    feature_projections: Float[Any, "R 2 2 K"],
    noise_grams: Float[Any, "R 2 2"],
    distribution: FeatureNoise,
    network: BaseNetwork,
) -> list[TestAccuracy]:
    """Return the exact test accuracy of R networks; arguments and errors as in `accuracy_from_projections`.

    Each is computed as it would be alone. Cost: 1–3 ms each at P = 3, see benchmarks/accuracy.py.
    """
    return [
        accuracy_from_projections(*pair, distribution, network)
        for pair in zip(feature_projections, noise_grams, strict=True)
    ]


def _checked_gram(gram: np.ndarray) -> np.ndarray:
    """Return the Gram matrix, exactly symmetric; raise ValueError unless it is positive semidefinite up to rounding."""
    check(gram.shape == (2, 2), f"`noise_gram` must have shape (2, 2), got {gram.shape}")
    check_finite("noise_gram", gram)
    scale = np.abs(gram).max()
    check(abs(gram[0, 1] - gram[1, 0]) <= SINGULAR * scale, f"`noise_gram` must be symmetric, got {gram.tolist()}")
    cross = (gram[0, 1] + gram[1, 0]) / 2
    unit = gram / scale if scale else gram
    determinant = unit[0, 0] * unit[1, 1] - unit[0, 1] * unit[1, 0]
    allowed = SINGULAR * unit[0, 0] * unit[1, 1]
    positive = unit[0, 0] >= 0 and unit[1, 1] >= 0 and determinant >= -allowed
    check(bool(positive), f"`noise_gram` must be positive semidefinite, got {gram.tolist()}")
    return np.array([[gram[0, 0], cross], [cross, gram[1, 1]]])


Sides = tuple[np.ndarray, np.ndarray, np.ndarray, float]  # P(S < t), P(S ≤ t), P(S = t), error bound


def _alone(law: DifferenceLaw, thresholds: np.ndarray, slack: np.ndarray) -> Sides:
    """Return the law of S = D at the thresholds, atoms included."""
    below, above, error = law.sides(thresholds, slack)
    ties = law.atom(thresholds, slack)
    return below, above, ties, float((error + np.maximum(above - below - ties, 0.0)).max())


def _with_background(laws: Sequence[DifferenceLaw], distribution: FeatureNoise, thresholds: np.ndarray) -> list[Sides]:
    """Return the law of S = D + B_1 + … + B_{P−2} at the thresholds for every law of D (one for each u).

    Replacing one cdf of a convolution by another moves it by at most their largest distance: errors of tables add.
    """
    count, network = distribution.num_patches - 2, laws[0].network
    law = type(laws[0])
    answers = _by_frequencies(laws, distribution, thresholds) if law is DifferenceLaw else None
    if answers is not None:
        return answers
    background = tabulate(law(laws[0].noise, distribution.background_noise_std, (0.0, 0.0), network))
    summed, steepest, answers = repeated_sum(background, count), background.steepest(), []
    for law in laws:
        dominant = tabulate(law, steepest)
        values, error = convolve(dominant, summed, thresholds), dominant.error + dominant.blur * steepest + summed.error
        answers.append((values, values, np.zeros_like(values), error))
    return answers


def _by_frequencies(
    laws: Sequence[DifferenceLaw], distribution: FeatureNoise, thresholds: np.ndarray
) -> list[Sides] | None:
    """Return the same from characteristic functions, where the two filters are far from parallel; else None."""
    first, second = np.sqrt(np.diag(laws[0].noise.gram))
    if min(first, second) == 0 or laws[0].noise.inner_std <= NEARLY_PARALLEL * laws[0].noise.outer_std:
        return None
    stds = np.array([distribution.background_noise_std, *(law.std for law in laws)])
    coordinates = Coordinates(
        np.array([(0.0, 0.0), *(law.mean for law in laws)]),
        stds[:, None] * [first, second],
        float(laws[0].noise.gram[0, 1] / (first * second)),
        laws[0].network,
    )
    result = sum_cdf(coordinates, distribution.num_patches - 2, thresholds)
    if result is None:
        return None
    return [(values, values, np.zeros_like(values), result[1]) for values in result[0]]
