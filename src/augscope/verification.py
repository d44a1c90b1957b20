"""`verify`: an experiment over several seeds, held against the theorems, with confidence."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import beta

from augscope.descent import Run
from augscope.distribution import Rarity
from augscope.experiment import Experiment
from augscope.measures import History, features_learned
from augscope.methods import Method
from augscope.sampling import Dataset
from augscope.theorems import (
    STATIONARY_NORM,
    TOLERANCE,
    Assumption,
    SeedOutcome,
    Theorem,
    assumptions,
    judge,
    noise_ratio,
    resolve_rarity,
    theorem_for,
)
from augscope.validation import check, check_precision

HOLDS, VIOLATED, INCONCLUSIVE, NOT_MET = "holds", "violated", "inconclusive", "assumptions not met"
CONFIDENCE = 0.95


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


@dataclass(frozen=True)
class Line:
    """One statement over all seeds: what the verdict table prints."""

    number: str
    text: str
    kind: str
    measured: float  # mean over seeds
    spread: tuple[float, float]  # smallest and largest over seeds
    predicted: float
    tolerance: float | None  # for accuracies
    margin: float  # how much room is left, in the seed that has least
    seeds_holding: int
    num_seeds: int
    onset: float | None  # median step over the seeds where it holds
    verdict: str


@dataclass(frozen=True)
class TheoremVerdict:
    """One theorem over all seeds."""

    theorem: Theorem
    method: Method
    verdict: str
    assumptions: tuple[Assumption, ...]
    outcomes: tuple[SeedOutcome, ...]
    lines: tuple[Line, ...]
    seeds_holding: int
    num_seeds: int
    interval: tuple[float, float]  # Clopper–Pearson for the share of seeds
    onset: float | None  # median T_m (3.3: median last step at which all hold)
    largest_distance: float  # of the accuracy from its prediction, over seeds and [T_m, T]


@dataclass(frozen=True)
class Verdict:
    """What `verify` found: a verdict per theorem, the two orders of the methods, and every history behind them."""

    experiment: Experiment
    seeds: tuple[int, ...]
    tolerance: float
    rarity: tuple[Rarity, ...]
    rarity_derived: bool
    noise_ratio: float
    theorems: tuple[TheoremVerdict, ...]
    runs: tuple[SeedRun, ...]
    interrupted: bool
    seconds: float
    summary: tuple[str, ...] = field(default=())

    @property
    def exit_status(self) -> int:
        """0 if every theorem holds, 1 if one is violated, 3 if one is inconclusive or its assumptions are not met."""
        verdicts = [theorem.verdict for theorem in self.theorems]
        if VIOLATED in verdicts:
            return 1
        return 0 if verdicts and all(verdict == HOLDS for verdict in verdicts) and not self.interrupted else 3

    def of(self, method: Method) -> list[SeedRun]:
        """Return the runs of one method."""
        return [run for run in self.runs if run.method == method]


def clopper_pearson(successes: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the exact two-sided confidence interval of a share.

    Example:
        >>> from augscope.verification import clopper_pearson
        >>> [round(end, 4) for end in clopper_pearson(8, 8)]
        [0.6306, 1.0]
    """
    if trials == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, successes, trials - successes + 1)) if successes else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, trials - successes)) if successes < trials else 1.0
    return low, high


def decide(successes: int, trials: int) -> str:
    """Return "holds" if the 95 % interval of the share lies above ½, "violated" if below, else "inconclusive"."""
    low, high = clopper_pearson(successes, trials)
    return HOLDS if low > 0.5 else VIOLATED if high < 0.5 else INCONCLUSIVE


def verify(
    experiment: Experiment,
    seeds: Iterable[int],
    *,
    tolerance: float = TOLERANCE,
    progress: Callable[[str, float], Any] | None = None,
) -> Verdict:
    """Train every method from every seed and hold Theorems 3.1–3.3 against the exact results.

    A seed satisfies an accuracy statement when the exact accuracy lies within `tolerance` of the predicted value. Theorems
    3.1 and 3.2 ask for a recorded step from which every statement holds to the end; 3.3 for one at which all hold. Over seeds
    a theorem holds if the 95 % Clopper–Pearson interval of the share of satisfying seeds lies above ½ (8 of 8, say), is
    violated if it lies below, and is inconclusive otherwise. Assumptions are decided before training.

    Args:
        experiment: what to run, e.g. `presets.theorem`.
        seeds: distinct non-negative integers, at least one; 6 are the fewest that can decide.
        tolerance: in (0, 0.5).
        progress: called with (what is running, share done in [0, 1]).

    Raises:
        ValueError: on bad arguments, before any work.

    Cost: seeds × methods descents.

    Example:
        >>> import jax, augscope as ag
        >>> jax.config.update("jax_enable_x64", True)
        >>> quick = ag.presets.theorem.replace(num_samples=150, num_steps=20, methods=(ag.Erm(),))
        >>> verdict = ag.verify(quick, seeds=[0])
        >>> [theorem.verdict for theorem in verdict.theorems]
        ['assumptions not met']
    """
    seeds = checked_seeds(seeds)
    check(0 < tolerance < 0.5, f"`tolerance` must be in (0, 0.5), got {tolerance}")
    check_precision(np.float64)
    experiment.check_memory()
    begun = time.perf_counter()
    rarity = resolve_rarity(experiment.distribution, experiment.num_samples)
    runs, interrupted = run_seeds(experiment, seeds, progress)
    theorems = tuple(
        _theorem_verdict(theorem, method, experiment, rarity, [run for run in runs if run.method == method], tolerance)
        for method in experiment.methods
        if (theorem := theorem_for(method)) is not None
    )
    return Verdict(
        experiment=experiment,
        seeds=seeds,
        tolerance=tolerance,
        rarity=rarity,
        rarity_derived=experiment.distribution.rarity is None,
        noise_ratio=noise_ratio(experiment.distribution, experiment.num_samples),
        theorems=theorems,
        runs=tuple(runs),
        interrupted=interrupted,
        seconds=time.perf_counter() - begun,
        summary=tuple(summarise(experiment, runs)),
    )


def checked_seeds(seeds: Iterable[int]) -> tuple[int, ...]:
    """Return the seeds as a tuple. Raises ValueError unless they are distinct non-negative integers, at least one."""
    seeds = tuple(seeds)
    check(len(seeds) >= 1, "`seeds` must hold at least one seed, got none")
    check(
        all(isinstance(seed, (int, np.integer)) and not isinstance(seed, bool) and 0 <= seed < 2**63 for seed in seeds),
        f"`seeds` must be non-negative integers, got {list(seeds)}",
    )
    check(len(set(seeds)) == len(seeds), f"`seeds` must differ from each other, got {list(seeds)}")
    return tuple(int(seed) for seed in seeds)


def run_seeds(
    experiment: Experiment, seeds: Sequence[int], progress: Callable[[str, float], Any] | None = None
) -> tuple[list[SeedRun], bool]:
    """Train every method from every seed, in order; return what was finished and whether Ctrl-C ended it early."""
    runs: list[SeedRun] = []
    total = len(seeds) * len(experiment.methods)
    try:
        for seed in seeds:
            dataset: Dataset = experiment.sample(seed)
            for method in experiment.methods:
                report = _reporter(progress, f"{method.title}, seed {seed}", len(runs), total, experiment.num_steps)
                run = experiment.run(method, dataset, report)
                runs.append(SeedRun.of(seed, run))
                if run.status == "interrupted":
                    return runs, True
    except KeyboardInterrupt:  # between two runs
        return runs, True
    return runs, False


def _reporter(progress: Any, what: str, done: int, total: int, num_steps: int) -> Callable[[int, float], None] | None:
    if progress is None:
        return None
    return lambda step, loss: progress(what, (done + step / num_steps) / total)


def _theorem_verdict(
    theorem: Theorem,
    method: Method,
    experiment: Experiment,
    rarity: tuple[Rarity, ...],
    runs: list[SeedRun],
    tolerance: float,
) -> TheoremVerdict:
    needed = tuple(assumptions(method, experiment.distribution, rarity, experiment.num_samples))
    outcomes = tuple(_outcome(theorem, run, experiment, rarity, tolerance) for run in runs if len(run.history.steps))
    counted = [outcome for outcome in outcomes if outcome.excluded is None]
    holding = sum(outcome.satisfied for outcome in counted)
    all_met = all(row.met for row in needed)
    verdict = decide(holding, len(counted)) if all_met and (counted or not outcomes) else NOT_MET
    lines = tuple(
        _line(theorem, index, experiment, rarity, counted, tolerance, all_met)
        for index in range(len(theorem.statements) if counted else 0)
    )
    onsets = [outcome.onset for outcome in counted if outcome.onset is not None]
    distances = [outcome.largest_distance for outcome in counted if outcome.onset is not None]
    return TheoremVerdict(
        theorem=theorem,
        method=method,
        verdict=verdict,
        assumptions=needed,
        outcomes=outcomes,
        lines=lines,
        seeds_holding=holding,
        num_seeds=len(counted),
        interval=clopper_pearson(holding, len(counted)),
        onset=float(np.median(onsets)) if onsets else None,
        largest_distance=max(distances, default=float("nan")),
    )


def _outcome(
    theorem: Theorem, run: SeedRun, experiment: Experiment, rarity: tuple[Rarity, ...], tolerance: float
) -> SeedOutcome:
    """Judge one run; a run that did not complete satisfies nothing, and a sample without some feature is excluded."""
    missing = [
        f"seed {run.seed}: no point with label {label} carries feature {k + 1}"
        for label, counts in zip(("+1", "−1"), run.feature_counts, strict=True)
        for k, count in enumerate(counts)
        if count == 0
    ]
    onset, alone, measured, largest = judge(theorem, run.history, experiment.distribution, rarity, tolerance)
    steps = run.history.steps

    def step(index: int | None) -> int | None:
        return None if index is None else int(steps[index])

    return SeedOutcome(
        seed=run.seed,
        excluded="; ".join(missing) or None,
        satisfied=onset is not None and run.status == "completed",
        onset=step(onset),
        statement_onsets=tuple(step(index) for index in alone),
        measured=measured,
        largest_distance=largest,
        note=None if run.status == "completed" and not run.oscillating else run.message,
    )


def _line(
    theorem: Theorem,
    index: int,
    experiment: Experiment,
    rarity: tuple[Rarity, ...],
    counted: list[SeedOutcome],
    tolerance: float,
    all_met: bool,
) -> Line:
    """One statement over the seeds that count."""
    statement = theorem.statements[index]
    values = np.array([outcome.measured[index] for outcome in counted])
    predicted = statement.predicted(experiment.distribution, rarity)
    room = {"near": tolerance - np.abs(values - predicted), "above": values - predicted}.get(
        statement.kind, STATIONARY_NORM - values
    )
    onsets = [onset for outcome in counted if (onset := outcome.statement_onsets[index]) is not None]
    return Line(
        number=statement.number,
        text=statement.text,
        kind=statement.kind,
        measured=float(values.mean()),
        spread=(float(values.min()), float(values.max())),
        predicted=predicted,
        tolerance={"near": tolerance, "vanishing": STATIONARY_NORM}.get(statement.kind),
        margin=float(room.min()),
        seeds_holding=len(onsets),
        num_seeds=len(counted),
        onset=float(np.median(onsets)) if onsets else None,
        verdict=decide(len(onsets), len(counted)) if all_met else NOT_MET,
    )


def summarise(experiment: Experiment, runs: Sequence[SeedRun]) -> list[str]:
    """Return sentences that order the methods by features learned and by accuracy, and say where the two orders differ."""
    by_method: dict[Method, list[SeedRun]] = {
        method: mine
        for method in experiment.methods
        if (mine := [run for run in runs if run.method == method and len(run.history.steps)])
    }
    if len(by_method) < 2:
        return []
    learned = {
        m: float(np.mean([features_learned(r.history.feature_scores[-1]).sum() for r in mine]))
        for m, mine in by_method.items()
    }
    accuracy = {m: float(np.mean([r.history.accuracy[-1] for r in mine])) for m, mine in by_method.items()}
    by_features, by_accuracy = sorted(learned, key=learned.__getitem__), sorted(accuracy, key=accuracy.__getitem__)
    num_features = experiment.distribution.num_features
    lines = [
        "By features learned: " + _chain(by_features, learned, "{:.3g}") + f" (of {num_features}).",
        "By test accuracy: " + _chain(by_accuracy, accuracy, "{:.4f}") + ".",
    ]
    inversions = [
        (better, worse)
        for better in by_features
        for worse in by_features
        if learned[better] > learned[worse] + 0.5 and accuracy[better] < accuracy[worse]
    ]
    if inversions:
        kappa = noise_ratio(experiment.distribution, experiment.num_samples)
        pairs = "; ".join(f"{b.title} learns more features than {w.title} yet predicts worse" for b, w in inversions)
        lines.append(
            f"The two orders differ: {pairs}. Learning every feature evenly leaves each with a small score, and test noise is "
            f"κ = {kappa:.2g} of CutMix's plateau here (κ² = (n/d)(1 + (P−2)σ_d²/σ_b²)): not small, so noise flips signs. "
            "The accuracy of Theorem 3.3 needs κ ≪ 1, that is a dimension far above n(P−2)σ_d²/σ_b²."
        )
    else:
        lines.append("The two orders agree.")
    return lines


def _chain(order: list[Method], values: dict[Method, float], pattern: str) -> str:
    """ "ERM (1) < Cutout (2) = …" in increasing order."""
    text = ""
    for before, method in zip([None, *order], order, strict=False):
        shown = pattern.format(values[method])
        if before is not None:
            text += " = " if pattern.format(values[before]) == shown else " < "
        text += f"{method.title} ({shown})"
    return text
