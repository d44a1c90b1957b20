"""How far trained samples are from the population, in a sentence a method, and how much of it their own limits explain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from augscope.theorems.record import Results, time_name
from augscope.training.measure_table import mean_over_seeds
from augscope.training.seed_run import SeedRun


def distance_sentences(results: Results) -> list[str]:
    """Return a sentence for each method that was trained from seeds and in the population."""
    own = () if results.verdict is None else results.verdict.own_limits
    sentences = []
    for run in results.population:
        seeds = [one for one in results.shown.get(run.method, ()) if one.seed is not None]
        if not seeds:
            continue
        size, step = largest_distance(seeds, [run])
        largest = np.abs(run.history.feature_scores).max()
        text = (
            f"{run.method.title}: the mean feature scores of the seeds differ from the population's by at most {size:.2g} "
            f"({100 * size / largest:.1f} % of the largest), at {time_name(results.experiment)} {step:,g}"
        )
        limits = [one for one in own if one.method == run.method]
        if {one.seed for one in limits} == {one.seed for one in seeds}:
            counts, noise = largest_distance(limits, [run])[0], largest_distance(seeds, limits)[0]
            text += f"; those of their own limits differ from it by at most {counts:.2g}, and from the seeds' by {noise:.2g}"
        sentences.append(f"{text}.")
    return sentences


def largest_distance(first: Sequence[SeedRun], second: Sequence[SeedRun]) -> tuple[float, float]:
    """Return the largest distance of two groups' mean feature scores over the steps that both recorded, and where it is."""
    steps, scores = mean_over_seeds([*first, *second], "feature_scores")[0], []
    for runs in (first, second):
        own_steps, mean = mean_over_seeds(runs, "feature_scores")
        scores.append(mean[np.isin(own_steps, steps)])
    distances = np.abs(scores[0] - scores[1]).max(axis=(1, 2))
    place = int(np.nanargmax(distances)) if np.isfinite(distances).any() else -1
    return float(distances[place]), float(steps[place])
