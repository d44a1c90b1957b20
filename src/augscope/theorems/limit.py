"""A theorem in the high-dimensional limit: the windows of steps in which its statements hold, exactly (model.md §5, §8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import inf, log
from typing import Any

import numpy as np
from jaxtyping import Bool

from augscope.model.dataset import Limit
from augscope.model.methods import Method
from augscope.support.plain_data import plain
from augscope.support.threads import one_blas_thread
from augscope.theorems.samples import FAILS, HOLDS
from augscope.theorems.statements import Terms, Theorem
from augscope.training.coefficients import geometry
from augscope.training.experiment import Experiment
from augscope.training.flow import MAX_EVALUATIONS
from augscope.training.flow_solver import FlowSolver, Tolerances
from augscope.training.loop import Loop
from augscope.training.problem import Problem
from augscope.training.seed_run import SeedRun
from augscope.training.seeds import run_seeds
from augscope.training.watched import Change, Measured, WatchedDescent, Watcher, watch_flow

LAST_STEP = 1e12  # to which the flow is followed after the descent, in steps
TOLERANCES = Tolerances(1e-6, 1e-7)  # of that flow, as in `flow`
ROUNDING = 1e-9  # of the overall accuracy, a sum of the exact ones on features
INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class LimitVerdict:
    """A theorem in the population. `print` it for the result in a sentence.

    Attributes:
        windows: (first step, step at which it ends) of each stretch in which every statement is true, in order; None where it has
            not ended by `last`. Of a flow times.
        end: T.
        lasting: whether the theorem asks for all of [T/2, T] (3.1, 3.2), or for one step (3.3).
        last: the step or time to which it was followed.
        trouble: why it was not followed to 10¹², or "".
        unit: "step" or "t =".
    """

    windows: tuple[tuple[float, float | None], ...]
    end: float
    lasting: bool
    last: float
    trouble: str = ""
    unit: str = "step"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields ready for JSON, for `from_dict`; with the verdict and its sentence, for a reader."""
        return {**plain(vars(self)), "verdict": self.verdict, "sentence": str(self)}

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> LimitVerdict:
        """Return what `to_dict` wrote down. Raises KeyError or ValueError where something else did."""
        fields = {name: written[name] for name in ("end", "lasting", "last", "trouble", "unit")}
        windows = tuple(
            (float(opens), None if closes is None else float(closes)) for opens, closes in written["windows"]
        )
        return cls(windows=windows, **fields)

    @property
    def longest(self) -> tuple[float, float | None] | None:
        """[T_m, T_end], the longest window in log t, with T_end ≥ 2 T_m; None where there is none."""
        counted = [one for one in self.windows if self._length(one) >= log(2)]
        return max(counted, key=self._length, default=None)

    def _length(self, window: tuple[float, float | None]) -> float:
        opens, closes = window
        return inf if closes is None else log(closes / opens)

    @property
    def onset(self) -> float | None:
        """T_m: where the longest window begins; of 3.3 the first step at which all three statements hold."""
        if not self.lasting:
            return self.windows[0][0] if self.windows else None
        return None if self.longest is None else self.longest[0]

    @property
    def verdict(self) -> str:
        """Return "holds", "fails" or "inconclusive"."""
        if self.onset is None:
            return INCONCLUSIVE if self.trouble else FAILS
        if not self.lasting:
            return HOLDS if self.onset <= self.end else INCONCLUSIVE
        closes = inf if self.longest is None or self.longest[1] is None else self.longest[1]
        if self.end > closes:
            return FAILS
        return HOLDS if self.end >= 2 * self.onset else INCONCLUSIVE

    @property
    def text(self) -> str:
        """The result in a few words: "holds from step 323 to 3.4e+11"."""
        if self.onset is None:
            return self.verdict + (
                f", {self.trouble}" if self.trouble else f", at no {self._name} up to {self._text(self.last)}"
            )
        if not self.lasting:
            return f"{self.verdict}, all three first true at {self.unit} {self._text(self.onset)}"
        assert self.longest is not None
        if self.verdict == FAILS:
            return f"{self.verdict}, ended at {self.unit} {self._end_text(self.longest[1])}"
        if self.verdict == INCONCLUSIVE:
            return f"{self.verdict}, begins at {self.unit} {self._text(self.onset)}"
        return f"{self.verdict} from {self.unit} {self._text(self.onset)} to {self._end_text(self.longest[1])}"

    @property
    def _name(self) -> str:
        return "step" if self.unit == "step" else "time"

    def _end_text(self, closes: float | None) -> str:
        return f"beyond {self._text(self.last)}" if closes is None else self._text(closes)

    def _text(self, time: float) -> str:
        if time >= 1e6:
            return f"{time:.3g}"
        return f"{time:,.0f}" if self.unit == "step" else f"{time:,.4g}"

    def __str__(self) -> str:
        return " ".join([f"In the limit: {self.text}.", *self.details])

    @property
    def details(self) -> list[str]:
        """What else is to be said: all windows where they are several, or end; and why it was not followed further."""
        texts = []
        if len(self.windows) > 1 or (not self.lasting and self.windows and self.windows[0][1] is not None):
            spans = ", ".join(f"{self._text(opens)} to {self._end_text(closes)}" for opens, closes in self.windows)
            texts.append(f"In the limit every statement is true from {self.unit} {spans}.")
        if self.trouble and self.onset is not None:
            texts.append(f"It was not followed further: {self.trouble}.")
        return texts


def judge_limit(theorem: Theorem, method: Method, terms: Terms) -> tuple[LimitVerdict, SeedRun]:
    """Return a theorem's verdict in the population, and the population's run with the records of the experiment.

    The statements are asked at every step to T, without tolerance, and then along the flow from W(T) to 10¹² steps; for a flow,
    along the flow from 0 to 10¹², or to its end if that is later.

    Raises:
        ValueError: where the method takes no probabilities, or there are more types of point than fit.

    Cost: at `presets.theorem` less than a second a method once compiled.
    """
    experiment = terms.experiment.with_judged_steps().in_population((method,))
    dataset = experiment.sample(None)
    assert isinstance(dataset, Limit)
    watcher = Watcher(dataset, lambda rows: _all_true(theorem, terms, rows))
    problem = Problem(geometry(dataset), experiment.network, (method,), experiment.step_size)
    if experiment.until is not None:
        run, begin, last, scale = experiment.run(method, dataset), None, max(LAST_STEP, experiment.until), 1.0
    else:
        descent = WatchedDescent(problem, experiment.num_steps, watcher)
        assert experiment.record_at is not None
        run = Loop(descent, [dataset], experiment.record_at).finish()[0]
        scale = experiment.step_size
        begin, last = (experiment.num_steps * scale, descent.state.point.coefficients), LAST_STEP
    if run.status in ("diverged", "interrupted"):
        verdict = LimitVerdict(_windows(watcher.changes, 1.0), terms.end, theorem.lasting, terms.end, run.message)
        return verdict, SeedRun.of(None, run)
    solver = FlowSolver(
        Problem(problem.data, experiment.network, (method,), 0.0), last * scale, TOLERANCES, MAX_EVALUATIONS, begin
    )
    num_before = len(watcher.changes)
    watch_flow(solver, watcher)
    after = [change._replace(at=change.at / scale) for change in watcher.changes[num_before:]]
    changes = [*watcher.changes[:num_before], *after]
    trouble = "" if solver.trouble is None else f"the flow's solver stopped {solver.trouble}"
    unit = "step" if experiment.until is None else "t ="
    reached = last if solver.trouble is None else solver.here.time / scale
    windows = _windows(changes, min(1.0, changes[0].at) if changes else 1.0)
    return LimitVerdict(windows, terms.end, theorem.lasting, reached, trouble, unit), SeedRun.of(None, run)


def judge_limits(pairs: Sequence[tuple[Theorem, Method]], terms: Terms) -> dict[Method, tuple[LimitVerdict, SeedRun]]:
    """Return `judge_limit` of each theorem and method, side by side: compiling takes most of the time."""
    if not pairs:
        return {}
    with one_blas_thread(), ThreadPoolExecutor(len(pairs)) as threads:
        jobs = {method: threads.submit(judge_limit, theorem, method, terms) for theorem, method in pairs}
    return {method: job.result() for method, job in jobs.items()}


def run_own_limits(
    experiment: Experiment,
    seeds_of: Mapping[Method, Sequence[int | None]],
    progress: Callable[[str, float], Any] | None = None,
) -> tuple[list[SeedRun], bool]:
    """Train each method on the limits of these seeds' samples, recorded as the experiment is at its judged steps.

    Returns:
        The runs that finished, and whether Ctrl-C ended it early.
    """

    def report(run: str, _: float) -> None:
        if progress is not None:
            progress(f"{run}, the limit", 1.0)

    runs = []
    for method, seeds in seeds_of.items():
        own = experiment.with_judged_steps().replace(
            coordinates="limit", frame="standard", sampling=None, methods=(method,)
        )
        made, interrupted = run_seeds(own, seeds, report)
        runs += [run for run in made if run.status != "interrupted"]
        if interrupted:
            return runs, True
    return runs, False


def _all_true(theorem: Theorem, terms: Terms, rows: Measured) -> Bool[np.ndarray, " R"]:
    """B(t), without tolerance: the accuracies are exactly 1, ½ or 0."""
    exact = Terms(terms.experiment, ROUNDING, 0.0)
    conditions = [one for statement in theorem.statements for one in statement.conditions(rows, exact)]
    return np.all([condition.true for condition in conditions], axis=0)


def _windows(changes: Sequence[Change], least: float) -> tuple[tuple[float, float | None], ...]:
    """The stretches in which the condition is true, from the step `least` on; a window ends at the step at which it is false."""
    opens = [max(float(change.at), least) for change in changes if change.true]
    closes: list[float | None] = [float(change.at) for change in changes if not change.true]
    pairs = zip(opens, [*closes, None], strict=False)
    return tuple((first, last) for first, last in pairs if last is None or last > first)
