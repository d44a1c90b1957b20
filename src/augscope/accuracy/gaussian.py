"""The Gaussian pair (⟨w_1, ξ⟩, ⟨w_{−1}, ξ⟩) that a noise patch gives the two filters, and how far out integrals go."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from augscope.model.arrays import check_finite
from augscope.support.values import check

REACH = 6.8  # standard deviations integrated over
OUTSIDE = 1.1e-11  # probability that a normal variable lies beyond them
CONCENTRATION = 2e-10  # 2 exp(−REACH²/2): a function of normals strays REACH Lipschitz constants from its mean
DENSITY = 1 / np.sqrt(2 * np.pi)  # of a standard normal variable, at 0
ROUNDING = 16 * np.finfo(float).eps
SINGULAR = 1e-12  # how far below 0 the determinant may round, and symmetric entries differ: relative


@dataclass(frozen=True)
class GaussianPair:
    """N(0, M) for a 2×2 Gram matrix M, as an outer coordinate and the other one given it.

    Outer is the coordinate i of smaller variance, inner the other, j. Given outer, inner = κ outer + s N(0,1) with
    κ = M_12/M_ii and s² = det M/M_ii. The determinant and 1 − κ are formed in exact arithmetic: for nearly parallel
    weights they are differences of nearly equal numbers.
    """

    gram: np.ndarray  # M
    outer: int  # i, 0 or 1
    outer_std: float
    slope: float  # κ
    slope_gap: float  # 1 − κ
    inner_std: float  # s

    @staticmethod
    def of(gram: np.ndarray) -> GaussianPair:
        """Split N(0, gram); a determinant at or below 0 (rounding) means rank one.

        Raises:
            ValueError: unless `gram` is symmetric and positive semidefinite up to rounding.
        """
        check(gram.shape == (2, 2), f"`noise_gram` must have shape (2, 2), got {gram.shape}")
        check_finite("noise_gram", gram)
        symmetric = abs(gram[0, 1] - gram[1, 0]) <= SINGULAR * np.abs(gram).max()
        check(bool(symmetric), f"`noise_gram` must be symmetric, got {gram.tolist()}")
        half_sum = (gram[0, 1] + gram[1, 0]) / 2
        gram = np.array([[gram[0, 0], half_sum], [half_sum, gram[1, 1]]])
        outer = int(gram[1, 1] <= gram[0, 0])
        own, other, cross = Fraction(gram[outer, outer]), Fraction(gram[1 - outer, 1 - outer]), Fraction(half_sum)
        determinant = own * other - cross * cross
        positive = own >= 0 and determinant >= -Fraction(SINGULAR) * own * other
        check(positive, f"`noise_gram` must be positive semidefinite, got {gram.tolist()}")
        outer_std = float(np.sqrt(float(own)))
        if own == 0:
            return GaussianPair(gram, outer, 0.0, 0.0, 1.0, float(np.sqrt(float(other))))
        if determinant <= 0:
            slope = float(np.sign(float(cross)) * np.sqrt(float(other / own)))
            return GaussianPair(gram, outer, outer_std, slope, 1 - slope, 0.0)
        inner_std = float(np.sqrt(float(determinant / own)))
        return GaussianPair(gram, outer, outer_std, float(cross / own), float((own - cross) / own), inner_std)

    @property
    def on_a_line(self) -> bool:
        """Whether the inner coordinate follows from the outer one: M has rank one or zero."""
        return self.inner_std == 0

    @property
    def same(self) -> bool:
        """Whether the two coordinates are equal, always."""
        return self.on_a_line and (self.outer_std == 0 or self.slope_gap == 0)
