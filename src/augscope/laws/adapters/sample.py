"""Transforms of one image and its label."""

from __future__ import annotations

from typing import Any

from augscope.laws.adapters import samples
from augscope.laws.adapters.convention import Form


def call(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """`transform(image, label)` for every sample; (image, label) comes back, or the image alone."""
    return samples.stacked([transform(*sample) for sample in samples.of(images, labels)], labels, num_classes)


FORM = Form("one image and its label", call, num_arguments=2, one_image=True)
