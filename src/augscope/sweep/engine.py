"""Where batches of cells run: in one process of this machine, or on dask.distributed, here or on a cluster."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from augscope.sweep.process import CellProcess, WorkerDied
from augscope.validation import check

SCHEDULER_SECONDS = 8  # that a scheduler has to answer
IN_FLIGHT = 2  # batches a worker: one running, one waiting
COUNT_EVERY = 2.0  # seconds between two counts of a cluster's workers
MAX_WORKERS = 1_024  # local processes; more is a slip of the hand

Answer = tuple[Any, bytes | WorkerDied]


class Engine(Protocol):
    """Runs batches; `results` yields each with its answer, in any order, and draws batches only as they can be run."""

    @property
    def num_workers(self) -> int:
        """How many batches run at once."""
        ...

    def results(self, batches: Iterable[tuple[Any, bytes]]) -> Iterator[Answer]:
        """Yield (tag, Arrow stream of rows or WorkerDied) for every (tag, batch)."""
        ...


class LocalEngine:
    """One process on this machine."""

    num_workers = 1

    def __init__(self) -> None:
        self._process = CellProcess()

    def results(self, batches: Iterable[tuple[Any, bytes]]) -> Iterator[Answer]:
        """Yield answers one after another."""
        for tag, batch in batches:
            yield tag, _outcome(self._process, batch)

    def close(self) -> None:
        """End the process."""
        self._process.close()


class DaskEngine:
    """A dask.distributed cluster; each of its threads keeps a process of its own in which cells run."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._counted, self._num_workers = 0.0, 0

    @property
    def num_workers(self) -> int:
        """Threads of the cluster's workers, counted every two seconds: a cluster may grow and shrink."""
        if time.monotonic() - self._counted > COUNT_EVERY:
            self._counted, self._num_workers = time.monotonic(), sum(self._client.nthreads().values())
        return self._num_workers

    def results(self, batches: Iterable[tuple[Any, bytes]]) -> Iterator[Answer]:
        """Yield answers as they come in. Raises ConnectionError when the scheduler is lost."""
        from distributed import as_completed

        waiting, tags = iter(batches), {}
        running = as_completed(loop=self._client.loop)

        def fill() -> None:
            while len(tags) < IN_FLIGHT * max(1, self.num_workers) and (following := next(waiting, None)) is not None:
                future = self._client.submit(run_batch, following[1], pure=False)
                tags[future.key] = following[0]
                running.add(future)

        fill()
        for future in running:
            tag = tags.pop(future.key)
            yield tag, self._answer(future)
            future.release()
            fill()

    def _answer(self, future: Any) -> bytes | WorkerDied:
        if future.status == "finished":
            return future.result()
        if future.status == "error":
            error = future.exception()
            return error if isinstance(error, WorkerDied) else WorkerDied(f"{type(error).__name__}: {error}")
        raise ConnectionError(f"the scheduler lost a batch ({future.status})")


@dataclass
class _Held:
    """A thread's process, and whether it runs a batch now."""

    process: CellProcess = field(default_factory=CellProcess)
    busy: threading.Lock = field(default_factory=threading.Lock)


_held: dict[int, _Held] = {}  # by thread of a dask worker, each of which runs one batch at a time


def run_batch(batch: bytes) -> bytes:
    """Run a batch in this thread's process; what dask calls. Raises WorkerDied."""
    mine = _held.setdefault(threading.get_ident(), _Held())
    with mine.busy:
        return mine.process.run(batch)


def end_idle() -> None:
    """End the processes of this dask worker that run nothing: a sweep leaves a cluster as it found it."""
    for held in _held.values():
        if held.busy.acquire(blocking=False):
            held.process.close()
            held.busy.release()


def _outcome(process: CellProcess, batch: bytes) -> bytes | WorkerDied:
    try:
        return process.run(batch)
    except WorkerDied as error:
        return error


def check_engine(workers: int, scheduler: str | None) -> None:
    """Raise ValueError, before any work, if the engine that is asked for cannot be had."""
    check(1 <= workers <= MAX_WORKERS, f"`workers` must be from 1 to {MAX_WORKERS:,}, got {workers}")
    check(
        scheduler is None or workers == 1,
        f"`workers` counts local processes and `scheduler` names a cluster that has its own: give one, got {workers} and {scheduler}",
    )
    if workers > 1 or scheduler is not None:
        try:
            import distributed  # noqa: F401
        except ImportError:
            wanted = f"`workers` = {workers}" if scheduler is None else "`scheduler`"
            raise ValueError(f"{wanted} needs dask.distributed: pip install 'augscope[cluster]'") from None


@contextmanager
def engine(workers: int = 1, scheduler: str | None = None) -> Iterator[Engine]:
    """Yield a running engine and end it after.

    Args:
        workers: 1 for one process, without dask; more for a local dask cluster of as many, listening on 127.0.0.1 only.
        scheduler: the address of a running dask scheduler, such as "tcp://10.0.0.5:8786", in place of local processes.

    Raises:
        ValueError: if dask is not installed, or the scheduler does not answer within 8 seconds.
    """
    check_engine(workers, scheduler)
    if scheduler is not None:
        with _client(scheduler) as client:
            yield DaskEngine(client)
    elif workers > 1:
        with _local_cluster(workers) as client:
            yield DaskEngine(client)
    else:
        local = LocalEngine()
        try:
            yield local
        finally:
            local.close()


@contextmanager
def _client(scheduler: str) -> Iterator[Any]:
    """A client of a running scheduler, with one sentence if there is none."""
    from distributed import Client

    try:
        # Asked first whether it answers at all: a client waits without end for one that accepts a connection and says nothing.
        with ThreadPoolExecutor(1) as aside:  # not in this thread, which may be a notebook's and have an event loop
            aside.submit(asyncio.run, _greet(scheduler)).result()
        client = Client(scheduler, timeout=SCHEDULER_SECONDS, set_as_default=False)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        told = str(error).strip().splitlines()[0] if str(error).strip() else f"no word in {SCHEDULER_SECONDS} seconds"
        raise ValueError(f"`scheduler` must be a dask scheduler that answers, got {scheduler}: {told}") from None
    # A lost scheduler is told in one sentence, by the sweep; dask's own log would add its tracebacks.
    log = logging.getLogger("distributed.client")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield client
        client.run(end_idle)
    finally:
        client.close()
        log.setLevel(level)


async def _greet(scheduler: str) -> None:
    """Open a connection to a scheduler and ask who it is. Raises OSError (TimeoutError is one) if it does not answer."""
    from distributed.comm.core import connect

    async with asyncio.timeout(SCHEDULER_SECONDS):
        comm = await connect(scheduler, timeout=SCHEDULER_SECONDS)
        try:
            await comm.write({"op": "identity", "reply": True})
            await comm.read()
        finally:
            comm.abort()


@contextmanager
def _local_cluster(workers: int) -> Iterator[Any]:
    """A client of as many local worker processes. Dask puts a dead one's replacement in its place."""
    from dask import config
    from distributed import Client, LocalCluster

    quiet = {"distributed.worker.memory.terminate": False, "distributed.worker.memory.pause": False}
    with (
        config.set(quiet),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,  # pyright: ignore[reportArgumentType]  (none, as its documentation allows)
            memory_limit=0,
            silence_logs=logging.CRITICAL,
            preload=["augscope.sweep.preload"],
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client
