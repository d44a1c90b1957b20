"""Values and arguments that refuse bad input in one sentence: the field, the rule, the value."""

from __future__ import annotations

from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

X64_LINE = 'jax.config.update("jax_enable_x64", True)'


class Value(BaseModel):
    """A frozen, hashable, validated value whose errors are plain `ValueError` sentences.

    Unknown fields are refused. Numbers given as strings are refused too, so a typo in a file is not guessed at.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise ValueError("; ".join(_sentence(problem) for problem in error.errors())) from None

    @model_validator(mode="before")
    @classmethod
    def _refuse_text_for_numbers(cls, fields: Any) -> Any:
        for name, value in fields.items() if isinstance(fields, dict) else ():
            for part in value if isinstance(value, (tuple, list)) else (value,):
                check(not _is_number_as_text(part), f"`{name}` must hold numbers, got the text {part!r}")
        return fields

    def replace(self, **changes: Any):
        """Return a copy with some fields changed, validated again. Raises ValueError as the constructor does."""
        return type(self)(**{**{name: getattr(self, name) for name in type(self).model_fields}, **changes})


def _is_number_as_text(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True


def _sentence(problem: Any) -> str:
    """One pydantic problem as a sentence that names the field, the rule and the value."""
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return message
    field = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"`{field}` is not a known field, got {problem['input']!r}"
    if problem["type"] == "missing":
        return f"`{field}` is required"
    return f"`{field}` is not valid: {message[0].lower()}{message[1:]}, got {problem['input']!r}"


def check(condition: bool, sentence: str) -> None:
    """Raise ValueError with the sentence unless the condition holds."""
    if not condition:
        raise ValueError(sentence)


def check_positive(name: str, value: float) -> None:
    """Raise ValueError unless `value` is a finite number above 0."""
    check(np.isfinite(value) and value > 0, f"`{name}` must be above 0, got {value}")


def check_key(key: Any) -> None:
    """Raise ValueError unless `key` is one JAX random key."""
    is_array = isinstance(key, (jax.Array, np.ndarray))
    typed = isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    legacy = is_array and not typed and key.dtype == np.uint32 and key.shape == (2,)
    check(
        (typed and key.shape == ()) or legacy, f"`key` must be a JAX random key such as jax.random.key(0), got {key!r}"
    )


def check_precision(dtype: Any) -> None:
    """Raise ValueError if float64 is wanted while JAX would silently compute in float32."""
    if np.dtype(dtype) != np.float32:
        check(
            bool(jax.config.read("jax_enable_x64")),
            f"float64 is not enabled in JAX: run {X64_LINE} first, or ask for float32 by name",
        )


def check_scores(scores: Any, labels: Any) -> None:
    """Raise ValueError unless scores are a finite (n, P) array and labels an (n,) array of +1 and −1.

    Traced arrays (inside jit, vmap or grad) have shapes but no values: only their shapes are checked.
    """
    shape, label_shape = np.shape(scores), np.shape(labels)
    check(len(shape) == 2 and shape[0] >= 1 and shape[1] >= 1, f"`scores` must have shape (n, P), got {shape}")
    check(label_shape == shape[:1], f"`labels` must have shape ({shape[0]},) to match `scores`, got {label_shape}")
    if isinstance(scores, jax.core.Tracer) or isinstance(labels, jax.core.Tracer):
        return
    check_finite("scores", scores)
    values = np.unique(np.asarray(labels))
    check(bool(np.isin(values, (-1, 1)).all()), f"`labels` must be +1 or -1, got {values.tolist()[:5]}")


def check_finite(name: str, array: Any) -> None:
    """Raise ValueError if the array holds a NaN or an infinity, naming how many."""
    bad = int(np.size(array) - np.isfinite(np.asarray(array)).sum())
    check(bad == 0, f"`{name}` must be finite, got {bad} entries that are NaN or infinite")
