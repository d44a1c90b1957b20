"""What is kept of one method trained from one seed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from augscope.model.methods import Method
from augscope.training.loop import Run
from augscope.training.measure_table import measures_of
from augscope.training.measures import History


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
    predicted_plateau: Float[np.ndarray, " 2"]  # where training should settle: see `Run`

    @classmethod
    def of(cls, seed: int, run: Run) -> SeedRun:
        """Keep what verdicts and pictures need; let go of weights and data."""
        counts = tuple(tuple(int(count) for count in row) for row in run.dataset.feature_counts)
        return cls(
            seed=seed,
            method=run.method,
            history=run.history,
            status=run.status,
            message=run.message,
            oscillating=run.oscillating,
            feature_counts=counts,
            seconds=run.seconds,
            predicted_plateau=run.predicted_plateau,
        )

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything but the seed and the method as arrays by name, for `from_arrays`."""
        outcome = {name: getattr(self, name) for name in _OUTCOME}
        counts, text = np.array(self.feature_counts), np.array(json.dumps(outcome))
        plateau = self.predicted_plateau
        return {**vars(self.history), "predicted_plateau": plateau, "feature_counts": counts, "said": text}

    @classmethod
    def from_arrays(cls, seed: int, method: Method, arrays: Mapping[str, np.ndarray]) -> SeedRun:
        """Return the run that `to_arrays` wrote down; arrays that a history no longer has are left out."""
        history = History(**{measure.name: arrays[measure.name] for measure in measures_of(History)})
        counts = tuple(tuple(row) for row in arrays["feature_counts"].tolist())
        outcome = json.loads(str(arrays["said"]))
        return cls(
            seed=seed,
            method=method,
            history=history,
            feature_counts=counts,
            predicted_plateau=arrays["predicted_plateau"],
            **outcome,
        )


_OUTCOME = ("status", "message", "oscillating", "seconds")  # kept as one text, under "said"


def missing_features(run: SeedRun) -> list[str]:
    """Return a sentence for each feature that no point of a label carries: of what it lacks a sample says nothing."""
    return [
        f"seed {run.seed}: no point with label {label} carries feature {k + 1}"
        for label, counts in zip(("+1", "−1"), run.feature_counts, strict=True)
        for k, count in enumerate(counts)
        if count == 0
    ]
