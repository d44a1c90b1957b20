"""Quadrature nodes for the characteristic functions of patch scores, placed by proved error bounds.

A noise patch scores Y = φ(Z_1) − φ(Z_2) with (Z_1, Z_2) a Gaussian pair of correlation c. Given a common factor C, that is
Z_i = μ_i + σ_i (±√|c| C + √(1 − |c|) N_i), the two coordinates are independent, so

    ψ_Y(ω) = E[u_1(ω, C) ū_2(ω, C)],  u_i(ω, C) = E[e^{iωφ(Z_i)} | C]:

one-dimensional integrals of a Gaussian times a quadratic phase on each piece of φ, which Gauss–Legendre rules integrate with
a proved bound. One set of nodes serves both coordinates of all kinds of patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
from scipy.special import ndtr, roots_legendre

from augscope.accuracy.gaussian import DENSITY, EPS
from augscope.accuracy.patch import PatchLaw
from augscope.model.network import Network

REACH = 6.8  # standard deviations integrated over
OUTSIDE = 1.1e-11  # probability that a normal variable lies beyond them
RULE_STEP, PANEL_PHASE = 4, 150.0  # granularity of the rules; half the phase a panel may turn through
PANEL_WIDTHS = 64.0  # of the narrowest coordinate, that a panel may be long: its rule has some 170 points, up to 300 with PANEL_PHASE
RULE_ROUNDING = 2e-12  # SciPy's nodes and weights beside extended precision: 6e-13 for such a density by 300 points, 1.6e-12 by 344 (1e-9 by 16,000)
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
    correlation: float  # c, between the two filters; the same for every kind, and not ±1
    share: float  # 1 − |c|
    network: Network

    @classmethod
    def of(cls, laws: Sequence[PatchLaw]) -> Self:
        """Return the coordinates of these kinds of patches, whose pair is the same."""
        pair = laws[0].pair
        stds = np.array([law.std for law in laws])[:, None] * pair.stds
        means = np.array([law.mean for law in laws])
        return cls(means, stds, pair.correlation, pair.conditional_share, laws[0].network)

    @property
    def narrow(self) -> np.ndarray:
        """Standard deviations given the common factor."""
        return self.std * np.sqrt(self.share)

    @property
    def range(self) -> tuple[float, float]:
        """Within which the coordinates lie, but for OUTSIDE."""
        reach = REACH * self.std
        return float((self.mean - reach).min()), float((self.mean + reach).max())

    def loading(self) -> np.ndarray:
        """What the common factor is multiplied by in every coordinate: (kinds, 2)."""
        return self.std * np.sqrt(abs(self.correlation)) * [1.0, -1.0 if self.correlation < 0 else 1.0]

    def mean_scores(self) -> np.ndarray:
        """Return E Y for every kind of patch: (kinds,).

        φ(z) = βz + (1 − β) (z₊² − (z − r)₊²)/(2r), and E(Z − a)₊² = ((μ − a)² + σ²) Φ((μ − a)/σ) + (μ − a) σ n((μ − a)/σ).
        """
        beta, r = self.network.negative_slope, self.network.smoothing

        def square_above(level: float) -> np.ndarray:
            gap = self.mean - level
            x = gap / np.maximum(self.std, 1e-300)
            return (gap**2 + self.std**2) * ndtr(x) + gap * self.std * DENSITY * np.exp(-x * x / 2)

        means = beta * self.mean + (1 - beta) / (2 * r) * (square_above(0.0) - square_above(r))
        return means[:, 0] - means[:, 1]

    def lipschitz(self) -> np.ndarray:
        """A Lipschitz constant of every kind's score in standard normals: (kinds,).

        Slopes are taken within REACH of the means; beyond, φ may be continued by straight lines at the cost of OUTSIDE.
        """
        ends = [self.network.activation_slope(self.mean + side * REACH * self.std) * self.std for side in (-1, 1)]
        pairs = [(first[:, 0], second[:, 1]) for first in ends for second in ends]
        return np.sqrt(np.max([a * a - 2 * self.correlation * a * b + b * b for a, b in pairs], axis=0))

    def chord_slopes(self) -> np.ndarray:
        """Return the slopes of φ's chords from 0 to REACH above the means, β where that is below 0: (kinds, 2)."""
        ends = self.mean + REACH * self.std
        chords = self.network.activation(ends) / np.where(ends > 0, ends, 1.0)
        return np.where(ends > 0, chords, self.network.negative_slope)

    def size(self, frequency: float, tolerance: float) -> float:
        """Estimate how many densities the quadrature will hold at a frequency."""
        low, high = self.range
        steepest = self.network.activation_slope(np.array([high]))[0]
        nodes = (
            3 * (high - low) / float(self.narrow.min()) + frequency * min(high - low, self.network.smoothing) * steepest
        )
        spacing = np.pi * np.sqrt(2 * self.share / ((2 - self.share) * -np.log(tolerance)))
        return nodes * self.mean.size * 2 * REACH / spacing

    def common_factor(self, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
        """Return values of C and their weights, evenly spaced about 0, that stand for its law.

        As a function of C the joint density of (C, Z_1, Z_2) is a Gaussian of variance v = (1 − |c|)/(1 + |c|), and its sum
        with spacing h is its integral times 1 ± 2 Σ_k exp(−2π² k² v/h²): a relative error of 3 × tolerance. Values beyond
        √(−2 log tolerance), of less than that probability, are left out.
        """
        spacing = np.pi * np.sqrt(2 * self.share / ((2 - self.share) * -np.log(tolerance)))
        half = int(np.ceil(min(REACH, np.sqrt(-2 * np.log(tolerance))) / spacing))
        factor = spacing * np.arange(-half, half + 1)
        return factor, spacing * DENSITY * np.exp(-factor * factor / 2)


@dataclass(frozen=True)
class Nodes:
    """Quadrature nodes in z, increasing."""

    z: np.ndarray
    weight: np.ndarray
    tolerance: float  # bound on the error of one panel, and of the sum over the common factor
    error: float  # bound on the error of every characteristic function between the lowest and highest frequency


def place_nodes(coordinates: Coordinates, lowest: float, highest: float, tolerance: float) -> Nodes:
    """Return Gauss–Legendre nodes for u_i(ω, C), lowest ≤ ω ≤ highest, on panels that end where φ bends.

    At high frequencies what lies far above the bend at r cancels, and a smooth cutoff Φ((q w + r − z)/w) leaves it out: with
    s the coordinate's standard deviation given C, that changes u_i by at most 2Φ(−q) + exp(−ω² s² w²/(2 (s² + w²))).
    """
    network, (low, high) = coordinates.network, coordinates.range
    peak, q = 1 / float(coordinates.narrow.min()), np.sqrt(-2 * np.log(tolerance))
    width, end = np.inf, max(network.smoothing, low)  # w, and where the piece above r begins
    if lowest > q * peak:
        width = q / np.sqrt(lowest**2 - (q * peak) ** 2)
    cut = end + 2 * q * width < high
    if cut:
        high = end + 2 * q * width
    edges = np.clip([-np.inf, 0.0, network.smoothing, np.inf], low, high)
    values = network.activation(edges)

    lengths = np.diff(edges)
    turns = np.maximum(np.ceil(np.diff(values) * (highest / (2 * PANEL_PHASE))), 1.0)
    panels = np.where(lengths > 0, np.maximum(turns, np.ceil(lengths * (peak / PANEL_WIDTHS))), 0).astype(int)
    piece = np.repeat(np.arange(3), panels)
    half = (lengths / (2 * np.maximum(panels, 1)))[piece]
    place = np.concatenate([np.arange(count) for count in panels])
    left = edges[piece] + 2 * half * place
    sharpness = np.where(piece == ABOVE, np.hypot(peak, 1 / width if cut else 0.0), peak)
    shared = (turns / np.maximum(panels, 1))[piece]  # panels that only the width asks for share the error of one
    counts = _rule_sizes(network, highest, (left, half, piece), (peak, sharpness), tolerance * shared)
    nodes, weights = (np.concatenate(part) for part in zip(*map(_gauss_legendre, counts.tolist()), strict=True))
    z = np.repeat(left + half, counts) + np.repeat(half, counts) * nodes
    weight = np.repeat(half, counts) * weights
    if cut:
        weight *= np.where(np.repeat(piece, counts) == ABOVE, ndtr((end + q * width - z) / width), 1.0)
    error = tolerance * (4 + 4 * cut + 2 * float(shared.sum()))
    error += 2 * RULE_ROUNDING + EPS * 4 * (8 + highest * float(values[-1] - values[0]))
    return Nodes(z, weight, tolerance, error)


def _rule_sizes(
    network: Network,
    frequency: float,
    panels: tuple[np.ndarray, np.ndarray, np.ndarray],
    sharpness: tuple[float, np.ndarray],
    tolerance: np.ndarray,
) -> np.ndarray:
    """Return how many Gauss–Legendre points bound the error of every panel by its tolerance, for |ω| ≤ frequency.

    On a panel of half-length h the integrand is entire. On the Bernstein ellipse ρ = e^t it is at most its density's
    peak (1/s) times exp(y²/2s² + ω y φ'), y = h sinh t, φ' the largest slope there (a cutoff of width w adds y²/2w²), so a rule
    with n + 1 points errs by at most (64/15) h × that × ρ^{−2n}/(1 − ρ^{−2}) (Trefethen, Approximation Theory and Approximation
    Practice, theorem 19.3).

    Args:
        panels: their left ends, half their lengths, and pieces of φ.
        sharpness: 1/s, and √(1/s² + 1/w²) on every panel.
    """
    (left, half, piece), (peak, sharp) = panels, sharpness
    height, wider = half[:, None] * np.sinh(_ELLIPSES), half[:, None] * (np.cosh(_ELLIPSES) - 1)
    right = np.where(piece == ABOVE, network.smoothing, left + 2 * half)
    furthest = np.maximum(right[:, None] + (piece == BEND)[:, None] * wider, 0.0)
    slope = network.negative_slope + (1 - network.negative_slope) * furthest / network.smoothing
    scale = np.log(64 / 15 * DENSITY / tolerance * (half * peak))[:, None] - np.log(-np.expm1(-2 * _ELLIPSES))
    needed = (scale + (height * sharp[:, None]) ** 2 / 2 + frequency * height * slope) / (2 * _ELLIPSES)
    return RULE_STEP * np.ceil((np.maximum(needed.min(axis=1), 1) + 1) / RULE_STEP).astype(int)
