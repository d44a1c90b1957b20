"""The training of one seed's networks: a geometry for the lab's descent, of patches known by their inner products alone.

A filter only ever moves by multiples of training patches, w_h(t) = w_h(0) + Σ_i c_{h,i} x_i. Kept as c, with the products
⟨x_i, x_j⟩ taken once, a step costs N² m for N = n P training patches and m filters, and is the step that all d pixels would take
(up to rounding).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from augscope.model.methods import CutMix, Cutout, Erm, Method, Mixup
from augscope.model.network import BaseNetwork, Network
from augscope.studies.canvas.canvases import WEIGHTS, Canvases, SeedCanvases, stream
from augscope.studies.canvas.settings import CanvasSettings
from augscope.training.descent import Descent, time_problem
from augscope.training.problem import Problem

LARGEST_SCORE = 1e6  # margins grow as the logarithm of the steps: only a step that overshoots gets there


class Relu(BaseNetwork):
    """φ(z) = max(z, 0), with slope 0 at 0, of m filters (`width`)."""

    width: int = 2

    @property
    def outputs(self) -> tuple[float, ...]:
        """±√(2/m) in turn: a step size means the same at every m, and m = 2 are the paper's."""
        return tuple(np.sqrt(2 / self.width) * np.resize([1.0, -1.0], self.width))

    def activation(self, z: Any) -> Any:
        """Return φ(z), elementwise, of a NumPy or JAX array."""
        return z.__array_namespace__().maximum(z, 0)

    def activation_slope(self, z: Any) -> Any:
        """Return φ'(z), elementwise."""
        return (z > 0).astype(z.dtype)


def network_of(settings: CanvasSettings) -> BaseNetwork:
    """Return the activation that settings name: ReLU, or the paper's."""
    return Relu(width=settings.width) if settings.network == "relu" else Network(negative_slope=0.1, smoothing=1.0)


def outputs_of(settings: CanvasSettings) -> Float[np.ndarray, " m"]:
    """Return u in f(X) = Σ_p Σ_h u_h φ(⟨w_h, x^(p)⟩), fixed."""
    return np.array(network_of(settings).outputs)


def initial_weights(settings: CanvasSettings, seed: int) -> Float[np.ndarray, "m d"]:
    """Return W(0), independent N(0, σ_0²): the same for every method of a seed."""
    shape = (settings.dim, len(outputs_of(settings)))
    return settings.init_std * stream(seed, WEIGHTS).standard_normal(shape).T


class PatchSpan(NamedTuple):
    """Points whose filters are known by their coefficients c, (m, N), on the N training patches.

    Of training points it is the geometry that a descent goes by (see `training.problem.Geometry`); of other points, it gives their
    scores. Its arrays are NumPy's; a descent has JAX's.

    Attributes:
        labels: +1 or −1.
        products: ⟨x_i, x⟩ of training patches x_i with these points' patches x, point by point: M = len(labels) P.
        initial: ⟨w_h(0), x⟩ of these points' patches.
        outputs: u.
    """

    labels: Float[Any, " points"]
    products: Float[Any, "N M"]
    initial: Float[Any, "m M"]
    outputs: Float[Any, " m"]

    def start(self) -> Float[Array, "m N"]:
        """Return the coefficients of W(0): zeros."""
        return jnp.zeros_like(self.initial)

    def scores(self, coefficients: Float[Any, "m N"], network: BaseNetwork) -> tuple[Any, Any]:
        """Return the patch scores, (points, P), and the projections ⟨w_h, x⟩, (m, M), that they come from."""
        projections = self._projections(coefficients)
        return (self.outputs @ network.activation(projections)).reshape(len(self.labels), -1), projections

    def gradient(self, by_score: Any, projections: Any, network: BaseNetwork) -> Float[Array, "m N"]:
        """Return ∂loss/∂W as coefficients: ∂loss/∂a φ'(⟨w_h, x⟩) u_h for every patch."""
        return by_score.reshape(1, -1) * network.activation_slope(projections) * self.outputs[:, None]

    def projections(self, coefficients: Float[Array, "m N"]) -> Float[Array, "m points P"]:
        """Return ⟨w_h, x⟩ for every patch, by point."""
        return self._projections(coefficients).reshape(len(self.outputs), len(self.labels), -1)

    def pulled_back(self, by_projection: Float[Array, "m points P"]) -> Float[Array, "m N"]:
        """Return ∂loss/∂W as coefficients, given ∂loss/∂⟨w_h, x⟩."""
        return by_projection.reshape(len(self.outputs), -1)

    def _projections(self, coefficients: Any) -> Any:
        return self.initial + coefficients @ self.products

    def norm(self, coefficients: Float[Array, "m N"]) -> Float[Array, ""]:
        """Return the length ‖Σ_i c_{h,i} x_i‖ over all filters."""
        return jnp.sqrt(jnp.maximum((coefficients * (coefficients @ self.products)).sum(), 0))


def spans_of(settings: CanvasSettings, seed: int, canvases: SeedCanvases) -> tuple[PatchSpan, PatchSpan]:
    """Return a seed's training and test points. Cost: (N + M) N d."""
    weights, outputs = initial_weights(settings, seed), outputs_of(settings)
    training = canvases.train.patches.reshape(-1, settings.dim)

    def span(points: Canvases) -> PatchSpan:
        patches = points.patches.reshape(-1, settings.dim)
        return PatchSpan(points.labels.astype(float), training @ patches.T, weights @ patches.T, outputs)

    return span(canvases.train), span(canvases.test)


class Trained(NamedTuple):
    """One trained network.

    Attributes:
        coefficients: c.
        scores: of training patches.
        gradient_norm: ‖∇L(W)‖ at the end.
    """

    coefficients: Float[np.ndarray, "m N"]
    scores: Float[np.ndarray, "n P"]
    gradient_norm: float


def methods_of(settings: CanvasSettings) -> dict[str, Method]:
    """Return the losses to compare by their titles, in the theory's order."""
    cutouts = {title: Cutout(num_cut=num_cut) for title, num_cut in settings.cutouts.items()}
    mixup = {"Mixup": Mixup()} if "mixup" in settings.methods else {}
    return {"ERM": Erm(), **cutouts, **mixup, "CutMix": CutMix()}


def time_step(settings: CanvasSettings, span: PatchSpan, title: str) -> float:
    """Return the seconds of a step of one method, compilation not counted."""
    data = PatchSpan(*map(jnp.asarray, span))
    return time_problem(Problem(data, network_of(settings), (methods_of(settings)[title],), 0.0))


def train(
    settings: CanvasSettings, span: PatchSpan, title: str, progress: Callable[[float], object] | None = None
) -> Trained:
    """Train one network from its seed's W(0) with the expected loss of one method.

    Args:
        settings: step size, number of steps, activation.
        span: the training points, from `spans_of`.
        title: the method's, as `methods_of` has it.
        progress: called with the share of steps done, about once a second. What it raises ends the training.

    Raises:
        FloatingPointError: if the descent diverged, or a score is not finite or beyond 1e6: the step size is too large.
    """
    network, num_steps = network_of(settings), settings.num_steps
    data = PatchSpan(*map(jnp.asarray, span))
    descent = Descent(Problem(data, network, (methods_of(settings)[title],), settings.step_size), num_steps)
    while not (descent.has_reached(num_steps) or descent.is_over):
        descent.advance(num_steps)
        if progress is not None:
            progress(descent.place / num_steps)
    point = descent.state.point
    coefficients = np.asarray(point.coefficients)
    with np.errstate(over="ignore", invalid="ignore"):  # of a descent that diverged
        scores, _ = span.scores(coefficients, network)
    if descent.is_over or not (np.abs(scores) < LARGEST_SCORE).all():  # false for NaN too
        raise FloatingPointError(f"{title} diverged: the step size {settings.step_size:g} is too large")
    return Trained(coefficients, scores, float(data.norm(point.gradient)))
