"""Gradient flow dW/dt = −∇L(W) with error control, to times that no step-by-step loop reaches."""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import expm1, isfinite, log1p
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from augscope import chebyshev_steps, dual
from augscope.descent import Run
from augscope.measures import Recorder
from augscope.methods import Method
from augscope.methods.base import check_method
from augscope.network import BaseNetwork
from augscope.sampling import Dataset
from augscope.validation import check, check_positive

RECORDS_PER_DECADE = 8
FIRST_RECORD = 0.1  # the first recorded time after 0
FIRST_LOG_STEP = 1e-3  # tried first; error control corrects it within a few steps
SMALLEST_LOG_STEP = 1e-12  # below, rounding of log(1+t) itself is no longer small: the tolerances cannot be met
MAX_EVALUATIONS = 500_000  # of the gradient: minutes, and far above what any measured run needs
RADIUS_EVERY = 25  # accepted steps between two estimates of the largest curvature
RADIUS_SAFETY = 1.25  # power iteration approaches from below
RADIUS_ITERATIONS = 30
STILL_SHARE = 1e-2  # of the absolute tolerance: a weight that moves less per e-fold of time is still …
STILL_STEPS = 5  # … if it is at this many accepted steps in a row, at the last slower than at the first,
ROUNDING = 1e-14  # or with a gradient below this share of its largest: what is left is rounding
MOVE_SHARE = 0.1  # a step's error stays below this share of its movement: else error, not the flow, would seem to move
NUDGE = 1e-7  # of the weights' length, for differences of gradients: the root of the precision, rounded up
PROGRESS_SECONDS = 1.0


@dataclass(frozen=True)
class FlowRun(Run):
    """A finished gradient flow: a `Run` whose `history.steps` are times t.

    `status` may also be "unfinished": the solver stopped before `until`, and `message` says why. `num_steps` counts the
    solver's accepted steps; `step_size` is 0, that of a flow.

    Attributes:
        until: the time asked for.
        reached: the time that the solver, or the hold at a stationary point, reached.
        num_evaluations: gradients evaluated.
        stationary_from: time from which the weights were held (see `flow`), or None.
    """

    until: float
    reached: float
    num_evaluations: int
    stationary_from: float | None


class _Place(NamedTuple):
    """A point of the flow, with the loss and its gradient there."""

    log_time: float  # s = log(1 + t)
    at: dual.Coefficients
    loss: float
    slope: dual.Coefficients  # ∇L as coefficients
    norm: float  # ‖∇L‖

    @property
    def speed(self) -> float:
        """(1 + t) ‖∇L‖: how far the weights would move per e-fold of time."""
        return float(np.exp(self.log_time)) * self.norm


def default_record_times(until: float) -> tuple[float, ...]:
    """Return 0 and times from 0.1 to `until`, 8 a decade, evenly spaced in the logarithm.

    Example:
        >>> from augscope.gradient_flow import default_record_times
        >>> times = default_record_times(100.0)
        >>> len(times), times[0], round(times[1], 3), times[-1]
        (26, 0.0, 0.1, 100.0)
    """
    if until <= FIRST_RECORD:
        return 0.0, until
    count = 1 + max(1, round(RECORDS_PER_DECADE * np.log10(until / FIRST_RECORD)))
    return 0.0, *np.geomspace(FIRST_RECORD, until, count)[:-1].tolist(), until


def flow(
    dataset: Dataset,
    network: BaseNetwork,
    method: Method,
    *,
    until: float = 1e12,
    record_at: Sequence[float] | None = None,
    relative_tolerance: float = 1e-6,
    absolute_tolerance: float = 1e-7,
    progress: Callable[[float, float], Any] | None = None,
    max_evaluations: int = MAX_EVALUATIONS,
) -> FlowRun:
    """Follow dW/dt = −∇L(W) from W(0) to a time, measuring on the way: descent with vanishing step size, t = η × steps.

    In s = log(1 + t) the equation is dW/ds = −(1 + t) ∇L. ERM and Cutout lose like 1/t, so (1 + t) times their curvature stays
    near 1 and a few thousand evaluations reach any t. CutMix has a finite minimum, near which its equation is ever
    stiffer: stabilised explicit steps (`chebyshev_steps`) follow it until it is *stationary*, that is until the weights would
    move by less than a hundredth of the absolute tolerance per e-fold of time, and ever less. From then on the weights
    are held, and the result says from when. What could still move: only a saddle point looks the same, and CutMix's
    `history.excess_loss` near 0 excludes it, as no scores have a smaller loss.

    Args:
        dataset: training set and W(0), in float64.
        network: the activation.
        method: `Erm()`, `Cutout(num_cut)` or `CutMix()`.
        until: T > 0.
        record_at: increasing times in [0, T] at which to measure; by default 0 and 8 a decade from 0.1. T is always
            measured. They do not influence the solution: it is interpolated.
        relative_tolerance: in [1e-9, 1e-2], of a step's error relative to each coefficient's movement along its unit vector.
        absolute_tolerance: above 0, of the same error in units of the weights; the larger of the two counts, roughly.
        progress: called with (t, loss) about once a second.
        max_evaluations: gradients after which the solver gives up, with a sentence; never an endless loop.

    Returns:
        A `FlowRun`; trouble with the solution itself is its `status` and `message`. Ctrl-C keeps what was recorded.

    Raises:
        ValueError: on bad arguments, before any work.

    Cost: measured at `presets.theorem` to t = 1e12, see benchmarks/flow.py.

    Example:
        >>> import jax, augscope as ag
        >>> jax.config.update("jax_enable_x64", True)
        >>> preset = ag.presets.theorem.replace(num_samples=40)
        >>> run = ag.flow(preset.sample(0), preset.network, ag.Erm(), until=1e6, record_at=[0, 1e3])
        >>> run.status, run.history.steps.tolist(), bool(run.history.loss[-1] < 1e-5)
        ('completed', [0.0, 1000.0, 1000000.0], True)
    """
    times = _checked_times(record_at, until)
    _check_tolerances(relative_tolerance, absolute_tolerance, max_evaluations)
    check(dataset.patches.dtype == np.float64, f"`dataset` must be in float64 for a flow, got {dataset.patches.dtype}")
    check_method(method, dataset.distribution.num_patches)
    begun = clock.perf_counter()
    data = dual.geometry(dataset)
    solver = _Solver(data, network, method, (relative_tolerance, absolute_tolerance), max_evaluations)
    recorder = Recorder(dataset, network, method)
    interrupted = False
    try:
        _follow(solver, recorder, times, progress)
    except KeyboardInterrupt:
        interrupted = True
        recorder.add(expm1(solver.place.log_time), solver.observe(solver.place))
    status, message = _outcome(solver, until, interrupted)
    return FlowRun(
        weights=dual.weights(data, solver.place.at),
        history=recorder.history(),
        status=status,
        message=message,
        oscillating=False,
        num_steps=solver.num_steps,
        seconds=clock.perf_counter() - begun,
        dataset=dataset,
        network=network,
        method=method,
        step_size=0.0,
        until=until,
        reached=until if status == "completed" else expm1(solver.place.log_time),
        num_evaluations=solver.num_evaluations,
        stationary_from=solver.stationary_from,
    )


def _checked_times(record_at: Sequence[float] | None, until: float) -> tuple[float, ...]:
    """Return the times to record, ending with the last one."""
    check_positive("until", until)
    if record_at is None:
        return default_record_times(float(until))
    times = tuple(float(time) for time in record_at)
    check(
        all(a < b for a, b in zip((-1e-300, *times), times, strict=False)) and (not times or times[-1] <= until),
        f"`record_at` must increase within 0 … until = {until:g}, got {times}",
    )
    return times if times and times[-1] == until else (*times, float(until))


def _check_tolerances(relative: float, absolute: float, max_evaluations: int) -> None:
    check(
        isfinite(relative) and 1e-9 <= relative <= 1e-2,
        f"`relative_tolerance` must be in [1e-9, 1e-2], got {relative}",
    )
    check_positive("absolute_tolerance", absolute)
    check(max_evaluations >= 1, f"`max_evaluations` must be at least 1, got {max_evaluations}")


def _follow(
    solver: _Solver, recorder: Recorder, times: Sequence[float], progress: Callable[[float, float], Any] | None
) -> None:
    """Run the solver to the last time and record at each; stop early where the solver does."""
    waiting, heard = list(times), clock.perf_counter()
    end = log1p(times[-1])
    while True:
        while waiting and log1p(waiting[0]) <= solver.place.log_time:
            recorder.add(waiting[0], solver.observe(solver.between(log1p(waiting[0]))))
            waiting.pop(0)
        if not waiting or solver.trouble is not None:
            break
        if solver.stationary_from is not None:
            seen = solver.observe(solver.place)
            for time in waiting:
                recorder.add(time, seen)
            break
        solver.advance(end)
        if progress is not None and clock.perf_counter() - heard > PROGRESS_SECONDS:
            heard = clock.perf_counter()
            progress(expm1(solver.place.log_time), solver.place.loss)
    if waiting and solver.trouble is not None:
        recorder.add(expm1(solver.place.log_time), solver.observe(solver.place))


class _Solver:
    """The flow's current place, and the steps that move it.

    Attributes:
        place: where it is; `earlier` is the place one accepted step before.
        trouble: a sentence that says why it cannot go on, or None.
    """

    def __init__(
        self, data: dual.Geometry, network: BaseNetwork, method: Method, tolerances: tuple[float, float], budget: int
    ) -> None:
        lengths = jnp.linalg.norm(data.noise, axis=1)
        self._program = partial(_step, data, lengths, network=network, method=method)
        self._data, self._network = data, network
        self._tolerances, self._budget = tolerances, budget
        self._log_step, self._tried = FIRST_LOG_STEP, None
        self._radius, self._direction, self._radius_age = 0.0, None, RADIUS_EVERY
        self._still: list[float] = []
        self._largest_norm = 0.0
        self.num_steps = self.num_evaluations = 0
        self.trouble: str | None = None
        self.stationary_from: float | None = None
        self._origin = dual.start(data)
        self.place = self.earlier = self._evaluate(0.0, self._origin)
        self._check_finite(self.place)

    def _evaluate(self, log_time: float, at: dual.Coefficients) -> _Place:
        """The loss and gradient at a point."""
        return self._take(_Place(log_time, at, 0.0, self._origin, 0.0), 0.0, 1)[0]

    def _take(self, before: _Place, log_step: float, num_stages: int) -> tuple[_Place, float]:
        """A step from a place: where it ends, and its error in units of the tolerances."""
        stages = (num_stages, *chebyshev_steps.stretch(num_stages))
        at, slope, numbers = self._program(before.at, before.slope, before.log_time, log_step, stages, self._tolerances)
        self.num_evaluations += num_stages
        loss, norm, error = np.asarray(numbers).tolist()  # at once: each transfer from the device has its price
        return _Place(before.log_time + log_step, at, loss, slope, norm), error

    def advance(self, end: float) -> None:
        """Take one accepted step towards the log-time `end`, or find trouble."""
        while self.trouble is None:
            if self._radius_age >= RADIUS_EVERY:
                self._estimate_radius()
            left = end - self.place.log_time
            log_step = left if self._log_step >= left else min(self._log_step, left / 2)  # no tiny last step
            stiffness = log_step * np.exp(self.place.log_time + log_step) * self._radius
            most = chebyshev_steps.largest_stages(self._tolerances[0])
            if chebyshev_steps.stages_needed(stiffness) > most:
                self._log_step = log_step / 2
                continue
            num_stages = chebyshev_steps.stages_needed(stiffness)
            if self.num_evaluations + num_stages > self._budget:
                self.trouble = f"after {self.num_evaluations:,} of at most {self._budget:,} gradients"
                return
            after, error = self._take(self.place, log_step, num_stages)
            error = error if np.isfinite(error) else 1e9
            self._log_step = chebyshev_steps.next_step(log_step, error, self._tried)
            if error <= 1:
                self._accept(after if left > log_step else after._replace(log_time=end), log_step, error)
                return
            self._radius_age = RADIUS_EVERY  # it may have been a curvature that had grown
            if self._log_step < SMALLEST_LOG_STEP:
                self.trouble = (
                    f"as its steps in log(1 + t) fell below {SMALLEST_LOG_STEP:g}: the tolerances cannot be met"
                )

    def _accept(self, after: _Place, log_step: float, error: float) -> None:
        self.earlier, self.place, self._tried = self.place, after, (log_step, error)
        self.num_steps += 1
        self._radius_age += 1
        still = after.speed <= STILL_SHARE * self._tolerances[1]
        self._still = [*self._still[1 - STILL_STEPS :], after.speed] if still else []
        self._largest_norm = max(self._largest_norm, after.norm)
        slowing = after.speed < self._still[0] if still else False
        if len(self._still) == STILL_STEPS and (slowing or after.norm <= ROUNDING * self._largest_norm):
            self.stationary_from = expm1(after.log_time)

    def _check_finite(self, place: _Place) -> None:
        if not isfinite(place.loss):
            self.trouble = f"as the loss was {place.loss}"

    def _estimate_radius(self) -> None:
        """Estimate the largest curvature of the loss by power iteration on differences of its gradient."""
        self._radius_age = 0
        if self._direction is None:
            keys = jax.random.split(jax.random.key(0))
            parts = zip(self.place.at, keys, strict=True)
            self._direction = dual.Coefficients(*(jax.random.normal(key, part.shape) for part, key in parts))
        found = 0.0
        for _ in range(RADIUS_ITERATIONS):
            nudged, size = _nudge(self._data, self.place.at, self._direction)
            there = self._evaluate(self.place.log_time, nudged)
            self._direction, change = _difference(self._data, there.slope, self.place.slope)
            found, before = float(change / size), found
            if not isfinite(found) or found == 0 or abs(found - before) <= 0.02 * found:
                break
        self._radius = RADIUS_SAFETY * found if isfinite(found) else self._radius

    def between(self, log_time: float) -> _Place:
        """The flow at a log-time within the last accepted step."""
        if log_time == self.place.log_time:
            return self.place
        step = self.place.log_time - self.earlier.log_time
        share = (log_time - self.earlier.log_time) / step
        ends = [(place.at, _velocity(place.log_time, place.slope)) for place in (self.earlier, self.place)]
        return self._evaluate(log_time, chebyshev_steps.interpolate(share, step, *ends))

    def observe(self, place: _Place) -> dual.Observation:
        """Everything that is measured at a place."""
        return dual.observe(self._data, place.at, place.loss, place.slope, self._network)


def _velocity(log_time: Any, slope: dual.Coefficients) -> dual.Coefficients:
    """dW/ds = −(1 + t) ∇L, as coefficients."""
    return jax.tree.map(lambda part: -jnp.exp(log_time) * part, slope)


@partial(jax.jit, static_argnames=("network", "method"))
def _step(
    data: dual.Geometry,
    lengths: Any,
    at: dual.Coefficients,
    slope: dual.Coefficients,
    log_time: Any,
    log_step: Any,
    stages: tuple[Any, Any, Any],
    tolerances: tuple[Any, Any],
    *,
    network: BaseNetwork,
    method: Method,
) -> tuple[dual.Coefficients, dual.Coefficients, Any]:
    """One step, compiled once for any number of stages: where it ends, gradient, (loss, gradient norm, error / tolerance).

    Errors are taken where coefficients times the `lengths` of their vectors are in units of the weights.
    """

    def velocity(now: Any, here: dual.Coefficients) -> Any:
        loss, gradient = dual.gradient(data, here, network, method)
        return _velocity(now, gradient), (loss, gradient)

    stages = (stages[0], jnp.asarray(stages[1]), jnp.asarray(stages[2]))
    before = (at, _velocity(log_time, slope))
    end, there, (loss, gradient) = chebyshev_steps.advance(velocity, log_time, log_step, stages, *before)
    estimate = chebyshev_steps.error_estimate(log_step, before, (end, there))
    relative, absolute = tolerances
    moved = jnp.maximum(
        jnp.abs(end.feature - at.feature).max(), (jnp.abs(end.noise - at.noise) * lengths[None, :]).max()
    )
    visible = jnp.maximum(MOVE_SHARE * moved, STILL_SHARE / 10 * absolute)

    def worst(error: Any, old: Any, new: Any, lengths: Any) -> Any:
        size = jnp.maximum(jnp.abs(old), jnp.abs(new)) * lengths
        return (jnp.abs(error) * lengths / jnp.minimum(absolute + relative * size, visible)).max()

    errors = [
        worst(estimate.feature, at.feature, end.feature, jnp.ones(())),
        worst(estimate.noise, at.noise, end.noise, lengths[None, :]),
    ]
    norm = jnp.linalg.norm(dual.combine(data, gradient))
    return end, gradient, jnp.stack([loss, norm, jnp.maximum(*errors)])


@jax.jit
def _nudge(data: dual.Geometry, at: dual.Coefficients, direction: dual.Coefficients) -> tuple[dual.Coefficients, Any]:
    """Move the weights a little in a direction: far enough for differences of gradients, near enough to stay linear."""
    size = NUDGE * (1 + jnp.linalg.norm(dual.combine(data, at)))
    length = jnp.linalg.norm(dual.combine(data, direction))
    return jax.tree.map(lambda now, towards: now + size / length * towards, at, direction), size


@jax.jit
def _difference(
    data: dual.Geometry, there: dual.Coefficients, here: dual.Coefficients
) -> tuple[dual.Coefficients, Any]:
    """The difference of two gradients, and its length."""
    change = jax.tree.map(jnp.subtract, there, here)
    return change, jnp.linalg.norm(dual.combine(data, change))


def _outcome(solver: _Solver, until: float, interrupted: bool) -> tuple[Any, str]:
    """The run's status and its sentence."""
    reached = expm1(solver.place.log_time)
    if interrupted:
        return "interrupted", f"interrupted at t = {reached:.4g} of {until:.4g}; what was recorded until then is kept"
    if not isfinite(solver.place.loss):
        return "diverged", f"diverged: the loss was {solver.place.loss} at t = {reached:.4g}"
    if solver.trouble is not None:
        return "unfinished", f"unfinished: the solver stopped at t = {reached:.4g} of {until:.4g} {solver.trouble}"
    if solver.stationary_from is not None:
        return "completed", (
            f"stationary from t = {solver.stationary_from:.4g} on and held until {until:.4g}: the gradient norm is "
            f"{solver.place.norm:.1e}, which moves the weights by {solver.place.speed:.1e} per e-fold of time"
        )
    return "completed", f"completed, to t = {until:.4g} in {solver.num_steps:,} solver steps"
