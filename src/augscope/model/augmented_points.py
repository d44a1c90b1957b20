"""Single augmented points, as the paper defines them: what Cutout and CutMix make of the patches, and the labels that remain."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from augscope.model.dataset import Dataset
from augscope.support.values import check


class AugmentedPoint(NamedTuple):
    """A point that a loss is taken of: Σ weight × ℓ(label f(patches)).

    Attributes:
        patches: (P, D), in the coordinates of the dataset.
        labels: +1 or −1, one or two.
        weights: of the labels, in [0, 1], summing to 1.
    """

    patches: Float[Array, "P D"]
    labels: tuple[int, ...]
    weights: tuple[float, ...]


def cutout_point(dataset: Dataset, i: int, cut: Collection[int]) -> AugmentedPoint:
    """Return X_{i,𝒞} of Cutout (paper, §2.3): the patches of point i at the positions 𝒞 become 0, the label stays.

    Args:
        dataset: a drawn sample; a limit has no patches.
        i: the point, from 0.
        cut: 𝒞, distinct positions in 0 … P−1: at least one, and not all.

    Raises:
        ValueError: naming the argument.

    Example:
        >>> import jax, augscope as ag
        >>> jax.config.update("jax_enable_x64", True)
        >>> dataset = ag.presets.theorem.replace(num_samples=2).sample(0)
        >>> point = ag.cutout_point(dataset, 0, {1})
        >>> (point.patches != 0).any(axis=1).tolist(), len(point.labels), point.weights
        ([True, False, True], 1, (1.0,))
    """
    patches, positions = _patches(dataset, "i", i), _positions(dataset, "cut", cut)
    num_patches = len(patches)
    check(1 <= len(positions) < num_patches, f"`cut` must hold 1 to {num_patches - 1} positions, got {len(positions)}")
    return AugmentedPoint(patches.at[jnp.array(positions)].set(0), (int(dataset.labels[i]),), (1.0,))


def cutmix_point(dataset: Dataset, i: int, j: int, subset: Collection[int]) -> AugmentedPoint:
    """Return X_{i,j,S} of CutMix (paper, §2.3): patches at the positions S from point i, the others from j; λ = |S|/P.

    Args:
        dataset: a drawn sample; a limit has no patches.
        i, j: the points, from 0; they may be the same.
        subset: S, distinct positions in 0 … P−1; none and all are allowed, with λ = 0 and 1.

    Returns:
        The patches, the labels (y_i, y_j) and their weights (λ, 1 − λ).

    Raises:
        ValueError: naming the argument.

    Example:
        >>> import jax, augscope as ag
        >>> jax.config.update("jax_enable_x64", True)
        >>> dataset = ag.presets.theorem.replace(num_samples=2).sample(0)
        >>> [round(weight, 3) for weight in ag.cutmix_point(dataset, 0, 1, {0, 2}).weights]
        [0.667, 0.333]
    """
    own, other = _patches(dataset, "i", i), _patches(dataset, "j", j)
    positions = _positions(dataset, "subset", subset)
    inside = jnp.isin(jnp.arange(len(own)), jnp.array(positions, int))
    share = len(positions) / len(own)
    labels = int(dataset.labels[i]), int(dataset.labels[j])
    return AugmentedPoint(jnp.where(inside[:, None], own, other), labels, (share, 1 - share))


def _patches(dataset: Any, name: str, index: int) -> Float[Array, "P D"]:
    """The patches of one point, checked."""
    count = len(dataset.labels)
    check(0 <= index < count, f"`{name}` must be in 0 … {count - 1}, got {index}")
    return dataset.patches[index]


def _positions(dataset: Dataset, name: str, given: Collection[int]) -> list[int]:
    """Positions of patches in order, checked."""
    positions, last = sorted(set(given)), dataset.distribution.num_patches - 1
    within = len(positions) == len(given) and all(0 <= position <= last for position in positions)
    check(within, f"`{name}` must hold distinct positions in 0 … {last}, got {list(given)}")
    return positions
