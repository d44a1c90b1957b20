"""The law of the score of one noise patch, φ(Z_1) − φ(Z_2) for a Gaussian pair: its cdf with an error bound.

Two laws: on the line, where M is singular and the score is a function of one normal variable, and on the plane.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from augscope.accuracy.activation import Activation, Line, LineScore
from augscope.accuracy.gaussian import DENSITY, OUTSIDE, REACH, ROUNDING, GaussianPair

PANEL_TOLERANCE = 3e-12  # error allowed to one quadrature panel
FAR = 40.0  # standard deviations that stand for infinitely many

PANEL_NODES, PANEL_WEIGHTS = np.polynomial.legendre.leggauss(20)
# From values at those nodes to the last two Legendre coefficients: how far the panel is from being a polynomial.
PANEL_TAIL = (np.polynomial.legendre.legvander(PANEL_NODES, 19) * (np.arange(20) + 0.5)).T[-2:] * PANEL_WEIGHTS


class Answer(NamedTuple):
    """The law of a score S at thresholds t, as far as an accuracy needs it."""

    below: np.ndarray  # P(S < t)
    above: np.ndarray  # P(S ≤ t)
    ties: np.ndarray  # P(S = t)
    error: float  # bound on the error of every entry

    @classmethod
    def without_ties(cls, values: np.ndarray, error: float) -> Answer:
        return cls(values, values, np.zeros_like(values), error)


@dataclass(frozen=True)
class ScoreLaw(ABC):
    """The law of Y = φ(μ_1 + σ Z_1) − φ(μ_2 + σ Z_2), (Z_1, Z_2) ~ N(0, M).

    Y depends on the outer coordinate μ_outer + σ_outer x, x standard normal, and on the inner one given x: the lines are in x.
    """

    pair: GaussianPair  # N(0, M)
    std: float  # σ
    mean: tuple[float, float]  # μ
    activation: Activation

    @property
    def outer_line(self) -> Line:
        return self.mean[self.pair.outer], self.std * self.pair.outer_std

    @property
    def inner_line(self) -> Line:
        """The inner coordinate's mean given x."""
        return self.mean[1 - self.pair.outer], self.std * self.pair.outer_std * self.pair.slope

    @property
    def inner_std(self) -> float:
        return self.std * self.pair.inner_std

    @cached_property
    def line(self) -> LineScore:
        """The score where the inner coordinate has its mean given x."""
        lines = (self.outer_line, self.inner_line) if self.pair.outer == 0 else (self.inner_line, self.outer_line)
        return self.activation.line_score(self.activation, lines)

    @property
    def center(self) -> float:
        """φ(μ_1) − φ(μ_2)."""
        values = self.activation.value(np.array(self.mean))
        return float(values[0] - values[1])

    @property
    def lipschitz(self) -> float:
        """A Lipschitz constant of Y in standard normals: max over slopes a, b of φ of σ |(a, −b)|_M."""
        slopes = self.activation.slope_range
        directions = np.array([(a, -b) for a in slopes for b in slopes])
        squares = np.einsum("ij,jk,ik->i", directions, self.pair.gram, directions)
        return self.std * float(np.sqrt(max(squares.max(), 0.0)))

    def landmarks(self) -> np.ndarray:
        """Return the values of y where the cdf is least smooth."""
        bent, straight = self.activation.value(self.activation.bends), self.activation.straight_slope
        marks = [*-bent, 0.0, *bent, self.center, straight * (self.mean[0] - self.mean[1])]
        if self.inner_std < self.activation.narrow * self.outer_line[1]:
            points = np.concatenate([self.line.kinks, self.line.turning_points])
            marks += self.line.values(points[np.abs(points) < REACH]).tolist()
        return np.unique(marks)

    @abstractmethod
    def cdf(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return P(Y ≤ y) and a bound on its absolute error beyond `rounding`, elementwise."""

    @abstractmethod
    def rounding(self, y: np.ndarray) -> np.ndarray:
        """Return by how much rounding may displace a value of Y near y, where the error does not include that."""

    def rounded_cdf(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return P(Y ≤ y) and a bound on its error, rounding included."""
        (values, error), nudge = self.cdf(y), self.rounding(y)
        if nudge.any():
            error = error + (self.cdf(y + nudge)[0] - self.cdf(y - nudge)[0])
        return values, error

    @abstractmethod
    def at(self, y: np.ndarray, slack: np.ndarray) -> Answer:
        """Return the law at thresholds y computed from numbers of size `slack`."""


def law_of(pair: GaussianPair, std: float, mean: tuple[float, float], activation: Activation) -> ScoreLaw:
    """Return the law of a patch's score: on the line if M is singular, on the plane if it is regular."""
    return (LineLaw if pair.on_a_line else PlaneLaw)(pair, std, mean, activation)


class LineLaw(ScoreLaw):
    """The law on a line: Y is a function of x alone, and its cdf the normal measure of a few intervals."""

    def cdf(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._measure(y), np.full(len(y), 1e-15)

    def rounding(self, y: np.ndarray) -> np.ndarray:
        (a, b), (c, d) = self.outer_line, self.inner_line
        return ROUNDING * (np.abs(y) + abs(a) + abs(c) + abs(b) + abs(d))

    def at(self, y: np.ndarray, slack: np.ndarray) -> Answer:
        """Return the law at y: rounding of Y and of y is enclosed, and what it leaves open is error or a tie."""
        nudge = self.rounding(y) + ROUNDING * slack
        below, above = self._measure(y - nudge), self._measure(y + nudge)
        masses, levels = self.line.flat_pieces()
        ties = (masses * (np.abs(levels - y[:, None]) <= nudge[:, None])).sum(axis=1)
        return Answer(below, above, ties, float((1e-15 + np.maximum(above - below - ties, 0.0)).max()))

    def _measure(self, y: np.ndarray) -> np.ndarray:
        """Return the normal measure of the intervals between roots of Y = y on which Y ≤ y."""
        roots = self.line.roots(y)
        kinks = np.broadcast_to(self.line.kinks, (len(y), len(self.line.kinks)))
        inner = np.concatenate([kinks, np.where(np.isnan(roots), FAR, roots)], axis=1).clip(-FAR, FAR)
        points = np.pad(np.sort(inner, axis=1), ((0, 0), (1, 1)), constant_values=((0, 0), (-FAR, FAR)))
        below = self.line.values((points[:, 1:] + points[:, :-1]) / 2) <= y[:, None]
        return (np.diff(ndtr(points), axis=1) * below).sum(axis=1)


class PlaneLaw(ScoreLaw):
    """The law on the plane: with o = +1 where the outer coordinate z is the second and −1 where it is the first,

    P(Y ≤ y) = ∫ n(x) Φ(o [φ^{−1}(φ(z) + o y) − E(inner | x)] / s) dx,  z = μ_outer + σ_outer x,

    by adaptive Gauss–Legendre quadrature on panels for all y at once.
    """

    @property
    def sign(self) -> int:
        return 1 if self.pair.outer == 1 else -1

    def rounding(self, y: np.ndarray) -> np.ndarray:
        return np.zeros(len(y))

    def at(self, y: np.ndarray, slack: np.ndarray) -> Answer:
        values, errors = self.cdf(y)
        return Answer.without_ties(values, float(errors.max()))

    def cdf(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        breaks, sharpness = self._breakpoints(y)
        keep = breaks[:, 1:] - breaks[:, :-1] > 1e-15
        owner = np.nonzero(keep)[0]
        left, right = breaks[:, :-1][keep], breaks[:, 1:][keep]
        total, error = np.zeros(len(y)), np.full(len(y), OUTSIDE) + self._argument_rounding() * sharpness
        while len(left):
            middle, half = (left + right) / 2, (right - left) / 2
            integrand = self._integrand(middle[:, None] + half[:, None] * PANEL_NODES, self.sign * y[owner, None])
            # einsum, not BLAS: threads cost more than they save at this size.
            part, estimate = np.einsum("ij,j->i", integrand, PANEL_WEIGHTS) * half, _panel_errors(integrand, half)
            done = (estimate <= PANEL_TOLERANCE) | (half <= 1e-14)
            total += np.bincount(owner[done], part[done], len(y))
            error += np.bincount(owner[done], estimate[done], len(y))
            left, middle, right, owner = left[~done], middle[~done], right[~done], owner[~done]
            left, right, owner = np.concatenate([left, middle]), np.concatenate([middle, right]), np.tile(owner, 2)
        return np.clip(total, 0.0, 1.0), error

    def _argument_rounding(self) -> float:
        """The largest effect on Φ of rounding in its argument, a sum of numbers far larger than s when M is near singular."""
        (a, _), (c, _) = self.outer_line, self.inner_line
        gap_scale = abs(a - c) + abs(self.pair.slope_gap) * self.outer_line[1]
        return 0.4 * np.finfo(float).eps * min(gap_scale / self.inner_std, 1e15)

    def _integrand(self, x: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Return n(x) Φ(o [φ^{−1}(φ(z) + target) − E(inner | x)] / s)."""
        (a, b), (c, _) = self.outer_line, self.inner_line
        z, activation = a + b * x, self.activation
        if self.pair.inner_std > 1e-3 * self.pair.outer_std:
            shift = activation.inverse(activation.value(z) + target) - z
        else:  # cancellation matters
            shift = activation.shift(z, target)
        gap = shift + ((a - c) + (self.pair.slope_gap * b) * x)
        return np.exp(-0.5 * x * x) * (ndtr(gap * (self.sign / self.inner_std)) * DENSITY)

    def _breakpoints(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return sorted breakpoints in x, (len(y), any), and the share of x where Φ is neither 0 nor 1, (len(y),).

        They are the kinks of the integrand, and its steps with their widths.
        """
        a, b = self.outer_line
        fixed = np.array([-REACH, -2.0, 2.0, REACH])
        if b == 0:
            return np.broadcast_to(fixed, (len(y), len(fixed))), np.ones(len(y))
        bends = self.activation.bends
        levels = self.activation.value(bends) - self.sign * y[:, None]
        moving = (self.activation.inverse(levels) - a) / b  # where the inner coordinate reaches a bend
        steps, widths = self._steps(y)
        sharpness = np.minimum(1.0, 2 * widths.sum(axis=1))
        fixed = np.concatenate([fixed, (bends - a) / b])
        columns = [np.broadcast_to(fixed, (len(y), len(fixed))), moving]
        sharp = widths < 0.3  # bisection resolves the others
        if sharp.any():
            steps, widths = np.where(sharp, steps, REACH), np.where(sharp, widths, 0.0)
            columns += [steps + factor * widths for factor in (-6.0, -2.0, 0.0, 2.0, 6.0)]
        return np.sort(np.clip(np.concatenate(columns, axis=1), -REACH, REACH), axis=1), sharpness

    def _steps(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where the integrand's Φ passes ½ (or nearly), and over what width in x: s / |d(gap)/dx|."""
        (a, b), (c, d) = self.outer_line, self.inner_line
        roots = np.sort(self.line.roots(y), axis=1)
        roots = roots[:, : max(1, int(np.isfinite(roots).sum(axis=1).max(initial=0)))]
        turns = self.line.turning_points if self.inner_std < 0.3 * b else np.zeros(0)
        steps = np.concatenate([roots, np.broadcast_to(turns, (len(y), len(turns)))], axis=1)
        present = np.isfinite(steps)
        steps = np.clip(np.where(present, steps, REACH), -REACH, REACH)
        slopes = self.activation.slope(a + b * steps) / self.activation.slope(c + d * steps)
        rate = np.abs(slopes - self.pair.slope) * b
        return steps, np.where(present, np.minimum(self.inner_std / np.maximum(rate, 1e-300), REACH), 0.0)


def _panel_errors(integrand: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Estimate the error of the rule on every panel, from the last two Legendre coefficients.

    The rule is exact to twice the degree of the interpolant whose error they measure: the power 1.5 (as in QUADPACK) still
    leaves a margin over the square.
    """
    tail = np.abs(np.einsum("ij,kj->ki", integrand, PANEL_TAIL)).sum(axis=0)
    return 2 * half * np.minimum(tail, 4 * tail**1.5)
