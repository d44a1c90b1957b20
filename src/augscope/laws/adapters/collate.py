"""Functions that make a batch of a list of samples, as a `DataLoader`'s `collate_fn`."""

from __future__ import annotations

from typing import Any

from augscope.laws.adapters import outputs, samples
from augscope.laws.adapters.convention import Form


def call(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """`transform([(image, label), …])`."""
    return outputs.read(transform(list(samples.of(images, labels))), num_classes)


FORM = Form("a list of (image, label)", call)
