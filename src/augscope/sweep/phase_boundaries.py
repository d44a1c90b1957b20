"""Where theory expects a change in a phase diagram, by name: what a method learns in the population, or a quantity's level."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from augscope.model.methods import CutMix, Cutout, Erm, Method
from augscope.support.values import check
from augscope.theorems.assumptions import LARGEST_NOISE_RATIO

DEFAULT_BOUNDARIES = {"erm": ("erm",), "cutout": ("cutout",), "cutmix": ("cutmix", "kappa")}  # by method
_METHODS: dict[str, type[Method]] = {"erm": Erm, "cutout": Cutout, "cutmix": CutMix}
_TITLES = {"erm": "ERM", "cutout": "Cutout", "cutmix": "CutMix"}
_KAPPA = "sqrt(num_samples / dim * (1 + (num_patches - 2) * power(dominant_noise_std / background_noise_std, 2)))"
_FEATURE = re.compile(r"(erm|cutout|cutmix)(?::([1-9]\d*))?")


@dataclass(frozen=True)
class Learned:
    """Where a method begins or ceases to learn a feature in the population (model.md §8): see `phase_limits`.

    Attributes:
        name: in words, for a legend.
        method: whose.
        index: of the feature; −1 for the rarest.
    """

    name: str
    method: type[Method]
    index: int


@dataclass(frozen=True)
class Boundary:
    """A quantity that every record has, and its level where theory expects a change.

    Attributes:
        name: in words, for a legend.
        quantity: an SQL expression over `records`.
        level: the quantity's value on the boundary.
    """

    name: str
    quantity: str
    level: float


def named_boundary(name: str) -> Boundary | Learned:
    """Return a known boundary.

    "erm", "cutout", "cutmix": where the method learns the rarest feature in the population; "erm:k" and so on: feature k.
    "kappa" or "kappa=x": κ = x, by default 0.5, from which on Theorem 3.3 (3) fails (model.md identity 10).
    "EXPRESSION=LEVEL": an SQL expression of your own.

    Raises:
        ValueError: naming what is known.
    """
    if match := _FEATURE.fullmatch(name):
        which = f"feature {match[2]}" if match[2] else "the rarest feature"
        return Learned(f"{_TITLES[match[1]]} learns {which} (limit)", _METHODS[match[1]], int(match[2] or 0) - 1)
    if name == "kappa":
        return _kappa(LARGEST_NOISE_RATIO)
    quantity, _, level = name.rpartition("=")
    try:
        value = float(level)
    except ValueError:
        value = float("nan")
    rule = "erm, cutout or cutmix (or one of them with :k), kappa, kappa=x or EXPRESSION=LEVEL"
    valid = bool(quantity.strip()) and np.isfinite(value) and value > 0
    check(valid, f"`boundary` must be {rule}, got {name!r}")
    return _kappa(value) if quantity == "kappa" else Boundary(f"{quantity} = {value:g}", quantity, value)


def _kappa(level: float) -> Boundary:
    """κ at a level, with the accuracy on a feature of score c under test noise of standard deviation κ c: Φ(1/κ)."""
    return Boundary(f"κ = {level:g}, accuracy {ndtr(1 / level):.3f}", _KAPPA, level)
