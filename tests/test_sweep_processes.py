"""Sweeps in processes of their own: killed at any moment, on any number of workers, the records are the same bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import dask
import psutil
import pytest
from commands import COMMAND, run_here, run_installed
from distributed import LocalCluster
from distributed.security import Security
from sweep_cases import TINY_TOML, comparable, here, tiny

import augscope as ag
from augscope.model.jax_setup import CACHE_VARIABLE
from augscope.sweep import cluster as cluster_module
from augscope.sweep import run as run_module
from augscope.sweep.engine import engine
from augscope.sweep.process import CellProcess, WorkerDied
from augscope.sweep.schema import UNREPEATABLE
from augscope.sweep.worker import from_stream

WITHOUT_TLS = {
    "distributed.comm.require-encryption": False,
    **{f"distributed.comm.tls.{name}": None for name in ("ca-file", "client.cert", "client.key")},
}
PATIENCE = 600  # seconds after which a test gives up waiting: no busy machine takes as long


@pytest.fixture(scope="module")
def grid(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("grid") / "tiny.toml"
    path.write_text(TINY_TOML)
    return path


def cell_processes(parent: int) -> list[psutil.Process]:
    processes = []
    for process in psutil.Process(parent).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            if "augscope.sweep.worker" in " ".join(process.cmdline()):
                processes.append(process)
    return processes


def addresses(process: psutil.Process) -> list[object]:
    """Where a process can be reached, by the internet's addresses or a file's; pipes have none."""
    return [connection.laddr for connection in process.net_connections("all") if connection.laddr]


# A shell's background jobs ignore SIGINT, and so does what they start; a sweep that a person starts does not.
MINDING_INTERRUPTS = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
)


def start(grid: Path, folder: Path, workers: int) -> tuple[subprocess.Popen, list[psutil.Process]]:
    """Start a sweep in a session of its own, and return it with its workers, which stand still before they compute anything."""
    process = subprocess.Popen(
        [sys.executable, "-c", MINDING_INTERRUPTS, COMMAND, "sweep", grid, "--out", folder, "--workers", str(workers)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + PATIENCE
    while len(processes := cell_processes(process.pid)) < workers or not all(map(_stands_still, processes)):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    return process, processes


def _stands_still(process: psutil.Process) -> bool:
    """Stop a worker while it is still importing; say whether it has stopped."""
    process.suspend()
    return process.status() == psutil.STATUS_STOPPED


def _go_on(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def finish_here(folder: Path, monkeypatch) -> ag.SweepOutcome:
    """Go on with the tiny sweep, in this process."""
    monkeypatch.setattr(run_module, "engine", here)
    return ag.run_sweep(tiny(), folder)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, grid):
    """One run from beginning to end, and its folder."""
    folder = tmp_path_factory.mktemp("undisturbed") / "out"
    return run_installed("sweep", grid, "--out", folder, "--json"), folder


def test_the_command(undisturbed):
    done, folder = undisturbed
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert (outcome["progress"]["done"], outcome["progress"]["failed"], outcome["stopped"]) == (12, 0, None)
    lines = done.stderr.splitlines()
    assert lines[0].startswith("  0%  0/12 cells, 0 failed")  # plain lines: this is no terminal
    assert not [line for line in lines if "\x1b" in line or "Warning" in line or "Traceback" in line]
    status = run_here("sweep", "--status", folder)
    assert (status.returncode, status.stdout) == (0, "12/12 cells, 0 failed, finished\n")


def test_one_thread_in_its_own_process_gives_what_this_process_gives(undisturbed, tmp_path, monkeypatch):
    finish_here(tmp_path / "out", monkeypatch)
    assert len(comparable(undisturbed[1])) == 12
    assert comparable(tmp_path / "out") == comparable(undisturbed[1])


def test_two_workers_one_of_them_killed_give_the_same_bits_and_listen_nowhere(undisturbed, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)  # local workers do without
    monkeypatch.setattr(run_module, "WRITE_SECONDS", 0.0)  # progress after every batch
    before, sockets, counts, killed = set(addresses(psutil.Process())), set(), set(), []

    def look(progress):
        workers = cell_processes(os.getpid())
        counts.add(progress.workers)
        for process in (psutil.Process(), *workers):
            with suppress(psutil.NoSuchProcess):  # it was killed
                sockets.update(addresses(process))
        if progress.computed > 0 and not killed:  # both have been given their next batch
            killed.append(workers[0])
            workers[0].kill()

    outcome = ag.run_sweep(tiny(), tmp_path / "out", workers=2, progress=look)
    assert (outcome.progress.done, outcome.progress.failed, len(killed)) == (12, 0, 1)
    assert (counts, sockets - before) == ({2}, set())
    assert comparable(tmp_path / "out") == comparable(undisturbed[1])


def test_killed_and_interrupted_the_sweep_goes_on(undisturbed, grid, tmp_path, monkeypatch):
    killed, workers = start(grid, tmp_path / "out", 1)
    killed.kill()  # the sweep alone: its worker ends by itself
    _go_on(workers)
    killed.communicate()
    assert psutil.wait_procs(workers, PATIENCE)[1] == []

    process, workers = start(grid, tmp_path / "out", 2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _go_on(workers)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 3, err
    assert err.splitlines()[-1] == "augscope: interrupted; what was recorded is kept, the same command goes on"
    assert "Traceback" not in err
    assert psutil.wait_procs(workers, PATIENCE)[1] == []

    assert finish_here(tmp_path / "out", monkeypatch).set_aside == {}
    assert comparable(tmp_path / "out") == comparable(undisturbed[1])


def test_a_dask_cluster_gives_the_same_bits(undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_module, "SCHEDULER_SECONDS", PATIENCE)
    workers = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "memory_limit": 0}
    with LocalCluster(host="127.0.0.1", protocol="tcp", dashboard_address=":0", **workers) as running:
        outcome = ag.run_sweep(tiny(), tmp_path / "out", scheduler=running.scheduler_address)
        assert not cell_processes(os.getpid())  # it leaves the cluster as it was before
    assert (outcome.progress.done, outcome.progress.workers, outcome.stopped) == (12, 2, None)
    assert comparable(tmp_path / "out") == comparable(undisturbed[1])


def test_a_worker_of_another_version_ends_the_sweep_with_both_versions(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_module, "SCHEDULER_SECONDS", PATIENCE)
    monkeypatch.setattr(run_module, "engine", engine)
    here_and_there = iter([{"jax": "0.9.0", "augscope": "0.2"}, {"jax": "0.8.1", "augscope": "0.2"}])
    monkeypatch.setattr(cluster_module, "versions", lambda: next(here_and_there))
    small = tiny(seeds=1, axes={"rho": [0.2], "speed": [0.1]})
    workers = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "memory_limit": 0}
    with LocalCluster(host="127.0.0.1", protocol="tcp", dashboard_address=":0", **workers) as running:
        outcome = ag.run_sweep(small, tmp_path / "out", scheduler=running.scheduler_address)
    assert outcome.progress.done == 0
    assert outcome.stopped is not None
    assert outcome.stopped.endswith("has jax 0.8.1 (the sweep: 0.9.0)")


def test_with_tls_only_its_certificates_reach_a_cluster(tmp_path, monkeypatch):
    text = (Path(__file__).parents[1] / "docs" / "sweeps.md").read_text(encoding="utf-8")
    recipe = text.partition("```sh\n")[2].partition("```")[0]
    security = {}
    for name in ("mine", "foreign"):
        (tmp_path / name).mkdir()
        script = f"set -e; {recipe}\nenv | grep ^DASK_DISTRIBUTED__COMM"
        made = subprocess.run(["bash", "-c", script], cwd=tmp_path / name, capture_output=True, text=True, check=True)
        variables = dict(line.split("=", 1) for line in made.stdout.splitlines() if line.startswith("DASK_"))
        security[name] = dask.config.merge(dask.config.config, dask.config.collect_env(variables))
    workers = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "memory_limit": 0}
    monkeypatch.setattr(run_module, "engine", engine)
    small = tiny(seeds=1, axes={"rho": [0.2], "speed": [0.1]})
    with (
        dask.config.set(security["mine"]),
        LocalCluster(
            host="127.0.0.1", protocol="tls", dashboard_address=":0", security=Security(), **workers
        ) as running,
    ):
        address = running.scheduler_address
        assert address.startswith("tls://")
        assert ag.run_sweep(small, tmp_path / "out", scheduler=address).progress.done == 1
        for configuration in (security["foreign"], WITHOUT_TLS):
            with (
                dask.config.set(configuration),
                pytest.raises(ValueError, match="`scheduler` must be"),
            ):
                ag.run_sweep(small, tmp_path / "refused", scheduler=address)
        with dask.config.set(WITHOUT_TLS), pytest.raises(ValueError, match="`scheduler` must be"):
            ag.run_sweep(small, tmp_path / "refused", scheduler=address.replace("tls", "tcp"))


@pytest.mark.slow  # it compiles; every test beside it takes programs from the cache
def test_a_program_from_the_cache_gives_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    batch, rows, kept = json.dumps([tiny().cells()[0].message()]).encode(), [], []
    for _ in ("compiled", "from the cache"):
        process = CellProcess()
        rows.append(repr(from_stream(process.run(batch)).drop_columns(list(UNREPEATABLE)).to_pylist()))
        process.close()
        kept.append({path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("*-cache")})
    assert rows[0] == rows[1]
    assert "completed" in rows[0]
    assert len(kept[0]) > 0
    assert kept[0] == kept[1]  # nothing was compiled again


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_25_random_moments_nothing_is_lost_and_nothing_doubled(tmp_path, grid, workers):
    """A larger grid, so that most kills strike at work; the workers end by themselves."""
    larger, chance = tmp_path / "larger.toml", random.Random(2024)
    larger.write_text(TINY_TOML.replace("seeds = 2", "seeds = 400"))
    assert run_installed("sweep", larger, "--out", tmp_path / "whole").returncode == 0
    for _ in range(25):
        process, running = start(larger, tmp_path / "out", workers)
        _go_on(running)
        with suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0, 5))
        process.kill()
        process.communicate()
    before = ag.Records(tmp_path / "out").query("SELECT count(*) AS n, count(DISTINCT cell) AS cells FROM records")
    assert before["n"] == before["cells"]
    done = run_installed("sweep", larger, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "set aside" not in done.stderr
    assert len(comparable(tmp_path / "out")) == 2_400
    assert comparable(tmp_path / "out") == comparable(tmp_path / "whole")


def test_a_process_that_keeps_dying_is_given_up(tmp_path, monkeypatch):
    suicidal = tmp_path / "python"
    suicidal.write_text("#!/bin/sh\nkill -KILL $$\n")
    suicidal.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(suicidal))
    worker = CellProcess()
    reason = r"its process died 3 times, at last by SIGKILL \(out of memory, perhaps\)"
    with pytest.raises(WorkerDied, match=reason):
        worker.run(b"[]")
    worker.close()


@pytest.mark.parametrize("kind", ["nobody", "silent"])
def test_a_scheduler_that_does_not_answer_is_a_sentence_in_time(kind, monkeypatch):
    assert cluster_module.SCHEDULER_SECONDS <= 8  # the promise is 10; a client of dask's own waits without end
    monkeypatch.setattr(cluster_module, "SCHEDULER_SECONDS", 1)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if kind == "silent":
            listening.listen()  # accepts, and never sends a word
        address = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        sentence = f"`scheduler` must be a dask scheduler that answers, got {address}"
        with pytest.raises(ValueError, match=sentence), engine(scheduler=address):
            pass


BAD = {
    "no folder": (["grid.toml"], "`sweep` needs a grid and a folder"),
    "no file": (["nowhere.toml", "--out", "out"], "`grid` must be a readable file"),
    "unknown setting": (
        ["grid.toml", "--out", "out", "--setting", "tiny"],
        "`setting` must be one of none, got 'tiny'",
    ),
    "no workers": (["grid.toml", "--out", "out", "--workers", "0"], "`workers` must be from 1 to 1,024, got 0"),
    "status of nothing": (["--status", "out"], "`folder` must be a sweep's"),
}


@pytest.mark.parametrize(("arguments", "sentence"), BAD.values(), ids=BAD.keys())
def test_bad_usage_is_one_sentence(arguments, sentence, tmp_path):
    (tmp_path / "grid.toml").write_text(TINY_TOML)
    done = run_here("sweep", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
