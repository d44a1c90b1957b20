"""What of an audit is left to train and how long that takes, and the trainings themselves, each kept as it finishes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from augscope.images.kept import KeptTrainings
from augscope.images.plan import TrainingPlan, title
from augscope.images.training import seconds_per_step
from augscope.studies.audit.study import Study, Trained, TrainedRuns, train_one
from augscope.support.wording import in_words

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
        step_seconds: of each method that is left, measured.
        steps: of each training.
        device: where to train.
    """

    kept: TrainedRuns
    plans: tuple[TrainingPlan, ...]
    step_seconds: dict[str, float]
    steps: int
    device: str

    @property
    def seconds(self) -> float:
        """Expected time of what is left."""
        return sum(self.step_seconds[plan.method] for plan in self.plans) * self.steps

    def __str__(self) -> str:
        kept = f" ({len(self.kept)} more are kept)" if self.kept else ""
        if not self.plans:
            return f"Nothing is left to train{kept}."
        each = ", ".join(f"{title(name)} {seconds * 1e3:.0f} ms" for name, seconds in self.step_seconds.items())
        return (
            f"A step: {each} ({self.device}). {len(self.plans)} trainings of {self.steps:,} steps{kept}: "
            f"about {in_words(self.seconds)}."
        )


def remaining(study: Study, kept: KeptTrainings | None, device: str) -> Remaining:
    """Look for what is kept, and time a few steps of each method that is left."""
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
    runs, start, total = dict(left.kept), time.perf_counter(), max(1, len(left.plans) * left.steps)
    for number, plan in enumerate(left.plans):
        done = number * left.steps
        seconds = left.seconds if not done else (time.perf_counter() - start) * (total - done) / done
        title = f"{plan.title}: {number + 1} of {len(left.plans)}, about {in_words(max(1, seconds))} left"
        progress(title, done / total)
        run = train_one(
            study.data, plan, left.device, lambda step, done=done, title=title: progress(title, (done + step) / total)
        )
        if kept is not None:
            kept.save(plan, vars(run))
        runs[plan.method, plan.seed] = run
    settings = study.settings
    return {(method, seed): runs[method, seed] for method in settings.methods for seed in settings.seeds}
