"""What transforms of a batch return, however they are called: two forms, or a dict that holds one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from augscope.laws.adapters.convention import FormUnknown, form_in_words, numbers, one_hot

IMAGES = ("images", "image", "img", "pixel_values", "x")
LABELS = ("labels", "label", "target", "y")


def read(output: Any, num_classes: int) -> tuple[Any, Any]:
    """Return images and labels (N, K) or (N,); a dict is read as the pair that it holds.

    Raises:
        FormUnknown: if what comes back has none of the forms.
    """
    held = entries(output) or output
    for reader in RETURNED.values():
        batch = reader(held, num_classes)
        if batch is not None:
            return batch
    raise FormUnknown(form_in_words(output))


def entries(output: Any) -> tuple[Any, Any] | None:
    """The images and the labels in a dict, or None for anything else."""
    if not isinstance(output, Mapping):
        return None
    images = next((output[name] for name in IMAGES if name in output), None)
    labels = next((output[name] for name in LABELS if name in output), None)
    return None if images is None or labels is None else (images, labels)


def _label_pairs(output: Any, num_classes: int) -> tuple[Any, Any] | None:
    """Return images and soft labels λ·y_a + (1−λ)·y_b, or None for any other form.

    For a loss λ·L(y_a) + (1−λ)·L(y_b), as in the programs of most papers (Zhang et al. 2018; Yun et al. 2019).

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


def _soft_labels(output: Any, num_classes: int) -> tuple[Any, Any] | None:
    """Return images and labels as torchvision v2, timm and augscope give them, or None for any other form; class indices are left to the checks."""
    pair = isinstance(output, tuple | list) and len(output) == 2
    if not pair or any(numbers(part) is None for part in output):
        return None
    return output[0], output[1]


RETURNED = {"(images, y_a, y_b, λ) or (images, (y_a, y_b, λ))": _label_pairs, "(images, soft labels)": _soft_labels}
