"""Training sets drawn from 𝒟: in all d coordinates, or in the span of the sample with the same law at any d."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import psutil
from jaxtyping import Array, Float, Int

from augscope.model.arrays import check_key, check_precision
from augscope.model.distribution import FeatureNoise
from augscope.model.draws import dense_noise, draw_frame, draw_parts, reduced_noise, standard_features, wishart
from augscope.model.network import Network
from augscope.support.values import check, check_count

MEMORY_SHARE = 0.8  # of the free memory; the rest is left to the compiler and to everybody else


@dataclass(frozen=True)
class Dataset:
    """A training set with its initial weights, in coordinates of dimension D (d if dense, less if reduced).

    Attributes:
        distribution: where it was drawn from.
        patches: (n, P, D).
        labels: (n,), +1 or −1.
        features: (2, K, D), orthonormal; row 0 belongs to label +1.
        feature_index: (n,), k in 0 … K−1.
        feature_position: (n,), p*, the patch that is the feature.
        dominant_position: (n,), p̃, the patch with dominant noise.
        feature_noise_label: (n,), ±1: u is v_{±1,1}, the feature hidden in the dominant patch.
        initial_weights: W(0), (2, D).
        residual_gram: (2, 2), the Gram matrix of W(0)'s part outside these coordinates: zeros when dense. Descent never
            changes it, and test noise sees it (model.md, identity 6.5).
        coordinates: "dense" or "reduced".
    """

    distribution: FeatureNoise
    patches: Float[Array, "n P D"]
    labels: Int[Array, " n"]
    features: Float[Array, "2 K D"]
    feature_index: Int[Array, " n"]
    feature_position: Int[Array, " n"]
    dominant_position: Int[Array, " n"]
    feature_noise_label: Int[Array, " n"]
    initial_weights: Float[Array, "2 D"]
    residual_gram: Float[Array, "2 2"]
    coordinates: str

    @property
    def num_samples(self) -> int:
        """n."""
        return self.labels.shape[0]

    @property
    def slots(self) -> Int[np.ndarray, "n P"]:
        """Positions in the order feature, dominant, background …: row i permutes the patches of point i by kind."""
        num_patches = self.distribution.num_patches
        order = np.broadcast_to(np.arange(num_patches), (self.num_samples, num_patches))
        rank = np.full(order.shape, 2)
        rank[order == np.asarray(self.feature_position)[:, None]] = 0
        rank[order == np.asarray(self.dominant_position)[:, None]] = 1
        return np.argsort(rank, axis=1, kind="stable")

    @property
    def feature_row(self) -> Int[np.ndarray, " n"]:
        """Each point's feature as a row of `features.reshape(2K, D)`."""
        return np.where(np.asarray(self.labels) == 1, 0, self.distribution.num_features) + np.asarray(
            self.feature_index
        )

    @property
    def feature_noise_row(self) -> Int[np.ndarray, " n"]:
        """Each point's u as a row of `features.reshape(2K, D)`."""
        return np.where(np.asarray(self.feature_noise_label) == 1, 0, self.distribution.num_features)

    @property
    def noise(self) -> Float[Array, "n P-1 D"]:
        """The noise vectors ξ_i^(p): dominant first, then background in order of position."""
        by_slot = jnp.take_along_axis(self.patches, jnp.asarray(self.slots)[:, :, None], axis=1)[:, 1:]
        hidden = self.features.reshape(-1, self.features.shape[-1])[self.feature_noise_row]
        return by_slot.at[:, 0].add(-self.distribution.feature_noise * hidden)

    def reduce(self) -> Dataset:
        """Return the same dataset rotated into the span of its features and noise: identical descent up to rounding.

        The part of W(0) outside the span goes into `residual_gram`. Cost O(N² d) for N = n(P−1) noise vectors.
        """
        num_features = self.distribution.num_features
        noise = self.noise.reshape(-1, self.noise.shape[-1])
        flat_features = self.features.reshape(2 * num_features, -1)
        span_dim = min(noise.shape[0], self.distribution.noise_dim)
        frame, _ = jnp.linalg.qr(noise.T)  # (D, ≤ N): an orthonormal frame of the span of the noise
        basis = jnp.concatenate([flat_features, frame.T[:span_dim]])
        weights = self.initial_weights @ basis.T
        outside = self.initial_weights - weights @ basis
        return replace(
            self,
            patches=self.patches @ basis.T,
            features=standard_features(num_features, basis.shape[0], self.patches.dtype),
            initial_weights=weights,
            residual_gram=self.residual_gram + outside @ outside.T,
            coordinates="reduced",
        )

    def __str__(self) -> str:
        shape = "×".join(str(size) for size in self.patches.shape)
        counts = ", ".join(
            f"{label:+d}: " + "/".join(str(count) for count in row)
            for label, row in zip((1, -1), self.feature_counts, strict=True)
        )
        return f"Dataset: {shape} {self.coordinates} patches; points per feature {counts}"

    @property
    def feature_counts(self) -> Int[np.ndarray, "2 K"]:
        """How many points carry each feature, per label."""
        num_features = self.distribution.num_features
        return np.bincount(self.feature_row, minlength=2 * num_features).reshape(2, num_features)


def sample_dataset(
    key: Any,
    distribution: FeatureNoise,
    *,
    num_samples: int,
    init_std: float,
    coordinates: Literal["dense", "reduced"] = "dense",
    frame: Literal["standard", "random"] = "standard",
    dtype: str = "float64",
) -> Dataset:
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
    part_key, noise_key, weight_key, frame_key = jax.random.split(key, 4)
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
    dataset = Dataset(
        distribution,
        noise,
        **parts,
        features=features,
        initial_weights=weights,
        residual_gram=residual,
        coordinates=coordinates,
    )
    return replace(dataset, patches=_patches(dataset, noise))


def reduced_dim(distribution: FeatureNoise, num_samples: int) -> int:
    """Return D in reduced coordinates: 2K + min(n(P−1), d − 2K)."""
    num_noise = num_samples * (distribution.num_patches - 1)
    return 2 * distribution.num_features + min(num_noise, distribution.noise_dim)


def needed_bytes(distribution: FeatureNoise, num_samples: int, coordinates: str, frame: str, itemsize: int = 8) -> int:
    """Return the bytes that a dataset's arrays, their temporaries and a descent on it take."""
    num_features, num_patches = distribution.num_features, distribution.num_patches
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


def _patches(dataset: Dataset, noise: Any) -> Float[Array, "n P D"]:
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
