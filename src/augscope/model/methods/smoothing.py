"""Label smoothing around any method of scores."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import SerializeAsAny, field_validator

from augscope.model.methods.base import Method, call_loss
from augscope.model.methods.erm import Erm
from augscope.support.values import check


class LabelSmoothing(Method):
    """(1 − ε/2) L(labels) + (ε/2) L(−labels): every label, mixed ones too, has the weight ε/2 of the other class (ε/K, K = 2).

    Args:
        epsilon: ε in [0, 1].
        method: whose loss L is smoothed, one of scores; in files its name or table.

    Example:
        >>> import jax, numpy as np, augscope as ag
        >>> jax.config.update("jax_enable_x64", True)
        >>> method = ag.LabelSmoothing(epsilon=0.2, method=ag.Cutout())
        >>> method.title, round(float(method.loss(np.zeros((2, 3)), np.array([1, -1]))), 6)
        ('Cutout, labels smoothed by 0.2', 0.693147)
    """

    name: Literal["label_smoothing"] = "label_smoothing"
    epsilon: float = 0.1
    method: SerializeAsAny[Method] = Erm()

    @field_validator("epsilon")
    @classmethod
    def _check_epsilon(cls, epsilon: float) -> float:
        check(0 <= epsilon <= 1, f"`epsilon` must be in [0, 1], got {epsilon}")
        return epsilon

    @field_validator("method")
    @classmethod
    def _check_method(cls, method: Method) -> Method:
        check(not method.of_projections, f"`method` must be one of scores to be smoothed, got {method.title}")
        return method

    @property
    def title(self) -> str:
        """The method's, with ε."""
        return f"{self.method.title}, labels smoothed by {self.epsilon:g}"

    @property
    def takes_probabilities(self) -> bool:
        """Whether the method does."""
        return self.method.takes_probabilities

    def check_num_patches(self, num_patches: int) -> None:
        """Raise ValueError where the method does."""
        self.method.check_num_patches(num_patches)

    def check_evaluation(self, num_samples: int, num_patches: int) -> None:
        """Raise ValueError where the method does."""
        self.method.check_evaluation(num_samples, num_patches)

    def raw_loss_and_gradient(self, scores: Any, labels: Any, probabilities: Any = None) -> tuple[Any, Any]:
        """Return the loss and gradient without checking arguments."""
        parts = [call_loss(self.method.raw_loss_and_gradient, scores, sign * labels, probabilities) for sign in (1, -1)]
        weights = 1 - self.epsilon / 2, self.epsilon / 2
        loss, gradient = (
            sum(w * part for w, part in zip(weights, both, strict=True)) for both in zip(*parts, strict=True)
        )
        return loss, gradient

    def augmented_margins(self, scores: Any, labels: Any) -> Any:
        """Return the method's."""
        return self.method.augmented_margins(scores, labels)
