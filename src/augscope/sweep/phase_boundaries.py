"""Where theory expects a change in a phase diagram: quantities that every record has, and their levels there."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from augscope.support.values import check
from augscope.theorems.assumptions import LARGEST_NOISE_RATIO

DEFAULT_BOUNDARIES = {"erm": ("dominant", "erm"), "cutout": ("background", "cutout"), "cutmix": ("kappa",)}  # by method
# Constants of `Boundary.named("erm")`: off by a factor of up to 1.56 on the 46 boundaries of the fit, more elsewhere (docs/sweeps.md).
PULL, TEST_NOISE = 5.4, 5.4
LEARNING_THRESHOLD = 0.7
_KAPPA = "sqrt(num_samples / dim * (1 + (num_patches - 2) * power(dominant_noise_std / background_noise_std, 2)))"
_FEATURE = re.compile(r"(dominant|background|erm|cutout)(?::(\d+))?")


@dataclass(frozen=True)
class Boundary:
    """Where theory expects a change: a quantity that every record has, and its level there.

    Attributes:
        name: in words, for a legend.
        quantity: an SQL expression over `records`.
        level: the quantity's value on the boundary.
    """

    name: str
    quantity: str
    level: float

    @classmethod
    def named(cls, name: str) -> Boundary:
        """Return a known boundary.

        "dominant" or "dominant:k": R(σ_d) = 0.7 of feature k, where ERM ceases to learn it; "background" or "background:k":
        R(σ_b) = 0.7, likewise for Cutout (model.md identity 9); without k the rarest feature. "erm" and "cutout", likewise: the
        same with what an unlearned feature must exceed in place of 0.7, R_k = √((5.4 α R_1/(2 + R_1))² + 5.4² n/d): the pull of the
        feature noise through the most common feature, and the test noise. "kappa" or "kappa=x": κ = x, by default 0.5, from which
        on Theorem 3.3 (3) fails (identity 10). "EXPRESSION=LEVEL": an SQL expression of your own.

        Raises:
            ValueError: naming what is known.
        """
        if match := _FEATURE.fullmatch(name):
            return cls._of_feature(match[1], int(match[2] or -1))
        if name == "kappa":
            return cls(f"κ = {LARGEST_NOISE_RATIO}", _KAPPA, LARGEST_NOISE_RATIO)
        quantity, _, level = name.rpartition("=")
        try:
            value = float(level)
        except ValueError:
            value = float("nan")
        rule = "dominant, background, erm or cutout (or one of them with :k), kappa, kappa=x or EXPRESSION=LEVEL"
        valid = bool(quantity.strip()) and np.isfinite(value) and value > 0
        check(valid, f"`boundary` must be {rule}, got {name!r}")
        if quantity == "kappa":
            return cls(f"κ = {value:g}", _KAPPA, value)
        return cls(f"{quantity} = {value:g}", quantity, value)

    @classmethod
    def _of_feature(cls, kind: str, index: int) -> Boundary:
        """Where a feature (-1: the rarest) ceases to be learned."""
        column, letter = ("dominant_ratio", "d") if kind in ("dominant", "erm") else ("background_ratio", "b")
        which = "" if index < 0 else f", feature {index}"
        if kind in ("dominant", "background"):
            return cls(f"R(σ_{letter}) = {LEARNING_THRESHOLD}{which}", f"{column}[{index}]", LEARNING_THRESHOLD)
        pull = f"{PULL} * feature_noise * {column}[1] / (2 + {column}[1])"
        noise = f"{TEST_NOISE**2:g} * num_samples / dim"
        name = f"R(σ_{letter}) = pull of α and test noise{which}"
        return cls(name, f"{column}[{index}] / sqrt(power({pull}, 2) + {noise})", 1.0)
