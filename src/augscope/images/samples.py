"""A folder of images to try things on: some of scikit-learn's digits."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from augscope.images.reading import png_bytes
from augscope.support.values import check

LABELS, THICK = (3, 8), 5  # threes and eights; the mean grey level, of 0 to 16, above which one is thick


def write_samples(folder: Path) -> int:
    """Write 8 × 8 images into a new folder, a folder a digit and below it one for thick and thin ones; return how many.

    The folder appears whole or not at all.

    Raises:
        ValueError: if it exists, or cannot be written.
    """
    check(not folder.exists(), f"`folder` must be a new one, got {folder}, which exists")
    pixels, labels = (np.asarray(part) for part in load_digits(return_X_y=True))
    images = {
        Path(str(label), "thick" if image.mean() > THICK else "thin", f"{number:04d}.png"): image
        for number, (image, label) in enumerate(zip(pixels.reshape(-1, 8, 8), labels, strict=True))
        if label in LABELS
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as staging:
            for name, image in images.items():
                path = Path(staging, folder.name, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(png_bytes(Image.fromarray((image * 15.9).astype("uint8"))))
            Path(staging, folder.name).rename(folder)
    except OSError as error:
        raise ValueError(f"`folder` could not be written, got {folder}: {error.strerror}") from None
    return len(images)
