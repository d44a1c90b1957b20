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
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

DAMPING = 2 / 13
SAFETY = 0.8  # of the step size that the last error suggests
LARGEST_CHANGE = 10.0  # of the step size, from one step to the next
STABILITY = 1.54  # m² − 1 for each unit of step × spectral radius: 1/0.65
TINY_ERROR = 1e-10  # errors below count as this: a step without any error would grow without bound


def stages_needed(step_times_radius: float) -> int:
    """Return the fewest stages m, at least 2, for which a step is stable, given step × spectral radius.

    Example:
        >>> from augscope.training.chebyshev_steps import stages_needed
        >>> [stages_needed(stiffness) for stiffness in (0.1, 10.0, 1000.0, 100_000.0)]
        [2, 5, 40, 393]
    """
    return max(2, 1 + isqrt(int(1 + STABILITY * step_times_radius)))


class Stages(NamedTuple):
    """How many stages m a step has, and what depends on it: w_0 = 1 + ε/m² and w_1 = T_m'(w_0)/T_m''(w_0)."""

    count: Any
    w0: Any
    w1: Any


@lru_cache(maxsize=4096)
def stages_of(count: int) -> Stages:
    """Return the stages of a step, T_m being the Chebyshev polynomial of degree m = `count`.

    One stage is the evaluation of the velocity alone and has no w_1; it gets 0.
    """
    if count == 1:
        return Stages(count, 1 + DAMPING, 0.0)
    stages = stages_in(np, count)
    return stages._replace(w1=float(stages.w1))


def stages_in(numpy: Any, count: Any) -> Stages:
    """Return `stages_of` two stages or more, computed by NumPy or, to be traced, by `jax.numpy`."""
    w0 = 1 + DAMPING / count**2
    angle = numpy.arccosh(w0)
    # T_m = cosh(m θ), w = cosh θ: the derivatives in closed form.
    first = count * numpy.sinh(count * angle) / numpy.sinh(angle)
    second = (count**2 * numpy.cosh(count * angle) - w0 * first) / numpy.sinh(angle) ** 2
    return Stages(count, w0, first / second)


class _Chebyshev(NamedTuple):
    """T_j, T_j' and T_j'' at w_0, and b_j = T_j''/T_j'², of a stage j."""

    value: Any
    first: Any
    second: Any
    b: Any

    def following(self, before: _Chebyshev, w0: Any) -> _Chebyshev:
        """T_{j+1} = 2 w T_j − T_{j−1}, with its derivatives."""
        value = 2 * w0 * self.value - before.value
        first = 2 * self.value + 2 * w0 * self.first - before.first
        second = 4 * self.first + 2 * w0 * self.second - before.second
        return _Chebyshev(value, first, second, second / first**2)


class _Stage(NamedTuple):
    """What the loop over stages carries, after stage j."""

    index: Any  # j
    older: Any  # Y_{j−1}
    latest: Any  # Y_j
    chebyshev_older: _Chebyshev  # of stage j − 1
    chebyshev: _Chebyshev  # of stage j
    share: Any  # c_j, how far into the step Y_j is
    velocity: Any  # F_{j−1}
    extra: Any  # what `velocity` returned beside it


def advance(
    velocity: Callable[[Any, Any], tuple[Any, Any]], times: tuple[Any, Any], stages: Stages, position: Any, start: Any
) -> tuple[Any, Any, Any]:
    """Take one step and evaluate the velocity where it ends; return (position, velocity, what else `velocity` returned).

    Y_j = (1 − μ − ν) Y_0 + μ Y_{j−1} + ν Y_{j−2} + h (μ̃ F_{j−1} + γ̃ F_0), with the paper's coefficients of each stage. They
    follow from a recurrence that runs along in the loop, so that one compiled program serves any number of stages.

    Args:
        velocity: (time, position) → (velocity, anything), traced once however many stages there are.
        times: when the step begins, and how long it is. A step of 0 evaluates `velocity` alone.
        stages: from `stages_needed` and `stages_of`.
        position, start: trees of arrays: the position Y_0, and the velocity F_0 there.

    Cost: m evaluations.
    """
    time, step = times
    mix = jax.tree.map

    def stage(now: _Stage) -> _Stage:
        here, extra = velocity(time + now.share * step, now.latest)
        after = now.chebyshev.following(now.chebyshev_older, stages.w0)
        mu, nu, mu_tilde, gamma_tilde = _coefficients(stages, now, after)
        following = mix(
            lambda y0, y1, y2, f, f0: (1 - mu - nu) * y0 + mu * y1 + nu * y2 + step * (mu_tilde * f + gamma_tilde * f0),
            *(position, now.latest, now.older, here, start),
        )
        is_last = now.index >= stages.count  # the velocity at the end is wanted, not a further stage
        share = jnp.where(now.index + 1 >= stages.count, 1.0, stages.w1 * after.second / after.first)
        older, latest = mix(
            lambda kept, new: jnp.where(is_last, kept, new), (now.older, now.latest), (now.latest, following)
        )
        return _Stage(now.index + 1, older, latest, now.chebyshev, after, share, here, extra)

    first = _first_stage(velocity, times, stages, position, start)
    last = jax.lax.while_loop(lambda now: now.index <= stages.count, stage, first)
    return last.latest, last.velocity, last.extra


def _first_stage(velocity: Any, times: tuple[Any, Any], stages: Stages, position: Any, start: Any) -> _Stage:
    """Y_1 = Y_0 + b_1 w_1 h F_0; b_0 and b_1 are b_2 = T_2''/T_2'²."""
    w0 = jnp.asarray(stages.w0)
    one, zero, b = jnp.ones_like(w0), jnp.zeros_like(w0), 4 / (4 * w0) ** 2
    shape = jax.eval_shape(velocity, times[0], position)[1]
    return _Stage(
        index=jnp.ones_like(stages.count),
        older=position,
        latest=jax.tree.map(lambda y, f: y + b * stages.w1 * times[1] * f, position, start),
        chebyshev_older=_Chebyshev(one, zero, zero, b),
        chebyshev=_Chebyshev(w0, one, zero, b),
        share=stages.w1 / (4 * w0**2),  # c_1 = c_2/T_2' with c_2 = w_1 T_2''/T_2' = w_1/w_0
        velocity=start,
        extra=jax.tree.map(lambda part: jnp.zeros(part.shape, part.dtype), shape),
    )


def _coefficients(stages: Stages, now: _Stage, after: _Chebyshev) -> tuple[Any, Any, Any, Any]:
    """(μ, ν, μ̃, γ̃) of the stage that comes."""
    mu = 2 * after.b * stages.w0 / now.chebyshev.b
    mu_tilde = 2 * after.b * stages.w1 / now.chebyshev.b
    gamma_tilde = -(1 - now.chebyshev.b * now.chebyshev.value) * mu_tilde
    return mu, -after.b / now.chebyshev_older.b, mu_tilde, gamma_tilde


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
