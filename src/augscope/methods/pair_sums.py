"""Sums over all pairs of points in near-linear time: the heart of the exact CutMix loss.

For one subset S the mixed score is z_ij = A_i + B_j (A: patches in S, B: the rest). With λ = |S|/P the CutMix term of
the pair is softplus(−y_j z_ij) + λ y_j z_ij [y_i ≠ y_j], one-sided in the label that both share, so that nothing cancels
when labels are fitted with a large margin. Its sums and derivatives need G_ij = σ(−y_j (A_i + B_j)) only through
R(A_i) = Σ_j y_j G_ij and Σ_i G_ij. As a function of A, G is analytic in a strip of half-width π, so
G_ij ≈ Σ_k L_ik G(x_k, B_j) with m Chebyshev nodes x_k and the Lagrange polynomials L (model.md, identity 6.3):
m n values in place of n². Each costs a division and no exponential, as exp(x_k + B_j) = exp(x_k) exp(B_j), and the
losses follow from R by integration, as d/dx Σ_j softplus(−y_j (x + B_j)) = −R(x).
"""

from __future__ import annotations

from functools import lru_cache, partial
from math import ceil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from augscope.methods.base import logistic

NODE_COUNTS = (24, 32, 64, 160, 400)  # static shapes; past the last, or from m ≥ n, pairs are summed one by one
CHUNK_ELEMENTS = 2**18  # entries of the (subsets, nodes, points) array worked on at a time: 2 MiB in float64


def pair_sums(
    scores: Float[Array, "n P"], labels: Float[Array, " n"], members: Any, law: Any, tolerance: float
) -> tuple[Float[Array, ""], Float[Array, "n P"]]:
    """Return Σ_S P(S) Σ_{i,j} of the CutMix terms, and its gradient with respect to the scores.

    Args:
        scores: patch scores, shape (n, P).
        labels: +1 or −1 as floats, shape (n,).
        members: the subsets, boolean rows of shape (subsets, P), known when compiling.
        law: their probabilities, shape (subsets,).
        tolerance: bound on the interpolation's error, relative to the largest value of each interpolated function.

    Cost: O(subsets · n · m) with the smallest m of the ladder whose bound holds for the spread of these scores.
    """
    num_samples, num_patches = scores.shape
    if num_patches == 1:  # nothing can be mixed
        return jnp.zeros((), scores.dtype), jnp.zeros_like(scores)
    counts = [count for count in NODE_COUNTS if count < num_samples]
    limits = np.array([half_length_limit(count, tolerance) for count in counts])
    rows = jnp.asarray(members, scores.dtype) @ scores.T
    half_length = (rows.max(axis=1) - rows.min(axis=1)).max() / 2
    rung = (half_length > limits).sum()  # every limit that the spread exceeds rules out one more rung
    branches = [partial(_over_subsets, count, members, law) for count in [*counts, None]]
    return jax.lax.switch(rung, branches, scores, labels)


@lru_cache(maxsize=256)
def half_length_limit(num_nodes: int, tolerance: float) -> float:
    """Return the largest half-length h of an interval on which m-node interpolation is proved to meet the tolerance.

    On the Bernstein ellipse of parameter ρ = τ/h + √(1 + τ²/h²), whose semi-axes are τ < π and √(h² + τ²), both σ and
    softplus are at most M times their largest value on the interval, and interpolation errs by at most
    4 M ρ^{1−m}/(ρ − 1) (Trefethen, Approximation Theory and Approximation Practice, Theorem 8.2); τ is chosen freely.
    Losses are integrals of the interpolated σ ≤ softplus over at most h, interpolated once more: an error of σ counts
    h Λ times there, Λ ≤ 1 + (2/π) log m being the Lebesgue constant.
    """
    strips = np.linspace(0.3, 0.999, 200) * np.pi
    lebesgue = 1 + 2 / np.pi * np.log(num_nodes)

    def bound(half: float) -> float:
        beyond = np.hypot(half, strips) - half  # how far the ellipse reaches past the interval's ends
        sine = np.where(strips < np.pi / 2, 1.0, np.sin(strips))  # |1 + e^z| ≥ sin τ in the strip
        sigmoid = 2 * np.exp(beyond) / sine
        softplus = 1 + (beyond + np.log(2) + np.pi - np.log(sine)) / np.log(2)
        rho = strips / half + np.sqrt(1 + (strips / half) ** 2)
        growth = softplus + np.maximum(half * lebesgue, 1) * sigmoid
        return float(np.min(4 * growth * rho ** (1.0 - num_nodes) / (rho - 1)))

    low, high = 0.0, 1000.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if bound(middle) <= tolerance else (low, middle)
    return low


def _over_subsets(num_nodes: int | None, members: Any, law: Any, scores: Any, labels: Any) -> tuple[Any, Any]:
    """The pair sums at one node count (None: every pair), a chunk of subsets at a time so that memory stays bounded."""
    num_subsets, num_patches = members.shape
    size = min(num_nodes or len(labels), len(labels)) * len(labels)
    chunk = max(1, min(num_subsets, CHUNK_ELEMENTS // size))
    num_chunks = ceil(num_subsets / chunk)
    padding = num_chunks * chunk - num_subsets  # padded with empty subsets of probability 0
    inside = jnp.asarray(np.pad(members, ((0, padding), (0, 0))), scores.dtype).reshape(num_chunks, chunk, num_patches)
    weights = jnp.asarray(np.pad(law, (0, padding)), scores.dtype).reshape(num_chunks, chunk)

    def add(total: Any, part: Any) -> tuple[Any, None]:
        value, gradient = _subset_sums(scores, labels, part[0], part[1], num_nodes)
        return (total[0] + value, total[1] + gradient), None

    start = (jnp.zeros((), scores.dtype), jnp.zeros_like(scores))
    return jax.lax.scan(add, start, (inside, weights))[0]


def _subset_sums(scores: Any, labels: Any, inside: Any, weights: Any, num_nodes: int | None) -> tuple[Any, Any]:
    """The sums over all pairs for the subsets `inside` (subsets, P), weighted; and their gradient in the scores."""
    rows, columns = inside @ scores.T, (1 - inside) @ scores.T  # A and B: (subsets, n)
    share, signs = inside.mean(axis=1)[:, None], labels[None, :]
    sums = _direct if num_nodes is None else partial(_interpolated, num_nodes)
    value, row_sums, column_sums = sums(rows, columns, signs)
    opposite = signs * (labels.shape[0] - signs * labels.sum()) / 2  # y_i times how many points carry the other label
    value = value + share[:, 0] * ((columns - rows) @ opposite[0])  # λ y_j (A_i + B_j) over pairs of unlike labels
    row_slopes = -weights[:, None] * (row_sums + share * opposite)
    column_slopes = weights[:, None] * (share * opposite - signs * column_sums)
    return weights @ value, (row_slopes - column_slopes).T @ inside + column_slopes.sum(axis=0)[:, None]


def _direct(rows: Any, columns: Any, signs: Any) -> tuple[Any, Any, Any]:
    """Return Σ_ij softplus(−y_j z_ij), R(A_i) and Σ_i G_ij for each subset, pair by pair, a few rows at a time."""

    def add(total: Any, row: Any) -> tuple[Any, Any]:
        losses, slopes = logistic(signs * (row[:, None] + columns))
        return (total[0] + losses.sum(axis=1), total[1] - slopes), -(slopes @ signs[0])

    start = (jnp.zeros_like(rows[:, 0]), jnp.zeros_like(rows))
    (value, column_sums), row_sums = jax.lax.scan(add, start, rows.T)
    return value, row_sums.T, column_sums


def _interpolated(num_nodes: int, rows: Any, columns: Any, signs: Any) -> tuple[Any, Any, Any]:
    """Return what `_direct` does, by interpolation in A at m Chebyshev nodes on the range of each row.

    Nodes come in pairs c ± h x_k that share a division, so that arrays have shape (subsets, m/2, n). With t the place of A_i
    in [−1, 1], the barycentric terms of a pair are (t + x_k) q and −(t − x_k) q. With u = e^{h x_k} and v = e^{y_j (c + B_j)},
    G at the pair is (1 + v/u) D and (1 + v u) D for label +1, the other way round for label −1.
    """
    low, high = rows.min(axis=1, keepdims=True), rows.max(axis=1, keepdims=True)
    center, half = (low + high) / 2, (high - low) / 2
    points, barycentric, integral = (jnp.asarray(array, rows.dtype) for array in _chebyshev(num_nodes))
    tiny = jnp.finfo(rows.dtype).tiny * 1e8  # small enough to win every sum, large enough to divide by
    t = (rows - center) / jnp.maximum(half, tiny)
    gap = (t[:, None, :] - points[:, :, None]) * (t[:, None, :] + points[:, :, None])
    q = jax.lax.optimization_barrier(
        barycentric[:, :, None] / jnp.where(gap == 0, tiny, gap)
    )  # on a node, it alone counts
    inverse = 1 / jnp.einsum(
        "sk,ski->si", jnp.broadcast_to(2 * points, q.shape[:2]), q
    )  # one over the sum of the terms
    mean, tilt = _to_nodes(q, inverse), _to_nodes(q, t * inverse)
    upper, lower = tilt + points * mean, points * mean - tilt  # Σ_i L_ik at c + h x_k and at c − h x_k

    margins = signs * (center + columns)
    largest = np.log(jnp.finfo(rows.dtype).max) * 0.48  # e^{2 largest} is finite: beyond it G is 0 or 1 to all digits
    v, up = jnp.exp(jnp.clip(margins, -largest, largest)), jnp.exp(half * points)
    pair = (up + 1 / up)[:, :, None]
    d = jax.lax.optimization_barrier(1 / (1 + v[:, None, :] * (pair + v[:, None, :])))
    positive = signs > 0
    base = _to_nodes(d, jnp.broadcast_to(signs, v.shape))
    plus, minus = _to_nodes(d, jnp.where(positive, v, 0)), _to_nodes(d, jnp.where(positive, 0, v))
    at_upper, at_lower = base + plus / up - minus * up, base + plus * up - minus / up  # R at the nodes
    even_odd = jnp.stack([at_upper - at_lower, points * (at_upper + at_lower)], axis=1)
    slanted, level = jnp.unstack(jnp.einsum("sak,ski->sai", even_odd, q), axis=1)
    row_sums = (t * slanted + level) * inverse
    parts = jnp.stack([upper + lower, upper / up + lower * up, upper * up + lower / up], axis=1)
    base, plus, minus = jnp.unstack(jnp.einsum("sak,skj->saj", parts, d), axis=1)
    column_sums = base + v * jnp.where(positive, plus, minus)
    middle = jnp.einsum("sj,j->s", jax.lax.optimization_barrier(logistic(margins)[0]), signs[0] ** 2)
    change = jnp.einsum(
        "sk,kl,sl->s",
        jnp.concatenate([upper, lower], axis=1),
        integral,
        jnp.concatenate([at_upper, at_lower], axis=1),
    )
    return rows.shape[1] * middle - half[:, 0] * change, row_sums, column_sums


def _to_nodes(matrix: Any, vector: Any) -> Any:
    """Σ_i matrix_ski vector_si. One vector at a time: XLA's products with two or three columns take longer than as many with one."""
    return jnp.einsum("ski,si->sk", matrix, vector)


@lru_cache(maxsize=64)
def _chebyshev(num_nodes: int) -> tuple[Any, Any, Any]:
    """The m/2 positive Chebyshev nodes x on [−1, 1], their barycentric weights, and ∫_0^{x_k} L_l for the nodes (x, −x)."""
    angles = np.pi * (np.arange(num_nodes // 2) + 0.5) / num_nodes
    nodes = np.concatenate([np.cos(angles), -np.cos(angles)])
    coefficients = (
        2 / num_nodes * np.polynomial.chebyshev.chebvander(nodes, num_nodes - 1).T
    )  # of each L_l: (degree, l)
    coefficients[0] /= 2
    integral = np.polynomial.chebyshev.chebval(nodes, np.polynomial.chebyshev.chebint(coefficients, lbnd=0)).T
    barycentric = (-1.0) ** np.arange(num_nodes // 2) * np.sin(angles)
    return np.cos(angles)[None, :], barycentric[None, :], integral
