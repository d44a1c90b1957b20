"""A training that can be watched and stopped: every method of one seed side by side, measured as `train` measures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from augscope.model.dataset import Dataset
from augscope.model.methods import Method
from augscope.training.coefficients import geometry
from augscope.training.descent import Descent, checked_record_steps
from augscope.training.experiment import Experiment
from augscope.training.loop import Loop
from augscope.training.problem import Problem
from augscope.training.seed_run import SeedRun

POLL_SECONDS = 0.1  # between two checks whether the training is still wanted


@dataclass(frozen=True)
class Frame:
    """Where a training stands.

    Attributes:
        version: counts frames.
        runs: by method in the experiment's order, those that have measured anything; status "running" while it runs.
        steps: the step that each method has reached, by its title.
        seconds: since the training was made, to its end.
        is_over: whether all have ended.
    """

    version: int
    runs: tuple[SeedRun, ...]
    steps: dict[str, int]
    seconds: float
    is_over: bool


class TrainingSession:
    """One training, in threads of its own.

    Stopped or not, what it has measured is what `train` would have measured, bit for bit: the length of a chunk changes
    nothing.

    Args:
        experiment: what to train; gradient descent only.
        seed: of the sample and the initial weights.
    """

    def __init__(self, experiment: Experiment, seed: int) -> None:
        self.experiment, self.seed = experiment, seed
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._runs: dict[Method, SeedRun] = {}
        self._steps = {method.title: 0 for method in experiment.methods}
        self._version = 0
        self._start = time.perf_counter()
        self._end: float | None = None

    def stop(self) -> None:
        """Ask the training to end; it does so within about a second, and keeps what it has."""
        self._stopping.set()

    @property
    def latest(self) -> Frame:
        """Where it stands now."""
        with self._changed:
            runs = tuple(self._runs[method] for method in self.experiment.methods if method in self._runs)
            until = self._end or time.perf_counter()
            return Frame(self._version, runs, dict(self._steps), until - self._start, self._end is not None)

    def run(self, is_unwanted: Callable[[], bool] = lambda: False) -> Frame:
        """Train to the end, or until `stop` is called or `is_unwanted` says so; return the last frame.

        Raises:
            ValueError: if the sample does not fit into the memory.
        """
        try:
            experiment = self.experiment
            dataset = experiment.sample(self.seed)
            problem = Problem(geometry(dataset), experiment.network, experiment.methods, experiment.step_size)
            with ThreadPoolExecutor(len(experiment.methods)) as pool:
                jobs = [pool.submit(self._descend, problem.only(method), dataset) for method in experiment.methods]
                while not all(job.done() for job in jobs):
                    if is_unwanted():
                        self.stop()
                    time.sleep(POLL_SECONDS)
            for job in jobs:
                job.result()
        finally:
            with self._changed:
                self._end = time.perf_counter()
                self._announce()
        return self.latest

    def frames(self, every: float = 0.3, is_unwanted: Callable[[], bool] = lambda: False) -> Iterator[Frame]:
        """Yield where it stands whenever that has changed, at most once in `every` seconds; the last frame ends it.

        Any number may watch, from any thread, also after the end.
        """
        seen = -1
        while not is_unwanted():
            with self._changed:
                self._changed.wait_for(lambda seen=seen: self._version > seen, timeout=POLL_SECONDS)
                if self._version == seen:
                    continue
            frame = self.latest
            yield frame
            if frame.is_over:
                return
            seen = frame.version
            time.sleep(every)

    def _descend(self, problem: Problem, dataset: Dataset) -> None:
        """Train one method, and announce every record."""
        method, num_steps = problem.method, self.experiment.num_steps

        def watch(step: int, _: float) -> None:
            self._steps[method.title] = step
            if self._stopping.is_set():
                raise KeyboardInterrupt  # the loop treats it as Ctrl-C: it records and ends

        targets = checked_record_steps(self.experiment.record_at, num_steps)
        loop = Loop(Descent(problem, num_steps), [dataset], targets, watch)
        for _ in loop.moments():
            run = SeedRun.of(self.seed, loop.run())
            with self._changed:
                self._runs[method] = run
                self._announce()

    def _announce(self) -> None:
        """Tell whoever watches that something has changed; the caller holds the lock."""
        self._version += 1
        self._changed.notify_all()
