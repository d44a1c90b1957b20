"""Full-batch gradient descent, exactly as written in the paper, in compiled chunks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from augscope.model.arrays import check_precision
from augscope.model.dataset import Dataset
from augscope.model.methods import Method
from augscope.model.methods.base import check_method
from augscope.model.network import BaseNetwork
from augscope.model.patches import PatchData
from augscope.support.values import check, check_count, check_positive
from augscope.training import loop
from augscope.training.coefficients import geometry
from augscope.training.loop import Standing, Status, checked_targets
from augscope.training.problem import Point, Problem, evaluate, observe

TRIAL_SECONDS, MOST_TRIALS = 0.02, 100_000  # of steps that are timed to predict a run's cost
RISE_WINDOW = 1_000  # steps over which rises of the loss are counted
RISE_SHARE = 0.25  # more rises than this share of the window: oscillating
JUMP, JUMP_SHARE = 0.1, 0.05  # … or more rises by over a tenth than this: long falls between a few jumps, as at η = 10⁴
RISE_TOLERANCE = 1e-12  # relative; rounding alone moves a converged loss by a few 1e-16
BLOW_UP = 10.0  # times the initial loss
PATIENCE = 100  # steps in a row above that: diverged. One overshoot is not divergence
DEFAULT_RECORDS = 40


class State(NamedTuple):
    """A descent's state between chunks: where it stands, with the loss and gradient there."""

    step: Any  # −1 before anything is evaluated
    point: Point
    initial_loss: Any
    steps_above: Any  # how many steps in a row the loss has been above BLOW_UP times its initial value
    rises: Any  # (RISE_WINDOW,) bool, a ring: the loss rose
    jumps: Any  # likewise: it rose by more than a tenth


def default_record_steps(num_steps: int, count: int = DEFAULT_RECORDS) -> tuple[int, ...]:
    """Return up to `count` steps from 0 to `num_steps`, evenly spaced in the logarithm (every step while few)."""
    spaced = count - 1  # and step 0
    while True:  # small steps coincide after rounding: ask for more until enough differ
        steps = np.unique(np.concatenate([[0], np.geomspace(1, num_steps, spaced).round().astype(np.int64)]))
        if len(steps) >= min(count, num_steps + 1) or spaced > 20 * count:
            return tuple(int(step) for step in steps)
        spaced += 1


def checked_descent(
    dataset: Dataset | PatchData,
    method: Method,
    step_size: float,
    num_steps: int,
    record_at: Sequence[int] | None,
) -> tuple[int, ...]:
    """Return the steps to record. Raises ValueError if such a descent cannot be made."""
    check_positive("step_size", step_size)
    check_count("num_steps", num_steps)
    check_precision(dataset.dtype)
    check_method(method, len(dataset.labels), dataset.num_patches, weighted=dataset.is_limit)
    return checked_record_steps(record_at, num_steps)


def checked_record_steps(record_at: Sequence[int] | None, num_steps: int) -> tuple[int, ...]:
    """Return the steps to record, ending with the last one. Raises ValueError unless they increase within 0 … num_steps."""
    if record_at is None:
        return default_record_steps(num_steps)
    steps = tuple(record_at)
    check(all(isinstance(step, (int, np.integer)) for step in steps), f"`record_at` must hold whole steps, got {steps}")
    return checked_targets(steps, num_steps, f"num_steps = {num_steps}")


def start(data: Any) -> State:
    """Return the state before anything is evaluated; its first step goes nowhere, to W(0)."""
    infinity = jnp.asarray(jnp.inf, data.labels.dtype)
    return State(
        step=jnp.full((), -1, int),  # 64 bits wherever float64 is on: any number of steps
        point=Point(data.start(), infinity, data.start()),
        initial_loss=infinity,
        steps_above=jnp.zeros((), jnp.int32),
        rises=jnp.zeros(RISE_WINDOW, bool),
        jumps=jnp.zeros(RISE_WINDOW, bool),
    )


def take_steps(problem: Problem, state: State, num_steps: Any) -> State:
    """Take `num_steps` steps (a run-time count, so that one program serves every chunk), fewer if the descent diverges.

    A step moves by −η ∇L and then evaluates where it has come to. From `start`, whose gradient is 0, the first one
    evaluates W(0) as step 0. For tracing; `compiled_steps` is the program.
    """
    end = state.step + num_steps

    def body(state: State) -> State:
        return next_state(state, evaluate(problem, next_coefficients(problem, state.point)))

    return jax.lax.while_loop(lambda state: (state.step < end) & ~has_diverged(state), body, state)


def next_coefficients(problem: Problem, point: Point) -> Any:
    """Return the coefficients a step after a point."""
    return jax.tree.map(lambda at, slope: at - problem.step_size * slope, point.coefficients, point.gradient)


def next_state(state: State, point: Point) -> State:
    """Return the state whose next step has led to a point."""
    before, step = state.point, state.step + 1
    initial_loss = jnp.where(step == 0, point.loss, state.initial_loss)
    entry = step % RISE_WINDOW
    return State(
        step=step,
        point=point,
        initial_loss=initial_loss,
        steps_above=jnp.where(point.loss > BLOW_UP * initial_loss, state.steps_above + 1, 0),
        rises=state.rises.at[entry].set(point.loss > before.loss * (1 + RISE_TOLERANCE)),
        jumps=state.jumps.at[entry].set(point.loss > before.loss * (1 + JUMP)),
    )


compiled_steps = jax.jit(take_steps)


def has_diverged(state: State) -> Any:
    """Return whether a descent has diverged, as an array."""
    lost = (state.step >= 0) & ~(abs(state.point.loss) < jnp.inf)  # NumPy's arrays too
    return lost | (state.steps_above >= PATIENCE)


def is_oscillating(state: State) -> bool:
    """Return whether the loss rose in over a quarter of the last steps, or by over a tenth in over a twentieth of them."""
    window = min(int(state.step), RISE_WINDOW)
    rises, jumps = np.asarray(state.rises).sum(), np.asarray(state.jumps).sum()
    return bool(rises > RISE_SHARE * window or jumps > JUMP_SHARE * window)


def outcome(state: State, num_steps: int) -> tuple[Status, str]:
    """Return the status of a descent that is to take `num_steps`, and its sentence."""
    step, loss, initial = int(state.step), float(state.point.loss), float(state.initial_loss)
    if int(state.steps_above) >= PATIENCE:
        first = step + 1 - PATIENCE
        return "diverged", (
            f"diverged: from step {first:,} on the loss stayed above {BLOW_UP:g} times its initial value "
            f"{initial:.4g} for {PATIENCE} steps, at last {loss:.4g}; a smaller step size would help"
        )
    if bool(has_diverged(state)):
        return "diverged", f"diverged: the loss was {loss} at step {step:,}"
    if step < num_steps:
        return "running", f"at step {max(step, 0):,} of {num_steps:,}"
    if is_oscillating(state):
        rises, jumps, window = int(state.rises.sum()), int(state.jumps.sum()), min(step, RISE_WINDOW)
        return "completed", (
            f"oscillating: the loss rose in {rises:,} of the last {window:,} steps, by over a tenth in {jumps:,}; "
            "a smaller step size would help"
        )
    if loss > initial:
        return "completed", (
            f"completed {step:,} steps, at last with a loss of {loss:.4g}, above its initial {initial:.4g}; "
            "a smaller step size would help"
        )
    return "completed", f"completed {step:,} steps"


class Steps:
    """Compiled steps in chunks of about `loop.CHUNK_SECONDS`: what steppers of `loop.Loop` that count steps share.

    A subclass says how to go on: `_after(count)` is the state after so many steps more, and `_numbers()` the state without its
    large arrays, which the host looks at after each chunk.
    """

    def __init__(self, problem: Problem, num_steps: int, state: Any, chunk_seconds: float | None = None) -> None:
        self.problem, self.num_steps, self.state = problem, num_steps, state
        self._chunk_seconds = chunk_seconds
        self._count = 1  # steps of the next chunk
        self._fetched: tuple[Any, Any] = None, None  # a state, and its numbers

    @property
    def numbers(self) -> Any:
        """The state without its large arrays, on the host; fetched once a chunk."""
        if self._fetched[0] is not self.state:
            self._fetched = self.state, jax.device_get(self._numbers())
        return self._fetched[1]

    @property
    def place(self) -> int:
        """The step reached; −1 before the first chunk of a descent."""
        return int(self.numbers.step)

    def has_reached(self, target: float) -> bool:
        """Whether it has come to this step."""
        return self.place >= target

    def advance(self, target: float) -> None:
        """Take steps towards a step, a chunk of about `chunk_seconds`."""
        count, began = min(self._count, int(target) - self.place), time.perf_counter()
        self.state = jax.block_until_ready(self._after(count))
        rate = count / (time.perf_counter() - began)
        chunk = int(rate * (self._chunk_seconds or loop.CHUNK_SECONDS))
        self._count = max(1, min(8 * self._count, chunk))  # it grows gently: the first chunk also compiles

    def _after(self, count: int) -> Any:
        raise NotImplementedError

    def _numbers(self) -> Any:
        raise NotImplementedError


class Descent(Steps):
    """One descent, as a stepper of `loop.Loop`.

    Args:
        problem: with one method.
        num_steps: T.
        state: where it stands; by default at its start.
        chunk_seconds: how often the host hears from it; by default `loop.CHUNK_SECONDS`.
    """

    def __init__(
        self, problem: Problem, num_steps: int, state: State | None = None, chunk_seconds: float | None = None
    ) -> None:
        super().__init__(problem, num_steps, start(problem.data) if state is None else state, chunk_seconds)

    @property
    def loss(self) -> float:
        """The loss there."""
        return float(np.mean(self.numbers.point.loss))

    @property
    def is_over(self) -> bool:
        """Whether it has diverged."""
        return bool(np.all(has_diverged(self.numbers)))

    def observe(self, target: float | None = None) -> list[tuple[float, Any]]:
        """Return the step that it stands at, and what is measured there."""
        if self.place < 0:  # stopped before its first chunk
            self.state = self._after(1)
        return [(self.place, observe(self.problem.data, self.problem.network, self.state.point))]

    def _after(self, count: int) -> State:
        """The state after so many steps."""
        return compiled_steps(self.problem, self.state, count)

    def _numbers(self) -> State:
        state = self.state
        return state._replace(point=Point(None, state.point.loss, None), rises=None, jumps=None)

    def standing(self, index: int = 0) -> Standing:
        """Return where it stands."""
        status, message = outcome(self.state, self.num_steps)
        return Standing(
            weights=self.problem.data.weights(self.state.point.coefficients),
            status=status,
            message=message,
            oscillating=is_oscillating(self.state),
            num_steps=max(self.place, 0),
        )


def time_step(dataset: Dataset | PatchData, network: BaseNetwork, method: Method) -> float:
    """Return the seconds that one step takes, compilation not counted."""
    check_method(method, len(dataset.labels), dataset.num_patches, weighted=dataset.is_limit)
    return time_problem(Problem(geometry(dataset), network, (method,), 0.0))


def time_problem(problem: Problem) -> float:
    """Return the seconds that one step takes, compilation not counted. Its step size is to be 0: so it cannot diverge."""
    state = start(problem.data)
    return seconds_per_step(lambda count: compiled_steps(problem, state, count))


def seconds_per_step(steps: Callable[[int], Any]) -> float:
    """Return the seconds that one step takes, by a compiled function that takes so many; compilation not counted."""
    seconds, count = 0.0, 1
    jax.block_until_ready(steps(1))
    while seconds < TRIAL_SECONDS and count <= MOST_TRIALS:  # one step alone is mostly overhead where steps are short
        began = time.perf_counter()
        jax.block_until_ready(steps(count))
        seconds, count = time.perf_counter() - began, 4 * count
    return 4 * seconds / count
