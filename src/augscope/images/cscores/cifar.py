"""CIFAR-10's training batches from the published files, binary or pickled; only the training batches have C-scores.

Format: https://www.cs.toronto.edu/~kriz/cifar.html. Order: batch 1 to 5, as the published C-scores have it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from augscope.images.cscores.data import LabelledImages
from augscope.images.cscores.plain_pickle import array_of, read_plain_pickle
from augscope.values import check

NUM_BATCHES = 5
SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32
RECORD_BYTES = 1 + PIXELS  # a label, then the red, the green and the blue plane
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
LARGEST_BYTES = (
    1 << 28
)  # of a batch file, which as published has 31 MB: no reader should fill the memory with a mistake

Batch = tuple[np.ndarray, np.ndarray]  # images (n, 3, 32, 32) uint8, labels (n,) int64


def read_cifar10(folder: Path) -> LabelledImages:
    """Return the training images of CIFAR-10 in their published order.

    Args:
        folder: with `data_batch_1.bin` … `data_batch_5.bin` (the binary version) or `data_batch_1` … `data_batch_5` (the
            python version, of which nothing is executed), or with the folder that the published archive unpacks to.

    Raises:
        ValueError: if batches are missing, truncated, of different lengths or not what they should be; with the file's name.

    Cost: about 0.3 s and 154 MB, twice that while it reads.
    """
    check(folder.is_dir(), f"`data` must be digits or a folder with CIFAR-10's files, got {folder}")
    paths, read = _find(folder)
    batches = [_read(path, read) for path in paths]
    sizes = [len(labels) for _, labels in batches]
    for path, size in zip(paths, sizes, strict=True):
        check(
            size == sizes[0],
            f"`data` must hold batches of one length, got {size:,} in {path} and {sizes[0]:,} in {paths[0]}",
        )
    images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return LabelledImages(images, labels, CLASSES, f"CIFAR-10's {len(labels):,} training images")


def _find(folder: Path) -> tuple[list[Path], Callable[[bytes], Batch]]:
    """The five files and their reader. Raises ValueError naming those that are missing."""
    kinds = [(".bin", "cifar-10-batches-bin", from_binary), ("", "cifar-10-batches-py", from_pickle)]
    for ending, usual, read in kinds:
        for place in (folder, folder / usual):
            paths = [place / f"data_batch_{number}{ending}" for number in range(1, NUM_BATCHES + 1)]
            missing = [path.name for path in paths if not path.is_file()]
            if len(missing) < NUM_BATCHES:
                check(
                    not missing, f"`data` must hold all five training batches, got {place} without {', '.join(missing)}"
                )
                return paths, read
    raise ValueError(
        f"`data` must hold data_batch_1.bin to data_batch_5.bin, or data_batch_1 to data_batch_5, got {folder} with none "
        "of them"
    )


def _read(path: Path, read: Callable[[bytes], Batch]) -> Batch:
    try:
        size = path.stat().st_size
        check(0 < size <= LARGEST_BYTES, f"it has {size:,} bytes")
        images, labels = read(path.read_bytes())
    except OSError as error:
        raise ValueError(f"`data` must be readable, got {path}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"`data` must be a CIFAR-10 batch, got {path}: {error}") from None
    for index in np.flatnonzero((labels < 0) | (labels >= len(CLASSES))):
        raise ValueError(f"`data` must have labels from 0 to 9, got {path} with {labels[index]} at image {index}")
    return images, labels


def from_binary(content: bytes) -> Batch:
    """Return the images and labels of a file of the binary version. Raises ValueError; its sentence begins with "it"."""
    check(
        len(content) % RECORD_BYTES == 0,
        f"it has {len(content):,} bytes, which is no multiple of the {RECORD_BYTES:,} of an image: it is truncated",
    )
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD_BYTES)
    return records[:, 1:].reshape(-1, *SHAPE), records[:, 0].astype(np.int64)


def from_pickle(content: bytes) -> Batch:
    """Return the images and labels of a file of the python version, executing nothing. Raises ValueError as above."""
    found = read_plain_pickle(content)
    check(isinstance(found, dict), "it holds no dictionary")
    images = array_of(_entry(found, "data"))
    check(
        images.ndim == 2 and images.shape[1] == PIXELS, f"its images must have shape (n, {PIXELS}), not {images.shape}"
    )
    labels = _entry(found, "labels")
    good = isinstance(labels, list) and all(type(label) is int for label in labels) and len(labels) == len(images)
    check(good, f"its labels are no list of {len(images):,} whole numbers")
    check(all(abs(label) < 1 << 31 for label in labels), "its labels are no classes")
    return images.reshape(-1, *SHAPE), np.array(labels, np.int64)


def _entry(found: dict[Any, Any], name: str) -> Any:
    """An entry under its name as text, or as the bytes that some writers make of it."""
    value = found.get(name, found.get(name.encode()))
    check(value is not None, f"it has no entry {name!r}")
    return value
