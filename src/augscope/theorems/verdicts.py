"""From runs to verdicts: one theorem over all seeds, statement by statement, with an exact confidence interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from augscope.model.distribution import Rarity
from augscope.model.methods import Method
from augscope.support.statistics import clopper_pearson
from augscope.theorems.statements import STATIONARY_NORM, Assumption, SeedOutcome, Theorem, assumptions, judge
from augscope.training.experiment import Experiment
from augscope.training.seed_run import SeedRun, missing_features

HOLDS, VIOLATED, INCONCLUSIVE, NOT_MET = "holds", "violated", "inconclusive", "assumptions not met"


@dataclass(frozen=True)
class Line:
    """One statement over the seeds that count: a line of the verdict table."""

    number: str
    text: str
    kind: str
    measured: float  # mean over seeds
    spread: tuple[float, float]  # smallest and largest over seeds
    predicted: float
    tolerance: float | None  # for accuracies and norms
    margin: float  # smallest over seeds
    seeds_holding: int
    num_seeds: int
    onset: float | None  # median step over the seeds where it holds: from it on, or (3.3) the last such
    verdict: str


@dataclass(frozen=True)
class TheoremVerdict:
    """One theorem over all seeds. `print` it for the result in a sentence or two."""

    theorem: Theorem
    method: Method
    verdict: str
    assumptions: tuple[Assumption, ...]
    outcomes: tuple[SeedOutcome, ...]
    lines: tuple[Line, ...]
    seeds_holding: int
    num_seeds: int
    interval: tuple[float, float]  # Clopper–Pearson for the share of seeds
    onset: float | None  # median T_m over the seeds that satisfy it (3.3: median last step at which all hold)
    largest_distance: float  # of the accuracy from its prediction, over those seeds and [T_m, T]
    horizon: float | None = None  # the time up to which a flow was judged; None for a descent, judged to its last step

    @property
    def heading(self) -> str:
        """The theorem's number and title, with the method's parameters where they are not the usual ones."""
        usual = self.method.title in self.theorem.title
        return f"{self.theorem.number} {self.theorem.title}" + ("" if usual else f", {self.method.title}")

    def __str__(self) -> str:
        """The result in words: how many seeds, from which step, how far off; and why not, if not."""
        low, high = self.interval
        text = f"Theorem {self.theorem.number}: {self.verdict}; {self.seeds_holding} of {self.num_seeds} "
        text += f"seed{'s' * (self.num_seeds != 1)} (95 % interval of the share: {low:.2f}–{high:.2f})."
        if self.onset is not None:
            text += self._when()
        unmet = [row.text for row in self.assumptions if not row.met]
        if unmet:
            text += " Not met: " + "; ".join(unmet) + "."
        excluded = [outcome.excluded for outcome in self.outcomes if outcome.excluded]
        if excluded:
            text += " Set aside: " + "; ".join(excluded) + "."
        return text

    def _when(self) -> str:
        if self.theorem.lasting:
            unit, end = ("step", "the end") if self.horizon is None else ("t =", f"t = {self.horizon:,g}")
            return (
                f" All statements hold together from {unit} {self.onset:,.0f} (median) to {end}; over that time the "
                f"accuracy strays at most {self.largest_distance:.4f} from its prediction."
            )
        return (
            f" The last recorded {'step' if self.horizon is None else 'time'} at which all statements hold is "
            f"{self.onset:,.0f} (median). "
            f"The accuracy there is {_at_most(self.largest_distance)} from its prediction."
        )


def decide(successes: int, trials: int) -> str:
    """Return "holds" if the 95 % interval of the share lies above ½, "violated" if below, else "inconclusive"."""
    low, high = clopper_pearson(successes, trials)
    if low > 0.5:
        return HOLDS
    return VIOLATED if high < 0.5 else INCONCLUSIVE


def theorem_verdict(
    theorem: Theorem,
    method: Method,
    experiment: Experiment,
    rarity: tuple[Rarity, ...],
    runs: Sequence[SeedRun],
    tolerance: float,
) -> TheoremVerdict:
    """Return the verdict on one theorem from its method's runs. A run that Ctrl-C ended does not count."""
    needed = tuple(assumptions(method, experiment.distribution, rarity, experiment.num_samples))
    finished = [run for run in runs if run.status != "interrupted"]
    outcomes = tuple(seed_outcome(theorem, run, experiment, rarity, tolerance) for run in finished)
    counted = [outcome for outcome in outcomes if outcome.excluded is None]
    satisfied = [outcome for outcome in counted if outcome.satisfied]
    can_tell = all(row.met for row in needed) and bool(counted or not outcomes)
    return TheoremVerdict(
        theorem=theorem,
        method=method,
        verdict=decide(len(satisfied), len(counted)) if can_tell else NOT_MET,
        assumptions=needed,
        outcomes=outcomes,
        lines=tuple(
            _line(theorem, index, experiment, rarity, counted, tolerance, can_tell)
            for index in range(len(theorem.statements) if counted else 0)
        ),
        seeds_holding=len(satisfied),
        num_seeds=len(counted),
        interval=clopper_pearson(len(satisfied), len(counted)),
        onset=_median([outcome.onset for outcome in satisfied]),
        largest_distance=max((outcome.largest_distance for outcome in satisfied), default=float("nan")),
        horizon=None if experiment.until is None else experiment.horizon,
    )


def seed_outcome(
    theorem: Theorem, run: SeedRun, experiment: Experiment, rarity: tuple[Rarity, ...], tolerance: float
) -> SeedOutcome:
    """Judge one run; a run that did not complete satisfies nothing, and a sample without some feature is excluded."""
    judgement, steps = judge(theorem, run.history, experiment.distribution, rarity, tolerance), run.history.steps
    # A flow that ended early, but beyond the horizon, has all records that are judged.
    completed = run.status == "completed" or (run.status == "unfinished" and steps[-1] >= experiment.horizon)

    def step(index: int | None) -> float | None:  # a whole step of descent, or a time of a flow
        return steps[index].item() if completed and index is not None else None

    return SeedOutcome(
        seed=run.seed,
        excluded="; ".join(missing_features(run)) or None,
        satisfied=completed and judgement.onset is not None,
        onset=step(judgement.onset),
        statement_onsets=tuple(step(index) for index in judgement.statement_onsets),
        measured=judgement.measured,
        margins=judgement.margins,
        largest_distance=judgement.largest_distance if completed else float("nan"),
        note=None if completed and not run.oscillating else run.message,
    )


def _line(
    theorem: Theorem,
    index: int,
    experiment: Experiment,
    rarity: tuple[Rarity, ...],
    counted: Sequence[SeedOutcome],
    tolerance: float,
    can_tell: bool,
) -> Line:
    """One statement over the seeds that count."""
    statement = theorem.statements[index]
    values = np.array([outcome.measured[index] for outcome in counted])
    onsets = [onset for outcome in counted if (onset := outcome.statement_onsets[index]) is not None]
    return Line(
        number=statement.number,
        text=statement.text,
        kind=statement.kind,
        measured=float(values.mean()),
        spread=(float(values.min()), float(values.max())),
        predicted=statement.predicted(experiment.distribution, rarity),
        tolerance={"near": tolerance, "vanishing": STATIONARY_NORM}.get(statement.kind),
        margin=float(np.min([outcome.margins[index] for outcome in counted])),
        seeds_holding=len(onsets),
        num_seeds=len(counted),
        onset=_median(onsets),
        verdict=decide(len(onsets), len(counted)) if can_tell else NOT_MET,
    )


def _median(steps: Sequence[float | None]) -> float | None:
    return float(np.median([step for step in steps if step is not None])) if steps else None


def _at_most(distance: float) -> str:
    return f"at most {distance:.2g}" if distance >= 1e-9 else "less than 1e-9"
