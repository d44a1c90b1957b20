"""Run a sweep: every cell that its folder does not hold yet, on an engine, with rows written as they come in."""

from __future__ import annotations

import json
import os
import platform
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from augscope.sweep.cells import Cell, failed_row
from augscope.sweep.engine import Engine, check_engine, engine
from augscope.sweep.folder import Progress, SweepFolder
from augscope.sweep.grid import Sweep
from augscope.sweep.process import WorkerDied
from augscope.sweep.worker import from_stream, to_stream

BATCH_SECONDS = 0.5  # a batch of small cells is meant to last
MAX_BATCH = 100  # cells
GROWTH = 8  # times a batch may be larger than the one before: the first one of a shape also compiles
WRITE_SECONDS = 1.0  # between two parts
WRITE_ROWS = 1_000
RATE_SECONDS = 30.0  # over which the rate is taken


@dataclass(frozen=True)
class SweepOutcome:
    """How a sweep ended.

    Attributes:
        progress: the last word on how far it is.
        set_aside: files that were found in place of records, and why each was set aside; their cells were run again.
        stopped: why not every cell was run, in a sentence, or None.
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
    moment, it loses no more than a second's records, and running it again completes them.

    Args:
        sweep: the grid.
        folder: where records go: empty, or a sweep's; another grid's records there count for this one.
        workers: processes on this machine; more than one needs dask (`augscope[cluster]`), and in a script the usual
            `if __name__ == "__main__":` around the call. They compute on the CPU.
        scheduler: the address of a running dask scheduler, such as "tcp://10.0.0.5:8786", in place of local workers.
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
    cells, place = sweep.cells(), SweepFolder(folder)
    with place.claimed():
        try:
            set_aside = place.repair()
            if retry_failed:
                _forget_failures(place, cells)
            recorded = place.recorded()
            place.save_grid(sweep, cells)
        except OSError as error:
            raise ValueError(f"`out` could not be written, got {place.path}: {error.strerror}") from None
        ledger = _Ledger(place, cells, recorded, progress)
        stopped = None
        try:
            if ledger.pending:
                with engine(workers, scheduler) as running:
                    _run(ledger, running)
            ledger.tidy()
        except KeyboardInterrupt:
            stopped = "interrupted"
        except OSError as error:
            stopped = f"stopped: {error.strerror or error}"
        return SweepOutcome(ledger.finish(stopped), set_aside, stopped)


def _forget_failures(place: SweepFolder, cells: Sequence[Cell]) -> None:
    """Remove the failed rows of these cells: they will be run again."""
    mine = pa.array([cell.identity for cell in cells])
    failed = (pc.field("status") == "failed") & pc.field("cell").isin(mine)
    parts = place.parts
    affected = [part for part in parts.look().live if parts.read([part], ["cell", "status"]).filter(failed).num_rows]
    if affected:
        parts.merge(affected, keep=~failed)


@dataclass
class _Ledger:
    """What is recorded, what has come in and waits to be written, and what is still to be run."""

    place: SweepFolder
    cells: Sequence[Cell]
    recorded: dict[str, str]
    report: Callable[[Progress], Any] | None
    workers: int = 0
    _waiting: list[pa.Table] = field(default_factory=list)
    _written: float = field(default_factory=time.monotonic)
    _recent: deque[tuple[float, int]] = field(default_factory=deque)
    _computed: int = 0

    def __post_init__(self) -> None:
        mine = [self.recorded[cell.identity] for cell in self.cells if cell.identity in self.recorded]
        self._done, self._failed = len(mine), mine.count("failed")
        self.pending = [cell for cell in self.cells if cell.identity not in self.recorded]

    def add(self, table: pa.Table) -> None:
        """Take rows in; write about once a second. Raises OSError if they cannot be written."""
        self._waiting.append(table)
        self._failed += table["status"].to_pylist().count("failed")
        self._done += table.num_rows
        self._computed += table.num_rows
        self._recent.append((time.monotonic(), self._computed))
        rows = sum(part.num_rows for part in self._waiting)
        if time.monotonic() - self._written > WRITE_SECONDS or rows >= WRITE_ROWS:
            self.write()
            self.place.parts.merge_small()
            self.tell("running")

    def write(self) -> None:
        """Write what waits."""
        if self._waiting:
            self.place.parts.write(pa.concat_tables(self._waiting))
            self._waiting.clear()
        self._written = time.monotonic()

    def tidy(self) -> None:
        """Write what waits and merge small parts, at the end."""
        self.write()
        self.place.parts.merge_small(all_of_them=True)

    def finish(self, stopped: str | None) -> Progress:
        """Save what can be saved, and the last word."""
        try:
            if stopped is not None:
                self.write()
        except OSError:  # the disk is full: what waits is run again next time
            lost = sum(part.num_rows for part in self._waiting)
            self._done, self._computed = self._done - lost, self._computed - lost
            self._failed -= sum(part["status"].to_pylist().count("failed") for part in self._waiting)
        return self.tell("finished" if stopped is None else "stopped")

    def tell(self, state: str) -> Progress:
        """Say how far the sweep is, to the caller and in the folder."""
        found = self._progress(state)
        if self.report is not None:
            self.report(found)
        try:
            self.place.write_progress(found)
        except OSError:
            if state == "running":
                raise
        return found

    def _progress(self, state: str) -> Progress:
        now = time.monotonic()
        while len(self._recent) > 2 and now - self._recent[0][0] > RATE_SECONDS:
            self._recent.popleft()
        rate = 0.0
        if len(self._recent) > 1:
            rate = (self._computed - self._recent[0][1]) / max(now - self._recent[0][0], 1e-9)
        left = len(self.cells) - self._done
        return Progress(
            total=len(self.cells),
            done=self._done,
            failed=self._failed,
            computed=self._computed,
            rate=rate,
            seconds_left=left / rate if rate > 0 and state == "running" else None,
            workers=self.workers,
            state=state,
            updated=time.time(),
            process=os.getpid(),
            machine=platform.node(),
        )


def _run(ledger: _Ledger, running: Engine) -> None:
    """Run the pending cells; a batch that took its worker down three times is run cell by cell, and such a cell is failed."""
    ledger.workers = running.num_workers
    ledger.tell("running")
    singles: list[Cell] = []
    for cells, answer in running.results(_batches(ledger.pending, sizes := _Sizes())):
        ledger.workers = running.num_workers
        if isinstance(answer, WorkerDied) and len(cells) > 1:
            singles += cells
            continue
        table = _rows(cells, answer)
        sizes.learn(cells, table)
        ledger.add(table)
    if singles:
        for cells, answer in running.results(_message([cell]) for cell in singles):
            ledger.add(_rows(cells, answer))


def _rows(cells: Sequence[Cell], answer: bytes | WorkerDied) -> pa.Table:
    """A batch's rows; that of a cell whose worker died says so."""
    content = to_stream([failed_row(cells[0], str(answer))]) if isinstance(answer, WorkerDied) else answer
    return from_stream(content)


class _Sizes:
    """How many cells to send at once, learned from how long they take."""

    def __init__(self) -> None:
        self._size: dict[Any, int] = {}

    def next(self, program: Any) -> int:
        """Cells of the next batch of a program; the first is alone."""
        return self._size.get(program, 1)

    def learn(self, cells: Sequence[Cell], table: pa.Table) -> None:
        """Aim for half a second."""
        seconds = sum(table["seconds"].drop_null().to_pylist()) or BATCH_SECONDS
        wanted = int(BATCH_SECONDS * len(cells) / max(seconds, 1e-6))
        self._size[cells[0].program] = max(1, min(wanted, GROWTH * len(cells), MAX_BATCH))


def _batches(cells: Sequence[Cell], sizes: _Sizes) -> Iterator[tuple[list[Cell], bytes]]:
    """Yield batches of cells that share compiled programs, program by program, sized as they are asked for."""
    keyed = sorted(cells, key=lambda cell: repr(cell.program))
    for program, group in groupby(keyed, key=lambda cell: cell.program):
        waiting = deque(group)
        while waiting:
            yield _message([waiting.popleft() for _ in range(min(sizes.next(program), len(waiting)))])


def _message(cells: list[Cell]) -> tuple[list[Cell], bytes]:
    return cells, json.dumps([cell.message() for cell in cells]).encode()
