"""SHA-256 of files, each computed once and remembered by what the file system says of it: inode, size, time of change."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from augscope.support.files import read_json, write_whole

LENGTH = 32  # hexadecimal digits of a digest in a file's name


def digest(content: bytes) -> str:
    """Return the digest of content, as names of files hold it."""
    return hashlib.sha256(content).hexdigest()[:LENGTH]


class Digests:
    """Digests of the files below a folder, remembered between processes in one file there.

    Args:
        memory: that file. One that is missing or broken costs hashing again; one that cannot be written is done without.
    """

    def __init__(self, memory: Path) -> None:
        self._memory, self._changed = memory, False
        self._known = _read(memory)

    def of(self, path: Path) -> str:
        """Return a file's digest. Raises OSError. Cost: reading the file once; then a look at its inode."""
        with path.open("rb") as stream:
            state = _state(path)
            known = self._known.get(self._name(path))
            if known is not None and known[1:] == state:
                return known[0]
            value = hashlib.file_digest(stream, "sha256").hexdigest()[:LENGTH]
        self._remember(path, value, state)
        return value

    def note(self, path: Path, value: str) -> None:
        """Remember the digest of a file just written."""
        self._remember(path, value, _state(path))

    def save(self) -> None:
        """Write what is new, where that can be done."""
        if self._changed:
            here = self._memory.parent
            self._known = {name: entry for name, entry in self._known.items() if (here / name).exists()}
            with suppress(OSError):
                write_whole(self._memory, json.dumps(self._known).encode())
            self._changed = False

    def _remember(self, path: Path, value: str, state: list[int]) -> None:
        self._known[self._name(path)] = [value, *state]
        self._changed = True

    def _name(self, path: Path) -> str:
        return path.relative_to(self._memory.parent).as_posix()


def _state(path: Path) -> list[int]:
    """What changes when a file does. The time is that of its inode, which no program can set back."""
    status = path.stat()
    return [status.st_ino, status.st_size, status.st_ctime_ns]


def _read(memory: Path) -> dict[str, list]:
    try:
        known = read_json(memory)
    except (OSError, ValueError):
        return {}
    entries = known.items() if isinstance(known, dict) else ()
    return {name: entry for name, entry in entries if isinstance(entry, list) and entry and isinstance(entry[0], str)}
