"""What a sample is drawn from: the discrete parts of points, features, noise vectors and the residual Gram matrix.

Programs here are compiled for shapes alone: standard deviations and d are run-time numbers, so that the thousands of cells
of a sweep share them. What is small is drawn on the host.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.special import gammaincinv, ndtri

from augscope.model.distribution import FeatureNoise

# Of freedom. SciPy's quantiles are off in the lower tail from 1e7 on: z = −4.752, −4.698, −4.580 for −4.753 at 1e7, 1e8, 1e9.
MANY_DEGREES = 10**6


def draw_parts(key: Any, distribution: FeatureNoise, num_samples: int) -> dict[str, Any]:
    """Labels, feature indices, positions and u: the discrete part of every point."""
    label, feature, position, shift, hidden = _uniforms(key, (5, num_samples))
    num_patches, frequencies = distribution.num_patches, np.array(distribution.frequencies)
    position = (position * num_patches).astype(int)
    shift = 1 + (shift * (num_patches - 1)).astype(int)  # never 0: the dominant patch is another one
    edges = np.cumsum(frequencies / frequencies.sum())[:-1]
    parts = {
        "labels": np.where(label < 0.5, 1, -1),
        "feature_index": np.searchsorted(edges, feature, side="right"),
        "feature_position": position,
        "dominant_position": (position + shift) % num_patches,
        "feature_noise_label": np.where(hidden < 0.5, 1, -1),
    }
    return {name: jnp.asarray(part) for name, part in parts.items()}


def _uniforms(key: Any, shape: tuple[int, ...]) -> Float[np.ndarray, ...]:
    """Independent uniform numbers in [0, 1), on the host: few are needed, and no program need be compiled for what they become."""
    return np.asarray(jax.random.uniform(key, shape), np.float64)


def standard_features(num_features: int, dim: int, dtype: Any) -> Float[Array, "2 K D"]:
    """The first 2K unit vectors."""
    return jnp.asarray(np.eye(2 * num_features, dim, dtype=dtype).reshape(2, num_features, dim))


def draw_frame(key: Any, distribution: FeatureNoise, frame: str, dtype: str) -> Float[Array, "2 K d"]:
    """Standard or uniformly random orthonormal features in d dimensions."""
    num_features, dim = distribution.num_features, distribution.dim
    if frame == "standard":
        return standard_features(num_features, dim, dtype)
    columns, triangle = jnp.linalg.qr(jax.random.normal(key, (dim, 2 * num_features), dtype))
    return (columns * jnp.sign(jnp.diagonal(triangle))[None, :]).T.reshape(2, num_features, dim)


def _noise_stds(distribution: FeatureNoise, num_samples: int, dtype: Any) -> Float[np.ndarray, "n P-1"]:
    """σ_d for each point's first noise vector and σ_b for the others."""
    stds = np.full((num_samples, distribution.num_patches - 1), distribution.background_noise_std)
    stds[:, 0] = distribution.dominant_noise_std
    return stds.astype(dtype)


def dense_noise(
    key: Any, distribution: FeatureNoise, num_samples: int, features: Any, frame: str, dtype: str
) -> Float[Array, "n P-1 d"]:
    """ξ ~ N(0, σ² Λ) in all coordinates."""
    stds = jnp.asarray(_noise_stds(distribution, num_samples, dtype)[:, :, None])
    flat = features.reshape(-1, distribution.dim)
    if frame == "standard":
        inside = jax.random.normal(key, (*stds.shape[:2], distribution.noise_dim), dtype)
        return jnp.concatenate([jnp.zeros((*stds.shape[:2], flat.shape[0]), dtype), stds * inside], axis=-1)
    noise = jax.random.normal(key, (*stds.shape[:2], distribution.dim), dtype)
    for _ in range(2):  # twice: once leaves a rounding error along the features as large as one projection's
        noise = noise - (noise @ flat.T) @ flat
    return stds * noise


def reduced_noise(key: Any, distribution: FeatureNoise, num_samples: int, dtype: str) -> Float[Array, "n P-1 D"]:
    """The noise vectors in an orthonormal frame of their span, behind 2K zeros: Bartlett's lower triangle.

    Rows i = 0 … N−1 are N(0,1) below the diagonal and √χ²_{d−2K−i} on it. With fewer dimensions than vectors the span is
    everything: plain Gaussian rows.
    """
    stds, noise_dim = _noise_stds(distribution, num_samples, dtype), distribution.noise_dim
    normal_key, uniforms = _key_and_uniforms(key, stds.size)
    num_zeros = 2 * distribution.num_features
    if stds.size > noise_dim:
        return _spanned_noise(normal_key, stds, None, noise_dim, num_zeros)
    diagonal = chi_quantiles(noise_dim - np.arange(stds.size), np.asarray(uniforms, np.float64)).astype(dtype)
    return _spanned_noise(normal_key, stds, diagonal, stds.size, num_zeros)


@partial(jax.jit, static_argnums=1)
def _key_and_uniforms(key: Any, count: int) -> tuple[Any, Float[Array, " count"]]:
    """Split a key; return the first half and uniform numbers by the other. One program: each that JAX starts takes a small sample's time."""
    first, second = jax.random.split(key)
    return first, jax.random.uniform(second, (count,))


@partial(jax.jit, static_argnums=(3, 4))
def _spanned_noise(key: Any, stds: Any, diagonal: Any, span_dim: int, num_zeros: int) -> Float[Array, "n P-1 D"]:
    """Gaussian rows, cut to the triangle below the diagonal where one is given, times their standard deviations."""
    rows = jax.random.normal(key, (stds.size, span_dim), stds.dtype)
    if diagonal is not None:
        rows = jnp.tril(rows, -1) + jnp.diag(diagonal)
    padded = jnp.pad(stds.reshape(-1, 1) * rows, ((0, 0), (num_zeros, 0)))
    return padded.reshape(*stds.shape, -1)


def chi_quantiles(freedom: Int[np.ndarray, " m"], uniforms: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """√χ² with the given degrees of freedom, elementwise, as quantiles of uniform numbers; 0 where there are none."""
    squares = 2 * gammaincinv(np.maximum(freedom, 1) / 2, uniforms)
    return np.sqrt(np.where(freedom < MANY_DEGREES, squares, _large_chi_squares(freedom, uniforms))) * (freedom > 0)


def _large_chi_squares(freedom: Int[np.ndarray, " m"], uniforms: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Quantiles of χ²_f for large f: f + √(2f) z + ⅔(z² − 1) + (z³ − 7z)/(9√(2f)), z the normal quantile (Cornish–Fisher).

    The next term is −(6z⁴ + 14z² − 32)/(405 f): below 6e-8 standard deviations for |z| ≤ 8.3 from f = `MANY_DEGREES` on.
    """
    z = _normal_quantiles(uniforms)
    spread = np.sqrt(2.0 * np.maximum(freedom, 1))
    return freedom + spread * z + 2 / 3 * (z**2 - 1) + (z**3 - 7 * z) / (9 * spread)


def _normal_quantiles(uniforms: Float[np.ndarray, ...]) -> Float[np.ndarray, ...]:
    return ndtri(np.maximum(uniforms, 2.0**-54))  # half the least uniform: finite


def wishart(key: Any, freedom: int) -> Float[np.ndarray, "2 2"]:
    """A 2×2 Wishart matrix: the Gram matrix of two standard Gaussian vectors in `freedom` dimensions; zeros in none."""
    normal_key, uniforms = _key_and_uniforms(key, 2)
    factor = np.diag(chi_quantiles(np.array([freedom, freedom - 1]), np.asarray(uniforms, np.float64)))
    if freedom > 0:
        factor[1, 0] = _normal_quantiles(_uniforms(normal_key, (1,))[0])
    return factor @ factor.T
