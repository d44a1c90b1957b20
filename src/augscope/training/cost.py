"""What an experiment will take, measured on a step of each method before it starts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from augscope.model.methods import Method
from augscope.model.sampling import Dataset
from augscope.support.wording import in_words
from augscope.training.descent import time_step
from augscope.training.experiment import Experiment
from augscope.training.seeds import side_by_side

FLOW_GRADIENTS = 10_000  # of a gradient flow to t = 1e12: some 6,000 were measured at `presets.theorem`


@dataclass(frozen=True)
class Cost:
    """The time that an experiment will take, as measured on one step. `print` it for a sentence.

    Attributes:
        step_seconds: of each method's step (or gradient, for a flow), by title, with `workers` of them at a time.
        runs: that are to be made of each method, by title.
        num_steps: steps of each run; for a flow a guess.
        num_kept: runs that an earlier call has kept.
        workers: runs at a time.
        flow: whether gradients of a flow are counted.
    """

    step_seconds: dict[str, float]
    runs: dict[str, int]
    num_steps: int
    num_kept: int
    workers: int
    flow: bool

    @property
    def num_runs(self) -> int:
        """Runs that are to be made."""
        return sum(self.runs.values())

    @property
    def seconds(self) -> float:
        """Expected wall time of training, without compilation and measuring."""
        work = sum(self.step_seconds[title] * count for title, count in self.runs.items()) * self.num_steps
        return work / max(1, min(self.workers, self.num_runs))

    def __str__(self) -> str:
        unit = "gradient" if self.flow else "step"
        kept = f" ({self.num_kept:,} more are kept)" if self.num_kept else ""
        if not self.num_runs:
            return f"Nothing is left to run{kept}."
        each = ", ".join(f"{title} {in_words(seconds)}" for title, seconds in self.step_seconds.items())
        runs = f"{self.num_runs:,} run{'s' * (self.num_runs != 1)} of {'some ' * self.flow}{self.num_steps:,} {unit}s"
        return f"A {unit}: {each}. {runs}{kept}: about {in_words(self.seconds)}, and what compiling and measuring take."


def measure_cost(experiment: Experiment, num_seeds: int, kept: dict[Method, int] | None = None) -> Cost:
    """Take steps of each method, as many at a time as runs will go, and time them.

    Args:
        experiment: what is to be run.
        num_seeds: from how many seeds.
        kept: runs of each method that need not be made again.

    Cost: compilation, which the runs themselves then need not do, and some steps of each method.
    """
    kept = kept or {}
    left = {method: num_seeds - kept.get(method, 0) for method in experiment.methods}
    methods, workers = [method for method in left if left[method]], side_by_side(experiment)
    dataset = experiment.sample(0) if methods else None
    return Cost(
        step_seconds={
            method.title: _step_seconds(experiment, method, dataset, workers) for method in methods if dataset
        },
        runs={method.title: left[method] for method in methods},
        num_steps=experiment.num_steps if experiment.until is None else FLOW_GRADIENTS,
        num_kept=sum(kept.values()),
        workers=workers,
        flow=experiment.until is not None,
    )


def _step_seconds(experiment: Experiment, method: Method, dataset: Dataset, workers: int) -> float:
    """Seconds of a step while `workers` descents go side by side: they share memory, and so slow each other."""

    def one(_: int) -> float:
        return time_step(dataset, experiment.network, method)

    one(0)  # compiles
    with ThreadPoolExecutor(workers) as threads:
        return max(threads.map(one, range(workers)))
