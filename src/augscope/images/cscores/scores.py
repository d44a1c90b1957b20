"""The C-score estimated: how often is a point classified rightly by networks trained without it?

C(x, y) = mean over training fractions α of P[network trained on a random share α of the other points says y]
(Jiang et al. 2021, eq. 1 and §3). Each α has several trainings whose held-out points are spread evenly, so that every point
is held out equally often (up to one), where independent draws would leave some out never and others often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from augscope.values import check, check_count

KNOWN_SHARE = 0.9  # of the points that both halves of the trainings must have held out to be held against each other


@dataclass(frozen=True)
class HeldOut:
    """What one training says of the points that it did not see.

    Attributes:
        fraction: α, the share of all points that it saw.
        indices: (m,) of the points that it did not.
        right: (m,), whether each is classified rightly.
    """

    fraction: float
    indices: np.ndarray
    right: np.ndarray


@dataclass(frozen=True)
class ScoreEstimate:
    """Estimated C-scores.

    Attributes:
        scores: (n,), in [0, 1]: the mean over fractions.
        per_fraction: (A, n), share of right answers of the trainings that did not see the point.
        times: (A, n), number of those trainings.
        reliability: expected correlation, over points, of these scores with a repetition under other random numbers;
            NaN where there are too few trainings to tell, or all scores are equal.
    """

    scores: np.ndarray
    per_fraction: np.ndarray
    times: np.ndarray
    reliability: float


def check_fractions(count: int, fractions: Sequence[float], trainings: int) -> None:
    """Raise ValueError unless fractions are distinct and in (0, 1), and each of `count` points is held out at each of them."""
    check_count("trainings", trainings)
    good = len(fractions) >= 1 and all(0 < fraction < 1 for fraction in fractions)
    check(
        good, f"`fractions` must be above 0 and below 1, at least one, got {', '.join(map(str, fractions)) or 'none'}"
    )
    check(len(set(fractions)) == len(fractions), f"`fractions` must differ, got {', '.join(map(str, fractions))}")
    for fraction in fractions:
        needed = -(-count // _num_held_out(count, fraction))
        check(
            trainings >= needed,
            f"`trainings` must be at least {needed}, so that each of the {count:,} points is held out by one at the "
            f"fraction {fraction:g}, got {trainings}",
        )


def _num_held_out(count: int, fraction: float) -> int:
    held = count - round(fraction * count)
    check(
        0 < held < count,
        f"`fractions` must leave points on both sides, got {fraction:g}, which holds out {held} of {count}",
    )
    return held


def balanced_hold_outs(count: int, fraction: float, trainings: int, seed: int) -> list[np.ndarray]:
    """Return the held-out points of each training, sorted.

    The points are put in a random order on a circle, and the trainings hold out arcs that begin at equal distances. Each
    training's points are thus a uniform subset, and no point is held out twice more than another.

    Args:
        count: n, points in all.
        fraction: α in (0, 1): n − round(α n) are held out, at least one and not all.
        trainings: K ≥ 1, at that fraction.
        seed: of the order.
    """
    held = _num_held_out(count, fraction)
    entropy = [seed, 12, *np.frombuffer(np.float64(fraction).tobytes(), np.uint32).tolist()]
    order = np.random.default_rng(np.random.SeedSequence(entropy)).permutation(count)
    starts = np.arange(trainings) * count // trainings
    return [np.sort(order[(start + np.arange(held)) % count]) for start in starts]


def estimate_scores(count: int, answers: Sequence[HeldOut]) -> ScoreEstimate:
    """Return the C-scores of `count` points from trainings that each left some of them out.

    Raises:
        ValueError: if a point was left out by no training at one of the fractions.

    Cost: O(number of answers).
    """
    fractions = sorted({answer.fraction for answer in answers})
    groups = [[answer for answer in answers if answer.fraction == fraction] for fraction in fractions]
    times = np.stack([_tally(count, group)[0] for group in groups])
    check(
        bool((times > 0).all()),
        f"every point must be held out at each fraction, got {int((times == 0).sum())} that are not",
    )
    shares = np.stack([_share(count, group) for group in groups])
    return ScoreEstimate(shares.mean(axis=0), shares, times, _reliability(count, groups))


def _tally(count: int, answers: Sequence[HeldOut]) -> tuple[np.ndarray, np.ndarray]:
    """How often each point was held out, and how often it was then classified rightly."""
    times, right = np.zeros(count, int), np.zeros(count, int)
    for answer in answers:
        times[answer.indices] += 1
        right[answer.indices] += answer.right
    return times, right


def _share(count: int, answers: Sequence[HeldOut]) -> np.ndarray:
    times, right = _tally(count, answers)
    return np.divide(right, times, out=np.full(count, np.nan), where=times > 0)


def _reliability(count: int, groups: Sequence[Sequence[HeldOut]]) -> float:
    """Correlation of the scores from every other training with those from the rest, stepped up to all (Spearman–Brown)."""
    halves = [np.mean([_share(count, group[first::2]) for group in groups], axis=0) for first in (0, 1)]
    known = np.isfinite(halves[0]) & np.isfinite(halves[1])
    if known.sum() < max(3, KNOWN_SHARE * count) or any(np.ptp(half[known]) == 0 for half in halves):
        return float("nan")
    correlation = float(np.corrcoef(halves[0][known], halves[1][known])[0, 1])
    return 2 * correlation / (1 + correlation) if correlation > -1 else -1.0
