"""Patches of one's own in the one loop: a geometry in which the filters themselves move."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from augscope.model.network import BaseNetwork
from augscope.model.patches import PatchData
from augscope.training.problem import Point


class PatchObservation(NamedTuple):
    """Everything that measures need of one step."""

    loss: Any  # ()
    scores: Any  # (n, P)
    projections: Any  # (2, n, P)
    gradient_norm: Any  # ()
    test_scores: Any  # (m, P)


class PatchGeometry(NamedTuple):
    """The geometry of own patches (see `problem.Geometry`): coefficients are W − W(0), (2, d). A step costs O(n P d)."""

    labels: Float[Array, " n"]
    patches: Float[Array, "n P d"]
    test_patches: Float[Array, "m P d"]
    initial_weights: Float[Array, "2 d"]

    @classmethod
    def of(cls, data: PatchData) -> PatchGeometry:
        """Return the geometry of a training set."""
        return cls(jnp.asarray(data.labels, data.dtype), data.patches, data.test_patches, data.initial_weights)

    @property
    def num_patches(self) -> int:
        """P."""
        return self.patches.shape[1]

    def start(self) -> Float[Array, "2 d"]:
        """Return the coefficients of W(0): zeros."""
        return jnp.zeros_like(self.initial_weights)

    def with_start(self, share: Float[Array, ""]) -> PatchGeometry:
        """Return the geometry with this share of W(0)."""
        return self._replace(initial_weights=share * self.initial_weights)

    def of_points(self, points: Int[Array, " m"]) -> PatchGeometry:
        """Return the geometry as a loss of some of the points sees it."""
        return self._replace(labels=self.labels[points], patches=self.patches[points])

    def projections(self, coefficients: Float[Array, "2 d"]) -> Float[Array, "2 n P"]:
        """Return ⟨w_s, x⟩ for every patch."""
        return jnp.einsum("hd,npd->hnp", self.weights(coefficients), self.patches)

    def scores(self, coefficients: Float[Array, "2 d"], network: BaseNetwork) -> tuple[Any, Any]:
        """Return the patch scores (n, P), and the projections (2, n, P)."""
        projections = self.projections(coefficients)
        active = network.activation(projections)
        return active[0] - active[1], projections

    def gradient(self, by_score: Any, projections: Any, network: BaseNetwork) -> Float[Array, "2 d"]:
        """Return ∂loss/∂w, by the chain rule: ∂a/∂w_s = s φ'(⟨w_s, x⟩) x."""
        signs = jnp.asarray([1, -1], by_score.dtype)[:, None, None]
        return self.pulled_back(signs * by_score[None] * network.activation_slope(projections))

    def pulled_back(self, by_projection: Float[Array, "2 n P"]) -> Float[Array, "2 d"]:
        """Return ∂loss/∂w, given ∂loss/∂⟨w_s, x⟩."""
        return jnp.einsum("hnp,npd->hd", by_projection, self.patches)

    def norm(self, coefficients: Float[Array, "2 d"]) -> Float[Array, ""]:
        """Return the length of all coefficients."""
        return jnp.linalg.norm(coefficients)

    def lengths(self) -> Float[Array, "2 d"]:
        """Return ones: coefficients are along unit vectors."""
        return jnp.ones_like(self.initial_weights)

    def weights(self, coefficients: Float[Array, "2 d"]) -> Float[Array, "2 d"]:
        """Return W."""
        return self.initial_weights + coefficients

    def observe(self, point: Point, network: BaseNetwork) -> PatchObservation:
        """Return what measures need at a point."""
        scores, projections = self.scores(point.coefficients, network)
        tested = self._replace(patches=self.test_patches).scores(point.coefficients, network)[0]
        return PatchObservation(point.loss, scores, projections, self.norm(point.gradient), tested)
