"""What a sweep costs beyond drawing samples and training: 1,000 tiny cells of one shape, and two workers against one.

    python benchmarks/sweep_overhead.py          # needs the extra `cluster` for two workers

Overhead of a cell: wall time of the whole sweep, less the worker's start and first compilation (a sweep of one cell in the same
way), less the cells' own training and measuring (`seconds`), over the number of cells. Drawing the sample counts as overhead.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import augscope as ag

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
LONG = {"preset": "theorem", "methods": ["erm"], "experiment": {"num_steps": 20_000, "record_at": [0]}}
WARM = 4  # cells after which every worker has compiled


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
    start, first = timed(one)
    wall, sums = timed({**TINY, "seeds": 10})
    cells = sums["cells"] - first["cells"]
    training, sampling = (sums[name] - first[name] for name in ("training", "sampling"))
    print(f"{sums['cells']} cells: {wall:.1f} s; one cell, start and compilation included: {start:.1f} s")
    print(
        f"a cell beyond training: {1e3 * (wall - start - training) / cells:.2f} ms, of these drawing the sample {1e3 * sampling / cells:.2f} ms"
    )
    print(f"a cell's training and measuring: {1e3 * training / cells:.2f} ms")


def scaling(cells: int = 28) -> None:
    """Cells of a second or more on one and on two workers: the rate once all have compiled, and the whole with their start."""
    rates = []
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            ag.run_sweep(ag.Sweep.from_dict({**LONG, "seeds": cells}), Path(folder) / "out", workers=workers)
            wall = time.perf_counter() - begun
            sql = "SELECT epoch(finished) AS finished, seconds FROM records ORDER BY finished"
            found = ag.Records(Path(folder) / "out").query(sql).to_pydict()
        finished = found["finished"][WARM:]
        rates.append((len(finished) - 1) / (finished[-1] - finished[0]))
        training = sum(found["seconds"][WARM:]) / len(finished)
        print(
            f"{workers} worker(s): {rates[-1]:.3f} cells a second, {training:.2f} s of training each; "
            f"{cells} cells with start and compilation {wall:.1f} s"
        )
    print(f"two workers over one: {rates[1] / rates[0]:.2f}")


if __name__ == "__main__":
    overhead()
    scaling()
