"""Records that come from elsewhere, or that the disk changed: nothing runs, nothing else is read, no figure changes unsaid."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import run_here
from sweep_cases import here, tiny

import augscope as ag
from augscope.sweep import run as run_module
from augscope.sweep.cells import failed_row
from augscope.sweep.folder import SweepFolder
from augscope.sweep.schema import SCHEMA

QUESTION = "SELECT rho, avg(accuracy) AS accuracy, count(*) AS n FROM records GROUP BY ALL ORDER BY ALL"


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A sweep's folder with made-up accuracies."""
    target, sweep = SweepFolder(tmp_path_factory.mktemp("source") / "out"), tiny()
    cells = sweep.cells()
    rows = [failed_row(cell, "made up") | {"accuracy": i / 7, "status": "completed"} for i, cell in enumerate(cells)]
    with target.claimed():
        target.save_grid(sweep, cells)
        target.parts.write(pa.Table.from_pylist(rows, SCHEMA))
    return target.path


@pytest.fixture
def folder(source, tmp_path) -> Path:
    return Path(shutil.copytree(source, tmp_path / "out"))


def answer(folder: Path) -> list[dict]:
    return ag.Records(folder).query(QUESTION).to_pylist()


def parts_of(folder: Path) -> list[Path]:
    return sorted((folder / "records").iterdir())


class TestNames:
    @pytest.mark.parametrize("which", ["column", "axis"])
    def test_a_grids_names_never_run(self, folder, tmp_path, which):
        evil = f"x\"; COPY (SELECT 1) TO '{tmp_path / 'evil.csv'}'; --"
        (grid,) = (folder / "grids").iterdir()
        table = pq.read_table(grid)
        text = table.schema.metadata[b"augscope.grid"]
        if which == "axis":  # named by the grid too
            text = json.dumps({"axes": {evil: [1.0, 2.0]}}).encode()
        table = table.append_column(evil, pa.array([1.0] * len(table)))
        table = table.replace_schema_metadata({**table.schema.metadata, b"augscope.grid": text})
        planted = grid.with_name(hashlib.sha256(text).hexdigest()[:32] + ".parquet")
        pq.write_table(table, planted)
        records = ag.Records(folder)
        (reason,) = {records.problems[f"grids/{planted.name}"]}
        assert reason in ("holds other columns than its grid names", "holds no grid that this version reads")
        assert records.query(QUESTION).to_pylist() == answer(folder)
        assert evil not in records.columns
        assert run_here("phase", folder, "--x", "rho", "--y", "speed", "--value", "accuracy").returncode == 0
        assert not (tmp_path / "evil.csv").exists()

    def test_columns_of_one_name_keep_their_values(self, folder):
        table = ag.Records(folder).query("SELECT 1 AS a, 2 AS a, 3 AS a_2, 4 AS b")
        assert table.to_pylist() == [{"a": 1, "a_2": 2, "a_2_2": 3, "b": 4}]
        assert run_here("query", folder, "SELECT 1 AS a, 2 AS a", "--csv").stdout == "a,a_2\n1,2\n"


class TestQueries:
    @pytest.mark.parametrize(
        "table",
        [
            "read_blob('/etc/passwd')",
            "read_text('/proc/self/environ')",
            "read_csv('/etc/passwd')",
            "read_csv('http://127.0.0.1:9/x.csv')",
            "read_parquet('https://127.0.0.1:9/x.parquet')",
            "'s3://bucket/x.parquet'",
            "glob('/etc/*')",
            "read_json_auto('../../secret.json')",
            "sqlite_scan('x.db', 't')",
        ],
    )
    def test_read_the_records_alone(self, folder, table):
        refused = run_here("query", folder, f"SELECT * FROM {table}")
        assert (refused.returncode, refused.stdout, len(refused.stderr.splitlines())) == (2, "", 1)
        assert refused.stderr.startswith("augscope: `sql` must ")

    def test_not_even_a_foreign_file_among_them(self, folder):
        foreign = folder / "records" / "foreign.parquet"
        pq.write_table(pa.table({"secret": [1]}), foreign)
        with pytest.raises(ValueError, match="`sql` must ask the records and no other file"):
            ag.Records(folder).query(f"SELECT * FROM '{foreign}'")

    def test_no_python_variable(self, folder):
        secret = pa.table({"secret": [1]})
        with pytest.raises(ValueError, match="`sql` must be a valid query: Catalog Error"):
            ag.Records(folder).query("SELECT * FROM secret")
        assert len(secret) == 1

    def test_leave_nothing_behind(self, folder, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.chdir(tmp_path)
        run_here("query", "out", "SELECT * FROM read_csv('https://127.0.0.1:9/x.csv')")
        assert run_here("query", "out", QUESTION).returncode == 0
        assert [path.name for path in tmp_path.iterdir()] == ["out"]

    def test_ctrl_c_ends_one_that_would_take_days(self, folder):
        records = ag.Records(folder)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            with pytest.raises(KeyboardInterrupt):
                records.query("SELECT sum(a.range * b.range) FROM range(1000000000000) a, range(1000) b")
        finally:
            signal.signal(signal.SIGINT, before)


class TestBytes:
    @pytest.mark.parametrize("place", ["records", "grids"])
    def test_a_flipped_bit_is_named(self, source, folder, place):
        (path,) = (folder / place).iterdir()
        whole, expected = path.read_bytes(), answer(source)
        chance = random.Random(0)
        for _ in range(40):
            content = bytearray(whole)
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            path.write_bytes(bytes(content))
            assert list(ag.Records(folder).problems) == [f"{place}/{path.name}"]
        path.write_bytes(whole)
        assert answer(folder) == expected

    def test_are_hashed_once(self, folder, monkeypatch):
        expected = answer(folder)

        def refuse(*_):
            raise AssertionError("hashed again")

        monkeypatch.setattr(hashlib, "file_digest", refuse)
        assert answer(folder) == expected
        os.utime(parts_of(folder)[0])
        with pytest.raises(AssertionError, match="hashed again"):
            answer(folder)

    @pytest.mark.parametrize("memory", ["", "[1]", '{"records/x": 3}', '{"a": [["b"], {}]}', "[" * 100_000, "\0"])
    def test_a_broken_memory_costs_time_alone(self, source, folder, memory):
        (folder / "digests.json").write_text(memory)
        assert answer(folder) == answer(source)

    def test_so_does_a_pipe_in_its_place(self, source, folder):
        (folder / "digests.json").unlink(missing_ok=True)
        os.mkfifo(folder / "digests.json")
        assert answer(folder) == answer(source)

    def test_footers_of_a_wrong_kind(self, folder):
        (part,) = parts_of(folder)
        for replaces in (b"{", b"3", b'[{"a": 1}]', b"[" * 100_000):
            table = pq.read_table(part).cast(SCHEMA)
            table = table.replace_schema_metadata({**SCHEMA.metadata, b"augscope.replaces": replaces})
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink)
            content = sink.getvalue().to_pybytes()
            planted = part.with_name(f"part-{hashlib.sha256(content).hexdigest()[:32]}.parquet")
            planted.write_bytes(content)
            assert ag.Records(folder).problems == {f"records/{planted.name}": "was not written by a sweep"}
            planted.unlink()

    def test_a_pipe_is_not_waited_for(self, folder):
        os.mkfifo(folder / "records" / "part.parquet")
        assert ag.Records(folder).problems == {"records/part.parquet": "is no file"}


class TestUnreadable:
    """What cannot be read, as with no permission: here links in a circle, which stop root too."""

    @pytest.mark.parametrize("name", ["records", "grids", "records/part.parquet"])
    def test_is_refused_in_a_sentence(self, folder, name):
        if "." not in name:
            shutil.move(folder / name, folder / "elsewhere")
        (folder / name).symlink_to(folder / name)
        for command in (("query", folder, QUESTION), ("phase", folder, "--x", "rho", "--y", "speed")):
            refused = run_here(*command)
            assert (refused.returncode, refused.stdout, len(refused.stderr.splitlines())) == (2, "", 1)
            assert f"`folder` must be readable, got {folder / name}: " in refused.stderr

    def test_is_not_run_again(self, folder, monkeypatch):
        monkeypatch.setattr(run_module, "engine", here)
        (part,) = parts_of(folder)
        shutil.move(part, folder / "elsewhere")
        part.symlink_to(part)
        with pytest.raises(ValueError, match=r"`out` could not be read and written, got .*part-"):
            ag.run_sweep(tiny(), folder)
        assert parts_of(folder) == [part]


@pytest.mark.parametrize("gone", ["", "records"])
def test_a_folder_that_is_deleted_meanwhile_is_not_finished(tmp_path, monkeypatch, gone):
    monkeypatch.setattr(run_module, "engine", here)
    monkeypatch.setattr(run_module, "WRITE_ROWS", 1)
    monkeypatch.setattr(run_module, "MAX_BATCH", 1)

    def delete(progress):
        if progress.done == 5:
            shutil.rmtree(tmp_path / "out" / gone)

    outcome = ag.run_sweep(tiny(), tmp_path / "out", progress=delete)
    assert outcome.stopped is not None
    assert outcome.progress.state == "stopped"
    held = len(pq.read_table(tmp_path / "out" / "records")) if gone else 0
    assert outcome.progress.done == held < 12
