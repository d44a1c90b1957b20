"""Windows [T_m, T_end]: from when to when the overall accuracy is what a theorem says, along a gradient flow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np
from jaxtyping import Bool, Float

from augscope.theorems.statements import Terms, Theorem
from augscope.training.measures import History
from augscope.training.seed_run import SeedRun, missing_features


@dataclass(frozen=True)
class Window:
    """One seed's window.

    Attributes:
        seed: the seed.
        opens: T_m, or None if the statement never holds.
        closes: T_end, or None if it never holds or still holds at `until`.
        until: the last time of the flow.
    """

    seed: int | None
    opens: float | None
    closes: float | None
    until: float


@dataclass(frozen=True)
class TheoremWindow:
    """One theorem's windows over the seeds that count. `print` it for the result in a sentence or two.

    Attributes:
        number: of the accuracy statement, "3.1 (2)".
        predicted, tolerance: the accuracy that the theorem gives, and the distance from it that still counts.
        until: the end of the flow.
        windows: one per seed.
    """

    number: str
    predicted: float
    tolerance: float
    until: float
    windows: tuple[Window, ...]

    def __str__(self) -> str:
        count, entered = len(self.windows), [window.opens for window in self.windows if window.opens is not None]
        text = f"Window of {self.number}, overall accuracy {self.predicted:g} ± {self.tolerance:g}: "
        if not count:
            return text + f"no run that counts reached t = {self.until:g}."
        if not entered:
            return text + f"never reached up to t = {self.until:g}, in {count} seed{'s' * (count != 1)}."
        left = [inf if window.closes is None else window.closes for window in self.windows if window.opens is not None]
        text += f"from t = {self._summary(entered)}"
        text += f", not left within t = {self.until:g}" if min(left) == inf else f" to t = {self._summary(left)}"
        if len(entered) < count:
            text += f"; never reached in {count - len(entered)} of {count} seeds"
        return text + "."

    def _summary(self, times: list[float]) -> str:
        """The median (the earlier of two middle ones) and the range; infinite where the window did not end."""
        shown = [f"{time:.3g}" if time < inf else f"beyond {self.until:g}" for time in sorted(times)]
        if len(shown) == 1:
            return shown[0]
        return f"{shown[(len(shown) - 1) // 2]} (median of {len(shown)} seeds; {shown[0]} to {shown[-1]})"


def theorem_window(theorem: Theorem, terms: Terms, runs: Sequence[SeedRun]) -> TheoremWindow:
    """Return where the overall accuracy is what the theorem says, along each run that completed with every feature.

    Args:
        theorem: on the runs' method.
        terms: of an experiment whose `until` is set.
        runs: of the theorem's method, to the end of the flow.
    """
    until, statement, tolerance = terms.experiment.until, theorem.accuracy, terms.tolerance
    assert until is not None
    predicted, windows = statement.predicted(terms.distribution, terms.rarity), []
    for run in runs:
        if run.status == "completed" and not missing_features(run):
            margin = tolerance - np.abs(run.history.accuracy - predicted)
            windows.append(Window(run.seed, *longest_window(run.history.steps, margin), until))
    return TheoremWindow(statement.number, predicted, tolerance, until, tuple(windows))


def longest_window(
    times: Float[np.ndarray, " R"], margin: Float[np.ndarray, " R"]
) -> tuple[float | None, float | None]:
    """Return (T_m, T_end) of the longest stretch of log(1 + t) with a margin of at least 0; T_end is None where it holds to the end.

    Accuracies cross their predictions on the way up: the longest stretch is the one that lasts. Where the margin changes sign
    between two records, the edge is where the straight line through both, in log(1 + t), has its zero.

    Example:
        >>> import numpy as np
        >>> from augscope.theorems.windows import longest_window
        >>> opens, closes = longest_window(np.array([0, 1, 10, 100, 1000.0]), np.array([-1, 1, -1, 1, 1.0]))
        >>> round(opens, 1), closes
        (32.3, None)
    """
    logs = np.log1p(times)
    best: tuple[float, float | None, float | None] = (-1.0, None, None)
    for first, last in _stretches(margin >= 0):
        opens = logs[0] if first == 0 else _zero(logs[first - 1 : first + 1], margin[first - 1 : first + 1])
        closes = None if last == len(logs) - 1 else _zero(logs[last : last + 2], margin[last : last + 2])
        length = (logs[-1] if closes is None else closes) - opens
        if length > best[0]:
            best = (length, float(np.expm1(opens)), None if closes is None else float(np.expm1(closes)))
    return best[1:]


def _stretches(holds: Bool[np.ndarray, " R"]) -> list[tuple[int, int]]:
    """First and last index of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], holds, [False]]).astype(int)))
    return [(int(first), int(after) - 1) for first, after in edges.reshape(-1, 2)]


def _zero(logs: Float[np.ndarray, " 2"], margin: Float[np.ndarray, " 2"]) -> float:
    """Where the margin crosses 0 between two records; at the measured one, where the other is NaN."""
    if np.isnan(margin).any():
        return float(logs[np.isfinite(margin)][0])
    share = margin[0] / (margin[0] - margin[1])
    return float(logs[0] + share * (logs[1] - logs[0]))


def up_to(run: SeedRun, time: float) -> SeedRun:
    """Return the run with its records up to a time only: theorems are judged by those up to the horizon."""
    early = run.history.steps <= time
    return replace(run, history=History(**{name: array[early] for name, array in vars(run.history).items()}))
