"""Many seeds as one batched program: what a GPU wants. On a CPU, threads of single descents are faster (see `seeds`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from augscope import dual
from augscope.descent import (
    CHUNK_SECONDS,
    Run,
    State,
    checked_descent,
    initial_state,
    is_oscillating,
    outcome,
    stop_flag,
    take_steps,
    unstopped,
)
from augscope.measures import Recorder
from augscope.methods import Method
from augscope.network import BaseNetwork
from augscope.sampling import Dataset
from augscope.validation import check

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
    shapes = {dataset.patches.shape for dataset in datasets}
    check(len(shapes) == 1, f"`datasets` must have one shape, got {', '.join(map(str, sorted(shapes)))}")
    steps = checked_descent(datasets[0], method, step_size, num_steps, record_at)
    begun = time.perf_counter()
    batch, interrupted = _Batch(datasets, network, method, step_size), False
    try:
        for target in steps:
            batch.advance(target, progress)
            batch.record()
            if not batch.running:
                break
    except KeyboardInterrupt:
        interrupted = True
        batch.record()
    batch.leave(everybody=True)
    seconds = (time.perf_counter() - begun) / len(datasets)
    return [batch.run(index, num_steps, interrupted, seconds) for index in range(len(datasets))]


class _Batch:
    """Descents side by side: `members` are the indices of those that are still in the arrays."""

    def __init__(self, datasets: Sequence[Dataset], network: BaseNetwork, method: Method, step_size: float) -> None:
        self._datasets, self._network, self._method, self._step_size = datasets, network, method, step_size
        geometries = [dual.geometry(dataset) for dataset in datasets]
        self._data = _stack(geometries)
        self._state = _stack([initial_state(data) for data in geometries])
        self._recorders = [Recorder(dataset, network, method) for dataset in datasets]
        self._finished: dict[int, tuple[State, Any]] = {}  # state and weights, by dataset
        self.members = list(range(len(datasets)))
        self._chunk = 1

    @property
    def running(self) -> bool:
        """Whether any descent has not stopped."""
        return bool((~np.asarray(stop_flag(self._state))).any())

    def advance(self, target: int, progress: Callable[[int, float], Any] | None) -> None:
        """Take every descent that has not stopped to the step `target`."""
        while True:
            going = ~np.asarray(stop_flag(self._state))
            behind = np.asarray(self._state.step)[going]
            if not going.any() or behind.min() >= target:
                return
            before, begun = int(behind.min()), time.perf_counter()
            count = min(self._chunk, target - before)
            self._state = jax.block_until_ready(
                _steps_of_all(self._data, self._state, self._step_size, count, self._network, self._method)
            )
            rate = count / (time.perf_counter() - begun)
            self._chunk = max(1, min(8 * self._chunk, int(rate * CHUNK_SECONDS)))
            if progress is not None:
                progress(before + count, float(np.mean(np.asarray(self._state.loss))))
            self.leave()

    def record(self, stopped_only: bool = False) -> None:
        """Measure every descent, or those that have stopped, where they stand; nothing is recorded twice."""
        chosen = np.asarray(stop_flag(self._state)) | (not stopped_only)
        ahead = _steps_of_all(self._data, unstopped(self._state), self._step_size, 1, self._network, self._method)
        seen = _observations(self._data, self._state.at, ahead.loss, ahead.slope, self._network)
        for lane in np.flatnonzero(chosen).tolist():
            self._recorders[self.members[lane]].add(int(self._state.step[lane]), _lane(seen, lane))

    def leave(self, everybody: bool = False) -> None:
        """Take descents that have stopped out of the arrays, once they are half of them; or all, at the end."""
        stays = np.zeros(len(self.members), bool) if everybody else ~np.asarray(stop_flag(self._state))
        if not everybody and (stays.mean() > LEAVE_SHARE or not stays.any()):
            return
        if not everybody:
            self.record(stopped_only=True)
        for lane in np.flatnonzero(~stays).tolist():
            state = _lane(self._state, lane)
            self._finished[self.members[lane]] = state, dual.weights(_lane(self._data, lane), state.at)
        kept = np.flatnonzero(stays)
        self.members = [self.members[lane] for lane in kept]
        self._data, self._state = (jax.tree.map(lambda array: array[kept], tree) for tree in (self._data, self._state))

    def run(self, index: int, num_steps: int, interrupted: bool, seconds: float) -> Run:
        """The finished run of one dataset."""
        state, weights = self._finished[index]
        status, message = outcome(state, num_steps, interrupted and not bool(stop_flag(state)))
        return Run(
            weights=weights,
            history=self._recorders[index].history(),
            status=status,
            message=message,
            oscillating=is_oscillating(state),
            num_steps=int(state.step),
            seconds=seconds,
            dataset=self._datasets[index],
            network=self._network,
            method=self._method,
            step_size=self._step_size,
        )


@partial(jax.jit, static_argnums=(4, 5))
def _steps_of_all(
    data: dual.Geometry, state: State, step_size: Any, num_steps: Any, network: BaseNetwork, method: Method
) -> State:
    return jax.vmap(lambda one, at: take_steps(one, at, step_size, num_steps, network, method))(data, state)


@partial(jax.jit, static_argnums=4)
def _observations(data: dual.Geometry, at: Any, loss: Any, slope: Any, network: BaseNetwork) -> dual.Observation:
    return jax.vmap(lambda *one: dual.observe(*one, network))(data, at, loss, slope)


def _stack(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *trees)


def _lane(tree: Any, lane: int) -> Any:
    return jax.tree.map(lambda array: array[lane], tree)
