"""Patches of natural texture, from scikit-learn's bundled photographs: what real backgrounds are made of."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

PHOTOGRAPHS = ("china", "flower")
LEAST_STD = 8.0  # grey levels: below, a patch is plain sky, and scaling it up would show the camera's noise


@lru_cache(maxsize=1)
def halves() -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """The left and right halves of the photographs, in grey levels: training and test never share a pixel."""
    greys = [np.asarray(Image.fromarray(load_sample_image(f"{name}.jpg")).convert("L"), float) for name in PHOTOGRAPHS]
    middles = [grey.shape[1] // 2 for grey in greys]
    left = tuple(grey[:, :middle] for grey, middle in zip(greys, middles, strict=True))
    return left, tuple(grey[:, middle:] for grey, middle in zip(greys, middles, strict=True))


def draw_textures(generator: np.random.Generator, count: int, side: int, half: int) -> np.ndarray:
    """Return texture patches of unit norm without their mean, (count, side²).

    Each is a uniform crop, turned and mirrored at random, of one half (0 left, 1 right) of a photograph; crops without
    texture are drawn again.
    """
    patches = np.empty((count, side * side))
    for row in range(count):
        while True:
            crop = _crop(generator, side, half)
            if crop.std() >= LEAST_STD:
                break
        centred = (crop - crop.mean()).ravel()
        patches[row] = centred / np.linalg.norm(centred)
    return patches


def _crop(generator: np.random.Generator, side: int, half: int) -> np.ndarray:
    photograph = halves()[half][generator.integers(len(PHOTOGRAPHS))]
    row, column = (generator.integers(length - side + 1) for length in photograph.shape)
    crop = np.rot90(photograph[row : row + side, column : column + side], int(generator.integers(4)))
    return crop[:, ::-1] if generator.integers(2) else crop
