"""How long 10⁵ records take to query and to draw: `python benchmarks/sweep_records.py [COUNT]`. Measures are made up."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import augscope as ag
from augscope.sweep.cells import Cell, failed_row
from augscope.sweep.folder import SweepFolder
from augscope.sweep.phase_page import write_phase
from augscope.sweep.schema import SCHEMA
from augscope.training.measure_table import measures_of

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
RECORDED = 40  # steps a trajectory
PART_ROWS = 2_000  # as merging leaves them


def made(folder: Path) -> None:
    """A folder of COUNT records on a 50 × 50 grid, three methods, with full trajectories."""
    seeds = -(-COUNT // (50 * 50 * 3))
    sweep = ag.Sweep.from_dict(
        {
            "preset": "theorem",
            "seeds": seeds,
            "experiment": {"num_samples": 20, "distribution": {"rarity": "derive"}},
            "axes": {
                "rho": {"from": 0.02, "to": 0.4, "count": 50, "scale": "log"},
                "speed": {"from": 0.02, "to": 2, "count": 50, "scale": "log"},
            },
            "derived": {"frequencies": ["1 - rho", "rho"], "dominant_noise_std": "sqrt(speed * num_samples / dim)"},
        }
    )
    place, cells, chance = SweepFolder(folder), sweep.cells()[:COUNT], np.random.default_rng(0)
    sizes = {"R": RECORDED, "2": 2, "K": 2}
    shapes = {row.name: [sizes[axis] for axis in row.shape] for row in measures_of(ag.History)}
    kind = SCHEMA.field("history").type
    history = [{name: chance.normal(size=shape).tolist() for name, shape in shapes.items()} for _ in range(PART_ROWS)]
    trajectories = pa.array(history, kind)  # the same in every part: what they say is not looked at
    known: dict[str, dict[str, Any]] = {}
    with place.claimed():
        place.save_grid(sweep, cells)
        for first in range(0, len(cells), PART_ROWS):
            rows = [_row(cell, chance, known) for cell in cells[first : first + PART_ROWS]]
            table = pa.Table.from_pylist(rows, SCHEMA)
            at = SCHEMA.get_field_index("history")
            place.parts.write(table.set_column(at, SCHEMA.field(at), trajectories.slice(0, len(rows))))


def _row(cell: Cell, chance: np.random.Generator, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    value = float(cell.point["speed"] < cell.point["rho"]) + 0.01 * chance.normal()
    own = {"cell": cell.identity, "seed": cell.seed, "accuracy": value, "feature_accuracy": [1.0, value]}
    if cell.configuration not in known:  # the same whatever the seed
        known[cell.configuration] = failed_row(cell, "made up") | {"status": "completed"}
    return known[cell.configuration] | own


def main() -> None:
    """Time each once cold and once more."""
    with tempfile.TemporaryDirectory() as folder:
        made(Path(folder) / "out")
        size = sum(path.stat().st_size for path in (Path(folder) / "out" / "records").iterdir())
        print(
            f"{COUNT:,} records, {size / 1e6:,.0f} MB in {len(list((Path(folder) / 'out' / 'records').iterdir()))} parts"
        )
        for turn in ("first", "again"):
            begun = time.perf_counter()
            records = ag.Records(Path(folder) / "out")
            records.query("SELECT method, rho, avg(accuracy) AS accuracy FROM records GROUP BY ALL ORDER BY ALL")
            queried = time.perf_counter()
            diagram = ag.phase_diagram(records, x="rho", y="speed", value="feature_accuracy[2]", panels="method")
            computed = time.perf_counter()
            write_phase(diagram, Path(folder) / "pictures")
            drawn = time.perf_counter()
            print(
                f"{turn}: query {queried - begun:.2f} s, phase diagram {computed - queried:.2f} s, its pictures (PNG, SVG, CSV, JSON) {drawn - computed:.2f} s"
            )


if __name__ == "__main__":
    main()
