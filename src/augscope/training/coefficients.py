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

from augscope.model.network import BaseNetwork
from augscope.model.sampling import Dataset
from augscope.training.problem import Point


class Coefficients(NamedTuple):
    """How far each filter has moved along each feature (γ) and each noise vector (c) since initialisation."""

    feature: Float[Array, "2 2K"]
    noise: Float[Array, "2 N"]


class Observation(NamedTuple):
    """Everything that measures need of one step."""

    loss: Any  # ()
    scores: Any  # (n, P) by position
    gradient_norm: Any  # ()
    feature_projections: Any  # (2 filters, 2K)
    noise_gram: Any  # (2, 2)
    noise_coefficients: Any  # (2, N)


class FeatureNoiseGeometry(NamedTuple):
    """The geometry of a sample of the paper's data (see `problem.Geometry`): inner products, and where each patch sits.

    Two filters, with outputs +1 and −1. `gram` is Ξ Ξᵀ (N, N) where that is no larger than reading the noise vectors
    Ξ (N, D) twice, else None.
    """

    labels: Float[Array, " n"]
    feature_members: Float[Array, "n 2K"]  # 1 where the point carries the feature
    noise_members: Float[Array, "n 2K"]  # α where the feature hides in the point's dominant patch
    slots: Int[Array, "n P"]  # position of each slot (feature, dominant, background …)
    slot_of_position: Int[Array, "n P"]
    noise: Float[Array, "N D"]
    noise_lengths: Float[Array, " N"]
    gram: Float[Array, "N N"] | None
    features: Float[Array, "2K D"]
    initial_weights: Float[Array, "2 D"]
    initial_feature: Float[Array, "2 2K"]
    initial_noise: Float[Array, "2 N"]
    residual_gram: Float[Array, "2 2"]

    def start(self) -> Coefficients:
        """Return the coefficients of W(0): zeros."""
        return Coefficients(jnp.zeros_like(self.initial_feature), jnp.zeros_like(self.initial_noise))

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
        along = signs * by_slot[None] * network.activation_slope(projections)
        on_features = along[:, :, 0] @ self.feature_members + along[:, :, 1] @ self.noise_members
        return Coefficients(on_features, along[:, :, 1:].reshape(2, -1))

    def norm(self, coefficients: Coefficients) -> Float[Array, ""]:
        """Return ‖Σ γ v + Σ c ξ‖. Cost O(N D)."""
        return jnp.linalg.norm(self._vectors(coefficients))

    def lengths(self) -> Coefficients:
        """Return the lengths of features and noise vectors."""
        return Coefficients(jnp.ones((1, 1), self.noise.dtype), self.noise_lengths[None, :])

    def weights(self, coefficients: Coefficients) -> Float[Array, "2 D"]:
        """Return W = W(0) + Σ γ v + Σ c ξ. Cost O(N D)."""
        return self.initial_weights + self._vectors(coefficients)

    def noise_gram(self, coefficients: Coefficients) -> Float[Array, "2 2"]:
        """Return M, the Gram matrix of the weights' parts orthogonal to the features, residual included. Cost O(N D)."""
        initial = self.initial_weights - self.initial_feature @ self.features
        orthogonal = initial + coefficients.noise @ self.noise
        return orthogonal @ orthogonal.T + self.residual_gram

    def observe(self, point: Point, network: BaseNetwork) -> Observation:
        """Return what measures need at a point. Cost O(N D)."""
        at = point.coefficients
        return Observation(
            loss=point.loss,
            scores=self.scores(at, network)[0],
            gradient_norm=self.norm(point.gradient),
            feature_projections=self.initial_feature + at.feature,
            noise_gram=self.noise_gram(at),
            noise_coefficients=at.noise,
        )

    def _vectors(self, coefficients: Coefficients) -> Float[Array, "2 D"]:
        """Σ γ v + Σ c ξ: the vectors that the coefficients stand for."""
        return coefficients.feature @ self.features + coefficients.noise @ self.noise

    def _slot_projections(self, at: Coefficients) -> Float[Array, "2 n P"]:
        """⟨w_s, x⟩ for every patch, in the order feature, dominant, background …"""
        on_features = self.initial_feature + at.feature
        moved = at.noise @ self.gram if self.gram is not None else (at.noise @ self.noise) @ self.noise.T
        on_noise = (self.initial_noise + moved).reshape(2, self.labels.shape[0], -1)
        hidden = on_features @ self.noise_members.T
        return jnp.concatenate(
            [
                (on_features @ self.feature_members.T)[:, :, None],
                (on_noise[:, :, 0] + hidden)[:, :, None],
                on_noise[:, :, 1:],
            ],
            axis=2,
        )


def geometry(dataset: Dataset, store_gram: bool | None = None) -> FeatureNoiseGeometry:
    """Return the geometry of a dataset. Cost O(N² D) with the Gram matrix, O(N D) without.

    Args:
        dataset: the training set.
        store_gram: keep the N × N Gram matrix (True), or multiply by the noise vectors twice a step (False); by
            default whichever reads fewer bytes.
    """
    distribution, dtype = dataset.distribution, dataset.patches.dtype
    rows = np.arange(2 * distribution.num_features)
    noise = dataset.noise.reshape(-1, dataset.patches.shape[-1])
    features = dataset.features.reshape(len(rows), -1)
    if store_gram is None:
        store_gram = noise.shape[0] <= 2 * noise.shape[1]
    slots = dataset.slots
    return FeatureNoiseGeometry(
        labels=jnp.asarray(dataset.labels, dtype),
        feature_members=jnp.asarray(dataset.feature_row[:, None] == rows, dtype),
        noise_members=distribution.feature_noise * jnp.asarray(dataset.feature_noise_row[:, None] == rows, dtype),
        slots=jnp.asarray(slots),
        slot_of_position=jnp.asarray(np.argsort(slots, axis=1)),
        noise=noise,
        noise_lengths=jnp.linalg.norm(noise, axis=1),
        gram=noise @ noise.T if store_gram else None,
        features=features,
        initial_weights=dataset.initial_weights,
        initial_feature=dataset.initial_weights @ features.T,
        initial_noise=dataset.initial_weights @ noise.T,
        residual_gram=dataset.residual_gram,
    )
