"""Brute force, written from model.md with loops: what every fast path is compared with. Imports nothing of augscope.

Cost is no object here: every subset, every ordered pair, every coordinate. Sums are exact (`math.fsum`), so the error of
an oracle value is that of its single terms, a few 1e-16 relative.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from itertools import combinations

import numpy as np

LossAndGradient = Callable[..., tuple[float, np.ndarray]]  # of scores, labels and, if not uniform, weights
Term = tuple[float, float, list[tuple[int, int]]]  # (probability, label, the (point, patch) pairs whose scores add up)


def logistic(z: float) -> float:
    """ℓ(z) = log(1 + e^{−z}), without overflow and without cancellation."""
    return math.log1p(math.exp(-abs(z))) + max(-z, 0.0)


def logistic_slope(z: float) -> float:
    """ℓ'(z) = −1/(1 + e^z), without overflow."""
    return -math.exp(-z) / (1 + math.exp(-z)) if z > 0 else -1 / (1 + math.exp(z))


def loss_and_gradient(scores: np.ndarray, terms: Iterable[Term]) -> tuple[float, np.ndarray]:
    """Σ probability · ℓ(label · Σ scores), and its derivative in every score."""
    losses: list[float] = []
    slopes: dict[tuple[int, int], list[float]] = {index: [] for index in np.ndindex(*scores.shape)}
    for probability, label, members in terms:
        margin = label * math.fsum(scores[member] for member in members)
        losses.append(probability * logistic(margin))
        for member in members:
            slopes[member].append(probability * label * logistic_slope(margin))
    gradient = np.array([math.fsum(slopes[index]) for index in np.ndindex(*scores.shape)])
    return math.fsum(losses), gradient.reshape(scores.shape)


def subsets(num_patches: int) -> list[tuple[int, ...]]:
    """Every subset of the patches."""
    return [chosen for size in range(num_patches + 1) for chosen in combinations(range(num_patches), size)]


def uniform(scores: np.ndarray) -> np.ndarray:
    """Weights of 1/n."""
    return np.full(len(scores), 1 / len(scores))


def erm(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    """Σ_i w_i ℓ(y_i f(X_i))."""
    n, num_patches = scores.shape
    w = uniform(scores) if weights is None else weights
    return loss_and_gradient(scores, [(w[i], labels[i], [(i, p) for p in range(num_patches)]) for i in range(n)])


def cutout(
    scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None, num_cut: int = 1
) -> tuple[float, np.ndarray]:
    """Σ_i w_i E_𝒞 ℓ(y_i f(X_{i,𝒞})): every C-subset of every point."""
    n, num_patches = scores.shape
    w = uniform(scores) if weights is None else weights
    cuts = list(combinations(range(num_patches), num_cut))
    terms = [
        (w[i] / len(cuts), labels[i], [(i, p) for p in range(num_patches) if p not in cut])
        for i in range(n)
        for cut in cuts
    ]
    return loss_and_gradient(scores, terms)


def cutmix(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    """Σ_{i,j} w_i w_j E_S [λ ℓ(y_i f) + (1 − λ) ℓ(y_j f)]: every ordered pair, every subset, each label's term apart."""
    n, num_patches = scores.shape
    w = uniform(scores) if weights is None else weights
    terms: list[Term] = []
    for chosen in subsets(num_patches):
        of_subset = 1 / ((num_patches + 1) * math.comb(num_patches, len(chosen)))
        share = len(chosen) / num_patches
        for i in range(n):
            for j in range(n):
                probability = of_subset * w[i] * w[j]
                mixed = [(i if p in chosen else j, p) for p in range(num_patches)]
                terms += [(probability * share, labels[i], mixed), (probability * (1 - share), labels[j], mixed)]
    return loss_and_gradient(scores, terms)


def cutout_margins(scores: np.ndarray, labels: np.ndarray, num_cut: int) -> np.ndarray:
    """Each point's smallest y f over all its cut versions."""
    n, num_patches = scores.shape
    keeps = [[p for p in range(num_patches) if p not in cut] for cut in combinations(range(num_patches), num_cut)]
    return np.array([min(labels[i] * math.fsum(scores[i, keep]) for keep in keeps) for i in range(n)])


def activation(z: float, beta: float, r: float) -> float:
    """φ, piece by piece."""
    if z <= 0:
        return beta * z
    return (1 - beta) * z**2 / (2 * r) + beta * z if z <= r else z - (1 - beta) * r / 2


def activation_slope(z: float, beta: float, r: float) -> float:
    """φ', piece by piece."""
    if z <= 0:
        return beta
    return (1 - beta) * z / r + beta if z <= r else 1.0


def patch_scores(weights: np.ndarray, patches: np.ndarray, beta: float, r: float) -> np.ndarray:
    """a_{i,p} = φ(⟨w_1, x⟩) − φ(⟨w_{−1}, x⟩)."""
    scores = np.zeros(patches.shape[:2])
    for i, p in np.ndindex(*scores.shape):
        scores[i, p] = activation(weights[0] @ patches[i, p], beta, r) - activation(weights[1] @ patches[i, p], beta, r)
    return scores


def weight_gradient(
    weights: np.ndarray, patches: np.ndarray, labels: np.ndarray, beta: float, r: float, loss: LossAndGradient
) -> tuple[float, np.ndarray]:
    """The loss and ∂loss/∂W, patch by patch: Σ_{i,p} (∂loss/∂a_{i,p}) · s · φ'(⟨w_s, x⟩) x."""
    value, slopes = loss(patch_scores(weights, patches, beta, r), labels)
    gradient = np.zeros_like(weights)
    for i, p in np.ndindex(*slopes.shape):
        for row, sign in ((0, 1), (1, -1)):
            slope = activation_slope(weights[row] @ patches[i, p], beta, r)
            gradient[row] += slopes[i, p] * sign * slope * patches[i, p]
    return value, gradient


def descend(
    weights: np.ndarray,
    patches: np.ndarray,
    labels: np.ndarray,
    beta: float,
    r: float,
    loss: LossAndGradient,
    step_size: float,
    num_steps: int,
) -> tuple[np.ndarray, list[float], list[float]]:
    """W(T) by gradient descent on the weights themselves, and loss and gradient norm at 0 … T."""
    losses, norms = [], []
    for step in range(num_steps + 1):
        value, gradient = weight_gradient(weights, patches, labels, beta, r, loss)
        losses.append(value)
        norms.append(math.sqrt(math.fsum((gradient**2).ravel())))
        if step < num_steps:
            weights = weights - step_size * gradient
    return weights, losses, norms


def of(method: object) -> LossAndGradient:
    """The oracle of a method, by its name."""
    name = getattr(method, "name")  # noqa: B009 - the oracle knows no class of the library
    return {"erm": erm, "cutout": partial(cutout, num_cut=getattr(method, "num_cut", 1)), "cutmix": cutmix}[name]
