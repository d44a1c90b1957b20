"""The map: what each method learns in the limit over the plane of two settings, by a coarse flow, row after row."""

from __future__ import annotations

import threading
from collections.abc import Callable
from math import exp, log

import numpy as np
from jaxtyping import Int

from augscope.explorer.settings import CONTROLS, RHO, Settings
from augscope.training.regimes import Setting, regimes

SIZE = 24  # places along an axis
AXES = ("rho_2", "rho_3", "rho_4", "feature_noise", "dominant_noise_std", "background_noise_std", "num_samples", "dim",
        "step_size", "num_steps")  # fmt: skip
"""What a map can go along: what the limit depends on, but for P and C, of which each needs a program of its own."""
UNKNOWN, IMPOSSIBLE = -1, -2
ORDER = (
    0,
    *(row for step in (12, 6, 3) for row in range(step, SIZE, 2 * step)),
    *(row for row in range(SIZE) if row % 3),
)


class Plane:
    """A map of SIZE × SIZE places around some settings.

    Args:
        settings: of everything but the two axes.
        x, y: names among `AXES`.

    Attributes:
        xs, ys: the axes' values, even in the logarithm.
        learned: by method, row (y) and column (x) the number of features learned, UNKNOWN or IMPOSSIBLE.
        version: counts rows. is_full: whether no row is missing.
    """

    def __init__(self, settings: Settings, x: str, y: str) -> None:
        self.settings, self.x, self.y = settings, x, y
        self.xs, self.ys = _values(x, settings), _values(y, settings)
        self.methods = settings.experiment().methods
        self.learned: Int[np.ndarray, "M Y X"] = np.full((len(self.methods), SIZE, SIZE), UNKNOWN)
        self.version = 0
        self._lock, self._rows = threading.Lock(), list(ORDER)

    @property
    def is_full(self) -> bool:
        """Whether every place is known."""
        return self.version == SIZE

    def fill(self, is_unwanted: Callable[[], bool]) -> None:
        """Fill the rows that are missing, until nobody wants them. Cost: 576 coarse flows a method, of which CutMix's takes 12 ms."""
        with self._lock:
            while self._rows and not is_unwanted():
                self._fill(self._rows[0])
                self._rows.pop(0)
                self.version += 1

    def _fill(self, row: int) -> None:
        places = {column: self._setting(x, self.ys[row]) for column, x in enumerate(self.xs)}
        valid = {column: setting for column, setting in places.items() if setting is not None}
        for index, method in enumerate(self.methods):
            counts = np.full(SIZE, IMPOSSIBLE)
            for column, regime in zip(valid, regimes(list(valid.values()), method, coarse=True), strict=True):
                counts[column] = IMPOSSIBLE if regime.diverged else regime.learned.sum()
            self.learned[index, row] = counts

    def _setting(self, x: float, y: float) -> Setting | None:
        """The problem at a place, or None where there is none."""
        try:
            return Setting.of(self.settings.moved({self.x: x, self.y: y}).experiment())
        except ValueError:
            return None


def _values(name: str, settings: Settings) -> list[float]:
    """The values along an axis, as far as its slider above 0 and where the settings stand; of a share between its neighbours."""
    knob, here = CONTROLS[name], settings.controls[name]
    marks = [mark for mark in (*knob.marks, here) if mark > 0]
    low, high = min(marks), max(marks)
    if name in RHO:
        shares = [settings.controls[other] for other in RHO]
        index = RHO.index(name)
        low = max([low / 2, *shares[index + 1 :]])
        high = shares[index - 1] if index else (1 - sum(shares[1:])) / 2
    values = [exp(log(low) + log(high / low) * (index + 0.5) / SIZE) for index in range(SIZE)]
    return [round(value) if knob.is_whole else float(f"{value:.4g}") for value in values]
