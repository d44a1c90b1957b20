"""Expected CutMix without a table of subsets: coin flips with a uniform probability, and the logistic loss as a cosine series.

Drawing t uniform on [0, 1] and taking each patch from X_i with probability t gives S its CutMix law, as
∫ t^s (1−t)^{P−s} dt = 1/((P+1) binom(P, s)) (model.md, identity 6.4). With λ = |S|/P the terms of (i, j, S) are
log(2 cosh(z/2)) − (λ y_i + (1−λ) y_j) z/2. The second part has the closed form of `_polynomial_part`. The first is the
series of `softplus_series`, and E_S e^{iωz} = ∫ Π_p (t e^{iω a_ip} + (1−t) e^{iω a_jp}) dt: a polynomial of degree P in t,
for which ⌈(P+1)/2⌉ Gauss–Legendre nodes are exact. (i, j, t) and (j, i, 1−t) are the same, so nodes t ≤ ½ stand for all.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from augscope.methods.softplus_series import Series, series

FREQUENCIES_AT_ONCE = 8
LANES_AT_ONCE = 4096  # points j times nodes t times frequencies: P of them are kept, 4 MiB at P = 64 in float64


def cutmix_by_coin_flips(scores: Any, labels: Any) -> tuple[Any, Any]:
    """Return the CutMix loss and its gradient for scores (n, P).

    Cost: O(n² P² K/4) with K ≈ 1.7 (Z + 33) frequencies, Z the largest |z| of a mixed point. Memory: bounded by P times
    `LANES_AT_ONCE`, whatever n and K are. NaN past `MAX_FREQUENCIES`.
    """
    num_samples, num_patches = scores.shape
    terms = series(_largest_margin(scores))
    nodes, node_weights = (jnp.asarray(table, scores.dtype) for table in _half_nodes(num_patches))
    size = min(num_samples, max(1, LANES_AT_ONCE // (len(nodes) * FREQUENCIES_AT_ONCE)))
    num_blocks = ceil(num_samples / size)
    padding = num_blocks * size - num_samples
    blocks = jnp.pad(scores, ((0, padding), (0, 0))).reshape(num_blocks, size, num_patches)
    counts = jnp.pad(jnp.ones(num_samples, scores.dtype), (0, padding)).reshape(num_blocks, size)

    def add(index: Any, total: tuple[Any, Any]) -> tuple[Any, Any]:
        omega, weight = terms.frequencies(index * FREQUENCIES_AT_ONCE, FREQUENCIES_AT_ONCE)

        def meet(total: tuple[Any, Any], block: Any) -> tuple[Any, Any]:
            value, rows, columns = _against_block(scores, block, (omega, weight), (nodes, node_weights))
            return (total[0] + value, total[1] + rows), columns

        (value, rows), columns = jax.lax.scan(meet, (total[0], total[1]), (blocks, counts))
        return value, rows + columns.reshape(-1, num_patches)[:num_samples]

    start = (jnp.zeros((), scores.dtype), jnp.zeros_like(scores))
    num_steps = (terms.num_frequencies + FREQUENCIES_AT_ONCE - 1) // FREQUENCIES_AT_ONCE
    value, slopes = jax.lax.fori_loop(0, num_steps, add, start)
    smooth, smooth_slopes = _polynomial_part(scores, labels, terms)
    return (value + smooth) / num_samples**2, (slopes + smooth_slopes) / num_samples**2


def _largest_margin(scores: Any) -> Any:
    """max |z| over all pairs and subsets: each patch from the point where it is larger, or smaller."""

    def of_point(point: Any) -> Any:
        high, low = jnp.maximum(scores, point[None, :]), jnp.minimum(scores, point[None, :])
        return jnp.maximum(high.sum(axis=1), -low.sum(axis=1)).max()

    return jax.lax.map(of_point, scores).max()


@lru_cache(maxsize=64)
def _half_nodes(num_patches: int) -> tuple[Any, Any]:
    """Gauss–Legendre nodes t ≤ ½ on [0, 1], exact for degree P, and the weights of t and 1 − t together."""
    x, weights = np.polynomial.legendre.leggauss(num_patches // 2 + 1)
    half = (len(x) + 1) // 2
    together = weights[:half].copy()
    if len(x) % 2:
        together[-1] /= 2  # the middle node stands for itself alone
    return (1 + x[:half]) / 2, together


def _polynomial_part(scores: Any, labels: Any, terms: Series) -> tuple[Any, Any]:
    """Σ_ij of log 2 + E[z²]/(4L) − E[(λ y_i + (1−λ) y_j) z]/2, and its gradient.

    E[λ; p ∈ S] = E[λ²] = (2P + 1)/(6P); both of two patches come from X_i with probability 1/3, one from each with 1/6.
    """
    num_samples, num_patches = scores.shape
    sums, totals = scores.sum(axis=1), scores.sum(axis=0)
    own = (2 * num_patches + 1) / (6 * num_patches)
    balance = labels.sum()
    linear = num_samples * own * (labels @ sums) + (0.5 - own) * balance * sums.sum()
    linear_slopes = (num_samples * own * labels + (0.5 - own) * balance)[:, None]
    squares = num_samples * ((scores**2).sum() + 2 * (sums**2).sum()) / 3 + (totals.sum() ** 2 - (totals**2).sum()) / 3
    square_slopes = (2 * num_samples * (scores + 2 * sums[:, None]) + 2 * (totals.sum() - totals)[None, :]) / 3
    value = num_samples**2 * np.log(2) + squares / (4 * terms.half_period) - linear
    return terms.valid * value, terms.valid * (square_slopes / (4 * terms.half_period) - linear_slopes)


def _against_block(scores: Any, block: Any, waves: Any, rule: Any) -> tuple[Any, Any, Any]:
    """Σ over all i and the j of a block of Σ_k w_k (1 − E cos(ω_k z)); gradients in X_i, (n, P), and in X_j, (block, P).

    Complex numbers are pairs of real arrays, as XLA vectorises those. Products over the patches other than p are a product
    of those before (kept in the loop) and those after (kept in a table).
    """
    (points, counts), (omega, weight), (nodes, node_weights) = block, waves, rule
    t = nodes[None, :, None]
    # Arrays have axes (points j, nodes t, frequencies), with patches before them.
    value_weight = counts[:, None, None] * node_weights[None, :, None] * weight[None, None, :]
    slope_weight = value_weight * omega[None, None, :]
    angles = points.T[:, :, None, None] * omega[None, None, None, :]
    others = (1 - t)[None] * jnp.cos(angles), (1 - t)[None] * jnp.sin(angles)

    def point(columns: Any, row: Any) -> tuple[Any, Any]:
        angles = (row[:, None] * omega[None, :])[:, None, None, :]
        own = t[None] * jnp.cos(angles), t[None] * jnp.sin(angles)

        def backward(after: Any, step: Any) -> tuple[Any, Any]:
            own, other = step
            return _product(after, (own[0] + other[0], own[1] + other[1])), after

        def forward(before: Any, step: Any) -> tuple[Any, Any]:
            own, other, after = step
            rest = _product(before, after)
            # Imaginary parts: of t e^{iω a_ip}, and of (1 − t) e^{iω a_jp}, times the product over the other patches.
            along_row = own[0] * rest[1] + own[1] * rest[0]
            along_column = other[0] * rest[1] + other[1] * rest[0]
            slopes = (slope_weight * along_row).sum(), (slope_weight * along_column).sum(axis=(1, 2))
            return _product(before, (own[0] + other[0], own[1] + other[1])), slopes

        one = jnp.ones_like(value_weight), jnp.zeros_like(value_weight)
        (real, _), table = jax.lax.scan(backward, one, (own, others), reverse=True)
        _, (row_slopes, column_slopes) = jax.lax.scan(forward, one, (own, others, table))
        return columns + column_slopes.T, ((value_weight * (1 - real)).sum(), row_slopes)

    columns, (values, rows) = jax.lax.scan(point, jnp.zeros_like(points), scores)
    return values.sum(), rows, columns


def _product(one: Any, other: Any) -> tuple[Any, Any]:
    return one[0] * other[0] - one[1] * other[1], one[0] * other[1] + one[1] * other[0]
