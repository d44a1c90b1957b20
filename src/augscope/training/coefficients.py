"""The dual view (model.md, identity 6.7): weights as coefficients on features and noise vectors.

w_s(t) = w_s(0) + Σ γ_{s,j} v_j + Σ c_{s,i,p} ξ_i^(p). Features are orthonormal and noise is orthogonal to them, so the
projections that the network sees follow from γ and c through one product with the noise vectors' Gram matrix, and one
gradient step adds to γ and c. No loop touches a d-dimensional vector.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from augscope.model.dataset import Dataset
from augscope.model.network import BaseNetwork
from augscope.model.patches import PatchData
from augscope.training.patch_geometry import PatchGeometry
from augscope.training.problem import Point


class Coefficients(NamedTuple):
    """How far each filter has moved along each feature (γ) and each noise vector (c) since initialisation."""

    feature: Float[Array, "2 2K"]
    noise: Float[Array, "2 N"]


class Observation(NamedTuple):
    """Everything that measures need of one step."""

    loss: Any  # ()
    scores: Any  # (n, P) by position
    projections: Any  # (2, n, P) by position
    gradient_norm: Any  # ()
    feature_projections: Any  # (2 filters, 2K)
    noise_gram: Any  # (2, 2)
    noise_coefficients: Any  # (2, N)


class NoiseVectors(NamedTuple):
    """The noise vectors Ξ of a drawn sample, and what descent needs of them and W(0)'s part beside the features.

    `gram` is Ξ Ξᵀ (N, N) where that is no larger than reading Ξ (N, D) twice, else None.
    """

    vectors: Float[Array, "N D"]
    lengths: Float[Array, " N"]
    gram: Float[Array, "N N"] | None
    beside: Float[Array, "2 D"]  # W(0) without its part along the features
    residual_gram: Float[Array, "2 2"]

    def with_start(self, share: Float[Array, ""]) -> NoiseVectors:
        """Return the same vectors beside this share of W(0)."""
        return self._replace(beside=share * self.beside, residual_gram=share**2 * self.residual_gram)

    def projections(self, noise: Float[Array, "2 N"]) -> Float[Array, "2 N"]:
        """Return ⟨Σ c ξ, ξ⟩ for coefficients c."""
        return noise @ self.gram if self.gram is not None else (noise @ self.vectors) @ self.vectors.T

    def projections_on(self, noise: Float[Array, "2 N"], rows: Int[Array, " M"]) -> Float[Array, "2 M"]:
        """Return ⟨Σ c ξ, ξ⟩ for some of the vectors alone. Cost O(N M) with the Gram matrix, O(D (N + M)) without."""
        return noise @ self.gram[rows].T if self.gram is not None else (noise @ self.vectors) @ self.vectors[rows].T

    def shift(self, noise: Float[Array, "2 N"]) -> Float[Array, "2 D"]:
        """Return Σ c ξ. Cost O(N D)."""
        return noise @ self.vectors

    def norm(self, along_features: Float[Array, "2 D"], noise: Float[Array, "2 N"]) -> Float[Array, ""]:
        """Return the length of filters with this part along the features and these coefficients of noise. Cost O(N D)."""
        return jnp.linalg.norm(along_features + self.shift(noise))

    def test_gram(self, noise: Float[Array, "2 N"]) -> Float[Array, "2 2"]:
        """Return M, the Gram matrix of the weights' parts orthogonal to the features, residual included. Cost O(N D)."""
        orthogonal = self.beside + self.shift(noise)
        return orthogonal @ orthogonal.T + self.residual_gram


class SomeVectors(NamedTuple):
    """Some of a sample's noise vectors, by row; coefficients remain those of all."""

    all: NoiseVectors
    rows: Int[Array, " M"]

    def projections(self, noise: Float[Array, "2 N"]) -> Float[Array, "2 M"]:
        """Return ⟨Σ c ξ, ξ⟩ for coefficients c of all vectors."""
        return self.all.projections_on(noise, self.rows)

    def of_all(self, noise: Float[Array, "2 M"]) -> Float[Array, "2 N"]:
        """Return coefficients of these vectors as those of all: zero elsewhere; a vector that comes twice has the sum."""
        return jnp.zeros((2, len(self.all.lengths)), noise.dtype).at[:, self.rows].add(noise)


class OrthogonalNoise(NamedTuple):
    """Noise at d → ∞ (model.md §8): vectors that are orthogonal to each other and to all test noise, known by their lengths."""

    lengths: Float[Array, " N"]

    def projections(self, noise: Float[Array, "2 N"]) -> Float[Array, "2 N"]:
        """Return ⟨Σ c ξ, ξ⟩ for coefficients c."""
        return noise * self.lengths[None, :] ** 2

    def shift(self, noise: Float[Array, "2 N"]) -> Float[Array, ""]:
        """Return 0: no coordinate that is kept has a part of Σ c ξ."""
        return jnp.zeros((), noise.dtype)

    def norm(self, along_features: Float[Array, "2 D"], noise: Float[Array, "2 N"]) -> Float[Array, ""]:
        """Return the length of filters with this part along the features and these coefficients of noise."""
        return jnp.sqrt((along_features**2).sum() + ((noise * self.lengths[None, :]) ** 2).sum())

    def test_gram(self, noise: Float[Array, "2 N"]) -> Float[Array, "2 2"]:
        """Return zeros: test noise sees nothing of the filters."""
        return jnp.zeros((2, 2), noise.dtype)


class FeatureNoiseGeometry(NamedTuple):
    """The geometry of a sample of the paper's data (see `problem.Geometry`): inner products, and where each patch sits.

    Two filters, with outputs +1 and −1.
    """

    labels: Float[Array, " n"]
    probabilities: Float[Array, " n"] | None  # of the rows of a limit; None: uniform
    feature_members: Float[Array, "n 2K"]  # 1 where the point carries the feature
    noise_members: Float[Array, "n 2K"]  # α where the feature hides in the point's dominant patch
    slots: Int[Array, "n P"]  # position of each slot (feature, dominant, background …)
    slot_of_position: Int[Array, "n P"]
    noise: Any  # NoiseVectors, OrthogonalNoise or SomeVectors
    features: Float[Array, "2K D"]
    initial_weights: Float[Array, "2 D"]
    initial_feature: Float[Array, "2 2K"]
    initial_noise: Float[Array, "2 N"]

    @property
    def num_patches(self) -> int:
        """P."""
        return self.slots.shape[1]

    def start(self) -> Coefficients:
        """Return the coefficients of W(0): zeros."""
        return Coefficients(jnp.zeros_like(self.initial_feature), jnp.zeros_like(self.initial_noise))

    def with_start(self, share: Float[Array, ""]) -> FeatureNoiseGeometry:
        """Return the geometry of a sample whose initial weights are this share of W(0)."""
        return self._replace(
            noise=self.noise.with_start(share),
            initial_weights=share * self.initial_weights,
            initial_feature=share * self.initial_feature,
            initial_noise=share * self.initial_noise,
        )

    def of_points(self, points: Int[Array, " m"]) -> FeatureNoiseGeometry:
        """Return the geometry as a loss of some of the points sees it; their gradient moves along their vectors alone.

        A point may come more than once. What needs all points (`observe`, `lengths`) belongs to the whole geometry.
        """
        per_point = self.slots.shape[1] - 1
        rows = (points[:, None] * per_point + jnp.arange(per_point)[None, :]).ravel()
        return self._replace(
            labels=self.labels[points],
            feature_members=self.feature_members[points],
            noise_members=self.noise_members[points],
            slots=self.slots[points],
            slot_of_position=self.slot_of_position[points],
            noise=SomeVectors(self.noise, rows),
            initial_noise=self.initial_noise[:, rows],
        )

    def scores(self, coefficients: Coefficients, network: BaseNetwork) -> tuple[Any, Any]:
        """Return the patch scores (n, P) by position, and the projections ⟨w_s, x⟩ (2, n, P) by slot."""
        projections = self._slot_projections(coefficients)
        active = network.activation(projections)
        return jnp.take_along_axis(active[0] - active[1], self.slot_of_position, axis=1), projections

    def gradient(self, by_score: Any, projections: Any, network: BaseNetwork) -> Coefficients:
        """Return ∂loss/∂w as coefficients.

        The chain rule is ∂a/∂w_s = s φ'(⟨w_s, x⟩) x, and x is a feature, a noise vector, or a noise vector plus α u.
        """
        by_slot = jnp.take_along_axis(by_score, self.slots, axis=1)
        signs = jnp.asarray([1, -1], by_score.dtype)[:, None, None]
        return self._on_vectors(signs * by_slot[None] * network.activation_slope(projections))

    def projections(self, coefficients: Coefficients) -> Float[Array, "2 n P"]:
        """Return ⟨w_s, x⟩ for every patch, by position."""
        return jnp.take_along_axis(self._slot_projections(coefficients), self.slot_of_position[None], axis=2)

    def pulled_back(self, by_projection: Float[Array, "2 n P"]) -> Coefficients:
        """Return ∂loss/∂w as coefficients, given ∂loss/∂⟨w_s, x⟩ by position."""
        return self._on_vectors(jnp.take_along_axis(by_projection, self.slots[None], axis=2))

    def _on_vectors(self, along: Float[Array, "2 n P"]) -> Coefficients:
        """A derivative in projections, by slot, as coefficients of the vectors that the patches are made of."""
        on_features = along[:, :, 0] @ self.feature_members + along[:, :, 1] @ self.noise_members
        on_noise = along[:, :, 1:].reshape(2, -1)
        return Coefficients(
            on_features, self.noise.of_all(on_noise) if isinstance(self.noise, SomeVectors) else on_noise
        )

    def norm(self, coefficients: Coefficients) -> Float[Array, ""]:
        """Return ‖Σ γ v + Σ c ξ‖. Cost O(N D)."""
        return self.noise.norm(coefficients.feature @ self.features, coefficients.noise)

    def lengths(self) -> Coefficients:
        """Return the lengths of features and noise vectors."""
        return Coefficients(jnp.ones((1, 1), self.features.dtype), self.noise.lengths[None, :])

    def weights(self, coefficients: Coefficients) -> Float[Array, "2 D"]:
        """Return W = W(0) + Σ γ v + Σ c ξ. Cost O(N D)."""
        return self.initial_weights + (coefficients.feature @ self.features + self.noise.shift(coefficients.noise))

    def observe(self, point: Point, network: BaseNetwork) -> Observation:
        """Return what measures need at a point. Cost O(N D)."""
        at = point.coefficients
        return Observation(
            loss=point.loss,
            scores=self.scores(at, network)[0],
            projections=self.projections(at),
            gradient_norm=self.norm(point.gradient),
            feature_projections=self.initial_feature + at.feature,
            noise_gram=self.noise.test_gram(at.noise),
            noise_coefficients=at.noise,
        )

    def _slot_projections(self, at: Coefficients) -> Float[Array, "2 n P"]:
        """⟨w_s, x⟩ for every patch, in the order feature, dominant, background …"""
        on_features = self.initial_feature + at.feature
        on_noise = (self.initial_noise + self.noise.projections(at.noise)).reshape(2, self.labels.shape[0], -1)
        hidden = on_features @ self.noise_members.T
        return jnp.concatenate(
            [
                (on_features @ self.feature_members.T)[:, :, None],
                (on_noise[:, :, 0] + hidden)[:, :, None],
                on_noise[:, :, 1:],
            ],
            axis=2,
        )


def geometry(dataset: Dataset | PatchData, store_gram: bool | None = None) -> Any:
    """Return the geometry of a dataset. Cost O(N² D) with the Gram matrix, O(N D) without.

    Args:
        dataset: the training set; of own patches the filters themselves are the coefficients.
        store_gram: keep the N × N Gram matrix (True), or multiply by the noise vectors twice a step (False); by
            default whichever reads fewer bytes.
    """
    if isinstance(dataset, PatchData):
        return PatchGeometry.of(dataset)
    distribution, dtype = dataset.distribution, dataset.dtype
    rows = np.arange(2 * distribution.num_features)
    features = dataset.features.reshape(len(rows), -1)
    initial_feature = dataset.initial_weights @ features.T
    if dataset.is_limit:
        noise: NoiseVectors | OrthogonalNoise = OrthogonalNoise(jnp.asarray(np.sqrt(dataset.noise_squares).ravel()))
        initial_noise = jnp.zeros((2, len(noise.lengths)), dtype)
    else:
        beside = dataset.initial_weights - initial_feature @ features
        noise = _noise_vectors(dataset, beside, store_gram)
        initial_noise = dataset.initial_weights @ noise.vectors.T
    slots = dataset.slots
    return FeatureNoiseGeometry(
        labels=jnp.asarray(dataset.labels, dtype),
        probabilities=jnp.asarray(dataset.probabilities) if dataset.is_limit else None,
        feature_members=jnp.asarray(dataset.feature_row[:, None] == rows, dtype),
        noise_members=distribution.feature_noise * jnp.asarray(dataset.feature_noise_row[:, None] == rows, dtype),
        slots=jnp.asarray(slots),
        slot_of_position=jnp.asarray(np.argsort(slots, axis=1)),
        noise=noise,
        features=features,
        initial_weights=dataset.initial_weights,
        initial_feature=initial_feature,
        initial_noise=initial_noise,
    )


def _noise_vectors(dataset: Dataset, beside: Float[Array, "2 D"], store_gram: bool | None) -> NoiseVectors:
    """The noise vectors of a drawn sample, with their Gram matrix if that is wanted."""
    vectors = dataset.noise.reshape(-1, dataset.features.shape[-1])
    if store_gram is None:
        store_gram = vectors.shape[0] <= 2 * vectors.shape[1]
    return NoiseVectors(
        vectors=vectors,
        lengths=jnp.linalg.norm(vectors, axis=1),
        gram=vectors @ vectors.T if store_gram else None,
        beside=beside,
        residual_gram=dataset.residual_gram,
    )
