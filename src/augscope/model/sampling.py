"""Training sets drawn from 𝒟: in all d coordinates, or in the span of the sample with the same law at any d; and their limits."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import psutil
from jaxtyping import Array, Float

from augscope.model.arrays import check_key, check_precision
from augscope.model.dataset import LIMITS, Limit, Sample
from augscope.model.distribution import FeatureNoise
from augscope.model.draws import dense_noise, draw_frame, draw_parts, reduced_noise, standard_features, wishart
from augscope.model.network import Network
from augscope.support.values import check, check_count

MEMORY_SHARE = 0.8  # of the free memory; the rest is left to the compiler and to everybody else


def sample_dataset(
    key: Any,
    distribution: FeatureNoise,
    *,
    num_samples: int,
    init_std: float,
    coordinates: Literal["dense", "reduced"] = "dense",
    frame: Literal["standard", "random"] = "standard",
    dtype: str = "float64",
) -> Sample:
    """Draw a training set of n points from 𝒟 together with the initial weights W(0).

    Args:
        key: a JAX random key. Labels, features and positions depend on it alone, not on `coordinates` or `frame`.
        distribution: 𝒟.
        num_samples: n ≥ 1.
        init_std: σ_0 ≥ 0; W(0) has independent N(0, σ_0²) entries.
        coordinates: "dense" draws all d coordinates. "reduced" draws the coordinates of the N = n(P−1) noise vectors in
            their own span by Bartlett's decomposition, with the same law of every measured quantity (model.md,
            identity 6.5): its cost does not depend on d.
        frame: "standard": features are unit vectors. "random": a uniformly random orthonormal frame (dense only).
        dtype: "float64" or "float32".

    Raises:
        ValueError: on bad arguments, float64 not enabled, or arrays larger than the free memory (with the bytes).

    Cost: O(n P d) dense, O(N²) reduced.

    Example:
        >>> import jax, augscope as ag
        >>> jax.config.update("jax_enable_x64", True)
        >>> dataset = ag.sample_dataset(jax.random.key(0), ag.presets.theorem.distribution.replace(dim=10**9),
        ...                             num_samples=50, init_std=0.001, coordinates="reduced")
        >>> dataset.patches.shape
        (50, 3, 106)
    """
    check_key(key)
    check_count("num_samples", num_samples)
    check(0 <= init_std < float("inf"), f"`init_std` must be at least 0, got {init_std}")
    check(coordinates in ("dense", "reduced"), f"`coordinates` must be 'dense' or 'reduced', got {coordinates!r}")
    check(frame in ("standard", "random"), f"`frame` must be 'standard' or 'random', got {frame!r}")
    check(
        frame == "standard" or coordinates == "dense",
        "`frame` = 'random' needs `coordinates` = 'dense', got 'reduced': in reduced coordinates every frame is the same",
    )
    check_precision(dtype)
    check_memory(distribution, num_samples, coordinates, frame, np.dtype(dtype).itemsize)
    part_key, noise_key, weight_key, frame_key = _four_keys(key)
    parts = draw_parts(part_key, distribution, num_samples)
    if coordinates == "dense":
        features = draw_frame(frame_key, distribution, frame, dtype)
        noise = dense_noise(noise_key, distribution, num_samples, features, frame, dtype)
        weights = Network().initial_weights(weight_key, distribution.dim, init_std, dtype)
        residual = jnp.zeros((2, 2), dtype)
    else:
        noise = reduced_noise(noise_key, distribution, num_samples, dtype)
        features = standard_features(distribution.num_features, noise.shape[-1], dtype)
        own_key, outside_key = jax.random.split(weight_key)
        weights = Network().initial_weights(own_key, noise.shape[-1], init_std, dtype)
        residual = jnp.asarray(init_std**2 * wishart(outside_key, distribution.dim - noise.shape[-1]), dtype)
    # Positions are known by the other fields: the noise stands in for the patches until they are placed.
    dataset = Sample(
        distribution=distribution,
        num_samples=num_samples,
        probabilities=np.full(num_samples, 1 / num_samples),
        patches=noise,
        **parts,
        features=features,
        initial_weights=weights,
        residual_gram=residual,
        coordinates=coordinates,
    )
    return replace(dataset, patches=_patches(dataset, noise))


@jax.jit
def _four_keys(key: Any) -> tuple[Any, ...]:
    """Keys of the discrete parts, of noise, of weights and of the frame; split one by one outside of a program they take longer."""
    return tuple(jax.random.split(key, 4))


def sample_limit(key: Any, distribution: FeatureNoise, num_samples: int) -> Limit:
    """Return `sample_dataset(key, …).limit()`, the limit of the same points, without drawing noise. Cost O(n)."""
    check_key(key)
    check_count("num_samples", num_samples)
    check_precision(np.float64)
    return Limit.of_points(distribution, draw_parts(_four_keys(key)[0], distribution, num_samples))


def population(distribution: FeatureNoise, num_samples: int) -> Limit:
    """Return the limit n → ∞ as well, at fixed energies over n: every type of point, with its probability (model.md §8.3).

    Nothing is drawn. A type is (y, k, u, p*, p̃), with probability ½ ρ_k · ½ · 1/(P(P−1)); n enters through e_d/n and e_b/n only.
    Training begins at zero, and `train`, `flow` and `test_accuracy` take it as they take a sample.

    Args:
        distribution: 𝒟; its d and standard deviations enter through the energies e = σ²(d − 2K) only.
        num_samples: n ≥ 1.

    Raises:
        ValueError: on bad arguments, float64 not enabled, or more types than fit into memory (with their number).

    Example:
        >>> import jax, augscope as ag
        >>> jax.config.update("jax_enable_x64", True)
        >>> preset = ag.presets.theorem
        >>> print(ag.population(preset.distribution, preset.num_samples))
        Dataset: population of n = 300 points at d → ∞, 72 types; every type of point
    """
    check_memory(distribution, num_samples, "population", "standard")
    return _population(distribution, num_samples, list(permutations(range(distribution.num_patches), 2)))


def placed_population(distribution: FeatureNoise, num_samples: int) -> Limit:
    """Return the population with p* = 0 and p̃ = 1 in every point: 4K types, each with the weight of its P(P−1).

    Trained by a method that treats positions alike and each point by itself (ERM, Cutout), features move as in `population`.
    Arguments and errors as there.
    """
    return _population(distribution, num_samples, [(0, 1)])


def _population(distribution: FeatureNoise, num_samples: int, places: list[tuple[int, int]]) -> Limit:
    """The population with these positions (p*, p̃), all equally frequent."""
    check_count("num_samples", num_samples)
    check_precision(np.float64)
    types = product((1, -1), range(distribution.num_features), (1, -1), places)
    rows = np.array([(label, k, *place, hidden) for label, k, hidden, place in types])
    probabilities = np.array(distribution.frequencies)[rows[:, 1]]
    return Limit.of_types(distribution, rows, probabilities / probabilities.sum(), num_samples, "population")


def num_types(distribution: FeatureNoise) -> int:
    """Return how many types of point there are: 4K P(P−1)."""
    num_patches = distribution.num_patches
    return 4 * distribution.num_features * num_patches * (num_patches - 1)


def reduced_dim(distribution: FeatureNoise, num_samples: int) -> int:
    """Return D in reduced coordinates: 2K + min(n(P−1), d − 2K)."""
    num_noise = num_samples * (distribution.num_patches - 1)
    return 2 * distribution.num_features + min(num_noise, distribution.noise_dim)


def needed_bytes(distribution: FeatureNoise, num_samples: int, coordinates: str, frame: str, itemsize: int = 8) -> int:
    """Return the bytes that a dataset's arrays, their temporaries and a descent on it take."""
    num_features, num_patches = distribution.num_features, distribution.num_patches
    if coordinates in LIMITS:  # each type's features and u as rows of zeros and ones, and arrays of scores
        types = num_types(distribution) if coordinates == "population" else min(num_samples, num_types(distribution))
        return types * (3 * 2 * num_features + 40 * num_patches) * itemsize
    dim = distribution.dim if coordinates == "dense" else reduced_dim(distribution, num_samples)
    patches = num_samples * num_patches * dim * itemsize
    copies = 3 * patches  # the noise, the patches assembled from it, and one temporary
    gram = (num_samples * (num_patches - 1)) ** 2 * itemsize
    frames = 2 * num_features * dim * itemsize * (3 if frame == "random" else 1)
    return copies + min(gram, patches) + frames


def free_bytes() -> int:
    """Return the bytes that we may use: most of what is free."""
    return int(MEMORY_SHARE * psutil.virtual_memory().available)


def check_memory(distribution: FeatureNoise, num_samples: int, coordinates: str, frame: str, itemsize: int = 8) -> None:
    """Raise ValueError, with the bytes and with what would fit, if a dataset and a descent on it exceed the free memory."""
    needed, free = needed_bytes(distribution, num_samples, coordinates, frame, itemsize), free_bytes()
    if needed <= free:
        return
    if coordinates in LIMITS:
        raise ValueError(
            f"`num_patches` = {distribution.num_patches} and `frequencies` of {distribution.num_features} features make "
            f"{num_types(distribution):,} types of point, which need {needed:,} bytes; {free:,} are free"
        )

    def fits(count: int) -> bool:
        return needed_bytes(distribution, count, coordinates, frame, itemsize) <= free

    low, high = 0, num_samples  # the largest sample that fits lies in [low, high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    advice = f"num_samples = {low:,} would fit" if low else "no sample would fit"
    if coordinates == "dense" and distribution.dim > reduced_dim(distribution, num_samples):
        advice += ", or use coordinates='reduced', which costs the same at any `dim`"
    raise ValueError(
        f"`dim` = {distribution.dim} with num_samples = {num_samples} needs {needed:,} bytes in {coordinates} coordinates, "
        f"{free:,} are free: {advice}"
    )


def _patches(dataset: Sample, noise: Any) -> Float[Array, "n P D"]:
    """Every patch at its position, from everything else in the dataset and the noise vectors."""
    features, strength = dataset.features.reshape(-1, noise.shape[-1]), dataset.distribution.feature_noise
    position_to_slot = np.argsort(dataset.slots, axis=1)
    return _placed(noise, features, strength, dataset.feature_row, dataset.feature_noise_row, position_to_slot)


@jax.jit
def _placed(
    noise: Any, features: Any, strength: Any, feature_row: Any, hidden_row: Any, position_to_slot: Any
) -> Float[Array, "n P D"]:
    """The patches by position: feature, dominant noise with α u, background noise."""
    with_hidden = noise.at[:, 0].add(strength * features[hidden_row])
    by_slot = jnp.concatenate([features[feature_row][:, None], with_hidden], axis=1)
    return jnp.take_along_axis(by_slot, position_to_slot[:, :, None], axis=1)
