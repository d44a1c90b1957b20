"""Exact test accuracy: P[y f(X) > 0 | feature] as an integral with an error bound, without sampling."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from augscope.accuracy.frequencies import sum_by_frequencies
from augscope.accuracy.gaussian import GaussianPair
from augscope.accuracy.own import SPREAD, OwnActivation, OwnLaw
from augscope.accuracy.patch import PatchLaw
from augscope.accuracy.quadrature import Coordinates
from augscope.accuracy.tables import sum_by_tables
from augscope.model.arrays import check_finite
from augscope.model.distribution import FeatureNoise
from augscope.model.network import BaseNetwork, Network
from augscope.support.values import check

FLOOR = 1e-13  # rounding of the final sums


@dataclass(frozen=True)
class TestAccuracy:
    """The probability of a correct prediction on fresh data, with a bound on its error.

    Attributes:
        per_feature: P[y f(X) > 0 | feature], (2, K), row 0 for label +1; a tie is an error.
        overall: Σ_k ρ_k × the mean over both labels.
        error_bound: proved bound on the absolute error of every entry, and so of `overall`; infinite where none is proved: for an
            activation of one's own, and for P ≥ 3 where frequencies would take long (docs/limits.md).
        tie_probability: P[f(X) = 0 | feature], (2, K): zeros unless the noise is degenerate.
        error_estimate: the bound, or where there is none what the error is believed to be: how far the polynomials that stand
            for the patches' cdfs, and the table that stands for φ, seem to be from them.
    """

    per_feature: Float[np.ndarray, "2 K"]
    overall: float
    error_bound: float
    tie_probability: Float[np.ndarray, "2 K"]
    error_estimate: float = float("nan")

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

    Cost: O(K D), and 2–20 ms (up to 1 s where filters are almost parallel or of very different norms).

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
    outside = GaussianPair.of(residual).factor()
    pair = GaussianPair.of_filters(np.concatenate([across, outside], axis=1))
    return _accuracy_of(projections, pair, distribution, network)


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

    Cost: 1–5 ms where trainings go, up to 1 s elsewhere: see benchmarks/accuracy.py.
    """
    projections, gram = np.asarray(feature_projections, np.float64), np.asarray(noise_gram, np.float64)
    expected = (2, 2, distribution.num_features)
    check(projections.shape == expected, f"`feature_projections` must have shape {expected}, got {projections.shape}")
    check_finite("feature_projections", projections)
    return _accuracy_of(projections, GaussianPair.of(gram), distribution, network)


def _accuracy_of(
    projections: np.ndarray, pair: GaussianPair, distribution: FeatureNoise, network: BaseNetwork
) -> TestAccuracy:
    """Return the accuracy from the law of the noise for every u."""
    count = distribution.num_patches - 2
    means = distribution.feature_noise * projections[:, :, 0].T  # one a u
    stds = distribution.background_noise_std, distribution.dominant_noise_std
    values = np.asarray(network.activation(projections))
    thresholds = (values[1] - values[0]).ravel()  # f > 0 where the noise exceeds −c_{s,k}
    slack = np.abs(values).sum(axis=0).ravel()
    kinds = list(dict.fromkeys(map(tuple, means.tolist())))
    own = not isinstance(network, Network)
    if own:
        reach = float(np.abs(means).max()) + SPREAD * max(stds) * float(pair.stds.max())
        activation = OwnActivation(network, reach)
        # An activation that strays by e from φ moves the sum of P − 1 scores by 2 (P − 1) e at most.
        stray = 2 * (count + 1) * activation.error
        thresholds, slack = np.concatenate([thresholds, thresholds - stray, thresholds + stray]), np.tile(slack, 3)
        make_law = partial(OwnLaw, pair, network=activation)  # pyright: ignore[reportArgumentType]
    else:
        make_law = partial(PatchLaw, pair, network=network)
    laws = [make_law(stds[0], (0.0, 0.0)), *(make_law(stds[1], mean) for mean in kinds)]
    if count == 0 or pair.same:  # every background patch scores 0
        answers = [law.at(thresholds, slack) for law in laws[1:]]
    else:
        answers = None if own else sum_by_frequencies(Coordinates.of(laws), count, thresholds)
        answers = sum_by_tables(laws, count, thresholds) if answers is None else answers
    below, above, ties, errors, estimates = (np.mean(part, axis=0) for part in zip(*answers, strict=True))
    shape = -1, 2, distribution.num_features
    below, above, ties = below.reshape(shape), above.reshape(shape), ties.reshape(shape)
    moved = np.clip(np.stack([1 - above[:, 0], below[:, 1]], axis=1), 0.0, 1.0)
    moved[moved < 1e-15] = 0.0  # rounding of sums that are 1
    per_feature = moved[0]
    overall = float(np.array(distribution.frequencies) @ per_feature.mean(axis=0))
    bound = float(errors.max()) + FLOOR
    estimate = float(estimates.max()) + FLOOR + float(np.abs(moved - per_feature).max())
    bound = np.inf if own or np.isinf(bound) else min(1.0, bound)
    return TestAccuracy(per_feature, overall, bound, ties[0], min(1.0, estimate))
