"""Parquet parts: nothing lost and nothing doubled wherever a write or a merge is cut short; what is foreign is named."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from augscope.sweep.parquet import MANY_PARTS, PartFolder

SCHEMA = pa.schema(
    [("cell", pa.string()), ("status", pa.string()), ("value", pa.float64())], metadata={"augscope.format": "1"}
)


def rows(*numbers: int, status: str = "completed") -> pa.Table:
    columns = [[f"c{i}" for i in numbers], [status] * len(numbers), [float(i) for i in numbers]]
    return pa.table(columns, SCHEMA)


def held(parts: PartFolder) -> list[str]:
    return sorted(parts.read(parts.look().live, ["cell"])["cell"].to_pylist())


@pytest.fixture
def parts(tmp_path) -> PartFolder:
    return PartFolder(tmp_path / "records", SCHEMA, key="cell")


def test_rows_come_back(parts):
    parts.write(rows(1, 2))
    parts.write(rows(3))
    contents = parts.look()
    assert not contents.problems
    assert parts.read(contents.live).sort_by("cell").equals(rows(1, 2, 3))


def test_nothing_is_there_before_the_first(parts, tmp_path):
    assert parts.look().live == ()
    assert parts.repair(tmp_path / "aside") == {}
    assert held(parts) == []


def test_merging_keeps_every_row_once(parts):
    for i in range(MANY_PARTS - 1):
        parts.write(rows(i))
    parts.merge_small()
    assert len(parts.look().live) == MANY_PARTS - 1  # not yet many
    parts.write(rows(MANY_PARTS - 1))
    parts.merge_small()
    assert len(list(parts.path.iterdir())) == 1
    assert held(parts) == sorted(f"c{i}" for i in range(MANY_PARTS))


class Killed(BaseException):
    """Stands for kill −9 at one system call: nothing after it happens, not even cleaning up."""


@pytest.mark.parametrize("at", range(6))
def test_a_merge_cut_short_anywhere_is_finished_later(parts, tmp_path, monkeypatch, at):
    for i in range(3):
        parts.write(rows(i, 10 + i))
    calls = 0
    real_replace, real_unlink = os.replace, Path.unlink

    def counted(real):
        def call(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls > at:
                raise Killed
            return real(*arguments, **options)

        return call

    monkeypatch.setattr(os, "replace", counted(real_replace))
    monkeypatch.setattr(Path, "unlink", counted(real_unlink))
    if at < 4:  # one rename, three removals
        with pytest.raises(Killed):
            parts.merge(parts.look().live)
    else:
        parts.merge(parts.look().live)
    monkeypatch.undo()
    everything = sorted(f"c{i}" for i in (0, 1, 2, 10, 11, 12))
    assert held(parts) == everything  # a reader sees each row once at any moment
    assert parts.repair(tmp_path / "aside") == {}
    assert held(parts) == everything
    assert not [path for path in parts.path.iterdir() if path.name.startswith(".")]
    assert len(list(parts.path.iterdir())) == (3 if at == 0 else 1)


def test_a_truncated_part_is_named_and_set_aside(parts, tmp_path):
    whole, cut = parts.write(rows(1)), parts.write(rows(2, 3))
    cut.write_bytes(cut.read_bytes()[:-20])
    assert parts.look().problems == {cut: "is truncated or is no Parquet file"}
    assert parts.repair(tmp_path / "aside") == {cut.name: "is truncated or is no Parquet file"}
    assert list(parts.path.iterdir()) == [whole]
    assert [path.name for path in (tmp_path / "aside").iterdir()] == [cut.name]
    assert held(parts) == ["c1"]


def test_a_changed_byte_is_found(parts, tmp_path):
    path = parts.write(rows(*range(50)))
    content = bytearray(path.read_bytes())
    content[20] ^= 1  # in the data, so that the footer still reads
    path.write_bytes(bytes(content))
    reason = "is not what was written: its bytes have changed"
    assert parts.look().problems == {path: reason}
    assert parts.repair(tmp_path / "aside") == {path.name: reason}


@pytest.mark.parametrize("kind", ["text", "other table", "other columns"])
def test_foreign_files_are_named_and_set_aside(parts, tmp_path, kind):
    kept = parts.write(rows(1))
    foreign = parts.path / "mine.parquet"
    if kind == "text":
        foreign.write_text("hello")
    elif kind == "other table":
        pq.write_table(pa.table({"a": [1]}), foreign)
    else:
        other = PartFolder(parts.path, SCHEMA.append(pa.field("more", pa.int64())), key="cell")
        foreign = other.write(other.schema.empty_table())
    (reason,) = parts.look().problems.values()
    assert (
        reason
        == {
            "text": "is truncated or is no Parquet file",
            "other table": "was not written by a sweep",
            "other columns": "holds other columns than this version writes",
        }[kind]
    )
    assert parts.repair(tmp_path / "aside") == {foreign.name: reason}
    assert list(parts.path.iterdir()) == [kept]


def test_parts_of_two_folders_can_be_put_together(parts, tmp_path):
    other = PartFolder(tmp_path / "other", SCHEMA, key="cell")
    parts.write(rows(1, 2))
    path = other.write(rows(2, 3))
    path.rename(parts.path / path.name)
    parts.repair(tmp_path / "aside")
    assert held(parts) == ["c1", "c2", "c3"]


def test_a_full_disk_changes_nothing(parts, monkeypatch):
    parts.write(rows(1))

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        parts.write(rows(2))
    monkeypatch.undo()
    assert len(list(parts.path.iterdir())) == 1
    assert held(parts) == ["c1"]


def test_parts_of_an_older_format_are_read_and_stay_of_it(tmp_path):
    """Their rows may mean something else."""
    older = PartFolder(tmp_path / "records", SCHEMA, key="cell")
    older.write(rows(1))
    older.write(rows(2))
    newer = PartFolder(older.path, SCHEMA.with_metadata({"augscope.format": "2"}), "cell", older_formats=(1,))
    newer.write(rows(2, 3))
    newer.write(rows(4))
    assert newer.repair(tmp_path / "aside") == {}
    newer.merge_small(all_of_them=True)
    live = newer.look().live
    formats = {pq.read_schema(part).metadata[b"augscope.format"]: part for part in live}
    assert (sorted(formats), len(live)) == ([b"1", b"2"], 2)
    assert held(newer) == ["c1", "c2", "c3", "c4"]
    assert "c1" in newer.read([formats[b"1"]])["cell"].to_pylist()
    assert "c3" in newer.read([formats[b"2"]])["cell"].to_pylist()
    again = [part.name for part in newer.look().live]
    newer.merge_small(all_of_them=True)
    assert [part.name for part in newer.look().live] == again
    assert set(older.look().problems.values()) == {"holds other columns than this version writes"}
