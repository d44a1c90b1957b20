"""Tables of patch subsets: which patches Cutout keeps, and how CutMix shares patches between two points."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from math import comb
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float


@lru_cache(maxsize=64)
def kept_patches(num_patches: int, num_cut: int) -> Bool[np.ndarray, "subsets P"]:
    """Return a row for each C-subset of the patches, true where a patch is kept."""
    kept = np.ones((comb(num_patches, num_cut), num_patches), dtype=bool)
    for row, cut in enumerate(combinations(range(num_patches), num_cut)):
        kept[row, list(cut)] = False
    return kept


def drawn_subsets(key: Any, size: int, shape: tuple[int, int]) -> Any:
    """Return uniform subsets of so many patches, (draws, P) booleans: going through the patches, each is taken with probability (left to take)/(patches left).

    No sort: on a CPU, XLA's takes a hundred times as long.
    """
    num_draws, num_patches = shape

    def add(to_take: Any, step: Any) -> tuple[Any, Any]:
        chance, patches_left = step
        taken = chance * patches_left < to_take
        return to_take - taken, taken

    chances = jax.random.uniform(key, (num_patches, num_draws))
    patches_left = jnp.arange(num_patches, 0, -1, dtype=chances.dtype)
    start = jnp.full(num_draws, size, chances.dtype)
    return jax.lax.scan(add, start, (chances, patches_left))[1].T


@lru_cache(maxsize=64)
def all_subsets(num_patches: int) -> tuple[Bool[np.ndarray, "subsets P"], Float[np.ndarray, " subsets"]]:
    """Return all 2^P subsets (rows of booleans) and the CutMix law P(S) = 1/((P+1) binom(P, |S|)) (model.md §4)."""
    numbers = np.arange(2**num_patches)
    members = (numbers[:, None] >> np.arange(num_patches)) & 1 == 1
    binomials = np.array([comb(num_patches, size) for size in range(num_patches + 1)])
    return members, 1.0 / ((num_patches + 1) * binomials[members.sum(axis=1)])


@lru_cache(maxsize=64)
def half_subsets(num_patches: int) -> tuple[Bool[np.ndarray, "subsets P"], Float[np.ndarray, " subsets"]]:
    """Return one of each pair {S, complement of S} with both sides non-empty, and the two members' joint probability.

    (i, j, S) and (j, i, complement) are the same mixed input with the same label weights (model.md, identity 6.2), so
    these rows, doubled, stand for all. The smaller side is the row: its sums spread less.
    """
    members, law = all_subsets(num_patches)
    sizes = members.sum(axis=1)
    chosen = (sizes > 0) & ((2 * sizes < num_patches) | ((2 * sizes == num_patches) & members[:, 0]))
    return members[chosen], 2 * law[chosen]
