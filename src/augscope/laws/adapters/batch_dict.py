"""Transforms of a batch in a dict: Keras' layers and pipelines, Hugging Face's collators, MONAI's batches."""

from __future__ import annotations

from typing import Any

from augscope.laws.adapters import outputs
from augscope.laws.adapters.convention import Form
from augscope.laws.adapters.dictionaries import call_with_names

NAMES = (("images", "labels"), ("image", "label"), ("pixel_values", "labels"), ("x", "y"))


def call(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """`transform({"images": images, "labels": labels})`, under the first of `NAMES` that it knows."""
    return outputs.read(call_with_names(transform, NAMES, images, labels), num_classes)


FORM = Form("a dict of a batch", call)
