"""Expected Mixup: the loss averaged over every ordered pair of points, blended patch by patch, and over the law of the blend."""

from __future__ import annotations

from functools import lru_cache, partial, reduce
from math import isfinite
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pydantic import field_validator, model_validator
from scipy.special import roots_jacobi

from augscope.model.methods.base import Draws, Method, logistic
from augscope.support.values import check

BLOCK = 2**14  # projections of blended points held at a time: 128 KiB an array in float64, which a cache holds
MOST_ROWS = 12  # of a block of pairs: more were slower at n = 72 and n = 300
ROUNDING = 1e-12  # of a rule's node at ½
MOST_TERMS = 2**31  # pairs × nodes of one evaluation: above, a step would take minutes


class Mixup(Method):
    """Σ_{i,j} w_i w_j E_λ [λ ℓ(y_i f(X)) + (1 − λ) ℓ(y_j f(X))], X = λ X_i + (1 − λ) X_j patch by patch (Zhang et al. 2018).

    Blends are of inputs, so that the loss is one of the projections ⟨w_s, x⟩, not of scores. (i, j, λ) and (j, i, 1 − λ) are the
    same blend with the same label weights: the loss depends on the law through its mean with its mirror image alone.

    Args:
        law: λ itself, in [0, 1] (0.5: midpoint), or a and b > 0 of Beta(a, b).
        nodes: of the Gauss–Jacobi rule for Beta, from 2 to 4,096. φ'' jumps, so the rule converges algebraically:
            `rule_error` says by how much it misses.

    Cost: O(n² P) for each node (two where a law is not symmetric), every unordered pair once, in blocks of bounded memory.

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

    @field_validator("law", mode="before")
    @classmethod
    def _check_law(cls, law: Any) -> Any:
        is_beta = isinstance(law, (tuple, list))
        numbers = law if is_beta else [law]
        known = all(isinstance(one, (int, float)) and isfinite(one) for one in numbers)
        known = known and ((len(law) == 2 and min(law) > 0) if is_beta else 0 <= law <= 1)
        check(known, f"`law` must be λ in [0, 1] or the two parameters of Beta, above 0, got {law!r}")
        return law

    @field_validator("nodes")
    @classmethod
    def _check_nodes(cls, nodes: int) -> int:
        check(2 <= nodes <= 4_096, f"`nodes` must be from 2 to 4,096, got {nodes}")
        return nodes

    @model_validator(mode="after")
    def _check_rule(self) -> Mixup:
        with np.errstate(all="ignore"):
            finite = all(np.isfinite(part).all() for part in blend_rule(self.law, self.nodes))
        check(
            finite,
            f"`law`: of {self.nodes:,} nodes for Beta{self.law} some are not numbers: take fewer, or a fixed λ for a law so narrow",
        )
        return self

    @property
    def title(self) -> str:
        """ "Mixup" with its law, unless that is the midpoint."""
        if isinstance(self.law, tuple):
            return f"Mixup, Beta({self.law[0]:g}, {self.law[1]:g})"
        return "Mixup" if self.law == 0.5 else f"Mixup, λ = {self.law:g}"

    def check_evaluation(self, num_samples: int, num_patches: int) -> None:
        """Raise ValueError if there are too many blends for one evaluation."""
        nodes = len(blend_rule(self.law, self.nodes)[0])
        count, most = nodes * num_samples**2, int((MOST_TERMS / nodes) ** 0.5)
        rule, fewer = (f" and {nodes:,} nodes", ", or fewer nodes") if nodes > 1 else ("", "")
        check(
            count <= MOST_TERMS,
            f"`methods`: Mixup of {num_samples:,} points{rule} makes {count:,} blends a step, "
            f"at most {MOST_TERMS:,} fit: {most:,} points{fewer}",
        )

    def raw_loss_of_projections(
        self, projections: Any, labels: Any, network: Any, probabilities: Any = None
    ) -> tuple[Any, Any]:
        """Return the loss and its derivative in the projections (2, n, P), without checking arguments."""
        num_samples, dtype = labels.shape[0], labels.dtype
        weights = jnp.full(num_samples, 1 / num_samples, dtype) if probabilities is None else probabilities
        shares, law = (jnp.asarray(part, dtype) for part in blend_rule(self.law, self.nodes))
        num_blocks, counts = pair_blocks(num_samples, BLOCK // (len(projections) * projections.shape[2]))
        (size, width), counts = counts.shape, jnp.asarray(counts, dtype)
        outputs = network.outputs
        signs = jnp.asarray(outputs, dtype)[:, None, None, None]

        def ring(array: Any) -> Any:
            """The points along the last axis, none of weight added up to whole blocks, and all of them once more."""
            widths = [(0, 0)] * (array.ndim - 1) + [(0, num_blocks * size - num_samples)]
            return jnp.concatenate([jnp.pad(array, widths)] * 2, axis=-1)

        along, masses = ring(jnp.moveaxis(projections, 1, 2)), ring(weights)  # (2, P, …)
        positive = ring((1 + labels) / 2)

        def block(index: Any, sums: tuple[Any, Any]) -> tuple[Any, Any]:
            """Some points blended with those from the first of them to half around the ring, by one node of the rule."""
            first, node = index // len(shares) * size, index % len(shares)
            share = shares[node]

            def blend(array: Any) -> Any:
                own, others = _some(array, first, size), _some(array, first, width)
                return share * own[..., :, None] + (1 - share) * others[..., None, :]

            pairs = counts * _some(masses, first, size)[:, None] * (law[node] * _some(masses, first, width))[None]
            blended, negative = blend(along), 1 - blend(positive)  # label weight of −1: ℓ(−f) = ℓ(f) + f
            active = network.activation(blended)
            output = reduce(jnp.add, map(jnp.multiply, outputs, active)).sum(axis=0)
            losses, slopes = logistic(output)
            by_blend = signs * (pairs * (slopes + negative))[None, None] * network.activation_slope(blended)
            gradient = _added(sums[1], first, (1 - share) * by_blend.sum(axis=2))
            gradient = _added(gradient, first, share * by_blend.sum(axis=3))
            return sums[0] + (pairs * (losses + negative * output)).sum(axis=0), gradient

        start = jnp.zeros(width, dtype), jnp.zeros_like(along)
        losses, slopes = jax.lax.fori_loop(0, num_blocks * len(shares), block, start)
        slopes = slopes.reshape(*slopes.shape[:2], 2, -1).sum(axis=2)[..., :num_samples]
        return losses.sum(), jnp.moveaxis(slopes, 2, 1)

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
        """Return NaN for each point, (n,): scores do not determine what blends score."""
        return np.full(len(scores), np.nan)

    def augmented_margins_of_projections(self, projections: Any, labels: Any, network: Any) -> Any:
        """Return each point's smallest y f over the blends that are at least half its own, (n,): every partner and node of the rule.

        A blend in halves counts where both points have the label y: between labels it has none.
        """
        shares = blend_rule(self.law, self.nodes)[0]
        return _blended_margins(shares[shares > 0.5 - ROUNDING], projections, labels, network)

    def plateau_sentence(self) -> str:
        """Return that none is known, or that there is none."""
        if self.law == 0.5:
            return (
                f"{self.title} has no plateau: its loss has no minimum. As scores grow it comes to the infimum "
                "2π(1 − π) ln 2, π the share of points with label +1."
            )
        return f"{self.title}: its plateau has no closed form, and none is certified."


def _some(array: Any, first: Any, count: int) -> Any:
    """Neighbours along the last axis."""
    return jax.lax.dynamic_slice_in_dim(array, first, count, array.ndim - 1)


def _added(array: Any, first: Any, some: Any) -> Any:
    """The array with some added to its neighbours along the last axis, from the first."""
    return jax.lax.dynamic_update_slice_in_dim(array, _some(array, first, some.shape[-1]) + some, first, array.ndim - 1)


@lru_cache(maxsize=64)
def pair_blocks(num_samples: int, most: int) -> tuple[int, np.ndarray]:
    """Return how many blocks hold every pair of points once, and how often each pair of a block counts, (size, width).

    Points stand in a ring. A block's rows are neighbours, its columns the points from the first row's to half around the ring behind
    the last row's: an ordered pair and its mirror image are in it once together and count twice, but for the two halves of a diameter.

    Args:
        num_samples: n; points of no weight make the ring n' long, a multiple of the size.
        most: pairs in a block, where it has more than one row.

    Example:
        >>> from augscope.model.methods.mixup import pair_blocks
        >>> [part if isinstance(part, int) else part.tolist() for part in pair_blocks(4, 8)]
        [2, [[1.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 1.0]]]
    """
    size = max(1, min(MOST_ROWS, num_samples, most // (num_samples // 2 + 1)))
    num_blocks = -(-num_samples // size)
    size = -(-num_samples // num_blocks)
    around = num_blocks * size
    width = min(around, around // 2 + size)
    ahead = (np.arange(width)[None] - np.arange(size)[:, None]) % around
    return num_blocks, np.select([(ahead == 0) | (2 * ahead == around), 2 * ahead < around], [1.0, 2.0], 0.0)


@partial(jax.jit, static_argnums=3)
def _blended_margins(shares: Any, projections: Any, labels: Any, network: Any) -> Any:
    """The smallest y f of each point over partners and shares, in blocks of points."""

    def margin(i: Any) -> Any:
        def node(share: Any) -> Any:
            active = network.activation(share * projections[:, i, None, :] + (1 - share) * projections)
            undecided = (share < 0.5 + ROUNDING) & (labels != labels[i])
            return jnp.where(undecided, jnp.inf, labels[i] * (active[0] - active[1]).sum(axis=-1)).min()

        return jax.vmap(node)(shares).min()

    size = max(1, min(len(labels), BLOCK // (projections.size * len(shares))))
    return jax.lax.map(margin, jnp.arange(len(labels)), batch_size=size)


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
