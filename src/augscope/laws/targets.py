"""What is checked: an import path with arguments, or a callable, from any library, behind one calling convention."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from augscope.laws.adapters.convention import Convention, one_hot, rounding, to_numpy
from augscope.laws.adapters.forms import FORMS, LIBRARIES
from augscope.laws.guarding import Prints, seed_globals, time_limit
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
        convention: how it takes and returns batches, as far as it is known.
        num_classes: K of the labels that it gets, or None for as many as a batch has samples.
        factory: makes it anew, where it was given by import path.
        fixed: the fields of `convention` that are known, by the user or by the library; the others are found by trying.
        seconds: time limit of a call.
        prints: what it prints.
        labels_refused: what was seen where it was given labels, if it is called without; else empty.
    """

    name: str
    transform: Any
    convention: Convention
    num_classes: int | None
    factory: Factory | None = None
    fixed: frozenset[str] = frozenset()
    seconds: float = 60.0
    prints: Prints = field(default_factory=Prints)
    labels_refused: str = ""

    def seed(self, seed: int, *, elsewhere: int | None = None) -> None:
        """Start every source of randomness from a seed: the transform's own, and the global ones (from `elsewhere`)."""
        seed_globals(seed if elsewhere is None else elsewhere)
        if self.factory is not None:
            with redirect_stdout(self.prints):
                self.transform = self.factory()
        if self.has_generator:
            self.transform.generator.manual_seed(seed)
        for name in ("set_random_seed", "set_random_state"):  # of Albumentations, and of MONAI
            method = getattr(self.transform, name, None)
            if callable(method) and _takes_one(method):
                method(seed)

    @property
    def has_generator(self) -> bool:
        """Whether the transform was given a generator of its own."""
        return hasattr(getattr(self.transform, "generator", None), "manual_seed")

    def __call__(self, levels: np.ndarray, labels: np.ndarray) -> Call:
        """Feed levels (N, H, W, C) and class indices (N,), in the arrays and layout that the target takes."""
        pixels = self.convention.encode(levels)
        native = self.convention.array(pixels)
        num_classes = self.num_classes or len(levels)
        given = one_hot(labels, num_classes) if self.convention.labels == "one_hot" else labels
        native_labels = self.convention.array(given)
        with time_limit(self.seconds), redirect_stdout(self.prints):
            call = FORMS[self.convention.form].call
            images, soft = call(self.transform, native, native_labels, num_classes)
        untouched = np.array_equal(to_numpy(native), pixels)
        untouched = untouched and np.array_equal(to_numpy(native_labels), given)
        arrays = to_numpy(images), to_numpy(soft)
        return Call(
            arrays[0].copy(),  # the next call may write into the same memory
            arrays[1].copy(),
            untouched=untouched,
            shared=np.may_share_memory(arrays[0], to_numpy(native)),
            image_rounding=rounding(images),
            label_rounding=rounding(soft),
        )


def _takes_one(method: Callable[..., Any]) -> bool:
    """Whether one argument is enough: Albumentations' `set_random_state` takes two generators."""
    try:
        inspect.signature(method).bind(None)
    except (TypeError, ValueError):
        return False
    return True


@dataclass(frozen=True)
class Call:
    """What one call returned, as NumPy arrays in the target's own layout.

    Attributes:
        images, labels: the batch.
        untouched: whether the arguments are as they were.
        shared: whether the images lie in the memory of those that went in.
        image_rounding, label_rounding: how far a number in [0, 1] may be off in half precision, or 0.
    """

    images: np.ndarray
    labels: np.ndarray
    untouched: bool
    shared: bool
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


def resolve(target: Any, *, batch_size: int, seconds: float = 60.0, **options: Any) -> Target:
    """Return the target behind an import path, or behind a callable.

    Args:
        target: `package.module:Class(arguments)` with literal arguments, `package.module:function`, `file.py:function`,
            or a callable of images and labels. A class with parameters `num_classes` or `generator` that are not given
            gets the batch size, and a seeded `torch.Generator`.
        batch_size: N.
        seconds: time limit of a call.
        options: `form`, `arrays`, `layout`, `dtype`, `labels`, `num_classes`: what need not be found by trying.

    Raises:
        ValueError: if it cannot be imported or made, with the reason, or an option is unknown.
    """
    num_classes, prints = options.pop("num_classes", None), Prints()
    if isinstance(target, str):
        with redirect_stdout(prints):
            name, (transform, root, factory) = target, _import(target, batch_size)
    else:
        check(callable(target), f"`target` must be an import path or a callable, got {target!r}")
        name = getattr(target, "__qualname__", type(target).__qualname__)
        transform, root, factory = target, "", None
    check(not isinstance(transform, type), f"`target` must be a transform, got the class {name}: call it")
    library = _library(options.get("form"), root, type(transform).__module__.split(".")[0])
    convention = (library or Convention()).replace(**options)
    own_classes = getattr(transform, "num_classes", None)
    classes = num_classes or (own_classes if isinstance(own_classes, int) else None)
    fixed = frozenset(options if library is None else Convention.model_fields)
    return Target(name, transform, convention, classes, factory, fixed, seconds, prints)


def _library(form: str | None, *packages: str) -> Convention | None:
    """What is known of a library's transforms: of the form's, where one was given, or of that of the first known package."""
    names = packages if form is None else (form,)
    return next((LIBRARIES[name] for name in names if name in LIBRARIES), None)


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
