"""Expected Cutout: the loss averaged over every way of removing C patches."""

from __future__ import annotations

from math import comb
from typing import Any, Literal

import jax.numpy as jnp
from pydantic import field_validator

from augscope.model.methods.base import Draws, Method, average, logistic, signed_scores
from augscope.model.methods.cut_frequencies import expected_loss
from augscope.model.methods.subsets import drawn_subsets, kept_patches
from augscope.support.values import check

MAX_SUBSETS = 100_000  # above this, a table of subsets is the wrong tool: a step would take seconds
MAX_PATCHES = 256  # of "frequencies": at P = 256, C = 127 and n = 300 an evaluation takes half a minute


class Cutout(Method):
    """Σ_i w_i E_𝒞 ℓ(y_i f(X_{i,𝒞})), w_i = 1/n by default, 𝒞 uniform over the C-subsets, patches in 𝒞 become 0 (paper, §2.3; model.md §4).

    φ(0) = 0, so a removed patch scores 0.

    Args:
        num_cut: C, patches that Cutout removes, 1 ≤ C < P. Theorem 3.2 asks for C < P/2.
        algorithm: "enumerate" visits every subset, at most 100,000: cost O(n P binom(P, C)), errors relative to each term.
            "frequencies" expands ℓ in cosines, with no table of subsets: cost O(n P C Z), Z the largest |f| of a cut point
            (from about 33 on), and an error of loss and gradient terms below 1e-13 (1 + Z) in absolute value (1e-4 (1 + Z)
            in float32). Past Z = 600,000 it gives NaN.

    Example:
        >>> import jax, numpy as np, augscope as ag
        >>> jax.config.update("jax_enable_x64", True)
        >>> value, gradient = ag.Cutout(1).loss_and_gradient(np.ones((1, 3)), np.array([1]))
        >>> round(float(value), 6)
        0.126928
        >>> many = ag.Cutout(num_cut=31, algorithm="frequencies")  # binom(64, 31) = 1.8e18 subsets
        >>> round(float(many.loss(np.full((1, 64), 0.1), np.array([1]))), 6), round(float(np.log1p(np.exp(-3.3))), 6)
        (0.036219, 0.036219)
    """

    name: Literal["cutout"] = "cutout"
    num_cut: int = 1
    algorithm: Literal["enumerate", "frequencies"] = "enumerate"

    def __init__(self, num_cut: int = 1, **fields: Any) -> None:
        super().__init__(**{"num_cut": num_cut, **fields})

    @field_validator("num_cut")
    @classmethod
    def _check_num_cut(cls, num_cut: int) -> int:
        check(num_cut >= 1, f"`num_cut` must be in [1, P), got {num_cut}")
        return num_cut

    @property
    def title(self) -> str:
        """ "Cutout", with C where it is not 1."""
        return "Cutout" if self.num_cut == 1 else f"Cutout (C = {self.num_cut})"

    def check_num_patches(self, num_patches: int) -> None:
        """Raise ValueError unless C < P and the algorithm can handle as many subsets."""
        check(self.num_cut < num_patches, f"`num_cut` must be in [1, P), got {self.num_cut} with P = {num_patches}")
        if self.algorithm == "frequencies":
            check(
                num_patches <= MAX_PATCHES, f"`num_patches` must be at most {MAX_PATCHES} for Cutout, got {num_patches}"
            )
            return
        subsets = comb(num_patches, self.num_cut)
        check(
            subsets <= MAX_SUBSETS,
            f"`num_cut` = {self.num_cut} of P = {num_patches} patches makes {subsets:,} subsets, "
            f"more than the {MAX_SUBSETS:,} that can be enumerated: ask for `algorithm` = 'frequencies'",
        )

    def draw(self, key: Any, num_draws: int, num_patches: int) -> Draws:
        """Return points without C patches, every C-subset equally likely."""
        return Draws(~drawn_subsets(key, self.num_cut, (num_draws, num_patches)), None)

    def raw_loss_and_gradient(self, scores: Any, labels: Any, probabilities: Any = None) -> tuple[Any, Any]:
        """Return the loss and gradient without checking arguments."""
        if self.algorithm == "frequencies":
            value, slopes = expected_loss(labels[:, None] * scores, self.num_cut, probabilities)
            return value, labels[:, None] * slopes
        kept = jnp.asarray(kept_patches(scores.shape[1], self.num_cut), scores.dtype)
        losses, slopes = logistic(labels[None, :] * (kept @ scores.T))  # (subsets, n)
        return average(losses, labels[:, None] * (slopes.T @ kept), probabilities)

    def augmented_margins(self, scores: Any, labels: Any) -> Any:
        """Return each point's smallest y f over all subsets: cutting its C largest signed scores. Cost O(nP log P)."""
        signed = signed_scores(scores, labels)
        signed = signed.__array_namespace__().sort(signed, axis=1)
        return signed[:, : signed.shape[1] - self.num_cut].sum(axis=1)
