"""The study: every method on the same seeds, measured by rarity, compared in pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch

from augscope.studies.canvas.canvases import Canvases
from augscope.studies.canvas.settings import RARITIES, CanvasSettings, TrainingMethod
from augscope.studies.canvas.training import Span, Trained, span_of, train
from augscope.support.statistics import Difference, Interval, holm, mean_interval, paired_difference
from augscope.support.values import checked_seeds

SHARES = ("accuracy", "fitted")  # measures that are probabilities
SEEDS_AT_ONCE = 30  # trained as one batch; more seeds take more batches, and no more memory


@dataclass(frozen=True)
class Measures:
    """What one method's networks do, (seeds, 3): columns are common, rare, extremely rare.

    Attributes:
        accuracy: share of fresh test points with y f(X) > 0; a tie is an error.
        fitted: share of training points with y f(X) > 0.
        training_margin: mean y f(X) over training points, all P patches of them.
        clean_margin: mean score of the digit's patch alone, times the label, over test points.
        gradient_norm: at the end, (seeds,).
    """

    accuracy: np.ndarray
    fitted: np.ndarray
    training_margin: np.ndarray
    clean_margin: np.ndarray
    gradient_norm: np.ndarray

    @property
    def clean_share(self) -> np.ndarray:
        """Clean feature's margin over the training margin, (seeds, 3); 1/P where a network is even."""
        safe = np.where(self.training_margin > 0, self.training_margin, np.nan)
        return self.clean_margin / safe


class Comparison(NamedTuple):
    """`first` minus `second` in accuracy on one rarity, paired by seed; `adjusted`: Holm's p over all of the study's."""

    rarity: str
    first: str
    second: str
    difference: Difference
    adjusted: float


@dataclass(frozen=True)
class Study:
    """A finished study; `measures` by the method's title."""

    settings: CanvasSettings
    seeds: tuple[int, ...]
    measures: dict[str, Measures]

    def interval(self, title: str, measure: str, rarity: int) -> Interval:
        """The mean over seeds of a measure with its 95 % t-interval, that of a share cut to [0, 1]."""
        found = mean_interval(getattr(self.measures[title], measure)[:, rarity])
        return Interval(found.estimate, max(0.0, found.low), min(1.0, found.high)) if measure in SHARES else found

    @property
    def comparisons(self) -> list[Comparison]:
        """All pairs of methods on all rarities, the later method minus the earlier."""
        found = []
        for (earlier, before), (later, after) in combinations(self.measures.items(), 2):
            for column, rarity in enumerate(RARITIES):
                difference = paired_difference(after.accuracy[:, column], before.accuracy[:, column])
                found.append((rarity, later, earlier, difference))
        adjusted = holm([difference.p_value for *_, difference in found])
        return [
            Comparison(rarity, first, second, difference, float(p))
            for (rarity, first, second, difference), p in zip(found, adjusted, strict=True)
        ]


def run_study(
    settings: CanvasSettings, seeds: Sequence[int], progress: Callable[[str, float], object] | None = None
) -> Study:
    """Draw, train and measure.

    Args:
        settings: what to study.
        seeds: distinct whole numbers ≥ 0; the same seed gives the same bits on the same machine.
        progress: called with (what is running, share of all done).

    Raises:
        ValueError: for bad seeds, before any work.
        FloatingPointError: if a method diverged.
    """
    chosen = checked_seeds(seeds)
    tell = progress or (lambda what, share: None)
    batches = [chosen[start : start + SEEDS_AT_ONCE] for start in range(0, len(chosen), SEEDS_AT_ONCE)]
    total = len(batches) * len(settings.methods)
    found: dict[str, list[Measures]] = {method.title: [] for method in settings.methods}
    for number, batch in enumerate(batches):
        tell("drawing canvases", number / len(batches))
        span = span_of(settings, batch)
        for place, method in enumerate(settings.methods):
            done = number * len(settings.methods) + place
            found[method.title].append(measure(span, _train(settings, span, method, done, total, tell)))
    return Study(settings, chosen, {title: _joined(parts) for title, parts in found.items()})


def _train(
    settings: CanvasSettings, span: Span, method: TrainingMethod, done: int, total: int, tell: Callable
) -> Trained:
    return train(settings, span, method, lambda share: tell(f"training {method.title}", (done + share) / total))


def measure(span: Span, trained: Trained) -> Measures:
    """Measure what trained networks do, by rarity."""
    scores, test_scores = trained.scores.cpu(), trained.test_scores.cpu()
    train_margins = (scores.sum(dim=2) * span.labels.cpu()).numpy()
    test_labels = np.stack([canvases.labels for canvases in span.test])
    test_margins = test_scores.sum(dim=2).numpy() * test_labels
    positions = torch.from_numpy(np.stack([canvases.digit_position for canvases in span.test]))
    clean = test_scores.gather(2, positions[..., None])[..., 0].numpy() * test_labels
    return Measures(
        accuracy=_by_rarity(test_margins > 0, span.test),
        fitted=_by_rarity(train_margins > 0, span.train),
        training_margin=_by_rarity(train_margins, span.train),
        clean_margin=_by_rarity(clean, span.test),
        gradient_norm=trained.gradient_norm.cpu().numpy(),
    )


def _by_rarity(values: np.ndarray, canvases: Sequence[Canvases]) -> np.ndarray:
    """Means over each rarity's points, (seeds, 3); every seed's points are in the same order."""
    rarity = canvases[0].rarity
    return np.stack([values[:, rarity == column].mean(axis=1) for column in range(len(RARITIES))], axis=1)


def _joined(parts: list[Measures]) -> Measures:
    return Measures(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})
