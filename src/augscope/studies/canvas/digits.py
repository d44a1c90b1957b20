"""Scikit-learn's bundled handwritten digits as features: resized, without their mean, of unit norm."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

NUM_CLASSES = 10
NEAREST = 80  # digits of a class that count as homogeneous


@lru_cache(maxsize=4)
def unit_digits(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all 1,797 digits as unit vectors, (1797, side²) float64, and their classes, (1797,); not to be written to.

    The 8×8 images are resized (bicubic) and the mean over all of them is subtracted: what they share tells nothing apart, and
    the paper's features are orthogonal. The mean knows no labels, so it takes nothing from the test.
    """
    pixels, classes = (np.asarray(part) for part in load_digits(return_X_y=True))
    resized = np.stack([_resized(image, side) for image in pixels.reshape(-1, 8, 8)])
    centred = resized - resized.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    unit.setflags(write=False)
    return unit, classes


def _resized(image: np.ndarray, side: int) -> np.ndarray:
    grown = Image.fromarray(image.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(grown, float).ravel()


def pool(images: np.ndarray, classes: np.ndarray, preset: str, digit: int) -> np.ndarray:
    """Return the indices of a class's digits that a preset draws from: all, or the 80 nearest to the class mean."""
    members = np.flatnonzero(classes == digit)
    if preset == "all":
        return members
    distance = ((images[members] - images[members].mean(axis=0)) ** 2).sum(axis=1)
    return members[np.argsort(distance, kind="stable")[:NEAREST]]
