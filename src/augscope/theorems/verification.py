"""`verify`: check the theorems on an experiment over several seeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from augscope.model.distribution import Rarity
from augscope.model.methods import Method
from augscope.support.values import check
from augscope.theorems.orders import describe_orders
from augscope.theorems.statements import TOLERANCE, noise_ratio, resolve_rarity, theorem_for
from augscope.theorems.verdicts import HOLDS, VIOLATED, TheoremVerdict, theorem_verdict
from augscope.theorems.windows import TheoremWindow, theorem_window, up_to
from augscope.training.experiment import Experiment
from augscope.training.preparation import Cost, PreparedRuns, prepare_runs
from augscope.training.seed_run import SeedRun


@dataclass(frozen=True)
class Verdict:
    """The result of `verify`: a verdict per theorem, the two orders of the methods, and every history behind them.

    `print` it for the result in words.
    """

    experiment: Experiment
    seeds: tuple[int, ...]
    tolerance: float
    rarity: tuple[Rarity, ...]
    rarity_derived: bool
    noise_ratio: float
    theorems: tuple[TheoremVerdict, ...]
    runs: tuple[SeedRun, ...] = field(repr=False)
    interrupted: bool
    seconds: float
    summary: tuple[str, ...] = ()
    windows: tuple[TheoremWindow, ...] = ()  # one a theorem, where the experiment is a flow

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

    def __str__(self) -> str:
        return "\n".join([*map(str, self.theorems), *map(str, self.windows), *self.summary])


def verify(
    experiment: Experiment,
    seeds: Iterable[int],
    *,
    tolerance: float = TOLERANCE,
    until: float | None = None,
    checkpoint: str | Path | None = None,
    progress: Callable[[str, float], Any] | None = None,
) -> Verdict:
    """Train every method from every seed and check Theorems 3.1–3.3 on the exact results.

    A seed satisfies an accuracy statement when the exact accuracy lies within `tolerance` of the predicted value. Theorems
    3.1 and 3.2 ask for a recorded step from which every statement holds to the end; 3.3 for one at which all hold. Over seeds
    a theorem holds if the 95 % Clopper–Pearson interval of the share of satisfying seeds lies above ½ (8 of 8, say), is
    violated if it lies below, and is inconclusive otherwise. Assumptions are decided before training.

    With `until` (or where the experiment has one) the gradient flow to that time replaces descent. Theorems are judged by its
    records to the time of the descent's last step, and `windows` say from when to when each accuracy statement holds.

    Args:
        experiment: what to run, e.g. `presets.theorem`.
        seeds: distinct non-negative integers, at least one; fewer than 6 are always inconclusive.
        tolerance: in (0, 0.5).
        until: a time above 0, such as 1e12, or None.
        checkpoint: a folder for finished runs and unfinished descents; what it holds of this experiment is not computed
            again. Results have the same bits as without interruption.
        progress: called with (name of the running piece, share done in [0, 1]).

    Raises:
        ValueError: on bad arguments, before any work.

    Cost: seeds × methods descents.

    Example:
        >>> import jax, augscope as ag
        >>> jax.config.update("jax_enable_x64", True)
        >>> quick = ag.presets.theorem.replace(num_samples=150, num_steps=20, methods=(ag.Erm(),))
        >>> print(ag.verify(quick, seeds=[0]).theorems[0].verdict)
        assumptions not met
    """
    return prepare(experiment, seeds, tolerance=tolerance, until=until, checkpoint=checkpoint).run(progress)


@dataclass(frozen=True)
class Verification:
    """A `verify` whose arguments are checked, ready to run; get one from `prepare`. `tolerance` is as for `verify`."""

    runs: PreparedRuns
    tolerance: float

    @property
    def cost(self) -> Cost:
        """The expected cost, measured on some steps of each method."""
        return self.runs.cost

    def run(self, progress: Callable[[str, float], Any] | None = None) -> Verdict:
        """Train and judge; Ctrl-C ends it early, with verdicts on the finished runs."""
        start = time.perf_counter()
        runs, interrupted = self.runs.run(progress)
        seconds = time.perf_counter() - start
        return judge_runs(self.runs.experiment, self.runs.seeds, runs, self.tolerance, interrupted, seconds)


def prepare(
    experiment: Experiment,
    seeds: Iterable[int],
    *,
    tolerance: float = TOLERANCE,
    until: float | None = None,
    checkpoint: str | Path | None = None,
) -> Verification:
    """Check everything that `verify` needs, once and without training; arguments and errors as there."""
    check(0 < tolerance < 0.5, f"`tolerance` must be in (0, 0.5), got {tolerance}")
    experiment = experiment if until is None else experiment.replace(until=until)
    return Verification(prepare_runs(experiment, seeds, checkpoint), tolerance)


def judge_runs(
    experiment: Experiment,
    seeds: tuple[int, ...],
    runs: Sequence[SeedRun],
    tolerance: float,
    interrupted: bool,
    seconds: float,
) -> Verdict:
    """Return the verdicts on finished runs; arguments as in `verify`, whose second half this is."""
    rarity = resolve_rarity(experiment.distribution, experiment.num_samples)
    judged = runs if experiment.until is None else [up_to(run, experiment.horizon) for run in runs]
    pairs = [(theorem, method) for method in experiment.methods if (theorem := theorem_for(method)) is not None]
    theorems = tuple(
        theorem_verdict(theorem, method, experiment, rarity, [run for run in judged if run.method == method], tolerance)
        for theorem, method in pairs
    )
    windows = tuple(
        theorem_window(theorem, experiment, rarity, [run for run in runs if run.method == method], tolerance)
        for theorem, method in pairs
        if experiment.until is not None
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
        seconds=seconds,
        summary=tuple(describe_orders(experiment, judged)),
        windows=windows,
    )
