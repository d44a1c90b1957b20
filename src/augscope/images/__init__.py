"""Augmentations of image batches whose law is certified, and pictures of them. Needs the extra `augscope[images]`.

Names are loaded on first use: neither `import augscope` nor `augscope --help` waits for PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from augscope.images.transforms import BoxCutMix, BoxCutout, Mixup, PatchCutMix, PatchCutout

__all__ = ["BoxCutMix", "BoxCutout", "Mixup", "PatchCutMix", "PatchCutout"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'augscope.images' has no attribute {name!r}")
    try:
        return getattr(import_module("augscope.images.transforms"), name)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"augscope.images.{name} needs {error.name}: pip install 'augscope[images]'", name=error.name
        ) from None


def __dir__() -> list[str]:
    return sorted(__all__)
