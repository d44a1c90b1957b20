"""Exact test accuracy: P[y f(X) > 0 | feature] as an integral with an error bound, without sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from augscope.difference_law import (
    REACH,
    TAIL,
    DifferenceLaw,
    PairNoise,
    Table,
    build_table,
    convolve,
    tabulate,
)
from augscope.distribution import FeatureNoise
from augscope.network import Network
from augscope.validation import check, check_finite

SINGULAR = 1e-12  # how far below 0 the determinant of a normalised Gram matrix may round
TRUNCATION = 1e-9  # bound on the discarded part of the frequency sum that stops it
ENOUGH = 1e-7  # bound on it that is accepted where more frequencies would be slower than repeated convolution
BLOCKS = (64, 64, 128, 256, 512)  # frequencies evaluated at a time
MOST_POINTS = 8000  # quadrature points of a table beyond which repeated convolution is faster
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
    network: Network,
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

    Cost: O(K D), and 10–20 ms (up to 1 s where the weights are almost parallel).

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
    network: Network,
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
    values = network.activation(projections)
    thresholds = (values[1] - values[0]).ravel()  # f > 0 where the noise exceeds −c_{s,k}
    slack = np.abs(values).sum(axis=0).ravel()
    means = [tuple(mean) for mean in (distribution.feature_noise * projections[:, :, 0]).T.tolist()]
    laws = [DifferenceLaw(noise, distribution.dominant_noise_std, mean, network) for mean in dict.fromkeys(means)]
    if distribution.num_patches == 2 or noise.same:  # every background patch scores 0
        answers = [_alone(law, thresholds, slack) for law in laws]
    else:
        answers = _with_background(laws, distribution, thresholds)
    below, above, ties, errors = zip(*answers, strict=True)
    below, above, ties = (np.mean(part, axis=0).reshape(2, -1) for part in (below, above, ties))
    per_feature = np.clip(np.stack([1 - above[0], below[1]]), 0.0, 1.0)
    overall = float(np.array(distribution.frequencies) @ per_feature.mean(axis=0))
    return TestAccuracy(per_feature, overall, min(1.0, float(np.max(errors)) + FLOOR), ties)


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


def _with_background(laws: list[DifferenceLaw], distribution: FeatureNoise, thresholds: np.ndarray) -> list[Sides]:
    """Return the law of S = D + B_1 + … + B_{P−2} at the thresholds for every law of D (one for each u).

    Replacing one cdf of a convolution by another moves it by at most their largest distance: errors of tables add.
    """
    count, network = distribution.num_patches - 2, laws[0].network
    background = tabulate(DifferenceLaw(laws[0].noise, distribution.background_noise_std, (0.0, 0.0), network))
    steepest, summed, answers = background.steepest(), background if count == 1 else None, []
    spread = np.hypot(distribution.dominant_noise_std, np.sqrt(count) * distribution.background_noise_std)
    for law in laws:
        dominant = tabulate(law, steepest)
        error = dominant.error + dominant.blur * steepest
        values, more = thresholds, np.inf
        if summed is None:
            lipschitz = law.lipschitz * spread / law.std
            values, more = _by_frequencies(dominant, background, count, lipschitz, network, thresholds)
            more += count * background.error
            summed = None if more <= ENOUGH else _repeated(background, count)
        if summed is not None:
            values, more = convolve(dominant, summed, thresholds), summed.error
        answers.append((values, values, np.zeros_like(values), error + more))
    return answers


def _by_frequencies(
    dominant: Table, background: Table, count: int, lipschitz: float, network: Network, thresholds: np.ndarray
) -> tuple[np.ndarray, float]:
    """Invert the characteristic function ψ_S = ψ_D ψ_B^count by Davies' sum, and bound its error.

    P(S ≤ t) = ½ − Σ_{j≥0} Im[ψ_S(ω_j) e^{−iω_j t}] / (π (j + ½)), ω_j = (j + ½) 2π/T, up to P(|S − t| > T), where
    P(|S − E S| ≥ x) ≤ 2 exp(−x²/2L²) for the Lipschitz constant L of S in standard normals. The part cut off is bounded through the largest |ψ_S| last seen: beyond, it decays (or stays, over at most a factor 1/β).
    """
    means = dominant.mean(), background.mean()
    center = means[0] + count * means[1]
    reach = max(
        min(REACH * lipschitz, dominant.edges[-1] + count * background.edges[-1] - center),
        min(REACH * lipschitz, center - dominant.edges[0] - count * background.edges[0]),
    )
    step = np.pi / reach  # T = 2 × reach
    inside = np.abs(thresholds - center) < reach
    values, start, cut = np.full(len(thresholds), 0.5), 0, np.inf
    width = max(np.ptp(dominant.edges), np.ptp(background.edges))
    for size in BLOCKS:
        if 2 * width * (start + size) * step > MOST_POINTS:
            break
        psi = _characteristic(dominant, means[0], step, start, size)
        psi = psi * _characteristic(background, means[1], step, start, size) ** count
        orders = start + np.arange(size) + 0.5
        waves = np.exp(-1j * step * np.outer(np.where(inside, thresholds - center, 0.0), orders))
        values = values - (waves * (psi / orders)).imag.sum(axis=1) / np.pi
        start += size
        cut = float(np.abs(psi[size // 2 :]).max()) * (1 - np.log(network.negative_slope))
        if cut <= TRUNCATION:
            break
    values = np.where(inside, values, (thresholds > center).astype(float))
    return np.clip(values, 0.0, 1.0), cut + 2 * TAIL + FLOOR


def _characteristic(table: Table, mean: float, step: float, start: int, size: int) -> np.ndarray:
    """Return E e^{iω(Y − mean)} at ω = (j + ½) step for `size` values of j from `start`.

    e^{iωy} factors over j = start + a q + b, so that 2 √size exponentials a node and one matrix product suffice.
    """
    points, masses = table.points((start + size) * step)
    points = points - mean
    fine = 2 ** (int(np.log2(size)) // 2)
    coarse = np.exp(1j * step * np.outer(fine * np.arange(size // fine), points))
    offsets = np.exp(1j * step * np.outer(start + np.arange(fine) + 0.5, points)) * masses
    chunk = 64  # products this small stay on one thread
    padding = ((0, 0), (0, -len(points) % chunk))
    coarse, offsets = (np.pad(part, padding).reshape(len(part), -1, chunk) for part in (coarse, offsets))
    return (coarse.transpose(1, 0, 2) @ offsets.transpose(1, 2, 0)).sum(axis=0).ravel()


def _repeated(table: Table, count: int) -> Table:
    """Return the table of a sum of `count` independent copies, by doubling."""
    result, power = None, table
    while count:
        if count % 2:
            result = power if result is None else _added(result, power)
        count //= 2
        power = _added(power, power) if count else power
    assert result is not None
    return result


def _added(first: Table, second: Table) -> Table:
    """Return the table of the sum of two independent variables; errors add."""

    def evaluate(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        chunks = [convolve(first, second, part) for part in np.array_split(y, len(y) // 500 + 1)]
        return np.concatenate(chunks), np.zeros(len(y))

    low, high = first.edges[0] + second.edges[0], first.edges[-1] + second.edges[-1]
    edges = np.unique(np.concatenate([np.linspace(low, high, 9), [0.0] if low < 0 < high else []]))
    return build_table(evaluate, edges, tail=first.error + second.error + FLOOR, tolerance=TRUNCATION)
