"""Finds out how a target is called, before anything is measured, or says in a sentence why it cannot be checked."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from augscope.laws.adapters.convention import WITH_LABELS, Convention, Form, FormUnknown, error_in_words
from augscope.laws.adapters.forms import FORMS
from augscope.laws.adapters.returns import RETURNED
from augscope.laws.guarding import TimeLimit
from augscope.laws.targets import Call, Target
from augscope.support.naming import FOREIGN_ERRORS

NUM_CALLS = 8  # at most, until a call shows that a convention serves
CONTAINERS = (  # in the order in which they are tried
    {"arrays": "torch", "layout": "channels_first", "dtype": "float32"},
    {"arrays": "numpy", "layout": "channels_first", "dtype": "float32"},
    {"arrays": "numpy", "layout": "channels_last", "dtype": "float32"},
    {"arrays": "numpy", "layout": "channels_last", "dtype": "uint8"},
    {"arrays": "jax", "layout": "channels_last", "dtype": "float32"},
)
NUM_CLASSES = (10, 2)  # tried where labels of as many classes as samples serve in no form
ONE_IMAGE = {"image", "img", "im", "picture", "pic", "photo", "sample", "item", "example"}  # names of a first parameter
UNEVEN = 0.25  # share of changed pixels that are changed in some channels only: above, the layout is another one
REMEDY = (
    f"Give a function of (images, labels) that returns {' or '.join(RETURNED)}, as file.py:function; "
    "`form`, `arrays`, `layout`, `dtype`, `labels`, `num_classes` and `batch_size` say what else it takes"
)
GPU = re.compile(r"cuda|nvidia|\bmps\b", re.IGNORECASE)  # in what PyTorch says where none is there

RAISES, NO_LABELS, NO_CHANGE, UNREADABLE, BANDS, GOOD = range(6)  # how well a convention serves


class Fit(NamedTuple):
    """How well a convention serves; of one that raises, what was seen."""

    grade: int
    sight: str = ""


class Attempt(NamedTuple):
    """A convention that was tried."""

    convention: Convention
    num_classes: int | None
    fit: Fit


def settle(target: Target, levels: np.ndarray, labels: np.ndarray) -> None:
    """Find out how a target is called, where nobody said so: in which form, with which arrays and labels.

    The first convention that serves well is taken, in the order of `FORMS`, in each of these of `CONTAINERS`, and with each
    of these class indices, then one-hot rows; forms of one image are tried first where the first parameter's name says so.
    What raises is passed over.
    One serves well if images of the same shape and labels of the right kind come back, and what was changed in an image is
    the same in all channels and not always a whole band of rows or columns: an image whose axes are mistaken shows these.

    Args:
        target: its convention, and where needed its number of classes, are completed.
        levels, labels: as of a call of it.

    Raises:
        ValueError: if it raises in every form, or does not answer in time: what was seen, and what to do.
    """
    attempts: list[Attempt] = []
    for num_classes in (target.num_classes,) if target.num_classes else (None, *NUM_CLASSES):
        target.num_classes = num_classes
        for convention in conventions(target):
            target.convention = convention
            fit = _fit(target, levels, labels % (num_classes or len(labels)))
            attempts.append(Attempt(convention, num_classes, fit))
            if fit.grade == GOOD:
                target.labels_refused = _labels_refused(attempts, attempts[-1])
                return
        if not attempts or any(attempt.fit.grade > RAISES for attempt in attempts):
            break
    if not attempts:
        raise ValueError(_parameter_sentence(target))
    best = max(attempts, key=lambda attempt: attempt.fit.grade)  # the first of equals
    target.convention, target.num_classes = best.convention, best.num_classes
    if best.fit.grade == RAISES:
        raise ValueError(_sentence(target, attempts, levels))
    target.labels_refused = _labels_refused(attempts, best)


def _labels_refused(attempts: list[Attempt], best: Attempt) -> str:
    """What was seen of the first attempt with labels, where the best one gives none."""
    without = best.convention.form in ("images", "image")
    sights = [attempt.fit.sight for attempt in attempts if attempt.convention.labels is not None]
    return sights[0] if without and sights else ""


def conventions(target: Target) -> Iterator[Convention]:
    """The conventions to try, in order: those that agree with what is known."""
    known = {name: getattr(target.convention, name) for name in target.fixed}
    seen = []
    for name in _form_names(target):
        for container in _containers():
            for labels in _label_kinds(name, known):
                convention = Convention(**{**container, **known, "form": name, "labels": labels})
                if convention not in seen:
                    seen.append(convention)
                    yield convention


def _label_kinds(form: str, known: dict[str, Any]) -> tuple[str | None, ...]:
    if known.get("labels") is not None:
        return (known["labels"],) if form in WITH_LABELS else ()
    return ("indices", "one_hot") if form in WITH_LABELS else (None,)


def _containers() -> list[dict[str, str]]:
    """Those of libraries that are loaded come first: a transform can hardly take others; JAX only where it is loaded."""
    loaded = [container for container in CONTAINERS if container["arrays"] in sys.modules]
    return loaded + [
        container for container in CONTAINERS if container not in loaded and container["arrays"] == "torch"
    ]


def _form_names(target: Target) -> list[Any]:
    """The forms that the target's parameters allow."""
    if "form" in target.fixed:
        return [target.convention.form]
    tried = {name: form for name, form in FORMS.items() if name in WITH_LABELS or name in ("images", "image")}
    signature = _signature(target.transform)
    if signature is None:
        return list(tried)
    first = next(iter(signature.parameters), "")
    fitting = {name: form for name, form in tried.items() if _binds(signature, form)}
    if first.lower() not in ONE_IMAGE:
        return list(fitting)
    return sorted(fitting, key=lambda name: not fitting[name].one_image)


def _signature(transform: Any) -> inspect.Signature | None:
    """Its parameters; of a module of PyTorch, whose own call takes anything, those of `forward`."""
    try:
        return inspect.signature(getattr(transform, "forward", transform))
    except (TypeError, ValueError):  # compiled callables have no signature
        return None


def _binds(signature: inspect.Signature, form: Form) -> bool:
    """Whether parameters take the form's arguments; one with a default that says something, such as True, is a switch, and no labels."""
    try:
        bound = signature.bind(*[None] * form.num_arguments)
    except TypeError:
        return False
    defaults = [signature.parameters[name].default for name in bound.arguments]
    return all(default in (inspect.Parameter.empty, None) for default in defaults[1:])


def _fit(target: Target, levels: np.ndarray, labels: np.ndarray) -> Fit:
    grade, soft = NO_LABELS, False
    for _ in range(NUM_CALLS):
        try:
            call = target(levels, labels)
        except FormUnknown as error:
            return Fit(RAISES, f"it returned {error}")
        except TimeLimit as error:  # another form may hang as long
            raise ValueError(_time_sentence(target, error)) from None
        except FOREIGN_ERRORS as error:  # whatever foreign code raises is a result
            return Fit(RAISES, f"it raised {error_in_words(error)}")
        if not (call.has_soft_labels or call.has_indices):
            return Fit(NO_LABELS)
        soft = soft or call.has_soft_labels
        grade = max(grade, _pixel_grade(target.convention, call, levels))
        if soft and grade == GOOD:
            break
    return Fit(grade)


def _pixel_grade(convention: Convention, call: Call, levels: np.ndarray) -> int:
    """What the changed pixels of a call say of the convention."""
    given, images = (convention.channels_last(array) for array in (convention.encode(levels), call.images))
    if images.shape != given.shape or images.dtype.kind not in "biuf":
        return NO_LABELS
    tolerance = convention.unit * (0.5 + 512 * call.image_rounding)
    changed = np.abs(images.astype(float) - given) > tolerance
    some, every = np.asarray(changed.any(axis=-1)), np.asarray(changed.all(axis=-1))  # (N, H, W)
    if not some.any():
        return NO_CHANGE
    if (some & ~every).sum() > UNEVEN * some.sum() or images.max() == images.min():
        return UNREADABLE
    sizes = some.sum(axis=(1, 2))
    masks = some[(sizes > 0) & (sizes < some[0].size)]
    if not len(masks):
        wholly = images[sizes > 0]
        erased = len(wholly) == 1 or wholly.max() == wholly.min()  # whole samples, as where they are taken for rows
        return BANDS if erased else GOOD
    rows, columns = (masks == masks.any(axis=axis, keepdims=True) for axis in (2, 1))
    bands = rows.all(axis=(1, 2)) | columns.all(axis=(1, 2))
    return BANDS if bands.all() else GOOD


def _time_sentence(target: Target, error: TimeLimit) -> str:
    form = FORMS[target.convention.form].words
    return (
        f"`target` cannot be checked, got {target.name}: called with {form} it gave {error}. `time_limit` sets the seconds for "
        "a call, and `form` says how it is called"
    )


def _parameter_sentence(target: Target) -> str:
    signature = _signature(target.transform)
    parameters = "" if signature is None else ", ".join(map(str, signature.parameters.values()))
    return (
        f"`target` cannot be checked, got {target.name}: it takes ({parameters}), and not images with or without labels; "
        f"parameters beyond these need defaults. {REMEDY}"
    )


def _sentence(target: Target, attempts: list[Attempt], levels: np.ndarray) -> str:
    """What was given and seen, and what to do."""
    seen = f"`target` cannot be checked, got {target.name}"
    sights = [attempt.fit.sight for attempt in attempts]
    wanted = next((sight for sight in sights if sight.startswith("it raised") and GPU.search(sight)), None)
    if wanted is not None and not _has_gpu():
        return f"{seen}: {wanted}. It needs a GPU, and none is here: let it use the device of its images, or check it where one is"
    first, *others = attempts
    others.sort(key=lambda attempt: attempt.fit.sight.startswith("it raised"))  # what came back says more
    places: dict[str, str] = {}  # by what was seen there first
    for attempt in (first, *others):
        places.setdefault(attempt.fit.sight, _where(attempt.convention, levels))
    shown = "; ".join([f"with {where} {sight}" for sight, where in places.items()][:3])
    return f"{seen}: {shown}; none of {len(attempts)} ways to call it serves. {REMEDY}"


def _has_gpu() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_available()


def _where(convention: Convention, levels: np.ndarray) -> str:
    """What went in, in words."""
    form, shape = FORMS[convention.form], convention.shape(levels)
    images = f"{convention.arrays} images {shape[1:] if form.one_image else shape}"
    labels = {"indices": " and class indices", "one_hot": " and one-hot rows", None: ""}[convention.labels]
    return f"{images}{labels}" if convention.form == "pair" else f"{form.words}, {images}{labels}"
