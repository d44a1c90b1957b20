"""CutMix of a population whose types stand for all their positions: a few hundred terms a pair in place of all placed pairs."""

from __future__ import annotations

from functools import lru_cache
from math import comb
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from augscope.model.methods.base import logistic
from augscope.model.methods.cutmix import CutMix


class PlacedCutMix(CutMix):
    """Expected CutMix on `placed_population`: its columns are the feature, the dominant and P − 2 equal background patches.

    Where every order of the patches is equally likely, a mixed point takes s random patches of X_i and P − s random ones of X_j,
    independently: both matter by how many of each kind they are. Equal to `CutMix` on `population`.

    Cost: 10 terms at P = 3 and some 8 more for each further patch, times (4K)².
    """

    name: Literal["placed_cutmix"] = "placed_cutmix"  # type: ignore[assignment]

    def raw_loss_and_gradient(self, scores: Any, labels: Any, probabilities: Any = None) -> tuple[Any, Any]:
        """Return the loss and gradient without checking arguments."""
        num_patches = scores.shape[1]
        mine, other, share, law = _terms(num_patches)
        if probabilities is None:
            probabilities = jnp.full(len(labels), 1 / len(labels))
        slots = scores[:, :2]
        if num_patches > 2:
            slots = jnp.concatenate([slots, scores[:, 2:].mean(axis=1, keepdims=True)], axis=1)
        kinds = slots.shape[1]
        mine, other = mine[:, :kinds], other[:, :kinds]
        mixed = (mine @ slots.T)[:, :, None] + (other @ slots.T)[:, None, :]  # (terms, i, j)
        negative = (labels < 0).astype(scores.dtype)
        share = share[:, None, None]
        wrong = share * negative[None, :, None] + (1 - share) * negative[None, None, :]
        losses, slopes = logistic(mixed)  # ℓ(y m) = ℓ(m) + m where y = −1
        weights = law[:, None, None] * probabilities[None, :, None] * probabilities[None, None, :]
        slopes = weights * (slopes + wrong)
        by_slot = slopes.sum(axis=2).T @ mine + slopes.sum(axis=1).T @ other
        spread = jnp.array([1.0, 1.0, *[1 / max(1, num_patches - 2)] * (num_patches - 2)])
        columns = np.minimum(np.arange(num_patches), kinds - 1)
        return (weights * (losses + wrong * mixed)).sum(), by_slot[:, columns] * spread[None, :]


@lru_cache(maxsize=16)
def _terms(num_patches: int) -> tuple[Any, Any, Any, Any]:
    """How many patches of each kind come from either point, (T, 3) each; λ = s/P and the probability of each term.

    Terms with s > P/2 are those with s < P/2, the points exchanged: these count twice.
    """
    backgrounds, rows = num_patches - 2, []
    choices: dict[int, list[tuple[tuple[int, int, int], float]]] = {size: [] for size in range(num_patches + 1)}
    for feature in (0, 1):
        for dominant in (0, 1):
            for background in range(backgrounds + 1):
                size = feature + dominant + background
                chance = comb(backgrounds, background) / comb(num_patches, size)
                choices[size].append(((feature, dominant, background), chance))
    for size in range(num_patches // 2 + 1):
        times = 1 if 2 * size == num_patches else 2
        for kinds, chance in choices[size]:
            for others, other_chance in choices[num_patches - size]:
                law = times * chance * other_chance / (num_patches + 1)
                rows.append((kinds, others, size / num_patches, law))
    columns = zip(*rows, strict=True)
    mine, other, share, law = (np.array(column, float) for column in columns)
    return mine, other, share, law
