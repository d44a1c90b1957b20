"""The arrays that a target takes and returns, and their conversion to NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import model_validator

from augscope.support.values import Value, check


class FormUnknown(ValueError):
    """What a target returned has no form that is read; the message is that form in words."""


@dataclass(frozen=True)
class Form:
    """How a transform is called.

    Attributes:
        words: what goes in, for messages.
        call: an adapter, `(transform, images, labels, num_classes) → (images, labels)`.
        num_arguments: that the transform gets.
        takes_labels: whether labels are among them, as class indices or one-hot rows.
        one_image: whether it gets one image at a time.
    """

    words: str
    call: Callable[[Any, Any, Any, int], tuple[Any, Any]]
    num_arguments: int = 1
    takes_labels: bool = True
    one_image: bool = False


FormName = Literal[
    "pair",
    "sample",
    "images",
    "image",
    "tuple",
    "collate",
    "sample_dict",
    "batch_dict",
    "kornia",
    "keras",
    "albumentations",
]
WITH_LABELS = ("pair", "sample", "tuple", "collate", "sample_dict", "batch_dict")  # either kind of labels can be given


class Convention(Value):
    """How a target is called, and the arrays that it takes.

    Args:
        form: how to call it, a name in `FORMS`.
        arrays: "torch", "numpy" or "jax".
        layout: "channels_first" (N, C, H, W) or "channels_last" (N, H, W, C), of input and output.
        dtype: of the images, "float32" (levels/256, which bfloat16 holds exactly too) or "uint8" (levels).
        labels: what goes in, class "indices" (N,) or "one_hot" rows (N, K); None where the form gives no labels, or has its own.
    """

    form: FormName = "pair"
    arrays: Literal["torch", "numpy", "jax"] = "torch"
    layout: Literal["channels_first", "channels_last"] = "channels_first"
    dtype: Literal["float32", "uint8"] = "float32"
    labels: Literal["indices", "one_hot"] | None = None

    @model_validator(mode="after")
    def _labels_fit(self) -> Convention:
        fits = self.labels is None or self.form in WITH_LABELS
        check(fits, f"`labels` belong to a form that gives them ({', '.join(WITH_LABELS)}), got {self.form}")
        return self

    @property
    def unit(self) -> float:
        """The value of one level."""
        return 1.0 if self.dtype == "uint8" else 1 / 256

    def encode(self, levels: np.ndarray) -> np.ndarray:
        """Levels (N, H, W, C) as images in the target's layout and type, still in NumPy."""
        images = levels.astype(np.uint8) if self.dtype == "uint8" else levels.astype(np.float32) / np.float32(256)
        images = images.transpose(0, 3, 1, 2) if self.layout == "channels_first" else images
        return np.ascontiguousarray(images)

    def shape(self, levels: np.ndarray) -> tuple[int, ...]:
        """The shape of what `encode` returns."""
        count, height, width, channels = levels.shape
        first = self.layout == "channels_first"
        return (count, channels, height, width) if first else (count, height, width, channels)

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


def numbers(values: Any) -> np.ndarray | None:
    """What `to_numpy` makes of values, or None where they are no array of numbers."""
    try:
        array = to_numpy(values)
    except (TypeError, ValueError, RuntimeError):  # ragged lists, texts, sequences of tensors
        return None
    return array if array.dtype.kind in "biuf" else None


def rounding(values: Any) -> float:
    """The largest rounding error of a number in [0, 1] in the array's type, where that is half precision; else 0."""
    name = str(getattr(values, "dtype", "")).rpartition(".")[2]
    return {"bfloat16": 2.0**-9, "float16": 2.0**-12}.get(name, 0.0)


def one_hot(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Class indices (N,) as float32 rows (N, K)."""
    return np.eye(num_classes, dtype=np.float32)[labels]


def form_in_words(output: Any, *, nested: bool = False) -> str:
    """What a target returned, for messages.

    Example:
        >>> form_in_words((np.zeros((2, 3)), [1, 2], "cut"))
        'a tuple of 3 (ndarray (2, 3), list of 2, str)'
    """
    kind, article = type(output).__name__, "" if nested else "a "
    if isinstance(output, dict):
        return f"{article}{kind} of {', '.join(map(str, output))}"[:200]
    if isinstance(output, tuple | list):
        parts = "" if nested else f" ({', '.join(form_in_words(part, nested=True) for part in output[:8])})"
        return f"{article}{kind} of {len(output)}{parts}"
    if output is None:
        return "nothing (None)"
    shape = getattr(output, "shape", None)
    return f"{article}{kind}" if shape is None else f"{article}{kind} {tuple(shape)}"


def error_in_words(error: BaseException) -> str:
    """An error's kind and message in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
