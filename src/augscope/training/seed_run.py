"""What is kept of one method trained from one seed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np
from jaxtyping import Float

from augscope.model.methods import Method
from augscope.support.shown import Shown
from augscope.support.values import check
from augscope.training.loop import Run, Status
from augscope.training.measure_table import measures_of
from augscope.training.measures import History


@dataclass(frozen=True, repr=False)
class SeedRun(Shown):
    """One method trained from one seed: what verdicts and pictures need of it."""

    seed: int | None  # None: of a population
    method: Method
    history: History
    status: str
    message: str
    oscillating: bool
    feature_counts: tuple[tuple[int, ...], ...] | None  # points per feature, row 0 for label +1; None of a population
    seconds: float
    predicted_plateau: Float[np.ndarray, " 2"]  # where training should settle: see `Run`

    def __str__(self) -> str:
        place = "population" if self.seed is None else f"seed {self.seed}"
        return f"SeedRun: {self.method.title}, {place}, {self.message}; {self.history.last_text()}"

    @classmethod
    def of(cls, seed: int | None, run: Run) -> SeedRun:
        """Keep what verdicts and pictures need; let go of weights and data."""
        counts = run.dataset.feature_counts
        return cls(
            seed=seed,
            method=run.method,
            history=run.history,
            status=run.status,
            message=run.message,
            oscillating=run.oscillating,
            feature_counts=None if counts is None else tuple(map(tuple, counts.tolist())),
            seconds=run.seconds,
            predicted_plateau=run.predicted_plateau,
        )

    def checked(self) -> SeedRun:
        """Return the run. Raises ValueError if a field is not of its type or shape, as in a file that something else wrote."""
        num_features = np.shape(self.history.feature_scores)[-1]
        counts = np.zeros((2, num_features), int) if self.feature_counts is None else np.array(self.feature_counts)
        check(counts.shape == (2, num_features) and counts.dtype.kind in "iu", "`feature_counts` must be (2, K) counts")
        check(self.status in get_args(Status), f"`status` must be one of {get_args(Status)}, got {self.status!r}")
        types = {"seed": (int, type(None)), "message": str, "oscillating": bool, "seconds": (int, float)}
        for name, kind in types.items():
            value = getattr(self, name)
            check(isinstance(value, kind), f"`{name}` must not be {type(value).__name__}")
        plateau = np.asarray(self.predicted_plateau)
        check(plateau.shape == (2,) and plateau.dtype.kind in "iuf", "`predicted_plateau` must be two numbers")
        self.history.check_shapes(num_features)
        return self

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything but the seed and the method as arrays by name, for `from_arrays`."""
        outcome = {name: getattr(self, name) for name in _OUTCOME}
        counts, text = np.array(self.feature_counts or np.zeros((2, 0), int)), np.array(json.dumps(outcome))
        plateau = self.predicted_plateau
        return {**vars(self.history), "predicted_plateau": plateau, "feature_counts": counts, "said": text}

    @classmethod
    def from_arrays(cls, seed: int | None, method: Method, arrays: Mapping[str, np.ndarray]) -> SeedRun:
        """Return the run that `to_arrays` wrote down; arrays that a history no longer has are left out."""
        history = History(**{measure.name: arrays[measure.name] for measure in measures_of(History)})
        counts = arrays["feature_counts"]
        outcome = json.loads(str(arrays["said"]))
        return cls(
            seed=seed,
            method=method,
            history=history,
            feature_counts=tuple(map(tuple, counts.tolist())) if counts.size else None,
            predicted_plateau=arrays["predicted_plateau"],
            **outcome,
        ).checked()


_OUTCOME = ("status", "message", "oscillating", "seconds")  # kept as one text, under "said"


def drawn_seeds(seeds: Iterable[int | None]) -> tuple[int, ...]:
    """Return the seeds from which samples were drawn; None is a population's."""
    return tuple(seed for seed in seeds if seed is not None)


def runs_by_method(methods: Iterable[Method], runs: Iterable[SeedRun]) -> dict[Method, list[SeedRun]]:
    """Return the runs for means and pictures, by method: those with records. Methods without any are left out.

    One that Ctrl-C ended is there only where it is the method's only one.
    """
    runs, groups = [run for run in runs if len(run.history.steps)], {}
    for method in methods:
        recorded = [run for run in runs if run.method == method]
        groups[method] = [run for run in recorded if run.status != "interrupted"] or recorded
    return {method: group for method, group in groups.items() if group}


def missing_features(run: SeedRun) -> list[str]:
    """Return a sentence for each feature that no point of a label carries: of what it lacks a sample says nothing."""
    return [
        f"seed {run.seed}: no point with label {label} carries feature {k + 1}"
        for label, counts in zip(("+1", "−1"), run.feature_counts or ((), ()), strict=True)
        for k, count in enumerate(counts)
        if count == 0
    ]
