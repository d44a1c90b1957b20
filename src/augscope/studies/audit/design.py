"""What is measured, whoever trained it: images in subgroups, trainings of methods from seeds, and what each network answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from augscope.images.plan import METHODS
from augscope.support.values import check

MAX_GROUPS = 60


@dataclass(frozen=True)
class Group:
    """A subgroup: a label and the values of the attributes."""

    label: str
    attributes: tuple[str, ...]

    @property
    def name(self) -> str:
        """As people read it."""
        return " · ".join((self.label, *(value or "(none)" for value in self.attributes)))


@dataclass(frozen=True)
class Members:
    """Which images a split holds.

    Attributes:
        labels: (n,), index into the classes.
        groups: (n,), index into the groups.
        names: of the images.
    """

    labels: np.ndarray
    groups: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def counts(self, num_groups: int) -> np.ndarray:
        """Images of each group, (G,)."""
        return np.bincount(self.groups, minlength=num_groups)


@dataclass(frozen=True)
class GroupedImages:
    """Images in subgroups.

    Attributes:
        classes: labels, sorted.
        attributes: names of the attributes.
        groups: all subgroups that the test split holds, sorted.
        train, test: the splits.
        notes: what a reader should know of how the data was read.
        drawn: whether the audit drew the test images itself, as the data has no splits.
    """

    classes: tuple[str, ...]
    attributes: tuple[str, ...]
    groups: tuple[Group, ...]
    train: Members
    test: Members
    notes: tuple[str, ...]
    drawn: bool


@dataclass(frozen=True)
class Answers:
    """The class that one trained network predicts of each image, by index: `train` (n,) and `test` (m,)."""

    train: np.ndarray
    test: np.ndarray


Runs = Mapping[tuple[str, int], Answers]  # by method and seed


class Pair(NamedTuple):
    """A method, and the one that it is compared with."""

    method: str
    baseline: str


def read_pairs(texts: Sequence[str], methods: tuple[str, ...], reference: str) -> tuple[Pair, ...]:
    """Return what is compared: every other method with the reference, then the pairs that texts such as `mixup vs cutmix-box` name.

    Raises:
        ValueError: if a text does not name two of the methods, or names a pair again.
    """
    pairs = [Pair(method, reference) for method in methods if method != reference]
    for text in texts:
        pair = Pair(*map(str.strip, text.split(" vs "))) if text.count(" vs ") == 1 else Pair(text, text)
        good = pair.method != pair.baseline and {*pair} <= {*methods}
        check(good, f"`pairs` must each be two of {', '.join(methods)} as `one vs other`, got {text!r}")
        check(
            all({*pair} != {*other} for other in pairs), f"`pairs` must name each comparison once, got {text!r} again"
        )
        pairs.append(pair)
    return tuple(pairs)


@dataclass(frozen=True)
class Design:
    """What is compared with what.

    Attributes:
        data: the images.
        methods, seeds: a training of each method from each seed.
        reference: the method that all others are compared with.
        pairs: what is compared: with the reference, and what else was asked for.
    """

    data: GroupedImages
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    reference: str
    pairs: tuple[Pair, ...]

    @property
    def one_seed(self) -> bool:
        """Whether there is one training a method only, so that nothing is known of another."""
        return len(self.seeds) == 1

    @property
    def sampled(self) -> str:
        """What the intervals are over, in words."""
        return "test images alone, for these very networks" if self.one_seed else "networks and test images"


def natural_order(text: str) -> tuple[int, int, str]:
    """Return a key that sorts whole numbers by size, then words."""
    try:
        return (0, int(text), text)
    except ValueError:
        return (1, 0, text)


def method_order(method: str) -> tuple[Any, ...]:
    """Return a key that sorts methods: ours in our order, then others."""
    ours = list(METHODS)
    return (ours.index(method) if method in ours else len(ours), natural_order(method))


def grouped(members: list[Group]) -> tuple[tuple[Group, ...], np.ndarray]:
    """Return the subgroups of images, sorted, and the index of each image's."""
    groups = sorted(set(members), key=lambda group: tuple(map(natural_order, (group.label, *group.attributes))))
    indices = {group: index for index, group in enumerate(groups)}
    return tuple(groups), np.array([indices[group] for group in members], int)
