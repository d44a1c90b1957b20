"""Image files as arrays of one size; what cannot be read is a sentence, and the rest goes on."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from augscope.support.kept_file import DAMAGE
from augscope.support.values import check

ODD_SHAPE = 3.0  # longer side over shorter side from which a middle crop loses most of the picture
LARGEST = 4_096  # side in pixels to which an image is scaled to be shown
SMALL = 32  # pixels: below, there is little to see
MAX_PIXELS = 50_000_000  # of one image: about 600 MB on the way to its size; above, a small file may fill the memory
# Others are not tried: EPS, say, would start Ghostscript.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
READING_ERRORS = (*DAMAGE, OSError, SyntaxError)  # what Pillow raises
BUNDLED = ("china", "flower")  # the photographs that scikit-learn carries
Source = Path | bytes | np.ndarray  # of an image: a file, its bytes, or its pixels


@dataclass(frozen=True)
class Picture:
    """An image, square, uint8 RGB (size, size, 3), and the name of its class."""

    name: str
    pixels: np.ndarray


def read_pictures(paths: list[Path], size: int) -> tuple[list[Picture], list[str], list[str]]:
    """Read image files, cropped to their middle square and scaled.

    Args:
        paths: files; the class is the file's name without ending.
        size: side in pixels, in [16, 4096].

    Returns:
        The pictures; a sentence for each file that could not be read; a note for each of an unusual size.
    """
    check(16 <= size <= LARGEST, f"`size` must be in [16, {LARGEST:,}] pixels, got {size}")
    pictures, refused, notes = [], [], []
    for path in paths:
        try:
            pixels, shape = _read(path, size)
        except READING_ERRORS as error:
            refused.append(f"{path} cannot be shown: {reason(error)}")
            continue
        pictures.append(Picture(path.stem, pixels))
        notes += _notes(path, shape)
    return pictures, refused, notes


def _read(path: Path, size: int) -> tuple[np.ndarray, tuple[int, int]]:
    with opened(path) as image:
        shape = image.size
        upright = ImageOps.exif_transpose(image.convert("RGB"))
        return np.asarray(ImageOps.fit(upright, (size, size))), shape


@contextmanager
def opened(source: Source) -> Iterator[Image.Image]:
    """An image of one of `FORMATS` whose header is read and is of a size that can be decoded. No other program is started.

    Args:
        source: a file, its bytes, or pixels (H, W) or (H, W, 3), uint8.

    Raises:
        OSError, ValueError, …: if it is not; `READING_ERRORS` is all that opening or decoding raises.
    """
    if isinstance(source, np.ndarray):
        yield Image.fromarray(source)
        return
    if isinstance(source, Path):  # a pipe would wait
        check(source.is_file(), "it is no file" if source.exists() else "no such file or directory")
    check((source.stat().st_size if isinstance(source, Path) else len(source)) > 0, "the file is empty")
    file = source if isinstance(source, Path) else io.BytesIO(source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # on damaged notes beside the pixels, which show nothing
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(file, formats=FORMATS) as image:
                width, height = image.size
                small = width * height <= MAX_PIXELS
                check(small, f"{width}×{height} pixels are more than the limit of {MAX_PIXELS:,}")
                yield image
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):  # Pillow's own limits are not ours
            raise ValueError(f"its pixels are more than the limit of {MAX_PIXELS:,}") from None


def whole(source: Source, size: int, mode: str) -> np.ndarray:
    """The whole image, upright, scaled to size × size whatever its proportions, as uint8 (C, size, size).

    Args:
        source: as `opened` takes it.
        size: side in pixels.
        mode: "L" for one channel, "RGB" for three; transparency is dropped, 16 bits become 8.
    """
    if isinstance(source, np.ndarray) and source.shape == ((size, size) if mode == "L" else (size, size, 3)):
        return np.atleast_3d(source).transpose(2, 0, 1)  # as it is: many thousand images in seconds
    with opened(source) as image:
        known = image.mode not in ("F", "I")
        check(known, f"it is of mode {image.mode}, whose range is not known: save it with 8 bits")
        if image.mode.startswith("I;16"):  # Pillow's own conversion cuts off at 255
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        upright = ImageOps.exif_transpose(image.convert(mode))
        scaled = upright if upright.size == (size, size) else upright.resize((size, size), Image.Resampling.BILINEAR)
        return np.atleast_3d(np.asarray(scaled)).transpose(2, 0, 1)


def reason(error: Exception) -> str:
    """Why an image cannot be read, in words."""
    if isinstance(error, UnidentifiedImageError):
        return f"it is none of {', '.join(FORMATS)}"
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


def png_bytes(picture: Image.Image) -> bytes:
    """Return a picture as the content of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, format="png")
    return buffer.getvalue()
