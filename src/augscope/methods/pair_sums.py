"""Sums over all pairs of points in near-linear time: the heart of the exact CutMix loss.

For one subset S the mixed score is z_ij = A_i + B_j (A: patches in S, B: the rest). With λ = |S|/P the CutMix term of
the pair is softplus(−y_j z_ij) + λ y_j z_ij [y_i ≠ y_j], one-sided in the label that both share, so that nothing cancels
when labels are fitted with a large margin. Its sums and derivatives need G_ij = σ(−y_j (A_i + B_j)) only through
Σ_j y_j G_ij and Σ_i G_ij. As a function of A, G is analytic in a strip of half-width π, so
G_ij ≈ Σ_k L_ik σ(−y_j (x_k + B_j)) with m Chebyshev nodes x_k and the interpolation matrix L: m n exponentials in place of n²
(model.md, identity 6.3).
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from augscope.methods.base import logistic

NODE_COUNTS = (24, 40, 80)  # the ladder of static shapes; past its end, or from m ≥ n, pairs are summed one by one
CHUNK_ELEMENTS = 2**21  # entries of the (subsets, nodes, points) array worked on at a time: 16 MiB in float64


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
    inside = jnp.asarray(members, scores.dtype)
    rows = inside @ scores.T
    half_length = jnp.ptp(rows, axis=1).max() / 2
    rung = (half_length > limits).sum()  # every limit that the spread exceeds rules out one more rung
    branches = [_branch(count, members, law) for count in [*counts, None]]
    return jax.lax.switch(rung, branches, scores, labels)


@lru_cache(maxsize=256)
def half_length_limit(num_nodes: int, tolerance: float) -> float:
    """Return the largest half-length of an interval on which m-node interpolation is proved to meet the tolerance.

    On the Bernstein ellipse of parameter ρ = τ/h + √(1 + τ²/h²), whose semi-axes are τ < π and √(h² + τ²), both σ and
    softplus are at most M times their largest value on the interval, and interpolation errs by at most
    4 M ρ^{1−m}/(ρ − 1) (Trefethen, Approximation Theory and Approximation Practice, Theorem 8.2); τ is chosen freely.
    """
    strips = np.linspace(0.3, 0.999, 200) * np.pi

    def bound(half: float) -> float:
        beyond = np.hypot(half, strips) - half  # how far the ellipse reaches past the interval's ends
        sine = np.where(strips < np.pi / 2, 1.0, np.sin(strips))  # |1 + e^z| ≥ sin τ in the strip
        sigmoid = 2 * np.exp(beyond) / sine
        softplus = 1 + (beyond + np.log(2) + np.pi - np.log(sine)) / np.log(2)
        rho = strips / half + np.sqrt(1 + (strips / half) ** 2)
        return float(np.min(4 * np.maximum(sigmoid, softplus) * rho ** (1.0 - num_nodes) / (rho - 1)))

    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if bound(middle) <= tolerance else (low, middle)
    return low


def _branch(num_nodes: int | None, members: Any, law: Any) -> Any:
    """The pair sums at one node count (None: every pair), chunked over subsets so that memory stays bounded."""
    num_subsets, num_patches = members.shape

    def run(scores: Any, labels: Any) -> tuple[Any, Any]:
        num_samples = scores.shape[0]
        chunk = max(1, min(num_subsets, CHUNK_ELEMENTS // ((num_nodes or num_samples) * num_samples)))
        num_chunks = ceil(num_subsets / chunk)
        padding = num_chunks * chunk - num_subsets  # padded with empty subsets of probability 0
        table = jnp.asarray(np.pad(members, ((0, padding), (0, 0))), scores.dtype).reshape(
            num_chunks, chunk, num_patches
        )
        weights = jnp.asarray(np.pad(law, (0, padding)), scores.dtype).reshape(num_chunks, chunk)

        def add(total: Any, part: Any) -> tuple[Any, None]:
            value, gradient = _chunk_sums(scores, labels, part[0], part[1], num_nodes)
            return (total[0] + value, total[1] + gradient), None

        if num_chunks == 1:
            return _chunk_sums(scores, labels, table[0], weights[0], num_nodes)
        start = (jnp.zeros((), scores.dtype), jnp.zeros_like(scores))
        return jax.lax.scan(add, start, (table, weights))[0]

    return run


def _chunk_sums(scores: Any, labels: Any, inside: Any, weights: Any, num_nodes: int | None) -> tuple[Any, Any]:
    """The sums over all pairs for the subsets `inside` (subsets, P), weighted; and their gradient in the scores."""
    rows, columns = inside @ scores.T, (1 - inside) @ scores.T  # A and B: (subsets, n)
    share = inside.mean(axis=1)[:, None]
    nodes, matrix = _interpolation(rows, num_nodes)
    terms = logistic(labels[None, None, :] * (nodes[:, :, None] + columns[:, None, :]))  # (subsets, m, n); G = −slope
    losses, slopes = jax.lax.optimization_barrier(terms)  # one vectorised pass; XLA would fuse it into slow reductions
    column_weights = jnp.ones_like(rows) if matrix is None else matrix.sum(axis=2)  # Σ_i L_ik
    node_slopes = slopes @ labels
    opposite = (scores.shape[0] - labels * labels.sum()) / 2  # how many points carry the other label, per point
    value = jnp.einsum("sk,skj->s", column_weights, losses) + share[:, 0] * _label_term(rows, columns, labels)
    row_slopes = node_slopes if matrix is None else jnp.einsum("sk,ski->si", node_slopes, matrix)
    row_slopes = row_slopes - share * (labels * opposite)[None, :]
    column_slopes = labels[None, :] * (jnp.einsum("sk,skj->sj", column_weights, slopes) + share * opposite[None, :])
    row_slopes, column_slopes = weights[:, None] * row_slopes, weights[:, None] * column_slopes
    return weights @ value, (row_slopes - column_slopes).T @ inside + column_slopes.sum(axis=0)[:, None]


def _label_term(rows: Any, columns: Any, labels: Any) -> Any:
    """Σ_{i,j: y_i ≠ y_j} y_j (A_i + B_j) for each subset, in O(n)."""
    opposite = (labels.shape[0] - labels * labels.sum()) / 2
    return (columns - rows) @ (labels * opposite)


def _interpolation(rows: Any, num_nodes: int | None) -> tuple[Any, Any]:
    """Chebyshev nodes (subsets, m) on the range of each row, and L (subsets, m, n) by the barycentric formula."""
    if num_nodes is None:  # every point is its own node
        return rows, None
    low, high = rows.min(axis=1, keepdims=True), rows.max(axis=1, keepdims=True)
    center, half = (low + high) / 2, (high - low) / 2
    angles = np.pi * (np.arange(num_nodes) + 0.5) / num_nodes
    points = jnp.asarray(np.cos(angles), rows.dtype)
    barycentric = jnp.asarray((-1.0) ** np.arange(num_nodes) * np.sin(angles), rows.dtype)
    tiny = jnp.finfo(rows.dtype).tiny * 1e8  # small enough to win every sum, large enough to divide by
    unit = (rows - center) / jnp.maximum(half, tiny)
    distance = unit[:, None, :] - points[None, :, None]
    ratio = barycentric[None, :, None] / jnp.where(
        distance == 0, tiny, distance
    )  # a point on a node takes that node's value
    matrix = jax.lax.optimization_barrier(ratio / ratio.sum(axis=1, keepdims=True))  # used twice: do not recompute it
    return center + half * points[None, :], matrix
