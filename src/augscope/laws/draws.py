"""At what level a transform draws: anew for every sample, for every pair of samples, or once a batch.

Tests of a law count draws, not samples: two samples with one mask are one observation of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int

from augscope.laws.evidence import Batches
from augscope.laws.shapes import centres
from augscope.laws.statistics import binomial_tail, group_test

Unit = Literal["sample", "pair", "batch"]
UNITS: tuple[Unit, ...] = ("sample", "pair", "batch")  # finest first


@dataclass(frozen=True)
class Draws:
    """The level of the draws, as read off many calls.

    Attributes:
        unit: what most calls show.
        identical: share of calls with two or more pasted samples in which all have one mask and one share.
        mates: of every sample, the one that is mixed with it in every call, and it with that one; or None.
        dependent: names of what is alike within a call more than chance has it, beyond the unit.
        p_value: of the test of that.
        never_pasted: whether no sample ever shows anything.
        shape: R calls, N samples.
    """

    unit: Unit
    identical: float
    mates: Int[np.ndarray, " N"] | None
    dependent: tuple[str, ...]
    p_value: float
    never_pasted: bool
    shape: tuple[int, int]

    def rows(self, claimed: Unit | None) -> Bool[np.ndarray, "R N"]:
        """Which samples are independent draws: one a draw of the measured or the claimed unit, the coarser of the two.

        One a call too where draws depend on each other in another way, or pairs are claimed and not to be seen.
        """
        unit = UNITS[max(UNITS.index(self.unit), UNITS.index(claimed or self.unit))]
        if self.dependent or (unit == "pair" and self.mates is None):
            unit = "batch"
        return _rows(unit, self.shape, self.mates)


def read_draws(batches: Batches, level: float) -> Draws:
    """Find the level of the draws; what is alike within a call is tested at `level`."""
    identical, mates = identical_draws(batches), mates_of(batches.partner)
    unit: Unit = "batch" if identical > 0.5 else "sample"
    if unit == "sample" and mates is not None and _alike_in_pairs(batches, mates) > 0.5:
        unit = "pair"
    drawn = _rows("pair" if unit == "pair" else "sample", batches.share.shape, mates)
    included = batches.pasted_at_all & drawn
    tests = {"share": batches.share}
    if not batches.blend:
        row, column = centres(batches.pasted)
        tests |= {"row": row, "column": column}
    p_values = {name: group_test(values, included) for name, values in tests.items()}
    p_values["whether anything is pasted"] = _gate_test(included.sum(axis=1), int(drawn[0].sum()))
    p_values = {name: min(1.0, len(p_values) * value) for name, value in p_values.items()}
    dependent = tuple(name for name, value in p_values.items() if value < level)
    return Draws(
        unit=unit,
        identical=identical,
        mates=mates,
        dependent=dependent,
        p_value=min(p_values.values()),
        never_pasted=not batches.pasted_at_all.any(),
        shape=batches.share.shape,
    )


def _gate_test(pasted: np.ndarray, draws: int) -> float:
    """p-value of how many calls touch nobody, if each of their draws pastes with one probability, as estimated.

    A probability that gates whole batches leaves far more calls untouched. A partner that is oneself leaves fewer.
    """
    untouched = (1 - pasted.mean() / draws) ** draws
    return binomial_tail((pasted == 0).sum(), len(pasted), untouched)


def identical_draws(batches: Batches) -> float:
    """In which share of calls with two or more pasted samples they all have one mask, and one share."""
    same, calls = 0, 0
    for call, pasted in enumerate(batches.pasted_at_all):
        if pasted.sum() >= 2:
            calls += 1
            same += _alike(batches, call, np.flatnonzero(pasted))
    return same / calls if calls else 0.0


def _alike(batches: Batches, call: int, samples: np.ndarray) -> bool:
    """Whether samples of a call have one mask and one share, as exactly as shares are read."""
    masks, shares = batches.pasted[call, samples], batches.share[call, samples]
    reading = 2 * batches.resolution[call, samples].max() if batches.blended[call, samples].any() else 0.0
    return bool((masks == masks[0]).all() and np.ptp(shares) < 1e-3 + reading)


def mates_of(partner: np.ndarray) -> np.ndarray | None:
    """Of every sample of (R, N) partners its only partner, where partners are so in pairs; else None."""
    count = partner.shape[1]
    mates = partner.max(axis=0)
    known = partner >= 0
    only = (partner == mates)[known].all() and known.any(axis=0).all()
    paired = only and (mates[mates] == np.arange(count)).all() and (mates != np.arange(count)).all()
    return mates if paired else None


def _alike_in_pairs(batches: Batches, mates: np.ndarray) -> float:
    """In which share of pairs of pasted mates both have one mask and one share."""
    both = batches.pasted_at_all & batches.pasted_at_all[:, mates] & (np.arange(len(mates)) < mates)
    alike = [_alike(batches, call, np.array([i, mates[i]])) for call, i in zip(*np.nonzero(both), strict=True)]
    return float(np.mean(alike)) if alike else 0.0


def _rows(unit: Unit, shape: tuple[int, int], mates: np.ndarray | None) -> np.ndarray:
    """One sample a draw, (R, N): of calls in turn, of pairs the first."""
    calls, count = shape
    if unit == "batch":
        return np.arange(calls)[:, None] % count == np.arange(count)
    rows = np.ones(shape, bool)
    return rows if unit == "sample" or mates is None else rows & (np.arange(count) < mates)
