"""Every method trained from every seed: what is kept of each run, and the order in which they are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import log1p
from typing import Any

import numpy as np

from augscope.descent import Run
from augscope.experiment import Experiment
from augscope.measures import History
from augscope.methods import Method
from augscope.validation import check


@dataclass(frozen=True)
class SeedRun:
    """One method trained from one seed: what is kept of it."""

    seed: int
    method: Method
    history: History
    status: str
    message: str
    oscillating: bool
    feature_counts: tuple[tuple[int, ...], ...]  # points per feature, row 0 for label +1
    seconds: float

    @classmethod
    def of(cls, seed: int, run: Run) -> SeedRun:
        """Keep what verdicts and pictures need; let go of weights and data."""
        counts = tuple(tuple(int(count) for count in row) for row in run.dataset.feature_counts)
        return cls(seed, run.method, run.history, run.status, run.message, run.oscillating, counts, run.seconds)


def checked_seeds(seeds: Iterable[int]) -> tuple[int, ...]:
    """Return the seeds as a tuple. Raises ValueError unless they are distinct integers in [0, 2⁶³), at least one."""
    check(isinstance(seeds, Iterable), f"`seeds` must be a collection of integers such as range(8), got {seeds!r}")
    seeds = tuple(seeds)
    check(len(seeds) >= 1, "`seeds` must hold at least one seed, got none")
    bad = [seed for seed in seeds if not _is_seed(seed)]
    check(not bad, f"`seeds` must be integers from 0 to 2^63 - 1, got {', '.join(map(repr, bad[:5]))}")
    chosen = tuple(int(seed) for seed in seeds)
    twice = sorted({seed for seed in chosen if chosen.count(seed) > 1}) if len(set(chosen)) < len(chosen) else []
    check(not twice, f"`seeds` must differ from each other, got {', '.join(map(str, twice[:5]))} more than once")
    return chosen


def _is_seed(seed: Any) -> bool:
    return isinstance(seed, (int, np.integer)) and not isinstance(seed, bool) and 0 <= int(seed) < 2**63


def run_seeds(
    experiment: Experiment, seeds: Sequence[int], progress: Callable[[str, float], Any] | None = None
) -> tuple[list[SeedRun], bool]:
    """Train every method from every seed, in order; return what was recorded and whether Ctrl-C ended it early.

    A run that Ctrl-C cut short is the last one, with status "interrupted", if anything of it was recorded.
    """
    runs: list[SeedRun] = []
    total = len(seeds) * len(experiment.methods)
    try:
        for seed in seeds:
            dataset = experiment.sample(seed)
            for method in experiment.methods:
                report = _reporter(progress, f"{method.title}, seed {seed}", len(runs), total, experiment)
                runs.append(SeedRun.of(seed, experiment.run(method, dataset, report)))
                if runs[-1].status == "interrupted":
                    return runs, True
    except KeyboardInterrupt:  # between two runs
        return runs, True
    return runs, False


def _reporter(
    progress: Any, what: str, done: int, total: int, experiment: Experiment
) -> Callable[[float, float], None] | None:
    if progress is None:
        return None
    if experiment.until is not None:
        whole = log1p(experiment.until)  # a flow works through the logarithm of time
        return lambda time, loss: progress(what, (done + log1p(time) / whole) / total)
    return lambda step, loss: progress(what, (done + step / experiment.num_steps) / total)
