"""What is trained, as one value: data, network, losses and step size; and the loss with its gradient at a point of it.

Training moves *coefficients*: a tree of arrays that says how far each filter has moved along each vector that gradients are
made of. What the arrays mean, how many filters there are and which vectors, is known to the `Geometry` alone. To train
something new, write a `NamedTuple` of arrays with the methods of `Geometry`, traceable by JAX, and give it to a `Problem`;
`descent.take_steps` then trains it, and under `jax.vmap` as many of them as are stacked in its arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from augscope.model.methods import Method
from augscope.model.methods.base import call_loss
from augscope.model.network import BaseNetwork
from augscope.support.values import check


class Geometry(Protocol):
    """What training needs of the data and of the network's fixed outputs; N vectors span what the filters can move along.

    - `labels`: of each point, +1 or −1, in the dtype of all arrays;
    - `start`: the coefficients of W(0), zeros;
    - `scores`: the patch scores, and the projections ⟨w_h, x⟩ that they come from, in whatever order suits `gradient`;
    - `gradient`: ∂loss/∂W as coefficients, given ∂loss/∂scores and the projections that `scores` returned: the chain rule;
    - `norm`: the length of the filters that coefficients stand for, without W(0).

    For methods whose loss is one of projections: `projections(coefficients)`, (2, n, P) by position, and `pulled_back`, which makes
    coefficients of a derivative in them.

    Who asks for more has more: `probabilities`, (n,), the points' weights in the loss where they are not uniform;
    `observe(point, network)`, what a recorder measures, and `weights(coefficients)`, the filters themselves, (filters, D), for
    `loop.Loop`; `lengths()` for `flow`, a tree like the coefficients with the vectors' lengths, shaped to be multiplied with it.
    """

    @property
    def labels(self) -> Float[Array, " n"]: ...
    def start(self) -> Any: ...
    def scores(self, coefficients: Any, network: BaseNetwork) -> tuple[Float[Array, "n P"], Any]: ...
    def gradient(self, by_score: Float[Array, "n P"], projections: Any, network: BaseNetwork) -> Any: ...
    def norm(self, coefficients: Any) -> Float[Array, ""]: ...


@partial(jax.tree_util.register_dataclass, data_fields=["data", "step_size"], meta_fields=["network", "methods"])
@dataclass(frozen=True)
class Problem:
    """What is trained. A tree of arrays to JAX, so that it goes into compiled functions as it is.

    Attributes:
        data: a `Geometry`, or several of one shape stacked into one, for a batch.
        network: the activation.
        methods: losses to train with, one or more; a step is taken with one, see `only`, or with all, see `evaluate_all`.
        step_size: η; 0 for a gradient flow.
    """

    data: Any
    network: BaseNetwork
    methods: tuple[Method, ...]
    step_size: float

    @property
    def method(self) -> Method:
        """The loss of a problem with one method. Raises ValueError if there are several."""
        check(
            len(self.methods) == 1,
            f"`methods` must be one to train with, got {len(self.methods)}: choose it by `only`",
        )
        return self.methods[0]

    def only(self, method: Method) -> Problem:
        """Return the same problem with one method."""
        return replace(self, methods=(method,))


class Point(NamedTuple):
    """Coefficients, with the loss and its gradient there."""

    coefficients: Any
    loss: Any
    gradient: Any  # ∇L, as coefficients


def evaluate(problem: Problem, coefficients: Any) -> Point:
    """Return the point at these coefficients. Cost: a product with the geometry's vectors, and the method."""
    data, network, method = problem.data, problem.network, problem.method
    probabilities = getattr(data, "probabilities", None)
    if method.of_projections:
        projections = data.projections(coefficients)
        function = partial(method.raw_loss_of_projections, network=network)
        loss, slopes = call_loss(function, projections, data.labels, probabilities)
        return Point(coefficients, loss, data.pulled_back(slopes))
    scores, projections = data.scores(coefficients, network)
    loss, by_score = call_loss(method.raw_loss_and_gradient, scores, data.labels, probabilities)
    return Point(coefficients, loss, data.gradient(by_score, projections, network))


def evaluate_all(problem: Problem, coefficients: Any) -> Point:
    """Return the points of several methods, each at coefficients of its own: all is stacked, with a leading axis of methods.

    None of them may be `of_projections`. Cost: that of each, but the geometry's vectors are read once for all filters.
    """
    data, network = problem.data, problem.network
    probabilities = getattr(data, "probabilities", None)
    scores, projections = jax.vmap(lambda at: data.scores(at, network))(coefficients)
    results = [
        call_loss(method.raw_loss_and_gradient, scores[index], data.labels, probabilities)
        for index, method in enumerate(problem.methods)
    ]
    losses, by_score = (jnp.stack(parts) for parts in zip(*results, strict=True))
    gradients = jax.vmap(lambda slopes, seen: data.gradient(slopes, seen, network))(by_score, projections)
    return Point(coefficients, losses, gradients)


@partial(jax.jit, static_argnums=1)
def observe(data: Any, network: BaseNetwork, point: Point) -> Any:
    """Return what a recorder measures at a point: one compiled program, whatever the method."""
    return data.observe(point, network)


@partial(jax.jit, static_argnums=1)
def observe_all(data: Any, network: BaseNetwork, points: Point) -> Any:
    """Return what recorders measure at each point of a batch, whose geometries are stacked in `data`."""
    return jax.vmap(lambda one, point: one.observe(point, network))(data, points)
