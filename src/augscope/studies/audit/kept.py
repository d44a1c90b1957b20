"""What of an audit is left to train and how long that takes, and the trainings themselves, each kept as it finishes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from augscope.images.kept import KeptTrainings, training_versions
from augscope.images.plan import TrainingPlan, title
from augscope.images.training import StepSeconds, seconds_per_step
from augscope.studies.audit.study import Study, Trained, TrainedRuns
from augscope.studies.audit.workers import train_one_by_one, train_side_by_side, usual_workers
from augscope.support.threads import one_torch_thread
from augscope.support.wording import in_words

NOTED = 1.5  # slow steps over quick ones: beyond it, both are stated
SETTLED = 5.0  # seconds after which the time left is corrected by the pace so far
KEPT = "trainings"  # folder of finished trainings inside that of the report


def kept_trainings(folder: Path, study: Study, device: str, *, replace: bool = False) -> KeptTrainings:
    """Return the folder of an audit's finished trainings. Raises ValueError as `KeptTrainings` does."""
    digests = {"data": study.data.digest, "model": study.model_digest}
    with one_torch_thread():
        return KeptTrainings(folder, "audit", study.settings, digests, device, replace=replace)


def audit_versions(device: str) -> dict[str, str]:
    """Return what decides the bits of an audit's trainings apart from their plans and images."""
    with one_torch_thread():
        return training_versions(device)


@dataclass(frozen=True)
class Remaining:
    """What is left to train, and how long it will take. `print` it for a sentence.

    Attributes:
        kept: trainings that are finished.
        plans: of the trainings that are to be made.
        step_seconds: of each method that is left, as some were timed.
        steps: of each training.
        device: where to train.
        workers: how many trainings are made at a time.
    """

    kept: TrainedRuns
    plans: tuple[TrainingPlan, ...]
    step_seconds: dict[str, StepSeconds]
    steps: int
    device: str
    workers: int

    @property
    def seconds(self) -> StepSeconds:
        """Expected time of what is left: without other work on the machine, and with as much as now."""
        return _seconds(self.plans, self.step_seconds, self.steps, self.workers)

    def __str__(self) -> str:
        kept = f" ({len(self.kept)} more are kept)" if self.kept else ""
        if not self.plans:
            return f"Nothing is left to train{kept}."
        each = ", ".join(f"{title(name)} {_range(seconds)}" for name, seconds in self.step_seconds.items())
        return (
            f"A step: {each} ({self.device}). {len(self.plans)} trainings of {self.steps:,} steps{kept}"
            f"{f', {self.workers} at a time' if self.workers > 1 else ''}: about {_range(self.seconds)}{_busy(self.seconds)}."
        )


def _seconds(
    plans: Sequence[TrainingPlan], step_seconds: Mapping[str, StepSeconds], steps: int, workers: int
) -> StepSeconds:
    """The time of trainings, some at a time, each as quick as alone."""
    rounds = math.ceil(len(plans) / workers) / max(1, len(plans))
    each = [step_seconds[plan.method] for plan in plans]
    return StepSeconds(*(rounds * steps * sum(getattr(step, end) for step in each) for end in StepSeconds._fields))


def _range(seconds: StepSeconds) -> str:
    """One number where the two hardly differ."""
    low, high = map(in_words, seconds)
    return f"{low} to {high}" if _busy(seconds) else low


def _busy(seconds: StepSeconds) -> str:
    """What to add where steps took unequally long."""
    return ", by how busy the machine is" if seconds.high > NOTED * seconds.low else ""


def remaining(study: Study, kept: KeptTrainings | None, device: str, workers: int | None = None) -> Remaining:
    """Look for what is kept, and time some steps of each method that is left.

    Args:
        workers: trainings to make at a time, checked; None for `usual_workers`.
    """
    data, settings, finished = study.data, study.settings, {}
    for plan in settings.plans():
        arrays = None if kept is None else kept.load(plan)
        if arrays is not None:
            finished[plan.method, plan.seed] = Trained.of(data, arrays)
    plans = tuple(plan for plan in settings.plans() if (plan.method, plan.seed) not in finished)
    images, labels = data.train.images, data.train.labels
    with one_torch_thread():
        step_seconds = {
            method: seconds_per_step(
                settings.plan(method, seed=0), images, labels, num_classes=len(data.classes), device=device
            )
            for method in dict.fromkeys(plan.method for plan in plans)
        }
    alone = _seconds(plans, step_seconds, settings.steps, workers=1)
    usual = usual_workers(len(plans), alone.low, device, data)
    workers = usual if workers is None else max(1, min(workers, len(plans)))
    return Remaining(finished, plans, step_seconds, settings.steps, device, workers)


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
    expected = np.array([left.step_seconds[plan.method].low for plan in left.plans])

    def finish(plan: TrainingPlan, run: Trained) -> None:
        if kept is not None:
            kept.save(plan, vars(run))
        runs[plan.method, plan.seed] = run

    def report(plan: TrainingPlan, steps: Sequence[int]) -> None:
        done, total = float(expected @ steps), left.steps * float(expected.sum())
        passed = time.perf_counter() - start
        pace = passed / done if done and passed > SETTLED else 1 / left.workers  # now, over what was expected
        number, seconds = left.plans.index(plan) + 1, max(1, pace * (total - done))
        name = f"{plan.title}: {number} of {len(left.plans)}, about {in_words(seconds)} left"
        progress(name, sum(steps) / (left.steps * len(left.plans)))

    if left.workers > 1:
        train_side_by_side(study.data, left.plans, left.workers, finish, report)
    else:
        train_one_by_one(study.data, left.plans, left.device, finish, report)
    settings = study.settings
    return {(method, seed): runs[method, seed] for method in settings.methods for seed in settings.seeds}
