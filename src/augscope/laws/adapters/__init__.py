"""How libraries and people's own code take and return batches: one module a form, of which none knows another.

An adapter is a function `(transform, images, labels, num_classes) → (images, labels)`: `images` and `labels` are the
library's own arrays, and what comes back are images and soft labels (N, K): where a library knows no labels, they are the
given ones. A transform that no adapter fits is checked through a function of your own, as `file.py:function`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from augscope.laws.adapters import albumentations, keras, kornia, pair
from augscope.laws.adapters.convention import Convention

Adapter = Callable[[Any, Any, Any, int], tuple[Any, Any]]

ADAPTERS: dict[str, Adapter] = {
    "pair": pair.call,
    "kornia": kornia.call,
    "keras": keras.call,
    "albumentations": albumentations.call,
}
CONVENTIONS = {  # by the target's top-level package
    "default": Convention(),
    "kornia": Convention(adapter="kornia"),
    "keras": Convention(adapter="keras", arrays="numpy", layout="channels_last"),
    "albumentations": Convention(adapter="albumentations", arrays="numpy", layout="channels_last", dtype="uint8"),
}
