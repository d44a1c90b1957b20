"""Transforms of one image: most Cutouts, and RandomErasing in a data set's transform."""

from __future__ import annotations

from typing import Any

from augscope.laws.adapters import samples
from augscope.laws.adapters.convention import Form, one_hot, to_numpy


def call(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """`transform(image)` for every image; labels stay."""
    return samples.stacked_images([transform(image) for image in images]), one_hot(to_numpy(labels), num_classes)


FORM = Form("one image", call, takes_labels=False, one_image=True)
