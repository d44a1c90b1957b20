"""What of an audit is left to train and how long that takes, and the trainings themselves, each kept as it finishes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from augscope.images.kept import KeptTrainings
from augscope.images.plan import TrainingPlan, title
from augscope.images.training import StepSeconds, seconds_per_step
from augscope.studies.audit.study import Study, Trained, TrainedRuns, train_one
from augscope.support.wording import in_words

NOTED = 1.5  # slow steps over quick ones: beyond it, both are stated
SETTLED = 5.0  # seconds after which the time left is corrected by the pace so far
KEPT = "trainings"  # folder of finished trainings inside that of the report


def kept_trainings(folder: Path, study: Study, device: str, *, replace: bool = False) -> KeptTrainings:
    """Return the folder of an audit's finished trainings. Raises ValueError as `KeptTrainings` does."""
    digests = {"data": study.data.digest, "model": study.model_digest}
    return KeptTrainings(folder, "audit", study.settings, digests, device, replace=replace)


@dataclass(frozen=True)
class Remaining:
    """What is left to train, and how long it will take. `print` it for a sentence.

    Attributes:
        kept: trainings that are finished.
        plans: of the trainings that are to be made.
        step_seconds: of each method that is left, as some were timed.
        steps: of each training.
        device: where to train.
    """

    kept: TrainedRuns
    plans: tuple[TrainingPlan, ...]
    step_seconds: dict[str, StepSeconds]
    steps: int
    device: str

    @property
    def seconds(self) -> StepSeconds:
        """Expected time of what is left: without other work on the machine, and with as much as now."""
        each = [self.step_seconds[plan.method] for plan in self.plans]
        return StepSeconds(*(self.steps * sum(getattr(step, end) for step in each) for end in StepSeconds._fields))

    def __str__(self) -> str:
        kept = f" ({len(self.kept)} more are kept)" if self.kept else ""
        if not self.plans:
            return f"Nothing is left to train{kept}."
        each = ", ".join(f"{title(name)} {_range(seconds)}" for name, seconds in self.step_seconds.items())
        return (
            f"A step: {each} ({self.device}). {len(self.plans)} trainings of {self.steps:,} steps{kept}: "
            f"about {_range(self.seconds)}{_busy(self.seconds)}."
        )


def _range(seconds: StepSeconds) -> str:
    """One number where the two hardly differ."""
    low, high = map(in_words, seconds)
    return f"{low} to {high}" if _busy(seconds) else low


def _busy(seconds: StepSeconds) -> str:
    """What to add where steps took unequally long."""
    return ", by how busy the machine is" if seconds.high > NOTED * seconds.low else ""


def remaining(study: Study, kept: KeptTrainings | None, device: str) -> Remaining:
    """Look for what is kept, and time some steps of each method that is left."""
    data, settings, finished = study.data, study.settings, {}
    for plan in settings.plans():
        arrays = None if kept is None else kept.load(plan)
        if arrays is not None:
            finished[plan.method, plan.seed] = Trained.of(data, arrays)
    plans = tuple(plan for plan in settings.plans() if (plan.method, plan.seed) not in finished)
    step_seconds = {
        method: seconds_per_step(
            settings.plan(method, seed=0),
            data.train.images,
            data.train.labels,
            num_classes=len(data.classes),
            device=device,
        )
        for method in dict.fromkeys(plan.method for plan in plans)
    }
    return Remaining(finished, plans, step_seconds, settings.steps, device)


def train_all(
    study: Study,
    left: Remaining,
    kept: KeptTrainings | None,
    progress: Callable[[str, float], None],
) -> TrainedRuns:
    """Make the trainings that are left, keeping each as it finishes; return all, in the order of methods and seeds.

    Args:
        progress: called with what is running and the time left, and with the share of all steps that is done.
    """
    runs, start = dict(left.kept), time.perf_counter()
    expected = [left.steps * left.step_seconds[plan.method].low for plan in left.plans]
    for number, plan in enumerate(left.plans):

        def report(step: int, number: int = number, plan: TrainingPlan = plan) -> None:
            done = sum(expected[:number]) + expected[number] * step / left.steps
            passed = time.perf_counter() - start
            pace = passed / done if done and passed > SETTLED else 1  # of this machine now, over what was expected
            seconds = max(1, pace * (sum(expected) - done))
            name = f"{plan.title}: {number + 1} of {len(left.plans)}, about {in_words(seconds)} left"
            progress(name, (number + step / left.steps) / len(left.plans))

        report(0)
        run = train_one(study.data, plan, left.device, report)
        if kept is not None:
            kept.save(plan, vars(run))
        runs[plan.method, plan.seed] = run
    settings = study.settings
    return {(method, seed): runs[method, seed] for method in settings.methods for seed in settings.seeds}
