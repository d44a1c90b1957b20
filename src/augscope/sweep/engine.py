"""Engines that run batches of cells: processes of this machine (here), or a dask.distributed cluster (`cluster.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from multiprocessing.connection import wait
from typing import Any, Protocol

from augscope.support.extras import needs_extra
from augscope.support.values import check
from augscope.sweep.process import Answer, CellProcess, WorkerDied

MAX_WORKERS = 1_024  # local processes; more is a typing error


class Engine(Protocol):
    """Runs batches; `results` yields each with its answer, in any order, and draws batches only as they can be run."""

    @property
    def num_workers(self) -> int:
        """How many batches run at once."""
        ...

    def results(self, batches: Iterable[tuple[Any, bytes]]) -> Iterator[tuple[Any, Answer]]:
        """Yield (tag, answer) for every (tag, batch)."""
        ...


class LocalEngine:
    """Processes on this machine, each at the other end of a pipe: nothing listens on a port."""

    def __init__(self, processes: Sequence[CellProcess]) -> None:
        self._processes, self.num_workers = processes, len(processes)

    def results(self, batches: Iterable[tuple[Any, bytes]]) -> Iterator[tuple[Any, Answer]]:
        """Yield answers as they come in; a process gets its next batch before its answer is used."""
        waiting = iter(batches)
        tags: dict[CellProcess, Any] = {}

        def start_next(process: CellProcess) -> None:
            following = next(waiting, None)
            if following is not None:
                tags[process], batch = following
                process.begin(batch)

        for process in self._processes:
            start_next(process)
        while tags:
            ready = wait([process.pipe for process in tags])
            for process in [process for process in tags if process.pipe in ready]:
                try:
                    answer = process.answer()
                except WorkerDied as error:
                    answer = error
                if answer is not None:
                    tag = tags.pop(process)
                    start_next(process)
                    yield tag, answer


def check_engine(workers: int, scheduler: str | None) -> None:
    """Raise ValueError if the arguments of `engine` are bad or dask is needed and not installed: before any work."""
    check(1 <= workers <= MAX_WORKERS, f"`workers` must be from 1 to {MAX_WORKERS:,}, got {workers}")
    if scheduler is None:
        return
    rule = "`workers` counts local processes and `scheduler` names a cluster that has its own: give one"
    check(workers == 1, f"{rule}, got {workers} and {scheduler}")
    with needs_extra("`scheduler`", "cluster"):
        import distributed  # noqa: F401


@contextmanager
def engine(workers: int = 1, scheduler: str | None = None) -> Iterator[Engine]:
    """Yield a running engine and end it after; arguments and errors as for `run_sweep`."""
    check_engine(workers, scheduler)
    if scheduler is not None:
        from augscope.sweep.cluster import cluster

        with cluster(scheduler) as running:
            yield running
        return
    with ExitStack() as stack:
        yield LocalEngine([stack.enter_context(closing(CellProcess())) for _ in range(workers)])
