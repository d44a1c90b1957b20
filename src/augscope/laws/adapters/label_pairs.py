"""Images, both labels and λ, for a loss λ·L(y_a) + (1−λ)·L(y_b), as in the programs of most papers (Zhang et al. 2018;
Yun et al. 2019): `(x, y_a, y_b, λ)`, or `(x, (y_a, y_b, λ))`."""

from __future__ import annotations

from typing import Any

import numpy as np

from augscope.laws.adapters.convention import FormUnknown, form_in_words, numbers, one_hot

FORM = "(images, y_a, y_b, λ) or (images, (y_a, y_b, λ))"


def read(output: Any, num_classes: int) -> tuple[Any, Any] | None:
    """Return images and soft labels λ·y_a + (1−λ)·y_b, or None for any other form.

    Args:
        output: y_a and y_b are class indices (N,) or rows (N, K); λ is one number, or one a sample.
        num_classes: K, for class indices.

    Raises:
        FormUnknown: if it is of this form, but labels and λ do not fit each other; says which.
    """
    sequence = isinstance(output, tuple | list)
    if sequence and len(output) == 2 and isinstance(output[1], tuple | list) and len(output[1]) == 3:
        output = (output[0], *output[1])
    if not sequence or len(output) != 4:
        return None
    images, weight = numbers(output[0]), numbers(output[3])
    first, second = numbers(output[1]), numbers(output[2])
    if images is None or weight is None or first is None or second is None or not {first.ndim, second.ndim} <= {1, 2}:
        return None
    own, partner = _rows(first, "y_a", num_classes), _rows(second, "y_b", num_classes)
    if own.shape != partner.shape:
        raise FormUnknown(f"{form_in_words(output)}, where y_a and y_b differ in shape")
    if weight.size not in (1, len(own)):
        raise FormUnknown(f"{form_in_words(output)}, where λ has {weight.size} numbers for {len(own)} labels")
    column = weight.reshape(-1, 1).astype(float)
    return output[0], column * own + (1 - column) * partner


def _rows(values: np.ndarray, name: str, num_classes: int) -> np.ndarray:
    """Labels as rows (N, K)."""
    if values.ndim == 2:
        return values
    indices = values.astype(int)
    if (indices != values).any() or (indices < 0).any() or (indices >= num_classes).any():
        held = f"{values.min():g} to {values.max():g}"
        raise FormUnknown(f"{name} of {held}, which are no indices of {num_classes} classes (`num_classes`)")
    return one_hot(indices, num_classes)
