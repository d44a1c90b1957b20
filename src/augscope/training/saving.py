"""A run as one file: its arrays, and what was run as text. `loading` reads it."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from augscope.model.dataset import Dataset
from augscope.support.kept_file import SavedFile
from augscope.support.wording import versions

KIND = "augscope run"
PARTS = ("dataset", "network", "method", "history", "weights")  # of a run; everything else of it is plain


def save_run(run: Any, path: str | Path) -> None:
    """Write a `Run`. Raises ValueError if that fails, or a piece of the user's own has no import path."""
    dataset, history = run.dataset, run.history
    arrays = {f"dataset.{name}": np.asarray(getattr(dataset, name)) for name in dataset_arrays(type(dataset))}
    arrays |= {f"history.{field.name}": np.asarray(getattr(history, field.name)) for field in fields(history)}
    outcome = {name: value for name, value in vars(run).items() if name not in PARTS}
    about = {
        "kind": KIND,
        "type": type(run).__name__,
        "dataset": type(dataset).__name__,
        "distribution": dataset.distribution.model_dump(mode="json"),
        "network": run.network.model_dump(mode="json"),
        "methods": [run.method.model_dump(mode="json")],
        "coordinates": dataset.coordinates,
        "num_samples": dataset.num_samples,
        "outcome": json.loads(json.dumps(outcome, default=float)),
    }
    SavedFile(path, about, versions()).save({"weights": np.asarray(run.weights), **arrays})


def dataset_arrays(kind: type[Dataset]) -> list[str]:
    """Return the names of a dataset's fields that are arrays."""
    return [field.name for field in fields(kind) if field.name not in ("distribution", "num_samples", "coordinates")]
