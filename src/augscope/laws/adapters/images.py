"""Transforms of a batch of images that know no labels."""

from __future__ import annotations

from typing import Any

from augscope.laws.adapters.convention import Form, FormUnknown, form_in_words, numbers, one_hot, to_numpy


def call(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """`transform(images)`; labels stay."""
    output = transform(images)
    array = numbers(output)
    if array is None or array.ndim != 4:
        raise FormUnknown(form_in_words(output))
    return output, one_hot(to_numpy(labels), num_classes)


FORM = Form("a batch of images", call, takes_labels=False)
