"""Sums over all pairs of points in near-linear time: the heart of the exact CutMix loss.

For one subset S the mixed score is z_ij = A_i + B_j (A: patches in S, B: the rest). With λ = |S|/P, say, the CutMix term of
the pair is softplus(−y_j z_ij) + λ y_j z_ij [y_i ≠ y_j], times w_i w_j, one-sided in the label that both share, so that nothing cancels
when labels are fitted with a large margin. Its sums and derivatives need G_ij = σ(−y_j (A_i + B_j)) only through
R(A_i) = Σ_j w_j y_j G_ij and Σ_i w_i G_ij. As a function of A, G is analytic in a strip of half-width π, so
G_ij ≈ Σ_k L_ik G(x_k, B_j) with m Chebyshev nodes x_k and the Lagrange polynomials L (model.md, identity 6.3):
m n values in place of n². Each costs a division and no exponential, as exp(x_k + B_j) = exp(x_k) exp(B_j), and the
losses follow from R by integration, as d/dx Σ_j w_j softplus(−y_j (x + B_j)) = −R(x).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from math import ceil
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from augscope.model.methods.base import logistic, weigh, with_known_gradient

NODE_COUNTS = (24, 32, 40, 64, 160, 400)  # static shapes; past the last, or from m ≥ n, pairs are summed one by one
MOST_POINTS_AT_ONCE = 512  # with 3 subsets and m = 64, arrays of m/2 nodes a point take 384 KiB: they stay in cache
POINTS_AT_ONCE = 256  # of more points than that: the chunks
ENTRIES_AT_ONCE = 4096  # subsets times points worked on together

PairSums = Callable[[Any, Any, Any, Any], tuple[Any, Any, Any]]


def pair_sums(
    scores: Float[Array, "n P"],
    labels: Float[Array, " n"],
    probabilities: Float[Array, " n"] | None,
    members: Any,
    law: Any,
    tolerance: float,
    label_weights: Any = None,
) -> tuple[Float[Array, ""], Float[Array, "n P"]]:
    """Return Σ_S P(S) Σ_{i,j} w_i w_j of the CutMix terms, and its gradient with respect to the scores.

    Args:
        scores: patch scores, shape (n, P).
        labels: +1 or −1 as floats, shape (n,).
        probabilities: w, shape (n,); None means 1/n each, divided by when all has been added up.
        members: the subsets, boolean rows of shape (subsets, P), known when compiling.
        law: their probabilities, shape (subsets,).
        tolerance: bound on the interpolation's error, relative to the largest value of each interpolated function. Rounding
            of the mixed scores A_i + B_j comes on top.
        label_weights: λ, the weight of y_i for each subset, shape (subsets,); by default |S|/P.

    Cost: O(subsets · n · m) with the smallest m of the ladder whose bound holds for the spread of these scores, or
    O(subsets · n²) where none does. Memory: O(n P), and at most `ENTRIES_AT_ONCE` times m numbers at a time.
    """
    num_samples, num_patches = scores.shape
    if num_patches == 1:  # nothing can be mixed
        return jnp.zeros((), scores.dtype), jnp.zeros_like(scores)
    num_subsets = len(members)
    shares = np.mean(members, axis=1) if label_weights is None else np.asarray(label_weights)
    chunk = max(1, min(num_subsets, ENTRIES_AT_ONCE // min(num_samples, MOST_POINTS_AT_ONCE)))
    num_chunks = ceil(num_subsets / chunk)
    padding = num_chunks * chunk - num_subsets  # padded with empty subsets of probability 0
    inside = jnp.asarray(np.pad(members, ((0, padding), (0, 0))), scores.dtype).reshape(num_chunks, chunk, num_patches)
    weights, shares = (
        jnp.asarray(np.pad(part, (0, padding)), scores.dtype).reshape(num_chunks, chunk) for part in (law, shares)
    )

    sums = with_known_gradient(partial(_subset_sums, sums_over_pairs(tolerance)), partial(_subset_sums, direct_sums))

    def add(total: Any, part: Any) -> tuple[Any, None]:
        value, gradient = sums(scores, labels, probabilities, *part)
        return (total[0] + value, total[1] + gradient), None

    start = (jnp.zeros((), scores.dtype), jnp.zeros_like(scores))
    parts = (inside, weights, shares)
    single = num_chunks == 1
    total = add(start, tuple(part[0] for part in parts))[0] if single else jax.lax.scan(add, start, parts)[0]
    return total if probabilities is not None else (total[0] / num_samples**2, total[1] / num_samples**2)


@lru_cache(maxsize=256)
def half_length_limit(num_nodes: int, tolerance: float) -> float:
    """Return the largest half-length h of an interval on which m-node interpolation is proved to meet the tolerance.

    On the Bernstein ellipse of parameter ρ = τ/h + √(1 + τ²/h²), whose semi-axes are τ < π and √(h² + τ²), both σ and
    softplus are at most M times their largest value on the interval, and interpolation errs by at most
    4 M ρ^{1−m}/(ρ − 1) (Trefethen, Approximation Theory and Approximation Practice, Theorem 8.2); τ is chosen freely.
    Losses are integrals of the interpolated σ ≤ softplus over at most h, interpolated once more: an error of σ counts
    h Λ times there, Λ ≤ 1 + (2/π) log m being the Lebesgue constant. Weights of points leave all this as it is: a sum over j
    is then of the same functions, each within its bound, with weights of at least 0, and the nodes do not depend on them.
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


def exponent_limit(dtype: Any) -> float:
    """Return the largest half-length h at which every product of exponentials of an interpolation is a number.

    Exponents past ± `_largest_exponent` are cut: G is then 0 or 1 to all digits wherever |x| ≤ h. 26 in float32, 304 in float64.
    """
    return float(_largest_exponent(dtype) + np.log(jnp.finfo(dtype).eps))


def _largest_exponent(dtype: Any) -> Any:
    """A number whose double's exponential is finite, with some room."""
    return np.log(jnp.finfo(dtype).max) * 0.48


def _subset_sums(
    sums: PairSums, scores: Any, labels: Any, masses: Any, inside: Any, weights: Any, shares: Any
) -> tuple[Any, Any]:
    """The sums over all pairs for the subsets `inside` (subsets, P), weighted; and their gradient in the scores."""
    rows, columns = inside @ scores.T, (1 - inside) @ scores.T  # A and B: (subsets, n)
    share, signs = shares[:, None], labels[None, :]
    by_column, by_row = (None, None) if masses is None else (masses[None, :], masses[:, None])
    value, row_sums, column_sums = sums(rows, columns, signs, by_column)
    positive, negative = (weigh((labels == label).astype(labels.dtype), masses).sum() for label in (1, -1))
    opposite = jnp.where(signs > 0, negative, -positive)  # y_i times the mass of the points that carry the other label
    # λ y_j (A_i + B_j) over pairs of unlike labels
    value = value + share[:, 0] * ((columns - rows) @ weigh(opposite, by_column)[0])
    row_slopes = -weights[:, None] * (row_sums + share * opposite)
    column_slopes = weights[:, None] * (share * opposite - signs * column_sums)
    slopes = (row_slopes - column_slopes).T @ inside + column_slopes.sum(axis=0)[:, None]
    return weights @ value, weigh(slopes, by_row)


@lru_cache(maxsize=64)
def sums_over_pairs(tolerance: float) -> PairSums:
    """Return the function (A, B, y, w) → (Σ_ij w_i w_j softplus(−y_j z_ij), R(A_i), Σ_i w_i G_ij) for each subset, a row of
    A and B each; w is (1, n), or None for weights of 1.

    It takes the rung that the spread of A asks for. Under `vmap` the rows of all problems are worked on together, on one
    rung: a `switch` of its own for each would compute every rung.
    """

    @jax.custom_batching.custom_vmap
    def sums(rows: Any, columns: Any, signs: Any, masses: Any) -> tuple[Any, Any, Any]:
        pairs = prepare_pairs(rows, columns, signs, masses)
        counts = [count for count in NODE_COUNTS if count < rows.shape[1]]
        limits = np.array([min(half_length_limit(count, tolerance), exponent_limit(rows.dtype)) for count in counts])
        rung = (pairs.half.max() > limits).sum()  # every limit that the spread exceeds rules out one more rung
        interpolated = [partial(interpolated_sums, count) for count in counts]
        return jax.lax.switch(rung, [*interpolated, lambda pairs: direct_sums(*pairs[:4])], pairs)

    @sums.def_vmap
    def together(size: int, batched: Any, *arrays: Any) -> tuple[Any, Any]:
        shape = (size, arrays[0].shape[-2], arrays[0].shape[-1])  # problems, subsets, points
        parts = jax.tree.map(lambda array, one: array if one else array[None], arrays, tuple(batched))
        flat = jax.tree.map(lambda part: jnp.broadcast_to(part, shape).reshape(-1, shape[2]), parts)
        value, row_sums, column_sums = sums(*flat)
        results = value.reshape(shape[:2]), row_sums.reshape(shape), column_sums.reshape(shape)
        return results, (True, True, True)

    return sums


class Pairs(NamedTuple):
    """A chunk of subsets, as every rung needs it: what is computed here is not compiled once a rung."""

    rows: Any  # A_i, (subsets, n)
    columns: Any  # B_j, (subsets, n)
    signs: Any  # y, (1, n) or (subsets, n)
    masses: Any  # w, likewise; None: all are 1
    t: Any  # the place of A_i in [−1, 1]
    half: Any  # h, (subsets, 1)
    v: Any  # e^{y_j (c + B_j)}
    middle: Any  # Σ_i w_i Σ_j w_j softplus(−y_j (c + B_j)), (subsets,)


def prepare_pairs(rows: Any, columns: Any, signs: Any, masses: Any = None) -> Pairs:
    """Return what every rung needs of a chunk of subsets; arguments as in `sums_over_pairs`."""
    low, high = rows.min(axis=1, keepdims=True), rows.max(axis=1, keepdims=True)
    center, half = (low + high) / 2, (high - low) / 2
    t = (rows - center) / jnp.maximum(half, _tiny(rows.dtype))
    margins = signs * (center + columns)
    largest = _largest_exponent(rows.dtype)
    v = jnp.exp(jnp.clip(margins, -largest, largest))
    mass = rows.shape[1] if masses is None else masses.sum(axis=1)
    middle = mass * weigh(logistic(margins)[0], masses).sum(axis=1)
    return Pairs(rows, columns, signs, masses, t, half, v, middle)


def direct_sums(rows: Any, columns: Any, signs: Any, masses: Any) -> tuple[Any, Any, Any]:
    """`sums_over_pairs` pair by pair, one point i at a time."""

    def add(total: Any, point: Any) -> tuple[Any, Any]:
        row, mass = jax.tree.map(lambda array: array[:, None], point)
        losses, slopes = logistic(signs * (row + columns))
        value = weigh(weigh(losses, masses), mass).sum(axis=1)
        return (total[0] + value, total[1] - weigh(slopes, mass)), -(weigh(slopes, masses) * signs).sum(axis=1)

    start = (jnp.zeros_like(rows[:, 0]), jnp.zeros_like(rows))
    (value, column_sums), row_sums = jax.lax.scan(add, start, jax.tree.map(jnp.transpose, (rows, masses)))
    return value, row_sums.T, column_sums


def interpolated_sums(num_nodes: int, pairs: Pairs) -> tuple[Any, Any, Any]:
    """`sums_over_pairs` by interpolation in A at m Chebyshev nodes on the range of each row.

    Nodes come in pairs c ± h x_k that share a division, so that arrays have shape (subsets, m/2, points). With t the place
    of A_i in [−1, 1], the barycentric terms of a pair are (t + x_k) q and −(t − x_k) q. With u = e^{h x_k} and
    v = e^{y_j (c + B_j)}, G at the pair is (1 + v/u) D and (1 + v u) D for label +1, the other way round for label −1.

    Three passes over the points: the sums Σ_i w_i L_ik, the node values R(x_k) with the column sums, R at every A_i. In the
    last pass the terms q are computed again, which takes less than keeping them would, unless all points fit at once.
    """
    t, half, num_samples = pairs.t, pairs.half, pairs.t.shape[1]
    points, _, integral = (jnp.asarray(array, t.dtype) for array in _chebyshev(num_nodes))
    two_sided = jnp.stack([points, -points], axis=1)  # (1, 2, m/2)
    up = jnp.exp(half[:, :, None] * two_sided)
    down = up[:, ::-1]  # 1/up
    places, values, labels, masses = jax.tree.map(_in_chunks, (t, pairs.v, pairs.signs, pairs.masses))
    whole = _terms(num_nodes, t) if len(places) == 1 else None

    def gather(part: Any) -> tuple[Any, None]:
        place, label, mass = part
        q, inverse = whole or _terms(num_nodes, place)
        inverse = weigh(inverse * label**2, mass)  # a label is 0 past the last point
        return (_to_nodes(q, inverse), _to_nodes(q, place * inverse)), None

    (mean, tilt), _ = _over_chunks(gather, (places, labels, masses))
    lagrange = points[:, None] * mean[:, None] + jnp.sign(two_sided) * tilt[:, None]  # Σ_i w_i L_ik: (subsets, 2, m/2)
    parts = jnp.stack([_both(lagrange), _both(lagrange * down), _both(lagrange * up)], axis=1)

    def meet(part: Any) -> tuple[Any, Any]:
        value, label, mass = part
        pair = _both(up)[:, :, None]
        d = jax.lax.optimization_barrier(1 / (1 + value[:, None, :] * (pair + value[:, None, :])))
        base, plus, minus = jnp.unstack(jnp.einsum("sak,skj->saj", parts, d), axis=1)
        column_sums = base + value * jnp.where(label > 0, plus, minus)
        sums = [jnp.where(label > 0, value, 0), jnp.where(label < 0, value, 0), jnp.broadcast_to(label, value.shape)]
        return tuple(_to_nodes(d, weigh(vector, mass)) for vector in sums), column_sums

    (plus, minus, base), column_sums = _over_chunks(meet, (values, labels, masses))
    at_nodes = base[:, None] + plus[:, None] * down - minus[:, None] * up  # R at c ± h x_k: (subsets, 2, m/2)
    even_odd = jnp.stack([at_nodes[:, 0] - at_nodes[:, 1], points * _both(at_nodes)], axis=1)

    def spread(part: Any) -> tuple[None, Any]:
        (place,) = part
        q, inverse = whole or _terms(num_nodes, place)
        slanted, level = jnp.unstack(jnp.einsum("sak,ski->sai", even_odd, q), axis=1)
        return None, (place * slanted + level) * inverse

    _, row_sums = _over_chunks(spread, (places,))
    weights = lagrange.reshape(len(t), num_nodes) @ integral
    change = (weights * at_nodes.reshape(len(t), num_nodes)).sum(axis=1)
    return pairs.middle - half[:, 0] * change, row_sums[:, :num_samples], column_sums[:, :num_samples]


def _terms(num_nodes: int, t: Any) -> tuple[Any, Any]:
    """The barycentric terms q of the node pairs, (subsets, m/2, points), and one over the sum of all terms, (subsets, points)."""
    points, barycentric, _ = (jnp.asarray(array, t.dtype) for array in _chebyshev(num_nodes))
    gap = (t[:, None, :] - points[:, :, None]) * (t[:, None, :] + points[:, :, None])
    on_a_node = gap == 0  # then it alone counts
    q = jax.lax.optimization_barrier(barycentric[:, :, None] / jnp.where(on_a_node, _tiny(t.dtype), gap))
    return q, 1 / jnp.einsum("sk,ski->si", jnp.broadcast_to(2 * points, q.shape[:2]), q)


def _in_chunks(array: Any) -> Any:
    """Cut an array of shape (subsets, n) into (chunks, subsets, points), with zeros after the last point."""
    num_samples = array.shape[1]
    num_chunks = 1 if num_samples <= MOST_POINTS_AT_ONCE else ceil(num_samples / POINTS_AT_ONCE)
    size = ceil(num_samples / num_chunks)
    if num_chunks == 1:
        return array[None]
    padded = jnp.pad(array, ((0, 0), (0, num_chunks * size - num_samples)))
    return padded.reshape(len(array), num_chunks, size).swapaxes(0, 1)


def _over_chunks(function: Callable[[Any], tuple[Any, Any]], arrays: Any) -> tuple[Any, Any]:
    """Apply a function of one chunk to each: sum its first results and put its second, (subsets, points), side by side."""
    first = jax.tree.map(lambda array: array[0], arrays)
    if len(arrays[0]) == 1:
        return function(first)

    def add(total: Any, part: Any) -> tuple[Any, Any]:
        sums, pieces = function(part)
        return jax.tree.map(jnp.add, total, sums), pieces

    shapes = jax.eval_shape(function, first)[0]
    total, pieces = jax.lax.scan(add, jax.tree.map(lambda like: jnp.zeros(like.shape, like.dtype), shapes), arrays)
    return total, None if pieces is None else pieces.swapaxes(0, 1).reshape(pieces.shape[1], -1)


def _to_nodes(matrix: Any, vector: Any) -> Any:
    """Σ_i matrix_ski vector_si. One vector at a time: XLA's products with two or three columns take longer than as many with one."""
    return jnp.einsum("ski,si->sk", matrix, vector)


def _both(two_sided: Any) -> Any:
    """Add what belongs to c + h x_k to what belongs to c − h x_k. As a reduction it would be a loop of its own."""
    return two_sided[:, 0] + two_sided[:, 1]


def _tiny(dtype: Any) -> Any:
    """A number small enough to win every sum as a denominator, large enough to divide by."""
    return jnp.finfo(dtype).tiny * 1e8


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
