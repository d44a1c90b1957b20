"""The study: every method on the same seeds, measured by rarity, compared in pairs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from itertools import combinations
from typing import NamedTuple

import numpy as np

from augscope.model.arrays import check_precision
from augscope.model.sampling import free_bytes
from augscope.studies.canvas.canvases import Canvases, SeedCanvases, draw_canvases
from augscope.studies.canvas.settings import RARITIES, CanvasSettings
from augscope.studies.canvas.training import PatchSpan, Trained, methods_of, network_of, spans_of, time_step, train
from augscope.support.statistics import Difference, Interval, holm, mean_interval, paired_difference
from augscope.support.values import checked_seeds
from augscope.training.preparation import Cost

SHARES = ("accuracy", "fitted")  # measures that are probabilities


@dataclass(frozen=True)
class Measures:
    """What one method's networks do, (seeds, 3), or (3,) of one seed: columns are common, rare, extremely rare.

    Attributes:
        accuracy: share of fresh test points with y f(X) > 0; a tie is an error.
        fitted: share of training points with y f(X) > 0.
        training_margin: mean y f(X) over training points, all P patches of them.
        clean_margin: mean score of the digit's patch alone, times the label, over test points.
        gradient_norm: at the end, (seeds,), or a number.
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

    @property
    def identity(self) -> str:
        """SHA-256 of all that determines it."""
        return self.settings.identity(self.seeds)

    def interval(self, title: str, measure: str, rarity: int) -> Interval:
        """The mean over seeds of a measure with its 95 % t-interval, that of a share cut to [0, 1]."""
        interval = mean_interval(getattr(self.measures[title], measure)[:, rarity])
        if measure in SHARES:
            return Interval(interval.estimate, max(0.0, interval.low), min(1.0, interval.high))
        return interval

    @property
    def comparisons(self) -> list[Comparison]:
        """All pairs of methods on all rarities, the later method minus the earlier."""
        pairs = []
        for (earlier, before), (later, after) in combinations(self.measures.items(), 2):
            for column, rarity in enumerate(RARITIES):
                difference = paired_difference(after.accuracy[:, column], before.accuracy[:, column])
                pairs.append((rarity, later, earlier, difference))
        adjusted = holm([difference.p_value for *_, difference in pairs])
        return [
            Comparison(rarity, first, second, difference, float(p))
            for (rarity, first, second, difference), p in zip(pairs, adjusted, strict=True)
        ]


def study_cost(settings: CanvasSettings, seeds: Sequence[int]) -> Cost:
    """Return what a study will take, measured on some steps of each method. Cost: the drawing of one seed, and compilation."""
    training, _ = spans_of(settings, seeds[0], draw_canvases(settings, seeds[0]))
    step_seconds = {(title,): time_step(settings, training, title) for title in methods_of(settings)}
    return Cost(
        step_seconds=step_seconds,
        runs=dict.fromkeys(step_seconds, len(seeds)),
        num_steps=settings.num_steps,
        num_kept=0,
        workers=min(len(seeds), _seeds_at_once(settings)),
        flow=False,
    )


def run_study(
    settings: CanvasSettings, seeds: Sequence[int], progress: Callable[[str, float], object] | None = None
) -> Study:
    """Draw, train and measure, several seeds at a time.

    Args:
        settings: what to study.
        seeds: distinct whole numbers ≥ 0; the same seed gives the same bits on the same machine.
        progress: called with (what is running, share of all done); from any thread.

    Raises:
        ValueError: for bad seeds, or without float64, before any work.
        FloatingPointError: if a method diverged.
    """
    chosen = checked_seeds(seeds)
    check_precision(np.float64)
    work = _Work(settings, progress, dict.fromkeys(chosen, 0.0))
    # Seeds one by one, in threads: XLA computes outside Python's lock, and one seed's products stay in a core's cache,
    # where those of many seeds side by side in one program do not.
    with ThreadPoolExecutor(_seeds_at_once(settings)) as threads:
        try:
            rows = list(threads.map(work.run, chosen))
        finally:
            work.stop.set()  # after Ctrl-C or an error the other seeds end within a second
    return Study(settings, chosen, {title: _stacked([row[title] for row in rows]) for title in rows[0]})


def _seeds_at_once(settings: CanvasSettings) -> int:
    """As many as there are cores, fewer where memory asks for it."""
    num_train = settings.num_samples * settings.num_patches
    num_test = 2 * len(RARITIES) * settings.num_tests * settings.num_patches
    needed = 8 * (num_train + num_test) * (2 * settings.dim + num_train)  # pixels, with a copy; products
    return max(1, min(os.cpu_count() or 1, free_bytes() // needed))


@dataclass
class _Work:
    """The seeds of a study: `shares` says how much of each is done."""

    settings: CanvasSettings
    progress: Callable[[str, float], object] | None
    shares: dict[int, float]

    def __post_init__(self) -> None:
        self.stop = threading.Event()
        self._lock = threading.Lock()

    def run(self, seed: int) -> dict[str, Measures]:
        """One seed's measures, by the method's title."""
        self._report(seed, "drawing canvases", 0.0)
        canvases = draw_canvases(self.settings, seed)
        training, test = spans_of(self.settings, seed, canvases)
        measures = {}
        for title in methods_of(self.settings):
            trained = train(self.settings, training, title, partial(self._report_training, seed, title))
            measures[title] = measure(self.settings, canvases, trained, test)
        return measures

    def _report_training(self, seed: int, title: str, share: float) -> None:
        titles = list(methods_of(self.settings))
        self._report(seed, f"training {title}", (titles.index(title) + share) / len(titles))

    def _report(self, seed: int, label: str, share: float) -> None:
        """Note how much of a seed is done. Raises KeyboardInterrupt once the study has ended early."""
        if self.stop.is_set():
            raise KeyboardInterrupt
        with self._lock:
            self.shares[seed] = share
            if self.progress is not None:
                self.progress(label, sum(self.shares.values()) / len(self.shares))


def measure(settings: CanvasSettings, canvases: SeedCanvases, trained: Trained, test: PatchSpan) -> Measures:
    """Measure what one trained network does, by rarity."""
    scores, _ = test.scores(trained.coefficients, network_of(settings))
    labels, digits = canvases.test.labels, canvases.test.digit_position
    train_margins = canvases.train.labels * trained.scores.sum(axis=1)
    return Measures(
        accuracy=_by_rarity(labels * scores.sum(axis=1) > 0, canvases.test),
        fitted=_by_rarity(train_margins > 0, canvases.train),
        training_margin=_by_rarity(train_margins, canvases.train),
        clean_margin=_by_rarity(labels * scores[np.arange(len(labels)), digits], canvases.test),
        gradient_norm=np.array(trained.gradient_norm),
    )


def _by_rarity(values: np.ndarray, points: Canvases) -> np.ndarray:
    """Means over each rarity's points, (3,)."""
    return np.array([values[points.rarity == column].mean() for column in range(len(RARITIES))])


def _stacked(rows: list[Measures]) -> Measures:
    return Measures(**{field.name: np.stack([getattr(row, field.name) for row in rows]) for field in fields(Measures)})
