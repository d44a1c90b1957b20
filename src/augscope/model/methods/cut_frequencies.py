"""Expected Cutout for any number of subsets: the logistic loss as a cosine series, subsets as sampling without replacement.

E over the uniform C-subset of e^{iω Σ_kept b_p} is u_{0,C}, with u_{P,0} = 1 and, going through the patches one by one,
u_{p,c} = (1 − c/r) e^{iω b_p} u_{p+1,c} + (c/r) u_{p+1,c−1}: c is what is left to cut of the r = P − p patches left. Each u is
a mean of numbers of modulus 1, so nothing can grow. Forwards, f_{p,c} adds up the ways to reach (p, c); then
∂u_{0,C}/∂b_p = iω e^{iω b_p} Σ_c f_{p,c} (1 − c/r) u_{p+1,c}. E[z] and E[z²] are known in closed form.
"""

from __future__ import annotations

from functools import partial
from math import ceil, log
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from augscope.model.methods.base import weigh, with_known_gradient
from augscope.model.methods.softplus_series import Series, series

FREQUENCIES_AT_ONCE = 8
NUMBERS_AT_ONCE = 2**20  # of the table of u that is worked on: 8 MiB each for real and imaginary parts in float64


def expected_loss(signed: Any, num_cut: int, probabilities: Any = None) -> tuple[Any, Any]:
    """Return Σ_i w_i E_𝒞 ℓ(Σ_{p ∉ 𝒞} b_{i,p}) and its gradient, for signed scores b = y a of shape (n, P).

    `probabilities` are the w_i, (n,), by default 1/n each. The series' error stays: it is a mean over points.

    Cost: O(n P C K) with K ≈ 1.7 (Z + 33) frequencies, Z the largest |z| that a cut point reaches. Memory: bounded by
    `NUMBERS_AT_ONCE`, whatever n and K are. Past `MAX_FREQUENCIES` the result is NaN.
    """
    value, slopes = with_known_gradient(partial(_expected_losses, num_cut))(signed, probabilities)
    return (value, slopes) if probabilities is not None else (value / len(signed), slopes / len(signed))


def _expected_losses(num_cut: int, signed: Any, masses: Any) -> tuple[Any, Any]:
    """The sum over points with `masses`, or of all alike where these are None."""
    num_samples, num_patches = signed.shape
    terms = series(_largest_margin(signed, num_cut))
    size = min(num_samples, max(1, NUMBERS_AT_ONCE // (num_patches * (num_cut + 1) * FREQUENCIES_AT_ONCE)))
    num_chunks = ceil(num_samples / size)
    padding = num_chunks * size - num_samples  # points of score 0 cost and give nothing
    chunks = jnp.pad(signed, ((0, padding), (0, 0))).reshape(num_chunks, size, num_patches).swapaxes(1, 2)
    in_chunks = None if masses is None else jnp.pad(masses, (0, padding)).reshape(num_chunks, size)

    def add(index: Any, total: tuple[Any, Any]) -> tuple[Any, Any]:
        omega, weight = terms.frequencies(index * FREQUENCIES_AT_ONCE, FREQUENCIES_AT_ONCE)
        oscillating_part = partial(_oscillating_part, num_cut, omega, weight)
        values, slopes = jax.lax.map(lambda chunk: oscillating_part(*chunk), (chunks, in_chunks))
        return total[0] + values.sum(), total[1] + slopes

    start = (jnp.zeros((), signed.dtype), jnp.zeros_like(chunks))
    num_steps = (terms.num_frequencies + FREQUENCIES_AT_ONCE - 1) // FREQUENCIES_AT_ONCE
    value, slopes = jax.lax.fori_loop(0, num_steps, add, start)
    slopes = slopes.swapaxes(1, 2).reshape(-1, num_patches)[:num_samples]
    smooth, smooth_slopes = _polynomial_part(signed, num_cut, terms)
    by_point = None if masses is None else masses[:, None]
    return value + weigh(smooth, masses).sum(), weigh(slopes + smooth_slopes, by_point)


def _largest_margin(signed: Any, num_cut: int) -> Any:
    """max |z| over all points and subsets: all but the C largest, or the C smallest, signed scores remain."""
    ordered = jnp.sort(signed, axis=1)
    kept = signed.shape[1] - num_cut
    return jnp.maximum(-ordered[:, :kept].sum(axis=1), ordered[:, num_cut:].sum(axis=1)).max()


def _polynomial_part(signed: Any, num_cut: int, terms: Series) -> tuple[Any, Any]:
    """Each point's log 2 − E[z]/2 + E[z²]/(4L), (n,), and its gradient; a pair of patches is kept with probability `both`."""
    num_patches = signed.shape[1]
    one = (num_patches - num_cut) / num_patches
    both = one * (num_patches - num_cut - 1) / (num_patches - 1)
    sums = signed.sum(axis=1, keepdims=True)
    squares = (one - both) * (signed**2).sum(axis=1) + both * sums[:, 0] ** 2
    value = log(2) - one * sums[:, 0] / 2 + squares / (4 * terms.half_period)
    slopes = -one / 2 + ((one - both) * signed + both * sums) / (2 * terms.half_period)
    return terms.valid * value, terms.valid * slopes


def _oscillating_part(num_cut: int, omega: Any, weight: Any, points: Any, masses: Any) -> tuple[Any, Any]:
    """Σ_k w_k (1 − E cos(ω_k z)) summed over points, and each point's own slopes, for signed scores of shape (P, points).

    Complex numbers are pairs of real arrays, (C + 1, frequencies, points): XLA vectorises those.
    """
    num_patches, num_points = points.shape
    keep, cut = (jnp.asarray(table, points.dtype) for table in _probabilities(num_patches, num_cut))
    angles = omega[None, None, :, None] * points[:, None, None, :]
    turns = jnp.cos(angles), jnp.sin(angles)
    shape = (num_cut + 1, len(omega), num_points)

    def backward(u: Any, step: Any) -> tuple[Any, Any]:
        (cos, sin), keep, cut = step
        kept = _turn(u, cos, sin)
        return tuple(
            keep[:, None, None] * stay + cut[:, None, None] * _shift(part, 1)
            for stay, part in zip(kept, u, strict=True)
        ), u

    def forward(f: Any, step: Any) -> tuple[Any, Any]:
        (cos, sin), keep, cut, (real, imaginary) = step
        stay = tuple(keep[:, None, None] * part for part in _turn(f, cos, sin))
        slope = (stay[0] * imaginary + stay[1] * real).sum(axis=0)  # the imaginary part of e^{iω b_p} Σ_c f (1 − c/r) u
        moved = tuple(_shift(cut[:, None, None] * part, -1) for part in f)
        return tuple(one + other for one, other in zip(stay, moved, strict=True)), (omega * weight) @ slope

    zero = jnp.zeros(shape, points.dtype)
    first, table = jax.lax.scan(backward, (zero.at[0].set(1.0), zero), (turns, keep, cut), reverse=True)
    _, slopes = jax.lax.scan(forward, (zero.at[num_cut].set(1.0), zero), (turns, keep, cut, table))
    return weigh(weight @ (1 - first[0][num_cut]), masses).sum(), slopes


def _turn(pair: Any, cos: Any, sin: Any) -> tuple[Any, Any]:
    """(real, imaginary) e^{iθ}."""
    real, imaginary = pair
    return real * cos - imaginary * sin, real * sin + imaginary * cos


def _shift(array: Any, by: int) -> Any:
    """Entry c becomes entry c + `by` along the first axis; 0 moves in."""
    zero = jnp.zeros_like(array[:1])
    return jnp.concatenate([zero, array[:-1]]) if by == 1 else jnp.concatenate([array[1:], zero])


def _probabilities(num_patches: int, num_cut: int) -> tuple[Any, Any]:
    """1 − c/r and c/r for r = P … 1 patches left (rows) and c = 0 … C of them still to cut; 0 where c > r cannot be."""
    left, still = np.arange(num_patches, 0, -1)[:, None], np.arange(num_cut + 1)[None, :]
    possible = still <= left
    return np.where(possible, 1 - still / left, 0.0), np.where(possible, still / left, 0.0)
