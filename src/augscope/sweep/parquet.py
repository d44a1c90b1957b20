"""Rows as Parquet parts in a folder: written whole, named by their content, merged safely.

A part's name holds the SHA-256 of its bytes, which shows truncation and changes. Merging writes one part that names those
it replaces, and only then removes them: readers in between leave the replaced ones out.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from augscope.support.files import remove_leftovers, write_whole
from augscope.sweep.digests import Digests, digest

NAME = re.compile(r"part-([0-9a-f]{32})\.parquet")
FORMAT_KEY, REPLACES = b"augscope.format", b"augscope.replaces"
SMALL_ROWS = 2_000  # smaller parts are merged …
MANY_PARTS = 64  # … as soon as there are so many of them
CHANGED = "is not what was written: its bytes have changed"


@dataclass(frozen=True)
class Contents:
    """A folder's parts that count, in order of name, those that others replace, and the problem of each other file."""

    live: tuple[Path, ...]
    replaced: tuple[Path, ...]
    problems: dict[Path, str]


class PartFolder:
    """Parts of one schema, at most one row a key. One writer at a time (the caller's lock); any number of readers.

    Args:
        path: the folder; made when the first part is written.
        schema: of the rows; its metadata name the format.
        key: the column that identifies a row.
        older_formats: with the same columns, that are read too. Their rows stay in parts of their own.
    """

    def __init__(self, path: Path, schema: pa.Schema, key: str, older_formats: Sequence[int] = ()) -> None:
        self.path, self.schema, self.key = path, schema, key
        self._formats = (schema.metadata[FORMAT_KEY], *(str(number).encode() for number in older_formats))
        self.digests = Digests(path.with_name("digests.json"))

    def look(self) -> Contents:
        """Return the folder's contents: each part's footer is read, and its bytes once (see `Digests`). Raises OSError."""
        parts, problems, replaced = [], {}, set()
        for path in parquet_files(self.path):
            try:
                metadata = self._checked(path)
                replaced |= _names(metadata.get(REPLACES, b"[]"))
                parts.append(path)
            except FileNotFoundError:  # merged since the folder was listed
                continue
            except ValueError as error:
                problems[path] = str(error)
        live = tuple(path for path in parts if path.name not in replaced)
        return Contents(live, tuple(path for path in parts if path.name in replaced), problems)

    def _checked(self, path: Path) -> dict[bytes, bytes]:
        """The metadata of one of our parts. Raises ValueError with the reason if it is not, OSError if it cannot be read."""
        match, schema = NAME.fullmatch(path.name), read_schema(path)
        metadata = schema.metadata or {}
        if match is None or metadata.get(FORMAT_KEY) is None:
            raise ValueError("was not written by a sweep")
        if metadata[FORMAT_KEY] not in self._formats or not schema.equals(self.schema):
            raise ValueError("holds other columns than this version writes")
        if self.digests.of(path) != match[1]:
            raise ValueError(CHANGED)
        return metadata

    def write(self, table: pa.Table, replaces: Sequence[Path] = ()) -> Path:
        """Write rows as a new part, of the format of those that it replaces. Raises OSError, with nothing changed, if it cannot be."""
        metadata = dict(self.schema.metadata)
        if replaces:
            metadata[FORMAT_KEY] = _format_of(replaces[0])
            metadata[REPLACES] = json.dumps(sorted(path.name for path in replaces)).encode()
        sink = pa.BufferOutputStream()
        pq.write_table(table.cast(self.schema).replace_schema_metadata(metadata), sink, compression="zstd")
        content = sink.getvalue().to_pybytes()
        self.path.mkdir(exist_ok=True)  # not its parents: a sweep's folder that is gone must not look like a new one
        value = digest(content)
        path = self.path / f"part-{value}.parquet"
        write_whole(path, content)
        self.digests.note(path, value)
        for old in replaces:
            if old != path:
                old.unlink(missing_ok=True)
        return path

    def repair(self, set_aside: Path) -> dict[str, str]:
        """Prepare the folder for writing: move files away that are no parts, finish a merge that was killed.

        Returns:
            The name of every file that was moved to `set_aside`, and why.
        """
        remove_leftovers(self.path)
        contents = self.look()
        moved = {}
        for path, reason in contents.problems.items():
            set_aside.mkdir(parents=True, exist_ok=True)
            os.replace(path, _free_name(set_aside / path.name))
            moved[path.name] = reason
        for path in contents.replaced:
            path.unlink()
        keys = self.read(contents.live, [self.key])[self.key]
        if len(keys.unique()) < len(keys):
            self.merge(contents.live)
        return moved

    def read(self, parts: Iterable[Path], columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows of parts, or some columns of them."""
        schema = self.schema if columns is None else pa.schema([self.schema.field(name) for name in columns])
        tables = [pq.read_table(path, columns=schema.names).cast(schema) for path in parts]
        return pa.concat_tables(tables) if tables else schema.empty_table()

    def merge_small(self, *, all_of_them: bool = False) -> None:
        """Merge small parts of a format into one: where there are many, or all of them at the end of a sweep."""
        parts = [path for path in self.look().live if pq.read_metadata(path).num_rows < SMALL_ROWS]
        for group in _by_format(parts):
            if len(group) >= (2 if all_of_them else MANY_PARTS):
                self.merge(group)

    def merge(self, parts: Sequence[Path], keep: pc.Expression | None = None) -> None:
        """Replace parts by one a format with the same rows, each key once; with `keep`, only the rows for which that holds."""
        written = np.array([], object)
        for group in _by_format(parts):
            table = self.read(group)
            keys = table[self.key].to_numpy()
            first = np.sort(np.unique(keys, return_index=True)[1])
            table = table.take(first[~np.isin(keys[first], written)])
            written = np.concatenate([written, keys])
            self.write(table if keep is None else table.filter(keep), group)


def parquet_files(folder: Path) -> list[Path]:
    """Return the files of a folder, if there is one, that are called Parquet files, in order of name. Raises OSError."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return [folder / name for name in sorted(names) if name.endswith(".parquet")]


def read_schema(path: Path) -> pa.Schema:
    """Return a Parquet file's schema. Raises ValueError with the reason if it is none, OSError if it cannot be read."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("is no file")  # a pipe, say, which would be waited for
    with path.open("rb"):  # whose errors name the file
        try:
            return pq.read_schema(path)
        except (pa.ArrowException, ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise ValueError("is truncated or is no Parquet file") from None


def _format_of(part: Path) -> bytes:
    """The format of one of our parts."""
    return (read_schema(part).metadata or {})[FORMAT_KEY]


def _by_format(parts: Sequence[Path]) -> list[list[Path]]:
    """Parts in groups of one format."""
    groups: dict[bytes, list[Path]] = {}
    for part in parts:
        groups.setdefault(_format_of(part), []).append(part)
    return list(groups.values())


def _names(text: bytes) -> set[str]:
    """The names in a part's metadata. Raises ValueError if they are none."""
    try:
        return set(json.loads(text))
    except (ValueError, TypeError, RecursionError):
        raise ValueError("was not written by a sweep") from None


def _free_name(path: Path) -> Path:
    free, count = path, 1
    while free.exists():
        free, count = path.with_name(f"{path.stem}-{count}{path.suffix}"), count + 1
    return free
