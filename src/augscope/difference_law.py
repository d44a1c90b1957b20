"""The law of φ(Z_1) − φ(Z_2) for a Gaussian pair: its cdf with an error bound, singular pairs included."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.special import ndtr

from augscope.model.network import Network

REACH = 6.8  # standard deviations integrated over; a normal variable lies outside with probability 1.1e-11
OUTSIDE = 1.1e-11
PANEL_TOLERANCE = 3e-12  # error allowed to one quadrature panel
ROUNDING = 16 * np.finfo(float).eps

PANEL_NODES, PANEL_WEIGHTS = np.polynomial.legendre.leggauss(20)
# From values at those nodes to the last two Legendre coefficients: how far the panel is from being a polynomial.
PANEL_TAIL = (np.polynomial.legendre.legvander(PANEL_NODES, 19) * (np.arange(20) + 0.5)).T[-2:] * PANEL_WEIGHTS


@dataclass(frozen=True)
class PairNoise:
    """N(0, M) for a 2×2 Gram matrix M, as an outer coordinate and the other one given it.

    Outer is the coordinate i of smaller variance, inner the other, j. Given outer, inner = κ outer + s N(0,1) with
    κ = M_12/M_ii and s² = det M/M_ii. The determinant and 1 − κ are formed in exact arithmetic: for nearly parallel
    weights they are differences of nearly equal numbers.
    """

    outer: int
    outer_std: float
    slope: float  # κ
    slope_gap: float  # 1 − κ
    inner_std: float  # s
    gram: np.ndarray

    @staticmethod
    def of(gram: np.ndarray) -> PairNoise:
        """Split N(0, gram); a determinant at or below 0 (rounding) means rank one."""
        outer = int(gram[1, 1] <= gram[0, 0])
        own, other, cross = Fraction(gram[outer, outer]), Fraction(gram[1 - outer, 1 - outer]), Fraction(gram[0, 1])
        if own == 0:
            return PairNoise(outer, 0.0, 0.0, 1.0, float(np.sqrt(float(other))), gram)
        determinant = own * other - cross * cross
        if determinant > 0:
            slope, gap = float(cross / own), float((own - cross) / own)
            return PairNoise(
                outer, float(np.sqrt(float(own))), slope, gap, float(np.sqrt(float(determinant / own))), gram
            )
        slope = float(np.sign(float(cross)) * np.sqrt(float(other / own)))
        return PairNoise(outer, float(np.sqrt(float(own))), slope, 1 - slope, 0.0, gram)

    @property
    def same(self) -> bool:
        """Whether the two coordinates are equal, always."""
        return self.inner_std == 0 and (self.outer_std == 0 or self.slope_gap == 0)


@dataclass(frozen=True)
class DifferenceLaw:
    """The law of Y = φ(μ_1 + σ Z_1) − φ(μ_2 + σ Z_2), (Z_1, Z_2) ~ N(0, M).

    With z the outer coordinate, o = +1 where it is the second and −1 where it is the first, and x standard normal,
    P(Y ≤ y) = ∫ n(x) Φ(o [φ^{−1}(φ(z) + o y) − E(inner | x)] / s) dx,  z = μ_outer + σ_outer x.
    """

    noise: PairNoise
    std: float
    mean: tuple[float, float]
    network: Network

    @property
    def sign(self) -> int:
        return 1 if self.noise.outer == 1 else -1

    @property
    def outer_line(self) -> tuple[float, float]:
        """(intercept, slope) of the outer coordinate in x."""
        return self.mean[self.noise.outer], self.std * self.noise.outer_std

    @property
    def inner_line(self) -> tuple[float, float]:
        """(intercept, slope) of the inner coordinate's conditional mean in x."""
        return self.mean[1 - self.noise.outer], self.std * self.noise.outer_std * self.noise.slope

    @property
    def inner_std(self) -> float:
        return self.std * self.noise.inner_std

    @property
    def on_a_line(self) -> bool:
        """Whether Y is a function of x alone: M is singular with a nonzero outer coordinate, or zero."""
        return self.noise.inner_std == 0

    @property
    def center(self) -> float:
        """g(μ) = φ(μ_1) − φ(μ_2)."""
        values = self.network.activation(np.array(self.mean))
        return float(values[0] - values[1])

    @property
    def lipschitz(self) -> float:
        """A Lipschitz constant of Y in standard normals: max over slopes a, b in {β, 1} of σ |(a, −b)|_M."""
        slopes = (self.network.negative_slope, 1.0)
        directions = np.array([(a, -b) for a in slopes for b in slopes])
        return self.std * float(
            np.sqrt(max(np.einsum("ij,jk,ik->i", directions, self.noise.gram, directions).max(), 0.0))
        )

    def cdf(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return P(Y ≤ y) and a bound on its absolute error, elementwise."""
        if self.on_a_line:
            below, above, error = self.sides(y)
            return self.line_cdf(y), above - below + error
        return self._quadrature_cdf(y)

    def sides(self, y: np.ndarray, slack: np.ndarray | float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return P(Y < y), P(Y ≤ y) and a bound on their error beyond the rounding of y, which the two enclose.

        Args:
            slack: the size of the numbers that y was computed from, where larger than y.
        """
        if not self.on_a_line:
            value, error = self._quadrature_cdf(y)
            return value, value, error
        nudge = ROUNDING * (self.magnitude(y) + slack)
        return self.line_cdf(y - nudge), self.line_cdf(y + nudge), np.full(len(y), 1e-15)

    def magnitude(self, y: np.ndarray) -> np.ndarray:
        """The size of the numbers that are subtracted to form Y: what its rounding is relative to."""
        (a, b), (c, d) = self.outer_line, self.inner_line
        return np.abs(y) + abs(a) + abs(c) + abs(b) + abs(d)

    # ---- rank one: Y = g(x) is piecewise quadratic ----

    def _pieces(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the kinks (4,) of g(x) = φ(inner(x)) − φ(outer(x)), sorted, and its 5 quadratics' coefficients (5, 3)."""
        beta, r = self.network.negative_slope, self.network.smoothing
        lines = (self.inner_line, self.outer_line)
        far = 10 * REACH  # a line without slope has no kink
        kinks = np.sort([np.clip((level - a) / b, -far, far) if b else far for a, b in lines for level in (0.0, r)])
        middles = (np.concatenate([[-2 * far], kinks]) + np.concatenate([kinks, [2 * far]])) / 2
        parts = np.array([[0, beta, 0], [(1 - beta) / (2 * r), beta, 0], [0, 1, -(1 - beta) * r / 2]])
        local = []
        for a, b in lines:
            value = a + b * middles
            second, first, zeroth = parts[(value > 0).astype(int) + (value > r)].T
            local.append(
                np.stack([second * b * b, (2 * second * a + first) * b, (second * a + first) * a + zeroth], axis=1)
            )
        return kinks, local[0] - local[1]

    def _turning_points(self) -> np.ndarray:
        """Return where the quadratics of g turn, within their pieces."""
        kinks, (second, first, _) = self._pieces()[0], self._pieces()[1].T
        turns = -first / np.where(second == 0, 1.0, 2 * second)
        edges = np.concatenate([[-REACH], kinks, [REACH]])
        return turns[(second != 0) & (turns > edges[:-1]) & (turns < edges[1:])]

    def _line_roots(self, y: np.ndarray) -> np.ndarray:
        """Return the solutions x of o g(x) = y, (len(y), 10), nan where a candidate is outside its piece."""
        kinks, coefficients = self._pieces()
        second, first, zeroth = coefficients.T
        level = zeroth - self.sign * y[:, None]
        root = np.sqrt(np.maximum(first**2 - 4 * second * level, 0.0))
        half = -(first + np.where(first < 0, -root, root)) / 2  # the sum of like signs: no cancellation
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            roots = np.stack([half / second, level / half], axis=-1)
        edges = np.concatenate([[-np.inf], kinks, [np.inf]])
        slack = 1e-9  # a root on a kink belongs to either side
        inside = (roots >= edges[:-1, None] - slack) & (roots <= edges[1:, None] + slack) & np.isfinite(roots)
        return np.where(inside, roots, np.nan).reshape(len(y), -1)

    def _line_values(self, x: np.ndarray) -> np.ndarray:
        """Return Y at x."""
        (a, b), (c, d) = self.inner_line, self.outer_line
        return self.sign * (self.network.activation(a + b * x) - self.network.activation(c + d * x))

    def line_cdf(self, y: np.ndarray) -> np.ndarray:
        """Return P(g(x) ≤ y) for standard normal x: the normal measure of the intervals between roots where g ≤ y."""
        if self.outer_line[1] == 0:
            return (self.center <= y).astype(float)
        roots = self._line_roots(y)
        kinks = np.broadcast_to(self._pieces()[0], (len(y), 4))
        points = np.sort(np.clip(np.where(np.isnan(roots), 40.0, roots), -40.0, 40.0), axis=1)
        points = np.sort(np.concatenate([np.full((len(y), 1), -40.0), kinks.clip(-40, 40), points], axis=1), axis=1)
        points = np.concatenate([points, np.full((len(y), 1), 40.0)], axis=1)
        middles = (points[:, 1:] + points[:, :-1]) / 2
        below = self._line_values(middles) <= y[:, None]
        return (np.diff(ndtr(points), axis=1) * below).sum(axis=1)

    def atom(self, y: np.ndarray, slack: np.ndarray | float = 0.0) -> np.ndarray:
        """Return P(Y = y), up to rounding of y: only flat pieces of a law on a line have any."""
        if not self.on_a_line:
            return np.zeros(len(y))
        nudge = ROUNDING * (self.magnitude(y) + slack)
        if self.outer_line[1] == 0:
            return (np.abs(self.center - y) <= nudge).astype(float)
        kinks, coefficients = self._pieces()
        mass = np.diff(ndtr(np.concatenate([[-np.inf], kinks, [np.inf]])))
        steepness = abs(self.outer_line[1]) + abs(self.inner_line[1])
        flat = (np.abs(coefficients[:, :2]) <= ROUNDING / 2 * steepness).all(axis=1)
        near = np.abs(self.sign * coefficients[:, 2] - y[:, None]) <= nudge[:, None]
        return (mass * (flat & near)).sum(axis=1)

    # ---- rank two: adaptive Gauss–Legendre over the outer coordinate ----

    def _quadrature_cdf(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the integral of the class docstring by vectorised adaptive Gauss–Legendre quadrature."""
        breaks, sharpness = self._breakpoints(y)
        keep = breaks[:, 1:] - breaks[:, :-1] > 1e-15
        owner = np.nonzero(keep)[0]
        left, right = breaks[:, :-1][keep], breaks[:, 1:][keep]
        total, error = np.zeros(len(y)), np.full(len(y), OUTSIDE) + self._rounding() * sharpness
        while len(left):
            middle, half = (left + right) / 2, (right - left) / 2
            x = middle[:, None] + half[:, None] * PANEL_NODES
            integrand = self._integrand(x, self.sign * y[owner, None])
            # einsum, not BLAS: threads cost more than they save at this size.
            part = np.einsum("ij,j->i", integrand, PANEL_WEIGHTS) * half
            tail = np.abs(np.einsum("ij,kj->ki", integrand, PANEL_TAIL)).sum(axis=0)
            # The rule is exact to twice the degree of the interpolant whose error the tail measures: its power 1.5
            # (as in QUADPACK) still leaves a margin over the square.
            estimate = 2 * half * np.minimum(tail, 4 * tail**1.5)
            done = (estimate <= PANEL_TOLERANCE) | (half <= 1e-14)
            total += np.bincount(owner[done], part[done], len(y))
            error += np.bincount(owner[done], estimate[done], len(y))
            left, middle, right, owner = left[~done], middle[~done], right[~done], owner[~done]
            left, right, owner = np.concatenate([left, middle]), np.concatenate([middle, right]), np.tile(owner, 2)
        return np.clip(total, 0.0, 1.0), error

    def _rounding(self) -> float:
        """The largest effect on Φ of rounding in its argument, a sum of numbers far larger than s when M is near singular."""
        (a, _), (c, _) = self.outer_line, self.inner_line
        gap_scale = abs(a - c) + abs(self.noise.slope_gap) * self.outer_line[1]
        return 0.4 * np.finfo(float).eps * min(gap_scale / self.inner_std, 1e15)

    def _integrand(self, x: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Return n(x) Φ(o [φ^{−1}(φ(z) + target) − E(inner | x)] / s)."""
        (a, b), (c, _) = self.outer_line, self.inner_line
        gap = self._shift(a + b * x, target) + ((a - c) + (self.noise.slope_gap * b) * x)
        return np.exp(-0.5 * x * x) * (ndtr(gap * (self.sign / self.inner_std)) * 0.3989422804014327)

    def _shift(self, z: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Return φ^{−1}(φ(z) + target) − z, without cancellation where both ends lie on one piece of φ."""
        network = self.network
        beta, r = network.negative_slope, network.smoothing
        end = network.activation_inverse(network.activation(z) + target)
        if self.noise.inner_std > 1e-3 * self.noise.outer_std:
            return end - z  # no cancellation that matters
        slope = network.activation_slope(z)
        inside = (z >= 0) & (z <= r) & (end >= 0) & (end <= r)
        bent = 2 * target / (slope + np.sqrt(np.maximum(slope**2 + 2 * (1 - beta) * target / r, 0.0)))
        shift = np.where(inside, bent, end - z)
        shift = np.where((z <= 0) & (end <= 0), target / beta, shift)
        return np.where((z >= r) & (end >= r), target, shift)

    def _breakpoints(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return sorted breakpoints in x, (len(y), any), and the share of x where Φ is neither 0 nor 1, (len(y),).

        They are the kinks of the integrand, and its steps with their widths.
        """
        (a, b), network = self.outer_line, self.network
        fixed = np.array([-REACH, -2.0, 2.0, REACH])
        if b == 0:
            return np.broadcast_to(fixed, (len(y), len(fixed))), np.ones(len(y))
        r = network.smoothing
        levels = network.activation(np.array([0.0, r])) - self.sign * y[:, None]
        moving = (network.activation_inverse(levels) - a) / b  # where the inner coordinate reaches 0 and r
        steps, widths = self._steps(y)
        sharpness = np.minimum(1.0, 2 * widths.sum(axis=1))
        fixed = np.concatenate([fixed, [-a / b, (r - a) / b]])
        columns = [np.broadcast_to(fixed, (len(y), len(fixed))), moving]
        sharp = widths < 0.3  # bisection resolves the others
        if sharp.any():
            steps, widths = np.where(sharp, steps, REACH), np.where(sharp, widths, 0.0)
            columns += [steps + factor * widths for factor in (-6.0, -2.0, 0.0, 2.0, 6.0)]
        return np.sort(np.clip(np.concatenate(columns, axis=1), -REACH, REACH), axis=1), sharpness

    def _steps(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where the integrand's Φ passes ½ (or nearly), and over what width in x: s / |d(gap)/dx|."""
        (a, b), (c, d), network = self.outer_line, self.inner_line, self.network
        roots = np.sort(self._line_roots(y), axis=1)
        roots = roots[:, : max(1, int(np.isfinite(roots).sum(axis=1).max(initial=0)))]
        turns = self._turning_points() if self.inner_std < 0.3 * b else np.zeros(0)
        steps = np.concatenate([roots, np.broadcast_to(turns, (len(y), len(turns)))], axis=1)
        present = np.isfinite(steps)
        steps = np.clip(np.where(present, steps, REACH), -REACH, REACH)
        slopes = network.activation_slope(a + b * steps) / network.activation_slope(c + d * steps)
        rate = np.abs(slopes - self.noise.slope) * b
        return steps, np.where(present, np.minimum(self.inner_std / np.maximum(rate, 1e-300), REACH), 0.0)

    def landmarks(self) -> np.ndarray:
        """Return the values of y where the cdf is least smooth."""
        network = self.network
        top = network.activation(np.array(network.smoothing))
        marks = [-top, 0.0, top, self.center, network.negative_slope * (self.mean[0] - self.mean[1])]
        if self.inner_std < 0.1 * self.outer_line[1] or self.on_a_line:
            points = np.concatenate([self._pieces()[0], self._turning_points()])
            marks += self._line_values(points[np.abs(points) < REACH]).tolist()
        return np.unique(marks)
