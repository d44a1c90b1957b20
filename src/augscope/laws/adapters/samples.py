"""One sample after another: taken from a batch, and put together again."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from augscope.laws.adapters.convention import FormUnknown, form_in_words, numbers, one_hot, to_numpy


def of(images: Any, labels: Any) -> Iterator[tuple[Any, Any]]:
    """(image, label) as a data set has them: a class index is a plain number."""
    for i in range(len(images)):
        yield images[i], labels[i] if labels.ndim == 2 else int(labels[i])


def stacked(outputs: Sequence[Any], labels: Any, num_classes: int) -> tuple[Any, Any]:
    """Return images (N, …) and soft labels (N, K) of samples that came back as (image, label), or as images alone.

    Args:
        outputs: N of them.
        labels: that went in; they stay where none come back.
        num_classes: K, for class indices: a sample that keeps its label has a weight of 1 on it.

    Raises:
        FormUnknown: if a sample is neither, or images differ in shape.
    """
    with_labels = [isinstance(output, tuple | list) and len(output) == 2 for output in outputs]
    if all(with_labels):
        rows = np.stack([_row(label, num_classes) for _, label in outputs])
        return stacked_images([image for image, _ in outputs]), rows
    given = to_numpy(labels)
    return stacked_images(outputs), given if given.ndim == 2 else one_hot(given, num_classes)


def stacked_images(images: Sequence[Any]) -> Any:
    """Images of three axes as one array, (N, …). Raises FormUnknown for anything else."""
    arrays = [numbers(image) for image in images]
    for image, array in zip(images, arrays, strict=True):
        if array is None or array.ndim != 3:
            raise FormUnknown(f"{form_in_words(image)} for one image")
    shapes = sorted({array.shape for array in arrays if array is not None})
    if len(shapes) > 1:
        raise FormUnknown(f"images of several shapes, {shapes[0]} and {shapes[1]}")
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(images[0], torch.Tensor):  # half precision is told by its type
        return torch.stack(list(images))
    return np.stack([array for array in arrays if array is not None])


def _row(label: Any, num_classes: int) -> np.ndarray:
    """One sample's label as weights (K,)."""
    values = numbers(label)
    if values is not None and values.ndim == 0 and values.dtype.kind in "iu" and 0 <= values < num_classes:
        return one_hot(values.reshape(1), num_classes)[0]
    if values is None or values.ndim != 1:
        raise FormUnknown(f"a label that is {form_in_words(label)}")
    return values
