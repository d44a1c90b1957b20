"""The solver of a gradient flow, as a stepper of the loop: stabilised steps in log-time with error control."""

from __future__ import annotations

import time as clock
from collections.abc import Callable
from math import expm1, isfinite, log1p
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from augscope.training import chebyshev_steps, loop
from augscope.training.chebyshev_steps import Stages
from augscope.training.loop import Standing, Status
from augscope.training.problem import Point, Problem, evaluate, observe

FIRST_LOG_STEP = 1e-3  # tried first; error control corrects it within a few steps
SMALLEST_LOG_STEP = 1e-12  # below, rounding of log(1+t) itself is no longer small: the tolerances cannot be met
RADIUS_EVERY = 25  # accepted steps between two estimates of the largest curvature
RADIUS_SAFETY = 1.25  # power iteration approaches from below
RADIUS_ITERATIONS = 30
STILL_SHARE = 1e-2  # of the absolute tolerance: a weight that moves less per e-fold of time is still …
STILL_STEPS = 5  # … if it is at this many accepted steps in a row, at the last slower than at the first,
ROUNDING = 1e-14  # or with a gradient below this share of its largest: what is left is rounding
MOVE_SHARE = 0.1  # a step's error stays below this share of its movement: else error, not the flow, would seem to move
NUDGE = 1e-7  # of the weights' length, for differences of gradients: the root of the precision, rounded up


class Tolerances(NamedTuple):
    """What the error of a step may be.

    Attributes:
        relative: to each coefficient's size, in [1e-9, 1e-2].
        absolute: in units of the weights, above 0.
    """

    relative: float
    absolute: float


class Moment(NamedTuple):
    """A point of the flow, and when it is there."""

    log_time: float  # s = log(1 + t)
    point: Point
    norm: float  # ‖∇L‖

    @property
    def time(self) -> float:
        """t."""
        return expm1(self.log_time)

    @property
    def speed(self) -> float:
        """(1 + t) ‖∇L‖: how far the weights would move per e-fold of time."""
        return float(np.exp(self.log_time)) * self.norm


class FlowSolver:
    """A gradient flow on its way (see `flow`).

    Args:
        problem: with one method; its geometry has `lengths`.
        until: T.
        tolerances: of its steps.
        max_evaluations: gradients after which it gives up.
        begin: a time and the coefficients there; by default 0 and those of W(0).

    Attributes:
        here: where it is; `earlier` is where it was one accepted step before.
        num_steps, num_evaluations: accepted steps, and gradients evaluated.
        trouble: a sentence that says why it cannot go on, or None.
        stationary_from: the time from which the weights are held, or None.
    """

    def __init__(
        self,
        problem: Problem,
        until: float,
        tolerances: Tolerances,
        max_evaluations: int,
        begin: tuple[float, Any] | None = None,
    ) -> None:
        self.problem, self.until, self._tolerances, self._most = problem, until, tolerances, max_evaluations
        self._end = log1p(until)
        self._most_stages = chebyshev_steps.largest_stages(tolerances.relative)
        self._log_step, self._tried = FIRST_LOG_STEP, None
        self._radius, self._direction, self._radius_age = 0.0, None, RADIUS_EVERY
        self._still: list[float] = []
        self._largest_norm = 0.0
        self.num_steps = self.num_evaluations = 0
        self.stationary_from: float | None = None
        time, coefficients = (0.0, problem.data.start()) if begin is None else begin
        self.here = self.earlier = self._evaluate(log1p(time), coefficients)
        loss = self.here.point.loss
        self.trouble: str | None = None if isfinite(loss) else f"as the loss was {loss}"

    @property
    def place(self) -> float:
        """The time reached, by holding the weights where they are stationary."""
        is_at_end = self.stationary_from is not None or self.here.log_time >= self._end
        return self.until if is_at_end else self.here.time

    @property
    def loss(self) -> float:
        """The loss there."""
        return self.here.point.loss

    @property
    def is_over(self) -> bool:
        """Whether it is in trouble."""
        return self.trouble is not None

    def has_reached(self, target: float) -> bool:
        """Whether the flow is known at this time."""
        return self.stationary_from is not None or log1p(target) <= self.here.log_time

    def advance(self, target: float) -> None:
        """Take accepted steps until a time is reached, or for about a second."""
        began = clock.perf_counter()
        while not (self.has_reached(target) or self.is_over):
            self.step()
            if clock.perf_counter() - began >= loop.CHUNK_SECONDS:
                return

    def observe(self, target: float | None = None) -> list[tuple[float, Any]]:
        """Return the time and what is measured then: at the target if it is reached, else where the flow stands."""
        time, point = self.place, self.here.point
        if target is not None and self.has_reached(target):
            time, point = target, self.between(log1p(target)).point
        return [(time, observe(self.problem.data, self.problem.network, point))]

    def standing(self, index: int = 0) -> Standing:
        """Return where the flow stands; `num_steps` counts accepted steps."""
        status, message = self._outcome()
        weights = self.problem.data.weights(self.here.point.coefficients)
        return Standing(weights, status, message, False, self.num_steps)

    def _outcome(self) -> tuple[Status, str]:
        """The status and its sentence."""
        time, loss = self.here.time, self.here.point.loss
        if not isfinite(loss):
            return "diverged", f"diverged: the loss was {loss} at t = {time:.4g}"
        if self.trouble is not None:
            return "unfinished", f"unfinished: the solver stopped at t = {time:.4g} of {self.until:.4g} {self.trouble}"
        if self.stationary_from is not None:
            return "completed", (
                f"stationary from t = {self.stationary_from:.4g} on and held until {self.until:.4g}: the gradient norm is "
                f"{self.here.norm:.1e}, which moves the weights by {self.here.speed:.1e} per e-fold of time"
            )
        if self.here.log_time < self._end:
            return "running", f"at t = {time:.4g} of {self.until:.4g}"
        return "completed", f"completed, to t = {self.until:.4g} in {self.num_steps:,} solver steps"

    def step(self) -> None:
        """Take one accepted step towards the end, unless there is trouble."""
        while self.trouble is None:
            if self._radius_age >= RADIUS_EVERY:
                self._estimate_radius()
            left = self._end - self.here.log_time
            log_step = left if self._log_step >= left else min(self._log_step, left / 2)  # no tiny last step
            stiffness = log_step * np.exp(self.here.log_time + log_step) * self._radius
            num_stages = chebyshev_steps.stages_needed(stiffness)
            if num_stages > self._most_stages:
                self._log_step = log_step / 2
                continue
            if self.num_evaluations + num_stages > self._most:
                self.trouble = f"after {self.num_evaluations:,} of at most {self._most:,} gradients"
                return
            after, error = self._take(self.here, log_step, num_stages)
            error = error if np.isfinite(error) else 1e9
            self._log_step = chebyshev_steps.next_step(log_step, error, self._tried)
            if error <= 1:
                self._accept(after if left > log_step else after._replace(log_time=self._end), log_step, error)
                return
            self._radius_age = RADIUS_EVERY  # it may have been a curvature that had grown
            if self._log_step < SMALLEST_LOG_STEP:
                self.trouble = (
                    f"as its steps in log(1 + t) fell below {SMALLEST_LOG_STEP:g}: the tolerances cannot be met"
                )

    def _take(self, before: Moment, log_step: float, num_stages: int) -> tuple[Moment, float]:
        """A step: where it ends, and its error in units of the tolerances."""
        times, stages = (before.log_time, log_step), chebyshev_steps.stages_of(num_stages)
        point, numbers = _compiled_step(self.problem, self._tolerances, before.point, times, stages)
        self.num_evaluations += num_stages
        loss, norm, error = np.asarray(numbers).tolist()  # at once: each transfer from the device has its price
        return Moment(before.log_time + log_step, point._replace(loss=loss), norm), error

    def _evaluate(self, log_time: float, coefficients: Any) -> Moment:
        """The flow's loss and gradient at a point: the step that goes nowhere."""
        unknown = Point(coefficients, 0.0, self.problem.data.start())
        return self._take(Moment(log_time, unknown, 0.0), 0.0, 1)[0]

    def _accept(self, after: Moment, log_step: float, error: float) -> None:
        self.earlier, self.here, self._tried = self.here, after, (log_step, error)
        self.num_steps += 1
        self._radius_age += 1
        still = after.speed <= STILL_SHARE * self._tolerances.absolute
        self._still = [*self._still[1 - STILL_STEPS :], after.speed] if still else []
        self._largest_norm = max(self._largest_norm, after.norm)
        slowing = after.speed < self._still[0] if still else False
        if len(self._still) == STILL_STEPS and (slowing or after.norm <= ROUNDING * self._largest_norm):
            self.stationary_from = after.time

    def _estimate_radius(self) -> None:
        """Estimate the largest curvature of the loss by power iteration on differences of its gradient."""
        self._radius_age = 0
        data, here = self.problem.data, self.here.point
        if self._direction is None:
            self._direction = _random_like(here.coefficients)
        radius = 0.0
        for _ in range(RADIUS_ITERATIONS):
            nudged, size = _nudge(data, here.coefficients, self._direction)
            there = self._evaluate(self.here.log_time, nudged).point
            self._direction, change = _difference(data, there.gradient, here.gradient)
            before, radius = radius, float(change / size)
            if not isfinite(radius) or radius == 0 or abs(radius - before) <= 0.02 * radius:
                break
        self._radius = RADIUS_SAFETY * radius if isfinite(radius) else self._radius

    def between(self, log_time: float) -> Moment:
        """The flow at a log-time: within the last accepted step, or after it while the weights are held."""
        if log_time >= self.here.log_time:
            return self.here
        step = self.here.log_time - self.earlier.log_time
        share = (log_time - self.earlier.log_time) / step
        ends = [
            (end.point.coefficients, _velocity(end.log_time, end.point.gradient)) for end in (self.earlier, self.here)
        ]
        return self._evaluate(log_time, chebyshev_steps.interpolate(share, step, *ends))


def _velocity(log_time: Any, gradient: Any) -> Any:
    """dW/ds = −(1 + t) ∇L, as coefficients."""
    return jax.tree.map(lambda part: -jnp.exp(log_time) * part, gradient)


@jax.jit
def _compiled_step(
    problem: Problem, tolerances: Tolerances, before: Point, times: tuple[Any, Any], stages: Stages
) -> tuple[Point, Any]:
    """One step, compiled once for any number of stages: the point where it ends, and (loss, ‖∇L‖, error / tolerance)."""

    def velocity(now: Any, here: Any) -> Any:
        point = evaluate(problem, here)
        return _velocity(now, point.gradient), point

    log_time, log_step = times
    begin = (before.coefficients, _velocity(log_time, before.gradient))
    end, there, point = chebyshev_steps.advance(velocity, times, stages, *begin)
    estimate = chebyshev_steps.error_estimate(log_step, begin, (end, there))
    error = _in_tolerances(tolerances, problem.data.lengths(), estimate, (before.coefficients, end))
    numbers = jnp.stack([point.loss, problem.data.norm(point.gradient), error])
    return Point(end, point.loss, point.gradient), numbers


def _in_tolerances(tolerances: Tolerances, lengths: Any, estimate: Any, ends: tuple[Any, Any]) -> Any:
    """The largest error of any coefficient, over what is allowed there.

    Coefficients times the `lengths` of their vectors are in units of the weights.
    """
    relative, absolute = tolerances
    moved = _largest(lambda old, new, length: jnp.abs(new - old) * length, *ends, lengths)
    visible = jnp.maximum(MOVE_SHARE * moved, STILL_SHARE / 10 * absolute)

    def share(error: Any, old: Any, new: Any, length: Any) -> Any:
        size = jnp.maximum(jnp.abs(old), jnp.abs(new)) * length
        return jnp.abs(error) * length / jnp.minimum(absolute + relative * size, visible)

    return _largest(share, estimate, *ends, lengths)


def _largest(function: Callable[..., Any], *trees: Any) -> Any:
    """The largest value of a function of corresponding entries."""
    return jnp.stack([values.max() for values in jax.tree.leaves(jax.tree.map(function, *trees))]).max()


def _random_like(coefficients: Any) -> Any:
    """Normal numbers in the form of some coefficients, always the same."""
    leaves, form = jax.tree.flatten(coefficients)
    keys = jax.random.split(jax.random.key(0), len(leaves))
    return jax.tree.unflatten(
        form, [jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
    )


@jax.jit
def _nudge(data: Any, at: Any, direction: Any) -> tuple[Any, Any]:
    """Move the weights a little in a direction: far enough for differences of gradients, near enough to stay linear."""
    size = NUDGE * (1 + data.norm(at))
    length = data.norm(direction)
    return jax.tree.map(lambda now, towards: now + size / length * towards, at, direction), size


@jax.jit
def _difference(data: Any, there: Any, here: Any) -> tuple[Any, Any]:
    """The difference of two gradients, and its length."""
    change = jax.tree.map(jnp.subtract, there, here)
    return change, data.norm(change)
