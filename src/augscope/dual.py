"""The dual view (model.md, identity 6.7): weights as coefficients on features and noise vectors.

w_s(t) = w_s(0) + Σ γ_{s,j} v_j + Σ c_{s,i,p} ξ_i^(p). Features are orthonormal and noise is orthogonal to them, so the
projections that the network sees follow from γ and c through one product with the noise vectors' Gram matrix, and one
gradient step adds to γ and c. No loop touches a d-dimensional vector.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from augscope.methods import Method
from augscope.network import BaseNetwork
from augscope.sampling import Dataset


class Coefficients(NamedTuple):
    """How far each filter has moved along each feature (γ) and each noise vector (c) since initialisation."""

    feature: Float[Array, "2 2K"]
    noise: Float[Array, "2 N"]


class Geometry(NamedTuple):
    """What a descent needs of a dataset: inner products, and where each patch sits.

    `gram` is Ξ Ξᵀ (N, N) where that is no larger than reading the noise vectors Ξ (N, D) twice, else None.
    """

    labels: Float[Array, " n"]
    feature_members: Float[Array, "n 2K"]  # 1 where the point carries the feature
    noise_members: Float[Array, "n 2K"]  # α where the feature hides in the point's dominant patch
    slots: Int[Array, "n P"]  # position of each slot (feature, dominant, background …)
    slot_of_position: Int[Array, "n P"]
    noise: Float[Array, "N D"]
    gram: Float[Array, "N N"] | None
    features: Float[Array, "2K D"]
    initial_weights: Float[Array, "2 D"]
    initial_feature: Float[Array, "2 2K"]
    initial_noise: Float[Array, "2 N"]
    residual_gram: Float[Array, "2 2"]


def geometry(dataset: Dataset, store_gram: bool | None = None) -> Geometry:
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
    return Geometry(
        labels=jnp.asarray(dataset.labels, dtype),
        feature_members=jnp.asarray(dataset.feature_row[:, None] == rows, dtype),
        noise_members=distribution.feature_noise * jnp.asarray(dataset.feature_noise_row[:, None] == rows, dtype),
        slots=jnp.asarray(slots),
        slot_of_position=jnp.asarray(np.argsort(slots, axis=1)),
        noise=noise,
        gram=noise @ noise.T if store_gram else None,
        features=features,
        initial_weights=dataset.initial_weights,
        initial_feature=dataset.initial_weights @ features.T,
        initial_noise=dataset.initial_weights @ noise.T,
        residual_gram=dataset.residual_gram,
    )


def start(data: Geometry) -> Coefficients:
    """Return the coefficients of W(0): zeros."""
    return Coefficients(jnp.zeros_like(data.initial_feature), jnp.zeros_like(data.initial_noise))


def feature_projections(data: Geometry, at: Coefficients) -> Float[Array, "2 2K"]:
    """Return ⟨w_s, v_j⟩."""
    return data.initial_feature + at.feature


def slot_projections(data: Geometry, at: Coefficients) -> Float[Array, "2 n P"]:
    """Return ⟨w_s, x⟩ for every patch, in the order feature, dominant, background …"""
    on_features = feature_projections(data, at)
    moved = at.noise @ data.gram if data.gram is not None else (at.noise @ data.noise) @ data.noise.T
    on_noise = (data.initial_noise + moved).reshape(2, data.labels.shape[0], -1)
    hidden = on_features @ data.noise_members.T
    return jnp.concatenate(
        [
            (on_features @ data.feature_members.T)[:, :, None],
            (on_noise[:, :, 0] + hidden)[:, :, None],
            on_noise[:, :, 1:],
        ],
        axis=2,
    )


def scores(data: Geometry, at: Coefficients, network: BaseNetwork) -> tuple[Any, Any]:
    """Return the patch scores (n, P) by position, and the projections they come from, by slot."""
    projections = slot_projections(data, at)
    active = network.activation(projections)
    return jnp.take_along_axis(active[0] - active[1], data.slot_of_position, axis=1), projections


def gradient(data: Geometry, at: Coefficients, network: BaseNetwork, method: Method) -> tuple[Any, Coefficients]:
    """Return the loss and ∂loss/∂w as coefficients.

    The chain rule is ∂a/∂w_s = s φ'(⟨w_s, x⟩) x, and x is a feature, a noise vector, or a noise vector plus α u.
    """
    values, projections = scores(data, at, network)
    loss, score_gradient = method.raw_loss_and_gradient(values, data.labels)
    by_slot = jnp.take_along_axis(score_gradient, data.slots, axis=1)
    signs = jnp.asarray([1, -1], values.dtype)[:, None, None]
    along = signs * by_slot[None] * network.activation_slope(projections)
    on_features = along[:, :, 0] @ data.feature_members + along[:, :, 1] @ data.noise_members
    return loss, Coefficients(on_features, along[:, :, 1:].reshape(2, -1))


def combine(data: Geometry, at: Coefficients) -> Float[Array, "2 D"]:
    """Return Σ γ v + Σ c ξ: the vectors that the coefficients stand for."""
    return at.feature @ data.features + at.noise @ data.noise


def weights(data: Geometry, at: Coefficients) -> Float[Array, "2 D"]:
    """Return W = W(0) + Σ γ v + Σ c ξ. Cost O(N D)."""
    return data.initial_weights + combine(data, at)


def noise_gram(data: Geometry, at: Coefficients) -> Float[Array, "2 2"]:
    """Return M, the Gram matrix of the weights' parts orthogonal to the features, residual included. Cost O(N D)."""
    initial = data.initial_weights - data.initial_feature @ data.features
    orthogonal = initial + at.noise @ data.noise
    return orthogonal @ orthogonal.T + data.residual_gram


class Observation(NamedTuple):
    """Everything that measures need of one step."""

    loss: Any  # ()
    scores: Any  # (n, P) by position
    gradient_norm: Any  # ()
    feature_projections: Any  # (2 filters, 2K)
    noise_gram: Any  # (2, 2)
    noise_coefficients: Any  # (2, N)


@partial(jax.jit, static_argnums=4)
def observe(data: Geometry, at: Coefficients, loss: Any, slope: Coefficients, network: BaseNetwork) -> Observation:
    """Return what measures need at these coefficients, given the loss and its gradient there. Cost O(N D)."""
    norm = jnp.linalg.norm(combine(data, slope))
    return Observation(
        loss, scores(data, at, network)[0], norm, feature_projections(data, at), noise_gram(data, at), at.noise
    )
