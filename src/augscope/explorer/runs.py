"""What is computed for the page: a training that can be watched and stopped, and all that belongs to one choice of settings."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from augscope.explorer.plane import Plane
from augscope.explorer.settings import Settings
from augscope.model.dataset import Dataset
from augscope.model.methods import Method
from augscope.support.threads import one_blas_thread
from augscope.training.coefficients import geometry
from augscope.training.descent import Descent, checked_record_steps
from augscope.training.experiment import Experiment
from augscope.training.loop import Loop
from augscope.training.problem import Problem
from augscope.training.regimes import smallest_population
from augscope.training.seed_run import SeedRun

CHUNK_SECONDS = 0.2  # of steps, after which a training hears that it is to stop
PUBLISH_SECONDS = 0.1  # between two frames of a method


@dataclass(frozen=True, eq=False)
class Frame:
    """Where a training stands; each is a new value, equal to itself alone.

    Attributes:
        runs: by method in the experiment's order, those that have measured anything; status "running" while it runs.
        steps: the step that each method has reached, by its title.
        seconds: since the training began.
        is_over: whether all have ended.
        error: why nothing could be trained, or "".
    """

    runs: tuple[SeedRun, ...] = ()
    steps: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    is_over: bool = False
    error: str = ""


class Training:
    """Every method of an experiment side by side, measured as `train` measures: bit for bit, stopped or not.

    Args:
        experiment: what to train; gradient descent only.
        seed: of the sample and the initial weights; None: the population, d and n → ∞.

    Attributes:
        latest: where it stands; a new value each time, so that any thread may read it.
    """

    def __init__(self, experiment: Experiment, seed: int | None) -> None:
        self.experiment, self.seed, self.latest = experiment, seed, Frame()
        self._lock, self._stopping = threading.Lock(), threading.Event()
        self._runs: dict[Method, SeedRun] = {}
        self._steps: dict[str, int] = {}
        self._start = 0.0

    def stop(self) -> None:
        """Ask the training to end; it does so within a second, and keeps what it has."""
        self._stopping.set()

    def run(self) -> Frame:
        """Train to the end, or until `stop` is called, and return the last frame."""
        experiment, error, self._start = self.experiment, "", time.perf_counter()
        try:
            dataset = None if self.seed is None else experiment.sample(self.seed)
            with one_blas_thread(), ThreadPoolExecutor(len(experiment.methods)) as pool:
                list(pool.map(lambda method: self._descend(method, dataset), experiment.methods))
        except ValueError as problem:  # the sample does not fit into the memory
            error = str(problem)
        finally:
            self._publish(is_over=True, error=error)
        return self.latest

    def _descend(self, method: Method, dataset: Dataset | None) -> None:
        """Train one method, and publish what it records."""
        experiment, trained = self.experiment, method
        if dataset is None:
            dataset, trained = smallest_population(experiment.distribution, experiment.num_samples, method)
        problem = Problem(geometry(dataset), experiment.network, (trained,), experiment.step_size)

        def watch(step: int, _: float) -> None:
            self._steps[method.title] = step
            if self._stopping.is_set():
                raise KeyboardInterrupt  # the loop treats it as Ctrl-C: it records and ends

        targets = checked_record_steps(experiment.record_at, experiment.num_steps)
        descent = Descent(problem, experiment.num_steps, chunk_seconds=CHUNK_SECONDS)
        loop = Loop(descent, [dataset], targets, watch)
        due = 0.0
        for _ in loop.moments():
            if time.perf_counter() >= due:
                self._publish(method, replace(SeedRun.of(self.seed, loop.run()), method=method))
                due = time.perf_counter() + PUBLISH_SECONDS
        self._publish(method, replace(SeedRun.of(self.seed, loop.run()), method=method))

    def _publish(
        self, method: Method | None = None, run: SeedRun | None = None, is_over: bool = False, error: str = ""
    ) -> None:
        with self._lock:
            if method is not None and run is not None:
                self._runs[method] = run
            runs = tuple(self._runs[method] for method in self.experiment.methods if method in self._runs)
            seconds = time.perf_counter() - self._start
            self.latest = Frame(runs, dict(self._steps), seconds, is_over, error)


class Visit:
    """One choice of settings and all that is computed for it; nothing of it changes when the page's settings do.

    Args:
        settings: that fit together.
        plane: the map around them, shared with other choices on it.
        earlier: the limit's runs at the settings before, to be drawn in grey.
    """

    def __init__(self, settings: Settings, plane: Plane, earlier: tuple[SeedRun, ...] = ()) -> None:
        self.settings, self.plane, self.earlier = settings, plane, earlier
        self.experiment = settings.experiment()
        self.limit, self.sample = Training(self.experiment, None), Training(self.experiment, settings.seed)
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin: the limit first, then the sample and the map side by side."""
        threading.Thread(target=self._compute, daemon=True).start()

    def _compute(self) -> None:
        self.limit.run()
        threading.Thread(target=self.plane.fill, args=(self._stopping.is_set,), daemon=True).start()
        self.sample.run()

    def stop(self) -> None:
        """Stop training; the map goes on."""
        self.limit.stop()
        self.sample.stop()

    def leave(self) -> None:
        """Stop everything."""
        self.stop()
        self._stopping.set()

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.sample.latest.is_over and self.plane.is_full
