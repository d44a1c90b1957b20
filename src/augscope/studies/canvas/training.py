"""Full-batch gradient descent of many seeds at once, in the span of the training patches.

A filter only ever moves by multiples of training patches, w_h(t) = w_h(0) + Σ_i c_{h,i} x_i. Kept as c, with the products
⟨x_i, x_j⟩ taken once, a step costs N² m for N = n P patches whatever the number of pixels, and is the step that all d pixels would
take (up to rounding). Test patches enter by their products with training patches and with w(0).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from augscope.studies.canvas.canvases import WEIGHTS, Canvases, draw_canvases, stream
from augscope.studies.canvas.losses import gradient
from augscope.studies.canvas.networks import PatchNetwork, network_of
from augscope.studies.canvas.settings import CanvasSettings, TrainingMethod

LARGEST_SCORE = 1e6  # margins grow as the logarithm of the steps: only a step that overshoots gets there
TELL_EVERY = 50  # steps between two calls of `progress`


@dataclass(frozen=True)
class Span:
    """What training needs to know of S seeds' patches, N = n P in training and M in test.

    Attributes:
        gram: ⟨x_i, x_j⟩ among training patches, (S, N, N).
        test_products: of test patches with training patches, (S, M, N).
        initial, initial_test: ⟨w_h(0), x⟩ for training and test patches, (S, N, m) and (S, M, m).
        labels: (n,), the same for all seeds.
        num_patches: P.
        train, test: the canvases' descriptions, one a seed, without pixels.
    """

    gram: Tensor
    test_products: Tensor
    initial: Tensor
    initial_test: Tensor
    labels: Tensor
    num_patches: int
    train: tuple[Canvases, ...]
    test: tuple[Canvases, ...]


@dataclass(frozen=True)
class Trained:
    """What S trained networks say.

    Attributes:
        scores: of training patches, (S, n, P).
        test_scores: of test patches, (S, tests, P).
        coefficients: c, (S, N, m).
        gradient_norm: ‖∇L(W)‖ at the end, (S,).
    """

    scores: Tensor
    test_scores: Tensor
    coefficients: Tensor
    gradient_norm: Tensor


def span_of(settings: CanvasSettings, seeds: Sequence[int]) -> Span:
    """Draw the seeds' canvases and reduce them to their products. Cost: (M + N) N d a seed, one seed's pixels at a time."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pieces = [_reduced(settings, seed, device) for seed in seeds]
    products = [products for products, _, _ in pieces]
    gram, test_products, initial, initial_test = (torch.stack(part) for part in zip(*products, strict=True))
    return Span(
        gram,
        test_products,
        initial,
        initial_test,
        labels=torch.from_numpy(pieces[0][1].labels).to(gram),
        num_patches=settings.num_patches,
        train=tuple(train for _, train, _ in pieces),
        test=tuple(test for _, _, test in pieces),
    )


def _reduced(
    settings: CanvasSettings, seed: int, device: torch.device
) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], Canvases, Canvases]:
    drawn = draw_canvases(settings, seed)
    train, test = (torch.from_numpy(part.patches).to(device).flatten(0, 1) for part in (drawn.train, drawn.test))
    weights = torch.from_numpy(initial_weights(settings, seed)).to(device)
    products = (train @ train.T, test @ train.T, train @ weights, test @ weights)
    return products, _without_pixels(drawn.train), _without_pixels(drawn.test)


def _without_pixels(canvases: Canvases) -> Canvases:
    return Canvases(
        **{**vars(canvases), "patches": np.empty((0, *canvases.patches.shape[1:]))}
    )  # a slice would keep them all


def initial_weights(settings: CanvasSettings, seed: int) -> np.ndarray:
    """Return W(0), (d, m) float64, independent N(0, σ_0²): the same for every method of a seed."""
    num_filters = network_of(settings).num_filters
    return settings.init_std * stream(seed, WEIGHTS).standard_normal((settings.dim, num_filters))


def train(
    settings: CanvasSettings,
    span: Span,
    method: TrainingMethod,
    progress: Callable[[float], object] | None = None,
) -> Trained:
    """Train one method on all seeds of a span.

    Args:
        settings: step size, number of steps, network.
        span: from `span_of`; every method of a seed starts from the same weights and sees the same points.
        method: the loss.
        progress: called with the share of steps done.

    Raises:
        FloatingPointError: if a score is not finite or beyond 1e6: the step size is too large.
    """
    network = network_of(settings)
    outputs = network.outputs(span.gram)
    coefficients = torch.zeros_like(span.initial)
    for step in range(settings.num_steps):
        projections = torch.baddbmm(span.initial, span.gram, coefficients)
        coefficients -= settings.step_size * _slopes(network, span, method, projections, outputs)
        if progress is not None and step % TELL_EVERY == 0:
            progress(step / settings.num_steps)
    projections = torch.baddbmm(span.initial, span.gram, coefficients)
    scores = network.scores(projections, span.num_patches)
    if not bool((scores.abs() < LARGEST_SCORE).all()):  # false for NaN too
        raise FloatingPointError(f"{method.title} diverged: the step size {settings.step_size:g} is too large")
    slopes = _slopes(network, span, method, projections, outputs)
    test = torch.baddbmm(span.initial_test, span.test_products, coefficients)
    norm = (slopes * torch.bmm(span.gram, slopes)).sum(dim=(1, 2)).clamp(min=0).sqrt()
    return Trained(scores, network.scores(test, span.num_patches), coefficients, norm)


def _slopes(network: PatchNetwork, span: Span, method: TrainingMethod, projections: Tensor, outputs: Tensor) -> Tensor:
    """∂L/∂⟨w_h, x_i⟩, (S, N, m): the coefficients of the gradient in the training patches."""
    scores = network.scores(projections, span.num_patches)
    by_score = gradient(method, scores, span.labels)
    return by_score.reshape(len(scores), -1, 1) * network.slope(projections) * outputs
