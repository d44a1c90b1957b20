"""What each method learned of each subgroup: accuracy, fit, and differences that other trainings would show too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from augscope.studies.audit.collapsed import Collapsed, collapsed_networks
from augscope.studies.audit.confusions import Confusions, confusions
from augscope.studies.audit.design import Design, Runs
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
    """A method minus the one that it is compared with on one subgroup.

    Attributes:
        method, baseline, group: which.
        difference: of test accuracies, with its interval and p-value, uncorrected.
        adjusted: p-value after Holm's correction over all comparisons that were made, or None where no test is made:
            the subgroup is too small, or there is one seed only.
    """

    method: str
    baseline: str
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
        comparisons: every pair of the design on every subgroup.
        large: the subgroups of at least `MIN_TEST` test images.
        confusions: by method.
        collapsed: the networks whose training failed.
        warnings: a sentence for each subgroup whose accuracies are known only coarsely (`size_warning` names the too small).
    """

    accuracies: dict[tuple[str, int], GroupAccuracy]
    overall: dict[str, GroupAccuracy]
    comparisons: tuple[Comparison, ...]
    large: tuple[int, ...]
    confusions: dict[str, Confusions]
    collapsed: tuple[Collapsed, ...]
    warnings: tuple[str, ...]

    def worst(self, method: str) -> list[GroupAccuracy]:
        """The subgroup that a method predicts worst among those that are not too small, or among all; several where they tie."""
        cells = [cell for (name, _), cell in self.accuracies.items() if name == method]
        large = [cell for cell in cells if cell.group in self.large]
        lowest = min(cell.test.estimate for cell in large or cells)
        return [cell for cell in large or cells if cell.test.estimate == lowest]


def correctness(design: Design, runs: Runs, method: str, split: str) -> np.ndarray:
    """Which predictions are right, (S, n) of bool: seeds in the order of the design; `split` is "train" or "test"."""
    truth = getattr(design.data, split).labels
    return np.stack([getattr(runs[method, seed], split) == truth for seed in design.seeds])


def measure(design: Design, runs: Runs) -> Measured:
    """Return all accuracies and comparisons.

    Intervals are over networks and test images at once (`augscope.support.statistics`). Tests are made of every pair of
    the design on every subgroup of at least `MIN_TEST` test images; which are made depends on counts alone, so Holm's correction holds
    the probability of any false claim to `ALPHA`. With one seed intervals are over images alone, and no test of methods is made.

    Args:
        design: what was trained.
        runs: a training for every method and seed.
    """
    data, methods = design.data, design.methods
    test = {method: correctness(design, runs, method, "test") for method in methods}
    train = {method: correctness(design, runs, method, "train") for method in methods}
    chance, groups = 1 / len(data.classes), range(len(data.groups))

    def cell(method: str, group: int) -> GroupAccuracy:
        in_train, in_test = ((split.groups == group) | (group < 0) for split in (data.train, data.test))
        return _group_accuracy(method, group, train[method][:, in_train], test[method][:, in_test], chance)

    accuracies = {(method, group): cell(method, group) for method in methods for group in groups}
    overall = {method: cell(method, -1) for method in methods}
    large = tuple(np.flatnonzero(data.test.counts(len(groups)) >= MIN_TEST).tolist())
    comparisons = _comparisons(design, test, () if design.one_seed else large)
    mistakes = {method: confusions(design, runs, method) for method in methods}
    collapsed, warnings = collapsed_networks(design, test), tuple(_warnings(design, accuracies))
    return Measured(accuracies, overall, comparisons, large, mistakes, collapsed, warnings)


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


def _comparisons(design: Design, test: dict[str, np.ndarray], tested: tuple[int, ...]) -> tuple[Comparison, ...]:
    """Every pair on every subgroup; Holm's correction is over all pairs on the subgroups that are tested."""
    members = [design.data.test.groups == group for group in range(len(design.data.groups))]
    differences = {
        (method, baseline, group): crossed_difference(test[method][:, chosen], test[baseline][:, chosen])
        for method, baseline in design.pairs
        for group, chosen in enumerate(members)
    }
    cells = [cell for cell in differences if cell[2] in tested]
    p_values = holm([differences[cell].p_value for cell in cells]).tolist()
    adjusted = dict(zip(cells, p_values, strict=True))
    return tuple(Comparison(*cell, difference, adjusted.get(cell)) for cell, difference in differences.items())


def _warnings(design: Design, accuracies: dict[tuple[str, int], GroupAccuracy]) -> Iterator[str]:
    """A sentence for each subgroup that is tested, but whose accuracies say little."""
    data = design.data
    for group, count in enumerate(data.test.counts(len(data.groups)).tolist()):
        name = data.groups[group].name
        if count < MIN_TEST:
            continue
        intervals = [accuracies[method, group].test for method in design.methods]
        half = max((interval.high - interval.low) / 2 for interval in intervals)
        if half > COARSE:
            yield (
                f"{name}: accuracies are known only to about ± {100 * half:.0f} points ({count} test images, "
                f"{len(design.seeds)} seed{'' if design.one_seed else 's'}), and smaller differences can go unseen."
            )
