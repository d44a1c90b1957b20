"""Empirical risk minimisation: the loss without augmentation."""

from __future__ import annotations

from typing import Any, Literal

import jax.numpy as jnp

from augscope.model.methods.base import Draws, Method, average, logistic


class Erm(Method):
    """Σ_i w_i ℓ(y_i f(X_i)), w_i = 1/n unless points have weights (paper, §2.3; model.md §4). Cost O(nP).

    Example:
        >>> import jax, numpy as np, augscope as ag
        >>> jax.config.update("jax_enable_x64", True)
        >>> value, gradient = ag.Erm().loss_and_gradient(np.zeros((2, 3)), np.array([1, -1]))
        >>> round(float(value), 6), gradient[:, 0].tolist()
        (0.693147, [-0.25, 0.25])
    """

    name: Literal["erm"] = "erm"

    @property
    def title(self) -> str:
        """ "ERM"."""
        return "ERM"

    def draw(self, key: Any, num_draws: int, num_patches: int) -> Draws:
        """Return whole points."""
        return Draws(jnp.ones((num_draws, num_patches), bool), None)

    def raw_loss_and_gradient(self, scores: Any, labels: Any, probabilities: Any = None) -> tuple[Any, Any]:
        """Return the loss and gradient without checking arguments."""
        losses, slopes = logistic(labels * scores.sum(axis=1))
        value, gradient = average(losses, (labels * slopes)[:, None], probabilities)
        return value, jnp.broadcast_to(gradient, scores.shape)
