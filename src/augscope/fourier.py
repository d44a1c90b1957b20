"""The law of a sum of independent patch scores, from their characteristic functions.

A noise patch scores Y = φ(Z_1) − φ(Z_2) with (Z_1, Z_2) a Gaussian pair of correlation c. Given a common factor C, that is
Z_i = μ_i + σ_i (±√|c| C + √(1 − |c|) N_i), the two coordinates are independent, so

    ψ_Y(ω) = E[u_1(ω, C) ū_2(ω, C)],  u_i(ω, C) = E[e^{iω(φ(Z_i) − φ(μ_i))} | C]:

one-dimensional integrals of a Gaussian times a quadratic phase on each piece of φ, which Gauss–Legendre rules integrate with
a proven bound. The sum over patches is a product of ψ, and Davies' sum inverts it at the few values wanted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy.special import ndtr, roots_legendre

from augscope.network import Network

REACH = 6.8  # standard deviations integrated over; a normal variable lies outside with probability 1.1e-11
OUTSIDE = 1.1e-11
CONCENTRATION = 2e-10  # 2 exp(−6.8²/2): a function of normals strays 6.8 Lipschitz constants from its mean
SHARPEST, BLUNTEST = 1e-12, 1e-7  # bounds on the error of one panel, by how much it matters
TRUNCATION = 2e-9  # bound on the discarded part of the sum over frequencies that stops it
FIRST_BLOCK, LAST_BLOCK = 72, 384  # frequencies evaluated with one set of nodes
WAVES_AT_ONCE = 16  # frequencies evaluated at a time
RULE_STEP, PANEL_PHASE = 4, 150.0  # granularity of the rules; half the phase a panel may turn through
LARGEST_LOADING = 2.5  # of the common factor, in conditional standard deviations: |c| = 0.86
MOST_WORK = 1.5e8  # multiplications beyond which tables are faster (about 50 ms)

_DENSITY = 1 / np.sqrt(2 * np.pi)
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

    turns = np.diff(network.activation(edges), axis=1) * (highest / (2 * PANEL_PHASE))
    pieces = np.maximum(np.ceil(turns), 1).astype(int) * (np.diff(edges, axis=1) > 0)
    piece = np.repeat(np.arange(pieces.size), pieces.ravel())
    owner, which = piece // 3, piece % 3
    half = (np.diff(edges, axis=1) / (2 * np.maximum(pieces, 1))).ravel()[piece]
    left = edges[:, :-1].ravel()[piece] + 2 * half * (np.arange(len(piece)) - np.searchsorted(piece, piece))
    sharpness = np.where(which == 2, np.hypot(1 / narrow, 1 / cutoff)[owner], 1 / narrow[owner])
    counts = _rule_sizes(network, left, half, which, sharpness, 1 / narrow[owner], highest, tolerance)

    nodes, weights = (np.concatenate(part) for part in zip(*map(_gauss_legendre, counts.tolist()), strict=True))
    z = np.repeat(left + half, counts) + np.repeat(half, counts) * nodes
    weight, ends = np.repeat(half, counts) * weights, np.repeat(owner, counts)
    where = np.flatnonzero(np.repeat((which == 2) & cut[owner], counts))
    weight[where] *= ndtr((middle[ends[where]] - z[where]) / cutoff[ends[where]])
    phase = highest * float(np.abs(network.activation(edges) - network.activation(mean)[:, None]).max())
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
    scale = np.log(64 / 15 * _DENSITY / tolerance * (half * peak))[:, None] - np.log(-np.expm1(-2 * _ELLIPSES))
    needed = (scale + (height * sharpness[:, None]) ** 2 / 2 + frequency * height * slope) / (2 * _ELLIPSES)
    return RULE_STEP * np.ceil((np.maximum(needed.min(axis=1), 1) + 1) / RULE_STEP).astype(int)


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
    spacing, count = coordinates.common_factor(nodes.tolerance)
    owner, filters, network = nodes.owner, nodes.owner % 2, coordinates.network
    mean, narrow = coordinates.mean.ravel()[owner], coordinates.narrow.ravel()[owner]
    share = np.sqrt(abs(coordinates.correlation) / (1 - abs(coordinates.correlation)))  # of C, in units of `narrow`
    loading = np.where((filters == 1) & (coordinates.correlation < 0), -share, share)
    factor = spacing * (np.arange(count) - count // 2)
    density = _density_given(factor, (nodes.z - mean) / narrow, loading, _DENSITY / narrow * nodes.weight)
    factor_weight = spacing * _DENSITY * np.exp(-factor * factor / 2)
    rises = step * (network.activation(nodes.z) - network.activation(mean)) * (1 - 2 * filters)
    ends = list(pairwise(np.searchsorted(owner, np.arange(2 * len(coordinates.mean) + 1))))
    # Few frequencies at a time, turned on in place: the arrays stay in cache, and asking for new ones would cost more.
    at_once = min(size, WAVES_AT_ONCE)
    waves, turn = _waves(rises, start + 0.5, at_once), _unit(at_once * rises)[:, None]
    psi = np.empty((len(coordinates.mean), -(-size // at_once), at_once), complex)
    for block in range(psi.shape[1]):
        if block:
            np.multiply(waves, turn, out=waves)
        # Products of real matrices, at half the cost of complex ones.
        parts = [(density[low:high].T @ waves[low:high].view(float)).view(complex) for low, high in ends]
        psi[:, block] = [factor_weight @ (a * b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return psi.reshape(len(psi), -1)[:, :size]


def _density_given(factor: np.ndarray, x: np.ndarray, loading: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return scale × e^{−(x − loading × c)²/2} for every c of the evenly spaced factor: (len(x), len(factor))."""
    if loading.max() > LARGEST_LOADING:  # the factors below would overflow
        return np.exp(-0.5 * (x[:, None] - loading[:, None] * factor) ** 2) * scale[:, None]
    # Geometric in c, but for e^{−loading² c²/2}, in which loading² is the same everywhere.
    first = scale * np.exp(-x * (x / 2 + loading * factor[-1]))
    series = _geometric((factor[1] - factor[0]) * loading * x, first, len(factor))
    return series * np.exp(-0.5 * (loading[0] * factor) ** 2)


def _geometric(exponent: np.ndarray, first: np.ndarray, count: int) -> np.ndarray:
    """Return first × e^{k × exponent}, k = 0 … count − 1: (len(first), count)."""
    rows = np.empty((count, len(first)))
    rows[0] = first
    for done, more in _doublings(count):
        np.multiply(rows[:more], np.exp(done * exponent), out=rows[done : done + more])
    return np.ascontiguousarray(rows.T)


def _waves(angles: np.ndarray, first: float, count: int) -> np.ndarray:
    """Return e^{i (first + k) × angles}, k = 0 … count − 1: (len(angles), count)."""
    rows = np.empty((count, len(angles)), complex)
    rows[0] = _unit(first * angles)
    for done, more in _doublings(count):
        np.multiply(rows[:more], _unit(done * angles), out=rows[done : done + more])
    return np.ascontiguousarray(rows.T)


def _unit(angles: np.ndarray) -> np.ndarray:
    """Return e^{i × angles}; NumPy's real functions take a fraction of its complex exponential's time."""
    numbers = np.empty(angles.shape, complex)
    numbers.real, numbers.imag = np.cos(angles), np.sin(angles)
    return numbers


def _doublings(count: int) -> Iterator[tuple[int, int]]:
    """Yield (terms done, terms that follow from as many of them) until `count` are done. Whole rows: NumPy's loops are long."""
    done = 1
    while done < count:
        more = min(done, count - done)
        yield done, more
        done += more


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
    nodes = place_nodes(coordinates, 0.0, 2 * np.pi * FIRST_BLOCK / reach)
    offsets = mean_scores(coordinates, nodes)
    expected = (centers[1:] + offsets[1:] + count * (centers[0] + offsets[0]))[:, None]
    at = thresholds - (centers[1:] + count * centers[0])[:, None]
    inside = np.abs(thresholds - expected) < reach
    at, beyond = np.where(inside, at, 0.0), np.where(thresholds > expected, 1.0, 0.0)
    step = 2 * np.pi / (reach + float(np.where(inside, np.abs(thresholds - expected), 0.0).max()))
    values, sizes, error, work, start, size = np.full(at.shape, 0.5), np.zeros(0), 0.0, 0.0, 0, FIRST_BLOCK
    while True:
        work += len(nodes.z) * size * coordinates.common_factor(nodes.tolerance)[1]
        if work > MOST_WORK:
            return None
        parts = characteristic_functions(coordinates, nodes, step, start, size)
        psi, orders = parts[1:] * parts[0] ** count, start + np.arange(size) + 0.5
        turns = np.exp(-1j * step * at[:, :, None] * orders)
        values = values - np.einsum("ltj,lj->lt", turns, psi / orders).imag / np.pi
        # |a b^n − a' b'^n| ≤ |b|^n |a − a'| + n |a'| max(|b|, |b'|)^{n−1} |b − b'|
        background, dominant = np.abs(parts[0]) + nodes.error, np.abs(parts[1:]).max(axis=0) + nodes.error
        sensitivity = background ** (count - 1) * (background + count * dominant)
        error += nodes.error * float((sensitivity / orders).sum()) / np.pi
        sizes, start = np.concatenate([sizes, np.abs(psi).max(axis=0)]), start + size
        cut, size = _cut_off(sizes)
        if cut <= TRUNCATION:
            break
        tolerance = min(SHARPEST / float(sensitivity[-len(sensitivity) // 4 :].max()), BLUNTEST)
        nodes = place_nodes(coordinates, step * start, step * (start + size), tolerance)
    error += cut + CONCENTRATION + (count + 1) * 2 * OUTSIDE
    return np.where(inside, np.clip(values, 0.0, 1.0), beyond), float(error)


def _cut_off(sizes: np.ndarray) -> tuple[float, int]:
    """Return the bound on the discarded frequencies, and how many more should bring it to TRUNCATION."""
    seen = len(sizes)
    late, early = (float(sizes[int(low * seen) : int(high * seen)].max()) for low, high in ((0.75, 1), (0.5, 0.75)))
    cut = late * 0.75**2 / (2 * np.pi)
    rate = max(np.log(early / late) / np.log(4 / 3), 1.0) if 0 < late < early else 1.0
    wanted = seen * ((max(cut, TRUNCATION) / TRUNCATION) ** (1 / rate) - 1)
    return cut, int(np.clip(16 * np.ceil(1.2 * wanted / 16 + 1), 32, min(LAST_BLOCK, 1.5 * seen)))
