"""The law of a sum of independent patch scores, from their characteristic functions.

A noise patch scores Y = φ(Z_1) − φ(Z_2) with (Z_1, Z_2) a Gaussian pair of correlation c. Given a common factor C, that is
Z_i = μ_i + σ_i (±√|c| C + √(1 − |c|) N_i), the two coordinates are independent, so

    ψ_Y(ω) = E[u_1(ω, C) ū_2(ω, C)],  u_i(ω, C) = E[e^{iω(φ(Z_i) − φ(μ_i))} | C]:

one-dimensional integrals of a Gaussian times a quadratic phase on each piece of φ, which Gauss–Legendre rules integrate with
a proven bound. The sum over patches is a product of ψ, and Davies' sum inverts it at the few values wanted.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from augscope.network import Network

REACH = 6.8  # standard deviations integrated over; a normal variable lies outside with probability 1.1e-11
OUTSIDE = 1.1e-11
CONCENTRATION = 2e-10  # 2 exp(−6.8²/2): a function of normals strays 6.8 Lipschitz constants from its mean
PANEL_TOLERANCE = 1e-12  # bound on the error of one panel of a rule
FACTOR_EXPONENT = 27.0  # −log of the relative error of the sum over the common factor
TRUNCATION = 4e-10  # bound on the discarded part of the sum over frequencies that stops it
FIRST_BLOCK, LAST_BLOCK = 48, 384  # frequencies evaluated at a time
RULE_STEP, PANEL_PHASE = 4, 150.0  # granularity of the rules; half the phase a panel may turn through
MOST_WORK = 1.5e8  # multiplications beyond which tables are faster (about 50 ms)

_DENSITY = 1 / np.sqrt(2 * np.pi)
_ELLIPSES = np.linspace(0.15, 4.0, 36)  # log ρ of the Bernstein ellipses tried
_WIDER, _TALLER = np.cosh(_ELLIPSES) - 1, np.sinh(_ELLIPSES)


@lru_cache(maxsize=256)
def _gauss_legendre(count: int) -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(count)


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

    def common_factor(self) -> tuple[np.ndarray, np.ndarray]:
        """Return nodes and weights of the trapezoidal sum over C, exact to e^{−27} relative to the joint density.

        As a function of C the joint density of (C, Z_1, Z_2) is a Gaussian of variance v = (1 − |c|)/(1 + |c|), and the sum
        with spacing h of a Gaussian is its integral times 1 ± 2 Σ_k exp(−2π² k² v/h²).
        """
        size = abs(self.correlation)
        spacing = np.pi * np.sqrt(2 * (1 - size) / ((1 + size) * FACTOR_EXPONENT))
        count = int(np.ceil(REACH / spacing))
        nodes = spacing * np.arange(-count, count + 1)
        return nodes, spacing * _DENSITY * np.exp(-nodes * nodes / 2)


@dataclass(frozen=True)
class Nodes:
    """Quadrature nodes of all coordinates, one after another.

    Attributes:
        z, weight, owner: (N,), owner = 2 × kind + filter, increasing.
        error: bound on the error of every characteristic function, for frequencies up to the one asked for.
    """

    z: np.ndarray
    weight: np.ndarray
    owner: np.ndarray
    error: float


def place_nodes(coordinates: Coordinates, frequency: float) -> Nodes:
    """Return Gauss–Legendre nodes for u_i(ω, C), |ω| ≤ frequency, on panels that end where φ bends.

    On a panel of half-length h the integrand is entire. On the Bernstein ellipse ρ = e^t it is at most the density's peak
    times exp(y²/2s² + ω y φ'), y = h sinh t, φ' the largest slope there, so a rule with n + 1 points errs by at most
    (64/15) h × that × ρ^{−2n}/(1 − ρ^{−2}) (Trefethen, Approximation Theory and Approximation Practice, theorem 19.3).
    """
    network, mean, std = coordinates.network, coordinates.mean.ravel(), coordinates.std.ravel()
    bends = np.array([-np.inf, 0.0, network.smoothing, np.inf])
    edges = np.clip(bends, (mean - REACH * std)[:, None], (mean + REACH * std)[:, None])
    turns = np.diff(network.activation(edges), axis=1) * (frequency / (2 * PANEL_PHASE))
    pieces = (np.ceil(turns) + (turns == 0)) * (np.diff(edges, axis=1) > 0)
    piece = np.repeat(np.arange(pieces.size), pieces.ravel().astype(int))
    place = np.arange(len(piece)) - np.searchsorted(piece, piece)
    half = (np.diff(edges, axis=1) / (2 * np.maximum(pieces, 1))).ravel()[piece]
    left = edges[:, :-1].ravel()[piece] + 2 * half * place
    owner, which = piece // 3, piece % 3

    height = half[:, None] * _TALLER
    furthest = (
        np.where(which == 2, network.smoothing, left + 2 * half)[:, None]
        + (which == 1)[:, None] * half[:, None] * _WIDER
    )
    slope = network.negative_slope + (1 - network.negative_slope) * np.maximum(furthest, 0.0) / network.smoothing
    narrow = coordinates.narrow.ravel()[owner, None]
    peak = 64 / 15 * _DENSITY * half[:, None] / (narrow * PANEL_TOLERANCE * -np.expm1(-2 * _ELLIPSES))
    needed = (np.log(peak) + (height / narrow) ** 2 / 2 + frequency * height * slope) / (2 * _ELLIPSES)
    counts = RULE_STEP * np.ceil((np.maximum(needed.min(axis=1), 1) + 1) / RULE_STEP).astype(int)
    rules = [_gauss_legendre(count) for count in counts.tolist()]
    nodes, weights = (np.concatenate(part) for part in zip(*rules, strict=True))
    spread = np.repeat(half, counts)
    error = PANEL_TOLERANCE * int(np.bincount(owner // 2).max()) + 2 * np.exp(-FACTOR_EXPONENT)
    error += np.finfo(float).eps * (4 + frequency * float(np.abs(np.diff(network.activation(edges))).sum(axis=1).max()))
    return Nodes(np.repeat(left + half, counts) + spread * nodes, spread * weights, np.repeat(owner, counts), error)


def mean_scores(coordinates: Coordinates, nodes: Nodes) -> np.ndarray:
    """Return E Y − [φ(μ_1) − φ(μ_2)] for every kind of patch: (kinds,)."""
    mean, std = coordinates.mean.ravel()[nodes.owner], coordinates.std.ravel()[nodes.owner]
    density = np.exp(-0.5 * ((nodes.z - mean) / std) ** 2) * (_DENSITY / std * nodes.weight)
    rises = (coordinates.network.activation(nodes.z) - coordinates.network.activation(mean)) * (
        1 - 2 * (nodes.owner % 2)
    )
    return np.bincount(nodes.owner // 2, density * rises)


def characteristic_functions(coordinates: Coordinates, nodes: Nodes, step: float, start: int, size: int) -> np.ndarray:
    """Return E e^{iω(Y − φ(μ_1) + φ(μ_2))} at ω = (j + ½) step, j = start … start + size − 1, by kind: (kinds, size)."""
    factor, factor_weight = coordinates.common_factor()
    owner, filters = nodes.owner, nodes.owner % 2
    mean, narrow = coordinates.mean.ravel()[owner], coordinates.narrow.ravel()[owner]
    share = np.sqrt(abs(coordinates.correlation) / (1 - abs(coordinates.correlation)))  # of C in units of `narrow`
    loading = np.where((filters == 1) & (coordinates.correlation < 0), -share, share)
    given = (nodes.z - mean) / narrow - factor[:, None] * loading
    density = np.exp(-0.5 * given * given) * (_DENSITY / narrow * nodes.weight)
    rises = (coordinates.network.activation(nodes.z) - coordinates.network.activation(mean)) * (1 - 2 * filters)
    waves = _waves(rises, step, start, size)
    ends = np.searchsorted(owner, np.arange(2 * len(coordinates.mean) + 1))
    parts = [
        (density[:, low:high] @ waves[low:high].view(float)).view(complex)  # a real product at half the cost
        for low, high in itertools.pairwise(ends)
    ]
    return np.stack(
        [np.einsum("c,cw,cw->w", factor_weight, a, b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    )


def _waves(values: np.ndarray, step: float, start: int, size: int) -> np.ndarray:
    """Return e^{i (j + ½) step × values}, (len(values), size), from 16 + size/16 exponentials a value."""
    coarse = np.exp(1j * step * np.outer(values, 16 * np.arange(size // 16)))
    fine = np.exp(1j * step * np.outer(values, start + np.arange(16) + 0.5))
    return (coarse[:, :, None] * fine[:, None, :]).reshape(len(values), size)


def sum_cdf(coordinates: Coordinates, count: int, thresholds: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Return P(D + B_1 + … + B_count ≤ t) for every law of D and every threshold, and a bound; None where tables are faster.

    P(S ≤ t) = ½ − Σ_{j≥0} Im[ψ_S(ω_j) e^{−iω_j t}] / (π (j + ½)), ω_j = (j + ½) step, but for P(|S − t| ≥ 2π/step)
    (Davies 1973). Proved: that part by concentration, the quadrature by `place_nodes`. An estimate: the part of the sum cut
    off at J, from |ψ_S(ω)| ≤ m (¾J step/ω)², m the largest |ψ_S| seen on [¾J, J] (for large ω, ψ_Y falls as ω^{−4}).

    Args:
        coordinates: kind 0 is B, the others are D's laws.
        count: P − 2 ≥ 1.
        thresholds: t, (T,).

    Returns:
        Probabilities, (laws, T), and the bound.
    """
    centers, lipschitz = coordinates.score_centers().sum(axis=1), coordinates.lipschitz()
    reach = REACH * float(np.sqrt(lipschitz[1:].max() ** 2 + count * lipschitz[0] ** 2))
    nodes = place_nodes(coordinates, 2 * np.pi * FIRST_BLOCK / reach)
    offsets = mean_scores(coordinates, nodes)
    shifts = (offsets[1:] + count * offsets[0])[:, None]
    at = thresholds - (centers[1:] + count * centers[0])[:, None]
    inside = np.abs(at - shifts) < reach
    step = 2 * np.pi / (reach + float(np.where(inside, np.abs(at - shifts), 0.0).max()))
    values, sizes, seen, work, size = np.full(at.shape, 0.5), np.zeros(0), 0.0, 0.0, FIRST_BLOCK
    at, start = np.where(inside, at, 0.0), 0
    while True:
        work += len(nodes.z) * size * len(coordinates.common_factor()[0])
        if work > MOST_WORK:
            return None
        psi = characteristic_functions(coordinates, nodes, step, start, size)
        psi = psi[1:] * psi[0] ** count
        orders = start + np.arange(size) + 0.5
        turns = np.exp(-1j * step * at[:, :, None] * orders)
        values = values - np.einsum("ltj,lj->lt", turns, psi / orders).imag / np.pi
        sizes, start, seen = np.concatenate([sizes, np.abs(psi).max(axis=0)]), start + size, max(seen, nodes.error)
        cut, size = _cut_off(sizes)
        if cut <= TRUNCATION:
            break
        nodes = place_nodes(coordinates, step * (start + size))
    patches = count + 1
    error = cut + CONCENTRATION + patches * (2 * OUTSIDE + seen * (np.log(4 * start) + 2) / np.pi)
    beyond = np.where(thresholds >= (centers[1:] + count * centers[0])[:, None] + shifts, 1.0, 0.0)
    return np.where(inside, np.clip(values, 0.0, 1.0), beyond), float(error)


def _cut_off(sizes: np.ndarray) -> tuple[float, int]:
    """Return the bound on the discarded frequencies, and how many more should bring it to TRUNCATION (a multiple of 16)."""
    seen = len(sizes)
    late, early = (float(sizes[int(low * seen) : int(high * seen)].max()) for low, high in ((0.75, 1), (0.5, 0.75)))
    cut = late * 0.75**2 / (2 * np.pi)
    rate = max(np.log(early / late) / np.log(4 / 3), 1.0) if 0 < late < early else 1.0
    wanted = seen * ((max(cut, TRUNCATION) / TRUNCATION) ** (1 / rate) - 1)
    return cut, int(np.clip(16 * np.ceil(wanted / 16), 16, min(LAST_BLOCK, seen)))
