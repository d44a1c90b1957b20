"""The study: every method trained from every seed, and the C-scores of the held-out points that it gets wrong."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from augscope.images.cscores.data import LabelledImages, hold_out
from augscope.images.cscores.kept import KeptTrainings
from augscope.images.cscores.scores import HeldOut, ScoreEstimate, balanced_hold_outs, check_fractions, estimate_scores
from augscope.images.cscores.trainings import Plan, Trainer, Training, TrainingSettings
from augscope.images.training import METHODS
from augscope.values import Value, check

ESTIMATE_SEEDS = 1_000_000_000  # seeds of the trainings that estimate scores begin here, apart from those of the study

ESTIMATE_FIELDS = ("fractions", "trainings", "scored_by")  # settings that matter only where scores are estimated


class StudySettings(Value):
    """What a study is.

    Attributes:
        training: what all trainings have in common.
        methods: at least one of `METHODS`, different.
        seeds: each draws its own held-out points, and trains every method from the same start on the same batches.
        hold_out: share of every class that is held out, in (0, 1).
        fractions: α of the estimate, in (0, 1), different; not used where scores are given.
        trainings: of the estimate, at each fraction.
        scored_by: the method of the trainings that estimate scores; "erm" in Jiang et al. (2021).
    """

    training: TrainingSettings
    methods: tuple[str, ...] = ("erm", "cutout-box", "cutmix-box")
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    hold_out: float = 0.2
    fractions: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    trainings: int = 20
    scored_by: str = "erm"


@dataclass(frozen=True)
class StudyRun:
    """What a study's trainings said.

    Attributes:
        settings: of the study.
        data: the images.
        scores: (n,), C-scores.
        estimate: where they were estimated here; None where they were given.
        held_out: each seed's held-out points, (m,).
        trainings: by method and place of the seed.
        identity: SHA-256 of the settings, the images and the given scores.
        device: on which it trained.
    """

    settings: StudySettings
    data: LabelledImages
    scores: np.ndarray
    estimate: ScoreEstimate | None
    held_out: tuple[np.ndarray, ...]
    trainings: dict[tuple[str, int], Training]
    identity: str
    device: str


class Study:
    """A study that has been checked, and knows which trainings are to be made.

    Args:
        settings: of the study.
        data: the images.
        scores: their C-scores (n,) in [0, 1], or None to estimate them.
        device: such as "cpu" or "cuda".

    Raises:
        ValueError: on settings that do not fit the images, before any training.
    """

    def __init__(
        self, settings: StudySettings, data: LabelledImages, scores: np.ndarray | None = None, device: str = "cpu"
    ) -> None:
        _check_list("methods", settings.methods)
        _check_list("seeds", settings.seeds)
        low, high = min(settings.seeds), max(settings.seeds)
        check(
            low >= 0 and high < ESTIMATE_SEEDS, f"`seeds` must be from 0 to 999999999, got {low if low < 0 else high}"
        )
        self.settings, self.data, self.scores = settings, data, scores
        self.held_out = tuple(hold_out(data.labels, settings.hold_out, seed) for seed in settings.seeds)
        if scores is None:
            check_fractions(len(data.labels), settings.fractions, settings.trainings)
        self.trainer = Trainer(data, settings.training, device)
        for method in (*settings.methods, settings.scored_by):
            self.trainer.check_method(method)

    @property
    def identity(self) -> str:
        """SHA-256 of everything that decides the study's numbers on one machine."""
        given = None if self.scores is None else hashlib.sha256(self.scores.tobytes()).hexdigest()
        told = [self.settings.model_dump(mode="json"), self.data.digest, given]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def plans(self) -> dict[tuple[str, int], Plan]:
        """Return the study's own trainings, by method and place of the seed."""
        return {
            (method, place): Plan(f"{METHODS[method]}, seed {seed}", method, seed, self.held_out[place])
            for place, seed in enumerate(self.settings.seeds)
            for method in self.settings.methods
        }

    def estimate_plans(self) -> list[tuple[float, Plan]]:
        """Return the trainings that estimate the scores, each with its fraction; none where scores are given."""
        if self.scores is not None:
            return []
        found, settings = [], self.settings
        for fraction in settings.fractions:
            parts = balanced_hold_outs(len(self.data.labels), fraction, settings.trainings, seed=0)
            for number, held_out in enumerate(parts):
                title = f"C-scores: fraction {fraction:g}, training {number + 1} of {settings.trainings}"
                found.append((fraction, Plan(title, settings.scored_by, ESTIMATE_SEEDS + len(found), held_out)))
        return found

    def all_plans(self) -> list[Plan]:
        """Return every training: those of the estimate first."""
        return [plan for _, plan in self.estimate_plans()] + list(self.plans().values())

    def run(self, kept: KeptTrainings | None = None, progress: Callable[[str, float], None] | None = None) -> StudyRun:
        """Make every training that is not kept yet.

        Args:
            kept: where trainings are kept as they finish, and taken from.
            progress: called with (the training under way, share of all done in [0, 1]).

        Raises:
            ValueError: if a training diverges, or cannot be kept; those before it are kept.

        Cost: `settings.training.steps` steps for each training, one after the other.
        """
        plans = self.all_plans()
        done = {}
        for number, plan in enumerate(plans):
            done[id(plan)] = self._made(plan, kept, _share(progress, plan, number, len(plans), self.settings))
        answers, own = plans[: len(self.estimate_plans())], plans[len(self.estimate_plans()) :]
        fractions = [fraction for fraction, _ in self.estimate_plans()]
        estimate = self._estimate(fractions, answers, [done[id(plan)] for plan in answers])
        scores = self.scores if estimate is None else estimate.scores
        assert scores is not None  # estimated where none were given
        return StudyRun(
            settings=self.settings,
            data=self.data,
            scores=scores,
            estimate=estimate,
            held_out=self.held_out,
            trainings={key: done[id(plan)] for key, plan in zip(self.plans(), own, strict=True)},
            identity=self.identity,
            device=self.trainer.device,
        )

    def _made(self, plan: Plan, kept: KeptTrainings | None, progress: Callable[[int], None] | None) -> Training:
        found = None if kept is None else kept.load(plan)
        if found is None:
            found = self.trainer.train(plan, progress)
            if kept is not None:
                kept.save(plan, found)
        return found

    def _estimate(
        self, fractions: Sequence[float], plans: Sequence[Plan], trainings: Sequence[Training]
    ) -> ScoreEstimate | None:
        if not plans:
            return None
        labels = self.data.labels
        answers = [
            HeldOut(fraction, plan.held_out, training.predicted == labels[plan.held_out])
            for fraction, plan, training in zip(fractions, plans, trainings, strict=True)
        ]
        return estimate_scores(len(labels), answers)


def _share(
    progress: Callable[[str, float], None] | None, plan: Plan, number: int, total: int, settings: StudySettings
) -> Callable[[int], None] | None:
    """A training's steps told as a share of all trainings."""
    if progress is None:
        return None
    return lambda step: progress(plan.title, (number + step / settings.training.steps) / total)


def _check_list(name: str, values: Sequence[object]) -> None:
    check(len(values) >= 1, f"`{name}` must name at least one, got none")
    check(len(set(values)) == len(values), f"`{name}` must differ from each other, got {', '.join(map(str, values))}")
