"""What is checked: an import path with arguments, or a callable, from any library, behind one calling convention."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from augscope.laws.adapters import ADAPTERS, CONVENTIONS
from augscope.laws.adapters.convention import Convention, one_hot, rounding, to_numpy
from augscope.support.naming import import_named
from augscope.support.values import check

Factory = Callable[[], Any]

LABEL_SLACK = 1e-3  # how far a row of soft labels may sum from 1, and two weights' rounding


@dataclass
class Target:
    """A transform, and how to call it.

    Attributes:
        name: as it was given.
        transform: the object.
        convention: how it takes and returns batches.
        num_classes: K of the labels that it gets, or None for as many as a batch has samples.
        factory: makes it anew, where it was given by import path.
    """

    name: str
    transform: Any
    convention: Convention
    num_classes: int | None
    factory: Factory | None = None

    def seed(self, seed: int, *, elsewhere: int | None = None) -> None:
        """Start every source of randomness from a seed: the transform's own, and the global ones (from `elsewhere`)."""
        seed_globals(seed if elsewhere is None else elsewhere)
        if self.factory is not None:
            self.transform = self.factory()
        if self.has_generator:
            self.transform.generator.manual_seed(seed)
        if callable(getattr(self.transform, "set_random_seed", None)):  # Albumentations
            self.transform.set_random_seed(seed)

    @property
    def has_generator(self) -> bool:
        """Whether the transform was given a generator of its own."""
        return hasattr(getattr(self.transform, "generator", None), "manual_seed")

    def __call__(self, levels: np.ndarray, labels: np.ndarray) -> Call:
        """Feed levels (N, H, W, C) and class indices (N,), in the arrays and layout that the target takes."""
        native = self.convention.encode(levels)
        num_classes = self.num_classes or len(levels)
        given = one_hot(labels, num_classes) if self.convention.labels == "one_hot" else labels
        native_labels = self.convention.array(given)
        images, soft = ADAPTERS[self.convention.adapter](self.transform, native, native_labels, num_classes)
        untouched = np.array_equal(to_numpy(native), to_numpy(self.convention.encode(levels)))
        untouched = untouched and np.array_equal(to_numpy(native_labels), given)
        return Call(to_numpy(images), to_numpy(soft), untouched, rounding(images), rounding(soft))


@dataclass(frozen=True)
class Call:
    """What one call returned, as NumPy arrays in the target's own layout.

    Attributes:
        images, labels: the batch.
        untouched: whether the arguments are as they were.
        image_rounding, label_rounding: how far a number in [0, 1] may be off in half precision, or 0.
    """

    images: np.ndarray
    labels: np.ndarray
    untouched: bool
    image_rounding: float
    label_rounding: float

    @property
    def has_soft_labels(self) -> bool:
        """Whether every image has a row of weights."""
        labels = self.labels
        rows = labels.ndim == 2 and len(labels) == len(self.images) > 0
        return rows and label_problem(labels, self.label_rounding) is None

    @property
    def has_indices(self) -> bool:
        """Whether every image has a whole number."""
        return self.labels.shape == (len(self.images),) and self.labels.dtype.kind in "iu"


def label_problem(rows: np.ndarray, rounding: float = 0.0) -> str | None:
    """Why rows (N, K) are no weights, or None where they are; `rounding` as in `Call`."""
    off, low = np.abs(rows.astype(float).sum(axis=1) - 1).max(), rows.min()
    if off > LABEL_SLACK + 2 * rounding or low < -LABEL_SLACK:
        return f"a row sums to 1 ± {off:.3g}, the least is {low:.3g}"
    return None


def seed_globals(seed: int) -> None:
    """Seed the global generators of Python, NumPy, and of PyTorch and Keras where they are loaded."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the libraries under check use it
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(seed)


def resolve(target: Any, *, batch_size: int, **options: Any) -> Target:
    """Return the target behind an import path, or behind a callable.

    Args:
        target: `package.module:Class(arguments)` with literal arguments, `package.module:function`, `file.py:function`,
            or a callable of (images, labels). A class with parameters `num_classes` or `generator` that are not given
            gets the batch size, and a seeded `torch.Generator`.
        batch_size: N.
        options: `adapter`, `arrays`, `layout`, `dtype`, `labels`, `num_classes`, to say what the module's name does not tell.

    Raises:
        ValueError: if it cannot be imported or made, with the reason, or an option is unknown.
    """
    num_classes = options.pop("num_classes", None)
    if isinstance(target, str):
        name, (transform, root, factory) = target, _import(target, batch_size)
    else:
        check(callable(target), f"`target` must be an import path or a callable, got {target!r}")
        name = getattr(target, "__qualname__", type(target).__qualname__)
        transform, root, factory = target, type(target).__module__.split(".")[0], None
    check(not isinstance(transform, type), f"`target` must be a transform, got the class {name}: call it")
    convention = CONVENTIONS.get(root, CONVENTIONS["default"]).replace(**options)
    own_classes = getattr(transform, "num_classes", None)
    classes = num_classes or (own_classes if isinstance(own_classes, int) else None)
    return Target(name, transform, convention, classes, factory)


def _import(path: str, batch_size: int) -> tuple[Any, str, Factory | None]:
    """The transform, the name of its package, and what makes it anew."""
    if path.split(":")[0].split(".")[0] == "keras":  # its backend is chosen at import; JAX is here anyway
        os.environ.setdefault("KERAS_BACKEND", "jax")
    named = import_named("target", path)
    if not isinstance(named.value, type) and named.arguments is None:
        return named.value, named.root, None

    def make() -> Any:
        defaults: dict[str, Any] = {"num_classes": batch_size}
        if "torch" in sys.modules:
            defaults["generator"] = sys.modules["torch"].Generator()
        return named.make(defaults)

    return make(), named.root, make
