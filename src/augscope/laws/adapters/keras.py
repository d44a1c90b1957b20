"""Keras."""

from __future__ import annotations

from typing import Any

from augscope.laws.adapters.convention import Form, one_hot, to_numpy


def call(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """Keras layers that mix take and return {"images", "labels"} with one-hot labels."""
    batch = {"images": images, "labels": one_hot(to_numpy(labels), num_classes)}
    output = transform(batch, training=True)
    return output["images"], output["labels"]


FORM = Form("a batch, as Keras takes it", call)
