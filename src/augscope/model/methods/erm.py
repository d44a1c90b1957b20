"""Empirical risk minimisation: the loss without augmentation."""

from __future__ import annotations

from typing import Any, Literal

import jax.numpy as jnp

from augscope.model.methods.base import Method, logistic


class Erm(Method):
    """(1/n) Σ_i ℓ(y_i f(X_i)) (paper, §2.3; model.md §4). Cost O(nP).

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

    def raw_loss_and_gradient(self, scores: Any, labels: Any) -> tuple[Any, Any]:
        """Return the loss and gradient without checking arguments."""
        num_samples = scores.shape[0]
        losses, slopes = logistic(labels * scores.sum(axis=1))
        return losses.mean(), jnp.broadcast_to((labels * slopes / num_samples)[:, None], scores.shape)
