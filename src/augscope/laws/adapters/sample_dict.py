"""Transforms of one sample in a dict, as MONAI's."""

from __future__ import annotations

from typing import Any

from augscope.laws.adapters import samples
from augscope.laws.adapters.convention import Form
from augscope.laws.adapters.dictionaries import call_with_names, entries

NAMES = (("image", "label"), ("img", "label"), ("image", "target"))


def call(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """`transform({"image": image, "label": label})` for every sample, under the first of `NAMES` that it knows."""
    outputs = [call_with_names(transform, NAMES, *sample) for sample in samples.of(images, labels)]
    return samples.stacked([entries(output) or output for output in outputs], labels, num_classes)


FORM = Form("a dict of a sample", call, one_image=True)
