"""How libraries take and return batches.

An adapter is a function `(transform, images, labels, num_classes) → (images, labels)`: `images` and `labels` are the
library's own arrays (class indices), and what comes back are images and soft labels (N, K): where a library knows no labels,
they are the given ones. A transform that no adapter fits is checked through a function of your own, as `file.py:function`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from augscope.support.values import Value, check

Adapter = Callable[[Any, Any, Any, int], tuple[Any, Any]]


class Convention(Value):
    """The arrays that a target takes.

    Args:
        adapter: a name in `ADAPTERS`.
        arrays: "torch", "numpy" or "jax".
        layout: "channels_first" (N, C, H, W) or "channels_last" (N, H, W, C), of input and output.
        dtype: of the images, "float32" (levels/256, which bfloat16 holds exactly too) or "uint8" (levels).
    """

    adapter: Literal["pair", "kornia", "keras", "albumentations"] = "pair"
    arrays: Literal["torch", "numpy", "jax"] = "torch"
    layout: Literal["channels_first", "channels_last"] = "channels_first"
    dtype: Literal["float32", "uint8"] = "float32"

    @property
    def unit(self) -> float:
        """The value of one level."""
        return 1.0 if self.dtype == "uint8" else 1 / 256

    def encode(self, levels: np.ndarray) -> Any:
        """Levels (N, H, W, C) as the target's arrays; always a fresh copy."""
        images = levels.astype(np.uint8) if self.dtype == "uint8" else levels.astype(np.float32) / np.float32(256)
        images = images.transpose(0, 3, 1, 2) if self.layout == "channels_first" else images
        return self.array(np.ascontiguousarray(images))

    def array(self, values: np.ndarray) -> Any:
        """A copy of NumPy values in the target's library."""
        if self.arrays == "torch":
            import torch

            return torch.from_numpy(values.copy())
        if self.arrays == "jax":
            import jax.numpy as jnp

            return jnp.array(values)
        return values.copy()

    def channels_last(self, images: np.ndarray) -> np.ndarray:
        """Returned images as (N, H, W, C)."""
        return images.transpose(0, 2, 3, 1) if self.layout == "channels_first" else images


def to_numpy(values: Any) -> np.ndarray:
    """Arrays of PyTorch (from any device), JAX, Keras or NumPy as NumPy arrays; half precision as float32."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if values.dtype.is_floating_point and values.element_size() < 4 else values
    array = np.asarray(values)
    check(array.dtype != object, f"arrays are needed, got {type(values).__name__}")
    return array


def rounding(values: Any) -> float:
    """The largest rounding error of a number in [0, 1] in the array's type, where that is half precision; else 0."""
    name = str(getattr(values, "dtype", "")).rpartition(".")[2]
    return {"bfloat16": 2.0**-9, "float16": 2.0**-12}.get(name, 0.0)


def one_hot(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Class indices (N,) as float32 rows (N, K)."""
    return np.eye(num_classes, dtype=np.float32)[labels]


def pair(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """`transform(images, labels)` returns images and soft labels: torchvision v2, timm, augscope."""
    output = transform(images, labels)
    several = isinstance(output, tuple | list)
    kind = f"a {type(output).__name__}" + (f" of {len(output)}" if several else "")
    check(several and len(output) == 2, f"the target must return images and labels, got {kind}")
    return output[0], output[1]


def kornia(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """kornia's mixes return (own label, permuted label, λ) in the last axis; its other augmentations images alone.

    λ is the permuted label's weight, as kornia's own loss for MixUp says and as CutMix without `use_correct_lambda` counts
    it (the cut's area); with `use_correct_lambda=True` it is the own label's.
    """
    keys = {str(getattr(key, "name", key)).upper() for key in getattr(transform, "data_keys", None) or []}
    if not keys & {"CLASS", "LABEL"}:
        return transform(images), one_hot(to_numpy(labels), num_classes)
    mixed, weights = transform(images, labels)
    triples = to_numpy(weights)
    triples = triples.reshape(-1, *triples.shape[-2:])  # (mixes, N, 3)
    check(len(triples) == 1, f"one mix of a batch can be checked, got {len(triples)}")
    own, permuted, weight = triples[0].T
    kept = weight if getattr(transform, "use_correct_lambda", False) else 1 - weight
    rows = [one_hot(part.astype(int), num_classes) for part in (own, permuted)]
    return mixed, kept[:, None] * rows[0] + (1 - kept)[:, None] * rows[1]


def keras(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """Keras layers that mix take and return {"images", "labels"} with one-hot labels."""
    batch = {"images": images, "labels": one_hot(to_numpy(labels), num_classes)}
    output = transform(batch, training=True)
    return output["images"], output["labels"]


def albumentations(transform: Any, images: Any, labels: Any, num_classes: int) -> tuple[Any, Any]:
    """Albumentations transforms one image at a time, and knows no labels."""
    mixed = np.stack([transform(image=image)["image"] for image in images])
    return mixed, one_hot(to_numpy(labels), num_classes)


ADAPTERS: dict[str, Adapter] = {"pair": pair, "kornia": kornia, "keras": keras, "albumentations": albumentations}
CONVENTIONS = {  # by the target's top-level package
    "default": Convention(),
    "kornia": Convention(adapter="kornia"),
    "keras": Convention(adapter="keras", arrays="numpy", layout="channels_last"),
    "albumentations": Convention(adapter="albumentations", arrays="numpy", layout="channels_last", dtype="uint8"),
}
