"""Expected CutMix: the loss averaged over every ordered pair of points and every way of sharing their patches."""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
from pydantic import field_validator

from augscope.methods.base import Method, logistic
from augscope.methods.erm import Erm
from augscope.methods.pair_sums import pair_sums
from augscope.methods.subsets import all_subsets, half_subsets
from augscope.validation import check

MAX_PATCHES = 12  # of a descent: 2^{P−1} − 1 pair sums a step, 2,047 at P = 12
MAX_PATCHES_ONCE = 16  # of a single evaluation: 32,767 pair sums
MAX_ENUMERATED = 2**26  # mixed points held at once by the enumeration: half a gibibyte an array in float64


class CutMix(Method):
    """(1/n²) Σ_{i,j} E_S [λ ℓ(y_i f(X_{i,j,S})) + (1 − λ) ℓ(y_j f(X_{i,j,S}))], λ = |S|/P (paper, §2.3; model.md §4).

    |S| is uniform on {0, …, P}, then S uniform over the |S|-subsets; patch p comes from X_i if p ∈ S, else from X_j.

    Args:
        algorithm: "interpolate" sums over pairs by Chebyshev interpolation, with error at most `tolerance` relative to
            the largest term and exact summation where that cannot be had: cost O(2^P n m), m nodes. "enumerate" visits
            every subset and every ordered pair, differentiated by JAX: cost O(2^P n²), for small sizes. Both go to
            P = 12 in a descent and P = 16 in a single evaluation; for more patches there is `augscope.estimate`.
        tolerance: the interpolation's error bound, in [1e-14, 1e-3].

    Example:
        >>> import jax, numpy as np, augscope as ag
        >>> jax.config.update("jax_enable_x64", True)
        >>> scores, labels = np.array([[1.0, 0.5, 0.0], [-1.0, 0.0, -0.5]]), np.array([1, -1])
        >>> fast, slow = (ag.CutMix(algorithm=name).loss(scores, labels) for name in ("interpolate", "enumerate"))
        >>> round(float(fast), 9), abs(float(fast - slow)) < 1e-12
        (0.326109988, True)
    """

    name: Literal["cutmix"] = "cutmix"
    algorithm: Literal["interpolate", "enumerate"] = "interpolate"
    tolerance: float = 1e-12

    @field_validator("tolerance")
    @classmethod
    def _check_tolerance(cls, tolerance: float) -> float:
        check(1e-14 <= tolerance <= 1e-3, f"`tolerance` must be in [1e-14, 1e-3], got {tolerance}")
        return tolerance

    @property
    def title(self) -> str:
        """ "CutMix"."""
        return "CutMix"

    def check_num_patches(self, num_patches: int) -> None:
        """Raise ValueError if a descent cannot sum over the subsets of so many patches."""
        check(
            num_patches <= MAX_PATCHES,
            f"`num_patches` must be at most {MAX_PATCHES} for exact CutMix, got {num_patches}: "
            f"its 2^{num_patches} subsets do not fit, P = {MAX_PATCHES} does; "
            "`augscope.estimate` gives single losses and gradients at any P",
        )

    def check_evaluation(self, num_samples: int, num_patches: int) -> None:
        """Raise ValueError if there are too many patches for sums over subsets."""
        check(
            num_patches <= MAX_PATCHES_ONCE,
            f"`num_patches` must be at most {MAX_PATCHES_ONCE} for exact CutMix, got {num_patches}: "
            "use `augscope.estimate`, which takes any number",
        )

    def raw_loss_and_gradient(self, scores: Any, labels: Any) -> tuple[Any, Any]:
        """Return the loss and gradient without checking arguments."""
        if self.algorithm == "enumerate":
            return jax.value_and_grad(_enumerated_loss)(scores, labels)
        num_samples, num_patches = scores.shape
        # The empty and the full set leave one point unmixed: an ERM loss of probability 2/(P+1).
        whole, whole_gradient = Erm().raw_loss_and_gradient(scores, labels)
        members, law = half_subsets(num_patches)
        mixed, mixed_gradient = pair_sums(scores, labels, members, law, self.tolerance)
        weight = 2 / (num_patches + 1)
        value = weight * whole + mixed / num_samples**2
        return value, weight * whole_gradient + mixed_gradient / num_samples**2


def _enumerated_loss(scores: Any, labels: Any) -> Any:
    """The CutMix loss term by term: every subset, every ordered pair (the definition, in arrays)."""
    num_samples, num_patches = scores.shape
    members, law = all_subsets(num_patches)
    size = len(law) * num_samples**2
    check(
        size <= MAX_ENUMERATED,
        f"`algorithm` = enumerate would hold {size:,} mixed points ({size * scores.dtype.itemsize:,} bytes an array), "
        f"at most {MAX_ENUMERATED:,} fit: use the default algorithm",
    )
    inside = jnp.asarray(members, scores.dtype)
    mixed = (inside @ scores.T)[:, :, None] + ((1 - inside) @ scores.T)[:, None, :]  # (subsets, i, j)
    share = inside.mean(axis=1)[:, None, None]
    terms = (
        share * logistic(labels[None, :, None] * mixed)[0] + (1 - share) * logistic(labels[None, None, :] * mixed)[0]
    )
    return (jnp.asarray(law, scores.dtype)[:, None, None] * terms).sum() / num_samples**2
