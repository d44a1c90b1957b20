"""The law of the score of one noise patch, φ(Z_1) − φ(Z_2) for a Gaussian pair: one integral, with a proved bound.

Given the outer coordinate z = a + b x, x standard normal, the score is at most y where the inner coordinate lies on one side
of h(z) = φ^{−1}(φ(z) + t), t = ±y. So with g(x) = h(z) − E[inner | x]

    P(Y ≤ y) = ∫ n(x) Φ(± g(x)/s) dx.

φ is quadratic on three pieces, so between at most four points g is analytic. On a panel between them, with middle x_0 and half
length ℓ, the Gauss–Legendre rule with q points errs by at most (64/15) ℓ m ρ^{−2(q−1)}/(1 − ρ^{−2}) if the integrand is at
most m on the Bernstein ellipse ρ = e^τ (Trefethen, Approximation Theory and Approximation Practice, theorem 19.3). The ellipse
lies in the disc of radius A = ℓ cosh τ, its imaginary parts are at most ℓ sinh τ. If |g'| ≤ G on the disc, then there
|g(x) − g(Re x)| ≤ G ℓ sinh τ = V s, |g(Re x)| ≥ |g(x_0)| − G A = U s (or U = 0), and along the vertical from Re x to x

    |Φ(g/s)| ≤ 1 + ∫_0^V n(U) e^{v²/2} dv ≤ 1 + V n(0) e^{(V² − U²)/2},
    |n(x)| ≤ n(0) e^{(ℓ sinh τ)²/2 − max(0, |x_0| − A)²/2}.

Where U is large Φ is 0 or 1 on the whole panel, and the panel's mass is a difference of normal cdfs. Panels are halved until one
of the two bounds is small, or their mass is. Where s = 0 only the second one applies: the panels close in on the zeros of g.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from augscope.accuracy.gaussian import DENSITY, EPS, GaussianPair
from augscope.model.network import Network

END = 8.3  # standard deviations integrated over: all but 1.1e-16
PANEL_ERROR = 2e-14  # allowed to one panel
POINTS = 16
TAUS = np.array([0.0, 0.35, 0.6, 0.85, 1.15, 1.5, 1.9, 2.4])  # log ρ of the ellipses tried; 0 is the panel itself

NODES, WEIGHTS = np.polynomial.legendre.leggauss(POINTS)
with np.errstate(divide="ignore"):
    _RULE_ERRORS = 64 / 15 * np.exp(-2 * TAUS * (POINTS - 1)) / -np.expm1(-2 * TAUS)


class Answer(NamedTuple):
    """The law of a score S at thresholds t, as far as an accuracy needs it."""

    below: np.ndarray  # P(S < t)
    above: np.ndarray  # P(S ≤ t)
    ties: np.ndarray  # P(S = t)
    error: np.ndarray  # bound on the error of every entry
    estimate: np.ndarray  # what the error is believed to be


class Panels(NamedTuple):
    """Intervals of x on which both coordinates stay on one piece of φ."""

    middle: np.ndarray
    half: np.ndarray  # half their length
    owner: np.ndarray  # index of the threshold
    outer_piece: np.ndarray  # of φ at z: 0 below 0, 1 between 0 and r, 2 above
    inner_piece: np.ndarray  # of φ at h(z)

    def taken(self, which: np.ndarray) -> Panels:
        return Panels(*(field[which] for field in self))

    def halved(self) -> Panels:
        quarter = self.half / 2
        left, right = self._replace(middle=self.middle - quarter), self._replace(middle=self.middle + quarter)
        both = Panels(*(np.concatenate(pair) for pair in zip(left, right, strict=True)))
        return both._replace(half=np.concatenate([quarter, quarter]))

    def masses(self) -> np.ndarray:
        """Return P(x in panel), from the side on which little is lost."""
        side = np.abs(self.middle)
        return ndtr(self.half - side) - ndtr(-self.half - side)


@dataclass(frozen=True)
class PatchLaw:
    """The law of Y = φ(μ_1 + σ Z_1) − φ(μ_2 + σ Z_2), (Z_1, Z_2) a Gaussian pair, for the built-in φ."""

    pair: GaussianPair
    std: float  # σ
    mean: tuple[float, float]  # μ
    network: Network

    def at(self, y: np.ndarray, slack: np.ndarray) -> Answer:
        """Return the law of Y at thresholds y that were computed from numbers of size `slack`. Cost: 0.1 ms a threshold; without noise next to nothing."""
        if not self.std * self.pair.stds.any():
            return self._without_noise(y, slack)
        sign, panels = self.sign, self._arcs(self.sign * y)
        below, above, ties, error = np.zeros((4, len(y)))
        error += 2 * ndtr(-END)
        while len(panels.middle):
            curve = _Curve(self, panels, sign * y[panels.owner], EPS * slack[panels.owner])
            masses, rule, tie = panels.masses(), curve.rule_error(), curve.is_tie()
            saturated = curve.saturation(masses)
            done = np.minimum(np.minimum(saturated, rule), masses) <= PANEL_ERROR
            parts, errors = np.where(sign * curve.gap > 0, masses, 0.0), np.where(done, saturated, 0.0)
            smooth = (rule <= PANEL_ERROR) & (saturated > PANEL_ERROR) & ~tie
            if smooth.any():
                parts[smooth] = curve.integral(smooth, sign)
                errors[smooth] = (rule + curve.rounding(masses))[smooth]
            small = done & ~smooth & (saturated > PANEL_ERROR)
            parts[small], errors[small] = masses[small] / 2, masses[small] / 2
            for total, values, which in (
                (below, parts, done & ~tie), (above, parts, done & ~tie), (error, errors, done & ~tie),
                (above, masses, tie), (ties, masses, tie),
            ):  # fmt: skip
                total += np.bincount(panels.owner[which], values[which], len(y))
            panels = panels.taken(~(done | tie)).halved()
        return Answer(below, above, ties, error, error)

    def _without_noise(self, y: np.ndarray, slack: np.ndarray) -> Answer:
        """The law of Y where it is a number, as in the limit; equal to a threshold up to rounding is a tie."""
        first, second = np.asarray(self.network.activation(np.array(self.mean)))
        ties = np.abs(first - second - y) <= 4 * EPS * (slack + abs(first) + abs(second))
        below, exact = (first - second < y) & ~ties, np.zeros(len(y))
        return Answer(below * 1.0, (below | ties) * 1.0, ties * 1.0, exact, exact)

    def _arcs(self, target: np.ndarray) -> Panels:
        """Return the panels between the points where a coordinate passes from one piece of φ to another."""
        network, (a, b), ends = self.network, self.outer_line, np.full((len(target), 1), END)
        edges = np.concatenate([-ends, np.sort(self.passages(target), axis=1), ends], axis=1)
        middle, half = (edges[:, 1:] + edges[:, :-1]) / 2, np.diff(edges, axis=1) / 2
        z = a + b * middle
        pieces = (
            _piece(z, network),
            _piece(network.activation_inverse(network.activation(z) + target[:, None]), network),
        )
        owner = np.broadcast_to(np.arange(len(target))[:, None], z.shape)
        return Panels(middle, half, owner, *pieces).taken(half > 0)

    @property
    def sign(self) -> int:
        """Of t in y: the score is at most y where the inner coordinate is below (1) or above (−1) h."""
        return 1 if self.pair.outer == 1 else -1

    def passages(self, target: np.ndarray) -> np.ndarray:
        """Return the x, within ±END, at which z or h passes a kink of φ, for every target t: (len(target), any)."""
        (a, b), kinks = self.outer_line, np.array(self.network.kinks())
        passing = self.network.activation_inverse(self.network.activation(kinks) - target[:, None])
        points = np.concatenate([np.broadcast_to(kinks, passing.shape), passing], axis=1)
        return np.clip((points - a) / b, -END, END) if b else np.zeros((len(target), 0))

    @property
    def center(self) -> float:
        """φ(μ_1) − φ(μ_2)."""
        first, second = self.network.activation(np.array(self.mean))
        return float(first - second)

    @property
    def lipschitz(self) -> float:
        """A Lipschitz constant of Y in standard normals: max over slopes a, b of φ of σ |(a, −b)|_M."""
        slopes = self.network.slope_range
        return self.std * max(
            float(np.linalg.norm(np.array([a, -b]) @ self.pair.factor())) for a in slopes for b in slopes
        )

    def landmarks(self) -> np.ndarray:
        """Return the values of y where the cdf may be least smooth: where both coordinates bend, or one while the other follows."""
        network, kinks = self.network, np.array(self.network.kinks())
        bends, slopes = network.activation(kinks), self.std * self.pair.factor()[:, 0]  # along the outer coordinate
        marks = [*-bends, 0.0, *bends, self.center]
        for mean, slope in zip(self.mean, slopes, strict=True):
            x = (kinks - mean) / slope if slope else np.zeros(0)
            first, second = (network.activation(m + s * x) for m, s in zip(self.mean, slopes, strict=True))
            marks += (first - second).tolist()
        return np.unique(marks)

    @property
    def outer_line(self) -> tuple[float, float]:
        """a and b of the outer coordinate a + b x."""
        return self.mean[self.pair.outer], self.std * self.pair.outer_std


def _piece(z: np.ndarray, network: Network) -> np.ndarray:
    if network.negative_slope == 1:  # φ is the identity
        return np.zeros(z.shape, int)
    return (z > 0).astype(int) + (z >= network.smoothing)


class _Curve:
    """g on panels, and what it is bounded by on discs around their middles."""

    def __init__(self, law: PatchLaw, panels: Panels, target: np.ndarray, slack: np.ndarray) -> None:
        self.law, self.panels, self.target = law, panels, target
        network, pair = law.network, law.pair
        self.offset = law.mean[pair.outer] - law.mean[1 - pair.outer]  # of the two means
        self.inner_std = law.std * pair.inner_std
        self.bend = (1 - network.negative_slope) / network.smoothing  # φ'' on the middle piece
        (_, b), x, i, j = law.outer_line, panels.middle, panels.outer_piece, panels.inner_piece
        z, shift, slope = self._shift(x, i, j, target)
        self.gap = shift + self.offset + pair.slope_gap * b * x
        inner_slope = self._slope(z + shift, j)
        self._bound(slope, inner_slope, shift)
        sizes = np.abs(shift) + abs(self.offset) + np.abs(pair.slope_gap * b * x)
        sizes += np.where(i == j, 0.0, np.abs(z) + np.abs(z + shift))
        self.uncertainty = 4 * EPS * sizes + 4 * slack / inner_slope + law.std * pair.rounding * (1 + np.abs(x))
        lowest = np.abs(self.gap)[:, None] - self.steepness * self.radius - self.uncertainty[:, None]
        self.distance = np.where(
            self.analytic, np.maximum(lowest, 0.0), 0.0
        )  # U s for every ellipse, rounding included

    def _slope(self, z: np.ndarray, piece: np.ndarray) -> np.ndarray:
        return np.where(
            piece == 1,
            self.law.network.negative_slope + self.bend * z,
            np.where(piece == 0, self.law.network.negative_slope, 1.0),
        )

    def _shift(
        self, x: np.ndarray, i: np.ndarray, j: np.ndarray, target: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return z, h(z) − z and φ'(z), without cancellation where both lie on one piece."""
        network, (a, b) = self.law.network, self.law.outer_line
        beta, r, bend = network.negative_slope, network.smoothing, self.bend
        z = a + b * x
        slope = self._slope(z, i)
        same = np.where(
            i == 1,
            2 * target / (slope + np.sqrt(np.maximum(slope**2 + 2 * bend * target, 0.0))),
            target / np.where(i == 0, beta, 1.0),
        )
        if np.array_equal(i, j):
            return z, same, slope
        value = np.where(i == 1, (beta + bend * z / 2) * z, np.where(i == 0, beta * z, z - (1 - beta) * r / 2)) + target
        bent = 2 * value / (beta + np.sqrt(np.maximum(beta**2 + 2 * bend * value, 0.0)))
        h = np.where(j == 1, bent, np.where(j == 0, value / beta, value + (1 - beta) * r / 2))
        return z, np.where(i == j, same, h - z), slope

    def _bound(self, slope: np.ndarray, inner_slope: np.ndarray, shift: np.ndarray) -> None:
        """Bound |g'| on the disc of every ellipse.

        g' = b (φ'(z)/φ'(h) − κ), and g'' = b² h'' with h'' = φ''(z)/φ'(h) − φ'(z)² φ''(h)/φ'(h)³; where both lie on the middle
        piece that is −2 φ''² t/φ'(h)³. There φ'(h)² = β² + 2 φ'' (φ(z) + t), which on the disc changes by at most
        2 φ'' (φ'(z) b A + φ'' (b A)²/2).
        """
        (_, b), (i, j) = self.law.outer_line, self.panels[3:]
        radius = self.panels.half[:, None] * np.cosh(TAUS)
        step, bend = b * radius, self.bend
        outer_bend, inner_bend = np.where(i == 1, bend, 0.0)[:, None], np.where(j == 1, bend, 0.0)[:, None]
        largest = slope[:, None] + outer_bend * step  # |φ'(z)|
        square = inner_slope[:, None] ** 2
        smallest = square - 2 * inner_bend * (slope[:, None] + outer_bend * step / 2) * step  # |φ'(h)|²
        self.analytic = smallest >= square / 4
        smallest = np.sqrt(np.where(self.analytic, smallest, square))
        curvature = outer_bend / smallest + largest**2 * inner_bend / smallest**3
        both = ((i == 1) & (j == 1))[:, None]
        curvature = np.where(both, 2 * bend**2 * np.abs(self.target)[:, None] / smallest**3, curvature)
        apart = np.where(i == j, np.where(i == 1, -bend * shift, 0.0), slope - inner_slope)
        self.steepness = np.abs(b * (apart / inner_slope + self.law.pair.slope_gap))[:, None] + b * step * curvature
        self.radius = radius

    def is_tie(self) -> np.ndarray:
        """Whether Y equals the threshold on the whole panel."""
        constant = (self.inner_std == 0) & (self.steepness[:, 0] == 0) & self.analytic[:, 0]
        return constant & (np.abs(self.gap) <= self.uncertainty)

    def saturation(self, masses: np.ndarray) -> np.ndarray:
        """Bound the error of taking Φ as 0 or 1."""
        nearest = self.distance[:, 0]
        if self.inner_std == 0:
            return np.where(nearest > 0, 0.0, np.inf)
        return masses * ndtr(-nearest / self.inner_std)

    def rule_error(self) -> np.ndarray:
        """Bound the error of the Gauss–Legendre rule, by the best of the ellipses."""
        if self.inner_std == 0:
            return np.full(len(self.gap), np.inf)
        height = self.panels.half[:, None] * np.sinh(TAUS)
        v, u = self.steepness * height / self.inner_std, self.distance / self.inner_std
        nearest = np.maximum(np.abs(self.panels.middle)[:, None] - self.radius, 0.0)
        with np.errstate(over="ignore", invalid="ignore"):
            largest = 1 + v * DENSITY * np.exp((v * v - u * u) / 2)
            largest *= DENSITY * np.exp((height * height - nearest * nearest) / 2)
            errors = self.panels.half[:, None] * largest * _RULE_ERRORS
        return np.where(self.analytic, errors, np.inf)[:, 1:].min(axis=1)

    def rounding(self, masses: np.ndarray) -> np.ndarray:
        """Bound what rounding of g may change: the density of Φ where |g| is least, or all of the mass."""
        nearest = self.distance[:, 0] / self.inner_std
        return masses * (
            4 * EPS + np.minimum(1.0, DENSITY * np.exp(-nearest * nearest / 2) * self.uncertainty / self.inner_std)
        )

    def integral(self, which: np.ndarray, sign: int) -> np.ndarray:
        """Return the integrals over some of the panels."""
        panels, (_, b) = self.panels.taken(which), self.law.outer_line
        x = panels.middle[:, None] + panels.half[:, None] * NODES
        column = panels.outer_piece[:, None], panels.inner_piece[:, None]
        _, shift, _ = self._shift(x, *column, self.target[which][:, None])
        gap = shift + (self.offset + (self.law.pair.slope_gap * b) * x)
        values = np.exp(-0.5 * x * x) * ndtr(gap * (sign / self.inner_std))
        return panels.half * DENSITY * (values @ WEIGHTS)
