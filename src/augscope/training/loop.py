"""The one loop of all trainings: a stepper goes from record to record, and the loop keeps what is measured on the way.

A stepper is one descent (`descent.Descent`), several side by side (`batch.SeveralDescents`), or the solver of a gradient flow
(`flow_solver.FlowSolver`). Records, progress, Ctrl-C, checkpoints and the finished `Run` are made here, once for all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from jaxtyping import Array, Float

from augscope.model.arrays import check
from augscope.model.dataset import Dataset
from augscope.model.methods import Method
from augscope.model.network import BaseNetwork
from augscope.model.patches import PatchData
from augscope.support.kept_file import damage_in_words
from augscope.support.shown import Shown
from augscope.training.checkpoint import DescentCheckpoint, named_leaves, with_leaves
from augscope.training.measures import History, Recorder, expected_plateau
from augscope.training.patch_measures import PatchRecorder
from augscope.training.problem import Problem

CHUNK_SECONDS = 1.0  # how often the host hears from a training: progress, Ctrl-C

Status = Literal["completed", "diverged", "interrupted", "unfinished", "running"]


@dataclass(frozen=True, repr=False)
class Run(Shown):
    """A finished descent.

    Attributes:
        weights: W(T), (2, D).
        history: every measure at every recorded step; of own patches a `PatchHistory`.
        status: "completed", "diverged" or "interrupted" ("unfinished": a flow whose solver gave up; "running": seen on its way).
        message: one sentence that says when and why, for a person.
        oscillating: the loss rose in more than a quarter of the last 1,000 steps (or of all, if fewer), or by more than a
            tenth in more than a twentieth of them.
        num_steps: steps taken.
        seconds: wall time of training and measuring, compilation included; of several in one program, an equal share of theirs.
        dataset, network, method, step_size: what was run.
    """

    weights: Float[Array, "2 D"]
    history: History
    status: Status
    message: str
    oscillating: bool
    num_steps: int
    seconds: float
    dataset: Dataset
    network: BaseNetwork
    method: Method
    step_size: float

    def __str__(self) -> str:
        what = f"{type(self).__name__}: {self.method.title}, {self.message}"
        return f"{what}\n  {self.dataset}\n  at the end: {self.history.last_text()}"

    def plot(self, axes: Any = None) -> Any:
        """Draw the features over steps above, exact accuracy below, as reports do; of own patches the loss, and accuracy on the test points.

        Args:
            axes: two of matplotlib's axes, or any two in an array; by default those of a new figure.

        Returns:
            The axes, (2, 1).
        """
        from augscope.support.rendering import axes_grid
        from augscope.training.figures import draw_methods, draw_patches, looks

        grid, distribution = axes_grid(axes, 2, 1), self.dataset.distribution
        if distribution is None:
            draw_patches(grid[:, 0], self)
            return grid
        groups = {self.method: [self]}  # pyright: ignore[reportUnhashable]  (frozen values are hashable)
        draw_methods(grid, groups, looks(distribution, distribution.rarity), {}, {})
        return grid

    def save(self, path: str | Path) -> None:
        """Write the run, data and weights included, to one file that `augscope.load` reads back; no pickle.

        Args:
            path: of the file, such as run.npz; one that is there is replaced, whole or not at all.

        Raises:
            ValueError: if it cannot be written, or is of own patches.
        """
        from augscope.training.saving import save_run

        own = "`save` writes runs on the paper's data; of own patches keep the arrays, `weights` and `history.to_pandas()`"
        check(self.dataset.distribution is not None, own)
        save_run(self, path)

    def _table(self) -> Sequence[Sequence[str]]:
        return self.history._table()

    @property
    def predicted_plateau(self) -> Float[np.ndarray, " 2"]:
        """Mean y a where training should settle, label +1 first (identity 6.8); NaN where no plateau is known."""
        return np.array(expected_plateau(self.dataset, self.method)[:2])


def _recorder(dataset: Any) -> type[Recorder]:
    return PatchRecorder if isinstance(dataset, PatchData) else Recorder


def checked_targets(record_at: Sequence[Any], end: Any, limit: str) -> tuple[Any, ...]:
    """Return what is to be recorded, ending with the end. Raises ValueError unless it increases within 0 … end, the `limit`."""
    targets = tuple(record_at)
    within = not targets or (targets[0] >= 0 and targets[-1] <= end)
    check(
        within and all(a < b for a, b in pairwise(targets)),
        f"`record_at` must increase within 0 … {limit}, got {targets}",
    )
    return targets if targets and targets[-1] == end else (*targets, end)


class Standing(NamedTuple):
    """Where one training stands, in the words of its `Run`; "running" with a message like "at step 5 of 100"."""

    weights: Any
    status: Status
    message: str
    oscillating: bool
    num_steps: int


class Stepper(Protocol):
    """What the loop moves: one training, or several in one batch, which share a problem and are counted from 0.

    Attributes:
        problem: what is trained.
        place: the step or time reached; of a batch, the step of those that are behind.
        loss: the loss there; of a batch, the mean.
        is_over: whether it cannot go on, as it diverged or its solver gave up.

    `has_reached` says whether what is measured at a step or time is known, and `advance` goes towards one that is not, for
    about `CHUNK_SECONDS` at most. `observe` returns (step or time, observation) of every training: at the target if it is
    reached, else where each stands. `standing` says where one of them stands.
    """

    @property
    def problem(self) -> Problem: ...
    @property
    def place(self) -> float: ...
    @property
    def loss(self) -> float: ...
    @property
    def is_over(self) -> bool: ...
    def has_reached(self, target: float) -> bool: ...
    def advance(self, target: float) -> None: ...
    def observe(self, target: float | None = None) -> Sequence[tuple[float, Any]]: ...
    def standing(self, index: int = 0) -> Standing: ...


@dataclass
class Loop:
    """Trainings on their way from record to record: run `moments`, or `finish`, once.

    Attributes:
        stepper: what moves.
        datasets: of each training, for its measures and its `Run`; none where nothing is measured. Where the stepper's problem
            has several methods, each training has one of them.
        targets: increasing steps or times to measure at.
        progress: called with (step or time, loss) about once a second. It ends the training as Ctrl-C does by raising
            KeyboardInterrupt.
        checkpoint: where a stepper with a `state` is kept: when a save is due, at the end and on Ctrl-C.
        began: when the training began, on the clock of `time.perf_counter`.
        interrupted: whether Ctrl-C ended it.
    """

    stepper: Stepper
    datasets: Sequence[Any]
    targets: Sequence[float]
    progress: Callable[[Any, float], Any] | None = None
    checkpoint: DescentCheckpoint | None = None
    began: float = field(default_factory=time.perf_counter)
    interrupted: bool = False

    def __post_init__(self) -> None:
        problem, count = self.stepper.problem, len(self.datasets)
        self._methods = problem.methods * count if len(problem.methods) == 1 else problem.methods
        pairs = zip(self.datasets, self._methods, strict=True)
        self._recorders = [_recorder(dataset)(dataset, problem.network, method) for dataset, method in pairs]
        if self.checkpoint is not None and self.checkpoint.earlier is not None:
            with damage_in_words(self.checkpoint.path):
                self._restore(self.checkpoint.earlier)

    def moments(self) -> Iterator[float]:
        """Yield the step or time of every record once it is made, until the last target, the stepper's end or Ctrl-C."""
        try:
            last = max((recorder.last_step for recorder in self._recorders), default=-1)
            for target in (target for target in self.targets if target > last):  # what an earlier run has not recorded
                while not (self.stepper.has_reached(target) or self.stepper.is_over):
                    self.stepper.advance(target)
                    self._after_chunk()
                self._record(target)
                yield self.stepper.place
                if self.stepper.is_over:
                    break
            self._save()
        except KeyboardInterrupt:
            self.interrupted = True
            self._save()  # before the record that only this ending makes
            self._record(None)
            yield self.stepper.place

    def finish(self) -> list[Run]:
        """Run to the end and return every training's run."""
        for _ in self.moments():
            pass
        return [self.run(index) for index in range(len(self.datasets))]

    def run(self, index: int = 0) -> Run:
        """Return one training as it stands: "running" between two moments, "interrupted" after Ctrl-C."""
        problem, standing = self.stepper.problem, self.stepper.standing(index)
        if self.interrupted and standing.status == "running":
            message = f"interrupted {standing.message}; what was recorded until then is kept"
            standing = standing._replace(status="interrupted", message=message)
        return Run(
            **standing._asdict(),
            history=self._recorders[index].history(),
            seconds=(time.perf_counter() - self.began) / len(self.datasets),
            dataset=self.datasets[index],
            network=problem.network,
            method=self._methods[index],
            step_size=problem.step_size,
        )

    def _after_chunk(self) -> None:
        if self.progress is not None:
            self.progress(self.stepper.place, self.stepper.loss)
        if self.checkpoint is not None and self.checkpoint.due:
            self._save()

    def _record(self, target: float | None) -> None:
        """Measure every training, unless it stands where it was measured last."""
        observations = self.stepper.observe(target) if self._recorders else ()
        for recorder, (step, observation) in zip(self._recorders, observations, strict=True):
            if step > recorder.last_step:
                recorder.add(step, observation)

    def _save(self) -> None:
        """Keep everything that a training needs to go on, by name."""
        if self.checkpoint is None:
            return
        stepper: Any = self.stepper
        rows = {f"record.{name}": array for name, array in self._recorders[0].to_arrays().items()}
        seconds = np.array(time.perf_counter() - self.began)
        self.checkpoint.save({**named_leaves("state", stepper.state), **rows, "seconds": seconds})

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Stand where an earlier run was kept."""
        stepper: Any = self.stepper
        stepper.state = with_leaves("state", stepper.state, arrays)
        rows = {name.removeprefix("record."): array for name, array in arrays.items() if name.startswith("record.")}
        self._recorders[0].restore(rows)
        self.began -= float(arrays["seconds"])
