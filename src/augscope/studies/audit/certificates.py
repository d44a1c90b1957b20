"""What `augscope law check` says of the augmentations of an audit that have no name here, in a few lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import torch

from augscope.images.foreign import ForeignTransform
from augscope.images.plan import METHODS
from augscope.images.seeding import reproducible
from augscope.laws import Certificate, certify
from augscope.laws.certificate import FAILS, Check
from augscope.support.wording import in_words

SHOWN = ("law of the share", "label weight = pixel share", "pairing", "draws")  # beside what fails
MAX_SECONDS = 10.0  # of one check
BATCH, CALLS = 16, 500  # of a check: images, and about how often it calls


@dataclass(frozen=True)
class LawOfMethod:
    """What is known of an augmentation's law: a sentence, and the rules that matter to an audit; none if it could not be checked."""

    sentence: str
    rules: tuple[Check, ...]


def laws_of(methods: Sequence[str], num_classes: int, shape: tuple[int, int, int]) -> dict[str, LawOfMethod]:
    """Check the law of every method that is an import path and can be trained with; whatever comes out, trainings may go on.

    Args:
        methods: of an audit.
        num_classes: K of its data.
        shape: of an image, (C, S, S).

    Cost: at most about 10 s a method.
    """
    return {method: _law_of(method, num_classes, shape) for method in methods if method not in METHODS}


def _law_of(method: str, num_classes: int, shape: tuple[int, int, int]) -> LawOfMethod:
    seconds = _seconds(method, num_classes, shape)
    if seconds > MAX_SECONDS:
        sentence = f"{method}: not checked, as that would take about {in_words(seconds)} (augscope law check does it)."
        return LawOfMethod(sentence, ())
    try:
        certificate = _certificate(method, num_classes, shape)
    except ValueError as error:
        return LawOfMethod(f"{method}: its law cannot be checked: {error}.", ())
    rules = [check for check in certificate.checks if check.name in SHOWN or check.verdict == FAILS]
    return LawOfMethod(certificate.summary, tuple(rules))


def _seconds(method: str, num_classes: int, shape: tuple[int, int, int]) -> float:
    """How long a check will take. Raises ValueError if the method cannot be called."""
    transform = ForeignTransform(method, num_classes, shape, seed=0)
    dtype = torch.uint8 if transform.takes_bytes else torch.float32
    batch, labels = torch.zeros((BATCH, *shape), dtype=dtype), torch.arange(BATCH) % num_classes
    with reproducible(0, "cpu"):
        transform(batch.clone(), labels.clone())  # the first call may make ready what later ones use
        start = perf_counter()
        transform(batch, labels)
        return CALLS * (perf_counter() - start)


def _certificate(method: str, num_classes: int, shape: tuple[int, int, int]) -> Certificate:
    """As the command has it by default; where that is refused, with the classes and images of the data."""
    try:
        return certify(method)
    except ValueError:
        channels, height, width = shape
        return certify(method, num_classes=num_classes, channels=channels, image_size=(height, width))
