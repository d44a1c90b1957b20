"""Gradient flow dW/dt = −∇L(W) with error control, to times that no step-by-step loop reaches."""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from augscope.model.dataset import Dataset
from augscope.model.methods import Method
from augscope.model.methods.base import check_method
from augscope.model.network import BaseNetwork
from augscope.support.values import check, check_positive
from augscope.training.coefficients import geometry
from augscope.training.flow_solver import FlowSolver, Tolerances
from augscope.training.loop import Loop, Run, checked_targets
from augscope.training.problem import Problem

RECORDS_PER_DECADE = 8
FIRST_RECORD = 0.1  # the first recorded time after 0
MAX_EVALUATIONS = 500_000  # of the gradient: minutes, and far above what any measured run needs


@dataclass(frozen=True, repr=False)
class FlowRun(Run):
    """A finished gradient flow: a `Run` whose `history.steps` are times t.

    `status` may also be "unfinished": the solver stopped before `until`, and `message` says why. `num_steps` counts the
    solver's accepted steps; `step_size` is 0, that of a flow.

    Attributes:
        until: the time that was to be reached.
        reached: the time that the solver, or the hold at a stationary point, reached.
        num_evaluations: gradients evaluated.
        stationary_from: time from which the weights were held (see `flow`), or None.
    """

    until: float
    reached: float
    num_evaluations: int
    stationary_from: float | None


def default_record_times(until: float) -> tuple[float, ...]:
    """Return 0 and times from 0.1 to `until`, 8 a decade, evenly spaced in the logarithm.

    Example:
        >>> from augscope.training.flow import default_record_times
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
    check_positive("until", until)
    times = default_record_times(float(until)) if record_at is None else [float(time) for time in record_at]
    times = checked_targets(times, float(until), f"until = {until:g}")
    is_relative = 1e-9 <= relative_tolerance <= 1e-2
    check(is_relative, f"`relative_tolerance` must be in [1e-9, 1e-2], got {relative_tolerance}")
    check_positive("absolute_tolerance", absolute_tolerance)
    tolerances = Tolerances(relative_tolerance, absolute_tolerance)
    check(max_evaluations >= 1, f"`max_evaluations` must be at least 1, got {max_evaluations}")
    check(dataset.dtype == np.float64, f"`dataset` must be in float64 for a flow, got {dataset.dtype}")
    check_method(method, len(dataset.labels), dataset.num_patches, weighted=dataset.is_limit)
    began = clock.perf_counter()
    solver = FlowSolver(Problem(geometry(dataset), network, (method,), 0.0), until, tolerances, max_evaluations)
    run = Loop(solver, [dataset], times, progress, began=began).finish()[0]
    return FlowRun(
        **vars(run),
        until=until,
        reached=solver.place,
        num_evaluations=solver.num_evaluations,
        stationary_from=solver.stationary_from,
    )
