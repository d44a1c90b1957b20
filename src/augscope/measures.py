"""What is measured of a network at a step: features learned, noise memorised, evenness, plateau, fit, stationarity."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from augscope.accuracy import accuracies_from_projections
from augscope.distribution import FeatureNoise
from augscope.methods import Method
from augscope.network import BaseNetwork
from augscope.sampling import Dataset

LEARNED_SHARE = 0.15  # of the run's largest feature score (model.md §5)


@dataclass(frozen=True)
class History:
    """Every measure at every recorded step; the leading axis R counts records.

    Attributes:
        steps: (R,) steps, increasing; for a gradient flow (`flow`) times t, as floats.
        loss: (R,) the method's training loss.
        gradient_norm: (R,) ‖∇_W L‖.
        feature_scores: (R, 2, K), y (φ(⟨w_1,v⟩) − φ(⟨w_{−1},v⟩)), row 0 for label +1.
        noise_memorised: (R, 2, 2, K), mean c_{s,i,p} ‖ξ_i^(p)‖² over the points with feature k (identity 6.7): axis 1 is the
            filter (0: s = y_i, 1: s = −y_i), axis 2 the kind of patch (0 dominant, 1 background; NaN where there is none).
        unevenness: (R,) standard deviation of y a over all training patches, over the absolute value of its mean: 0 is
            perfectly even.
        plateau: (R, 2) mean of y a over all patches of the points with label +1, and with label −1 (NaN if there are none).
        excess_loss: (R,) loss above its minimum over all scores (CutMix with P ≥ 3 and both labels; else NaN).
        margin: (R,) smallest y_i f(X_i).
        augmented_margin: (R,) smallest y_i f over augmented points (Cutout: all subsets; ERM: as `margin`; CutMix: NaN, a
            mixed point has two labels).
        feature_projections: (R, 2, 2, K), ⟨w_s, v_{s',k}⟩; axis 1 is the filter.
        noise_gram: (R, 2, 2), Gram matrix of the weights' parts orthogonal to the features.
        accuracy: (R,) exact P[y f(X) > 0]; accuracy_per_feature: (R, 2, K); accuracy_error: (R,) its error bound;
            tie_probability: (R,) P[f(X) = 0].
        predicted_plateau: (2,), where CutMix settles (identity 6.8), NaN where there is none.
    """

    steps: Int[np.ndarray, " R"] | Float[np.ndarray, " R"]
    loss: Float[np.ndarray, " R"]
    gradient_norm: Float[np.ndarray, " R"]
    feature_scores: Float[np.ndarray, "R 2 K"]
    noise_memorised: Float[np.ndarray, "R 2 2 K"]
    unevenness: Float[np.ndarray, " R"]
    plateau: Float[np.ndarray, "R 2"]
    excess_loss: Float[np.ndarray, " R"]
    margin: Float[np.ndarray, " R"]
    augmented_margin: Float[np.ndarray, " R"]
    feature_projections: Float[np.ndarray, "R 2 2 K"]
    noise_gram: Float[np.ndarray, "R 2 2"]
    accuracy: Float[np.ndarray, " R"]
    accuracy_per_feature: Float[np.ndarray, "R 2 K"]
    accuracy_error: Float[np.ndarray, " R"]
    tie_probability: Float[np.ndarray, " R"]
    predicted_plateau: Float[np.ndarray, " 2"]

    def to_dict(self) -> dict[str, Any]:
        """Return the arrays as nested lists, ready for JSON (NaN becomes None)."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> History:
        """Return the history that `to_dict` wrote down; None becomes NaN. Raises KeyError where a measure is missing."""
        arrays: dict[str, Any] = {field.name: np.array(plain[field.name], np.float64) for field in fields(cls)}
        if all(isinstance(step, int) for step in plain["steps"]):
            arrays["steps"] = np.array(plain["steps"], np.int64)
        return cls(**arrays)


def _plain(array: np.ndarray) -> Any:
    plain = array.astype(object)
    if array.dtype.kind == "f":
        plain[~np.isfinite(array)] = None
    return plain.tolist()


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
    squares = (np.asarray(dataset.noise) ** 2).sum(axis=-1)  # (n, P−1)
    return _noise_memorised(np.asarray(coefficients), squares, dataset)


def _noise_memorised(coefficients: Any, squares: Any, dataset: Dataset) -> Any:
    strength = coefficients.reshape(2, *squares.shape) * squares
    positive = (np.asarray(dataset.labels) == 1)[None, :, None]
    own_and_other = np.where(positive, strength, strength[::-1])  # filter of the point's own label first
    by_kind = np.stack([own_and_other[:, :, 0], _mean_or_nan(own_and_other[:, :, 1:])], axis=1)  # (2, 2, n)
    carries = np.asarray(dataset.feature_index) == np.arange(dataset.distribution.num_features)[:, None]
    counts = carries.sum(axis=1)
    totals = by_kind @ carries.T
    return np.divide(totals, counts, out=np.full(totals.shape, np.nan), where=counts > 0)


def _mean_or_nan(array: np.ndarray) -> np.ndarray:
    return array.mean(axis=-1) if array.shape[-1] else np.full(array.shape[:-1], np.nan)


def unevenness(scores: Float[np.ndarray, "n P"], labels: Int[np.ndarray, " n"]) -> float:
    """Return the spread of y a over all patches: standard deviation over |mean|; infinite if the mean is 0."""
    signed = np.asarray(labels)[:, None] * np.asarray(scores)
    mean = abs(signed.mean())
    return float(signed.std() / mean) if mean > 0 else float("inf")


class Recorder:
    """Turns observations into a `History`, one record at a time; keeps measures only, so memory is bounded."""

    def __init__(self, dataset: Dataset, network: BaseNetwork, method: Method) -> None:
        self._dataset, self._network, self._method = dataset, network, method
        self._labels = np.asarray(dataset.labels)
        self._squares = np.asarray((dataset.noise**2).sum(axis=-1))
        share = float((self._labels == 1).mean())
        *even_scores, self._least_loss = method.plateau(dataset.distribution.num_patches, share)
        self._plateau = np.array(even_scores)
        self._rows: list[dict[str, Any]] = []
        self._known: list[dict[str, Any]] = []  # accuracies of the first rows: the dearest measure, found once

    def add(self, step: float, seen: Any) -> None:
        """Measure one `dual.Observation`; a step that is already recorded (Ctrl-C just after) is not recorded twice."""
        if self._rows and self._rows[-1]["steps"] == step:
            return
        distribution = self._dataset.distribution
        scores, labels = np.asarray(seen.scores, np.float64), self._labels
        projections = np.asarray(seen.feature_projections, np.float64).reshape(2, 2, distribution.num_features)
        gram = np.asarray(seen.noise_gram, np.float64)
        self._rows.append(
            {
                "steps": step,
                "loss": float(seen.loss),
                "gradient_norm": float(seen.gradient_norm),
                "feature_scores": feature_scores(projections, self._network),
                "noise_memorised": _noise_memorised(np.asarray(seen.noise_coefficients), self._squares, self._dataset),
                "unevenness": unevenness(scores, labels),
                "plateau": [_mean_score(scores, labels, label) for label in (1, -1)],
                "excess_loss": float(seen.loss) - self._least_loss,
                "margin": (labels[:, None] * scores).sum(axis=1).min(),
                "augmented_margin": self._method.augmented_margins(scores, labels).min(),
                "feature_projections": projections,
                "noise_gram": gram,
            }
        )

    @property
    def last_step(self) -> float:
        """The last step recorded; −1 before the first."""
        return self._rows[-1]["steps"] if self._rows else -1

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything recorded so far, one array a field, for `restore`."""
        return {name: np.array([row[name] for row in self._rows]) for name in (self._rows[0] if self._rows else ())}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take up what `to_arrays` returned, in place of what was recorded so far."""
        count = len(next(iter(arrays.values()), ()))
        self._rows = [{name: array[index] for name, array in arrays.items()} for index in range(count)]
        self._known = []

    def history(self) -> History:
        """Return everything recorded so far, with the exact accuracy at every record; each is computed once."""
        stacked = self.to_arrays()
        projections, grams = (stacked[name][len(self._known) :] for name in ("feature_projections", "noise_gram"))
        found = _accuracies(projections, grams, self._dataset.distribution, self._network)
        self._known += [{name: array[row] for name, array in found.items()} for row in range(len(projections))]
        known = {name: np.array([row[name] for row in self._known]) for name in found}
        return History(**stacked, **known, predicted_plateau=self._plateau)


def _mean_score(scores: np.ndarray, labels: np.ndarray, label: int) -> float:
    mine = labels == label
    return float(label * scores[mine].mean()) if mine.any() else float("nan")


def _accuracies(projections: Any, grams: Any, distribution: FeatureNoise, network: BaseNetwork) -> dict[str, Any]:
    """Exact test accuracies as history fields; a network that is not finite has none."""
    count, frequencies = len(projections), np.array(distribution.frequencies)
    known = {
        "accuracy": np.full(count, np.nan),
        "accuracy_per_feature": np.full((count, 2, distribution.num_features), np.nan),
        "accuracy_error": np.full(count, np.nan),
        "tie_probability": np.full(count, np.nan),
    }
    finite = np.isfinite(projections).all(axis=(1, 2, 3)) & np.isfinite(grams).all(axis=(1, 2))
    results = accuracies_from_projections(projections[finite], grams[finite], distribution, network)
    for index, result in zip(np.flatnonzero(finite), results, strict=True):
        known["accuracy"][index] = result.overall
        known["accuracy_per_feature"][index] = result.per_feature
        known["accuracy_error"][index] = result.error_bound
        known["tie_probability"][index] = float((result.tie_probability @ frequencies).mean())
    return known
