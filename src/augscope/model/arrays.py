"""Checks of array arguments: one sentence that names the argument, the rule and the value."""

from __future__ import annotations

from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from augscope.support.values import check

X64_LINE = 'jax.config.update("jax_enable_x64", True)'


def check_key(key: Any) -> None:
    """Raise ValueError unless `key` is one JAX random key."""
    is_array = isinstance(key, (jax.Array, np.ndarray))
    typed = isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    legacy = is_array and not typed and key.dtype == np.uint32 and key.shape == (2,)
    is_key = (typed and key.shape == ()) or legacy
    if not is_key:  # no `check`: its sentence would be made each time, which takes JAX long
        raise ValueError(f"`key` must be a JAX random key such as jax.random.key(0), got {key!r}")


def check_precision(dtype: Any) -> None:
    """Raise ValueError if float64 is wanted while JAX would silently compute in float32."""
    if np.dtype(dtype) != np.float32:
        check(
            bool(jax.config.read("jax_enable_x64")),
            f"float64 is not enabled in JAX: run {X64_LINE} first, or ask for float32 by name",
        )


def checked_scores(scores: Any, labels: Any) -> tuple[jax.Array, jax.Array]:
    """Return scores and labels as arrays of one floating dtype: that of the scores, or float64.

    Traced arrays (inside jit, vmap or grad) have shapes but no values: only their shapes are checked.

    Raises:
        ValueError: unless scores are a finite (n, P) array and labels an (n,) array of +1 and −1, or if float64 is not
            enabled.
    """
    shape, label_shape = np.shape(scores), np.shape(labels)
    check(len(shape) == 2 and shape[0] >= 1 and shape[1] >= 1, f"`scores` must have shape (n, P), got {shape}")
    check(label_shape == shape[:1], f"`labels` must have shape ({shape[0]},) to match `scores`, got {label_shape}")
    if not (isinstance(scores, jax.core.Tracer) or isinstance(labels, jax.core.Tracer)):
        check_finite("scores", scores)
        values = np.unique(np.asarray(labels))
        check(bool(np.isin(values, (-1, 1)).all()), f"`labels` must be +1 or -1, got {values.tolist()[:5]}")
    dtype = getattr(scores, "dtype", np.float64)
    dtype = dtype if np.issubdtype(dtype, np.floating) else np.float64
    check_precision(dtype)
    return jnp.asarray(scores, dtype), jnp.asarray(labels, dtype)


def checked_probabilities(probabilities: Any, scores: jax.Array) -> jax.Array | None:
    """Return the weights of the points in the dtype of checked `scores`; None, which stays None, means uniform.

    Raises:
        ValueError: unless they are an (n,) array of finite numbers of at least 0 that sum to 1, up to rounding.
    """
    if probabilities is None:
        return None
    shape = np.shape(probabilities)
    check(
        shape == scores.shape[:1],
        f"`probabilities` must have shape ({scores.shape[0]},) to match `scores`, got {shape}",
    )
    if not isinstance(probabilities, jax.core.Tracer):
        check_finite("probabilities", probabilities)
        values = np.asarray(probabilities, np.float64)
        check(bool((values >= 0).all()), f"`probabilities` must be at least 0, got {values.min():g}")
        single = getattr(probabilities, "dtype", None) == np.float32  # each weight is rounded by up to 6e-8 of it
        off = abs(values.sum() - 1)
        check(off <= (1e-7 if single else 1e-9), f"`probabilities` must sum to 1, got {values.sum():.12g}")
    return jnp.asarray(probabilities, scores.dtype)


def check_finite(name: str, array: Any) -> None:
    """Raise ValueError if the array holds a NaN or an infinity, naming how many."""
    bad = int(np.size(array) - np.isfinite(np.asarray(array)).sum())
    check(bad == 0, f"`{name}` must be finite, got {bad} entries that are NaN or infinite")
