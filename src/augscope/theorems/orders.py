"""The methods in two orders, by features learned and by accuracy, and why the two may differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise, permutations
from typing import Any

import numpy as np

from augscope.model.methods import CutMix, Method
from augscope.theorems.statements import noise_ratio
from augscope.training.experiment import Experiment
from augscope.training.measures import features_learned
from augscope.training.seed_run import SeedRun

SMALL_NOISE_RATIO = 0.25  # κ up to which an even CutMix solution was measured to predict perfectly (model.md, 6.10)


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
    pairs = "; ".join(f"{b.title} learns more features than {w.title} yet predicts worse" for b, w in inversions)
    text = f"The two orders differ: {pairs}. "
    if any(isinstance(better, CutMix) for better, _ in inversions) and kappa > SMALL_NOISE_RATIO:
        return text + (
            "Learning every feature evenly leaves each with a small score, and test noise is "
            f"κ = {kappa:.2g} of CutMix's plateau here (κ² = (n/d)(1 + (P−2)σ_d²/σ_b²)): not small, so noise flips signs. "
            "The accuracy of Theorem 3.3 needs κ ≪ 1, that is a dimension far above n(1 + (P−2)σ_d²/σ_b²)."
        )
    return text + (
        f"The test noise of an even CutMix solution does not explain it (κ = {kappa:.2g} of its plateau): a feature "
        "that counts as learned can still score below the noise; see the accuracy on each feature, and whether more steps change it."
    )


def _chain(values: Mapping[Any, float], pattern: str) -> str:
    """ "ERM (1) < Cutout (2) = …" in increasing order."""
    order = sorted(values, key=values.__getitem__)
    text = f"{order[0].title} ({pattern.format(values[order[0]])})"
    for before, method in pairwise(order):
        sign = "=" if values[before] == values[method] else "<"
        text += f" {sign} {method.title} ({pattern.format(values[method])})"
    return text
