"""What each method learned of each subgroup: accuracy, fit, and differences to ERM that would be seen again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from augscope.studies.audit.dataset import ImageData
from augscope.studies.audit.settings import REFERENCE, Settings
from augscope.studies.audit.study import Runs
from augscope.support.statistics import (
    Difference,
    Interval,
    crossed_difference,
    crossed_gap,
    crossed_share,
    given_share,
    holm,
)

ALPHA = 0.05  # probability of one or more false claims in an audit
MIN_TEST = 12  # test images: with fewer, even a change of every answer would hardly pass the correction
COARSE = 0.1  # half width of an accuracy's interval from which a subgroup is warned of
CLEAR_GAP = 0.1  # training accuracy above test accuracy: beyond it, a subgroup is partly memorised

LEARNED, PARTLY, MEMORISED = "learned", "partly memorised", "only memorised"
NOT_FITTED, UNTOLD = "not fitted", "cannot tell"


@dataclass(frozen=True)
class GroupAccuracy:
    """One method on one subgroup (or on all images, where `group` is −1).

    Attributes:
        method: its name.
        group: index of the subgroup.
        train: training accuracy, or None where no training image is of the subgroup.
        test: test accuracy.
        status: LEARNED, PARTLY, MEMORISED, NOT_FITTED or UNTOLD.
    """

    method: str
    group: int
    train: Interval | None
    test: Interval
    status: str


@dataclass(frozen=True)
class Comparison:
    """A method less ERM on one subgroup.

    Attributes:
        method, group: which.
        difference: of test accuracies, with its interval and p-value, uncorrected.
        adjusted: p-value after Holm's correction over all comparisons that were made, or None where the subgroup is too small.
    """

    method: str
    group: int
    difference: Difference
    adjusted: float | None

    @property
    def claimed(self) -> bool:
        """Whether there is a difference by the corrected test."""
        return self.adjusted is not None and self.adjusted <= ALPHA


@dataclass(frozen=True)
class Measured:
    """The numbers of an audit.

    Attributes:
        accuracies: by method and subgroup; in the order of methods, subgroups within.
        overall: by method, over all test images.
        comparisons: every other method with ERM on every subgroup.
        warnings: a sentence for each subgroup that is too small to tell, or nearly so.
    """

    accuracies: dict[tuple[str, int], GroupAccuracy]
    overall: dict[str, GroupAccuracy]
    comparisons: tuple[Comparison, ...]
    warnings: tuple[str, ...]

    def worst(self, method: str) -> GroupAccuracy:
        """The subgroup that a method predicts worst among those that are not too small, or among all."""
        found = [cell for (name, _), cell in self.accuracies.items() if name == method]
        tested = {comparison.group for comparison in self.comparisons if comparison.adjusted is not None}
        return min([cell for cell in found if cell.group in tested] or found, key=lambda cell: cell.test.estimate)


def correctness(data: ImageData, settings: Settings, runs: Runs, method: str, split: str) -> np.ndarray:
    """Which predictions are right, (S, n) of bool: seeds in the order of the settings; `split` is "train" or "test"."""
    truth = data.train.labels if split == "train" else data.test.labels
    return np.stack([getattr(runs[method, seed], split) == truth for seed in settings.seeds])


def measure(data: ImageData, settings: Settings, runs: Runs) -> Measured:
    """Return all accuracies and comparisons.

    Intervals are over networks and test images at once (`augscope.support.statistics`). The comparisons are of every method with ERM on
    every subgroup of at least `MIN_TEST` test images; which are made depends on counts alone, so Holm's correction holds the
    probability of any false claim to `ALPHA`.

    Args:
        data, settings: what was trained on, and how.
        runs: a training for every method and seed.
    """
    test = {method: correctness(data, settings, runs, method, "test") for method in settings.methods}
    train = {method: correctness(data, settings, runs, method, "train") for method in settings.methods}
    chance, groups = 1 / len(data.classes), range(len(data.groups))

    def cell(method: str, group: int) -> GroupAccuracy:
        everything = group < 0
        mine = train[method][:, everything | (data.train.groups == group)]
        theirs = test[method][:, everything | (data.test.groups == group)]
        return _group_accuracy(method, group, mine, theirs, chance)

    accuracies = {(method, group): cell(method, group) for method in settings.methods for group in groups}
    overall = {method: cell(method, -1) for method in settings.methods}
    return Measured(
        accuracies, overall, _comparisons(data, settings, test), tuple(_warnings(data, settings, accuracies))
    )


def _group_accuracy(method: str, group: int, train: np.ndarray, test: np.ndarray, chance: float) -> GroupAccuracy:
    found = crossed_share(test)
    if train.shape[1] == 0:
        return GroupAccuracy(method, group, None, found, LEARNED if found.low > chance else UNTOLD)
    fitted = given_share(train)
    return GroupAccuracy(method, group, fitted, found, _status(fitted, found, crossed_gap(train, test), chance))


def _status(train: Interval, test: Interval, gap: Interval, chance: float) -> str:
    """In a word, what the intervals allow to be said of a subgroup; chance is 1/K."""
    if test.low > chance:
        return PARTLY if gap.low > CLEAR_GAP else LEARNED
    if train.low > chance:
        return MEMORISED if gap.low > 0 else UNTOLD
    return NOT_FITTED if train.high < 1 - CLEAR_GAP else UNTOLD


def _comparisons(data: ImageData, settings: Settings, test: dict[str, np.ndarray]) -> tuple[Comparison, ...]:
    counts, found = data.test.counts(len(data.groups)), []
    for method in settings.methods:
        for group in range(len(data.groups)) if method != REFERENCE else ():
            chosen = data.test.groups == group
            found.append((method, group, crossed_difference(test[method][:, chosen], test[REFERENCE][:, chosen])))
    made = [counts[group] >= MIN_TEST for _, group, _ in found]
    adjusted = iter(
        holm([difference.p_value for (_, _, difference), is_made in zip(found, made, strict=True) if is_made])
    )
    return tuple(
        Comparison(method, group, difference, float(next(adjusted)) if is_made else None)
        for (method, group, difference), is_made in zip(found, made, strict=True)
    )


def _warnings(data: ImageData, settings: Settings, accuracies: dict[tuple[str, int], GroupAccuracy]) -> list[str]:
    """Subgroups of which little or nothing can be told."""
    found = []
    counts = data.test.counts(len(data.groups)).tolist()
    for group, count in enumerate(counts):
        name = data.groups[group].name
        if count < MIN_TEST:
            found.append(
                f"{name} is too small to tell: {count} test image{'s' * (count != 1)}, fewer than {MIN_TEST}; no difference is tested on it."
            )
            continue
        half = max((a.test.high - a.test.low) / 2 for method in settings.methods for a in [accuracies[method, group]])
        if half > COARSE:
            found.append(
                f"{name}: accuracies are known only to about ± {100 * half:.0f} points ({count} test images, "
                f"{len(settings.seeds)} seeds), and smaller differences can go unseen."
            )
    return found
