"""Images, both labels and λ, for a loss λ·L(y_a) + (1−λ)·L(y_b), as in the programs of most papers (Zhang et al. 2018;
Yun et al. 2019): `(x, y_a, y_b, λ)`, or `(x, (y_a, y_b, λ))`."""

from __future__ import annotations

from typing import Any

import numpy as np

from augscope.laws.adapters.convention import numbers, one_hot

FORM = "(images, y_a, y_b, λ) or (images, (y_a, y_b, λ))"


def read(output: Any, num_classes: int) -> tuple[Any, Any] | None:
    """Return images and soft labels λ·y_a + (1−λ)·y_b, or None for any other form.

    Args:
        output: y_a and y_b are class indices (N,) or rows (N, K); λ is one number, or one a sample.
        num_classes: K, for class indices.
    """
    sequence = isinstance(output, tuple | list)
    if sequence and len(output) == 2 and isinstance(output[1], tuple | list) and len(output[1]) == 3:
        output = (output[0], *output[1])
    if not sequence or len(output) != 4:
        return None
    images, weight = numbers(output[0]), numbers(output[3])
    own, partner = (_rows(labels, num_classes) for labels in output[1:3])
    if images is None or weight is None or own is None or partner is None or own.shape != partner.shape:
        return None
    if weight.size not in (1, len(own)):
        return None
    column = weight.reshape(-1, 1).astype(float)
    return output[0], column * own + (1 - column) * partner


def _rows(labels: Any, num_classes: int) -> np.ndarray | None:
    """Labels as rows (N, K), or None where they are neither rows nor class indices."""
    values = numbers(labels)
    if values is None or values.ndim not in (1, 2):
        return None
    if values.ndim == 2:
        return values
    indices = values.astype(int)
    known = (indices == values).all() and (indices >= 0).all() and (indices < num_classes).all()
    return one_hot(indices, num_classes) if known else None
