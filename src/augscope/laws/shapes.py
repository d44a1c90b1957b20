"""Pictures of masks and of pairings in numbers: extents, centres, whole patches, and the kind of a pairing."""

from __future__ import annotations

import numpy as np

FLIP, SAME_PARTNERS = "flip", "the same partners in every call"


def pairing_kind(partner: np.ndarray) -> tuple[str, bool]:
    """The pairing of (R, N) partners (−1: not seen) in words, and whether it never changes."""
    calls, count = partner.shape
    known, mine = partner >= 0, np.arange(count)
    offsets = np.unique(((partner - mine) % count)[known])
    if len(offsets) == 1:
        return f"roll by {offsets[0]}", True
    if (partner + mine == count - 1)[known].all():
        return FLIP, True
    if all(len(np.unique(partner[known[:, i], i])) <= 1 for i in range(count)) and calls > 1:
        return SAME_PARTNERS, True
    repeats = any(len(np.unique(row[row >= 0])) < (row >= 0).sum() for row in partner)
    return ("drawn with repeats" if repeats else "a permutation, a new one in every call"), False


def extents(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Height and width of the smallest rectangle around every mask of (m, H, W)."""
    return _span(np.any(masks, axis=2)), _span(np.any(masks, axis=1))


def corners(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First row and first column of every mask of (m, H, W); 0 where there are no pixels."""
    return np.any(masks, axis=2).argmax(axis=1), np.any(masks, axis=1).argmax(axis=1)


def _span(line: np.ndarray) -> np.ndarray:
    length = line.shape[1]
    first, last = line.argmax(axis=1), length - line[:, ::-1].argmax(axis=1)
    return np.where(line.any(axis=1), last - first, 0)


def centres(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean row and column of the pasted pixels of (…, H, W) masks; 0 where there are none."""
    total = np.maximum(masks.sum(axis=(-2, -1)), 1)
    rows = (masks.sum(axis=-1) @ np.arange(masks.shape[-2])) / total
    return rows, (masks.sum(axis=-2) @ np.arange(masks.shape[-1])) / total


def patch_grid(masks: np.ndarray) -> tuple[int, int] | None:
    """The grid whose patches (m, H, W) masks are made of, or None where they are made of single pixels, or are whole."""
    size = masks.shape[1:]
    rows = np.flatnonzero((masks[:, 1:, :] != masks[:, :-1, :]).any(axis=(0, 2))) + 1
    columns = np.flatnonzero((masks[:, :, 1:] != masks[:, :, :-1]).any(axis=(0, 1))) + 1
    height, width = (
        int(np.gcd.reduce(np.append(edges, side))) for edges, side in zip((rows, columns), size, strict=True)
    )
    grid = (size[0] // height, size[1] // width)
    return grid if min(height, width) > 1 and grid != (1, 1) else None


def whole_patches(masks: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Whether each of (m, H, W) masks is made of whole patches of the grid, which divides the image."""
    count, height, width = masks.shape
    cells = masks.reshape(count, grid[0], height // grid[0], grid[1], width // grid[1])
    return (cells == cells[:, :, :1, :, :1]).all(axis=(1, 2, 3, 4))
