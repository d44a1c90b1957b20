"""Test accuracy in the high-dimensional limit, where test noise has no effect: exactly 0, ½ or 1 (model.md §8.4)."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from augscope.model.network import BaseNetwork


def limit_margins(projections: Float[Array, "2 2K"], feature_noise: Any, network: BaseNetwork) -> Float[Array, "2 2 K"]:
    """Return y (A_{y,k} + a_u), whose sign decides a test point: A the score of its feature, a_u that of α u.

    Args:
        projections: ⟨w_s, v⟩, the filter first; features of label +1 before those of label −1.
        feature_noise: α.
        network: the activation.

    Returns:
        An array by u (v_{+1,1} first), label (+1 first) and feature. Traceable by JAX, in 64 bits where they are.
    """
    num_features = projections.shape[1] // 2
    active = network.activation(projections)
    scores = (active[0] - active[1]).reshape(1, 2, num_features)
    pull = network.activation(feature_noise * projections[:, ::num_features])  # of α v_{+1,1} and α v_{−1,1}
    signs = jnp.asarray([1, -1], projections.dtype)[None, :, None]
    return signs * (scores + (pull[0] - pull[1])[:, None, None])


def limit_accuracies(
    projections: Float[Array, "2 2K"], feature_noise: Any, network: BaseNetwork
) -> Float[Array, "2 K"]:
    """Return P[y f > 0 | label, feature] in the limit, the share of u for which `limit_margins` is above 0: 0, ½ or 1."""
    return (limit_margins(projections, feature_noise, network) > 0).mean(axis=0)
