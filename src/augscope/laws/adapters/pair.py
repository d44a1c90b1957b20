"""Transforms of images and labels: torchvision v2, timm, augscope, and the code of papers."""

from __future__ import annotations

from typing import Any

from augscope.laws.adapters import outputs
from augscope.laws.adapters.convention import Form


def call(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """`transform(images, labels)`."""
    return outputs.read(transform(images, labels), num_classes)


FORM = Form("(images, labels)", call, num_arguments=2)
