"""Training in the high-dimensional limit with a condition watched at every step: when it becomes true, and when false.

The condition is asked of every step of a descent, inside chunks of compiled steps, and of every accepted step of a flow. Only
its changes are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from augscope.accuracy.limit import limit_accuracies
from augscope.model.dataset import Limit
from augscope.training.descent import Descent, State, take_steps
from augscope.training.flow_solver import FlowSolver
from augscope.training.problem import Point, Problem

ROWS = 1024  # steps whose measures are held at once
CHANGE_SHARE = 1e-3  # of the time of a change in a flow: to this it is bisected


class Measured(NamedTuple):
    """What statements ask of each of R steps in the limit, by the names of `History`."""

    margin: Any  # (R,)
    augmented_margin: Any  # (R,)
    gradient_norm: Any  # (R,)
    accuracy_per_feature: Any  # (R, 2, K)
    accuracy: Any  # (R,)


class Change(NamedTuple):
    """From a step (or time) on, the condition is true, or it is false."""

    at: float
    true: bool


class Watcher:
    """A condition along a path.

    Args:
        dataset: the limit that is trained on.
        condition: its truth at each of some steps.

    Attributes:
        changes: those so far; before the first the condition is false.
        numbers: α and the features' frequencies, which measures need.
    """

    def __init__(self, dataset: Limit, condition: Callable[[Measured], Bool[np.ndarray, " R"]]) -> None:
        distribution = dataset.distribution
        self.numbers = jnp.asarray(distribution.feature_noise), jnp.asarray(distribution.frequencies)
        self.changes: list[Change] = []
        self._condition, self._largest_norm = condition, 0.0

    @property
    def is_true(self) -> bool:
        """Whether the condition is true where the path stands."""
        return bool(self.changes) and self.changes[-1].true

    def truth(self, rows: Measured) -> Bool[np.ndarray, " R"]:
        """Return the condition at steps that follow those judged so far: one of them asks for the largest gradient norm on the way."""
        before = Measured(*(array[:1] for array in rows))._replace(gradient_norm=np.array([self._largest_norm]))
        return self._condition(Measured(*map(np.concatenate, zip(before, rows, strict=True))))[1:]

    def judge(self, places: Iterable[float], rows: Measured) -> None:
        """Take up steps that follow those judged so far."""
        for place, true in zip(places, self.truth(rows).tolist(), strict=True):
            if true != self.is_true:
                self.changes.append(Change(place, true))
        self._largest_norm = float(np.fmax.reduce([self._largest_norm, *rows.gradient_norm]))


class WatchedDescent(Descent):
    """A descent in the limit, as a stepper of `loop.Loop`, watched at every step."""

    def __init__(self, problem: Problem, num_steps: int, watcher: Watcher) -> None:
        super().__init__(problem, num_steps)
        self._watcher = watcher

    def _after(self, count: int) -> State:
        state = self.state
        for first in range(0, count, ROWS):
            before = int(state.step)
            state, rows = _watched_steps(self.problem, state, min(ROWS, count - first), *self._watcher.numbers)
            taken = int(state.step) - before  # fewer where it diverges
            measured = Measured(*(np.asarray(array)[:taken] for array in rows))
            if taken:
                self._watcher.judge(range(before + 1, before + 1 + taken), measured)
        return state


def watch_flow(solver: FlowSolver, watcher: Watcher) -> None:
    """Follow a flow to its end, or as far as the solver goes, and judge it at every accepted step.

    A change is bisected within its step. Two changes within one step, about 1/50 of a decade, are not seen.
    """

    def rows(point: Point) -> Measured:
        return Measured(
            *(np.asarray(array)[None] for array in _compiled_measures(solver.problem, point, *watcher.numbers))
        )

    while not (solver.has_reached(solver.until) or solver.is_over):
        solver.step()
        now = rows(solver.here.point)
        place = solver.here.time
        if bool(watcher.truth(now)[0]) != watcher.is_true:
            low, high = solver.earlier.log_time, solver.here.log_time
            while high - low > CHANGE_SHARE:
                middle = (low + high) / 2
                changed = bool(watcher.truth(rows(solver.between(middle).point))[0]) != watcher.is_true
                low, high = (low, middle) if changed else (middle, high)
            place = float(np.expm1(high))
        watcher.judge([place], now)


@jax.jit
def _watched_steps(
    problem: Problem, state: State, count: Any, feature_noise: Any, frequencies: Any
) -> tuple[State, Measured]:
    """Take up to `ROWS` steps and measure each; rows after the last are zeros."""
    measure = partial(_measures, problem, feature_noise=feature_noise, frequencies=frequencies)
    shapes = jax.eval_shape(measure, state.point)
    rows = jax.tree.map(lambda one: jnp.zeros((ROWS, *one.shape), one.dtype), shapes)

    def step(index: Any, carry: tuple[State, Measured]) -> tuple[State, Measured]:
        before, rows = carry
        state = take_steps(problem, before, 1)
        measured = measure(state.point)
        return state, jax.tree.map(lambda array, value: array.at[index].set(value), rows, measured)

    return jax.lax.fori_loop(0, count, step, (state, rows))


@jax.jit
def _compiled_measures(problem: Problem, point: Point, feature_noise: Any, frequencies: Any) -> Measured:
    return _measures(problem, point, feature_noise, frequencies)


def _measures(problem: Problem, point: Point, feature_noise: Any, frequencies: Any) -> Measured:
    """The measures of one point. Traceable."""
    data, network = problem.data, problem.network
    scores, _ = data.scores(point.coefficients, network)
    accuracies = limit_accuracies(point.coefficients.feature, feature_noise, network)
    return Measured(
        margin=(data.labels[:, None] * scores).sum(axis=1).min(),
        augmented_margin=problem.method.augmented_margins(scores, data.labels).min(),
        gradient_norm=data.norm(point.gradient),
        accuracy_per_feature=accuracies,
        accuracy=(accuracies @ frequencies).mean(),
    )
