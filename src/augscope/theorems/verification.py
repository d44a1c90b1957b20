"""`verify`: check the theorems on an experiment over several seeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from augscope.model.arrays import check_precision
from augscope.model.methods import Method
from augscope.support.shown import Shown, data_frame
from augscope.support.threads import one_blas_thread
from augscope.support.values import check
from augscope.theorems.assumptions import noise_ratio
from augscope.theorems.limit import LimitVerdict, judge_limits, run_own_limits
from augscope.theorems.lines import SAMPLE_COLUMNS, sample_rows
from augscope.theorems.orders import describe_orders, judge_orders
from augscope.theorems.samples import FAILS, HOLDS, UNDECIDED
from augscope.theorems.statements import RARITY_TOLERANCE, TOLERANCE, Terms, Theorem, theorem_for
from augscope.theorems.verdicts import VIOLATED, Finding, TheoremVerdict, theorem_verdict
from augscope.theorems.windows import TheoremWindow, theorem_window, up_to
from augscope.training.experiment import Experiment
from augscope.training.preparation import Cost, PreparedRuns, prepare_runs
from augscope.training.seed_run import SeedRun, runs_by_method

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Verdict(Shown):
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
        population: the run of each method in the population, where it was judged there.
        own_limits: runs in samples' own limits.
    """

    terms: Terms
    seeds: tuple[int | None, ...]
    theorems: tuple[TheoremVerdict, ...]
    orders: tuple[Finding, ...]
    runs: tuple[SeedRun, ...]
    interrupted: bool
    seconds: float
    summary: tuple[str, ...] = ()
    windows: tuple[TheoremWindow, ...] = ()
    population: tuple[SeedRun, ...] = ()
    own_limits: tuple[SeedRun, ...] = ()

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

    @property
    def predicted_accuracies(self) -> dict[Method, float]:
        """What the theorems say of the overall accuracy, by method."""
        terms = self.terms
        return {one.method: one.theorem.accuracy.predicted(terms.distribution, terms.rarity) for one in self.theorems}

    def plot(self, axes: Any = None) -> Any:
        """Draw a column a method: features over steps above, exact accuracy below, as the report does.

        Args:
            axes: 2 × methods of matplotlib's axes, in an array or nested lists; by default those of a new figure.

        Returns:
            The axes, as an array of that shape.
        """
        from augscope.support.rendering import axes_grid
        from augscope.training.figures import draw_methods, looks

        methods, population = self.experiment.methods, self.population if self.runs else ()
        groups = runs_by_method(methods, self.runs or self.population)
        grid = axes_grid(axes, 2, len(groups))
        features = looks(self.terms.distribution, self.terms.rarity)
        draw_methods(grid, groups, features, self.predicted_accuracies, runs_by_method(methods, population))
        return grid

    def to_pandas(self) -> pd.DataFrame:
        """Return a row a claim, sample, condition and label: what was measured where tables look, what is required, whether it is true.

        A condition of both labels together, such as a margin, has label 0. Samples that were set aside
        have no rows, nor have claims judged in the limit alone.

        Raises:
            ValueError: if pandas is not installed.
        """
        rows = [row for finding in self.findings for row in sample_rows(finding.name, finding.samples)]
        return data_frame(rows, columns=SAMPLE_COLUMNS)

    def _table(self) -> list[list[str]]:
        rows = [[one.title, one.verdict, one.observed] for one in self.findings]
        return [["claim", "verdict", "how often"], *rows]

    def __repr__(self) -> str:
        return "\n".join([f"Verdict from {len(self.seeds)} seeds", *(f"  {finding!r}" for finding in self.findings)])

    def __str__(self) -> str:
        return "\n".join([*map(str, self.findings), *map(str, self.windows), *self.summary])


def verify(
    experiment: Experiment,
    seeds: Iterable[int],
    *,
    tolerance: float = TOLERANCE,
    rarity_tolerance: float = RARITY_TOLERANCE,
    until: float | None = None,
    own_limits: bool = False,
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
        seeds: distinct non-negative integers; fewer than 6 are always inconclusive. None at all, (), judges the limit alone.
        tolerance: of the overall accuracy, in (0, 0.5).
        rarity_tolerance: of the accuracy on each feature of each label, in (0, 0.5).
        until: a time above 0, such as 1e12, or None.
        own_limits: train in the limits of all samples, not only of those that do not hold.
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
    prepared = prepare(experiment, seeds, **tolerances, until=until, own_limits=own_limits, checkpoint=checkpoint)
    return prepared.run(progress)


@dataclass(frozen=True)
class Verification:
    """A `verify` whose arguments are checked, ready to run; get one from `prepare`.

    Attributes:
        runs: of the experiment, recorded at the judged steps too.
        terms: what they will be judged by.
        own_limits: whether all samples' limits are wanted.
    """

    runs: PreparedRuns
    terms: Terms
    own_limits: bool = False

    @property
    def cost(self) -> Cost:
        """The expected cost, measured on some steps of each method."""
        besides = (
            "what compiling, measuring and the limits take (the population's, and those of samples that do not hold)"
        )
        return replace(self.runs.cost, besides=besides)

    def run(self, progress: Callable[[str, float], Any] | None = None) -> Verdict:
        """Train and judge; Ctrl-C ends it early, with verdicts on the finished runs."""
        start = time.perf_counter()
        if progress is not None:
            progress("the limit", 0.0)
        limits, runs, interrupted = self._run_beside_limits(progress)
        judged = partial(judge_runs, self.terms, self.runs.seeds, runs, limits=limits)
        verdict = judged(interrupted, seconds=time.perf_counter() - start)
        if interrupted or self.terms.experiment.is_limit:
            return verdict
        own, interrupted = run_own_limits(self.terms.experiment, self._wanted_limits(verdict), progress)
        return judged(interrupted, seconds=time.perf_counter() - start, own_limits=own)

    def _run_beside_limits(
        self, progress: Callable[[str, float], Any] | None
    ) -> tuple[dict[Method, tuple[LimitVerdict, SeedRun]] | None, list[SeedRun], bool]:
        """Judge the limit in a thread of its own while the runs are made; an error of either ends both, Ctrl-C gives the limit up."""

        def report(label: str, share: float) -> None:
            if limits.done():
                limits.result()  # its error
            if progress is not None:
                progress(label, share)

        thread = ThreadPoolExecutor(1)
        with one_blas_thread():
            limits = thread.submit(judge_limits, theorems_on(self.terms.experiment), self.terms)
            thread.shutdown(wait=False)
            runs, interrupted = self.runs.run(report)
            try:
                if not interrupted:
                    report("the limit", 1.0)
                    limits.result()
            except KeyboardInterrupt:
                interrupted = True
        return limits.result() if limits.done() else None, runs, interrupted

    def _wanted_limits(self, verdict: Verdict) -> dict[Method, list[int | None]]:
        """Of which samples the own limits are wanted: those that do not hold, or all."""
        kinds = (FAILS, UNDECIDED, HOLDS) if self.own_limits else (FAILS, UNDECIDED)
        return {
            one.method: [sample.seed for sample in one.samples if sample.verdict in kinds]
            for one in verdict.theorems
            if one.limit is not None
        }


def prepare(
    experiment: Experiment,
    seeds: Iterable[int],
    *,
    tolerance: float = TOLERANCE,
    rarity_tolerance: float = RARITY_TOLERANCE,
    until: float | None = None,
    own_limits: bool = False,
    checkpoint: str | Path | None = None,
) -> Verification:
    """Check everything that `verify` needs, once and without training; arguments and errors as there."""
    check(0 < tolerance < 0.5, f"`tolerance` must be in (0, 0.5), got {tolerance}")
    check(0 < rarity_tolerance < 0.5, f"`rarity_tolerance` must be in (0, 0.5), got {rarity_tolerance}")
    check(
        not experiment.is_population,
        "`coordinates` must not be 'population' for a verification, which judges the population in any case: "
        "leave out the `seeds` (none) to judge it alone",
    )
    experiment = experiment if until is None else experiment.replace(until=until)
    judged = experiment.with_judged_steps()
    methods = [method for _, method in theorems_on(experiment)]
    if methods:
        experiment.in_population(methods).check_memory()
    if seeds == ():  # an empty list may be an accident
        check(bool(methods), "`seeds` must hold at least one seed where no method has a theorem, got none")
        check_precision(np.float64)
        experiment.in_population(experiment.methods)  # refuses a method that takes no probabilities
        prepared = PreparedRuns(judged, (), None)
    else:
        prepared = prepare_runs(judged, seeds, checkpoint)
    return Verification(prepared, Terms(experiment, tolerance, rarity_tolerance), own_limits)


def theorems_on(experiment: Experiment) -> list[tuple[Theorem, Method]]:
    """Return the methods that have a theorem, each with it."""
    return [(theorem, method) for method in experiment.methods if (theorem := theorem_for(method)) is not None]


def judge_runs(
    terms: Terms,
    seeds: tuple[int | None, ...],
    runs: Sequence[SeedRun],
    interrupted: bool,
    seconds: float,
    *,
    limits: Mapping[Method, tuple[LimitVerdict, SeedRun]] | None = None,
    own_limits: Sequence[SeedRun] = (),
) -> Verdict:
    """Return the verdicts on finished runs; arguments as in `Verdict`. What was recorded is judged, the judged steps or not.

    `limits` are those of `judge_limits`, `own_limits` runs in the limits of some samples.
    """
    experiment, limits = terms.experiment, limits or {}
    judged = runs if experiment.until is None else [up_to(run, terms.end) for run in runs]
    pairs = theorems_on(experiment)
    return Verdict(
        terms=terms,
        seeds=seeds,
        theorems=tuple(
            theorem_verdict(
                theorem,
                method,
                terms,
                _of(method, judged),
                limits[method][0] if method in limits else None,
                _of(method, own_limits),
            )
            for theorem, method in pairs
        ),
        orders=judge_orders(terms, judged) if runs else (),
        runs=tuple(runs),
        interrupted=interrupted,
        seconds=seconds,
        summary=(*describe_orders(experiment, judged), *([] if runs else _without_theorem(experiment))),
        windows=tuple(
            theorem_window(pair[0], terms, _of(pair[1], runs))
            for pair in pairs
            if experiment.until is not None and runs
        ),
        population=tuple(run for _, run in limits.values()),
        own_limits=tuple(own_limits),
    )


def _without_theorem(experiment: Experiment) -> list[str]:
    """Name the methods that were left out where theorems alone are judged, in the limit."""
    titles = [method.title for method in experiment.methods if theorem_for(method) is None]
    command = "`augscope train --coordinates population`"
    return [f"No theorem speaks of {', '.join(titles)}: what is learned there shows {command}."] if titles else []


def _of(method: Method, runs: Sequence[SeedRun]) -> list[SeedRun]:
    return [run for run in runs if run.method == method]
