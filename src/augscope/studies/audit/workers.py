"""Trainings one by one or side by side: each by one thread, whose number decides its bits, so that both give the same."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any

import psutil
import torch

from augscope.images.plan import TrainingPlan
from augscope.studies.audit.dataset import ImageData
from augscope.studies.audit.study import Trained, train_one
from augscope.support.threads import one_torch_thread
from augscope.support.values import check, check_count

WORTH = 60.0  # seconds of trainings from which other processes, which take some seconds to start, are used unasked
LOOK = 0.5  # seconds between two looks at how far they are

Finish = Callable[[TrainingPlan, Trained], None]
Report = Callable[[TrainingPlan, Sequence[int]], None]  # a training that runs, and the steps that each has made


def check_workers(workers: int | None, device: str) -> None:
    """Raise ValueError if a number of trainings at a time is given that is not at least 1, or more than one with a GPU."""
    if workers is not None:
        check_count("workers", workers)
        check(workers == 1 or device == "cpu", f"`workers` must be 1 on a GPU, got {workers} on {device}")


def usual_workers(trainings: int, seconds: float, device: str, data: ImageData) -> int:
    """Return how many trainings to make at a time: one a core if they take over a minute, on a CPU, as memory allows."""
    if device != "cpu" or seconds < WORTH:
        return 1
    copies = psutil.virtual_memory().available // (2 * (data.train.images.nbytes + data.test.images.nbytes))
    return max(1, min(trainings, os.cpu_count() or 1, copies))


def train_one_by_one(
    data: ImageData, plans: Sequence[TrainingPlan], device: str, finish: Finish, report: Report
) -> None:
    """Make trainings in this process. Raises `Diverged` as `train_network` does."""
    steps = [0] * len(plans)
    for number, plan in enumerate(plans):

        def note(step: int, number: int = number, plan: TrainingPlan = plan) -> None:
            steps[number] = step
            report(plan, steps)

        note(0)
        with one_torch_thread():
            run = train_one(data, plan, device, note)
        finish(plan, run)


def train_side_by_side(
    data: ImageData, plans: Sequence[TrainingPlan], workers: int, finish: Finish, report: Report
) -> None:
    """Make trainings in several processes at a time; where one fails, or this is interrupted, the others end at their next step.

    Raises:
        ValueError: `Diverged` as `train_network` does, or if a process has died.
    """
    context = get_context("spawn")
    steps, stop = context.Array("q", len(plans)), context.Event()
    pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(data, steps, stop))
    try:
        numbers = {pool.submit(_train, number, plan): number for number, plan in enumerate(plans)}
        waiting = set(numbers)
        while waiting:
            finished, waiting = wait(waiting, LOOK, FIRST_COMPLETED)
            for future in finished:
                finish(plans[numbers[future]], future.result())
            report(plans[min(numbers[future] for future in waiting or finished)], steps[:])
    except BrokenProcessPool:
        raise ValueError("`workers` must be fewer: a training's process has died (out of memory, perhaps)") from None
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


_process: dict[str, Any] = {}  # of a worker: the data, and what it shares with the others


class _Stopped(Exception):
    """Ends a training that nobody waits for."""


def _start(data: ImageData, steps: Any, stop: Any) -> None:
    """Begin a worker. Ctrl-C is for its parent, with which it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _process.update(data=data, steps=steps, stop=stop)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _train(number: int, plan: TrainingPlan) -> Trained:
    """Make a training in a worker."""

    def note(step: int) -> None:
        _process["steps"][number] = step
        if _process["stop"].is_set():
            raise _Stopped

    return train_one(_process["data"], plan, "cpu", note)
