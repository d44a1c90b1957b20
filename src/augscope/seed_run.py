"""What is kept of one method trained from one seed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from augscope.loop import Run
from augscope.measures import History
from augscope.methods import Method


@dataclass(frozen=True)
class SeedRun:
    """One method trained from one seed: what verdicts and pictures need of it."""

    seed: int
    method: Method
    history: History
    status: str
    message: str
    oscillating: bool
    feature_counts: tuple[tuple[int, ...], ...]  # points per feature, row 0 for label +1
    seconds: float

    @classmethod
    def of(cls, seed: int, run: Run) -> SeedRun:
        """Keep what verdicts and pictures need; let go of weights and data."""
        counts = tuple(tuple(int(count) for count in row) for row in run.dataset.feature_counts)
        return cls(seed, run.method, run.history, run.status, run.message, run.oscillating, counts, run.seconds)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything but the seed and the method as arrays by name, for `from_arrays`."""
        outcome = {name: getattr(self, name) for name in _OUTCOME}
        measures = {field.name: getattr(self.history, field.name) for field in fields(History)}
        return {**measures, "feature_counts": np.array(self.feature_counts), "said": np.array(json.dumps(outcome))}

    @classmethod
    def from_arrays(cls, seed: int, method: Method, arrays: Mapping[str, np.ndarray]) -> SeedRun:
        """Return the run that `to_arrays` wrote down; arrays that a history no longer has are left out."""
        history = History(**{field.name: arrays[field.name] for field in fields(History)})
        counts = tuple(tuple(row) for row in arrays["feature_counts"].tolist())
        outcome = json.loads(str(arrays["said"]))
        return cls(seed=seed, method=method, history=history, feature_counts=counts, **outcome)


_OUTCOME = ("status", "message", "oscillating", "seconds")  # kept as one text, under "said"


def missing_features(run: SeedRun) -> list[str]:
    """Return a sentence for each feature that no point of a label carries: of what it lacks a sample says nothing."""
    return [
        f"seed {run.seed}: no point with label {label} carries feature {k + 1}"
        for label, counts in zip(("+1", "−1"), run.feature_counts, strict=True)
        for k, count in enumerate(counts)
        if count == 0
    ]
