"""C-scores in the format in which Jiang et al. (2021) publish them: an .npz with `labels` and `scores`.

https://pluskid.github.io/structural-regularity/: `cifar10-cscores-orig-order.npz` holds the 50,000 training images.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np

from augscope.values import check

LARGEST_BYTES = 1 << 26  # of the arrays unpacked: CIFAR-10's have 800 kB


def read_scores(path: Path, labels: np.ndarray) -> np.ndarray:
    """Return the C-scores (n,), float64, of images with these labels (n,), in the same order.

    Raises:
        ValueError: if it is no such file; if the scores are not in [0, 1]; or if its labels show that it is of other images
            or another order, with the first index that differs.
    """
    arrays = _load(path)
    theirs, scores = arrays["labels"], arrays["scores"]
    numbers = theirs.dtype.kind in "iu" and scores.dtype.kind in "fiu"
    check(numbers, f"`scores` must hold numbers, got {path} with labels of {theirs.dtype} and scores of {scores.dtype}")
    count = len(labels)
    for name, array in arrays.items():
        check(
            array.shape == (count,),
            f"`scores` must hold one entry for each of the {count:,} images, got {path} with {name} of shape {array.shape}",
        )
    scores = scores.astype(np.float64)
    for index in np.flatnonzero(~((scores >= 0) & (scores <= 1))):
        raise ValueError(f"`scores` must be in [0, 1], got {path} with {scores[index]} at index {index}")
    for index in np.flatnonzero(theirs != labels):
        raise ValueError(
            f"`scores` must be in the order of the images, got {path} whose labels differ first at index {index}: "
            f"{theirs[index]}, where the image has {labels[index]}"
        )
    return scores


def _load(path: Path) -> dict[str, np.ndarray]:
    """The two arrays; no pickle is loaded."""
    try:
        content = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        check(size <= LARGEST_BYTES, f"it unpacks to {size:,} bytes")
        with np.load(io.BytesIO(content), allow_pickle=False) as found:
            missing = [name for name in ("labels", "scores") if name not in found.files]
            check(not missing, f"it has no array {' and no array '.join(missing)}")
            return {name: found[name] for name in ("labels", "scores")}
    except OSError as error:
        raise ValueError(f"`scores` must be a readable file, got {path}: {error.strerror or error}") from None
    # What a damaged archive can raise: zipfile also for versions, methods and passwords that it does not know.
    except (ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(f"`scores` must be an .npz file with arrays labels and scores, got {path}: {error}") from None


def scores_file(labels: np.ndarray, scores: np.ndarray) -> bytes:
    """Return the content of such a file; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, labels=labels, scores=scores)
    return buffer.getvalue()
