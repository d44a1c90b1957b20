"""Transforms of a batch as a loader gives it: one tuple of images and labels."""

from __future__ import annotations

from typing import Any

from augscope.laws.adapters import outputs
from augscope.laws.adapters.convention import Form


def call(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """`transform((images, labels))`."""
    return outputs.read(transform((images, labels)), num_classes)


FORM = Form("one tuple of images and labels", call)
