"""Transforms of images and labels: torchvision v2, timm, augscope, and the code of papers. What comes back has one of `FORMS`."""

from __future__ import annotations

from typing import Any

from augscope.laws.adapters import label_pairs, soft_labels
from augscope.laws.adapters.convention import FormUnknown, form_in_words

FORMS = (label_pairs, soft_labels)  # each has a `FORM` for messages, and `read`, which returns None for any other form


def call(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """`transform(images, labels)`; labels are class indices (N,), or one-hot rows (N, K) where it wants these.

    Raises:
        FormUnknown: if what comes back has none of the forms.
    """
    output = transform(images, labels)
    for form in FORMS:
        batch = form.read(output, num_classes)
        if batch is not None:
            return batch
    raise FormUnknown(form_in_words(output))
