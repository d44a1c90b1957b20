"""A sweep's folder: its lock, its grids, its records, its progress.

DIR/sweep.json          marks a sweep's folder
DIR/lock                locked by the sweep that runs; holds its process and machine
DIR/progress.json
DIR/records/part-….parquet
DIR/grids/….parquet     a grid's cells by its free parameters, with the grid itself in the metadata
DIR/digests.json        what was hashed to find changed bytes
DIR/set-aside/          files that lay among the parts and are none
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import NoneType
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from augscope.support.files import check_free, read_json, remove_leftovers, write_whole
from augscope.support.values import check
from augscope.support.wording import in_words
from augscope.sweep.cells import Cell
from augscope.sweep.digests import digest
from augscope.sweep.grid import Sweep
from augscope.sweep.parquet import CHANGED, Contents, PartFolder, parquet_files, read_schema
from augscope.sweep.schema import FORMAT, OLDER_FORMATS, SCHEMA

GRID_KEY, MADE_KEY = b"augscope.grid", b"augscope.made"
GRID_NAME = re.compile(r"([0-9a-f]{32})(?:-([0-9a-f]{32}))?\.parquet")  # digests of the grid, and of the file
LARGEST = 2**63  # above any number of cells or seconds
LOCK_ATTEMPTS, LOCK_SECONDS = 1_000, 0.001  # while others look whether a sweep runs, which takes microseconds


@dataclass(frozen=True)
class Progress:
    """How far a sweep is.

    Attributes:
        total: cells of the grid. done: recorded, failed ones included. failed: recorded as failed.
        computed: recorded by this run of the sweep. rate: computed cells a second, over the last half minute.
        seconds_left: at that rate; None while unknown. workers: how many run now.
        state: "running", "finished" or "stopped" (by a person, a full disk, a lost scheduler).
        updated: seconds since 1970. process, machine: that run it.
    """

    total: int
    done: int
    failed: int
    computed: int
    rate: float
    seconds_left: float | None
    workers: int
    state: str
    updated: float
    process: int
    machine: str

    @classmethod
    def read(cls, path: Path) -> Progress:
        """Return the progress in a file. Raises ValueError if it holds none, OSError if it cannot be read."""
        fields = read_json(path)
        kinds = {"rate": (int, float), "seconds_left": (int, float, NoneType), "updated": (int, float)}
        kinds |= {"state": str, "machine": str}
        names = cls.__dataclass_fields__
        valid = isinstance(fields, dict) and fields.keys() == names.keys()
        valid = valid and all(isinstance(fields[name], kinds.get(name, int)) for name in names)
        valid = valid and all(abs(value) < LARGEST for value in fields.values() if isinstance(value, (int, float)))
        check(valid, "it holds other fields than this version writes")
        return cls(**fields)

    @property
    def share(self) -> float:
        """Recorded cells over all."""
        return self.done / max(1, self.total)

    def __str__(self) -> str:
        text = f"{self.done:,}/{self.total:,} cells, {self.failed:,} failed"
        if self.state != "running":
            return f"{text}, {self.state}"
        text += f", {self.rate:.3g} a second"
        return text if self.seconds_left is None else f"{text}, {in_words(max(1, self.seconds_left))} left"


@dataclass(frozen=True)
class KeptGrid:
    """A grid that was swept in a folder: its file, the grid, and when it was written, in seconds since 1970."""

    path: Path
    sweep: Sweep
    made: float


@dataclass(frozen=True)
class GridContents:
    """The grids that count, oldest first, and the problem of each other file."""

    live: tuple[KeptGrid, ...]
    problems: dict[Path, str]


class SweepFolder:
    """A folder that is, or may become, a sweep's."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._marker = self.path / "sweep.json"
        self.parts = PartFolder(self.path / "records", SCHEMA, key="cell", older_formats=OLDER_FORMATS)

    def check_exists(self) -> None:
        """Raise ValueError unless this is a sweep's folder, and of this version's format."""
        check(self._is_marked("folder"), f"`folder` must be a sweep's (made by `augscope sweep`), got {self.path}")

    def _is_marked(self, argument: str) -> bool:
        """Whether sweep.json is there. Raises ValueError if it is not what this version writes."""
        try:
            marker = read_json(self._marker)
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as error:
            raise ValueError(f"`{argument}` must be a sweep's folder, got {self._marker}: {_reason(error)}") from None
        valid = isinstance(marker, dict) and marker.get("format") == FORMAT
        check(valid, f"`{argument}` must be a sweep's folder of format {FORMAT}, got {self._marker} of another")
        return True

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Lock the folder for writing; the system unlocks it when the process ends, however it ends.

        Raises:
            ValueError: if the folder is somebody else's, cannot be written, or another sweep is writing to it.
        """
        try:
            is_file = self.path.exists() and not self.path.is_dir()
            check(not is_file, f"`out` must be a folder, got {self.path}: it is a file")
            if not self._is_marked("out"):
                check_free(self.path, "out", "a sweep's records", own=("lock",))
            self.path.mkdir(parents=True, exist_ok=True)
            stream = (self.path / "lock").open("a+")
        except OSError as error:
            raise ValueError(f"`out` must be a folder that can be written, got {self.path}: {error.strerror}") from None
        with stream:
            try:
                self._lock(stream)
                if not self._marker.exists():
                    write_whole(self._marker, json.dumps({"format": FORMAT, "made_by": "augscope sweep"}).encode())
            except OSError as error:  # a full disk
                raise ValueError(f"`out` could not be written, got {self.path}: {error.strerror}") from None
            yield

    def _lock(self, stream: TextIO) -> None:
        try:
            held = _lock_for_a_sweep(stream)
        except OSError as error:
            rule = "`out` must be on a file system with locks"
            raise ValueError(f"{rule}, got {self.path}: {error.strerror}") from None
        if not held:
            stream.seek(0)
            holder = stream.read().strip() or "another process"
            rule = "`out` must not be written by two sweeps at once"
            raise ValueError(f"{rule}, got {self.path}: {holder} is writing")
        stream.truncate(0)
        stream.write(f"process {os.getpid()} on {platform.node()}")
        stream.flush()

    def is_running(self) -> bool:
        """Whether a sweep has locked the folder, as far as this machine can see. Nobody who looks keeps a sweep out."""
        try:
            with (self.path / "lock").open() as stream:
                return not _try_lock(stream, fcntl.LOCK_SH)
        except OSError:
            return False

    def repair(self) -> dict[str, str]:
        """Remove a killed sweep's temporary files, and set aside files that are no parts; see `PartFolder.repair`."""
        remove_leftovers(self.path)
        return self.parts.repair(self.path / "set-aside")

    def contents(self) -> Contents:
        """Return what the records' folder holds, with every byte checked once. Raises OSError."""
        contents = self.parts.look()
        self.parts.digests.save()
        return contents

    def recorded(self) -> dict[str, str]:
        """The status of every recorded cell."""
        table = self.parts.read(self.contents().live, ["cell", "status"])
        return dict(zip(table["cell"].to_pylist(), table["status"].to_pylist(), strict=True))

    def save_grid(self, sweep: Sweep, cells: Sequence[Cell]) -> None:
        """Write the grid and its cells' free parameters, unless this grid was written before."""
        text = json.dumps(sweep.source, sort_keys=True).encode()
        folder = self.path / "grids"
        if any(grid.path.name.startswith(digest(text)) for grid in self.grid_contents().live):
            return
        columns: dict[str, Any] = {"cell": pa.array([cell.identity for cell in cells], pa.string())}
        for name in sweep.parameters:
            columns[name] = pa.array([float(cell.point[name]) for cell in cells], pa.float64())
        table = pa.table(columns).replace_schema_metadata({GRID_KEY: text, MADE_KEY: str(time.time()).encode()})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        content = sink.getvalue().to_pybytes()
        folder.mkdir(exist_ok=True)
        write_whole(folder / f"{digest(text)}-{digest(content)}.parquet", content)

    def grid_contents(self) -> GridContents:
        """Return the grids that were swept here, oldest first, and the problem of each other file. Raises OSError."""
        grids, problems = [], {}
        for path in parquet_files(self.path / "grids"):
            try:
                grids.append(self._read_grid(path))
            except ValueError as error:
                problems[path] = str(error)
        return GridContents(tuple(sorted(grids, key=lambda grid: (grid.made, grid.path))), problems)

    def _read_grid(self, path: Path) -> KeptGrid:
        """One of our grids. Raises ValueError with the reason if it is none: its columns are those that its grid names."""
        match, schema = GRID_NAME.fullmatch(path.name), read_schema(path)
        metadata = schema.metadata or {}
        text = metadata.get(GRID_KEY, b"")
        if match is None or digest(text) != match[1]:
            raise ValueError("was not written by a sweep")
        if match[2] is not None and self.parts.digests.of(path) != match[2]:  # names without it: before version 0.2
            raise ValueError(CHANGED)
        try:
            sweep, made = Sweep.from_dict(json.loads(text)), float(metadata[MADE_KEY])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ValueError("holds no grid that this version reads") from None
        parameters = [(name, pa.float64()) for name in sweep.parameters]
        if not schema.equals(pa.schema([("cell", pa.string()), *parameters])):
            raise ValueError("holds other columns than its grid names")
        return KeptGrid(path, sweep, made)

    def grids(self) -> list[Sweep]:
        """Every grid that was swept here, oldest first."""
        return [grid.sweep for grid in self.grid_contents().live]

    def write_progress(self, progress: Progress) -> None:
        """Write the sweep's progress. Raises OSError."""
        write_whole(self.path / "progress.json", json.dumps(asdict(progress)).encode())

    def read_progress(self) -> Progress:
        """Return the sweep's progress, "stopped" where it says "running" and nothing on this machine, which ran it, holds the lock.

        A sweep on another machine is what it last said: how long ago, `Progress.updated` tells. No clock decides.

        Raises:
            ValueError: if this is no sweep's folder, or the sweep has not yet written any.
        """
        self.check_exists()
        try:
            progress = Progress.read(self.path / "progress.json")
        except FileNotFoundError:
            raise ValueError(f"`folder` must hold a sweep that has started, got {self.path} without progress") from None
        except (OSError, ValueError) as error:
            place = self.path / "progress.json"
            raise ValueError(f"`folder` must hold a sweep's progress, got {place}: {_reason(error)}") from None
        if progress.state == "running" and progress.machine == platform.node() and not self.is_running():
            return replace(progress, state="stopped", seconds_left=None)
        return progress


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _lock_for_a_sweep(stream: TextIO) -> bool:
    """Whether the file is now locked for this process alone: not if another sweep has done so. Raises OSError.

    Those who look share a lock for a moment. It keeps this one out, but not another that shares: so it is tried again.
    """
    for _ in range(LOCK_ATTEMPTS):
        if _try_lock(stream, fcntl.LOCK_EX):
            return True
        if not _try_lock(stream, fcntl.LOCK_SH):
            return False
        fcntl.flock(stream, fcntl.LOCK_UN)
        time.sleep(LOCK_SECONDS)
    return False


def _try_lock(stream: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(stream, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        return False
    return True
