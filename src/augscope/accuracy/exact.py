"""Exact test accuracy: P[y f(X) > 0 | feature] as an integral with an error bound, without sampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from augscope.accuracy.activation import built_in
from augscope.accuracy.cdf_table import sum_by_tables
from augscope.accuracy.characteristic import sum_by_frequencies
from augscope.accuracy.gaussian import GaussianPair
from augscope.accuracy.law import Answer, ScoreLaw, law_of
from augscope.accuracy.tabulated import tabulated
from augscope.model.arrays import check_finite
from augscope.model.distribution import FeatureNoise
from augscope.model.network import BaseNetwork, Network
from augscope.support.values import check

FLOOR = 1e-13  # rounding of the final sums
SPREAD = 12.0  # standard deviations that a table of φ covers: 6.8 of the conditional mean and 9 around it fit in


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
    distribution = getattr(dataset_or_distribution, "distribution", dataset_or_distribution)
    if distribution is not dataset_or_distribution:
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

    Cost: 1–3 ms at P = 3, see benchmarks/accuracy.py.
    """
    projections, gram = np.asarray(feature_projections, np.float64), np.asarray(noise_gram, np.float64)
    expected = (2, 2, distribution.num_features)
    check(projections.shape == expected, f"`feature_projections` must have shape {expected}, got {projections.shape}")
    check_finite("feature_projections", projections)
    pair, count = GaussianPair.of(gram), distribution.num_patches - 2
    dominant_means = distribution.feature_noise * projections[:, :, 0]
    means = list(dict.fromkeys((first, second) for first, second in dominant_means.T.tolist()))  # one a u
    largest_std = max(distribution.dominant_noise_std, distribution.background_noise_std)
    if isinstance(network, Network):
        activation = built_in(network)
    else:  # a table that covers as much as noise patches reach
        reach = float(np.abs(dominant_means).max()) + SPREAD * largest_std * float(np.sqrt(pair.gram.diagonal().max()))
        activation = tabulated(network, reach)
    background = law_of(pair, distribution.background_noise_std, (0.0, 0.0), activation)
    dominants = [law_of(pair, distribution.dominant_noise_std, mean, activation) for mean in means]

    values = np.asarray(network.activation(projections))
    thresholds = (values[1] - values[0]).ravel()  # f > 0 where the noise exceeds −c_{s,k}
    slack = np.abs(values).sum(axis=0).ravel()
    # An activation that strays by e from φ moves the sum of P − 1 scores by 2 (P − 1) e at most: accuracies with thresholds
    # moved by as much on either side enclose the exact one.
    stray = 2 * (count + 1) * activation.error
    moves = (0.0, -stray, stray) if stray else (0.0,)
    moved = np.concatenate([thresholds + move for move in moves])
    answers = _noise_at(moved, np.tile(slack, len(moves)), dominants, background, count)
    return _accuracy(answers, activation.beyond, distribution)


def _noise_at(
    thresholds: np.ndarray, slack: np.ndarray, dominants: Sequence[ScoreLaw], background: ScoreLaw, count: int
) -> list[Answer]:
    """Return the law of the whole noise, D + B_1 + … + B_count, at the thresholds for every law of D."""
    if count == 0 or background.pair.same:  # every background patch scores 0
        return [dominant.at(thresholds, slack) for dominant in dominants]
    answers = sum_by_frequencies(background, dominants, count, thresholds)
    if answers is None:
        return sum_by_tables(background, dominants, count, thresholds)
    return answers


def _accuracy(answers: list[Answer], beyond: float, distribution: FeatureNoise) -> TestAccuracy:
    """Return the accuracy from the law of the noise for every u.

    Answers are for the thresholds, and then for moved ones: the accuracies differ by what an uncertain φ may cost.
    """
    below, above, ties, errors = zip(*answers, strict=True)
    below, above, ties = (
        np.mean(part, axis=0).reshape(-1, 2, distribution.num_features) for part in (below, above, ties)
    )
    moved = np.clip(np.stack([1 - above[:, 0], below[:, 1]], axis=1), 0.0, 1.0)
    per_feature = moved[0]
    overall = float(np.array(distribution.frequencies) @ per_feature.mean(axis=0))
    error = float(np.max(errors)) + FLOOR + float(np.abs(moved - per_feature).max()) + beyond
    return TestAccuracy(per_feature, overall, min(1.0, error), ties[0])
