"""Image files as arrays of one size; what cannot be read is a sentence, and the rest goes on."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from augscope.values import check

ODD_SHAPE = 3.0  # longer side over shorter side from which a middle crop loses most of the picture
SMALL = 32  # pixels: below, there is little to see
BUNDLED = ("china", "flower")  # the photographs that scikit-learn carries


@dataclass(frozen=True)
class Picture:
    """An image, square, uint8 RGB (size, size, 3), and the name of its class."""

    name: str
    pixels: np.ndarray


def read_pictures(paths: list[Path], size: int) -> tuple[list[Picture], list[str], list[str]]:
    """Read image files, cropped to their middle square and scaled.

    Args:
        paths: files; the class is the file's name without ending.
        size: side in pixels, ≥ 16.

    Returns:
        The pictures; a sentence for each file that could not be read; a note for each of an unusual size.
    """
    check(size >= 16, f"`size` must be at least 16 pixels, got {size}")
    found, refused, notes = [], [], []
    for path in paths:
        try:
            pixels, shape = _read(path, size)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # what Pillow raises
            refused.append(f"{path} cannot be shown: {_reason(error)}")
            continue
        found.append(Picture(path.stem, pixels))
        notes += _notes(path, shape)
    return found, refused, notes


def _read(path: Path, size: int) -> tuple[np.ndarray, tuple[int, int]]:
    check(path.stat().st_size > 0, "the file is empty")
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as image:
                shape = image.size
                upright = ImageOps.exif_transpose(image.convert("RGB"))
                return np.asarray(ImageOps.fit(upright, (size, size))), shape
        except Image.DecompressionBombWarning as warning:
            raise ValueError(str(warning)) from None


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is no image that Pillow knows"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return " ".join(str(error).split()) or type(error).__name__


def _notes(path: Path, shape: tuple[int, int]) -> list[str]:
    width, height = shape
    if max(shape) > ODD_SHAPE * min(shape):
        return [f"{path} is {width}×{height} pixels: only its middle square is shown"]
    if min(shape) < SMALL:
        return [f"{path} is {width}×{height} pixels, and is enlarged"]
    return []


def bundled_pictures(size: int) -> list[Picture]:
    """The two photographs that scikit-learn carries. Raises ValueError without scikit-learn."""
    try:
        from sklearn.datasets import load_sample_image
    except ModuleNotFoundError:
        raise ValueError("`images` must be given, or scikit-learn installed for its photographs") from None
    photographs = {name: Image.fromarray(load_sample_image(f"{name}.jpg")) for name in BUNDLED}
    return [Picture(name, np.asarray(ImageOps.fit(image, (size, size)))) for name, image in photographs.items()]
