"""Running sweeps: every cell once, resumable after anything; failures and stops are results with a sentence."""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import os
import platform
import sys
import threading
import time
from contextlib import contextmanager, nullcontext
from dataclasses import fields

import numpy as np
import pytest
from commands import run_here
from sweep_cases import TINY_TOML, HereEngine, comparable, here, tiny

import augscope as ag
from augscope.model.methods import cutmix
from augscope.sweep import run as run_module
from augscope.sweep.cells import failed_row
from augscope.sweep.folder import Progress, SweepFolder
from augscope.sweep.parquet import PartFolder
from augscope.sweep.process import WorkerDied
from augscope.sweep.refinement import refine
from augscope.sweep.schema import SCHEMA
from augscope.sweep.worker import from_stream, to_stream
from augscope.training.measure_table import measures_of


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    monkeypatch.setattr(run_module, "engine", here)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The tiny sweep, done."""
    folder = tmp_path_factory.mktemp("undisturbed") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "engine", here)
        outcome = ag.run_sweep(tiny(), folder)
    return outcome, folder


def test_every_cell_is_recorded_once(undisturbed):
    outcome, folder = undisturbed
    assert (outcome.progress.done, outcome.progress.total, outcome.progress.failed) == (12, 12, 0)
    assert (outcome.stopped, outcome.set_aside) == (None, {})
    rows = ag.Records(folder).query("SELECT cell, status FROM records")
    assert sorted(rows["cell"].to_pylist()) == sorted(cell.identity for cell in tiny().cells())
    assert set(rows["status"].to_pylist()) == {"completed"}
    assert len(list((folder / "records").iterdir())) == 1  # merged at the end


def test_a_record_is_what_training_by_hand_gives(undisturbed):
    cell = tiny().cells()[5]
    (row,) = ag.Records(undisturbed[1]).query(f"SELECT * FROM records WHERE cell = '{cell.identity}'").to_pylist()
    run = cell.experiment.run(cell.experiment.methods[0], cell.experiment.sample(cell.seed))
    for name, values in row["history"].items():
        np.testing.assert_array_equal(np.array(values, float), getattr(run.history, name), err_msg=name)
    assert row["accuracy"] == run.history.accuracy[-1]
    assert row["feature_score"] == run.history.feature_scores[-1].min(axis=0).tolist()
    assert row["learned"] == ag.features_learned(run.history.feature_scores[-1]).tolist()
    assert row["noise_ratio"] == ag.noise_ratio(cell.experiment.distribution, 12)
    assert row["dominant_ratio"] == ag.learning_ratios(cell.experiment.distribution, 12)[0].tolist()
    assert json.loads(row["configuration"])["distribution"]["dim"] == row["dim"] == 200_000
    assert (row["rho"], row["speed"]) == (cell.point["rho"], cell.point["speed"])
    assert row["versions"]["augscope"] == ag.__version__
    assert row["seconds"] > 0


def test_rarities_are_derived_before_cells_start(monkeypatch, tmp_path):
    """Once a configuration: the workers get the answer, and predict by it."""
    messages, distribution = [], {"rarity": "derive", "feature_noise": 0.2}
    methods = ["erm", {"name": "cutout", "num_cut": 2}, "cutmix"]
    experiment = {"num_samples": 12, "num_steps": 30, "record_at": [0, 2], "distribution": distribution}
    sweep = tiny(methods=methods, experiment=experiment, axes={"rho": [0.1, 0.4], "speed": [0.4, 3.0]})

    class Listening(HereEngine):
        def results(self, batches):
            for tag, batch in batches:
                messages.extend(json.loads(batch))
                yield tag, to_stream([failed_row(cell, "not run") for cell in tag])

    monkeypatch.setattr(run_module, "engine", lambda *_: nullcontext(Listening()))
    ag.run_sweep(sweep, tmp_path / "out")
    predicted = {}
    for cell in sweep.cells():
        at, method = cell.experiment, cell.experiment.methods[0]
        cut = 2 if method.title.startswith("Cutout") else 1
        rarity = ag.derive_rarity(at.distribution, 12, num_steps=30, num_cut=cut)
        (message,) = (message for message in messages if message["cell"] == cell.identity)
        assert message.get("rarity", list(rarity)) == list(rarity)
        assert ("rarity" in message) >= (method.title != "CutMix")
        unlearned = {"ERM": ("rare", "extremely_rare"), "CutMix": ()}.get(method.title, ("extremely_rare",))
        frequencies = zip(at.distribution.frequencies, rarity, strict=True)
        predicted[cell.identity] = 1 - sum(rho for rho, name in frequencies if name in unlearned) / 2
    rows = ag.Records(tmp_path / "out").query("SELECT cell, predicted_accuracy FROM records").to_pylist()
    assert {row["cell"]: row["predicted_accuracy"] for row in rows} == pytest.approx(predicted, abs=1e-15)
    assert len(set(predicted.values())) > 1


def test_every_column_is_described():
    assert all(part.metadata[b"description"] for part in [*SCHEMA, *SCHEMA.field("history").type])
    assert [part.name for part in SCHEMA.field("history").type] == [row.name for row in measures_of(ag.History)]


def test_the_columns_are_those_of_the_sweeps_before():
    # Parts with other columns are refused: a new measure is meant to change this, and then older sweeps are run anew.
    columns = "\n".join(f"{part.name}: {part.type}" for part in SCHEMA)
    assert hashlib.sha256(columns.encode()).hexdigest()[:16] == "969c7b6fd405ff2d"


def test_running_again_computes_nothing(undisturbed):
    _, folder = undisturbed
    before = {path: path.read_bytes() for path in (folder / "records").iterdir()}
    again = ag.run_sweep(tiny(), folder)
    assert (again.progress.done, again.progress.computed) == (12, 0)
    assert {path: path.read_bytes() for path in (folder / "records").iterdir()} == before


def test_a_grid_is_extended_and_another_shares_cells(tmp_path):
    first = ag.run_sweep(tiny(axes={"rho": [0.2], "speed": [0.1, 0.2]}), tmp_path / "out")
    longer = ag.run_sweep(tiny(axes={"rho": [0.2], "speed": [0.1, 0.2, 0.4]}), tmp_path / "out")
    other = ag.run_sweep(
        tiny(
            axes={"q": [0.2, 0.3]},
            derived={"frequencies": ["1 - q", "q"], "dominant_noise_std": "sqrt(0.1 * num_samples / dim)"},
        ),
        tmp_path / "out",
    )
    assert [outcome.progress.computed for outcome in (first, longer, other)] == [4, 2, 2]
    counts = ag.Records(tmp_path / "out").query("SELECT count(*) AS n, count(q) AS q, count(rho) AS rho FROM records")
    assert counts.to_pylist() == [{"n": 8, "q": 4, "rho": 6}]  # two cells lie on both grids


def test_the_result_does_not_depend_on_batches(undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "MAX_BATCH", 1)
    ag.run_sweep(tiny(), tmp_path / "out")
    assert comparable(tmp_path / "out") == comparable(undisturbed[1])


def test_a_failed_cell_is_a_record_and_can_be_tried_again(tmp_path, monkeypatch):
    grid = tiny(
        methods=[{"name": "cutmix", "algorithm": "enumerate"}, "erm"], seeds=1, axes={"rho": [0.2], "speed": [0.1]}
    )
    monkeypatch.setattr(cutmix, "MAX_ENUMERATED", 100)  # known only when it runs: a valid configuration all the same
    outcome = ag.run_sweep(grid, tmp_path / "out")
    assert (outcome.progress.done, outcome.progress.failed, outcome.stopped) == (2, 1, None)
    sql = "SELECT method, message, accuracy, dim, status FROM records ORDER BY method"
    failed, fine = ag.Records(tmp_path / "out").query(sql).to_pylist()
    assert failed["message"].startswith("ValueError: `algorithm` = enumerate would hold 1,152 mixed points")
    assert (failed["status"], failed["accuracy"], failed["dim"]) == ("failed", None, 200_000)
    assert fine["status"] == "completed"
    assert ag.run_sweep(grid, tmp_path / "out").progress.computed == 0
    monkeypatch.undo()
    monkeypatch.setattr(run_module, "engine", here)
    again = ag.run_sweep(grid, tmp_path / "out", retry_failed=True)
    assert (again.progress.computed, again.progress.done, again.progress.failed) == (1, 2, 0)
    counts = ag.Records(tmp_path / "out").query("SELECT status, count(*) AS n FROM records GROUP BY status").to_pylist()
    assert counts == [{"status": "completed", "n": 2}]


def test_populations_are_recorded_without_seeds(tmp_path):
    """One grid of samples and populations: rows, running again, differences, refinement."""
    axes = {"coordinates": ["reduced", "population"], "rho": [0.2, 0.4], "speed": [0.1, 0.4]}
    grid, folder = tiny(methods=["erm", "cutout"], seeds=1, axes=axes), tmp_path / "out"
    assert ag.run_sweep(grid, folder).progress.done == 16
    assert ag.run_sweep(grid, folder).progress.computed == 0
    records, population = ag.Records(folder), "coordinates = 'population'"
    rows = records.query(f"SELECT seed, feature_counts, init_std, accuracy FROM records WHERE {population}").to_pylist()
    assert len(rows) == 8
    assert all((row["seed"], row["feature_counts"], row["init_std"]) == (None, None, 0) for row in rows)
    cell = next(cell for cell in grid.cells() if cell.seed is None)
    (row,) = records.query(f"SELECT accuracy FROM records WHERE cell = '{cell.identity}'").to_pylist()
    run = cell.experiment.run(cell.experiment.methods[0], cell.experiment.sample(None))
    assert row["accuracy"] == run.history.accuracy[-1]
    arrays = records.to_xarray("method", "rho", "speed", where=population)
    assert dict(arrays.sizes) == {"method": 2, "rho": 2, "speed": 2}
    with pytest.raises(ValueError, match="`dims` must have a value in every record: seed is null in some"):
        records.to_xarray("method", "rho", "speed", "coordinates", "seed")
    place = {"x": "rho", "y": "speed", "value": "loss", "where": f"{population} AND method = 'erm'"}
    (panel,) = ag.phase_diagram(records, **place, minus="method = 'cutout'").panels
    assert panel.count.tolist() == [1, 1, 1, 1]
    refine(folder, ag.phase_diagram(records, **place), 1)
    counts = records.query(
        "SELECT coordinates, count(*) AS n, count(seed) AS seeds FROM records GROUP BY ALL ORDER BY ALL"
    )
    assert [tuple(row.values()) for row in counts.to_pylist()] == [("population", 10, 0), ("reduced", 10, 10)]


class DyingEngine(HereEngine):
    """Every batch that holds a certain cell takes its worker down."""

    def __init__(self, fatal: str) -> None:
        self.fatal = fatal

    def results(self, batches):
        for tag, batch in batches:
            if self.fatal in batch.decode():
                yield tag, WorkerDied("its process died 3 times, at last by SIGKILL")
            else:
                yield from super().results([(tag, batch)])


def test_a_cell_that_kills_its_worker_does_not_take_others_along(undisturbed, tmp_path, monkeypatch):
    fatal = tiny().cells()[7].identity

    @contextmanager
    def dying(*_):
        yield DyingEngine(fatal)

    monkeypatch.setattr(run_module, "engine", dying)
    outcome = ag.run_sweep(tiny(), tmp_path / "out")
    assert (outcome.progress.done, outcome.progress.failed) == (12, 1)
    rows = ag.Records(tmp_path / "out").query("SELECT cell, message FROM records WHERE status = 'failed'").to_pylist()
    assert rows == [{"cell": fatal, "message": "its process died 3 times, at last by SIGKILL"}]
    monkeypatch.setattr(run_module, "engine", here)
    ag.run_sweep(tiny(), tmp_path / "out", retry_failed=True)
    assert comparable(tmp_path / "out") == comparable(undisturbed[1])


@pytest.mark.parametrize("writes", [0, 1, 3])
def test_a_full_disk_stops_cleanly_and_the_sweep_goes_on(undisturbed, tmp_path, monkeypatch, writes):
    monkeypatch.setattr(run_module, "WRITE_SECONDS", 0.0)
    monkeypatch.setattr(run_module, "MAX_BATCH", 4)
    count, real = 0, PartFolder.write

    def filling(self, table, replaces=()):
        nonlocal count
        count += 1
        if count > writes:
            raise OSError(28, "No space left on device")
        return real(self, table, replaces)

    monkeypatch.setattr(PartFolder, "write", filling)
    outcome = ag.run_sweep(tiny(), tmp_path / "out")
    assert outcome.stopped == "stopped: No space left on device"
    assert outcome.progress.state == "stopped"
    held = ag.Records(tmp_path / "out").query("SELECT count(*) AS n FROM records").to_pylist()[0]["n"]
    assert outcome.progress.done == held < 12
    assert (held > 0) == (writes > 0)
    monkeypatch.setattr(PartFolder, "write", real)
    again = ag.run_sweep(tiny(), tmp_path / "out")
    assert (again.stopped, again.progress.computed) == (None, 12 - held)
    assert comparable(tmp_path / "out") == comparable(undisturbed[1])


def test_a_disk_full_from_the_start_is_a_sentence(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")  # which names no file

    (tmp_path / "grid.toml").write_text(TINY_TOML)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        done = run_here("sweep", tmp_path / "grid.toml", "--out", tmp_path / "out")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert f"`out` could not be written, got {tmp_path / 'out'}: No space left on device" in done.stderr
    with SweepFolder(tmp_path / "out").claimed():
        pass


def test_ctrl_c_keeps_what_came_in(undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "WRITE_SECONDS", 0.0)

    def interrupt(progress):
        if progress.done >= 1 and progress.state == "running":
            raise KeyboardInterrupt

    outcome = ag.run_sweep(tiny(), tmp_path / "out", progress=interrupt)
    held = ag.Records(tmp_path / "out").query("SELECT count(*) AS n FROM records").to_pylist()[0]["n"]
    assert (outcome.stopped, outcome.progress.done) == ("interrupted", held)
    ag.run_sweep(tiny(), tmp_path / "out")
    assert comparable(tmp_path / "out") == comparable(undisturbed[1])


def test_a_damaged_part_is_named_set_aside_and_run_again(undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "WRITE_SECONDS", 0.0)
    monkeypatch.setattr(PartFolder, "merge_small", lambda self, **_: None)
    ag.run_sweep(tiny(), tmp_path / "out")
    monkeypatch.undo()
    monkeypatch.setattr(run_module, "engine", here)
    cut = max((tmp_path / "out" / "records").iterdir())
    cut.write_bytes(cut.read_bytes()[:1000])
    (tmp_path / "out" / "records" / "notes.parquet").write_text("not mine")
    assert set(ag.Records(tmp_path / "out").problems) == {f"records/{cut.name}", "records/notes.parquet"}
    outcome = ag.run_sweep(tiny(), tmp_path / "out")
    assert outcome.set_aside == dict.fromkeys((cut.name, "notes.parquet"), "is truncated or is no Parquet file")
    assert outcome.progress.computed >= 1
    assert {path.name for path in (tmp_path / "out" / "set-aside").iterdir()} == {cut.name, "notes.parquet"}
    assert comparable(tmp_path / "out") == comparable(undisturbed[1])


def test_two_sweeps_at_once_are_refused(tmp_path):
    folder = SweepFolder(tmp_path / "out")
    with (
        folder.claimed(),
        pytest.raises(ValueError, match=r"must not be written by two sweeps at once.*process \d+ on"),
    ):
        ag.run_sweep(tiny(), tmp_path / "out")
    assert ag.run_sweep(tiny(seeds=1, axes={"rho": [0.2], "speed": [0.1]}), tmp_path / "out").stopped is None


def test_other_peoples_folders_are_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(
        ValueError, match=r"`out` must be an empty folder or one with a sweep's records, got .* with thesis.tex"
    ):
        ag.run_sweep(tiny(), tmp_path)
    with pytest.raises(ValueError, match="`out` must be a folder"):
        ag.run_sweep(tiny(), tmp_path / "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_sweep_killed_before_it_started_can_be_run(tmp_path):
    (tmp_path / "lock").write_text("process 1 on somewhere")
    (tmp_path / ".sweep.json-1-abcd").write_text("{")
    assert ag.run_sweep(tiny(seeds=1, axes={"rho": [0.2], "speed": [0.1]}), tmp_path).stopped is None
    assert not list(tmp_path.glob(".*"))


def test_an_invalid_cell_is_named_before_anything_is_made(tmp_path):
    with pytest.raises(
        ValueError, match=r"the cell at rho = 0\.9, speed = 0\.1 is not valid: `frequencies` must be decreasing"
    ):
        ag.run_sweep(tiny(axes={"rho": [0.2, 0.9], "speed": [0.1]}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"workers": 0}, "`workers` must be from 1 to 1,024, got 0"),
        ({"workers": 2, "scheduler": "tcp://127.0.0.1:1"}, "give one"),
    ],
)
def test_engines_that_cannot_be(tmp_path, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        ag.run_sweep(tiny(), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_dask_is_an_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ValueError, match=r"`scheduler` needs distributed: pip install 'augscope\[cluster\]'"):
        ag.run_sweep(tiny(), tmp_path / "out", scheduler="tcp://127.0.0.1:1")


class TestProgress:
    def progress(self, **changes):
        plain = {
            "total": 1200,
            "done": 12,
            "failed": 1,
            "computed": 12,
            "rate": 3.14159,
            "seconds_left": 378.2,
            "workers": 2,
            "state": "running",
        }
        return Progress(**{**plain, "updated": 0.0, "process": 1, "machine": "here", **changes})

    def test_in_words(self):
        assert str(self.progress()) == "12/1,200 cells, 1 failed, 3.14 a second, 6.3 min left"
        assert str(self.progress(seconds_left=7290)).endswith("2.0 hours left")
        assert str(self.progress(seconds_left=5)).endswith(", 5.0 s left")
        assert str(self.progress(seconds_left=None)).endswith("3.14 a second")
        assert str(self.progress(state="finished")) == "12/1,200 cells, 1 failed, finished"

    def test_reports(self, tmp_path):
        reports = []
        ag.run_sweep(tiny(), tmp_path / "out", progress=reports.append)
        assert (reports[0].done, reports[0].state, reports[-1].done, reports[-1].state) == (
            0,
            "running",
            12,
            "finished",
        )
        assert all(a.done <= b.done for a, b in itertools.pairwise(reports))
        assert SweepFolder(tmp_path / "out").read_progress() == reports[-1]

    def test_a_sweep_that_died_is_stopped(self, tmp_path):
        folder = SweepFolder(tmp_path / "out")
        with folder.claimed():
            here_now = {"machine": platform.node(), "updated": time.time()}
            folder.write_progress(self.progress(**here_now))
            assert folder.read_progress().state == "running"
        assert folder.read_progress().state == "stopped"

    @pytest.mark.parametrize("hours", [-1000, 1000])
    def test_no_clock_says_that_a_sweep_has_stopped(self, tmp_path, hours):
        folder = SweepFolder(tmp_path / "out")
        with folder.claimed():
            for machine in (platform.node(), "elsewhere"):
                state = self.progress(machine=machine, updated=time.time() + 3600 * hours)
                folder.write_progress(state)
                assert folder.read_progress() == state
                done = run_here("sweep", "--status", folder.path)
                assert done.stdout == f"{state}\n"
                assert ("last heard of 1000.0 hours ago, by process 1 on" in done.stderr) == (hours < 0)

    @pytest.mark.parametrize("name", ["progress.json", "sweep.json"])
    @pytest.mark.parametrize("content", ["", "[]", "3", "null", "{}", '{"total": 1}', "[" * 100_000, "9" * 9_000, "\0"])
    def test_files_of_a_wrong_kind_are_a_sentence(self, tmp_path, name, content):
        folder = self.written(tmp_path)
        (folder.path / name).write_text(content)
        self.refused(folder, name)

    @pytest.mark.parametrize("name", ["progress.json", "sweep.json"])
    def test_so_are_pipes_folders_and_what_cannot_be_read(self, tmp_path, name):
        path = self.written(tmp_path).path / name
        path.unlink()
        os.mkfifo(path)
        self.refused(SweepFolder(path.parent), name)
        path.unlink()
        path.mkdir()
        self.refused(SweepFolder(path.parent), name)
        path.rmdir()
        path.symlink_to(path)
        self.refused(SweepFolder(path.parent), name)

    @pytest.mark.parametrize(
        "value", [["x"], {}, "x", 10**400, float("nan"), -float("inf")], ids=lambda value: str(value)[:9]
    )
    @pytest.mark.parametrize("field", [field.name for field in fields(Progress)])
    def test_progress_with_a_wrong_type_is_a_sentence(self, tmp_path, field, value):
        folder = self.written(tmp_path, **{field: value})
        if not (value == "x" and field in ("state", "machine")):
            self.refused(folder, "progress.json")

    def written(self, tmp_path, **changes) -> SweepFolder:
        folder = SweepFolder(tmp_path / "out")
        with folder.claimed():
            folder.write_progress(self.progress(**changes))
        return folder

    def refused(self, folder, name):
        done = run_here("sweep", "--status", folder.path)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
        assert "`folder` must " in done.stderr
        assert str(folder.path / name) in done.stderr

    def test_who_looks_keeps_no_sweep_out(self, tmp_path):
        folder = SweepFolder(tmp_path / "out")
        with folder.claimed():
            pass
        ended = threading.Event()

        def look():
            while not ended.is_set():
                folder.is_running()

        lookers = [threading.Thread(target=look) for _ in range(3)]
        for looker in lookers:
            looker.start()
        try:
            for _ in range(300):
                with folder.claimed():
                    assert folder.is_running()
        finally:
            ended.set()
            for looker in lookers:
                looker.join()

    def test_a_folder_without_progress(self, tmp_path):
        with pytest.raises(ValueError, match="`folder` must be a sweep's"):
            SweepFolder(tmp_path).read_progress()
        folder = SweepFolder(tmp_path / "out")
        with folder.claimed(), pytest.raises(ValueError, match="a sweep that has started"):
            folder.read_progress()

    def test_looking_does_not_take_the_lock(self, tmp_path):
        folder = SweepFolder(tmp_path / "out")
        with folder.claimed():
            assert folder.is_running()
        assert not folder.is_running()
        with (tmp_path / "out" / "lock").open() as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_rows_travel_unchanged():
    cell = tiny().cells()[0]
    row = failed_row(cell, "reason")
    (back,) = from_stream(to_stream([row])).to_pylist()
    assert {name: back[name] for name in row} == row
