"""Finds out how a target is called, before anything is measured, or says in a sentence why it cannot be checked."""

from __future__ import annotations

import inspect
from typing import Literal, NamedTuple

import numpy as np

from augscope.laws.adapters import pair
from augscope.laws.adapters.convention import FormUnknown, error_in_words
from augscope.laws.targets import Target
from augscope.support.naming import FOREIGN_ERRORS

NUM_CALLS = 8  # at most, until labels come back that are not the given ones
FORMS = " or ".join(form.FORM for form in pair.FORMS)
REMEDY = (
    f"Give a function of (images, labels) that returns {FORMS}, as file.py:function; `arrays`, `layout`, `dtype`, `labels` "
    "and `batch_size` say what else it takes"
)

RAISES, NO_LABELS, GOOD = range(3)  # how well a kind of labels serves
Kind = Literal["indices", "one_hot"] | None


class Fit(NamedTuple):
    """How well a kind of labels serves; of one that raises, what was seen."""

    grade: int
    sight: str = ""


def settle(target: Target, levels: np.ndarray, labels: np.ndarray) -> None:
    """Find out whether a target wants class indices or one-hot rows, where nobody said so and both can be given.

    Indices, unless it raises with them or returns labels that are neither indices nor weights, and one-hot rows serve
    better.

    Args:
        target: its convention is completed.
        levels, labels: as of a call of it.

    Raises:
        ValueError: if it raises with either, or returns no form that is read: what was seen, and what to do.
    """
    given = target.convention
    open_choice = given.adapter == "pair" and given.labels is None
    kinds: tuple[Kind, ...] = ("indices", "one_hot") if open_choice else (given.labels,)
    fits: dict[Kind, Fit] = {}
    for kind in kinds:
        target.convention = given.replace(labels=kind)
        fits[kind] = _fit(target, levels, labels)
        if fits[kind].grade == GOOD:
            return
    best = max(kinds, key=lambda kind: fits[kind].grade)  # the first of equals
    target.convention = given.replace(labels=best)
    if fits[best].grade == RAISES:
        raise ValueError(_sentence(target, fits, levels))


def _fit(target: Target, levels: np.ndarray, labels: np.ndarray) -> Fit:
    for _ in range(NUM_CALLS):
        try:
            call = target(levels, labels)
        except FormUnknown as error:
            return Fit(RAISES, f"it returned {error}")
        except FOREIGN_ERRORS as error:  # whatever foreign code raises is a result
            return Fit(RAISES, f"it raised {error_in_words(error)}")
        if call.has_soft_labels:
            return Fit(GOOD)
        if not call.has_indices:
            return Fit(NO_LABELS)
    return Fit(GOOD)  # class indices in every call


def _sentence(target: Target, fits: dict[Kind, Fit], levels: np.ndarray) -> str:
    """What was given and seen, and what to do."""
    words = {"indices": "class indices", "one_hot": "one-hot rows", None: "class indices"}
    images = f"{target.convention.arrays} images {tuple(target.convention.encode(levels).shape)}"
    parameters = _parameters(target)
    if parameters is not None:
        sights = f"it takes ({', '.join(parameters)}), and not {images} with labels"
    else:
        seen = [f"with {images} and {words[kind]} {fit.sight}" for kind, fit in fits.items()]
        alike = len({fit.sight for fit in fits.values()}) == 1 < len(fits)
        sights = f"{seen[0]}, and with one-hot rows the same" if alike else "; ".join(seen)
    return f"`target` cannot be checked, got {target.name}: {sights}. {REMEDY}"


def _parameters(target: Target) -> list[str] | None:
    """The names of its parameters where it cannot take images and labels, else None."""
    try:
        signature = inspect.signature(target.transform)
    except (TypeError, ValueError):  # compiled callables have no signature
        return None
    try:
        signature.bind(None, None)
    except TypeError:
        return None if target.convention.adapter != "pair" else list(signature.parameters)
    return None
