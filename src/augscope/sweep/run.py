"""Run a sweep: every cell that its folder does not hold yet, on an engine, with rows written as they come in."""

from __future__ import annotations

import json
import os
import platform
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from augscope.sweep.cells import Cell, failed_row
from augscope.sweep.engine import Engine, check_engine, engine
from augscope.sweep.folder import Progress, SweepFolder
from augscope.sweep.grid import Sweep
from augscope.sweep.process import Answer, WorkerDied
from augscope.sweep.rarities import with_rarities
from augscope.sweep.schema import SCHEMA
from augscope.sweep.worker import from_stream

BATCH_SECONDS = 0.5  # planned for a batch of small cells, longer where there would be more than …
BATCH_RATE = 200.0  # … batches a second: dask's scheduler was measured at 230
MAX_BATCH = 100  # cells
GROWTH = 8  # largest factor from one batch to the next: the first one of a shape also compiles
WRITE_SECONDS = 1.0  # between two parts, unless there are …
WRITE_ROWS = 1_000  # … rows before
RATE_SECONDS = 30.0  # over which the rate is a mean


@dataclass(frozen=True)
class SweepOutcome:
    """How a sweep ended.

    Attributes:
        progress: at the end.
        set_aside: files that lay among the records, with the reason why each was set aside; their cells were run again.
        stopped: the reason why not every cell was run, or None.
    """

    progress: Progress
    set_aside: dict[str, str]
    stopped: str | None


def run_sweep(
    sweep: Sweep,
    folder: Path | str,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    retry_failed: bool = False,
    progress: Callable[[Progress], Any] | None = None,
) -> SweepOutcome:
    """Run every cell of a grid that the folder does not hold yet, and record each.

    Every cell runs in a worker process with one XLA thread, by the same program whatever the number of workers: the records
    are the same bit for bit on the same kind of machine, but for `seconds`, `sample_seconds`, `finished` and `machine`. A
    worker that dies is replaced and its cells are run again, three times at most. Only this process writes; killed at any
    moment, it loses no more than a second's records, and running it again completes them. Local processes answer over pipes:
    nothing listens on a port.

    Args:
        sweep: the grid.
        folder: where records go: empty, or a sweep's; another grid's records there count for this one.
        workers: processes on this machine, from 1 to 1,024. They compute on the CPU.
        scheduler: the address of a running dask scheduler, such as "tcp://10.0.0.5:8786", in place of local processes (needs
            dask.distributed: the extra `augscope[cluster]`).
        retry_failed: run cells again that are recorded as failed.
        progress: called about once a second.

    Returns:
        How it ended. A failed cell is a record; Ctrl-C, a full disk and a lost scheduler end the sweep, with the reason.

    Raises:
        ValueError: before any cell runs: an invalid cell, a folder that another sweep is writing to, dask not installed, a
            scheduler that does not answer within 8 seconds.

    Cost: beyond drawing samples and training, see benchmarks/sweep_overhead.py.
    """
    check_engine(workers, scheduler)
    cells, target = sweep.cells(), SweepFolder(folder)
    with target.claimed():
        try:
            set_aside = target.repair()
            if retry_failed:
                _forget_failures(target, cells)
            recorded = target.recorded()
            target.save_grid(sweep, cells)
        except OSError as error:
            place = error.filename or target.path
            raise ValueError(f"`out` could not be read and written, got {place}: {error.strerror}") from None
        ledger = _Ledger(target, cells, recorded, progress)
        stopped = None
        try:
            if ledger.pending:
                ledger.pending = with_rarities(ledger.pending)
                with engine(min(workers, len(ledger.pending)), scheduler) as running:
                    _run(ledger, running)
            ledger.write()
            target.parts.merge_small(all_of_them=True)
        except KeyboardInterrupt:
            stopped = "interrupted"
        except OSError as error:
            stopped = f"stopped: {error.strerror or error}"
        lost = ledger.close()
        if lost and stopped is None:
            stopped = f"stopped: {lost:,} records are no longer in {target.path}"
        return SweepOutcome(ledger.publish("finished" if stopped is None else "stopped"), set_aside, stopped)


def _forget_failures(folder: SweepFolder, cells: Sequence[Cell]) -> None:
    """Remove the failed rows of these cells: they will be run again."""
    identities = pa.array([cell.identity for cell in cells])
    failed = (pc.field("status") == "failed") & pc.field("cell").isin(identities)
    parts = folder.parts
    affected = [part for part in parts.look().live if parts.read([part], ["cell", "status"]).filter(failed).num_rows]
    if affected:
        parts.merge(affected, keep=~failed)


class _Ledger:
    """What is recorded, which rows wait to be written, and which cells are still to be run."""

    def __init__(
        self,
        folder: SweepFolder,
        cells: Sequence[Cell],
        recorded: Mapping[str, str],
        report: Callable[[Progress], Any] | None,
    ) -> None:
        self.folder, self.report, self.workers = folder, report, 0
        self._identities = [cell.identity for cell in cells]
        self.pending = [cell for cell in cells if cell.identity not in recorded]
        statuses = [recorded[cell.identity] for cell in cells if cell.identity in recorded]
        self._total, self._recorded, self._failed = len(cells), len(statuses), statuses.count("failed")
        self._computed = self._received = self._lost = 0  # rows of this run: written, written or waiting; and lost
        self._waiting: list[pa.Table] = []
        self._written = time.monotonic()
        self._recent = deque[tuple[float, int]]()  # times, with the rows received by then

    def add(self, table: pa.Table) -> None:
        """Add rows; write about once a second. Raises OSError if they cannot be written."""
        self._waiting.append(table)
        self._received += table.num_rows
        self._recent.append((time.monotonic(), self._received))
        if time.monotonic() - self._written > WRITE_SECONDS or self._received - self._computed >= WRITE_ROWS:
            self.write()
            self.folder.parts.merge_small()
            self.publish("running")

    def write(self) -> None:
        """Write the waiting rows, and count them."""
        if self._waiting:
            table = pa.concat_tables(self._waiting)
            self.folder.parts.write(table)
            self._waiting.clear()
            self._computed += table.num_rows
            self._failed += table["status"].to_pylist().count("failed")
        self._written = time.monotonic()

    def close(self) -> int:
        """Write the waiting rows if possible; return how many records, counted before, are in the folder no longer."""
        with suppress(OSError):  # the disk is full: the cells of these rows run again next time
            self.write()
        with suppress(OSError):  # the folder cannot be read: what was written is believed
            held = self.folder.recorded()
            self._lost = self._recorded + self._computed - sum(identity in held for identity in self._identities)
        return self._lost

    def publish(self, state: str) -> Progress:
        """Report the progress to the caller and in the folder."""
        progress = self._progress(state)
        if self.report is not None:
            self.report(progress)
        try:
            self.folder.write_progress(progress)
        except OSError:
            if state == "running":
                raise
        return progress

    def _progress(self, state: str) -> Progress:
        now = time.monotonic()
        while len(self._recent) > 2 and now - self._recent[0][0] > RATE_SECONDS:
            self._recent.popleft()
        rate = 0.0
        if len(self._recent) > 1:
            first, received = self._recent[0]
            rate = (self._received - received) / max(now - first, 1e-9)
        done = self._recorded + self._computed - self._lost
        return Progress(
            total=self._total,
            done=done,
            failed=self._failed,
            computed=self._computed,
            rate=rate,
            seconds_left=(self._total - done) / rate if rate > 0 and state == "running" else None,
            workers=self.workers,
            state=state,
            updated=time.time(),
            process=os.getpid(),
            machine=platform.node(),
        )


def _run(ledger: _Ledger, running: Engine) -> None:
    """Run the pending cells; a batch whose worker died three times is run cell by cell, and such a cell is recorded as failed."""
    ledger.workers = running.num_workers
    ledger.publish("running")
    sizes: dict[Any, int] = {}
    singles: list[Cell] = []
    for cells, answer in running.results(_batches(ledger.pending, sizes)):
        ledger.workers = running.num_workers
        if isinstance(answer, WorkerDied) and len(cells) > 1:
            singles += cells
            continue
        rows = _rows(cells, answer)
        sizes[cells[0].program] = _next_size(rows, max(BATCH_SECONDS, running.num_workers / BATCH_RATE))
        ledger.add(rows)
    for cells, answer in running.results(_message([cell]) for cell in singles):
        ledger.add(_rows(cells, answer))


def _rows(cells: Sequence[Cell], answer: Answer) -> pa.Table:
    """A batch's rows; a failed row for a cell whose worker died."""
    if isinstance(answer, WorkerDied):
        return pa.Table.from_pylist([failed_row(cells[0], str(answer))], SCHEMA)
    return from_stream(answer)


def _next_size(rows: pa.Table, planned: float) -> int:
    """The next batch's number of cells, to last so many seconds, from the time that these took."""
    seconds = sum(rows["seconds"].drop_null().to_pylist()) or planned
    fitting = int(planned * rows.num_rows / max(seconds, 1e-6))
    return max(1, min(fitting, GROWTH * rows.num_rows, MAX_BATCH))


def _batches(cells: Sequence[Cell], sizes: Mapping[Any, int]) -> Iterator[tuple[list[Cell], bytes]]:
    """Yield batches of cells, one compiled program after the other; a program's first batch is one cell."""
    ordered = sorted(cells, key=lambda cell: repr(cell.program))
    for program, group in groupby(ordered, key=lambda cell: cell.program):
        while batch := list(islice(group, sizes.get(program, 1))):
            yield _message(batch)


def _message(cells: list[Cell]) -> tuple[list[Cell], bytes]:
    return cells, json.dumps([cell.message() for cell in cells]).encode()
