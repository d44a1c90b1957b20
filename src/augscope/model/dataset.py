"""Training sets as values: the points that were drawn, or in the high-dimensional limit the types of point with their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from augscope.model.distribution import FeatureNoise
from augscope.model.draws import standard_features
from augscope.support.shown import Shown

PARTS = (
    "labels",
    "feature_index",
    "feature_position",
    "dominant_position",
    "feature_noise_label",
)  # of a point, discrete
LIMITS = ("limit", "population")  # coordinates without noise vectors


@dataclass(frozen=True, kw_only=True, repr=False)
class Dataset(Shown):
    """A training set with its initial weights, in coordinates of dimension D; m rows, each a point, or a type of point.

    Attributes:
        distribution: where it was drawn from.
        num_samples: n, the points drawn.
        probabilities: (m,), the weight of each row in a loss; 1/n of a drawn point.
        labels: (m,), +1 or −1.
        features: (2, K, D), orthonormal; row 0 belongs to label +1.
        feature_index: (m,), k in 0 … K−1.
        feature_position: (m,), p*, the patch that is the feature.
        dominant_position: (m,), p̃, the patch with dominant noise.
        feature_noise_label: (m,), ±1: u is v_{±1,1}, the feature hidden in the dominant patch.
        initial_weights: W(0), (2, D).
        residual_gram: (2, 2), the Gram matrix of W(0)'s part outside these coordinates: zeros when dense. Descent never
            changes it (weight decay alone shrinks it), and test noise sees it (model.md, identity 6.5).
        coordinates: "dense" (D = d), "reduced" (fewer), "limit" or "population" (D = 2K).
    """

    distribution: FeatureNoise
    num_samples: int
    probabilities: Float[np.ndarray, " m"]
    labels: Int[Array, " m"]
    features: Float[Array, "2 K D"]
    feature_index: Int[Array, " m"]
    feature_position: Int[Array, " m"]
    dominant_position: Int[Array, " m"]
    feature_noise_label: Int[Array, " m"]
    initial_weights: Float[Array, "2 D"]
    residual_gram: Float[Array, "2 2"]
    coordinates: str

    @property
    def is_limit(self) -> bool:
        """Whether rows are weighted types, with noise vectors that are orthogonal and not written down."""
        return self.coordinates in LIMITS

    @property
    def dtype(self) -> np.dtype:
        """Of all real numbers."""
        return self.initial_weights.dtype

    @property
    def num_patches(self) -> int:
        """P."""
        return self.distribution.num_patches

    @property
    def slots(self) -> Int[np.ndarray, "m P"]:
        """Positions in the order feature, dominant, background …: row i permutes the patches of point i by kind."""
        num_patches = self.distribution.num_patches
        order = np.broadcast_to(np.arange(num_patches), (len(self.labels), num_patches))
        rank = np.full(order.shape, 2)
        rank[order == np.asarray(self.feature_position)[:, None]] = 0
        rank[order == np.asarray(self.dominant_position)[:, None]] = 1
        return np.argsort(rank, axis=1, kind="stable")

    @property
    def feature_row(self) -> Int[np.ndarray, " m"]:
        """Each row's feature as a row of `features.reshape(2K, D)`."""
        return np.where(np.asarray(self.labels) == 1, 0, self.distribution.num_features) + np.asarray(
            self.feature_index
        )

    @property
    def feature_noise_row(self) -> Int[np.ndarray, " m"]:
        """Each row's u as a row of `features.reshape(2K, D)`."""
        return np.where(np.asarray(self.feature_noise_label) == 1, 0, self.distribution.num_features)

    @property
    def noise(self) -> Float[Array, "m P-1 D"]:
        """The noise vectors ξ_i^(p): dominant first, then background in order of position."""
        raise NotImplementedError

    @property
    def noise_squares(self) -> Float[np.ndarray, "m P-1"]:
        """‖ξ_i^(p)‖², in the order of `noise`."""
        raise NotImplementedError

    @property
    def feature_counts(self) -> Int[np.ndarray, "2 K"] | None:
        """How many points carry each feature, per label; None of a population, where nothing was drawn."""
        raise NotImplementedError

    def limit(self) -> Limit:
        """Return the limit d → ∞ of the same points, at fixed noise energies (model.md §8.2): their types with their counts.

        Noise vectors become orthogonal with squared norm e_d or e_b, training begins at zero. Cost O(n).
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True, repr=False)
class Sample(Dataset):
    """Drawn points, with `patches` (n, P, D)."""

    patches: Float[Array, "n P D"]

    @property
    def noise(self) -> Float[Array, "n P-1 D"]:
        """The noise vectors ξ_i^(p): dominant first, then background in order of position."""
        # By NumPy: JAX would run some ten programs one after the other, which takes small samples longer than their training.
        noise = np.take_along_axis(np.asarray(self.patches), np.asarray(self.slots)[:, 1:, None], axis=1)
        hidden = np.asarray(self.features).reshape(-1, noise.shape[-1])[self.feature_noise_row]
        noise[:, 0] += -self.distribution.feature_noise * hidden
        return jnp.asarray(noise)

    @property
    def noise_squares(self) -> Float[np.ndarray, "n P-1"]:
        """‖ξ_i^(p)‖², in the order of `noise`."""
        return np.asarray((self.noise**2).sum(axis=-1))

    @property
    def feature_counts(self) -> Int[np.ndarray, "2 K"]:
        """How many points carry each feature, per label."""
        return _counts_by_feature(self, None)

    def reduce(self) -> Sample:
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
            features=standard_features(num_features, basis.shape[0], self.dtype),
            initial_weights=weights,
            residual_gram=self.residual_gram + outside @ outside.T,
            coordinates="reduced",
        )

    def limit(self) -> Limit:
        """Return the limit d → ∞ of these points (see `Dataset.limit`)."""
        return Limit.of_points(self.distribution, {name: getattr(self, name) for name in PARTS})

    def __str__(self) -> str:
        shape = "×".join(str(size) for size in self.patches.shape)
        return f"Dataset: {shape} {self.coordinates} patches; points per feature {_counts_text(self.feature_counts)}"


@dataclass(frozen=True, kw_only=True, repr=False)
class Limit(Dataset):
    """Weighted types of point at d → ∞, with fixed noise energies e_d and e_b (model.md §8).

    A row stands for n w points, w its probability, with orthogonal noise vectors of squared norm e. They move together, as one
    point would whose noise vectors are their mean: those have squared norm e/(n w), and are never written down.
    """

    @classmethod
    def of_points(cls, distribution: FeatureNoise, parts: Mapping[str, Any]) -> Limit:
        """Return the limit of points given by their discrete parts (`PARTS`, an array (n,) each)."""
        rows, counts = np.unique(
            np.stack([np.asarray(parts[name]) for name in PARTS], axis=1), axis=0, return_counts=True
        )
        return cls.of_types(distribution, rows, counts / counts.sum(), int(counts.sum()), "limit")

    @classmethod
    def of_types(
        cls, distribution: FeatureNoise, rows: Int[np.ndarray, "m 5"], probabilities: Any, num_samples: int, kind: str
    ) -> Limit:
        """Return the limit with these types, a row of `PARTS` each; `kind` is "limit" or "population"."""
        dim = 2 * distribution.num_features
        return cls(
            distribution=distribution,
            num_samples=num_samples,
            probabilities=np.asarray(probabilities, np.float64),
            **{name: jnp.asarray(column) for name, column in zip(PARTS, rows.T, strict=True)},
            features=standard_features(distribution.num_features, dim, "float64"),
            initial_weights=jnp.zeros((2, dim)),
            residual_gram=jnp.zeros((2, 2)),
            coordinates=kind,
        )

    def in_rows(self, count: int) -> Limit:
        """Return the same limit in `count` rows, if it has fewer: the most probable type is split into equal parts, which move alike.

        Limits of several samples can so be trained by one compiled program.
        """
        parts = count - len(self.labels) + 1
        if parts <= 1:
            return self
        largest = int(np.argmax(self.probabilities))
        times = np.where(np.arange(len(self.labels)) == largest, parts, 1)
        rows = {name: jnp.repeat(getattr(self, name), times) for name in PARTS}
        return replace(self, **rows, probabilities=np.repeat(self.probabilities / times, times))

    @property
    def patches(self) -> NoReturn:
        """Of a limit there are none. Raises ValueError."""
        raise ValueError("`patches` are not written down in a limit: there d is infinite; ask the sample for its own")

    @property
    def noise(self) -> NoReturn:
        """Of a limit there are none. Raises ValueError."""
        raise ValueError(
            "`noise` is not written down in a limit: its vectors are orthogonal, of squared length `noise_squares`"
        )

    @property
    def noise_squares(self) -> Float[np.ndarray, "m P-1"]:
        """e/(n w): of the mean noise vectors of a type's points."""
        shape = (len(self.probabilities), self.distribution.num_patches - 1)
        energies = np.full(shape, self.distribution.background_energy)
        energies[:, 0] = self.distribution.dominant_energy
        return energies / (self.num_samples * self.probabilities[:, None])

    @property
    def feature_counts(self) -> Int[np.ndarray, "2 K"] | None:
        """How many points carry each feature, per label; None of a population, where nothing was drawn."""
        if self.coordinates == "population":
            return None
        return _counts_by_feature(self, self.num_samples * self.probabilities)

    def limit(self) -> Limit:
        """Return the limit itself."""
        return self

    def __str__(self) -> str:
        counts = self.feature_counts
        points = "every type of point" if counts is None else f"points per feature {_counts_text(counts)}"
        return f"Dataset: {self.coordinates} of n = {self.num_samples:,} points at d → ∞, {len(self.labels)} types; {points}"


def _counts_by_feature(dataset: Dataset, points: Float[np.ndarray, " m"] | None) -> Int[np.ndarray, "2 K"]:
    """How many points carry each feature, per label, where a row stands for one point or for several."""
    num_features = dataset.distribution.num_features
    counts = np.bincount(dataset.feature_row, points, minlength=2 * num_features)
    return counts.round().astype(int).reshape(2, num_features)


def _counts_text(counts: Int[np.ndarray, "2 K"]) -> str:
    rows = zip((1, -1), counts, strict=True)
    return ", ".join(f"{label:+d}: " + "/".join(str(count) for count in row) for label, row in rows)
