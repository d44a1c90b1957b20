"""Expected Mixup: the loss averaged over every ordered pair of points, blended patch by patch, and over the law of the blend."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pydantic import field_validator
from scipy.special import roots_jacobi

from augscope.model.methods.base import Draws, Method, logistic
from augscope.support.values import check

BLOCK = 2**19  # projections of blended points held at a time: 4 MiB an array in float64
MOST_TERMS = 2**31  # pairs × nodes of one evaluation: above, a step would take minutes


class Mixup(Method):
    """Σ_{i,j} w_i w_j E_λ [λ ℓ(y_i f(X)) + (1 − λ) ℓ(y_j f(X))], X = λ X_i + (1 − λ) X_j patch by patch (Zhang et al. 2018).

    Blends are of inputs, so that the loss is one of the projections ⟨w_s, x⟩, not of scores. (i, j, λ) and (j, i, 1 − λ) are the
    same blend with the same label weights: the loss depends on the law through its mean with its mirror image alone.

    Args:
        law: λ itself, in [0, 1] (0.5: midpoint), or a and b > 0 of Beta(a, b).
        nodes: of the Gauss–Jacobi rule for Beta, from 2 to 4,096. φ'' jumps, so the rule converges algebraically:
            `rule_error` says by how much it misses.

    Cost: O(n² P) for each node (two where a law is not symmetric), in blocks of bounded memory.

    Example:
        >>> import jax, jax.numpy as jnp, augscope as ag
        >>> jax.config.update("jax_enable_x64", True)
        >>> projections, labels = jnp.array([[[2.0], [-1.0]], [[-1.0], [2.0]]]), jnp.array([1.0, -1.0])
        >>> loss, slopes = ag.Mixup(law=0.5).loss_of_projections(projections, labels, ag.Network())
        >>> round(float(loss), 6), slopes.shape  # two points blended are undecided: (ℓ(f) + log 2) / 2
        (0.434411, (2, 2, 1))
    """

    name: Literal["mixup"] = "mixup"
    law: float | tuple[float, float] = 0.5
    nodes: int = 64

    @field_validator("law")
    @classmethod
    def _check_law(cls, law: float | tuple[float, float]) -> float | tuple[float, float]:
        if isinstance(law, tuple):
            check(min(law) > 0, f"`law` must be λ or the two parameters of Beta, above 0, got {law}")
        else:
            check(0 <= law <= 1, f"`law` must be λ in [0, 1] or the two parameters of Beta, got {law}")
        return law

    @field_validator("nodes")
    @classmethod
    def _check_nodes(cls, nodes: int) -> int:
        check(2 <= nodes <= 4_096, f"`nodes` must be from 2 to 4,096, got {nodes}")
        return nodes

    @property
    def title(self) -> str:
        """ "Mixup" with its law, unless that is the midpoint."""
        if isinstance(self.law, tuple):
            return f"Mixup, Beta({self.law[0]:g}, {self.law[1]:g})"
        return "Mixup" if self.law == 0.5 else f"Mixup, λ = {self.law:g}"

    def check_evaluation(self, num_samples: int, num_patches: int) -> None:
        """Raise ValueError if there are too many blends for one evaluation."""
        count, nodes = num_samples**2, len(blend_rule(self.law, self.nodes)[0])
        check(
            count * nodes <= MOST_TERMS,
            f"`methods`: Mixup of {num_samples:,} points and {nodes:,} nodes makes {count * nodes:,} blends a step, "
            f"at most {MOST_TERMS:,} fit: {int((MOST_TERMS / nodes) ** 0.5):,} points, or fewer nodes",
        )

    def raw_loss_of_projections(
        self, projections: Any, labels: Any, network: Any, probabilities: Any = None
    ) -> tuple[Any, Any]:
        """Return the loss and its derivative in the projections (2, n, P), without checking arguments."""
        num_samples = labels.shape[0]
        weights = jnp.full(num_samples, 1 / num_samples, labels.dtype) if probabilities is None else probabilities
        shares, law = (jnp.asarray(part, labels.dtype) for part in blend_rule(self.law, self.nodes))
        positive = (1 + labels) / 2

        def row(i: Any) -> tuple[Any, Any]:
            """All blends in which point i has the share λ: by the law's symmetry they carry half of i's derivative."""

            def node(share: Any) -> tuple[Any, Any]:
                blended = share * projections[:, i, None, :] + (1 - share) * projections
                active = network.activation(blended)
                output = (active[0] - active[1]).sum(axis=-1)
                negative = 1 - (share * positive[i] + (1 - share) * positive)  # label weight of −1: ℓ(−f) = ℓ(f) + f
                losses, slopes = logistic(output)
                signs = jnp.asarray([1, -1], output.dtype)[:, None, None]
                by_blend = signs * (slopes + negative)[None, :, None] * network.activation_slope(blended)
                pair = weights[i] * weights
                return pair @ (losses + negative * output), 2 * share * jnp.einsum("j,sjp->sp", pair, by_blend)

            losses, slopes = jax.vmap(node)(shares)
            return law @ losses, jnp.einsum("q,qsp->sp", law, slopes)

        size = max(1, min(num_samples, BLOCK // (projections.size * len(law))))
        losses, slopes = jax.lax.map(row, jnp.arange(num_samples), batch_size=size)
        return losses.sum(), jnp.moveaxis(slopes, 0, 1)

    def rule_error(
        self,
        projections: Float[Array, "2 n P"],
        labels: Float[Array, " n"],
        network: Any,
        probabilities: Float[Array, " n"] | None = None,
    ) -> float:
        """Return by how much the loss changes with four times the nodes: about what the rule misses; 0 for a fixed λ."""
        if not isinstance(self.law, tuple):
            return 0.0
        finer = self.replace(nodes=min(4 * self.nodes, 4_096))
        both = [one.loss_of_projections(projections, labels, network, probabilities)[0] for one in (self, finer)]
        return float(abs(both[0] - both[1]))

    def draw(self, key: Any, num_draws: int, num_patches: int) -> Draws:
        """Return blends: shares of all patches of a point, the rest of a partner's."""
        if isinstance(self.law, tuple):
            share = jax.random.beta(key, *self.law, shape=(num_draws,))
        else:
            share = jnp.full(num_draws, self.law)
        return Draws(jnp.broadcast_to(share[:, None], (num_draws, num_patches)), share)

    def augmented_margins(self, scores: Any, labels: Any) -> Any:
        """Return NaN for each point, (n,): a blend has two labels."""
        return np.full(len(scores), np.nan)


@lru_cache(maxsize=64)
def blend_rule(law: float | tuple[float, float], nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return λ and weights of sum 1 of a rule for the law's mean with its mirror image: exact for polynomials in λ to 2 nodes − 1.

    Example:
        >>> from augscope.model.methods.mixup import blend_rule
        >>> [part.tolist() for part in blend_rule(0.25, 64)], blend_rule((1.0, 1.0), 64)[0].shape
        ([[0.25, 0.75], [0.5, 0.5]], (64,))
    """
    if isinstance(law, tuple):
        places, weights = roots_jacobi(nodes, law[1] - 1, law[0] - 1)
        shares, weights = (1 + places) / 2, weights / weights.sum()
        if law[0] == law[1]:
            return shares, weights
    elif law == 0.5:
        return np.array([0.5]), np.array([1.0])
    else:
        shares, weights = np.array([law]), np.array([1.0])
    return np.concatenate([shares, 1 - shares]), np.concatenate([weights, weights]) / 2
