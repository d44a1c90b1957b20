"""Quadrature nodes for the characteristic functions of patch scores, placed by proven error bounds.

A noise patch scores Y = φ(Z_1) − φ(Z_2) with (Z_1, Z_2) a Gaussian pair of correlation c. Given a common factor C, that is
Z_i = μ_i + σ_i (±√|c| C + √(1 − |c|) N_i), the two coordinates are independent, so

    ψ_Y(ω) = E[u_1(ω, C) ū_2(ω, C)],  u_i(ω, C) = E[e^{iω(φ(Z_i) − φ(μ_i))} | C]:

one-dimensional integrals of a Gaussian times a quadratic phase on each piece of φ, which Gauss–Legendre rules integrate with
a proven bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, roots_legendre

from augscope.accuracy.gaussian import DENSITY, REACH
from augscope.accuracy.law import ScoreLaw
from augscope.model.network import Network

SHARPEST, BLUNTEST = 2e-11, 1e-7  # bounds on the error of one panel, by how much it matters
RULE_STEP, PANEL_PHASE = 4, 150.0  # granularity of the rules; half the phase a panel may turn through
BEND, ABOVE = 1, 2  # pieces of φ: between 0 and r, above r

_ELLIPSES = np.linspace(0.15, 4.0, 36)  # log ρ of the Bernstein ellipses tried


@lru_cache(maxsize=256)
def _gauss_legendre(count: int) -> tuple[np.ndarray, np.ndarray]:
    return roots_legendre(count)  # above 64 points several times faster than NumPy's


@dataclass(frozen=True)
class Coordinates:
    """The Gaussian coordinates ⟨w_i, x⟩ of every kind of noise patch, both filters of a kind side by side."""

    mean: np.ndarray  # (kinds, 2)
    std: np.ndarray  # (kinds, 2)
    correlation: float  # between the two filters; the same for every kind, and not ±1
    network: Network

    @staticmethod
    def of(laws: Sequence[ScoreLaw], network: Network) -> Coordinates:
        """Return the coordinates of these kinds of patches, whose pair is the same, with no filter zero."""
        gram = laws[0].pair.gram
        first, second = np.sqrt(np.diag(gram))
        stds = np.array([law.std for law in laws])[:, None] * [first, second]
        return Coordinates(np.array([law.mean for law in laws]), stds, float(gram[0, 1] / (first * second)), network)

    @property
    def narrow(self) -> np.ndarray:
        """Standard deviations given the common factor."""
        return self.std * np.sqrt(1 - abs(self.correlation))

    def centers(self) -> np.ndarray:
        """Return φ(μ_1) − φ(μ_2) for every kind of patch: (kinds,)."""
        return (self.network.activation(self.mean) * [1.0, -1.0]).sum(axis=1)

    def lipschitz(self) -> np.ndarray:
        """A Lipschitz constant of every kind's score in standard normals: (kinds,).

        Slopes are taken within REACH of the means; beyond, φ may be continued by straight lines at the cost of OUTSIDE.
        """
        ends = [self.network.activation_slope(self.mean + side * REACH * self.std) * self.std for side in (-1, 1)]
        pairs = [(first[:, 0], second[:, 1]) for first in ends for second in ends]
        return np.sqrt(np.max([a * a - 2 * self.correlation * a * b + b * b for a, b in pairs], axis=0))

    def common_factor(self, tolerance: float) -> tuple[float, int]:
        """Return the spacing h and number of nodes (odd, centred at 0) of a trapezoidal sum over C.

        As a function of C the joint density of (C, Z_1, Z_2) is a Gaussian of variance v = (1 − |c|)/(1 + |c|), and its sum
        with spacing h is its integral times 1 ± 2 Σ_k exp(−2π² k² v/h²): a relative error of 3 × tolerance.
        """
        size = abs(self.correlation)
        spacing = np.pi * np.sqrt(2 * (1 - size) / ((1 + size) * -np.log(tolerance)))
        return spacing, 2 * int(np.ceil(REACH / spacing)) + 1


@dataclass(frozen=True)
class Nodes:
    """Quadrature nodes of all coordinates, one after another."""

    z: np.ndarray
    weight: np.ndarray
    owner: np.ndarray  # 2 × kind + filter, increasing
    tolerance: float  # bound on the error of one panel, and of the sum over the common factor
    error: float  # bound on the error of every characteristic function between the lowest and highest frequency


def place_nodes(coordinates: Coordinates, lowest: float, highest: float, tolerance: float = SHARPEST) -> Nodes:
    """Return Gauss–Legendre nodes for u_i(ω, C), lowest ≤ ω ≤ highest, on panels that end where φ bends.

    At high frequencies what lies far above the bend at r cancels, and a smooth cutoff Φ((q w + r − z)/w) leaves it out: with
    s the coordinate's standard deviation given C, that changes u_i by at most 2Φ(−q) + exp(−ω² s² w²/(2 (s² + w²))).
    """
    network, mean, reach = coordinates.network, coordinates.mean.ravel(), REACH * coordinates.std.ravel()
    edges = np.clip([-np.inf, 0.0, network.smoothing, np.inf], (mean - reach)[:, None], (mean + reach)[:, None])
    peak, q = 1 / coordinates.narrow.ravel(), np.sqrt(-2 * np.log(tolerance))
    width = q / np.sqrt(np.maximum(lowest**2 - (q * peak) ** 2, 1e-300))  # w
    cut = edges[:, 2] + 2 * q * width < edges[:, 3]
    width, middle = np.where(cut, width, np.inf), np.where(cut, edges[:, 2] + q * width, 0.0)
    edges[cut, 3] = (middle + q * width)[cut]

    values = network.activation(edges)
    panels = _Panels.between(edges, (values[:, 1:] - values[:, :-1]) * (highest / (2 * PANEL_PHASE)))
    above, peaks = panels.piece == ABOVE, peak[panels.owner]
    sharpness = np.where(above, np.hypot(peak, 1 / width)[panels.owner], peaks)
    counts = panels.rule_sizes(network, highest, peaks, sharpness, tolerance)
    nodes, weights = (np.concatenate(part) for part in zip(*map(_gauss_legendre, counts.tolist()), strict=True))
    z = np.repeat(panels.left + panels.half, counts) + np.repeat(panels.half, counts) * nodes
    weight, owner = np.repeat(panels.half, counts) * weights, np.repeat(panels.owner, counts)
    faded = np.flatnonzero(np.repeat(above & cut[panels.owner], counts))
    weight[faded] *= ndtr((middle[owner[faded]] - z[faded]) / width[owner[faded]])

    phase = highest * float(np.abs(values - network.activation(mean)[:, None]).max())
    error = tolerance * (3 + 4 * bool(cut.any()) + int(np.bincount(panels.owner // 2).max()))
    return Nodes(z, weight, owner, tolerance, error + np.finfo(float).eps * 4 * (8 + phase))


class _Panels(NamedTuple):
    """Intervals in which φ does not bend."""

    left: np.ndarray
    half: np.ndarray  # half their length
    owner: np.ndarray  # 2 × kind + filter
    piece: np.ndarray  # of φ: 0 below 0, BEND, ABOVE

    @staticmethod
    def between(edges: np.ndarray, turns: np.ndarray) -> _Panels:
        """Split the pieces between edges, (coordinates, 4), into as many panels as `turns` says, (coordinates, 3)."""
        lengths = edges[:, 1:] - edges[:, :-1]
        counts = np.maximum(np.ceil(turns), 1).astype(int) * (lengths > 0)
        which = np.repeat(np.arange(counts.size), counts.ravel())
        half = (lengths / (2 * np.maximum(counts, 1))).ravel()[which]
        left = edges[:, :-1].ravel()[which] + 2 * half * (np.arange(len(which)) - np.searchsorted(which, which))
        return _Panels(left, half, which // 3, which % 3)

    def rule_sizes(
        self, network: Network, frequency: float, peak: np.ndarray, sharpness: np.ndarray, tolerance: float
    ) -> np.ndarray:
        """Return how many Gauss–Legendre points bound the error of every panel by the tolerance, for |ω| ≤ frequency.

        On a panel of half-length h the integrand is entire. On the Bernstein ellipse ρ = e^t it is at most its density's
        peak (1/s) times exp(y²/2s² + ω y φ'), y = h sinh t, φ' the largest slope there (a cutoff of width w adds y²/2w²:
        `sharpness` is √(1/s² + 1/w²)), so a rule with n + 1 points errs by at most (64/15) h × that × ρ^{−2n}/(1 − ρ^{−2})
        (Trefethen, Approximation Theory and Approximation Practice, theorem 19.3).
        """
        height, wider = self.half[:, None] * np.sinh(_ELLIPSES), self.half[:, None] * (np.cosh(_ELLIPSES) - 1)
        right = np.where(self.piece == ABOVE, network.smoothing, self.left + 2 * self.half)
        furthest = np.maximum(right[:, None] + (self.piece == BEND)[:, None] * wider, 0.0)
        slope = network.negative_slope + (1 - network.negative_slope) * furthest / network.smoothing
        scale = np.log(64 / 15 * DENSITY / tolerance * (self.half * peak))[:, None] - np.log(-np.expm1(-2 * _ELLIPSES))
        needed = (scale + (height * sharpness[:, None]) ** 2 / 2 + frequency * height * slope) / (2 * _ELLIPSES)
        return RULE_STEP * np.ceil((np.maximum(needed.min(axis=1), 1) + 1) / RULE_STEP).astype(int)


def mean_scores(coordinates: Coordinates, nodes: Nodes) -> np.ndarray:
    """Return E Y − [φ(μ_1) − φ(μ_2)] for every kind of patch: (kinds,)."""
    mean, std = coordinates.mean.ravel()[nodes.owner], coordinates.std.ravel()[nodes.owner]
    density = np.exp(-0.5 * ((nodes.z - mean) / std) ** 2) * (DENSITY / std * nodes.weight)
    rises = coordinates.network.activation(nodes.z) - coordinates.network.activation(mean)
    return np.bincount(nodes.owner // 2, density * rises * (1 - 2 * (nodes.owner % 2)))
