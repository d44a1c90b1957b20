"""Albumentations."""

from __future__ import annotations

from typing import Any

import numpy as np

from augscope.laws.adapters.convention import Form, one_hot, to_numpy


def call(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """Albumentations transforms one image at a time, and knows no labels."""
    mixed = np.stack([transform(image=image)["image"] for image in images])
    return mixed, one_hot(to_numpy(labels), num_classes)


FORM = Form("image=image", call, one_image=True, takes_labels=False)
