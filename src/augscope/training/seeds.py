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

from augscope.model.methods import Method
from augscope.model.sampling import MEMORY_SHARE, free_bytes
from augscope.support.threads import one_blas_thread
from augscope.training.batch import train_many
from augscope.training.experiment import Experiment
from augscope.training.kept_runs import KeptRuns
from augscope.training.seed_run import SeedRun

Job = tuple[int | None, Method]  # a seed and a method
Group = tuple[Method, ...]  # which step together


def run_seeds(
    experiment: Experiment,
    seeds: Sequence[int | None],
    progress: Callable[[str, float], Any] | None = None,
    *,
    kept: KeptRuns | None = None,
    workers: int | None = None,
) -> tuple[list[SeedRun], bool]:
    """Train every method from every seed; return the runs in order of seed and method, and whether Ctrl-C ended it early.

    On a CPU, runs go side by side in threads, the methods of a seed together (`method_groups`), with the same results up to rounding.
    On another device, seeds are trained as batches (`train_many`), likewise; flows, limits and drawn steps one by one.

    Args:
        experiment: what to run.
        seeds: as from `Experiment.checked_seeds`.
        progress: called with (the run that began last, share done in [0, 1]); from any thread.
        kept: where runs are kept as they finish, and where those that are there already are taken from.
        workers: runs at a time; by default as many as there are cores, fewer where memory asks for it.

    Returns:
        The runs that finished, and those that Ctrl-C cut short, with status "interrupted".
    """
    jobs = [(seed, method) for seed in seeds for method in experiment.methods]
    earlier = {} if kept is None else {job: run for job in jobs if (run := kept.load(*job)) is not None}
    left = [job for job in jobs if job not in earlier]
    work = _Work(experiment, progress, kept, num_done=len(earlier), num_runs=len(jobs))
    if jax.default_backend() != "cpu" and _is_plain(experiment):
        new, interrupted = _in_batches(work, left)
    else:
        workers = workers or side_by_side(experiment)
        groups = method_groups(experiment, len(seeds), workers, kept=kept is not None)
        of_seeds = ([(seed, method) for method in group] for seed in seeds for group in groups)
        pieces = [jobs for jobs in of_seeds if jobs[0] not in earlier]  # what is kept is kept of single methods
        new, interrupted = _in_threads(work, pieces, min(workers, max(1, len(pieces))))
    done = earlier | new
    return [done[job] for job in jobs if job in done], interrupted


def side_by_side(experiment: Experiment) -> int:
    """Return how many runs go side by side on a CPU: as many as there are cores, fewer where memory asks for it."""
    return min(os.cpu_count() or 1, _fitting(experiment))


def method_groups(experiment: Experiment, num_seeds: int, workers: int, *, kept: bool = False) -> list[Group]:
    """Return the methods in groups whose descents from a seed step together on a CPU: each step reads the data once for all.

    They do where there are seeds for all workers. Runs that are kept, flows, limits (which have no matrix to read), drawn steps and
    losses of projections go one by one.
    """
    together = jax.default_backend() == "cpu" and _is_plain(experiment) and num_seeds >= workers and not kept
    group = tuple(method for method in experiment.methods if together and not method.of_projections)
    alone = [(method,) for method in experiment.methods if method not in group]
    return [group, *alone] if group else alone


def _is_plain(experiment: Experiment) -> bool:
    """Whether it trains by full-batch descent from samples."""
    return experiment.until is None and experiment.sampling is None and not experiment.is_limit


def _fitting(experiment: Experiment) -> int:
    """How many runs fit into the free memory of the device at a time; at least one, which `check_memory` has seen to."""
    stats = None if jax.default_backend() == "cpu" else jax.devices()[0].memory_stats()
    if not stats or "bytes_limit" not in stats:
        return max(1, free_bytes() // experiment.needed_bytes)
    free = int(MEMORY_SHARE * (stats["bytes_limit"] - stats.get("bytes_in_use", 0)))
    return max(1, free // (2 * experiment.needed_bytes))  # twice: datasets, and their geometry side by side


class _Work:
    """The runs that are to be made: `progress` hears how much of all is done, and what is finished is kept."""

    def __init__(
        self, experiment: Experiment, progress: Any, kept: KeptRuns | None, num_done: int, num_runs: int
    ) -> None:
        self.experiment, self.kept = experiment, kept
        self._progress, self._num_done, self._num_runs = progress, num_done, num_runs
        self._running: dict[Job, float] = {}
        self._label = ""
        self._lock = threading.Lock()

    def begin(self, label: str, jobs: Sequence[Job]) -> None:
        """Runs begin, one or several at once."""
        with self._lock:
            self._label = label
        self.report(jobs, 0)

    def report(self, jobs: Sequence[Job], step: float) -> None:
        """Runs have come to this step, or time of a flow."""
        if self._progress is None:
            return
        until = self.experiment.until
        # A flow works through the logarithm of time.
        share = step / self.experiment.num_steps if until is None else log1p(step) / log1p(until)
        with self._lock:
            self._running |= dict.fromkeys(jobs, share)
            self._progress(self._label, (self._num_done + sum(self._running.values())) / self._num_runs)

    def finish(self, run: SeedRun) -> None:
        """A run has ended: keep it, unless Ctrl-C cut it short."""
        if self.kept is not None and run.status != "interrupted":
            self.kept.save(run)
        with self._lock:
            self._running.pop((run.seed, run.method), None)
            self._num_done += 1


def _in_threads(work: _Work, groups: Sequence[Sequence[Job]], workers: int) -> tuple[dict[Job, SeedRun], bool]:
    """Run groups of jobs of one seed in threads: XLA computes outside Python's lock, and threads share its compiled programs."""
    stop, experiment = threading.Event(), work.experiment
    sample = lru_cache(maxsize=2 * workers)(experiment.sample)  # the groups of a seed share its data

    def train(jobs: Sequence[Job]) -> list[SeedRun]:
        (seed, method), *others = jobs
        if stop.is_set():
            return []
        place = "population" if seed is None else f"seed {seed}"
        work.begin(place if others else f"{method.title}, {place}", jobs)

        def report(step: float, _: float) -> None:
            work.report(jobs, step)
            if stop.is_set():
                raise KeyboardInterrupt  # which the run takes as its own, and ends in good order

        if others:
            methods = [method for _, method in jobs]
            made = experiment.run_together(methods, sample(seed), report)
        else:
            file = None if work.kept is None else work.kept.descent_file(seed, method)
            made = [experiment.run(method, sample(seed), report, checkpoint=file, seed=seed)]
        runs = [SeedRun.of(seed, run) for run in made]
        for run in runs:
            work.finish(run)
        return runs

    # NumPy, which measures, by one thread a run: more would keep cores from the others' steps.
    with one_blas_thread(), ThreadPoolExecutor(workers) as threads:
        futures = [threads.submit(train, jobs) for jobs in groups]
        interrupted = _wait(futures, stop)
    runs = {(run.seed, run.method): run for future in futures for run in future.result()}
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


def _in_batches(work: _Work, jobs: Sequence[Job]) -> tuple[dict[Job, SeedRun], bool]:
    """Train each method from as many seeds at once as fit."""
    runs: dict[Job, SeedRun] = {}
    size, experiment = _fitting(work.experiment), work.experiment
    for method in experiment.methods:
        mine = [job for job in jobs if job[1] == method]
        for first in range(0, len(mine), size):
            batch = mine[first : first + size]
            work.begin(f"{method.title}, seeds {batch[0][0]} to {batch[-1][0]}", batch)

            def report(step: int, _: float, batch: Sequence[Job] = batch) -> None:
                work.report(batch, step)

            trained = train_many(
                [experiment.sample(seed) for seed, _ in batch],
                experiment.network,
                method,
                step_size=experiment.step_size,
                num_steps=experiment.num_steps,
                record_at=experiment.record_at,
                progress=report,
            )
            runs |= {job: SeedRun.of(job[0], run) for job, run in zip(batch, trained, strict=True)}
            for job in batch:
                work.finish(runs[job])
            if any(run.status == "interrupted" for run in trained):
                return runs, True
    return runs, False
