"""Several descents in one program: many seeds, which a GPU wants, or all methods of a seed, which a CPU does (see `seeds`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from augscope.model.dataset import Dataset
from augscope.model.methods import Method
from augscope.model.network import BaseNetwork
from augscope.support.values import check
from augscope.training.coefficients import geometry
from augscope.training.descent import (
    Descent,
    State,
    checked_descent,
    checked_record_steps,
    has_diverged,
    next_coefficients,
    next_state,
    seconds_per_step,
    start,
    take_steps,
)
from augscope.training.loop import Loop, Run, Standing
from augscope.training.problem import Point, Problem, evaluate_all, observe_all

LEAVE_SHARE = 0.5  # the batch is made smaller once no more than this share of it still runs: each size is compiled anew


def train_many(
    datasets: Sequence[Dataset],
    network: BaseNetwork,
    method: Method,
    *,
    step_size: float,
    num_steps: int,
    record_at: Sequence[int] | None = None,
    progress: Callable[[int, float], Any] | None = None,
) -> list[Run]:
    """Train from several datasets of one shape at once; return what `train` would for each, up to rounding.

    Every step evaluates all of them in one program, so a device with thousands of lanes is kept busy. A descent that has
    diverged is held, and leaves the batch once no more than half of it still runs.

    Args:
        datasets: at least one, with equal n, P and D.
        network, method, step_size, num_steps, record_at: as for `train`.
        progress: called with (step, mean loss) about once a second.

    Raises:
        ValueError: on bad arguments, before any work.

    Cost: len(datasets) times the memory of one descent; see benchmarks/gpu.py for the time.
    """
    check(len(datasets) >= 1, "`datasets` must hold at least one, got none")
    shapes = {(*np.shape(dataset.slots), dataset.features.shape[-1]) for dataset in datasets}
    check(len(shapes) == 1, f"`datasets` must have one shape, got {', '.join(map(str, sorted(shapes)))}")
    steps = checked_descent(datasets[0], method, step_size, num_steps, record_at)
    began = time.perf_counter()
    problem = Problem(stacked([geometry(dataset) for dataset in datasets]), network, (method,), step_size)
    return Loop(SeedDescents(problem, num_steps), datasets, steps, progress, began=began).finish()


def train_methods(
    dataset: Dataset,
    network: BaseNetwork,
    methods: Sequence[Method],
    *,
    step_size: float,
    num_steps: int,
    record_at: Sequence[int] | None = None,
    progress: Callable[[int, float], Any] | None = None,
) -> list[Run]:
    """Train by several methods at once on one dataset; return what `train` would for each, up to rounding.

    Each step reads the Gram matrix of the noise vectors once for the filters of all. A descent that diverges leaves. On x86-64
    all bits were those of `train` at P = 2 to 7; at P = 8 the last one differed.

    Args:
        dataset, network, step_size, num_steps, record_at: as for `train`.
        methods: at least one, none of them `of_projections`.
        progress: called with (step, mean loss) about once a second.

    Raises:
        ValueError: on bad arguments, before any work.

    Cost: at `presets.theorem` 0.7 to 0.8 of the time of the three methods one after another.
    """
    check(len(methods) >= 1, "`methods` must hold at least one, got none")
    for method in methods:
        checked_descent(dataset, method, step_size, num_steps, record_at)
        check(not method.of_projections, f"`methods` must be of scores, got {method.title}")
    steps = checked_record_steps(record_at, num_steps)
    began = time.perf_counter()
    problem = Problem(geometry(dataset), network, tuple(methods), step_size)
    return Loop(MethodDescents(problem, num_steps), [dataset] * len(methods), steps, progress, began=began).finish()


def time_step_together(dataset: Dataset, network: BaseNetwork, methods: Sequence[Method]) -> float:
    """Return the seconds that one step of `train_methods` takes, compilation not counted."""
    together = MethodDescents(Problem(geometry(dataset), network, tuple(methods), 0.0), 0)
    return seconds_per_step(lambda count: steps_of_methods(together.problem, together.state, count))


def stacked(trees: Sequence[Any]) -> Any:
    """Return trees of arrays of the same shapes as one, with a leading axis that counts them."""
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *trees)


def _lane(tree: Any, lane: Any) -> Any:
    """One or several of stacked trees."""
    return jax.tree.map(lambda array: array[lane], tree)


@jax.jit
def steps_of_all(problem: Problem, states: State, num_steps: Any) -> State:
    """Take steps of every descent: `problem.data` and `states` are stacked, see `take_steps`."""
    return jax.vmap(lambda data, state: take_steps(replace(problem, data=data), state, num_steps))(problem.data, states)


@jax.jit
def steps_of_methods(problem: Problem, states: State, num_steps: Any) -> State:
    """Take steps of every method, of which `states` are stacked, until one of them diverges; see `take_steps`."""
    end = states.step[0] + num_steps

    def body(states: State) -> State:
        points = evaluate_all(problem, next_coefficients(problem, states.point))
        return jax.vmap(next_state)(states, points)

    return jax.lax.while_loop(lambda states: (states.step[0] < end) & ~has_diverged(states).any(), body, states)


class SeveralDescents(Descent):
    """Descents side by side, as one stepper of `loop.Loop`; what they share and what each has of its own, subclasses say.

    Attributes:
        state: of those that are still in the arrays, stacked.
        members: their numbers, from 0, as they were at first.
    """

    def __init__(self, problem: Problem, num_steps: int) -> None:
        self.problem = problem
        self.members = list(range(self._count()))
        super().__init__(problem, num_steps, stacked([start(self._of(lane).data) for lane in self.members]))
        self._left: dict[int, tuple[Descent, tuple[float, Any]]] = {}  # with what was measured of them as they left

    @property
    def place(self) -> int:
        """The step of those that run, or the last one if none does."""
        steps, runs = self.numbers.step, self._runs
        return int(steps[runs].min() if runs.any() else steps.max())

    @property
    def _runs(self) -> np.ndarray:
        """Which of those in the arrays have not diverged."""
        return ~has_diverged(self.numbers)

    def advance(self, target: float) -> None:
        """Take steps towards a step, and let go of descents that have diverged where they are in the way."""
        super().advance(target)
        runs = self._runs
        if self._may_stay(runs) or not runs.any():
            return
        descents = {self.members[lane]: self._descent(lane) for lane in np.flatnonzero(~runs).tolist()}
        left = {member: (descent, descent.observe()[0]) for member, descent in descents.items()}
        stays = np.flatnonzero(runs)
        members, problem = [self.members[lane] for lane in stays], self._of(stays)
        state = _lane(self.state, stays)
        # Together, at the end: Ctrl-C before it leaves the batch as it was.
        self._left, self.members, self.problem, self.state = {**self._left, **left}, members, problem, state

    def observe(self, target: float | None = None) -> list[tuple[float, Any]]:
        """Return the step that each stands at, and what is measured there."""
        if self.place < 0:  # stopped before the first chunk
            self.state = self._after(1)
        steps, points = self.numbers.step, self._observed()
        measured = {index: moment for index, (_, moment) in self._left.items()}
        measured |= {index: (int(steps[lane]), points[lane]) for lane, index in enumerate(self.members)}
        return [measured[index] for index in sorted(measured)]

    def standing(self, index: int = 0) -> Standing:
        """Return where one of them stands."""
        descent = self._left[index][0] if index in self._left else self._descent(self.members.index(index))
        return descent.standing()

    def _descent(self, lane: int) -> Descent:
        """One of those in the arrays, on its own."""
        return Descent(self._of(lane), self.num_steps, _lane(self.state, lane))

    def _count(self) -> int:
        raise NotImplementedError

    def _of(self, lanes: int | np.ndarray) -> Problem:
        """The problem of one or some of them."""
        raise NotImplementedError

    def _may_stay(self, runs: np.ndarray) -> bool:
        """Whether those that no longer run may stay in the arrays."""
        raise NotImplementedError

    def _observed(self) -> list[Any]:
        """What is measured of each."""
        raise NotImplementedError


class SeedDescents(SeveralDescents):
    """Descents of one method from many seeds, whose geometries are stacked in the problem's data."""

    def _count(self) -> int:
        return len(self.problem.data.labels)

    def _of(self, lanes: int | np.ndarray) -> Problem:
        return replace(self.problem, data=_lane(self.problem.data, lanes))

    def _may_stay(self, runs: np.ndarray) -> bool:
        return runs.mean() > LEAVE_SHARE

    def _observed(self) -> list[Any]:
        points = jax.device_get(observe_all(self.problem.data, self.problem.network, self.state.point))
        return [_lane(points, lane) for lane in range(len(self.members))]

    def _after(self, count: int) -> State:
        return steps_of_all(self.problem, self.state, count)


@partial(jax.jit, static_argnums=1)
def _observe_methods(data: Any, network: BaseNetwork, points: Point) -> tuple[Any, ...]:
    """What recorders measure at each point of `MethodDescents`, one by one as of single descents: with the same bits."""
    return tuple(data.observe(_lane(points, lane), network) for lane in range(len(points.loss)))


class MethodDescents(SeveralDescents):
    """Descents of the problem's methods, which share its data."""

    def _count(self) -> int:
        return len(self.problem.methods)

    def _of(self, lanes: int | np.ndarray) -> Problem:
        return replace(self.problem, methods=tuple(self.problem.methods[lane] for lane in np.atleast_1d(lanes)))

    def _may_stay(self, runs: np.ndarray) -> bool:
        return bool(runs.all())

    def _observed(self) -> list[Any]:
        return list(_observe_methods(self.problem.data, self.problem.network, self.state.point))

    def _after(self, count: int) -> State:
        return steps_of_methods(self.problem, self.state, count)
