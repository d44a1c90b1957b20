"""Every method trained from every seed, as many at a time as the machine allows."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import lru_cache
from math import log1p
from typing import Any

import jax

from augscope.batch import train_many
from augscope.experiment import Experiment
from augscope.kept_runs import KeptRuns
from augscope.methods import Method
from augscope.sampling import MEMORY_SHARE, free_bytes
from augscope.seed_run import SeedRun

Job = tuple[int, Method]  # a seed and a method


def run_seeds(
    experiment: Experiment,
    seeds: Sequence[int],
    progress: Callable[[str, float], Any] | None = None,
    *,
    kept: KeptRuns | None = None,
    workers: int | None = None,
) -> tuple[list[SeedRun], bool]:
    """Train every method from every seed; return the runs in order of seed and method, and whether Ctrl-C ended it early.

    On a CPU, runs go side by side in threads, each the same program as alone: results do not depend on how many. On another
    device, seeds are trained as batches (`train_many`), with the same results up to rounding; flows one by one.

    Args:
        experiment: what to run.
        seeds: as from `checked_seeds`.
        progress: called with (the run begun last, share done in [0, 1]); from any thread.
        kept: where runs are kept as they finish, and where those that are there already are taken from.
        workers: runs at a time; by default as many as there are cores, fewer where memory asks for it.

    Returns:
        The runs that finished, and those that Ctrl-C cut short, with status "interrupted".
    """
    jobs = [(seed, method) for seed in seeds for method in experiment.methods]
    found = {} if kept is None else {job: run for job in jobs if (run := kept.load(*job)) is not None}
    left = [job for job in jobs if job not in found]
    if jax.default_backend() != "cpu" and experiment.until is None:
        new, interrupted = _in_batches(experiment, left, progress, kept)
    else:
        count = min(workers or side_by_side(experiment), max(1, len(left)))
        new, interrupted = _in_threads(experiment, left, progress, kept, count, len(found))
    done = found | new
    return [done[job] for job in jobs if job in done], interrupted


def side_by_side(experiment: Experiment) -> int:
    """Return how many runs go side by side on a CPU: as many as there are cores, fewer where memory asks for it."""
    return min(os.cpu_count() or 1, _fitting(experiment))


def _fitting(experiment: Experiment) -> int:
    """How many runs fit into the free memory of the device at a time; at least one, which `check_memory` has seen to."""
    stats = None if jax.default_backend() == "cpu" else jax.devices()[0].memory_stats()
    if not stats or "bytes_limit" not in stats:
        return max(1, free_bytes() // experiment.needed_bytes)
    free = int(MEMORY_SHARE * (stats["bytes_limit"] - stats.get("bytes_in_use", 0)))
    return max(1, free // (2 * experiment.needed_bytes))  # twice: datasets, and their geometry side by side


def _in_threads(
    experiment: Experiment,
    jobs: Sequence[Job],
    progress: Callable[[str, float], Any] | None,
    kept: KeptRuns | None,
    workers: int,
    already: int,
) -> tuple[dict[Job, SeedRun], bool]:
    """Run jobs in threads: XLA computes outside Python's lock, and threads share its compiled programs."""
    shares, stop = _Shares(progress, already, already + len(jobs), experiment), threading.Event()
    sample = lru_cache(maxsize=2 * workers)(experiment.sample)  # the methods of a seed share its data

    def work(job: Job) -> SeedRun | None:
        seed, method = job
        if stop.is_set():
            return None
        shares.begin(job)

        def tell(place: float, loss: float) -> None:
            shares.tell(job, place)
            if stop.is_set():
                raise KeyboardInterrupt  # which the run takes as its own, and ends in good order

        file = None if kept is None else kept.descent_file(seed, method)
        run = SeedRun.of(seed, experiment.run(method, sample(seed), tell, checkpoint=file))
        if kept is not None and run.status != "interrupted":
            kept.save(run)
        shares.finish(job)
        return run

    with ThreadPoolExecutor(workers) as threads:
        futures = {threads.submit(work, job): job for job in jobs}
        interrupted = _wait(futures, stop)
    runs = {job: run for future, job in futures.items() if (run := future.result()) is not None}
    return runs, interrupted or any(run.status == "interrupted" for run in runs.values())


def _wait(futures: Iterable[Future[Any]], stop: threading.Event) -> bool:
    """Wait until all are done; an error or Ctrl-C stops those that run. Return whether it was Ctrl-C."""
    waiting, interrupted = set(futures), False
    while waiting:
        try:
            done, waiting = wait(waiting, timeout=1.0)  # a timeout lets Ctrl-C through
            if any(future.exception() is not None for future in done):
                stop.set()
        except KeyboardInterrupt:
            interrupted = True
            stop.set()
    return interrupted


class _Shares:
    """How much of every run is done, told to `progress` as one share."""

    def __init__(self, progress: Any, already: int, total: int, experiment: Experiment) -> None:
        self._progress, self._total, self._experiment = progress, total, experiment
        self._done, self._running, self._label = already, {}, ""
        self._lock = threading.Lock()

    def begin(self, job: Job) -> None:
        with self._lock:
            self._label = f"{job[1].title}, seed {job[0]}"
        self.tell(job, 0)

    def finish(self, job: Job) -> None:
        with self._lock:
            self._running.pop(job, None)
            self._done += 1

    def tell(self, job: Job, place: float) -> None:
        """A run has come to this step, or time of a flow."""
        if self._progress is None:
            return
        until = self._experiment.until
        # A flow works through the logarithm of time.
        share = place / self._experiment.num_steps if until is None else log1p(place) / log1p(until)
        with self._lock:
            self._running[job] = share
            self._progress(self._label, (self._done + sum(self._running.values())) / self._total)


def _in_batches(
    experiment: Experiment,
    jobs: Sequence[Job],
    progress: Callable[[str, float], Any] | None,
    kept: KeptRuns | None,
) -> tuple[dict[Job, SeedRun], bool]:
    """Train each method from as many seeds at once as fit."""
    runs: dict[Job, SeedRun] = {}
    size = _fitting(experiment)
    for method in experiment.methods:
        seeds = [seed for seed, its in jobs if its == method]
        for first in range(0, len(seeds), size):
            chosen = seeds[first : first + size]
            label = f"{method.title}, seeds {chosen[0]} to {chosen[-1]}"

            def tell(step: int, _: float, label: str = label, done: int = len(runs), count: int = len(chosen)) -> None:
                if progress is not None:
                    progress(label, (done + count * step / experiment.num_steps) / len(jobs))

            trained = train_many(
                [experiment.sample(seed) for seed in chosen],
                experiment.network,
                method,
                step_size=experiment.step_size,
                num_steps=experiment.num_steps,
                record_at=experiment.record_at,
                progress=tell,
            )
            finished = [SeedRun.of(seed, run) for seed, run in zip(chosen, trained, strict=True)]
            runs |= {(run.seed, method): run for run in finished}
            for run in finished:
                if kept is not None and run.status != "interrupted":
                    kept.save(run)
            if any(run.status == "interrupted" for run in trained):
                return runs, True
    return runs, False
