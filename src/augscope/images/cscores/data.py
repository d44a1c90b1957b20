"""Labelled images as one value, whatever they were read from; and scikit-learn's digits as such."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from augscope.values import check


@dataclass(frozen=True)
class LabelledImages:
    """Images in their published order.

    Attributes:
        images: (n, C, H, W), uint8, H = W.
        labels: (n,), int64, in [0, K).
        class_names: K names.
        source: what they are, in words.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    source: str

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.class_names)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of images and labels. Cost: a pass over the bytes, some 0.1 s for CIFAR-10."""
        found = hashlib.sha256(repr((self.images.shape, self.num_classes)).encode())
        found.update(self.images.tobytes())
        found.update(self.labels.astype(np.int64).tobytes())
        return found.hexdigest()


def read_digits() -> LabelledImages:
    """Return scikit-learn's 1,797 scanned digits: 8 × 8 pixels of 0 … 16, ten classes."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = np.asarray(pixels).astype(np.uint8).reshape(-1, 1, 8, 8)
    return LabelledImages(
        images, np.asarray(labels).astype(np.int64), tuple("0123456789"), "the digits that scikit-learn carries"
    )


def read_data(name: str) -> LabelledImages:
    """Return the digits for "digits", else the CIFAR-10 files of a folder. Raises ValueError as `read_cifar10` does."""
    from augscope.images.cscores.cifar import read_cifar10

    return read_digits() if name == "digits" else read_cifar10(Path(name))


def hold_out(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return the indices of held-out points, sorted: the same share of every class, drawn at random.

    Args:
        labels: (n,).
        share: in (0, 1).
        seed: of the draw.

    Raises:
        ValueError: if that would hold out nothing, or a class whole.
    """
    generator = np.random.default_rng(np.random.SeedSequence([seed, 11]))
    chosen = [
        generator.permutation(np.flatnonzero(labels == label))[:count]
        for label, count in _held_per_class(labels, share).items()
    ]
    return np.sort(np.concatenate(chosen))


def num_kept(labels: np.ndarray, share: float) -> int:
    """Return how many points `hold_out` leaves to train on. Raises ValueError as it does."""
    return len(labels) - sum(_held_per_class(labels, share).values())


def _held_per_class(labels: np.ndarray, share: float) -> dict[int, int]:
    check(0 < share < 1, f"`hold_out` must be above 0 and below 1, so that points are left to train on, got {share:g}")
    counts = {int(label): int(count) for label, count in zip(*np.unique(labels, return_counts=True), strict=True)}
    held = {label: round(share * count) for label, count in counts.items()}
    for label, count in counts.items():
        check(
            0 < held[label] < count,
            f"`hold_out` must leave points of every class on both sides, got {share:g}, which holds out {held[label]} of "
            f"the {count} points of class {label}",
        )
    return held
