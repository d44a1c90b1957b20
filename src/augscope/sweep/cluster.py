"""Batches of cells on a dask.distributed cluster, whose scheduler runs already; only `--scheduler` imports this."""

from __future__ import annotations

import asyncio
import logging
import platform
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from distributed import Client, Future, as_completed
from distributed.comm.core import connect
from distributed.security import Security

from augscope.support.wording import VERSIONED, versions
from augscope.sweep.process import Answer, CellProcess, WorkerDied

SCHEDULER_SECONDS = 8  # that a scheduler has to answer
IN_FLIGHT = 2  # batches a worker: one running, one waiting
COUNT_EVERY = 2.0  # seconds between two counts of the cluster's workers
GONE = "the scheduler is gone, or was started again"

_idle: list[CellProcess] = []  # this dask worker's processes that have no batch now


class DaskEngine:
    """A cluster; each thread of its workers runs one batch at a time, in a process of its own."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._counted, self._num_workers = 0.0, 0

    @property
    def num_workers(self) -> int:
        """Threads of the cluster's workers, counted every two seconds: a cluster grows and shrinks."""
        if time.monotonic() - self._counted > COUNT_EVERY:
            self._counted, self._num_workers = time.monotonic(), sum(self._client.nthreads().values())
        return self._num_workers

    def results(self, batches: Iterable[tuple[Any, bytes]]) -> Iterator[tuple[Any, Answer]]:
        """Yield answers as they come in. Raises OSError when the scheduler is lost, or a worker has other versions."""
        waiting, tags, expected = iter(batches), {}, versions()
        running = as_completed(loop=self._client.loop)

        def fill() -> None:
            while len(tags) < IN_FLIGHT * max(1, self.num_workers) and (following := next(waiting, None)) is not None:
                future = self._client.submit(run_batch, following[1], expected, pure=False)
                tags[future.key] = following[0]
                running.add(future)

        fill()
        for future in running:
            yield tags.pop(future.key), _answer(future)
            future.release()
            fill()


def _answer(future: Future) -> Answer:
    if future.status == "finished":
        try:
            return future.result()
        except OSError:  # dask's names the sockets
            raise ConnectionError(GONE) from None
    if future.status == "error":
        error = future.exception()
        if isinstance(error, OtherVersions):
            raise error
        if isinstance(error, ImportError):
            raise OtherVersions(f"a worker cannot import what it needs: {error}")
        return error if isinstance(error, WorkerDied) else WorkerDied(f"{type(error).__name__}: {error}")
    raise ConnectionError(GONE)


class OtherVersions(OSError):
    """A worker has other versions than the sweep, with which records would not be comparable."""


def run_batch(batch: bytes, expected: dict[str, str]) -> bytes:
    """Run a batch in a process that is idle, or in a new one; called on the dask workers.

    Raises:
        WorkerDied: if its processes die of it.
        OtherVersions: if this worker's versions are not those expected.
    """
    own = versions()
    differing = [name for name in VERSIONED if own.get(name) != expected.get(name)]
    if differing:
        parts = [
            f"{name} {own.get(name, 'missing')} (the sweep: {expected.get(name, 'missing')})" for name in differing
        ]
        raise OtherVersions(f"the worker on {platform.node()} has {', '.join(parts)}")
    try:
        process = _idle.pop()
    except IndexError:  # not `if _idle`: another thread may take the last one in between
        process = CellProcess()
    try:
        return process.run(batch)
    finally:
        _idle.append(process)


def end_idle() -> None:
    """End this dask worker's idle processes: a sweep leaves a cluster as it was before."""
    with suppress(IndexError):
        while True:
            _idle.pop().close()


@contextmanager
def cluster(scheduler: str) -> Iterator[DaskEngine]:
    """Yield the cluster of a running scheduler, and disconnect after. Raises ValueError if the scheduler does not answer."""
    try:
        # A client would wait for ever for a scheduler that accepts a connection and never answers: so greet it first.
        with ThreadPoolExecutor(1) as thread:  # this thread may be a notebook's and have an event loop
            thread.submit(asyncio.run, _greet(scheduler)).result()
        client = Client(scheduler, timeout=SCHEDULER_SECONDS, set_as_default=False)
    except (OSError, ValueError, RuntimeError, ImportError, TypeError) as error:  # TypeError: TLS without certificates
        reason = (
            str(error).strip().splitlines()[0] if str(error).strip() else f"no answer in {SCHEDULER_SECONDS} seconds"
        )
        raise ValueError(f"`scheduler` must be a dask scheduler that answers, got {scheduler}: {reason}") from None
    # The sweep reports a lost scheduler in one sentence; dask's log would add tracebacks.
    log = logging.getLogger("distributed.client")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield DaskEngine(client)
        client.run(end_idle, on_error="ignore")  # a worker that left meanwhile
    finally:
        client.close()
        log.setLevel(level)


async def _greet(scheduler: str) -> None:
    """Connect to a scheduler and ask for its identity. Raises OSError (TimeoutError is one) if it does not answer."""
    async with asyncio.timeout(SCHEDULER_SECONDS):
        comm = await connect(scheduler, timeout=SCHEDULER_SECONDS, **Security().get_connection_args("client"))
        try:
            await comm.write({"op": "identity", "reply": True})
            await comm.read()
        finally:
            comm.abort()
