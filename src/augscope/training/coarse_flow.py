"""Where a descent ends, in few evaluations and without error control: its first steps, and from there the gradient flow in fixed steps.

In s = log(1 + t), as `flow` takes it, with the same stabilised steps. Everything is one compiled program, so that it can be mapped
over settings; `flow` decides its steps on the host and follows one.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from augscope.training import chebyshev_steps
from augscope.training.chebyshev_steps import STABILITY, stages_in
from augscope.training.descent import start, take_steps
from augscope.training.problem import Problem, evaluate

FIRST_STEPS = 32  # taken as they are: where they overshoot noise, no flow does
FIRST_LOG_STEP, GROWTH, LOG_STEP = 0.01, 1.4, 0.25  # of s: short at first, until the largest curvature is known
MOST_STAGES = 200  # of a step; stiffer ones are shortened
NUDGE = 1e-6  # of the coefficients, for a difference of gradients
RADIUS_SAFETY = 2.5  # the estimate follows the largest curvature from below, and that grows within a step
STILL = 1e-3  # coefficients that move less per e-fold of time are held


def coarse_end(problem: Problem, num_steps: Any) -> Any:
    """Return the coefficients of a descent from W(0) after some steps, to a few per cent where it does not oscillate. For tracing.

    Cost: some 150 evaluations of the gradient to t = 10⁴ for ERM and Cutout, up to 800 for CutMix.
    """
    end = jnp.log1p(num_steps * problem.step_size)

    def velocity(time: Any, at: Any) -> tuple[Any, Any]:
        gradient = evaluate(problem, at).gradient
        return jax.tree.map(lambda part: -jnp.exp(time) * part, gradient), jnp.zeros(())

    def step(state: tuple[Any, ...]) -> tuple[Any, ...]:
        time, at, slope, direction, reach = state
        direction, radius = _curvature(lambda there: velocity(time, there)[0], at, slope, direction)
        longest = 0.6 * (MOST_STAGES**2 - 1) / radius
        length = jnp.minimum(jnp.minimum(reach, longest), end - time)
        count = jnp.maximum(2, jnp.ceil(jnp.sqrt(1 + STABILITY * length * radius)))
        at, slope, _ = chebyshev_steps.advance(velocity, (time, length), stages_in(jnp, count), at, slope)
        is_still = _size(slope) < STILL
        reach = jnp.minimum(GROWTH * reach, LOG_STEP)
        return jnp.where(is_still, end, time + length), at, slope, direction, reach

    first = jnp.minimum(num_steps, FIRST_STEPS)
    at = take_steps(problem, start(problem.data), first + 1).point.coefficients
    time = jnp.log1p(first * problem.step_size)
    slope, _ = velocity(time, at)
    state = time, at, slope, slope, jnp.full_like(time, FIRST_LOG_STEP)
    return jax.lax.while_loop(lambda state: (state[0] < end) & jnp.isfinite(_size(state[2])), step, state)[1]


def _curvature(velocity: Any, at: Any, slope: Any, direction: Any) -> tuple[Any, Any]:
    """One power iteration: the change of the velocity along a direction, which is the next one, and its length over the nudge's."""
    size = NUDGE * (1 + _size(at)) / jnp.maximum(_size(direction), 1e-300)
    there = velocity(jax.tree.map(lambda now, towards: now + size * towards, at, direction))
    change = jax.tree.map(lambda new, old: new - old, there, slope)
    return change, RADIUS_SAFETY * _size(change) / (NUDGE * (1 + _size(at))) + 1e-3


def _size(tree: Any) -> Any:
    return jnp.sqrt(sum(jnp.sum(part**2) for part in jax.tree.leaves(tree)))
