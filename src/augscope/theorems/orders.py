"""The order ERM < Cutout < CutMix, by features learned and by accuracy: as a verdict, and in words with all other methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, permutations, product
from typing import Any, NamedTuple

import numpy as np

from augscope.model.methods import CutMix, Method
from augscope.theorems.assumptions import (
    LARGEST_NOISE_RATIO,
    Assumption,
    noise_ratio,
    run_assumptions,
    setting_assumptions,
)
from augscope.theorems.lines import condition_line
from augscope.theorems.samples import FAILS, HOLDS, SET_ASIDE, UNDECIDED, SampleVerdict, judge_sample, unsettled
from augscope.theorems.statements import ABOVE_ZERO, THEOREMS, Condition, Terms, theorem_for
from augscope.theorems.verdicts import Finding
from augscope.training.experiment import Experiment
from augscope.training.measures import features_learned
from augscope.training.seed_run import SeedRun, missing_features

FEATURES, ACCURACY = "features learned", "accuracy"


class Pair(NamedTuple):
    """Two methods that follow each other in the order, and the features that only the later learns by the theorems."""

    earlier: Method
    later: Method
    features: tuple[int, ...]

    def condition(self, by: str, runs: Mapping[Method, SeedRun]) -> Condition:
        """Return that features learned, or accuracy, rise at T if there are such features, and do not fall."""
        rise, words = _rise(by, runs[self.earlier], runs[self.later]), ("≥ 0", "> 0")
        rises = bool(self.features)
        return Condition(
            f"{self.later.title} over {self.earlier.title}",
            words[rises],
            np.array([[rise]]),
            low=ABOVE_ZERO if rises else 0.0,
            digits=".2g",
        )

    def least_learned(self, runs: Mapping[Method, SeedRun]) -> tuple[int, int] | None:
        """Return (row of the label, index) of that of those features with the least score at T, or None without any."""
        scores = runs[self.later].history.feature_scores[-1][:, self.features]
        if not scores.size:
            return None
        label, place = divmod(int(np.argmin(scores)), scores.shape[1])
        return label, self.features[place]


def _rise(by: str, earlier: SeedRun, later: SeedRun) -> float:
    """From one method to the next at T; a difference of accuracies that the bounds on their errors do not settle is none."""
    if by == FEATURES:
        counts = [features_learned(run.history.feature_scores[-1]).sum() for run in (earlier, later)]
        return float(counts[1]) - float(counts[0])
    rise = later.history.accuracy[-1] - earlier.history.accuracy[-1]
    error = later.history.accuracy_error[-1] + earlier.history.accuracy_error[-1]
    return 0.0 if abs(rise) <= error else float(rise)


def judge_orders(terms: Terms, runs: Sequence[SeedRun]) -> tuple[Finding, ...]:
    """Return the verdicts on the order by features learned and by accuracy; none where fewer than two theorems are compared.

    Args:
        terms: what was trained.
        runs: up to T. A seed counts where all its runs have finished.
    """
    groups = [(theorem, _of(theorem.method, terms.experiment)) for theorem in THEOREMS]
    groups = [(theorem, methods) for theorem, methods in groups if methods]
    pairs = []
    for (first, earlier), (second, later) in pairwise(groups):
        learned = [name in first.accuracy.unlearned and name not in second.accuracy.unlearned for name in terms.rarity]
        features = tuple(np.flatnonzero(learned).tolist())
        pairs += [Pair(*both, features) for both in product(earlier, later)]
    if not pairs:
        return ()
    methods = [method for _, group in groups for method in group]
    title = " < ".join(", ".join(method.title for method in group) for _, group in groups)
    return tuple(_order(by, title, pairs, methods, terms, runs) for by in (FEATURES, ACCURACY))


def _of(kind: type[Method], experiment: Experiment) -> list[Method]:
    return [method for method in experiment.methods if isinstance(method, kind)]


def _order(
    by: str, title: str, pairs: Sequence[Pair], methods: Sequence[Method], terms: Terms, runs: Sequence[SeedRun]
) -> Finding:
    """The verdict by one measure."""
    finished = [run for run in runs if run.method in methods and run.status != "interrupted"]
    seeds = {run.seed: {other.method: other for other in finished if other.seed == run.seed} for run in finished}
    whole = [by_method for by_method in seeds.values() if len(by_method) == len(methods)]
    samples = tuple(_judge_order(by, pairs, by_method, terms) for by_method in whole)
    counted = [sample for sample in samples if sample.verdict != SET_ASIDE]
    columns = list(zip(*(sample.conditions[0] for sample in counted), strict=True))
    return Finding(
        name=f"Order by {by}",
        title=f"Order {title} by {by}",
        terms=terms,
        assumptions=_assumptions(by, methods, terms.experiment, finished),
        samples=samples,
        lines=tuple(replace(condition_line("", one[0].name, counted, one), onset=None) for one in columns),
    )


def _assumptions(
    by: str, methods: Sequence[Method], experiment: Experiment, runs: Sequence[SeedRun]
) -> tuple[Assumption, ...]:
    """Those of the compared theorems, each once; κ for accuracy alone."""
    rows = [row for method in methods for row in setting_assumptions(method, experiment)]
    rows += [row for method in methods for row in run_assumptions([run for run in runs if run.method == method])]
    return tuple({row.text: row for row in rows if by == ACCURACY or not row.for_accuracy}.values())


def _judge_order(by: str, pairs: Sequence[Pair], runs: Mapping[Method, SeedRun], terms: Terms) -> SampleVerdict:
    """One sample: it holds where every pair is in order, and fails where one falls and all training is done."""
    last = runs[pairs[-1].later]
    absent = missing_features(last)
    if absent:
        return SampleVerdict(last, SET_ASIDE, "a feature is absent", "; ".join(absent))
    conditions = tuple(pair.condition(by, runs) for pair in pairs)
    states = {run.method.title: state for run in runs.values() if (state := unsettled(run, terms.end)) is not None}
    if states:
        reason = "; ".join(f"{title}: {state}" for title, state in states.items())
        return SampleVerdict(last, UNDECIDED, "training has not settled", reason, conditions=(conditions,))
    wrong = [(pair, one) for pair, one in zip(pairs, conditions, strict=True) if not one.true[0]]
    if not wrong:
        return SampleVerdict(last, HOLDS, conditions=(conditions,))
    falls = [(pair, one) for pair, one in wrong if one.values[0, 0] < 0]
    pair, one = (falls or wrong)[0]
    reason = "; ".join(one.text(0, 0) for _, one in wrong)
    if falls and not _is_under_way(runs, terms):
        verdict, words = FAILS, "falls"
    else:
        verdict, words = UNDECIDED, "falls, but a theorem is undecided" if falls else f"is not {one.required}"
    missing = f"{by}: {one.name} {words}"
    return SampleVerdict(last, verdict, missing, reason, feature=pair.least_learned(runs), conditions=(conditions,))


def _is_under_way(runs: Mapping[Method, SeedRun], terms: Terms) -> bool:
    """Whether a theorem on one of the methods is undecided in the sample: after a few steps any order may be seen."""
    theorems = {method: theorem_for(method) for method in runs}
    return any(
        judge_sample(theorem, runs[method], terms).verdict == UNDECIDED
        for method, theorem in theorems.items()
        if theorem is not None
    )


def describe_orders(experiment: Experiment, runs: Sequence[SeedRun]) -> list[str]:
    """Return sentences that order the methods by features learned and by accuracy, and say where the two orders differ.

    Both are means over seeds at the last record, compared as printed; runs that Ctrl-C ended do not count.
    """
    learned: dict[Method, float] = {}
    accuracy: dict[Method, float] = {}
    for method in experiment.methods:
        histories = [run.history for run in runs if run.method == method and run.status != "interrupted"]
        if histories:
            counts = [features_learned(history.feature_scores[-1]).sum() for history in histories]
            learned[method] = round(float(np.mean(counts)), 2)
            accuracy[method] = round(float(np.mean([history.accuracy[-1] for history in histories])), 4)
    if len(learned) < 2:
        return []
    inversions = [
        (better, worse)
        for better, worse in permutations(learned, 2)
        if learned[better] > learned[worse] and accuracy[better] < accuracy[worse]
    ]
    return [
        f"By features learned: {_chain(learned, '{:g}')} (of {experiment.distribution.num_features}).",
        f"By test accuracy: {_chain(accuracy, '{:.4f}')}.",
        _explanation(experiment, inversions) if inversions else "The two orders agree.",
    ]


def _explanation(experiment: Experiment, inversions: Sequence[tuple[Method, Method]]) -> str:
    """Where the orders differ, and whether the test noise of an even solution (κ) explains it."""
    kappa = noise_ratio(experiment.distribution, experiment.num_samples)
    pairs = "; ".join(f"{b.title} learns more features than {w.title} but predicts worse" for b, w in inversions)
    text = f"The two orders differ: {pairs}. "
    if any(isinstance(better, CutMix) for better, _ in inversions) and kappa > LARGEST_NOISE_RATIO:
        return text + (
            "CutMix gives every patch the same small score, its plateau, and the noise of a test point is "
            f"κ = {kappa:.2g} of it (κ² = (n/d)(1 + (P−2)σ_d²/σ_b²)), which is large enough to flip signs. "
            "The accuracy of Theorem 3.3 needs κ ≪ 1: a dimension d far above n(1 + (P−2)σ_d²/σ_b²)."
        )
    return text + (
        f"CutMix's test noise does not explain it (κ = {kappa:.2g} of its plateau). A feature that counts as learned can "
        "still score below the noise: see the accuracy on each feature, and try more steps."
    )


def _chain(values: Mapping[Any, float], pattern: str) -> str:
    """ "ERM (1) < Cutout (2) = …" in increasing order."""
    order = sorted(values, key=values.__getitem__)
    text = f"{order[0].title} ({pattern.format(values[order[0]])})"
    for before, method in pairwise(order):
        sign = "=" if values[before] == values[method] else "<"
        text += f" {sign} {method.title} ({pattern.format(values[method])})"
    return text
