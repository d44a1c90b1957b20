"""Monte Carlo estimates of a training loss and its gradient, for more patches than exact sums can handle."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from augscope.model.arrays import check_key, checked_probabilities, checked_scores
from augscope.model.methods import CutMix, Cutout, Method
from augscope.model.methods.base import drawn_losses
from augscope.support.values import check

DRAWS_AT_ONCE = 4096
ENTRIES_AT_ONCE = 2**20  # draws times patches worked on together
MAX_DRAWS = 2**31 - 1  # they are counted in 32 bits where float64 is not enabled


@dataclass(frozen=True)
class Estimate:
    """Means over independent draws, and their standard errors.

    Attributes:
        value: unbiased estimate of the loss.
        gradient: unbiased estimate of ∂loss/∂a_{i,p}, (n, P).
        standard_error: of `value`, from the draws' sample variance.
        gradient_standard_error: of every entry of `gradient`, (n, P). An entry that few draws touched has an
            uncertain one: a point is drawn about w_i · num_draws times (CutMix: twice that), w_i = 1/n by default.
        num_draws: how many draws were averaged.
    """

    value: float
    gradient: Float[Array, "n P"]
    standard_error: float
    gradient_standard_error: Float[Array, "n P"]
    num_draws: int


def estimate(
    key: Any,
    method: Method,
    scores: Float[Array, "n P"],
    labels: Int[Array, " n"],
    num_draws: int,
    probabilities: Float[Array, " n"] | None = None,
) -> Estimate:
    """Estimate a training loss and its gradient from independent draws of (i, 𝒞) or (i, j, S), for any P.

    Each draw's loss term has the training loss as its mean, and its derivative the gradient: both are unbiased. Patches
    are drawn as in model.md §4; for CutMix by coin flips whose probability is uniform on [0, 1], which is the same law
    (identity 6.4).

    Args:
        key: a JAX random key; the same key gives the same bits.
        method: `Erm()`, `Cutout(num_cut)` or `CutMix()`, whose `algorithm` plays no part, or one of your own that defines `draw`.
        scores: patch scores, shape (n, P).
        labels: +1 or −1, shape (n,).
        num_draws: at least 2.
        probabilities: w_i, with which points i and j are drawn, shape (n,), sum 1; uniform by default.

    Returns:
        An `Estimate`.

    Raises:
        ValueError: on a key that is an integer, num_draws < 2, NaN, other labels, probabilities that are none, C ≥ P, or
            float64 not enabled.

    Cost: O(num_draws · (P + log n)) time; memory for three arrays of shape (n, P) and one chunk of draws.

    Example:
        >>> import jax, numpy as np, augscope as ag
        >>> jax.config.update("jax_enable_x64", True)
        >>> scores, labels = np.linspace(-1, 1, 2000).reshape(2, 1000), np.array([-1, 1])
        >>> result = ag.estimate(jax.random.key(0), ag.CutMix(), scores, labels, num_draws=20_000)
        >>> result.gradient.shape, result.standard_error < 0.01 * result.value
        ((2, 1000), True)
    """
    check_key(key)
    known = isinstance(method, Method) and method.can_draw and not method.of_projections
    check(known, f"`method` must be Erm, Cutout or CutMix, or define `draw`, got {method!r}")
    scores, labels = checked_scores(scores, labels)
    probabilities = checked_probabilities(probabilities, scores)
    is_count = isinstance(num_draws, (int, np.integer)) and not isinstance(num_draws, bool)
    check(
        is_count and 2 <= num_draws <= MAX_DRAWS, f"`num_draws` must be an integer in [2, 2^31 - 1], got {num_draws!r}"
    )
    num_cut, num_patches = method.num_cut if isinstance(method, Cutout) else 0, scores.shape[1]
    check(num_cut < num_patches, f"`num_cut` must be in [1, P), got {num_cut} with P = {num_patches}")
    if num_cut:  # whatever its `algorithm`, one program
        method = Cutout(num_cut=num_cut)
    elif isinstance(method, CutMix):
        method = CutMix()
    sums = _all_draws(method, key, scores, labels, probabilities, jnp.asarray(num_draws, jnp.int32))
    gradient = sums.slopes / num_draws
    # Most draws leave most entries at 0, so the mean square does not cancel against the squared mean; rounding may go below 0.
    spread = jnp.maximum(sums.squared_slopes / num_draws - gradient**2, 0)
    return Estimate(
        value=float(sums.mean),
        gradient=gradient,
        standard_error=float(jnp.sqrt(sums.deviations / num_draws / (num_draws - 1))),
        gradient_standard_error=jnp.sqrt(spread / (num_draws - 1)),
        num_draws=int(num_draws),
    )


class _Sums(NamedTuple):
    """What is kept of the draws so far."""

    mean: Any  # of the losses
    deviations: Any  # Σ (loss − mean)²
    slopes: Any  # Σ ∂loss/∂a, (n, P)
    squared_slopes: Any  # Σ (∂loss/∂a)², (n, P)


@partial(jax.jit, static_argnums=0)
def _all_draws(method: Method, key: Any, scores: Any, labels: Any, probabilities: Any, num_draws: Any) -> _Sums:
    """Sum over draws, a chunk at a time; each chunk has a key of its own, and the last one is cut short by weights."""
    size = max(1, min(DRAWS_AT_ONCE, ENTRIES_AT_ONCE // scores.shape[1]))

    def add(chunk: Any, total: _Sums) -> _Sums:
        counts = jnp.arange(size, dtype=jnp.int32) < num_draws - chunk * size
        before = (chunk * size).astype(scores.dtype)
        draw = partial(_draws, method, jax.random.fold_in(key, chunk), scores, labels, probabilities)
        part = draw(counts.astype(scores.dtype))
        now = counts.sum().astype(scores.dtype)
        step = part.mean - total.mean
        return _Sums(  # means and deviations of two groups together (Chan, Golub and LeVeque)
            mean=total.mean + step * now / (before + now),
            deviations=total.deviations + part.deviations + step**2 * before * now / (before + now),
            slopes=total.slopes + part.slopes,
            squared_slopes=total.squared_slopes + part.squared_slopes,
        )

    nothing = jnp.zeros((), scores.dtype)
    start = _Sums(nothing, nothing, jnp.zeros_like(scores), jnp.zeros_like(scores))
    return jax.lax.fori_loop(0, (num_draws - 1) // size + 1, add, start)


def _draws(method: Method, key: Any, scores: Any, labels: Any, probabilities: Any, weights: Any) -> _Sums:
    """One chunk of draws; `weights` are 1, or 0 for draws that do not count."""
    key_i, key_j, key_patches = jax.random.split(key, 3)
    num_samples, num_patches = scores.shape
    i = jax.random.choice(key_i, num_samples, weights.shape, p=probabilities)
    draws = method.draw(key_patches, len(weights), num_patches)
    parts, others, partner_labels = [(i, draws.own)], 0, None
    if draws.share is not None:
        j = jax.random.choice(key_j, num_samples, weights.shape, p=probabilities)
        parts.append((j, ~draws.own))
        others, partner_labels = scores[j], labels[j]
    output = jnp.where(draws.own, scores[i], others).sum(axis=1)
    losses, slopes = drawn_losses(output, draws.share, labels[i], partner_labels)
    mean = (weights * losses).sum() / weights.sum()
    total, squares = jnp.zeros_like(scores), jnp.zeros_like(scores)
    for point, patches in parts:  # i = j needs no care: no patch is in both parts
        total = total.at[point].add(jnp.where(patches, (weights * slopes)[:, None], 0))
        squares = squares.at[point].add(jnp.where(patches, (weights * slopes**2)[:, None], 0))
    return _Sums(mean, (weights * (losses - mean) ** 2).sum(), total, squares)
