"""Runs of an experiment from several seeds, checked before they begin: what they will take, and making them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from augscope.model.arrays import check_precision
from augscope.model.methods import Method
from augscope.model.sampling import free_bytes
from augscope.support.wording import in_words
from augscope.training.batch import time_step_together
from augscope.training.descent import time_step
from augscope.training.experiment import Experiment
from augscope.training.kept_runs import KeptRuns
from augscope.training.sampled import time_sampled_step
from augscope.training.seed_run import SeedRun
from augscope.training.seeds import Group, method_groups, run_seeds, side_by_side

FLOW_GRADIENTS = 10_000  # of a gradient flow to t = 1e12: about 6,000 were measured at `presets.theorem`


@dataclass(frozen=True)
class PreparedRuns:
    """Every method of an experiment from every seed, ready to be trained; get them from `prepare_runs`.

    Attributes:
        experiment, seeds: what is to be run; the one seed of a population is None.
        kept: where finished runs are kept, or None.
    """

    experiment: Experiment
    seeds: tuple[int, ...] | tuple[None]
    kept: KeptRuns | None

    @cached_property
    def cost(self) -> Cost:
        """What it will take, measured on some steps of each method. Raises ValueError if a kept run is not whole."""
        kept = None if self.kept is None else self.kept.count(self.seeds)
        return measure_cost(self.experiment, len(self.seeds), kept)

    def run(self, progress: Callable[[str, float], Any] | None = None) -> tuple[list[SeedRun], bool]:
        """Train; return the runs in order of seed and method, and whether Ctrl-C ended it early."""
        return run_seeds(self.experiment, self.seeds, progress, kept=self.kept)

    def population(self) -> tuple[SeedRun, ...]:
        """Train the population by every method that takes probabilities, for the pictures; none where its types do not fit.

        Of an experiment that is a population itself there is none beside it.
        """
        methods = [method for method in self.experiment.methods if method.takes_probabilities]
        if self.experiment.is_population or not methods:
            return ()
        population = self.experiment.in_population(methods)
        if population.needed_bytes > free_bytes():
            return ()
        return tuple(run_seeds(population, (None,))[0])


def prepare_runs(
    experiment: Experiment, seeds: Iterable[int] | None, checkpoint: str | Path | None = None
) -> PreparedRuns:
    """Check that an experiment can be run from these seeds, without running it.

    Args:
        experiment: what to run.
        seeds: distinct integers from 0 to 2⁶³ − 1, at least one; None for a population, which has none.
        checkpoint: a folder in which to keep runs as they finish, and descents under way; what it holds is not run again.

    Raises:
        ValueError: on bad seeds, float64 not enabled, a sample that does not fit into memory, or another experiment's folder.
    """
    chosen = experiment.checked_seeds(seeds)
    check_precision(np.float64)
    experiment.check_memory()
    return PreparedRuns(experiment, chosen, None if checkpoint is None else KeptRuns(checkpoint, experiment))


@dataclass(frozen=True)
class Cost:
    """The time that an experiment will take, as measured on one step. `print` it for a sentence.

    Attributes:
        step_seconds: of a step (or gradient, for a flow), by the titles of the methods that take it together, with `workers` steps at a
            time.
        runs: how often each of these is to be trained.
        num_steps: steps of each run; for a flow a guess.
        num_kept: runs that an earlier call has kept.
        workers: runs at a time.
        flow: whether gradients of a flow are counted.
        besides: what else takes time, in words.
    """

    step_seconds: dict[tuple[str, ...], float]
    runs: dict[tuple[str, ...], int]
    num_steps: int
    num_kept: int
    workers: int
    flow: bool
    besides: str = "what compiling and measuring take"

    @property
    def num_runs(self) -> int:
        """Runs that are to be made."""
        return sum(len(titles) * count for titles, count in self.runs.items())

    @property
    def seconds(self) -> float:
        """Expected wall time of training, without compilation and measuring."""
        work = sum(self.step_seconds[titles] * count for titles, count in self.runs.items())
        count = sum(self.runs.values())
        shortest = min((self.step_seconds[titles] for titles in self.runs), default=0)
        in_rounds = ceil(count / self.workers) * shortest  # what is left over takes a round of its own
        return self.num_steps * max(work / max(1, min(self.workers, count)), in_rounds)

    def __str__(self) -> str:
        unit = "gradient" if self.flow else "step"
        kept = f" ({self.num_kept:,} more are kept)" if self.num_kept else ""
        if not self.num_runs:
            return f"Nothing is left to run{kept}."
        each = ", ".join(f"{_together(titles)} {in_words(seconds)}" for titles, seconds in self.step_seconds.items())
        runs = f"{self.num_runs:,} run{'s' * (self.num_runs != 1)} of {'some ' * self.flow}{self.num_steps:,} {unit}s"
        return f"A {unit}: {each}. {runs}{kept}: about {in_words(self.seconds)}, and {self.besides}."


def measure_cost(experiment: Experiment, num_seeds: int, kept: dict[Method, int] | None = None) -> Cost:
    """Take steps of each method, as many at a time as runs will go, and time them; `kept` runs are not made again.

    Cost: compilation, which the runs themselves then need not do, and some steps of each method.
    """
    workers = side_by_side(experiment)
    groups = method_groups(experiment, num_seeds, workers, kept=kept is not None)
    left = {group: num_seeds - (kept or {}).get(group[0], 0) for group in groups}
    runs = {group: count for group, count in left.items() if count}
    return Cost(
        step_seconds=_step_seconds(experiment, list(runs), workers) if runs else {},
        runs={_titles(group): count for group, count in runs.items()},
        num_steps=experiment.num_steps if experiment.until is None else FLOW_GRADIENTS,
        num_kept=sum((kept or {}).values()),
        workers=workers,
        flow=experiment.until is not None,
    )


def _titles(group: Group) -> tuple[str, ...]:
    return tuple(method.title for method in group)


def _together(titles: Sequence[str]) -> str:
    """What steps together, in words."""
    *others, last = titles
    return f"{', '.join(others)} and {last} together" if others else last


def _step_seconds(experiment: Experiment, groups: list[Group], workers: int) -> dict[tuple[str, ...], float]:
    """Seconds of a step, by titles, while `workers` descents go side by side: they share memory, and so slow each other."""
    dataset, seconds = experiment.sample(None if experiment.is_population else 0), {}
    with ThreadPoolExecutor(workers) as threads:
        for group in groups:
            trial = partial(time_step, dataset, experiment.network, group[0])
            if experiment.sampling is not None:
                trial = partial(time_sampled_step, dataset, experiment.network, group[0], experiment.sampling)
            elif len(group) > 1:
                trial = partial(time_step_together, dataset, experiment.network, group)
            trial()  # compiles
            trials = [threads.submit(trial) for _ in range(workers)]
            seconds[_titles(group)] = max(job.result() for job in trials)
    return seconds
