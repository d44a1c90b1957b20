"""The constants of docs/planning.md: what a sweep of a million cells costs where it is begun, on the scheduler and on the disk.

    python benchmarks/cluster/plan.py

Nothing is trained: workers are stood in for by answers that are there already, so that only what does not spread over machines
is measured. Enumerating and recording are counted in processor time, scheduling and queries in wall time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
from distributed import Client, LocalCluster

import augscope as ag
from augscope.sweep import run as run_module
from augscope.sweep.cells import run_cell
from augscope.sweep.cluster import DaskEngine
from augscope.sweep.folder import SweepFolder
from augscope.sweep.schema import SCHEMA
from augscope.sweep.worker import to_stream

PART_ROWS = 100_000  # of the parts that are queried
CELL = {"num_samples": 20, "num_steps": 100, "distribution": {"rarity": ["common", "rare", "extremely_rare"]}}


def grid(count: int) -> ag.Sweep:
    """About `count` cells: a thousand seeds at each of so many places."""
    noise = {"from": 0.0, "to": 0.2, "count": max(2, count // 1000)}
    axes = {"feature_noise": noise}
    return ag.Sweep.from_dict(
        {"preset": "theorem", "methods": ["cutmix"], "seeds": 1000, "experiment": CELL, "axes": axes}
    )


class Answers:
    """An engine whose workers are done at once: one row stands for every answer, under the cell's own name."""

    num_workers = 1

    def __init__(self, row: dict[str, Any]) -> None:
        self.row = pa.Table.from_pylist([row], SCHEMA)
        self.seconds = 0.0  # spent here, and not by the sweep

    def results(self, batches: Iterable[tuple[Any, bytes]]) -> Iterator[tuple[Any, bytes]]:
        for cells, _ in batches:
            began = time.process_time()
            rows = pa.concat_tables([self.row] * len(cells))
            names = pa.array([cell.identity for cell in cells])
            answer = to_stream(rows.set_column(SCHEMA.get_field_index("cell"), SCHEMA.field("cell"), names).to_pylist())
            self.seconds += time.process_time() - began
            yield cells, answer


def enumerating(count: int) -> None:
    """Seconds and bytes of a cell where the sweep is begun, before the first is run."""
    sweep, process = grid(count), psutil.Process()
    before, began = process.memory_info().rss, time.process_time()
    cells = sweep.cells()
    identities = [cell.identity for cell in cells]
    seconds, size = time.process_time() - began, process.memory_info().rss - before
    each = len(identities)
    print(f"enumerating {each:,} cells: {1e6 * seconds / each:.0f} µs and {size / each:,.0f} bytes a cell")


def recording(sweep: ag.Sweep) -> None:
    """Cells a second that one process can record, and bytes of a record on the disk."""
    engine = Answers(run_cell(sweep.cells()[0].message()))

    @contextmanager
    def answered(*_: Any) -> Iterator[Answers]:
        yield engine

    run_module.engine = answered
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        done = ag.run_sweep(sweep, Path(folder) / "out").progress.done
        seconds = time.process_time() - began - engine.seconds
        files = [path.stat().st_size for path in (Path(folder) / "out" / "records").iterdir()]
        size = sum(files) / done
    print(
        f"recording {done:,} cells: {1e3 * seconds / done:.2f} ms a cell; {size:,.0f} bytes each in {len(files)} files"
    )


def nothing(batch: bytes, expected: dict[str, str]) -> bytes:
    """What a worker does in place of cells."""
    return b""


def scheduling(count: int) -> None:
    """Batches a second that go to workers and back, through the scheduler."""
    from augscope.sweep import cluster as cluster_module

    cluster_module.run_batch = nothing
    with (
        LocalCluster(n_workers=2, threads_per_worker=50, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        began = time.perf_counter()
        answers = sum(1 for _ in DaskEngine(client).results((index, b"") for index in range(count)))
        seconds = time.perf_counter() - began
    print(f"scheduling {answers:,} batches to 100 threads of 2 processes: {answers / seconds:,.0f} a second")


def querying(count: int) -> None:
    """Seconds of a query over records without trajectories, and their bytes."""
    row = run_cell(grid(2000).cells()[0].message()) | {"history": None}
    table, chance = pa.Table.from_pylist([row] * PART_ROWS, SCHEMA), np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        place = SweepFolder(Path(folder) / "out")
        with place.claimed():
            small = grid(2000)
            place.save_grid(small, small.cells())
            for part in range(count // PART_ROWS):
                place.parts.write(_made_up(table, part, chance))
        size = sum(path.stat().st_size for path in (Path(folder) / "out" / "records").iterdir())
        for turn in ("first", "again"):
            began = time.perf_counter()
            ag.Records(Path(folder) / "out").query(
                "SELECT feature_noise, avg(accuracy) AS mean, count(*) AS n FROM records GROUP BY ALL ORDER BY ALL"
            )
            print(
                f"querying {count:,} records ({size / count:.0f} bytes each), {turn}: {time.perf_counter() - began:.2f} s"
            )


def _made_up(table: pa.Table, part: int, chance: np.random.Generator) -> pa.Table:
    """The table with other cells and seeds, and with measures that no compression makes small."""
    for at, field in enumerate(SCHEMA):
        if pa.types.is_float64(field.type):
            values = pa.array(chance.random(len(table)))
            if field.name == "feature_noise":
                values = pa.array(np.round(values.to_numpy(), 2))
        elif field.name == "cell":
            values = pa.array([bytes(row).hex() for row in chance.integers(0, 256, (len(table), 32), np.uint8)])
        elif field.name == "seed":
            values = pa.array(np.arange(len(table)) + part * len(table)).cast(field.type)
        else:
            continue
        table = table.set_column(at, field, values)
    return table


def main() -> None:
    """Measure everything that the page's arithmetic is made of."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--batches", type=int, default=100_000)
    parser.add_argument("--records", type=int, default=10_000_000)
    options = parser.parse_args()
    enumerating(options.cells)
    recording(grid(min(options.cells, 10_000)))
    querying(options.records)
    scheduling(options.batches)


if __name__ == "__main__":
    main()
