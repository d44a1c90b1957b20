"""Checkpoints: arrays in one file that is safe to load and names their configuration."""

from __future__ import annotations

import io
import json
import math
import struct
import tempfile
import time
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from augscope.support.files import check_no_pipe, write_whole
from augscope.support.values import check

FORMAT = 1  # raised when the file's content changes its meaning
SAVE_SECONDS = 10.0  # between two saves: so much work a power loss can cost
_ABOUT = "about"
# What reading a damaged file can raise: zipfile also for versions, methods and passwords that it does not know, NumPy
# for headers that are no Python.
DAMAGE = (
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    SyntaxError,
    tokenize.TokenError,
    struct.error,
    NotImplementedError,
    RuntimeError,
    zlib.error,
    zipfile.BadZipFile,
)


class KeptFile:
    """A file of NumPy arrays (no pickle) and of the configuration that they belong to.

    Args:
        path: the file; it need not exist.
        configuration: what determines the arrays, ready for JSON.
        versions: what else their bits depend on: versions of packages, the device.
    """

    argument = "checkpoint"  # the name of the argument that the path was given for, for messages

    def __init__(self, path: str | Path, configuration: Mapping[str, Any], versions: Mapping[str, Any]) -> None:
        self.path = Path(path)
        about = {"format": FORMAT, "configuration": configuration, "versions": versions}
        self._about = json.loads(json.dumps(about))
        self._saved = time.monotonic()

    def load(self) -> dict[str, np.ndarray] | None:
        """Return the arrays that were saved last, or None where nothing was saved yet.

        Raises:
            ValueError: if the file is truncated, not a checkpoint, or another configuration's or version's.
        """
        if not self.path.exists():
            return None
        kind = "folder" if self.path.is_dir() else "pipe or device"
        check(self.path.is_file(), f"`checkpoint` must be a file, got the {kind} {self.path}")
        arrays, about = _read(self.path)
        versions, configuration = self._about["versions"], self._about["configuration"]
        check(
            about.get("format") == FORMAT and about["versions"] == versions,
            f"`checkpoint` must be of this version, as others need not give the same bits, got {self.path} "
            f"{_difference(about['versions'], versions)}: finish it there, or remove it",
        )
        check(
            about["configuration"] == configuration,
            f"`checkpoint` must be of this configuration, got {self.path} "
            f"{_difference(about['configuration'], configuration)}: choose another file, or remove it",
        )
        return arrays

    def check_writable(self) -> None:
        """Raise ValueError if the file could not be written, before there is anything to write."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.path.parent).close()
        except OSError as error:
            raise ValueError(f"`checkpoint` could not be written, got {self.path}: {error.strerror}") from None

    @property
    def due(self) -> bool:
        """Whether the last save is long enough ago for another one."""
        return time.monotonic() - self._saved > SAVE_SECONDS

    def save(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Replace the file's arrays, whole or not at all. Raises ValueError if that fails; the old ones then stay."""
        buffer = io.BytesIO()
        about = {**self._about, "names": sorted(arrays)}
        np.savez(buffer, **{_ABOUT: np.array(json.dumps(about)), **arrays})  # pyright: ignore[reportArgumentType]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, buffer.getvalue())
        except OSError as error:
            raise ValueError(f"`{self.argument}` could not be written, got {self.path}: {error.strerror}") from None
        self._saved = time.monotonic()


class SavedFile(KeptFile):
    """A `KeptFile` that a user named and that is read without knowing what it holds, by `read_saved`."""

    argument = "path"


def read_saved(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and the configuration of a `SavedFile`, whatever the versions. Raises ValueError if it is none."""
    check(path.is_file(), f"`path` must be a file that `save` wrote, got {path}")
    arrays, about = _read(path, "path")
    check(about.get("format") == FORMAT, f"{path} has format {about.get('format')!r}; this version reads {FORMAT}")
    return arrays, about["configuration"]


def check_whole(path: Path) -> None:
    """Raise ValueError if there is a file that is not a whole checkpoint."""
    if path.exists():
        _read(path)


@contextmanager
def damage_in_words(path: Path, argument: str = "checkpoint") -> Iterator[None]:
    """Make what using a damaged checkpoint's arrays raises a ValueError with a sentence."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"`{argument}` must be a readable file, got {path}: {error.strerror}") from None
    except DAMAGE as error:
        raise ValueError(
            f"`{argument}` must be a whole checkpoint file, got {path}, which cannot be read ({error}): remove it"
        ) from None


def read_npz(path: Path, most_bytes: int | None = None) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz by name. Pickles in it are refused.

    What it would unpack to is known before anything is unpacked, and an array's header must fit what is there.

    Args:
        path: of the file.
        most_bytes: that the arrays may take; half of the free memory at most, and by default.

    Raises:
        OSError, ValueError, …: `DAMAGE` is all that a damaged file raises.
    """
    check_no_pipe(path)
    most = min(most_bytes or math.inf, psutil.virtual_memory().available / 2)
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        total = sum(member.file_size for member in members)
        check(total <= most, f"its arrays would take {total:,} bytes, more than the {most:,.0f} that they may")
        return {member.filename.removesuffix(".npy"): _array(archive.read(member)) for member in members}


def _array(content: bytes) -> np.ndarray:
    """The array in an .npy file."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, dtype = readers[version](stream)
    check(not dtype.hasobject, "its arrays hold Python objects, which are not read: allow_pickle=False")
    needed, there = math.prod(shape) * dtype.itemsize, len(content) - stream.tell()
    check(needed == there, f"an array of shape {shape} and type {dtype} takes {needed:,} bytes, not {there:,}")
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)


def _read(path: Path, argument: str = "checkpoint") -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A checkpoint's arrays, and its description of itself."""
    with damage_in_words(path, argument):
        arrays = read_npz(path, most_bytes=path.stat().st_size)  # `save` does not compress
        about = json.loads(str(arrays.pop(_ABOUT)))
        if sorted(arrays) != about["names"]:
            raise ValueError("parts of it are missing")
        return arrays, {**about, "configuration": dict(about["configuration"]), "versions": dict(about["versions"])}


def _difference(theirs: Mapping[str, Any], ours: Mapping[str, Any], prefix: str = "") -> str:
    """The first field in which two configurations differ, in words."""
    for name in [*ours, *(set(theirs) - set(ours))]:
        left, right = theirs.get(name, "nothing"), ours.get(name, "nothing")
        if isinstance(left, dict) and isinstance(right, dict) and left != right:
            return _difference(left, right, f"{prefix}{name}.")
        if left != right:
            return f"with {prefix}{name} = {left}, not {right}"
    return "of another format"
