"""What is measured of a network at a step: features learned, noise memorised, evenness, plateau, fit, stationarity.

A measure is a field of `History`: its name, shape, unit, meaning and how it is taken stand there and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from augscope.accuracy.exact import TestAccuracy, accuracy_from_projections
from augscope.model.dataset import Dataset
from augscope.model.distribution import FeatureNoise
from augscope.model.methods import Method
from augscope.model.methods.base import Plateau
from augscope.model.network import BaseNetwork
from augscope.model.patches import PatchData
from augscope.support.plain_data import plain
from augscope.support.threads import one_blas_thread
from augscope.support.values import check
from augscope.training.measure_table import Measure, MeasureTable, documented, measure, measures_of

LEARNED_SHARE = 0.15  # of the run's largest feature score (model.md §5)


# ruff: noqa: RUF009  (`measure` makes a field, as `dataclasses.field` does)
@documented
@dataclass(frozen=True, repr=False)
class History(MeasureTable):
    """Every measure at every recorded step; the leading axis R counts records.

    This class is the table of measures: what is recorded, kept, swept and documented follows from its fields.
    """

    steps: Int[np.ndarray, " R"] | Float[np.ndarray, " R"] = measure(
        "steps", "steps, or times of a flow", lambda at: at.step, details="Increasing; times are floats"
    )
    loss: Float[np.ndarray, " R"] = measure("nats", "training loss", lambda at: at.loss)
    gradient_norm: Float[np.ndarray, " R"] = measure(
        "nats per weight", "its gradient's norm", lambda at: at.gradient_norm, details="‖∇_W L‖"
    )
    feature_scores: Float[np.ndarray, "R 2 K"] = measure(
        "log-odds",
        "y (φ(⟨w_1,v⟩) − φ(⟨w_{−1},v⟩)), row 0 for label +1",
        lambda at: feature_scores(at.feature_projections, at.network),
    )
    noise_memorised: Float[np.ndarray, "R 2 2 K"] = measure(
        "weight",
        "mean c_{s,i,p} ‖ξ_i^(p)‖² over the points with feature k (identity 6.7)",
        lambda at: _noise_memorised(at.noise_coefficients, at.noise_squares, at.dataset),
        details="Axis 1 is the filter (0: s = y_i, 1: s = −y_i), axis 2 the kind of patch (0 dominant, 1 background; NaN "
        "where there is none)",
    )
    unevenness: Float[np.ndarray, " R"] = measure(
        "ratio",
        "spread of the patch scores over their mean",
        lambda at: unevenness(at.scores, at.labels, at.probabilities),
        details="Standard deviation of y a over all training patches, over the absolute value of its mean (0 is perfectly "
        "even)",
    )
    plateau: Float[np.ndarray, "R 2"] = measure(
        "log-odds",
        "mean y a over all patches of the points with label +1, and with label −1 (NaN if there are none)",
        lambda at: [_mean_score(at, label) for label in (1, -1)],
    )
    excess_loss: Float[np.ndarray, " R"] = measure(
        "nats",
        "loss above the method's minimum; NaN where none is known",
        lambda at: at.loss - expected_plateau(at.dataset, at.method)[2],
        details="The minimum is over all scores, for P ≥ 3 and both labels",
    )
    margin: Float[np.ndarray, " R"] = measure(
        "log-odds",
        "smallest y f(X) over the training points",
        lambda at: (at.labels[:, None] * at.scores).sum(axis=1).min(),
    )
    augmented_margin: Float[np.ndarray, " R"] = measure(
        "log-odds",
        "smallest y f over augmented points; NaN where patches are mixed",
        lambda at: _augmented_margins(at).min(),
        details="Cutout: all subsets; ERM: as `margin`; with CutMix a mixed point has two labels; Mixup: all pairs and nodes "
        "of its rule, y the label of larger weight (blends in halves: of both points)",
    )
    feature_projections: Float[np.ndarray, "R 2 2 K"] = measure(
        "weight", "⟨w_s, v_{s',k}⟩; axis 1 is the filter", lambda at: at.feature_projections
    )
    noise_gram: Float[np.ndarray, "R 2 2"] = measure(
        "squared weight", "Gram matrix of the weights' parts orthogonal to the features", lambda at: at.noise_gram
    )
    accuracy: Float[np.ndarray, " R"] = measure(
        "probability", "exact P[y f(X) > 0]", of_accuracy=lambda accuracy, _: accuracy.overall
    )
    accuracy_per_feature: Float[np.ndarray, "R 2 K"] = measure(
        "probability",
        "exact P[y f(X) > 0 | feature], row 0 for label +1",
        of_accuracy=lambda accuracy, _: accuracy.per_feature,
    )
    accuracy_error: Float[np.ndarray, " R"] = measure(
        "probability",
        "bound on the error of every accuracy; where none is proved, an estimate",
        of_accuracy=lambda accuracy, _: accuracy.error_estimate,
    )
    tie_probability: Float[np.ndarray, " R"] = measure(
        "probability",
        "P[f(X) = 0]",
        of_accuracy=lambda accuracy, frequencies: (accuracy.tie_probability @ frequencies).mean(),
    )

    def check_shapes(self, num_features: int) -> None:
        """Raise ValueError unless every measure holds numbers of its shape, and the steps increase."""
        _check_measures(measures_of(type(self)), vars(self), num_features)

    def to_dict(self) -> dict[str, Any]:
        """Return the arrays as nested lists, ready for JSON (NaN becomes None)."""
        return plain(vars(self))

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> History:
        """Return the history that `to_dict` wrote down; None becomes NaN. Raises KeyError where a measure is missing."""
        arrays: dict[str, Any] = {field.name: np.array(written[field.name], np.float64) for field in fields(cls)}
        if all(isinstance(step, int) for step in written["steps"]):
            arrays["steps"] = np.array(written["steps"], np.int64)
        return cls(**arrays)


def _check_measures(table: Iterable[Measure], arrays: Mapping[str, Any], num_features: int) -> None:
    """Raise ValueError unless all of these measures are there, hold numbers of their shapes, and the steps increase."""
    sizes = {"R": np.size(arrays["steps"]), "K": num_features, "2": 2}
    for row in table:
        array = np.asarray(arrays[row.name])
        fits = array.shape == tuple(sizes[axis] for axis in row.shape) or sizes["R"] == array.size == 0
        given = f"{array.dtype} of shape {array.shape}"
        check(fits and array.dtype.kind in "iuf", f"`{row.name}` must be numbers, {row.axes}, got {given}")
    check(bool((np.diff(arrays["steps"]) > 0).all()), "`steps` must increase")


@dataclass(frozen=True, kw_only=True, eq=False)
class Snapshot:
    """A network at a recorded step, as measures of any data read it: what was observed as NumPy arrays, and what it belongs to."""

    step: float
    loss: float
    gradient_norm: float
    scores: Float[np.ndarray, "n P"]
    projections: Float[np.ndarray, "2 n P"]
    labels: Int[np.ndarray, " n"]
    probabilities: Float[np.ndarray, " n"] | None  # None: uniform
    dataset: Any
    network: BaseNetwork
    method: Method


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureSnapshot(Snapshot):
    """The same of the paper's data, or of a limit."""

    feature_projections: Float[np.ndarray, "2 2 K"]  # the filter first
    noise_gram: Float[np.ndarray, "2 2"]
    noise_coefficients: Float[np.ndarray, "2 N"]
    noise_squares: Float[np.ndarray, "n P-1"]  # ‖ξ_i^(p)‖²


def feature_scores(projections: Float[np.ndarray, "2 2 K"], network: BaseNetwork) -> Float[np.ndarray, "2 K"]:
    """Return y (φ(⟨w_1, v_{y,k}⟩) − φ(⟨w_{−1}, v_{y,k}⟩)), row 0 for label +1, from ⟨w_s, v⟩ with the filter first."""
    active = np.asarray(network.activation(np.asarray(projections)))
    return (active[0] - active[1]) * np.array([[1.0], [-1.0]])


def features_learned(scores: Float[np.ndarray, "2 K"], learned_share: float = LEARNED_SHARE) -> Bool[np.ndarray, " K"]:
    """Return which features are learned: signed score at least `learned_share` of the largest, for both labels (model.md §5)."""
    scores = np.asarray(scores)
    return (scores.min(axis=0) >= learned_share * scores.max()) & (scores.min(axis=0) > 0)


def noise_memorised(coefficients: Float[np.ndarray, "2 N"], dataset: Dataset) -> Float[np.ndarray, "2 2 K"]:
    """Return mean c_{s,i,p} ‖ξ_i^(p)‖² per filter (own label, other), kind (dominant, background) and feature (6.7).

    NaN where no point carries the feature, and for background patches when P = 2.
    """
    return _noise_memorised(np.asarray(coefficients), dataset.noise_squares, dataset)


def _noise_memorised(coefficients: Any, squares: Any, dataset: Dataset) -> Any:
    strength = coefficients.reshape(2, *squares.shape) * squares
    positive = (np.asarray(dataset.labels) == 1)[None, :, None]
    own_and_other = np.where(positive, strength, strength[::-1])  # filter of the point's own label first
    by_kind = np.stack([own_and_other[:, :, 0], _mean_or_nan(own_and_other[:, :, 1:])], axis=1)  # (2, 2, n)
    carries = np.asarray(dataset.feature_index) == np.arange(dataset.distribution.num_features)[:, None]
    if dataset.is_limit:
        carries = carries * dataset.probabilities
    counts = carries.sum(axis=1)
    totals = by_kind @ carries.T
    return np.divide(totals, counts, out=np.full(totals.shape, np.nan), where=counts > 0)


def _mean_or_nan(array: np.ndarray) -> np.ndarray:
    return array.mean(axis=-1) if array.shape[-1] else np.full(array.shape[:-1], np.nan)


def unevenness(
    scores: Float[np.ndarray, "n P"],
    labels: Int[np.ndarray, " n"],
    probabilities: Float[np.ndarray, " n"] | None = None,
) -> float:
    """Return the spread of y a over all patches: standard deviation over |mean|; infinite if the mean is 0.

    Both are taken under the points' probabilities, uniform by default.
    """
    signed = np.asarray(labels)[:, None] * np.asarray(scores)
    mean = _mean(signed, probabilities)
    spread = np.sqrt(_mean((signed - mean) ** 2, probabilities))
    return float(spread / abs(mean)) if mean != 0 else float("inf")


def _mean(array: Float[np.ndarray, "n P"], probabilities: Float[np.ndarray, " n"] | None) -> Any:
    """The mean over points and patches; None: the points are equally likely."""
    weights = None if probabilities is None else np.broadcast_to(np.asarray(probabilities)[:, None], array.shape)
    return np.average(array, weights=weights)


def expected_plateau(dataset: Dataset | PatchData, method: Method) -> Plateau:
    """Return (c_+, c_−, loss): mean y a by label where training by the method should settle, and its least loss, or NaN."""
    share = float(np.average(np.asarray(dataset.labels) == 1, weights=_weights(dataset)))
    return method.plateau(dataset.num_patches, share)


def _weights(dataset: Dataset | PatchData) -> Float[np.ndarray, " n"] | None:
    """The rows' probabilities where they are not uniform, for means."""
    return dataset.probabilities if dataset.is_limit else None


class Recorder:
    """Turns observations into a `History`, one record at a time; keeps measures only, so memory is bounded."""

    history_type: type[MeasureTable] = History

    def __init__(self, dataset: Any, network: BaseNetwork, method: Method) -> None:
        self.dataset, self.network, self.method = dataset, network, method
        self._table = measures_of(self.history_type)
        self._rows: list[dict[str, Any]] = []
        self._accuracies: list[TestAccuracy] = []  # of the first rows: the dearest to compute, so only once

    def add(self, step: float, observation: Any) -> None:
        """Measure at a step."""
        observation = jax.device_get(observation)  # at once: one array after the other waits longer
        common = {
            "step": step,
            "loss": float(observation.loss),
            "gradient_norm": float(observation.gradient_norm),
            "scores": np.asarray(observation.scores, np.float64),
            "projections": np.asarray(observation.projections, np.float64),
            "labels": np.asarray(self.dataset.labels),
            "probabilities": _weights(self.dataset),
            "dataset": self.dataset,
            "network": self.network,
            "method": self.method,
        }
        snapshot = self.snapshot(observation, common)
        self._rows.append({row.name: row.of(snapshot) for row in self._table if row.of is not None})

    def snapshot(self, observation: Any, common: dict[str, Any]) -> Snapshot:
        """Return what the measures read; `common` holds the fields that data of any kind have."""
        return FeatureSnapshot(
            **common,
            feature_projections=np.asarray(observation.feature_projections, np.float64).reshape(2, 2, -1),
            noise_gram=np.asarray(observation.noise_gram, np.float64),
            noise_coefficients=np.asarray(observation.noise_coefficients),
            noise_squares=self._noise_squares,
        )

    @cached_property
    def _noise_squares(self) -> Float[np.ndarray, "n P-1"]:
        return self.dataset.noise_squares

    @property
    def last_step(self) -> float:
        """The last step recorded; −1 before the first."""
        return self._rows[-1]["steps"] if self._rows else -1

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything recorded so far but what follows from the accuracy, one array a measure, for `restore`."""
        return {name: np.array([row[name] for row in self._rows]) for name in (self._rows[0] if self._rows else ())}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take up what `to_arrays` returned, in place of what was recorded so far. Raises as a damaged file does if it is not that."""
        if arrays:
            measured = [row for row in self._table if row.of is not None]
            distribution = self.dataset.distribution
            _check_measures(measured, arrays, 0 if distribution is None else distribution.num_features)
        count = len(next(iter(arrays.values()), ()))
        self._rows = [{name: array[index] for name, array in arrays.items()} for index in range(count)]
        self._accuracies = []

    def history(self) -> Any:
        """Return everything recorded so far, with the exact accuracy at every record; each is computed once."""
        arrays, distribution = self.to_arrays(), self.dataset.distribution
        if distribution is None:
            return self.history_type(**arrays)
        with one_blas_thread():
            for row in self._rows[len(self._accuracies) :]:
                projections, gram = row["feature_projections"], row["noise_gram"]
                self._accuracies.append(_accuracy(projections, gram, distribution, self.network))
        frequencies = np.array(distribution.frequencies)
        for row in self._table:
            if row.of_accuracy is not None:
                arrays[row.name] = np.array([row.of_accuracy(accuracy, frequencies) for accuracy in self._accuracies])
        return self.history_type(**arrays)


def _augmented_margins(at: Snapshot) -> Any:
    """Each point's smallest y f over its augmented versions."""
    if at.method.of_projections:
        return at.method.augmented_margins_of_projections(at.projections, at.labels, at.network)
    return at.method.augmented_margins(at.scores, at.labels)


def _mean_score(at: Snapshot, label: int) -> float:
    """Mean y a over all patches of the points with a label."""
    mine = at.labels == label
    if not mine.any():
        return float("nan")
    return float(label * _mean(at.scores[mine], None if at.probabilities is None else at.probabilities[mine]))


def _accuracy(
    projections: Float[np.ndarray, "2 2 K"],
    gram: Float[np.ndarray, "2 2"],
    distribution: FeatureNoise,
    network: BaseNetwork,
) -> TestAccuracy:
    """The exact test accuracy; NaN of a network that is not finite."""
    if np.isfinite(projections).all() and np.isfinite(gram).all():
        return accuracy_from_projections(projections, gram, distribution, network)
    unknown = np.full((2, distribution.num_features), np.nan)
    return TestAccuracy(unknown, np.nan, np.nan, unknown)
