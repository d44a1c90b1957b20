"""Quadrature nodes for the characteristic functions of patch scores, placed by proven error bounds.

A noise patch scores Y = φ(Z_1) − φ(Z_2) with (Z_1, Z_2) a Gaussian pair of correlation c. Given a common factor C, that is
Z_i = μ_i + σ_i (±√|c| C + √(1 − |c|) N_i), the two coordinates are independent, so

    ψ_Y(ω) = E[u_1(ω, C) ū_2(ω, C)],  u_i(ω, C) = E[e^{iω(φ(Z_i) − φ(μ_i))} | C]:

one-dimensional integrals of a Gaussian times a quadratic phase on each piece of φ, which Gauss–Legendre rules integrate with
a proven bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtr, roots_legendre

from augscope.model.network import Network

REACH = 6.8  # standard deviations integrated over; a normal variable lies outside with probability 1.1e-11
SHARPEST, BLUNTEST = 2e-11, 1e-7  # bounds on the error of one panel, by how much it matters
RULE_STEP, PANEL_PHASE = 4, 150.0  # granularity of the rules; half the phase a panel may turn through

DENSITY = 1 / np.sqrt(2 * np.pi)
_ELLIPSES = np.linspace(0.15, 4.0, 36)  # log ρ of the Bernstein ellipses tried


@lru_cache(maxsize=256)
def _gauss_legendre(count: int) -> tuple[np.ndarray, np.ndarray]:
    return roots_legendre(count)  # above 64 points several times faster than NumPy's


@dataclass(frozen=True)
class Coordinates:
    """The Gaussian coordinates ⟨w_i, x⟩ of every kind of noise patch, both filters of a kind side by side.

    Attributes:
        mean, std: (kinds, 2), by kind of patch and filter.
        correlation: between the two filters; the same for every kind, and not ±1.
    """

    mean: np.ndarray
    std: np.ndarray
    correlation: float
    network: Network

    @property
    def narrow(self) -> np.ndarray:
        """Standard deviations given the common factor."""
        return self.std * np.sqrt(1 - abs(self.correlation))

    def score_centers(self) -> np.ndarray:
        """φ at the means, with the sign it has in the score: (kinds, 2)."""
        return self.network.activation(self.mean) * [1.0, -1.0]

    def lipschitz(self) -> np.ndarray:
        """A Lipschitz constant of every kind's score in standard normals: (kinds,).

        Slopes are taken within REACH of the means; beyond, φ may be continued by straight lines at the cost of OUTSIDE.
        """
        first, second = (
            [(self.network.activation_slope(self.mean + side * REACH * self.std) * self.std)[:, i] for side in (-1, 1)]
            for i in (0, 1)
        )
        pairs = [(a, b) for a in first for b in second]
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
    """Quadrature nodes of all coordinates, one after another.

    Attributes:
        z, weight, owner: (N,), owner = 2 × kind + filter, increasing.
        tolerance: bound on the error of one panel, and of the sum over the common factor.
        error: bound on the error of every characteristic function at the frequencies asked for.
    """

    z: np.ndarray
    weight: np.ndarray
    owner: np.ndarray
    tolerance: float
    error: float


def place_nodes(coordinates: Coordinates, lowest: float, highest: float, tolerance: float = SHARPEST) -> Nodes:
    """Return Gauss–Legendre nodes for u_i(ω, C), lowest ≤ ω ≤ highest, on panels that end where φ bends.

    At high frequencies what lies far above the bend at r cancels, and a smooth cutoff Φ((q w + r − z)/w) leaves it out: with
    s the coordinate's standard deviation given C, that changes u_i by at most 2Φ(−q) + exp(−ω² s² w²/(2 (s² + w²))).
    """
    network, mean, std = coordinates.network, coordinates.mean.ravel(), coordinates.std.ravel()
    narrow = coordinates.narrow.ravel()
    bends = np.array([-np.inf, 0.0, network.smoothing, np.inf])
    edges = np.clip(bends, (mean - REACH * std)[:, None], (mean + REACH * std)[:, None])
    q = np.sqrt(-2 * np.log(tolerance))
    cutoff = q / np.sqrt(np.maximum(lowest**2 - (q / narrow) ** 2, 1e-300))  # w
    cut = edges[:, 2] + 2 * q * cutoff < edges[:, 3]
    cutoff, middle = np.where(cut, cutoff, np.inf), np.where(cut, edges[:, 2] + q * cutoff, 0.0)
    edges[cut, 3] = (middle + q * cutoff)[cut]

    values, lengths = network.activation(edges), edges[:, 1:] - edges[:, :-1]
    turns = (values[:, 1:] - values[:, :-1]) * (highest / (2 * PANEL_PHASE))
    pieces = np.maximum(np.ceil(turns), 1).astype(int) * (lengths > 0)
    piece = np.repeat(np.arange(pieces.size), pieces.ravel())
    owner, which = piece // 3, piece % 3
    half = (lengths / (2 * np.maximum(pieces, 1))).ravel()[piece]
    left = edges[:, :-1].ravel()[piece] + 2 * half * (np.arange(len(piece)) - np.searchsorted(piece, piece))
    sharpness = np.where(which == 2, np.hypot(1 / narrow, 1 / cutoff)[owner], 1 / narrow[owner])
    counts = _rule_sizes(network, left, half, which, sharpness, 1 / narrow[owner], highest, tolerance)

    nodes, weights = (np.concatenate(part) for part in zip(*map(_gauss_legendre, counts.tolist()), strict=True))
    z = np.repeat(left + half, counts) + np.repeat(half, counts) * nodes
    weight, ends = np.repeat(half, counts) * weights, np.repeat(owner, counts)
    where = np.flatnonzero(np.repeat((which == 2) & cut[owner], counts))
    weight[where] *= ndtr((middle[ends[where]] - z[where]) / cutoff[ends[where]])
    phase = highest * float(np.abs(values - network.activation(mean)[:, None]).max())
    error = tolerance * (3 + 4 * bool(cut.any()) + int(np.bincount(owner // 2).max()))
    return Nodes(z, weight, ends, tolerance, error + np.finfo(float).eps * 4 * (8 + phase))


def _rule_sizes(
    network: Network,
    left: np.ndarray,
    half: np.ndarray,
    which: np.ndarray,
    sharpness: np.ndarray,
    peak: np.ndarray,
    frequency: float,
    tolerance: float,
) -> np.ndarray:
    """Return how many Gauss–Legendre points bound the error of every panel by the tolerance, for |ω| ≤ frequency.

    On a panel of half-length h the integrand is entire. On the Bernstein ellipse ρ = e^t it is at most its density's peak
    times exp(y²/2s² + ω y φ'), y = h sinh t, φ' the largest slope there (a cutoff of width w adds y²/2w²), so a rule with
    n + 1 points errs by at most (64/15) h × that × ρ^{−2n}/(1 − ρ^{−2}) (Trefethen, Approximation Theory and Approximation
    Practice, theorem 19.3).
    """
    height, wider = half[:, None] * np.sinh(_ELLIPSES), half[:, None] * (np.cosh(_ELLIPSES) - 1)
    furthest = np.where(which == 2, network.smoothing, left + 2 * half)[:, None] + (which == 1)[:, None] * wider
    slope = network.negative_slope + (1 - network.negative_slope) * np.maximum(furthest, 0.0) / network.smoothing
    scale = np.log(64 / 15 * DENSITY / tolerance * (half * peak))[:, None] - np.log(-np.expm1(-2 * _ELLIPSES))
    needed = (scale + (height * sharpness[:, None]) ** 2 / 2 + frequency * height * slope) / (2 * _ELLIPSES)
    return RULE_STEP * np.ceil((np.maximum(needed.min(axis=1), 1) + 1) / RULE_STEP).astype(int)


def mean_scores(coordinates: Coordinates, nodes: Nodes) -> np.ndarray:
    """Return E Y − [φ(μ_1) − φ(μ_2)] for every kind of patch: (kinds,)."""
    mean, std = coordinates.mean.ravel()[nodes.owner], coordinates.std.ravel()[nodes.owner]
    density = np.exp(-0.5 * ((nodes.z - mean) / std) ** 2) * (DENSITY / std * nodes.weight)
    rises = (coordinates.network.activation(nodes.z) - coordinates.network.activation(mean)) * (
        1 - 2 * (nodes.owner % 2)
    )
    return np.bincount(nodes.owner // 2, density * rises)
