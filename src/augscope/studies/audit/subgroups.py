"""What each method learned of each subgroup: accuracy, fit, and differences to ERM that other trainings would show too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from augscope.studies.audit.collapsed import Collapsed, collapsed_networks
from augscope.studies.audit.settings import REFERENCE
from augscope.studies.audit.study import Runs, Study
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
NOT_FITTED, UNCLEAR = "not fitted", "cannot tell"


@dataclass(frozen=True)
class GroupAccuracy:
    """One method on one subgroup (or on all images, where `group` is −1).

    Attributes:
        method: its name.
        group: index of the subgroup.
        train: training accuracy, or None where no training image is of the subgroup.
        test: test accuracy.
        status: LEARNED, PARTLY, MEMORISED, NOT_FITTED or UNCLEAR.
    """

    method: str
    group: int
    train: Interval | None
    test: Interval
    status: str


@dataclass(frozen=True)
class Comparison:
    """A method minus ERM on one subgroup.

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
        collapsed: the networks whose training failed.
        warnings: a sentence for each subgroup whose accuracies are known only coarsely (`size_warning` names the too small).
    """

    accuracies: dict[tuple[str, int], GroupAccuracy]
    overall: dict[str, GroupAccuracy]
    comparisons: tuple[Comparison, ...]
    collapsed: tuple[Collapsed, ...]
    warnings: tuple[str, ...]

    def worst(self, method: str) -> GroupAccuracy:
        """The subgroup that a method predicts worst among those that are not too small, or among all."""
        cells = [cell for (name, _), cell in self.accuracies.items() if name == method]
        tested = {comparison.group for comparison in self.comparisons if comparison.adjusted is not None}
        large = [cell for cell in cells if cell.group in tested]
        return min(large or cells, key=lambda cell: cell.test.estimate)


def correctness(study: Study, runs: Runs, method: str, split: str) -> np.ndarray:
    """Which predictions are right, (S, n) of bool: seeds in the order of the settings; `split` is "train" or "test"."""
    truth = getattr(study.data, split).labels
    return np.stack([getattr(runs[method, seed], split) == truth for seed in study.settings.seeds])


def measure(study: Study, runs: Runs) -> Measured:
    """Return all accuracies and comparisons.

    Intervals are over networks and test images at once (`augscope.support.statistics`). The comparisons are of every method with ERM on
    every subgroup of at least `MIN_TEST` test images; which are made depends on counts alone, so Holm's correction holds the
    probability of any false claim to `ALPHA`.

    Args:
        study: what was trained.
        runs: a training for every method and seed.
    """
    data, methods = study.data, study.settings.methods
    test = {method: correctness(study, runs, method, "test") for method in methods}
    train = {method: correctness(study, runs, method, "train") for method in methods}
    chance, groups = 1 / len(data.classes), range(len(data.groups))

    def cell(method: str, group: int) -> GroupAccuracy:
        in_train, in_test = ((split.groups == group) | (group < 0) for split in (data.train, data.test))
        return _group_accuracy(method, group, train[method][:, in_train], test[method][:, in_test], chance)

    accuracies = {(method, group): cell(method, group) for method in methods for group in groups}
    overall = {method: cell(method, -1) for method in methods}
    comparisons = _comparisons(study, test)
    collapsed, warnings = collapsed_networks(study, test), tuple(_warnings(study, accuracies))
    return Measured(accuracies, overall, comparisons, collapsed, warnings)


def _group_accuracy(method: str, group: int, train: np.ndarray, test: np.ndarray, chance: float) -> GroupAccuracy:
    accuracy = crossed_share(test)
    if train.shape[1] == 0:
        return GroupAccuracy(method, group, None, accuracy, LEARNED if accuracy.low > chance else UNCLEAR)
    fitted = given_share(train)
    return GroupAccuracy(method, group, fitted, accuracy, _status(fitted, accuracy, crossed_gap(train, test), chance))


def _status(train: Interval, test: Interval, gap: Interval, chance: float) -> str:
    """In a word, what the intervals allow to say of a subgroup; chance is 1/K."""
    if test.low > chance:
        return PARTLY if gap.low > CLEAR_GAP else LEARNED
    if train.low > chance:
        return MEMORISED if gap.low > 0 else UNCLEAR
    return NOT_FITTED if train.high < 1 - CLEAR_GAP else UNCLEAR


def _comparisons(study: Study, test: dict[str, np.ndarray]) -> tuple[Comparison, ...]:
    """Every other method with ERM on every subgroup; Holm's correction is over the subgroups that are large enough."""
    members = [study.data.test.groups == group for group in range(len(study.data.groups))]
    differences = {
        (method, group): crossed_difference(test[method][:, chosen], test[REFERENCE][:, chosen])
        for method in study.settings.methods
        if method != REFERENCE
        for group, chosen in enumerate(members)
    }
    tested = [pair for pair in differences if members[pair[1]].sum() >= MIN_TEST]
    p_values = holm([differences[pair].p_value for pair in tested]).tolist()
    adjusted = dict(zip(tested, p_values, strict=True))
    return tuple(Comparison(*pair, difference, adjusted.get(pair)) for pair, difference in differences.items())


def _warnings(study: Study, accuracies: dict[tuple[str, int], GroupAccuracy]) -> Iterator[str]:
    """A sentence for each subgroup that is tested, but whose accuracies say little."""
    data, settings = study.data, study.settings
    for group, count in enumerate(data.test.counts(len(data.groups)).tolist()):
        name = data.groups[group].name
        if count < MIN_TEST:
            continue
        intervals = [accuracies[method, group].test for method in settings.methods]
        half = max((interval.high - interval.low) / 2 for interval in intervals)
        if half > COARSE:
            yield (
                f"{name}: accuracies are known only to about ± {100 * half:.0f} points ({count} test images, "
                f"{len(settings.seeds)} seeds), and smaller differences can go unseen."
            )
