"""Full-batch gradient descent, exactly as written in the paper, in compiled chunks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from augscope import dual
from augscope.checkpoint import Checkpoint, dataset_digest
from augscope.measures import History, Recorder, expected_plateau
from augscope.methods import Method
from augscope.methods.base import check_method
from augscope.network import BaseNetwork
from augscope.sampling import Dataset
from augscope.validation import check, check_count, check_positive, check_precision

TRIAL_SECONDS, MOST_TRIALS = 0.02, 100_000  # of steps that are timed to predict a run's cost
CHUNK_SECONDS = 1.0  # how often the host is heard from: progress, Ctrl-C
RISE_WINDOW = 1_000  # steps over which rises of the loss are counted
RISE_SHARE = 0.25  # more rises than this share of the window: oscillating
JUMP, JUMP_SHARE = 0.1, 0.05  # … or more rises by over a tenth than this: long falls between a few jumps, as at η = 10⁴
RISE_TOLERANCE = 1e-12  # relative; rounding alone moves a converged loss by a few 1e-16
BLOW_UP = 10.0  # times the initial loss
PATIENCE = 100  # steps in a row above that: diverged. One overshoot is not divergence
DEFAULT_RECORDS = 40


@dataclass(frozen=True)
class Run:
    """A finished descent.

    Attributes:
        weights: W(T), (2, D).
        history: every measure at every recorded step.
        status: "completed", "diverged" or "interrupted" ("unfinished": a flow whose solver gave up).
        message: one sentence that says when and why, for a person.
        oscillating: the loss rose in more than a quarter of the last 1,000 steps (or of all, if fewer), or by more than a
            tenth in more than a twentieth of them.
        num_steps: steps taken.
        seconds: wall time of training and measuring, compilation included.
        dataset, network, method, step_size: what was run.
    """

    weights: Float[Array, "2 D"]
    history: History
    status: Literal["completed", "diverged", "interrupted", "unfinished"]
    message: str
    oscillating: bool
    num_steps: int
    seconds: float
    dataset: Dataset
    network: BaseNetwork
    method: Method
    step_size: float

    @property
    def predicted_plateau(self) -> Float[np.ndarray, " 2"]:
        """Mean y a where training should settle, label +1 first (identity 6.8); NaN where no plateau is known."""
        return np.array(expected_plateau(self.dataset, self.method)[:2])


class State(NamedTuple):
    """A descent's state between chunks."""

    at: dual.Coefficients
    step: Any
    initial_loss: Any
    loss: Any  # of the step before the current one
    steps_above: Any  # how many steps in a row the loss has been above BLOW_UP times its initial value
    rises: Any  # (RISE_WINDOW,) bool, a ring: the loss rose
    jumps: Any  # likewise: it rose by more than a tenth
    slope: dual.Coefficients  # ∇L of the step before the current one
    finite: Any


def default_record_steps(num_steps: int, count: int = DEFAULT_RECORDS) -> tuple[int, ...]:
    """Return up to `count` steps from 0 to `num_steps`, evenly spaced in the logarithm (every step while few)."""
    spaced = count - 1  # and step 0
    while True:  # small steps coincide after rounding: ask for more until enough differ
        steps = np.unique(np.concatenate([[0], np.geomspace(1, num_steps, spaced).round().astype(np.int64)]))
        if len(steps) >= min(count, num_steps + 1) or spaced > 20 * count:
            return tuple(int(step) for step in steps)
        spaced += 1


def train(
    dataset: Dataset,
    network: BaseNetwork,
    method: Method,
    *,
    step_size: float,
    num_steps: int,
    record_at: Sequence[int] | None = None,
    progress: Callable[[int, float], Any] | None = None,
    store_gram: bool | None = None,
    checkpoint: str | Path | None = None,
) -> Run:
    """Train by W(t+1) = W(t) − η ∇L(W(t)) and measure at chosen steps (paper, §2.3).

    The steps run compiled, in chunks of about a second whose length changes no bit of the result. Divergence is a
    result with a sentence, not an exception; Ctrl-C ends the run and keeps what was recorded.

    Args:
        dataset: training set and W(0), from `sample_dataset`.
        network: the activation.
        method: `Erm()`, `Cutout(num_cut)` or `CutMix()`.
        step_size: η > 0.
        num_steps: T ≥ 1.
        record_at: increasing steps in 0 … T at which to measure; by default 40, log-spaced. Step T is always measured.
        progress: called with (step, loss) about once a second.
        store_gram: see `dual.geometry`.
        checkpoint: a file in which to keep where the descent stands, every 10 s, at the end and on Ctrl-C. If it holds this
            run's checkpoint the descent goes on from there, and its results have the same bits as without interruption.

    Raises:
        ValueError: on bad arguments, or a checkpoint that is truncated or of another configuration or version, before any
            work.

    Cost: a step reads the N × N Gram matrix of the N = n(P−1) noise vectors once and evaluates the method.

    Example:
        >>> import jax, augscope as ag
        >>> jax.config.update("jax_enable_x64", True)
        >>> preset = ag.presets.theorem
        >>> dataset = ag.sample_dataset(jax.random.key(0), preset.distribution, num_samples=60, init_std=0.001,
        ...                             coordinates="reduced")
        >>> run = ag.train(dataset, preset.network, ag.CutMix(), step_size=1.0, num_steps=50)
        >>> run.status, bool(run.history.loss[-1] < run.history.loss[0])
        ('completed', True)
    """
    steps = checked_descent(dataset, method, step_size, num_steps, record_at)
    begun = time.perf_counter()
    kept = (
        None if checkpoint is None else _checkpoint(checkpoint, dataset, network, method, step_size, steps, store_gram)
    )
    earlier = None
    if kept is not None:
        earlier = kept.load()
        kept.check_writable()
    data = dual.geometry(dataset, store_gram)
    recorder = Recorder(dataset, network, method)
    state, interrupted = initial_state(data), False
    if earlier is not None:
        state, begun = _restored(state, recorder, earlier, begun)

    def keep() -> None:
        if kept is not None:
            kept.save(_to_arrays(state, recorder, time.perf_counter() - begun))

    try:
        for target in steps:
            if target <= recorder.last_step:
                continue
            for reached in advance(data, state, step_size, target, network, method):
                state = reached  # kept chunk by chunk, for Ctrl-C
                if progress is not None:
                    progress(int(state.step), float(state.loss))
                if kept is not None and kept.due:
                    keep()
            recorder.add(int(state.step), observe(data, state, step_size, network, method))
            if _stopped(state):
                break
        keep()
    except KeyboardInterrupt:
        interrupted = True
        keep()  # before the record that only this ending makes
        recorder.add(int(state.step), observe(data, state, step_size, network, method))
    status, message = outcome(state, num_steps, interrupted and int(state.step) < num_steps)
    return Run(
        weights=dual.weights(data, state.at),
        history=recorder.history(),
        status=status,
        message=message,
        oscillating=is_oscillating(state),
        num_steps=int(state.step),
        seconds=time.perf_counter() - begun,
        dataset=dataset,
        network=network,
        method=method,
        step_size=step_size,
    )


def checked_descent(
    dataset: Dataset, method: Method, step_size: float, num_steps: int, record_at: Sequence[int] | None
) -> tuple[int, ...]:
    """Return the steps to record. Raises ValueError if such a descent cannot be made."""
    check_positive("step_size", step_size)
    check_count("num_steps", num_steps)
    check_precision(dataset.patches.dtype)
    check_method(method, dataset.distribution.num_patches)
    return checked_record_steps(record_at, num_steps)


def checked_record_steps(record_at: Sequence[int] | None, num_steps: int) -> tuple[int, ...]:
    """Return the steps to record, ending with the last one. Raises ValueError unless they increase within 0 … num_steps."""
    if record_at is None:
        return default_record_steps(num_steps)
    steps = tuple(record_at)
    check(all(isinstance(step, (int, np.integer)) for step in steps), f"`record_at` must hold whole steps, got {steps}")
    check(
        all(a < b for a, b in zip((-1, *steps), steps, strict=False)) and (not steps or steps[-1] <= num_steps),
        f"`record_at` must increase within 0 … num_steps = {num_steps}, got {steps}",
    )
    return steps if steps and steps[-1] == num_steps else (*steps, num_steps)


def initial_state(data: dual.Geometry) -> State:
    """Return the state before the first step."""
    infinity = jnp.asarray(jnp.inf, data.labels.dtype)
    return State(
        at=dual.start(data),
        step=jnp.zeros((), int),  # 64 bits wherever float64 is on: any number of steps
        initial_loss=infinity,
        loss=infinity,
        steps_above=jnp.zeros((), jnp.int32),
        rises=jnp.zeros(RISE_WINDOW, bool),
        jumps=jnp.zeros(RISE_WINDOW, bool),
        slope=dual.start(data),
        finite=jnp.ones((), bool),
    )


def time_step(dataset: Dataset, network: BaseNetwork, method: Method) -> float:
    """Return the seconds that one step takes, compilation not counted. Steps of size 0 are timed: they cannot diverge."""
    check_method(method, dataset.distribution.num_patches)
    data = dual.geometry(dataset)
    state, seconds, count = initial_state(data), 0.0, 1
    jax.block_until_ready(_chunk(data, state, 0.0, 1, network, method))
    while seconds < TRIAL_SECONDS and count <= MOST_TRIALS:  # one step alone is mostly overhead where steps are short
        begun = time.perf_counter()
        jax.block_until_ready(_chunk(data, state, 0.0, count, network, method))
        seconds, count = time.perf_counter() - begun, 4 * count
    return 4 * seconds / count


def _checkpoint(
    path: str | Path,
    dataset: Dataset,
    network: BaseNetwork,
    method: Method,
    step_size: float,
    steps: Sequence[int],
    store_gram: bool | None,
) -> Checkpoint:
    configuration = {
        "network": network.model_dump(mode="json"),
        "method": method.model_dump(mode="json"),
        "step_size": float(step_size),
        "num_steps": int(steps[-1]),
        "record_at": [int(step) for step in steps],
        "store_gram": store_gram,
        "dataset": dataset_digest(dataset),
    }
    return Checkpoint(path, configuration)


def _to_arrays(state: State, recorder: Recorder, seconds: float) -> dict[str, np.ndarray]:
    """Everything that a descent needs to go on, by name."""
    leaves = {f"state {index}": np.asarray(leaf) for index, leaf in enumerate(jax.tree.leaves(state))}
    rows = {f"record {name}": array for name, array in recorder.to_arrays().items()}
    return {**leaves, **rows, "seconds": np.array(seconds)}


def _restored(state: State, recorder: Recorder, arrays: dict[str, np.ndarray], begun: float) -> tuple[State, float]:
    """The state that was kept, in the form of `state`, and when the run would have begun; the recorder gets its rows."""
    recorder.restore(
        {name.removeprefix("record "): array for name, array in arrays.items() if name.startswith("record ")}
    )
    leaves, form = jax.tree.flatten(state)
    kept = [jnp.asarray(arrays[f"state {index}"], leaf.dtype) for index, leaf in enumerate(leaves)]
    return jax.tree.unflatten(form, kept), begun - float(arrays["seconds"])


def advance(
    data: dual.Geometry,
    state: State,
    step_size: float,
    target: int,
    network: BaseNetwork,
    method: Method,
) -> Iterator[State]:
    """Take steps up to `target`, in chunks sized to last about CHUNK_SECONDS; yield the state after each."""
    chunk = 1
    while int(state.step) < target and not _stopped(state):
        begun = time.perf_counter()
        before = int(state.step)
        state = jax.block_until_ready(_chunk(data, state, step_size, min(chunk, target - before), network, method))
        rate = (int(state.step) - before) / (time.perf_counter() - begun)
        chunk = max(1, min(8 * chunk, int(rate * CHUNK_SECONDS)))  # grows gently: the first call also compiles
        yield state


def take_steps(
    data: dual.Geometry, state: State, step_size: Any, num_steps: Any, network: BaseNetwork, method: Method
) -> State:
    """Take `num_steps` steps (a run-time count, so that one program serves every chunk), fewer if the run stops."""
    end = state.step + num_steps

    def body(state: State) -> State:
        loss, slope = dual.gradient(data, state.at, network, method)
        initial_loss = jnp.where(state.step == 0, loss, state.initial_loss)
        rose = loss > state.loss * (1 + RISE_TOLERANCE)
        return State(
            at=jax.tree.map(lambda now, down: now - step_size * down, state.at, slope),
            step=state.step + 1,
            initial_loss=initial_loss,
            loss=loss,
            steps_above=jnp.where(loss > BLOW_UP * initial_loss, state.steps_above + 1, 0),
            rises=state.rises.at[state.step % RISE_WINDOW].set(rose),
            jumps=state.jumps.at[state.step % RISE_WINDOW].set(loss > state.loss * (1 + JUMP)),
            slope=slope,
            finite=jnp.isfinite(loss),
        )

    return jax.lax.while_loop(lambda state: (state.step < end) & ~stop_flag(state), body, state)


_chunk = jax.jit(take_steps, static_argnums=(4, 5))


def observe(
    data: dual.Geometry, state: State, step_size: float, network: BaseNetwork, method: Method
) -> dual.Observation:
    """Return everything that is measured at the state's step. A step taken on a copy yields the loss and gradient there."""
    ahead = _chunk(data, unstopped(state), step_size, 1, network, method)
    return dual.observe(data, state.at, ahead.loss, ahead.slope, network)


def unstopped(state: State) -> State:
    """Return the state without the reasons to stop, so that a step can be taken from it whatever happened before."""
    return state._replace(steps_above=jnp.zeros_like(state.steps_above), finite=jnp.ones_like(state.finite))


def stop_flag(state: State) -> Any:
    """Return whether a descent has diverged."""
    return ~state.finite | (state.steps_above >= PATIENCE)


def _stopped(state: State) -> bool:
    return bool(stop_flag(state))


def is_oscillating(state: State) -> bool:
    """Return whether the loss rose in over a quarter of the last steps, or by over a tenth in over a twentieth of them."""
    window = min(int(state.step), RISE_WINDOW)
    return int(state.rises.sum()) > RISE_SHARE * window or int(state.jumps.sum()) > JUMP_SHARE * window


def outcome(state: State, num_steps: int, interrupted: bool) -> tuple[Any, str]:
    """Return the run's status and its sentence."""
    step = int(state.step)
    if interrupted:
        return "interrupted", f"interrupted at step {step:,} of {num_steps:,}; what was recorded until then is kept"
    if not bool(state.finite):
        return "diverged", f"diverged: the loss was {float(state.loss)} at step {step - 1:,}"
    if int(state.steps_above) >= PATIENCE:
        first = step - PATIENCE
        return "diverged", (
            f"diverged: from step {first:,} on the loss stayed above {BLOW_UP:g} times its initial value "
            f"{float(state.initial_loss):.4g} for {PATIENCE} steps, at last {float(state.loss):.4g}; a smaller step size would help"
        )
    if is_oscillating(state):
        rises, jumps, window = int(state.rises.sum()), int(state.jumps.sum()), min(step, RISE_WINDOW)
        return "completed", (
            f"oscillating: the loss rose in {rises:,} of the last {window:,} steps, by over a tenth in {jumps:,}; "
            "a smaller step size would help"
        )
    if float(state.loss) > float(state.initial_loss):
        return "completed", (
            f"completed {step:,} steps, at last with a loss of {float(state.loss):.4g}, above its initial "
            f"{float(state.initial_loss):.4g}; a smaller step size would help"
        )
    return "completed", f"completed {step:,} steps"
