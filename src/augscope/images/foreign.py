"""An augmentation of anybody's in a training: named by its import path, called as `augscope law check` calls it."""

from __future__ import annotations

from contextlib import redirect_stdout
from typing import Any

import numpy as np
import torch
from torch import Tensor

from augscope.images.seeding import reproducible
from augscope.laws.adapters.convention import to_numpy
from augscope.laws.adapters.forms import FORMS
from augscope.laws.coding import coded_batch, colours
from augscope.laws.settling import settle
from augscope.laws.targets import Target, resolve
from augscope.support.naming import FOREIGN_ERRORS
from augscope.support.values import check

TRIED = 16  # images of the batches by which the form is found


class ForeignTransform:
    """A transform that an import path names, as a training calls it: (images, labels) → (images, soft labels).

    Args:
        path: `package.module:Class(arguments)`, `package.module:function` or `file.py:function`; parameters `num_classes` and
            `generator` that are not given are filled in.
        num_classes: how many there are, K.
        shape: of an image, (C, S, S).
        seed: of its own generator, where it has one; of Python's, NumPy's and PyTorch's `reproducible` is to take care.

    Raises:
        ValueError: if it cannot be made, or called in no form that is read.
    """

    def __init__(self, path: str, num_classes: int, shape: tuple[int, ...], seed: int) -> None:
        self._path, self._num_classes = path, num_classes
        with reproducible(seed % 2**31, "cpu"):  # finding the form leaves no trace in a training's draws
            self._target = _settled(path, num_classes, shape, seed % 2**31)
        if self._target.has_generator:
            self._target.transform.generator.manual_seed(seed)

    @property
    def takes_bytes(self) -> bool:
        """Whether it takes pixels as they are stored, and not scaled."""
        return self._target.convention.dtype == "uint8"

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Transform a batch, (N, C, S, S) with class indices (N,). Raises ValueError if that fails, with the reason."""
        convention = self._target.convention
        last = convention.layout == "channels_last"
        if convention.labels == "one_hot":
            labels = torch.nn.functional.one_hot(labels, self._num_classes).float()
        given = self._native(images.permute(0, 2, 3, 1) if last else images), self._native(labels)
        try:
            with redirect_stdout(self._target.prints):
                call = FORMS[convention.form].call
                made, soft = call(self._target.transform, *given, self._num_classes)
                made, soft = (_tensor(values, images.device) for values in (made, soft))
        except FOREIGN_ERRORS as error:
            reason = f"{type(error).__name__}: {error}"
            raise ValueError(
                f"`methods` could not be trained with, got {self._path!r}, which raised {reason}"
            ) from None
        made = made.permute(0, 3, 1, 2) if last else made
        self._check(made, soft, images)
        return made.to(images.dtype), soft.float() if soft.is_floating_point() else soft.long()

    def _native(self, values: Tensor) -> Any:
        convention = self._target.convention
        return values if convention.arrays == "torch" else convention.array(values.contiguous().cpu().numpy())

    def _check(self, made: Tensor, soft: Tensor, images: Tensor) -> None:
        rows = soft.shape in ((len(made),), (len(made), self._num_classes))
        check(
            made.shape[1:] == images.shape[1:] and rows,
            f"`methods` must return images of shape (N, {', '.join(map(str, images.shape[1:]))}) and labels of shape "
            f"(N, {self._num_classes}), got {self._path!r} with {tuple(made.shape)} and {tuple(soft.shape)}",
        )


def _settled(path: str, num_classes: int, shape: tuple[int, ...], seed: int) -> Target:
    """The transform, fresh, with the form in which it is called. Raises ValueError."""
    channels, height, width = shape
    try:
        target = resolve(path, batch_size=num_classes, num_classes=num_classes)
        target.seed(seed)
        settle(target, coded_batch(colours(TRIED, channels), height, width), np.arange(TRIED) % num_classes)
    except ValueError as error:  # which speaks of a check
        sentence = str(error).replace("`target` cannot be checked", "`methods` cannot be trained with")
        raise ValueError(sentence.replace("`target`", "`methods`")) from None
    target.seed(seed)
    return target


def _tensor(values: Any, device: torch.device) -> Tensor:
    tensor = values if isinstance(values, Tensor) else torch.from_numpy(np.array(to_numpy(values)))
    return tensor.to(device)
