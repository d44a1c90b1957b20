"""The paper's table: C-scores of misclassified held-out points per method, with intervals and paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from augscope.images.cscores.study import StudyRun
from augscope.images.training import METHODS
from augscope.intervals import LEVEL, Difference, Interval, holm, mean_interval, paired_difference

MEASURES = ("mean", "first quartile", "median", "third quartile")
QUARTILES = (0.25, 0.5, 0.75)
BANDS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the C-score, in which accuracy is told
_NAN = float("nan")
_NOTHING, _UNKNOWN = Interval(_NAN, _NAN, _NAN), Difference(_NAN, _NAN, _NAN, 1.0)


@dataclass(frozen=True)
class MethodResult:
    """One method over the seeds.

    Attributes:
        method, title: its name.
        misclassified: for each seed, indices of the held-out points that it got wrong.
        predicted: for each seed, what it took them for.
        scores: for each seed, their C-scores.
        per_seed: (S, 4), mean and quartiles of the C-scores; NaN where nothing was misclassified.
        accuracy: interval over seeds of the share of held-out points classified rightly.
        fitted: interval over seeds of the same on the training points.
        summary: intervals over the seeds with a misclassified point, one for each of `MEASURES`.
    """

    method: str
    title: str
    misclassified: tuple[np.ndarray, ...]
    predicted: tuple[np.ndarray, ...]
    scores: tuple[np.ndarray, ...]
    per_seed: np.ndarray
    accuracy: Interval
    fitted: Interval
    summary: tuple[Interval, ...]

    @property
    def num_misclassified(self) -> float:
        """Mean over seeds of the number of misclassified points."""
        return float(np.mean([len(found) for found in self.misclassified]))


@dataclass(frozen=True)
class PairResult:
    """Two methods held against each other: mean C-score of misclassified points, first − second, paired by seed.

    Attributes:
        first, second: titles.
        estimate, low, high: of the difference, with a Student's t interval that stands alone.
        p_value: adjusted by Holm for the number of pairs.
        num_seeds: seeds at which both misclassified something.
    """

    first: str
    second: str
    estimate: float
    low: float
    high: float
    p_value: float
    num_seeds: int

    @property
    def differs(self) -> bool:
        """Whether the difference is significant at the level of the intervals, after Holm's correction."""
        return self.num_seeds >= 2 and self.estimate != 0 and self.p_value <= 1 - LEVEL

    @property
    def verdict(self) -> str:
        """What may be said, no stronger than the interval and the adjusted p-value allow."""
        if self.num_seeds < 2:
            return f"{self.second} against {self.first}: too few seeds to tell."
        if not self.differs:
            return f"{self.second} against {self.first}: no difference can be told in the C-scores of what they misclassify."
        word = "lower" if self.estimate > 0 else "higher"
        return f"What {self.second} misclassifies has {word} C-scores than what {self.first} does."


@dataclass(frozen=True)
class StudyResult:
    """A study's run, summed up.

    Attributes:
        run: what was summed up.
        methods: in the order of the settings.
        pairs: of all methods, in that order.
        held_out: mean and quartiles of the C-scores of all held-out points, mean over seeds.
        bands: (M, B), accuracy on the held-out points whose C-score is in each band between `BANDS`, all seeds together;
            NaN where there is none.
        band_counts: (B,), held-out points in each band, all seeds together.
    """

    run: StudyRun
    methods: tuple[MethodResult, ...]
    pairs: tuple[PairResult, ...]
    held_out: tuple[float, ...]
    bands: np.ndarray
    band_counts: np.ndarray


def summarise(run: StudyRun) -> StudyResult:
    """Return the table of a run."""
    methods = tuple(_method(run, method) for method in run.settings.methods)
    all_points = np.array([measures(run.scores[points]) for points in run.held_out])
    bands, counts = _bands(run)
    return StudyResult(run, methods, _pairs(methods), tuple(all_points.mean(axis=0).tolist()), bands, counts)


def measures(scores: np.ndarray) -> tuple[float, ...]:
    """Return mean and quartiles (linear between order statistics) of scores, NaN where there is none."""
    if not len(scores):
        return (_NAN,) * len(MEASURES)
    return (float(scores.mean()), *map(float, np.quantile(scores, QUARTILES)))


def _method(run: StudyRun, method: str) -> MethodResult:
    labels, wrong, predicted, accuracy, fitted = run.data.labels, [], [], [], []
    for place, points in enumerate(run.held_out):
        training = run.trainings[method, place]
        missed = training.predicted != labels[points]
        wrong.append(points[missed])
        predicted.append(training.predicted[missed])
        accuracy.append(1 - missed.mean())
        fitted.append(training.fitted)
    scores = tuple(run.scores[points] for points in wrong)
    per_seed = np.array([measures(found) for found in scores])
    known = per_seed[np.isfinite(per_seed[:, 0])]
    return MethodResult(
        method=method,
        title=METHODS[method],
        misclassified=tuple(wrong),
        predicted=tuple(predicted),
        scores=scores,
        per_seed=per_seed,
        accuracy=_share_interval(accuracy),
        fitted=_share_interval(fitted),
        summary=tuple(map(_share_interval, known.T)) if len(known) else (_NOTHING,) * len(MEASURES),
    )


def _share_interval(values: Sequence[float] | np.ndarray) -> Interval:
    """A mean's interval, cut to [0, 1], where all these measures lie; without bounds for one value."""
    found = mean_interval(values)
    return found if len(values) < 2 else Interval(found.estimate, max(0.0, found.low), min(1.0, found.high))


def _pairs(methods: Sequence[MethodResult]) -> tuple[PairResult, ...]:
    found = []
    for first, second in combinations(methods, 2):
        both = np.isfinite(first.per_seed[:, 0]) & np.isfinite(second.per_seed[:, 0])
        told = paired_difference(first.per_seed[both, 0], second.per_seed[both, 0]) if both.any() else _UNKNOWN
        found.append((first.title, second.title, told, int(both.sum())))
    adjusted = holm([told.p_value for _, _, told, _ in found])
    return tuple(
        PairResult(first, second, told.estimate, told.low, told.high, float(p_value), count)
        for (first, second, told, count), p_value in zip(found, adjusted, strict=True)
    )


def _bands(run: StudyRun) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy of each method in each band of C-scores, the last band closed, and the number of points in each."""
    points = np.concatenate(run.held_out)
    band = np.searchsorted(BANDS[1:-1], run.scores[points], side="right")
    counts = np.bincount(band, minlength=len(BANDS) - 1)
    rows = []
    for method in run.settings.methods:
        said = np.concatenate([run.trainings[method, place].predicted for place in range(len(run.held_out))])
        right = np.bincount(band, weights=said == run.data.labels[points], minlength=len(BANDS) - 1)
        rows.append(np.divide(right, counts, out=np.full(len(counts), np.nan), where=counts > 0))
    return np.array(rows), counts
