"""Sweeps in processes of their own: killed at any moment, on any number of workers, the records are the same bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from distributed import LocalCluster
from sweep_cases import TINY_TOML, comparable, here, tiny

import augscope as ag
from augscope.cli import main
from augscope.model.jax_setup import CACHE_VARIABLE
from augscope.sweep import cluster as cluster_module
from augscope.sweep import run as run_module
from augscope.sweep.engine import engine
from augscope.sweep.process import CellProcess, WorkerDied
from augscope.sweep.schema import UNREPEATABLE
from augscope.sweep.worker import from_stream

COMMAND = Path(sys.executable).with_name("augscope")
PATIENCE = 600  # seconds after which a test gives up waiting: no busy machine takes as long
KILLS = 3  # in the default suite; `make test-slow` does 25


@pytest.fixture(scope="module")
def grid(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("grid") / "tiny.toml"
    path.write_text(TINY_TOML)
    return path


def command(*arguments, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, **options)


def cell_processes(parent: int) -> list[psutil.Process]:
    processes = []
    for process in psutil.Process(parent).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            if "augscope.sweep.worker" in " ".join(process.cmdline()):
                processes.append(process)
    return processes


def internet_sockets(process: psutil.Process) -> list[tuple]:
    return [connection.laddr for connection in process.net_connections("inet")]


def started(parent: int, workers: int) -> list[psutil.Process]:
    """Wait until there are so many workers, and return them."""
    deadline = time.monotonic() + PATIENCE
    while len(processes := cell_processes(parent)) < workers:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return processes


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, grid):
    """One run from beginning to end, and its folder."""
    folder = tmp_path_factory.mktemp("undisturbed") / "out"
    return command("sweep", grid, "--out", folder, "--json"), folder


def test_the_command(undisturbed, grid):
    done, folder = undisturbed
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert (outcome["progress"]["done"], outcome["progress"]["failed"], outcome["stopped"]) == (24, 0, None)
    lines = done.stderr.splitlines()
    assert lines[0].startswith("0/24 cells, 0 failed")  # plain lines: this is no terminal
    assert not [line for line in lines if "\x1b" in line or "Warning" in line or "Traceback" in line]
    status = command("sweep", "--status", folder)
    assert (status.returncode, status.stdout) == (0, "24/24 cells, 0 failed, finished\n")


def test_one_thread_in_its_own_process_gives_what_this_process_gives(undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "engine", here)
    ag.run_sweep(tiny(), tmp_path / "out")
    assert len(comparable(undisturbed[1])) == 24
    assert comparable(tmp_path / "out") == comparable(undisturbed[1])


def test_two_workers_give_the_same_bits_and_listen_nowhere(undisturbed, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)  # local workers do without
    before, sockets, workers = set(internet_sockets(psutil.Process())), set(), set()

    def look(progress):
        workers.add(progress.workers)
        for process in (psutil.Process(), *cell_processes(os.getpid())):
            sockets.update(internet_sockets(process))

    ag.run_sweep(tiny(), tmp_path / "out", workers=2, progress=look)
    assert (workers, sockets - before) == ({2}, set())
    assert comparable(tmp_path / "out") == comparable(undisturbed[1])


def test_ctrl_c_ends_the_workers_and_keeps_what_is_recorded(undisturbed, grid, tmp_path):
    process = subprocess.Popen(
        [COMMAND, "sweep", grid, "--out", tmp_path / "out", "--workers", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    workers = started(process.pid, 2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 3
    assert err.splitlines()[-1] == "augscope: interrupted; what was recorded is kept, the same command goes on"
    assert "Traceback" not in err
    assert psutil.wait_procs(workers, PATIENCE)[1] == []
    assert command("sweep", grid, "--out", tmp_path / "out").returncode == 0
    assert comparable(tmp_path / "out") == comparable(undisturbed[1])


def test_a_dask_cluster_gives_the_same_bits(undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_module, "SCHEDULER_SECONDS", PATIENCE)
    workers = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "memory_limit": 0}
    with LocalCluster(host="127.0.0.1", protocol="tcp", dashboard_address=None, **workers) as running:
        outcome = ag.run_sweep(tiny(), tmp_path / "out", scheduler=running.scheduler_address)
        assert not cell_processes(os.getpid())  # it leaves the cluster as it was before
    assert (outcome.progress.done, outcome.progress.workers, outcome.stopped) == (24, 2, None)
    assert comparable(tmp_path / "out") == comparable(undisturbed[1])


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


def killed_sweeps(grid: Path, folder: Path, kills: int, seconds: float, *options: str) -> int:
    """Start the sweep and kill everything of it after a random time, again and again; return how many were at work."""
    chance, cut = random.Random(2024), 0
    for _ in range(kills):
        process = subprocess.Popen(
            [COMMAND, "sweep", grid, "--out", folder, *options],
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(chance.uniform(0.2, 1.0) * seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            cut += 1
    return cut


def test_killed_at_random_moments_nothing_is_lost_and_nothing_doubled(undisturbed, grid, tmp_path):
    assert killed_sweeps(grid, tmp_path / "out", KILLS, 2.5) >= 1
    done = command("sweep", grid, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert comparable(tmp_path / "out") == comparable(undisturbed[1])
    assert "set aside" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_25_random_moments(tmp_path, grid, workers):
    """A larger grid, so that most kills strike at work; the workers end by themselves."""
    larger = tmp_path / "larger.toml"
    larger.write_text(TINY_TOML.replace("seeds = 4", "seeds = 400"))
    assert command("sweep", larger, "--out", tmp_path / "whole").returncode == 0
    assert killed_sweeps(larger, tmp_path / "out", 25, 5.0, "--workers", str(workers)) >= 20
    before = ag.Records(tmp_path / "out").query("SELECT count(*) AS n, count(DISTINCT cell) AS cells FROM records")
    assert before["n"] == before["cells"]
    assert command("sweep", larger, "--out", tmp_path / "out").returncode == 0
    assert len(comparable(tmp_path / "out")) == 2_400
    assert comparable(tmp_path / "out") == comparable(tmp_path / "whole")


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_worker_killed_in_mid_cell_is_replaced(undisturbed, grid, tmp_path, workers):
    process = subprocess.Popen(
        [COMMAND, "sweep", grid, "--out", tmp_path / "out", "--workers", str(workers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    victim = started(process.pid, workers)[0]
    time.sleep(0.5)  # it has been given a batch and is importing, compiling or training
    victim.kill()
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert out == "24/24 cells, 0 failed, finished\n"
    assert comparable(tmp_path / "out") == comparable(undisturbed[1])


def test_a_process_that_keeps_dying_is_given_up(monkeypatch):
    worker = CellProcess()
    stop = threading.Event()

    def assassin():
        while not stop.is_set():
            for process in cell_processes(os.getpid()):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(0.05)

    thread = threading.Thread(target=assassin)
    thread.start()
    try:
        with pytest.raises(
            WorkerDied, match=r"its process died 3 times, at last by SIGKILL \(out of memory, perhaps\)"
        ):
            worker.run(b"[]")
    finally:
        stop.set()
        thread.join()
        worker.close()


def test_a_process_ends_with_whoever_started_it():
    code = (
        "import os, psutil, signal\nfrom augscope.sweep.process import CellProcess\nprocess = CellProcess()\nprocess.run(b'[]')\n"
        "print(psutil.Process().children()[0].pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    child, deadline = int(done.stdout), time.monotonic() + PATIENCE
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("kind", ["nobody", "silent"])
def test_a_scheduler_that_does_not_answer_is_a_sentence_in_time(kind, monkeypatch):
    assert cluster_module.SCHEDULER_SECONDS <= 8  # the promise is 10
    monkeypatch.setattr(cluster_module, "SCHEDULER_SECONDS", 1)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if kind == "silent":
            listening.listen()  # accepts, and never says a word
        address = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        begun = time.monotonic()
        sentence = f"`scheduler` must be a dask scheduler that answers, got {address}"
        with pytest.raises(ValueError, match=sentence), engine(scheduler=address):
            pass
        assert time.monotonic() - begun < 30  # it ends: a client of dask's own waits without end


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
def test_bad_usage_is_one_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.toml").write_text(TINY_TOML)
    with pytest.raises(SystemExit) as ended:
        main(["sweep", *arguments])
    told = capsys.readouterr()
    assert (ended.value.code, told.out) == (2, "")
    assert sentence in told.err
    assert len(told.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
