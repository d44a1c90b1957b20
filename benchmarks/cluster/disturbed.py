"""A sweep on a dask cluster with TLS that is disturbed: a worker killed or stopped for a while, the scheduler started again.

    python benchmarks/cluster/disturbed.py --repeats 10 --out reports/cluster

Everything runs on this machine, each part in a process of its own: `dask scheduler` with TLS, four `dask worker` processes of
one thread, and `augscope sweep`. After each disturbance the records must equal, bit for bit, those of one local worker:
nothing lost, nothing doubled. Printed: what the user sees, the exit statuses, and the counts.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import augscope as ag
from augscope.sweep.schema import UNREPEATABLE

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
NUM_WORKERS = 4
PATIENCE = 600.0  # seconds that anything may take


def certificates(folder: Path) -> dict[str, str]:
    """Make certificates as docs/sweeps.md has it, and return the variables that dask reads them from."""
    folder.mkdir(parents=True, exist_ok=True)
    text = (HERE.parents[1] / "docs" / "sweeps.md").read_text(encoding="utf-8")
    recipe = text.partition("```sh\n")[2].partition("```")[0]
    script = f"set -e; {recipe}\nenv | grep ^DASK_DISTRIBUTED__COMM"
    made = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    return dict(line.split("=", 1) for line in made.stdout.splitlines())


class Cluster:
    """A scheduler and its workers, each a process of its own, with TLS."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.variables = {**os.environ, **certificates(folder)}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"tls://127.0.0.1:{self.port}"
        self.scheduler = self._scheduler()
        self.workers = [self._worker(number) for number in range(NUM_WORKERS)]

    def restart_scheduler(self) -> None:
        """Kill the scheduler, and start another at the same address."""
        self.scheduler.kill()
        self.scheduler.wait()
        self.scheduler = self._scheduler()
        for number, worker in enumerate(self.workers):  # dask's workers end when their scheduler is lost
            if worker.poll() is not None or _ended(worker):
                self.workers[number] = self._worker(number)

    def kill_worker(self, number: int = 0) -> None:
        """Kill a worker as a machine that is gone would, its nanny with it, and start another in its place."""
        self._signal(number, signal.SIGKILL)
        self.workers[number].wait()
        self.workers[number] = self._worker(number)

    def stop_worker(self, seconds: float, number: int = 0) -> None:
        """Stop a worker for a while, as a machine that swaps or sleeps."""
        self._signal(number, signal.SIGSTOP)
        time.sleep(seconds)
        self._signal(number, signal.SIGCONT)

    def close(self) -> None:
        """End everything."""
        for number in range(NUM_WORKERS):
            self._signal(number, signal.SIGKILL)
        self.scheduler.kill()

    def _scheduler(self) -> subprocess.Popen:
        process = self._start(
            "scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--protocol",
            "tls",
            "--dashboard-address",
            ":0",
            "--no-dashboard",
        )
        deadline = time.monotonic() + PATIENCE
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return process
            assert process.poll() is None, f"the scheduler ended: see {self.folder / 'scheduler.log'}"
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def _worker(self, number: int) -> subprocess.Popen:
        folder = self.folder / f"worker-{number}"
        return self._start(
            "worker", self.address, "--nthreads", "1", "--no-dashboard", "--no-nanny", "--local-directory", str(folder)
        )

    def _start(self, role: str, *words: str) -> subprocess.Popen:
        log = (self.folder / f"{role}.log").open("a")
        return subprocess.Popen(
            [BIN / "dask", role, *words], env=self.variables, stdout=log, stderr=log, process_group=0
        )

    def _signal(self, number: int, kind: signal.Signals) -> None:
        """Send a signal to a worker and to the process in which its cells run."""
        worker = self.workers[number]
        children = subprocess.run(["pgrep", "-P", str(worker.pid)], capture_output=True, text=True).stdout.split()
        for pid in [worker.pid, *map(int, children)]:
            try:
                os.kill(pid, kind)
            except ProcessLookupError:
                continue


def _ended(process: subprocess.Popen) -> bool:
    """Whether a process ends within some seconds."""
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        return False
    return True


class RunningSweep:
    """`augscope sweep` as a user starts it."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.folder = folder
        words = ["sweep", HERE / "grid.toml", "--out", folder, "--scheduler", cluster.address, "--json"]
        self._process = subprocess.Popen(
            [BIN / "augscope", *map(str, words)],
            env=cluster.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until_under_way(self) -> None:
        """Wait until some cells are recorded, or the sweep has ended."""
        deadline = time.monotonic() + PATIENCE
        while self._process.poll() is None and time.monotonic() < deadline:
            file = self.folder / "progress.json"
            if file.exists() and json.loads(file.read_text())["done"] >= NUM_WORKERS:
                return
            time.sleep(0.05)

    def finish(self) -> tuple[int, str]:
        """Wait for the end; return the exit status and the last line for the user."""
        _, err = self._process.communicate(timeout=PATIENCE)
        lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip() for line in err.splitlines()]
        return self._process.returncode, next((line for line in reversed(lines) if line.startswith("augscope:")), "")


def comparable(folder: Path) -> list[str]:
    """Every record in full but for when, where and how fast, in order; text, so that NaN equals NaN and floats are exact."""
    sql = f"SELECT * EXCLUDE ({', '.join(UNREPEATABLE)}) FROM records ORDER BY cell"
    return [repr(row) for row in ag.Records(folder).query(sql).to_pylist()]


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Yield a cluster, and end it after."""
    cluster = Cluster(folder)
    try:
        yield cluster
    finally:
        cluster.close()


def disturbances(seconds: float) -> dict[str, Callable[[Cluster], None]]:
    """What happens to the cluster once the sweep is under way, by name."""
    return {
        "nothing": lambda cluster: None,
        "a worker killed": lambda cluster: cluster.kill_worker(),
        f"a worker stopped for {seconds:g} s": lambda cluster: cluster.stop_worker(seconds),
        "the scheduler started again": lambda cluster: cluster.restart_scheduler(),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Disturb sweeps, and print a line each; 1 if anything was lost, doubled or not the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0, help="that a worker is stopped")
    parser.add_argument("--only", default="", help="disturbances whose name has this in it")
    parser.add_argument("--out", type=Path, default=Path("reports/cluster"))
    options = parser.parse_args(arguments)
    out = options.out.absolute()
    shutil.rmtree(out, ignore_errors=True)
    ag.run_sweep(ag.Sweep.from_toml(HERE / "grid.toml"), out / "one-worker")
    expected, faults = comparable(out / "one-worker"), 0
    print(f"{len(expected)} cells on one local worker; now on {NUM_WORKERS} dask workers with TLS", flush=True)
    with running_cluster(out / "cluster") as cluster:
        chosen = {name: call for name, call in disturbances(options.seconds).items() if options.only in name}
        for name, disturb in chosen.items():
            for repeat in range(options.repeats if name != "nothing" else 1):
                folder = out / f"{name.replace(' ', '-')}-{repeat}"
                began, sweep = time.perf_counter(), RunningSweep(cluster, folder)
                sweep.wait_until_under_way()
                disturb(cluster)
                endings = [sweep.finish()]
                while endings[-1][0] == 3 and len(endings) < 4:  # stopped: the same command goes on
                    endings.append(RunningSweep(cluster, folder).finish())
                same = comparable(folder) == expected
                faults += not same
                seen = "; then ".join(f"status {status}{f', {line}' if line else ''}" for status, line in endings)
                verdict = "the same records" if same else "OTHER RECORDS"
                print(f"{name}: {seen}; {verdict}; {time.perf_counter() - began:.0f} s", flush=True)
    print(f"{faults} faults")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
