"""Many seeds as one batched program: what a GPU wants. On a CPU, threads of single descents are faster (see `seeds`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from augscope.model.dataset import Dataset
from augscope.model.methods import Method
from augscope.model.network import BaseNetwork
from augscope.support.values import check
from augscope.training.coefficients import geometry
from augscope.training.descent import Descent, State, checked_descent, has_diverged, start, take_steps
from augscope.training.loop import Loop, Run, Standing
from augscope.training.problem import Problem, observe_all

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
    return Loop(Descents(problem, num_steps), datasets, steps, progress, began=began).finish()


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


class Descents(Descent):
    """Descents side by side, as one stepper of `loop.Loop`.

    Args:
        problem: with one method, and stacked geometries.
        num_steps: T.

    Attributes:
        state: of those that are still in the arrays, stacked.
        members: their numbers, from 0, as they were stacked at first.
    """

    def __init__(self, problem: Problem, num_steps: int) -> None:
        self.members = list(range(len(problem.data.labels)))
        super().__init__(problem, num_steps, stacked([start(_lane(problem.data, lane)) for lane in self.members]))
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
        """Take steps towards a step, and let go of descents that have diverged once they are half."""
        super().advance(target)
        runs = self._runs
        if runs.mean() > LEAVE_SHARE or not runs.any():
            return
        descents = {self.members[lane]: self._descent(lane) for lane in np.flatnonzero(~runs).tolist()}
        left = {member: (descent, descent.observe()[0]) for member, descent in descents.items()}
        stays = np.flatnonzero(runs)
        members = [self.members[lane] for lane in stays]
        problem = replace(self.problem, data=_lane(self.problem.data, stays))
        state = _lane(self.state, stays)
        # Together, at the end: Ctrl-C before it leaves the batch as it was.
        self._left, self.members, self.problem, self.state = {**self._left, **left}, members, problem, state

    def observe(self, target: float | None = None) -> list[tuple[float, Any]]:
        """Return the step that each stands at, and what is measured there."""
        if self.place < 0:  # stopped before the first chunk
            self.state = self._after(1)
        points = observe_all(self.problem.data, self.problem.network, self.state.point)
        steps, points = jax.device_get((self.state.step, points))
        measured = {index: moment for index, (_, moment) in self._left.items()}
        measured |= {index: (int(steps[lane]), _lane(points, lane)) for lane, index in enumerate(self.members)}
        return [measured[index] for index in sorted(measured)]

    def standing(self, index: int = 0) -> Standing:
        """Return where one of them stands."""
        descent = self._left[index][0] if index in self._left else self._descent(self.members.index(index))
        return descent.standing()

    def _after(self, count: int) -> State:
        return steps_of_all(self.problem, self.state, count)

    def _descent(self, lane: int) -> Descent:
        """One of those in the arrays, on its own."""
        problem = replace(self.problem, data=_lane(self.problem.data, lane))
        return Descent(problem, self.num_steps, _lane(self.state, lane))
