"""`verify`: check the theorems on an experiment over several seeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from augscope.model.methods import Method
from augscope.support.values import check
from augscope.theorems.assumptions import noise_ratio
from augscope.theorems.orders import describe_orders, judge_orders
from augscope.theorems.samples import HOLDS
from augscope.theorems.statements import RARITY_TOLERANCE, TOLERANCE, Terms, theorem_for
from augscope.theorems.verdicts import VIOLATED, Finding, TheoremVerdict, theorem_verdict
from augscope.theorems.windows import TheoremWindow, theorem_window, up_to
from augscope.training.experiment import Experiment
from augscope.training.preparation import Cost, PreparedRuns, prepare_runs
from augscope.training.seed_run import SeedRun


@dataclass(frozen=True)
class Verdict:
    """The result of `verify`: a verdict per theorem and order of methods, and every history behind them.

    `print` it for the result in words.

    Attributes:
        terms: what was judged: the experiment and the tolerances, with the features' rarity.
        seeds: of the runs.
        theorems: a verdict each, with `.verdict`, `.samples_holding`, `.samples_failing`, `.samples_undecided`.
        orders: of ERM, Cutout and CutMix by features learned and by accuracy, likewise; none where no two are compared.
        runs: every history.
        interrupted: whether Ctrl-C ended it.
        seconds: of training and measuring.
        summary: all methods in order of their means, in words.
        windows: one a theorem, where the experiment is a flow.
    """

    terms: Terms
    seeds: tuple[int | None, ...]
    theorems: tuple[TheoremVerdict, ...]
    orders: tuple[Finding, ...]
    runs: tuple[SeedRun, ...] = field(repr=False)
    interrupted: bool
    seconds: float
    summary: tuple[str, ...] = ()
    windows: tuple[TheoremWindow, ...] = ()

    @property
    def experiment(self) -> Experiment:
        """What was run."""
        return self.terms.experiment

    @property
    def rarity_derived(self) -> bool:
        """Whether the features' rarity was not stated."""
        return self.terms.distribution.rarity is None

    @property
    def noise_ratio(self) -> float:
        """κ, see `noise_ratio`."""
        return noise_ratio(self.terms.distribution, self.experiment.num_samples)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that has a verdict: the theorems, then the orders."""
        return (*self.theorems, *self.orders)

    @property
    def exit_status(self) -> int:
        """0 if every theorem and order holds, 1 if one is violated, 3 if one is inconclusive or its assumptions are not met."""
        verdicts = [finding.verdict for finding in self.findings]
        if VIOLATED in verdicts:
            return 1
        return 0 if verdicts and all(verdict == HOLDS for verdict in verdicts) and not self.interrupted else 3

    def of(self, method: Method) -> list[SeedRun]:
        """Return the runs of one method."""
        return _of(method, self.runs)

    def __str__(self) -> str:
        return "\n".join([*map(str, self.findings), *map(str, self.windows), *self.summary])


def verify(
    experiment: Experiment,
    seeds: Iterable[int],
    *,
    tolerance: float = TOLERANCE,
    rarity_tolerance: float = RARITY_TOLERANCE,
    until: float | None = None,
    checkpoint: str | Path | None = None,
    progress: Callable[[str, float], Any] | None = None,
) -> Verdict:
    """Train every method from every seed and check Theorems 3.1–3.3 on the exact results.

    A statement on accuracy is true where the exact overall accuracy lies within `tolerance` of its prediction, and the
    accuracy on each feature of each label within `rarity_tolerance` of what the theorem says. In one sample Theorems 3.1 and
    3.2 hold if all their statements are true on all of [T/2, T], 3.3 if they are true together at some step; a sample in which
    training, or an accuracy, is still on its way is undecided. Over samples a theorem holds if at least half do and the 95 %
    Clopper–Pearson interval of the share that holds, of those decided, lies above ½ (6 of 6, say); it is violated if that of
    the failing among all does. The order ERM < Cutout < CutMix is judged likewise. The whole rule is in docs/model.md.

    Besides the steps in `record_at`, T/2, T and seven steps between are recorded and judged.

    With `until` (or where the experiment has one) the gradient flow to that time replaces descent. Theorems are judged by its
    records to the time of the descent's last step, and `windows` say from when to when each overall accuracy is as predicted.

    Args:
        experiment: what to run, e.g. `presets.theorem`.
        seeds: distinct non-negative integers, at least one; fewer than 6 are always inconclusive.
        tolerance: of the overall accuracy, in (0, 0.5).
        rarity_tolerance: of the accuracy on each feature of each label, in (0, 0.5).
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
        >>> erm = ag.verify(quick, seeds=[0]).theorems[0]
        >>> erm.verdict, erm.samples_holding, erm.samples_failing, erm.samples_undecided
        ('inconclusive', 0, 0, 1)
    """
    tolerances = {"tolerance": tolerance, "rarity_tolerance": rarity_tolerance}
    return prepare(experiment, seeds, **tolerances, until=until, checkpoint=checkpoint).run(progress)


@dataclass(frozen=True)
class Verification:
    """A `verify` whose arguments are checked, ready to run; get one from `prepare`.

    Attributes:
        runs: of the experiment, recorded at the judged steps too.
        terms: what they will be judged by.
    """

    runs: PreparedRuns
    terms: Terms

    @property
    def cost(self) -> Cost:
        """The expected cost, measured on some steps of each method."""
        return self.runs.cost

    def run(self, progress: Callable[[str, float], Any] | None = None) -> Verdict:
        """Train and judge; Ctrl-C ends it early, with verdicts on the finished runs."""
        start = time.perf_counter()
        runs, interrupted = self.runs.run(progress)
        seconds = time.perf_counter() - start
        return judge_runs(self.terms, self.runs.seeds, runs, interrupted, seconds)


def prepare(
    experiment: Experiment,
    seeds: Iterable[int],
    *,
    tolerance: float = TOLERANCE,
    rarity_tolerance: float = RARITY_TOLERANCE,
    until: float | None = None,
    checkpoint: str | Path | None = None,
) -> Verification:
    """Check everything that `verify` needs, once and without training; arguments and errors as there."""
    check(0 < tolerance < 0.5, f"`tolerance` must be in (0, 0.5), got {tolerance}")
    check(0 < rarity_tolerance < 0.5, f"`rarity_tolerance` must be in (0, 0.5), got {rarity_tolerance}")
    experiment = experiment if until is None else experiment.replace(until=until)
    prepared = prepare_runs(experiment.with_judged_steps(), seeds, checkpoint)
    return Verification(prepared, Terms(experiment, tolerance, rarity_tolerance))


def judge_runs(
    terms: Terms, seeds: tuple[int | None, ...], runs: Sequence[SeedRun], interrupted: bool, seconds: float
) -> Verdict:
    """Return the verdicts on finished runs; arguments as in `Verdict`. What was recorded is judged, the judged steps or not."""
    experiment = terms.experiment
    judged = runs if experiment.until is None else [up_to(run, terms.end) for run in runs]
    pairs = [(theorem, method) for method in experiment.methods if (theorem := theorem_for(method)) is not None]
    return Verdict(
        terms=terms,
        seeds=seeds,
        theorems=tuple(theorem_verdict(*pair, terms, _of(pair[1], judged)) for pair in pairs),
        orders=judge_orders(terms, judged),
        runs=tuple(runs),
        interrupted=interrupted,
        seconds=seconds,
        summary=tuple(describe_orders(experiment, judged)),
        windows=tuple(
            theorem_window(pair[0], terms, _of(pair[1], runs)) for pair in pairs if experiment.until is not None
        ),
    )


def _of(method: Method, runs: Sequence[SeedRun]) -> list[SeedRun]:
    return [run for run in runs if run.method == method]
