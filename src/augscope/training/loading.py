"""Runs that `Run.save` wrote, read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from augscope.model.arrays import check_precision
from augscope.model.dataset import Dataset, Limit, Sample
from augscope.model.distribution import FeatureNoise
from augscope.model.methods import read_method
from augscope.model.network import read_network
from augscope.support.kept_file import damage_in_words, read_saved
from augscope.support.naming import named_pieces
from augscope.support.values import check
from augscope.training.flow import FlowRun
from augscope.training.loop import Run
from augscope.training.measures import History
from augscope.training.saving import KIND, dataset_arrays

_TYPES: dict[str, type[Run]] = {"Run": Run, "FlowRun": FlowRun}
_DATASETS: dict[str, type[Dataset]] = {"Sample": Sample, "Limit": Limit}


def load_run(path: Path, *, trust: bool = False) -> Run:
    """Return the run in a file; arguments and errors as of `augscope.load`."""
    arrays, about = read_saved(path)
    check(
        about.get("kind") == KIND,
        f"`path` must be a file that `save` wrote, got {path}, a checkpoint of something else",
    )
    own = named_pieces(about)
    rule = "which runs code: `trust` must be given for that"
    check(trust or not own, f"{path} names {', '.join(own)} to import, {rule}")
    with damage_in_words(path, "path"):
        check_precision(arrays["weights"].dtype)
        dataset = _dataset(about, arrays)
        history = History(**{field.name: arrays[f"history.{field.name}"] for field in fields(History)})
        history.check_shapes(dataset.distribution.num_features)
        _check_shape("weights", arrays["weights"], dataset.initial_weights.shape)
        return _TYPES[about["type"]](
            weights=jnp.asarray(arrays["weights"]),
            history=history,
            dataset=dataset,
            network=read_network(about["network"]),
            method=read_method(about["methods"][0]),
            **about["outcome"],
        )


def _dataset(about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Dataset:
    kind, distribution = _DATASETS[about["dataset"]], FeatureNoise(**about["distribution"])
    content = {name: arrays[f"dataset.{name}"] for name in dataset_arrays(kind)}
    (rows,), dim = content["labels"].shape, content["features"].shape[-1]
    shapes = {
        "features": (2, distribution.num_features, dim),
        "initial_weights": (2, dim),
        "residual_gram": (2, 2),
        "patches": (rows, distribution.num_patches, dim),
    }
    for name, array in content.items():
        _check_shape(name, array, shapes.get(name, (rows,)))
    given: dict[str, Any] = {
        name: array if name == "probabilities" else jnp.asarray(array) for name, array in content.items()
    }
    return kind(distribution=distribution, num_samples=about["num_samples"], coordinates=about["coordinates"], **given)


def _check_shape(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    check(array.shape == shape, f"{name} must be of shape {shape}, not {array.shape}")
