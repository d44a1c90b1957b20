"""The Gaussian pair (⟨w_1, ξ⟩, ⟨w_{−1}, ξ⟩) that a noise patch gives the two filters."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from augscope.model.arrays import check_finite
from augscope.support.values import check

EPS = np.finfo(float).eps
DENSITY = 1 / np.sqrt(2 * np.pi)  # of a standard normal variable, at 0
SINGULAR = 1e-12  # how far below 0 the determinant may round, and symmetric entries differ: relative


@dataclass(frozen=True)
class GaussianPair:
    """N(0, M) for a 2×2 matrix M, as an outer coordinate and the other one given it.

    Outer is the coordinate i of smaller variance, inner the other, j. Given outer, inner = κ outer + s N(0,1) with
    κ = M_12/M_ii and s² = det M/M_ii. For nearly parallel filters 1 − κ and s are small differences: they are formed from
    the filters' difference, or from a given M in exact arithmetic.
    """

    outer: int  # i, 0 or 1
    outer_std: float
    slope: float  # κ
    slope_gap: float  # 1 − κ
    inner_std: float  # s
    rounding: float = 0.0  # how far rounding may have moved the inner coordinate, in standard normals times its size

    @staticmethod
    def of(gram: np.ndarray) -> GaussianPair:
        """Split N(0, gram), exactly; a determinant at or below 0 (rounding) means rank one.

        Raises:
            ValueError: unless `gram` is symmetric and positive semidefinite up to rounding.
        """
        check(gram.shape == (2, 2), f"`noise_gram` must have shape (2, 2), got {gram.shape}")
        check_finite("noise_gram", gram)
        symmetric = abs(gram[0, 1] - gram[1, 0]) <= SINGULAR * np.abs(gram).max()
        check(bool(symmetric), f"`noise_gram` must be symmetric, got {gram.tolist()}")
        outer = int(gram[1, 1] <= gram[0, 0])
        own, other = Fraction(gram[outer, outer]), Fraction(gram[1 - outer, 1 - outer])
        cross = (Fraction(gram[0, 1]) + Fraction(gram[1, 0])) / 2
        determinant = own * other - cross * cross
        positive = own >= 0 and determinant >= -Fraction(SINGULAR) * own * other
        check(positive, f"`noise_gram` must be positive semidefinite, got {gram.tolist()}")
        if own == 0:
            return GaussianPair(outer, 0.0, 0.0, 1.0, float(np.sqrt(float(other))))
        outer_std = float(np.sqrt(float(own)))
        if determinant <= 0:
            slope = float(np.sign(float(cross)) * np.sqrt(float(other / own)))
            return GaussianPair(outer, outer_std, slope, 1 - slope, 0.0)
        inner_std = float(np.sqrt(float(determinant / own)))
        return GaussianPair(outer, outer_std, float(cross / own), float((own - cross) / own), inner_std)

    @staticmethod
    def of_filters(filters: np.ndarray) -> GaussianPair:
        """Split N(0, M) for M = `filters` `filters`ᵀ, (2, D), without forming M, which would square their angle.

        Sums run in one fixed order, so that equal filters give an exact 0.
        """
        squares = (filters * filters).sum(axis=1)
        outer = int(squares[1] <= squares[0])
        own, other = filters[outer], filters[1 - outer]
        size = float(np.sqrt(squares[1 - outer]))
        if squares[outer] == 0:
            return GaussianPair(outer, 0.0, 0.0, 1.0, size)
        slope_gap = float(-((other - own) * own).sum() / squares[outer])
        residual = (other - own) + slope_gap * own
        inner_std = float(np.sqrt((residual * residual).sum()))
        # Sums of D products round by at most √D ε of their terms, about; each coordinate of the residual by a few ε.
        rounding = 4 * EPS * np.sqrt(filters.shape[1]) * size if inner_std else 0.0
        return GaussianPair(outer, float(np.sqrt(squares[outer])), 1 - slope_gap, slope_gap, inner_std, float(rounding))

    def factor(self) -> np.ndarray:
        """Return L, (2, 2), with M = L Lᵀ."""
        rows = np.array([[self.outer_std, 0.0], [self.slope * self.outer_std, self.inner_std]])
        return rows if self.outer == 0 else rows[::-1]

    @property
    def stds(self) -> np.ndarray:
        """Standard deviations of the two coordinates, (2,)."""
        return np.hypot(*self.factor().T)

    @property
    def correlation(self) -> float:
        """Of the two coordinates; 0 where one of them is constant."""
        inner = float(self.stds[1 - self.outer])
        return self.slope * self.outer_std / inner if inner else 0.0

    @property
    def conditional_share(self) -> float:
        """1 − |correlation|, without cancellation; 0 where one coordinate is constant."""
        inner = float(self.stds[1 - self.outer]) if self.outer_std else np.inf
        return (self.inner_std / inner) ** 2 / (1 + abs(self.correlation))

    @property
    def same(self) -> bool:
        """Whether the two coordinates are equal, always."""
        return self.inner_std == 0 and (self.outer_std == 0 or self.slope_gap == 0)
