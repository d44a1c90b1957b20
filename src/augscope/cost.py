"""What an experiment will take, measured on a step of each method before it starts."""

from __future__ import annotations

from dataclasses import dataclass

from augscope.descent import time_step
from augscope.experiment import Experiment
from augscope.seeds import side_by_side

LONG_SECONDS = 3600.0  # above, the command line asks to be told twice
FLOW_GRADIENTS = (
    10_000  # of a gradient flow to t = 1e12: between 1,300 (ERM) and 20,000 (CutMix) were measured at the presets
)


@dataclass(frozen=True)
class Cost:
    """The time that an experiment will take, as measured on one step. `print` it for a sentence.

    Attributes:
        step_seconds: of each method's step (or gradient, for a flow), by title.
        num_steps: steps of each run; for a flow a guess.
        num_seeds: runs of each method.
        num_done: runs that were kept by an earlier call.
        workers: runs at a time.
        flow: whether gradients of a flow are counted.
    """

    step_seconds: dict[str, float]
    num_steps: int
    num_seeds: int
    num_done: int
    workers: int
    flow: bool

    @property
    def seconds(self) -> float:
        """Expected wall time of training, without compilation and measuring."""
        if self.num_runs == 0:
            return 0.0
        each = sum(self.step_seconds.values()) / len(self.step_seconds) * self.num_steps
        return each * self.num_runs / min(self.workers, self.num_runs)

    @property
    def num_runs(self) -> int:
        """Runs that are to be made."""
        return self.num_seeds * len(self.step_seconds) - self.num_done

    def __str__(self) -> str:
        unit = "gradient" if self.flow else "step"
        each = ", ".join(f"{title} {_in_words(seconds)}" for title, seconds in self.step_seconds.items())
        runs = f"{self.num_runs:,} run{'s' * (self.num_runs != 1)} of {'some ' * self.flow}{self.num_steps:,} {unit}s"
        kept = f" ({self.num_done:,} more are kept)" if self.num_done else ""
        return f"A {unit}: {each}. {runs}{kept}: about {_in_words(self.seconds)}."


def measure_cost(experiment: Experiment, num_seeds: int, num_done: int = 0) -> Cost:
    """Take a step of each method and time it. Cost: compilation, which the run itself then need not do, and two steps each."""
    dataset = experiment.sample(0)
    return Cost(
        step_seconds={method.title: time_step(dataset, experiment.network, method) for method in experiment.methods},
        num_steps=experiment.num_steps if experiment.until is None else FLOW_GRADIENTS,
        num_seeds=num_seeds,
        num_done=num_done,
        workers=side_by_side(experiment),
        flow=experiment.until is not None,
    )


def _in_words(seconds: float) -> str:
    """A duration in the unit that people would use."""
    for unit, size in (("hours", 3600.0), ("min", 60.0), ("s", 1.0)):
        if seconds >= 1.5 * size or (unit == "s" and seconds >= 1):
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds * 1e3:.2g} ms"
