"""What a sweep costs beyond training: 1,000 tiny cells of one shape, and two workers against one.

    python benchmarks/sweep_overhead.py

Overhead of a cell: wall time of the whole sweep, all its programs compiled before (those of one cell and, by a sweep of one seed,
those that derive the rarities of all configurations), less the worker's start (a sweep of one cell in the same way), less the
cells' own training and measuring (`seconds`), over the number of cells. Drawing the sample counts as overhead.

Before two workers are compared with one, two worker processes without any sweep say what the machine allows: the same cell in
one process alone, and in two at once.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import augscope as ag
from augscope.model.jax_setup import CACHE_VARIABLE
from augscope.sweep.process import CellProcess
from augscope.sweep.worker import from_stream

TINY = {
    "preset": "theorem",
    "methods": ["erm"],
    "experiment": {"num_samples": 20, "num_steps": 20, "record_at": [0, 10], "distribution": {"rarity": "derive"}},
    "axes": {
        "speed": {"from": 0.05, "to": 0.5, "count": 10, "scale": "log"},
        "feature_noise": {"from": 0.0, "to": 0.2, "count": 10},
    },
    "derived": {"dominant_noise_std": "sqrt(speed * num_samples / dim)"},
}
LONG = {  # by name: cells of a second or more
    f"{method}, n = {num_samples}": {
        "preset": "theorem",
        "methods": [method],
        "experiment": {"num_samples": num_samples, "num_steps": num_steps, "record_at": [0]},
    }
    for method, num_samples, num_steps in (("erm", 100, 120_000), ("erm", 300, 20_000), ("cutmix", 300, 10_000))
}
WARM = 4  # cells after which every worker has loaded its programs
TURNS = 3  # of a cell, alone and side by side: the median counts


def timed(grid: dict, workers: int = 1) -> tuple[float, dict]:
    """Wall time of a sweep, and what its records sum up to."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        outcome = ag.run_sweep(ag.Sweep.from_dict(grid), Path(folder) / "out", workers=workers)
        wall = time.perf_counter() - begun
        assert outcome.stopped is None
        assert outcome.progress.failed == 0
        sums = "SELECT count(*) AS cells, sum(seconds) AS training, sum(sample_seconds) AS sampling FROM records"
        return wall, ag.Records(Path(folder) / "out").query(sums).to_pylist()[0]


def overhead() -> None:
    """1,000 tiny cells."""
    one = {**TINY, "seeds": 1, "axes": {"speed": [0.05], "feature_noise": [0.0]}}
    cold, _ = timed(one)
    timed({**TINY, "seeds": 1})
    start, first = timed(one)
    wall, sums = timed({**TINY, "seeds": 10})
    cells = sums["cells"] - first["cells"]
    training, sampling = (sums[name] - first[name] for name in ("training", "sampling"))
    print(
        f"{sums['cells']} cells: {wall:.1f} s; one cell, start included: {start:.1f} s; with compilation: {cold:.1f} s"
    )
    print(
        f"a cell beyond training: {1e3 * (wall - start - training) / cells:.2f} ms, of these drawing the sample {1e3 * sampling / cells:.2f} ms"
    )
    print(f"a cell's training and measuring: {1e3 * training / cells:.2f} ms")


def side_by_side(grid: dict) -> float:
    """How many times the work of one process two do at once: no sweep, only the machine."""
    batches = [
        json.dumps([cell.message()]).encode() for cell in ag.Sweep.from_dict({**grid, "seeds": TURNS + 1}).cells()
    ]
    pair = CellProcess(), CellProcess()

    def median(process: CellProcess) -> float:
        found = [from_stream(process.run(batch))["seconds"][0].as_py() for batch in batches]
        return sorted(found[1:])[TURNS // 2]  # the first loads its programs

    try:
        for process in pair:
            process.run(batches[0])
        alone = median(pair[0])
        with ThreadPoolExecutor(2) as threads:
            both = list(threads.map(median, pair))
    finally:
        for process in pair:
            process.close()
    print(
        f"  two processes without a sweep: {alone:.2f} s a cell alone, {both[0]:.2f} and {both[1]:.2f} s side by side"
    )
    return sum(alone / seconds for seconds in both)


def scaling(grid: dict, cells: int = 20) -> None:
    """Cells of a second or more on one and on two workers: the rate once all have started, and the whole with their start."""
    rates = []
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            ag.run_sweep(ag.Sweep.from_dict({**grid, "seeds": cells}), Path(folder) / "out", workers=workers)
            wall = time.perf_counter() - begun
            sql = "SELECT epoch(finished) AS finished, seconds FROM records ORDER BY finished"
            found = ag.Records(Path(folder) / "out").query(sql).to_pydict()
        finished = found["finished"][WARM:]
        # Workers may finish in step: that many cells count for the first moment, which says too little rather than too much.
        rates.append((len(finished) - workers) / (finished[-1] - finished[0]))
        training = sum(found["seconds"][WARM:]) / len(finished)
        print(
            f"  {workers} worker(s): {rates[-1]:.3f} cells a second, {training:.2f} s of training each; "
            f"{cells} cells with start {wall:.1f} s"
        )
    print(f"  two workers over one: {rates[1] / rates[0]:.2f}")


def main() -> None:
    """All of it, with compiled programs kept in a folder of its own."""
    with tempfile.TemporaryDirectory() as programs:
        os.environ[CACHE_VARIABLE] = programs
        overhead()
        for name, grid in LONG.items():
            print(f"{name}; load of the machine before: {os.getloadavg()[0]:.1f}")
            print(f"  two processes do {side_by_side(grid):.2f} times the work of one")
            scaling(grid)


if __name__ == "__main__":
    main()
