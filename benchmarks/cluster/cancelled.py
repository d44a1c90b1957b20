"""A sweep through Slurm whose jobs are cancelled: first a worker's, then the sweep's own, which is then submitted again.

    sh benchmarks/cluster/slurm.sh /tmp/slurm        # Slurm on this machine, where there is none
    python benchmarks/cluster/cancelled.py --repeats 3 --out reports/slurm

Needs dask-jobqueue beside the extra `cluster`. After each repeat the records must equal, bit for bit, those of one local worker.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from disturbed import BIN, PATIENCE, certificates, comparable

import augscope as ag

HERE = Path(__file__).parent


def submit(folder: Path, log: Path, variables: dict[str, str]) -> str:
    """Submit the sweep as a small job of its own, and return the job's number."""
    line = f"{sys.executable} {HERE / 'slurm_sweep.py'} {folder}"
    words = ["sbatch", "--parsable", "--cpus-per-task", "1", "--output", str(log), "--wrap", line]
    return subprocess.run(
        words, env=variables, cwd=log.parent, capture_output=True, text=True, check=True
    ).stdout.strip()


def jobs(name: str) -> list[str]:
    """The numbers of the running jobs of a name."""
    words = ["squeue", "--noheader", "--states", "R", "--name", name, "--format", "%i"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until something is so. Raises TimeoutError if that takes far too long."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.2)


def num_done(folder: Path) -> int:
    """How many cells are recorded."""
    file = folder / "progress.json"
    return json.loads(file.read_text())["done"] if file.exists() else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Cancel jobs, and print what became of the sweep; 1 if anything was lost, doubled or not the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("reports/slurm"))
    options = parser.parse_args(arguments)
    out, faults = options.out.absolute(), 0
    shutil.rmtree(out, ignore_errors=True)
    ag.run_sweep(ag.Sweep.from_toml(HERE / "grid.toml"), out / "one-worker")
    expected = comparable(out / "one-worker")
    variables = {**os.environ, **certificates(out / "tls"), "PATH": f"{BIN}:{os.environ['PATH']}"}
    for repeat in range(options.repeats):
        folder, first, second = (out / f"{name}-{repeat}" for name in ("sweep", "first.log", "second.log"))
        began, job = time.perf_counter(), submit(folder, first, variables)
        wait_until(lambda folder=folder: num_done(folder) >= 4)
        lost = jobs("dask-worker")[0]
        subprocess.run(["scancel", lost], check=True)
        wait_until(  # or until the sweep is through: then there is less to cancel
            lambda lost=lost, job=job: (
                lost not in jobs("dask-worker") and (len(jobs("dask-worker")) == 2 or job not in jobs("wrap"))
            )
        )
        at_new_worker = num_done(folder)
        subprocess.run(["scancel", "--quiet", job], check=True)
        wait_until(lambda job=job: job not in jobs("wrap") and not jobs("dask-worker"))
        at_cancelled = num_done(folder)
        again = submit(folder, second, variables)
        wait_until(lambda again=again, second=second: second.exists() and again not in jobs("wrap"))
        same = comparable(folder) == expected
        faults += not same
        print(
            f"a worker's job cancelled, another ran in its place after {at_new_worker} cells; the sweep's job cancelled after "
            f"{at_cancelled}; submitted again: {second.read_text().strip().splitlines()[-1]!r}, "
            f"{'the same records' if same else 'OTHER RECORDS'}; {time.perf_counter() - began:.0f} s",
            flush=True,
        )
    print(f"{faults} faults")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
