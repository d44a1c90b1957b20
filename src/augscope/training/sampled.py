"""Training as people do it: augmentations drawn anew in each step, batches of points, momentum, weight decay."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from augscope.model.arrays import check_key
from augscope.model.dataset import Dataset
from augscope.model.methods import Method
from augscope.model.methods.base import Draws, drawn_losses
from augscope.model.network import BaseNetwork
from augscope.training.coefficients import geometry
from augscope.training.descent import BLOW_UP, Steps, seconds_per_step
from augscope.training.loop import Standing, Status
from augscope.training.problem import Point, Problem, evaluate, observe
from augscope.training.sampling import Sampling

EXACT_EVERY = 100  # steps from one look at the exact loss to the next
LOOKS_ABOVE = 2  # looks in a row at a loss that has blown up: diverged


class Moving(NamedTuple):
    """What drawn steps move: W is the `start` share of W(0), which weight decay alone changes, and what its coefficients add."""

    coefficients: Any
    start: Float[Array, ""]


class SampledState(NamedTuple):
    """Where a sampled descent stands."""

    step: Int[Array, ""]
    at: Moving
    velocity: Moving  # of momentum
    order: Int[Array, " n"]  # of the points in this epoch
    loss: Float[Array, ""]  # exact, when it was looked at last
    initial_loss: Float[Array, ""]
    looks_above: Int[Array, ""]  # in a row, at losses above BLOW_UP times the initial one


def sampled_gradient(problem: Problem, sampling: Sampling, key: Any, coefficients: Any, batch: Any) -> Any:
    """Return the gradient, as coefficients, of the mean loss of augmentations drawn of some points; traceable.

    Args:
        problem: of one sample of the paper's data.
        sampling: how many draws a point.
        key: of these draws.
        coefficients: where.
        batch: indices of the points, (m,), or None: all of them.

    Cost: O(N m P) for the projections of the points and their partners.
    """
    data, network = problem.data, problem.network
    num_samples, num_patches = len(data.labels), data.num_patches
    key_augmentation, key_partner = jax.random.split(key)
    size = num_samples if batch is None else len(batch)
    own = jnp.repeat(jnp.arange(size), sampling.draws)
    draws = problem.method.draw(key_augmentation, len(own), num_patches)
    points, partner = batch, None
    if draws.share is not None:
        partner = jax.random.randint(key_partner, own.shape, 0, num_samples)
        if batch is not None:  # rows of the points' geometry from here on
            points, partner = jnp.concatenate([batch, partner]), size + jnp.arange(len(own))
    seen = data if points is None else data.of_points(points)
    if problem.method.of_projections:
        blend = partial(_blended_loss, draws, labels=seen.labels, own=own, partner=partner, network=network)
        return seen.pulled_back(jax.grad(blend)(seen.projections(coefficients)))
    scores, projections = seen.scores(coefficients, network)
    return seen.gradient(_by_score(draws, scores, seen.labels, own, partner), projections, network)


def _blended_loss(draws: Draws, projections: Any, *, labels: Any, own: Any, partner: Any, network: BaseNetwork) -> Any:
    """The mean loss of points whose patches are blended with their partners', by the shares in `draws.own`."""
    shares = draws.own.astype(projections.dtype)[None]
    others = 0 if partner is None else (1 - shares) * projections[:, partner]
    active = network.activation(shares * projections[:, own] + others)
    output = (active[0] - active[1]).sum(axis=1)
    return drawn_losses(output, draws.share, labels[own], None if partner is None else labels[partner])[0].mean()


def _by_score(draws: Draws, scores: Any, labels: Any, own: Any, partner: Any) -> Any:
    """The derivative of the mean loss of augmented points in the scores of the points they are made of."""
    output = jnp.where(draws.own, scores[own], 0 if partner is None else scores[partner]).sum(axis=1)
    slopes = drawn_losses(output, draws.share, labels[own], None if partner is None else labels[partner])[1]
    slopes, by_score = slopes[:, None] / len(own), jnp.zeros_like(scores)
    if partner is not None:
        by_score = by_score.at[partner].add(jnp.where(draws.own, 0, slopes))
    return by_score.at[own].add(jnp.where(draws.own, slopes, 0))


def sampled_start(problem: Problem) -> SampledState:
    """Return the state at W(0)."""
    data = problem.data
    loss = evaluate(problem, data.start()).loss
    return SampledState(
        step=jnp.zeros((), int),
        at=Moving(data.start(), jnp.ones_like(loss)),
        velocity=Moving(data.start(), jnp.zeros_like(loss)),
        order=jnp.arange(len(data.labels)),
        loss=loss,
        initial_loss=loss,
        looks_above=jnp.zeros((), jnp.int32),
    )


def _problem_at(problem: Problem, sampling: Sampling, at: Moving) -> Problem:
    """The problem with what is left of W(0)."""
    return replace(problem, data=problem.data.with_start(at.start)) if sampling.weight_decay else problem


def exact_point(problem: Problem, sampling: Sampling, at: Moving) -> Point:
    """Return the exact loss and its gradient, without the penalty of weight decay; traceable."""
    return evaluate(_problem_at(problem, sampling, at), at.coefficients)


@partial(jax.jit, static_argnums=1)
def sampled_steps(problem: Problem, sampling: Sampling, key: Any, state: SampledState, num_steps: Any) -> SampledState:
    """Take `num_steps` steps (a run-time count), fewer if the descent diverges. A step's draws depend on key and step alone."""
    end, num_samples = state.step + num_steps, state.order.shape[0]
    size = sampling.batch_size or num_samples
    key_order, key_draws = jax.random.split(key)

    def body(state: SampledState) -> SampledState:
        order, batch = state.order, None
        if size < num_samples:
            epoch, place = jnp.divmod(state.step, num_samples // size)
            shuffled = partial(jax.random.permutation, jax.random.fold_in(key_order, epoch), num_samples)
            order = jax.lax.cond(place == 0, shuffled, lambda: state.order)
            batch = jax.lax.dynamic_slice(order, (place * size,), (size,))
        key, decay = jax.random.fold_in(key_draws, state.step), sampling.weight_decay
        slope = sampled_gradient(_problem_at(problem, sampling, state.at), sampling, key, state.at.coefficients, batch)
        velocity = Moving(slope, jnp.zeros_like(state.at.start))
        if decay:
            velocity = jax.tree.map(lambda slope, at: slope + decay * at, velocity, state.at)
        if sampling.momentum:
            velocity = jax.tree.map(lambda before, new: sampling.momentum * before + new, state.velocity, velocity)
        moved = jax.tree.map(lambda at, along: at - problem.step_size * along, state.at, velocity)
        step = state.step + 1
        looks = step % EXACT_EVERY == 0
        loss = jax.lax.cond(looks, lambda: exact_point(problem, sampling, moved).loss, lambda: state.loss)
        above = jnp.where(loss > BLOW_UP * state.initial_loss, state.looks_above + 1, 0)
        return state._replace(
            step=step,
            at=moved,
            velocity=velocity if sampling.momentum else state.velocity,
            order=order,
            loss=loss,
            looks_above=jnp.where(looks, above, state.looks_above),
        )

    return jax.lax.while_loop(lambda state: (state.step < end) & ~_has_diverged(state), body, state)


def _has_diverged(state: SampledState) -> Any:
    return ~(abs(state.loss) < jnp.inf) | (state.looks_above >= LOOKS_ABOVE)  # NumPy's arrays too


_compiled_point = jax.jit(exact_point, static_argnums=1)


class SampledDescent(Steps):
    """A descent by drawn gradients, as a stepper of `loop.Loop`; what it measures, it measures of the exact loss.

    Args:
        problem: of one sample, with one method.
        num_steps: T.
        sampling: how steps are drawn.
        key: a JAX random key; the same key gives the same bits, in chunks of any length.
    """

    def __init__(self, problem: Problem, num_steps: int, sampling: Sampling, key: Any) -> None:
        check_key(key)
        super().__init__(problem, num_steps, jax.jit(sampled_start)(problem))
        self._sampling, self._key = sampling, key

    @property
    def loss(self) -> float:
        """The exact loss, at most 100 steps ago."""
        return float(self.numbers.loss)

    @property
    def is_over(self) -> bool:
        """Whether it has diverged."""
        return bool(_has_diverged(self.numbers))

    def observe(self, target: float | None = None) -> list[tuple[float, Any]]:
        """Return the step that it stands at, and what is measured there."""
        point = _compiled_point(self.problem, self._sampling, self.state.at)
        return [(self.place, observe(self._data, self.problem.network, point))]

    def standing(self, index: int = 0) -> Standing:
        """Return where it stands; a drawn loss rises and falls, so that none is called oscillating."""
        status, message = self._outcome()
        return Standing(self._data.weights(self.state.at.coefficients), status, message, False, self.place)

    @property
    def _data(self) -> Any:
        """The geometry with what is left of W(0)."""
        return _problem_at(self.problem, self._sampling, self.state.at).data

    def _outcome(self) -> tuple[Status, str]:
        state = self.numbers
        if self.is_over:
            return "diverged", (
                f"diverged: the exact loss was {float(state.loss):.4g} at step {self.place:,}, initially "
                f"{float(state.initial_loss):.4g}; a smaller step size would help"
            )
        if self.place < self.num_steps:
            return "running", f"at step {self.place:,} of {self.num_steps:,}"
        return "completed", f"completed {self.place:,} drawn steps"

    def _after(self, count: int) -> SampledState:
        return sampled_steps(self.problem, self._sampling, self._key, self.state, count)

    def _numbers(self) -> Any:
        return self.state._replace(at=None, velocity=None, order=None)


def time_sampled_step(dataset: Dataset, network: BaseNetwork, method: Method, sampling: Sampling) -> float:
    """Return the seconds that one drawn step takes, compilation not counted."""
    problem = Problem(geometry(dataset), network, (method,), 0.0)
    state, key = sampled_start(problem), jax.random.key(0)
    return seconds_per_step(lambda count: sampled_steps(problem, sampling, key, state, count))
