"""Runge–Kutta–Chebyshev steps of second order: explicit, yet stable however stiff a gradient flow is.

A gradient flow's Jacobian is minus a Hessian: its eigenvalues are real, which is what these methods are made for. A step of m
stages is stable while (step) × (largest eigenvalue) ≤ 0.65 (m² − 1), so m evaluations of the gradient do the work of m²
small ones, with no Jacobian and no linear system. Source: Sommeijer, Shampine and Verwer, "RKC: an explicit solver for
parabolic PDEs", J. Comput. Appl. Math. 88 (1998) 315–326, whose formulas and constants these are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import isqrt, sqrt
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

DAMPING = 2 / 13
SAFETY = 0.8  # of the step size that the last error suggests
LARGEST_CHANGE = 10.0  # of the step size, from one step to the next
TINY_ERROR = 1e-10  # errors below count as this: a step without any error would grow without bound


def stages_needed(step_times_radius: float) -> int:
    """Return the fewest stages m, at least 2, for which a step is stable, given step × spectral radius.

    Example:
        >>> from augscope.chebyshev_steps import stages_needed
        >>> [stages_needed(stiffness) for stiffness in (0.1, 10.0, 1000.0, 100_000.0)]
        [2, 5, 40, 393]
    """
    return max(2, 1 + isqrt(int(1 + 1.54 * step_times_radius)))


@lru_cache(maxsize=4096)
def stretch(num_stages: int) -> tuple[float, float]:
    """Return (w_0, w_1) of m stages: w_0 = 1 + ε/m² and w_1 = T_m'(w_0)/T_m''(w_0), T_m the Chebyshev polynomial.

    One stage is the evaluation of the slope alone and has no w_1; it gets 0.
    """
    w0 = 1 + DAMPING / num_stages**2
    if num_stages == 1:
        return w0, 0.0
    angle = np.arccosh(w0)
    # T_m = cosh(m θ), w = cosh θ: the derivatives in closed form.
    first = num_stages * np.sinh(num_stages * angle) / np.sinh(angle)
    second = (num_stages**2 * np.cosh(num_stages * angle) - w0 * first) / np.sinh(angle) ** 2
    return w0, float(first / second)


def advance(
    velocity: Callable[[Any, Any], tuple[Any, Any]],
    time: Any,
    step: Any,
    num_stages: Any,
    position: Any,
    start: Any,
) -> tuple[Any, Any, Any]:
    """Take one step and evaluate the velocity where it ends; return (position, velocity, what else was found there).

    Args:
        velocity: (time, position) → (velocity, anything), traced once however many stages there are.
        time, step: where the step begins and how long it is. A step of 0 evaluates `velocity` alone.
        num_stages: (m, w_0, w_1), from `stages_needed` and `stretch`.
        position, start: trees of arrays: the position, and the velocity there.

    Cost: m evaluations.
    """
    count, w0, w1 = num_stages
    mix = jax.tree.map
    second_at_two = 4 / (4 * w0) ** 2  # b_2 = T_2''/T_2'², which b_0 and b_1 share
    moved = mix(lambda y, f: y + second_at_two * w1 * step * f, position, start)
    shape = jax.eval_shape(velocity, time, position)[1]
    nothing = mix(lambda part: jnp.zeros(part.shape, part.dtype), shape)
    one, zero = jnp.ones_like(w0), jnp.zeros_like(w0)
    # Chebyshev (T, T', T'') at the stage before last and at the last one, b of both, c of the last one.
    state: Any = (
        jnp.ones_like(count),
        (position, moved),
        ((one, zero, zero), (w0, one, zero)),
        (second_at_two, second_at_two),
        w1 / (4 * w0**2),  # c_1 = c_2/T_2' with c_2 = w_1 T_2''/T_2' = w_1/w_0
        (start, nothing),
    )

    def stage(state: Any) -> Any:
        index, (older, latest), (two_ago, one_ago), (b_two_ago, b_one_ago), reached, _ = state
        here, found = velocity(time + reached * step, latest)
        value = 2 * w0 * one_ago[0] - two_ago[0]
        first = 2 * one_ago[0] + 2 * w0 * one_ago[1] - two_ago[1]
        second = 4 * one_ago[1] + 2 * w0 * one_ago[2] - two_ago[2]
        b = second / first**2
        mu, nu, slope = 2 * b * w0 / b_one_ago, -b / b_two_ago, 2 * b * w1 / b_one_ago
        pull = -(1 - b_one_ago * one_ago[0]) * slope
        following = mix(
            lambda y0, y1, y2, f, f0: (1 - mu - nu) * y0 + mu * y1 + nu * y2 + step * (slope * f + pull * f0),
            position,
            latest,
            older,
            here,
            start,
        )
        last = index >= count  # the velocity at the end is wanted, not a further stage
        positions = (older, latest), (latest, following)
        kept = mix(lambda now, then: jnp.where(last, now, then), *positions)
        fraction = jnp.where(index + 1 >= count, one, w1 * second / first)
        return index + 1, kept, (one_ago, (value, first, second)), (b_one_ago, b), fraction, (here, found)

    result: Any = jax.lax.while_loop(lambda state: state[0] <= count, stage, state)
    (_, end), (there, found) = result[1], result[-1]
    return end, there, found


def error_estimate(step: Any, before: tuple[Any, Any], after: tuple[Any, Any]) -> Any:
    """Return the local error 0.8 (y_0 − y_1) + 0.4 h (f_0 + f_1) of a step, from (position, velocity) at both ends."""
    return jax.tree.map(lambda y0, f0, y1, f1: 0.8 * (y0 - y1) + 0.4 * step * (f0 + f1), *before, *after)


def interpolate(share: Any, step: Any, before: tuple[Any, Any], after: tuple[Any, Any]) -> Any:
    """Return the position at a share in [0, 1] of a step: the cubic through positions and velocities at both ends."""
    left, right = share * (1 - share) ** 2 * step, -(share**2) * (1 - share) * step
    to = share**2 * (3 - 2 * share)
    return jax.tree.map(lambda y0, f0, y1, f1: y0 + to * (y1 - y0) + left * f0 + right * f1, *before, *after)


def next_step(step: float, error: float, earlier: tuple[float, float] | None) -> float:
    """Return the step size to take after a step, whose error is in units of the tolerance: above 1 it was rejected.

    Args:
        step, error: of the step just tried.
        earlier: likewise of the accepted step before it; where errors grow, the next one is expected to grow as much again.
    """
    change = SAFETY * max(error, TINY_ERROR) ** (-1 / 3)
    if error <= 1 and earlier is not None:
        growth = (max(earlier[1], TINY_ERROR) / max(error, TINY_ERROR)) ** (1 / 3) * step / earlier[0]
        change *= min(1.0, growth)
    return step * min(LARGEST_CHANGE, max(1 / LARGEST_CHANGE, change))


def largest_stages(relative_tolerance: float) -> int:
    """Return how many stages rounding, which grows like m², leaves below a tenth of the tolerance."""
    return max(2, int(sqrt(relative_tolerance / (10 * np.finfo(np.float64).eps))))
