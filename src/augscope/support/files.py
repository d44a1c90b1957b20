"""Files and output folders: written whole or not at all, never over somebody else's work."""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from psutil import pid_exists

from augscope.support.values import check, check_utf8

RECORD = "record.json"


@dataclass(frozen=True)
class OutputFolder:
    """A folder that may hold one run's files; get one from `claim`."""

    path: Path

    def write(self, files: dict[str, bytes]) -> list[Path]:
        """Write the files in a temporary folder and then rename them; the record last, so that its presence means that all are there.

        Killed before the first rename, nothing has changed; after it, the next `claim` or `write` finishes the renames.

        Raises:
            ValueError: if that cannot be done (a full disk, say); the folder's files are then as they were, or as above.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            _recover(self.path)
            staging = Path(tempfile.mkdtemp(dir=self.path, prefix=_STAGING))
            with _held(staging):
                _stage(staging, files)
                _rename_all(staging.rename(staging.with_name(staging.name.replace(_STAGING, _READY))), self.path)
        except OSError as error:
            raise ValueError(f"`out` could not be written, got {self.path}: {error.strerror}") from None
        return [self.path / name for name in files]


_STAGING, _READY = ".writing-", ".written-"  # folders with a run's files: being written; whole, and to be renamed


@contextmanager
def _held(staging: Path) -> Iterator[None]:
    """Lock a folder while its files are written, so that `_recover` leaves it alone. Raises BlockingIOError if it is locked."""
    handle = os.open(staging, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if isinstance(error, BlockingIOError):  # anything else: a file system without locks
                raise
        yield
    finally:
        os.close(handle)


def _stage(staging: Path, files: dict[str, bytes]) -> None:
    """Write files to a folder, or remove it."""
    try:
        for name, content in files.items():
            _write(staging / name, content)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def _rename_all(ready: Path, folder: Path) -> None:
    """Move the files of a folder that is whole, the record last, and remove it; what was moved before stays."""
    names = os.listdir(ready)
    if RECORD in names:
        (folder / RECORD).unlink(missing_ok=True)  # of the files that are replaced now
    for name in sorted(names, key=lambda name: name == RECORD):
        os.replace(ready / name, folder / name)
    ready.rmdir()


def _recover(folder: Path) -> None:
    """Finish the renames of a run that was killed between them, and remove what one was killed while writing. Raises OSError."""
    for pattern, finish in ((_READY, lambda path: _rename_all(path, folder)), (_STAGING, shutil.rmtree)):
        for path in sorted(folder.glob(f"{pattern}*")):
            with suppress(BlockingIOError, FileNotFoundError), _held(path):  # another process is at it
                finish(path)


def check_no_pipe(path: Path) -> None:
    """Raise OSError for what is there and is no file: a folder, or a pipe, which would be waited for."""
    if path.exists() and not path.is_file():
        raise OSError(0, "it is a folder" if path.is_dir() else "it is no file", str(path))


def read_text(path: Path) -> str:
    """Return a file's text. Raises OSError as `check_no_pipe` does, and ValueError if it is no UTF-8."""
    check_no_pipe(path)
    return path.read_text(encoding="utf-8")


def read_json(path: Path) -> Any:
    """Return the content of a JSON file. Raises OSError as `read_text` does, and ValueError if it is no JSON or nested too deep."""
    try:
        return json.loads(read_text(path))
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name beside it, then rename it: a reader sees the old content or the new, never a part.

    Raises OSError if that cannot be done; the old content then stays.
    """
    temporary = _temporary(path)
    try:
        _write(temporary, content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def check_file(out: Path | None) -> None:
    """Raise ValueError, before any work, unless a file can be written there (None: nothing is). Killed writers' files go."""
    if out is None:
        return
    check_utf8("out", str(out), "a name")
    try:
        if out.exists() and not out.is_file():
            raise ValueError(f"`out` must be a file, not a {'folder' if out.is_dir() else 'device or pipe'}, got {out}")
        if not out.absolute().parent.is_dir():
            raise ValueError(f"`out` must be a file in a folder that exists, got {out}")
        remove_killed_writers(out.absolute().parent, f".{escape(out.name)}-*")
        temporary = _temporary(out)
        temporary.touch()
        temporary.unlink()
    except OSError as error:
        raise ValueError(f"`out` must be a file that can be written, got {_shown(out)}: {error.strerror}") from None


def check_folder(out: Path) -> None:
    """Raise ValueError, before any work, unless files can be written in a folder, which need not exist."""
    check_utf8("out", str(out), "a name")
    made: list[Path] = []
    try:
        links = [path for path in (out, *out.absolute().parents) if path.is_symlink() and not path.exists()]
        if links:
            raise ValueError(f"`out` must be a folder, got {out}: {links[0]} is a link to nothing")
        missing = [path for path in (out, *out.absolute().parents) if not path.exists()]
        parent = (missing[-1] if missing else out / "file").absolute().parent
        if not parent.is_dir():
            raise ValueError(f"`out` must be a folder, got {out}: {parent} is a file")
        for path in reversed(missing):
            path.mkdir()
            made.append(path)
        tempfile.TemporaryFile(dir=out).close()  # permissions alone do not say whether this works
    except OSError as error:
        raise ValueError(f"`out` must be a folder that can be written, got {_shown(out)}: {error.strerror}") from None
    finally:
        with suppress(OSError):  # another process uses them already
            for path in reversed(made):
                path.rmdir()


def _shown(path: Path) -> str:
    return str(path) if len(str(path)) <= 200 else f"{str(path)[:200]}…"


def write_file(out: Path, content: bytes) -> None:
    """Write a file whole. Raises ValueError if that cannot be done; the old content then stays."""
    try:
        write_whole(out, content)
    except OSError as error:
        raise ValueError(f"`out` could not be written, got {out}: {error.strerror}") from None


def _temporary(path: Path) -> Path:
    """A name beside a file. Not `mkstemp`, whose files nobody else may read."""
    return path.parent / f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}"


_TEMPORARY = re.compile(r"\..+-\d+-[0-9a-f]+")


def is_temporary(name: str) -> bool:
    """Whether a name is a temporary one of `write_whole`: such a file stays where a process was killed before renaming it."""
    return _TEMPORARY.fullmatch(name) is not None


def remove_leftovers(folder: Path) -> None:
    """Remove every temporary file in a folder and below: for one who alone may write there."""
    for path in folder.rglob(".*"):
        if is_temporary(path.name):
            path.unlink()


def remove_killed_writers(folder: Path, pattern: str = ".*") -> None:
    """Remove the temporary files of processes that were killed, in a folder where others may be writing. Raises OSError."""
    for path in folder.glob(pattern):
        if is_temporary(path.name) and not pid_exists(int(path.name.split("-")[-2])):
            path.unlink(missing_ok=True)


def check_free(folder: Path, argument: str, content: str, own: Collection[str] = ()) -> None:
    """Raise ValueError unless a folder is new, or holds nothing but `own` files and temporary ones.

    Args:
        folder: the folder.
        argument: the name of the argument, for the message.
        content: what the folder is for, such as "this experiment's runs", likewise.
        own: names of files that do not count.
    """
    strangers = sorted(path.name for path in folder.glob("*") if path.name not in own and not is_temporary(path.name))
    check(
        not strangers,
        f"`{argument}` must be an empty folder or one with {content}, got {folder} with {', '.join(strangers[:3])}",
    )


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def claim(folder: Path, command: str, identity: str, *, overwrite: bool, names: tuple[str, ...]) -> OutputFolder:
    """Check, before any work, that a run may write to a folder. What a killed run has left half renamed is put in its place.

    An empty or missing folder is free. In one that holds this command's run of the same configuration, files are replaced.
    Another run's needs `overwrite`. Files of the same names without a record beside them are never replaced.

    Raises:
        ValueError: with a sentence naming the folder and the rule.
    """
    check_folder(folder)
    try:
        _recover(folder)
    except OSError as error:
        raise ValueError(f"`out` must be a folder that can be written, got {folder}: {error.strerror}") from None
    strangers = [name for name in names if (folder / name).exists()]
    if not strangers:
        return OutputFolder(folder)
    owner = _owner(folder / RECORD)
    if owner is None:
        raise ValueError(
            f"`out` must not hold other files of these names, got {folder} with {', '.join(strangers)}: choose another folder"
        )
    if owner != (command, identity) and not overwrite:
        raise ValueError(
            f"`out` must not hold another configuration's run, got {folder} with a run of `augscope {owner[0]}`: choose another folder or give --overwrite"
        )
    return OutputFolder(folder)


def _owner(path: Path) -> tuple[str, str] | None:
    """The command and identity of the run whose record this is, or None if it cannot be read as one of ours."""
    try:
        record = read_json(path)
        return str(record["command"]), str(record["identity"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
