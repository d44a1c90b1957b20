"""Expected CutMix: the loss averaged over every ordered pair of points and every way of sharing their patches; its plateau."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from pydantic import field_validator
from scipy.special import expit

from augscope.model.methods.base import NO_PLATEAU, Draws, Method, Plateau, logistic
from augscope.model.methods.erm import Erm
from augscope.model.methods.pair_sums import pair_sums
from augscope.model.methods.subsets import all_subsets, half_subsets
from augscope.support.values import check

MAX_PATCHES = 12  # of a descent: 2^{P−1} − 1 pair sums a step, 2,047 at P = 12
MAX_PATCHES_ONCE = 16  # of a single evaluation: 32,767 pair sums
MAX_ENUMERATED = 2**26  # mixed points held at once by the enumeration: half a gibibyte an array in float64


class CutMix(Method):
    """Σ_{i,j} w_i w_j E_S [λ ℓ(y_i f(X_{i,j,S})) + (1 − λ) ℓ(y_j f(X_{i,j,S}))], λ = |S|/P (paper, §2.3; model.md §4).

    w_i = 1/n unless points have weights. |S| is uniform on {0, …, P}, then S uniform over the |S|-subsets; patch p comes from X_i if p ∈ S, else from X_j.

    Args:
        algorithm: "interpolate" sums over pairs by Chebyshev interpolation, with error at most `tolerance` relative to
            the largest term and exact summation where that cannot be had: cost O(2^P n m), m nodes. "enumerate" visits
            every subset and every ordered pair, differentiated by JAX: cost O(2^P n²), for small sizes. Both go to
            P = 12 in a descent and P = 16 in a single evaluation; for more patches there is `augscope.estimate`.
        tolerance: the interpolation's error bound, in [1e-14, 1e-3]. Rounding comes on top: scores of size s round by
            1e-16 s, which shows where they cancel (s = 1e8, sums of order 1: relative errors of 1e-9).

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

    def draw(self, key: Any, num_draws: int, num_patches: int) -> Draws:
        """Return mixed points: coin flips whose probability is uniform on [0, 1], which is the same law (model.md, identity 6.4)."""
        key_share, key_patches = jax.random.split(key)
        chance = jax.random.uniform(key_share, (num_draws, 1))
        own = jax.random.uniform(key_patches, (num_draws, num_patches)) < chance
        return Draws(own, own.mean(axis=1, dtype=chance.dtype))

    def raw_loss_and_gradient(self, scores: Any, labels: Any, probabilities: Any = None) -> tuple[Any, Any]:
        """Return the loss and gradient without checking arguments."""
        if self.algorithm == "enumerate":
            return jax.value_and_grad(enumerated_loss)(scores, labels, probabilities)
        num_patches = scores.shape[1]
        # The empty and the full set leave one point unmixed: an ERM loss of probability 2/(P+1).
        whole, whole_gradient = Erm().raw_loss_and_gradient(scores, labels, probabilities)
        members, law = half_subsets(num_patches)
        mixed, mixed_gradient = pair_sums(scores, labels, probabilities, members, law, self.tolerance)
        weight = 2 / (num_patches + 1)
        return weight * whole + mixed, weight * whole_gradient + mixed_gradient

    def augmented_margins(self, scores: Any, labels: Any) -> Any:
        """Return NaN for each point, (n,): a mixed point has two labels."""
        return np.full(len(scores), np.nan)

    def plateau(self, num_patches: int, positive_share: float) -> Plateau:
        """Return `cutmix_plateau`."""
        return cutmix_plateau(num_patches, positive_share)


def enumerated_loss(scores: Any, labels: Any, probabilities: Any = None) -> Any:
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
    terms = jnp.asarray(law, scores.dtype)[:, None, None] * terms
    if probabilities is None:
        return terms.sum() / num_samples**2
    return (terms @ probabilities @ probabilities).sum()


@lru_cache(maxsize=256)
def cutmix_plateau(num_patches: int, positive_share: float) -> Plateau:
    """Return (c_+, c_−, loss): the even scores at which CutMix settles and its least loss over all scores (identity 6.8).

    Every patch of a +1 point scores c_+, of a −1 point −c_−. For P ≥ 3 and both labels present the minimum is finite and
    global; otherwise all three are NaN.

    Args:
        num_patches: P ≥ 2.
        positive_share: share of training points with label +1, in [0, 1].

    Example:
        >>> import augscope as ag
        >>> [round(value, 5) for value in ag.cutmix_plateau(3, 137 / 300)[:2]]
        [1.38873, 1.40578]
    """
    check(num_patches >= 2, f"`num_patches` must be at least 2, got {num_patches}")
    check(0 <= positive_share <= 1, f"`positive_share` must be in [0, 1], got {positive_share}")
    if num_patches < 3 or positive_share in (0, 1):
        return NO_PLATEAU
    directions, weights = _even_terms(num_patches, positive_share)
    at = np.ones(2)
    for _ in range(100):  # Newton, damped: smooth and convex in two variables
        margins = directions @ at
        slope = -(weights * expit(-margins)) @ directions
        curvature = (directions * (weights * expit(margins) * expit(-margins))[:, None]).T @ directions
        step = np.linalg.solve(curvature, slope)
        at = at - step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-14:
            break
    return Plateau(float(at[0]), float(at[1]), float(weights @ np.logaddexp(0, -directions @ at)))


def _even_terms(num_patches: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """The even CutMix loss as Σ weight · ℓ(direction · (c_+, c_−)): rows of directions, and weights."""
    rows: list[tuple[float, float, float]] = [(num_patches, 0, share**2), (0, num_patches, (1 - share) ** 2)]
    for size in range(num_patches + 1):  # a mixed pair with `size` patches from the point with label +1
        mixed = 2 * share * (1 - share) / (num_patches + 1)
        part = size / num_patches
        rows += [(size, size - num_patches, mixed * part), (-size, num_patches - size, mixed * (1 - part))]
    table = np.array(rows)
    return table[:, :2], table[:, 2]
