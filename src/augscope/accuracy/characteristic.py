"""The law of a sum of independent patch scores, from their characteristic functions.

The characteristic function ψ of the sum is the product of the patches' (`quadrature`); Davies' sum inverts it at the few
values wanted. Evaluated exactly at the first frequencies, and at few of the many later ones, where it is smooth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from augscope.accuracy.gaussian import CONCENTRATION, DENSITY, OUTSIDE, REACH
from augscope.accuracy.law import Answer, ScoreLaw
from augscope.accuracy.quadrature import BLUNTEST, SHARPEST, Coordinates, Nodes, mean_scores, place_nodes

NEARLY_PARALLEL = 0.2  # conditional over marginal standard deviation below which tables are faster
TRUNCATION = 4e-9  # bound on the discarded part of the sum over frequencies that stops it
FIRST_BLOCK, LAST_BLOCK = 72, 384  # frequencies evaluated with one set of nodes
PAIRS_AT_ONCE = 12  # pairs of frequencies evaluated at a time: their waves stay in cache
POINTS, LAST = 40, 6  # of an interpolant, and the coefficients whose size tells its error
RESOLVED = 100.0  # largest error of an interpolant, in tolerances of a panel: 2e-9 in ψ times what it counts for
LARGEST_LOADING = 2.5  # of the common factor, in conditional standard deviations: |c| = 0.86
MOST_WORK = 1.5e8  # multiplications beyond which tables are faster (about 50 ms)


def sum_by_frequencies(
    background: ScoreLaw,
    dominants: Sequence[ScoreLaw],
    count: int,
    thresholds: np.ndarray,
    truncation: float = TRUNCATION,
) -> list[Answer] | None:
    """Return the law of S = D + B_1 + … + B_count at the thresholds for every law of D; None where tables are faster.

    P(S ≤ t) = ½ − Σ_{j≥0} Im[ψ_S(ω_j) e^{−iω_j t}] / (π (j + ½)), ω_j = (j + ½) step, but for P(|S − t| ≥ 2π/step)
    (Davies 1973). Proved: that part by concentration, the quadrature by `place_nodes`. Estimates: interpolation between
    frequencies, and the part of the sum cut off (`_cut_off`).

    Args:
        background, dominants: the laws of B and of D, with the same pair and activation.
        count: P − 2 ≥ 1.
        truncation: bound on the part cut off.
    """
    pair, network = background.pair, background.activation.formula
    if network is None or pair.outer_std == 0 or pair.inner_std <= NEARLY_PARALLEL * pair.outer_std:
        return None
    coordinates = Coordinates.of([background, *dominants], network)
    far_out, at, step, nodes = _window(coordinates, count, thresholds)
    values, sizes, error, work = np.full(at.shape, 0.5), np.zeros(0), 0.0, 0.0
    orders = np.arange(FIRST_BLOCK) + 0.5  # j + ½
    while True:
        work += len(nodes.z) * len(orders) * coordinates.common_factor(nodes.tolerance)[1]
        if work > MOST_WORK:
            return None
        parts, missed = characteristic_functions(coordinates, nodes, step, orders)
        psi = parts[1:] * parts[0] ** count
        (cosine, sine), summand = _waves(at[:, :, None] * (step * orders)), psi / (np.pi * orders)
        values = values - (cosine @ summand.imag[:, :, None] - sine @ summand.real[:, :, None])[:, :, 0]
        sensitivity = _sensitivity(parts, count, nodes.error + missed)
        error += (nodes.error + missed) * float((sensitivity / orders).sum()) / np.pi
        sizes = np.concatenate([sizes, np.abs(psi).max(axis=0)])
        cut, size = _cut_off(sizes, truncation)
        if cut <= truncation:
            break
        orders = len(sizes) + np.arange(size) + 0.5
        tolerance = min(SHARPEST / float(sensitivity[-len(sensitivity) // 4 :].max()), BLUNTEST)
        nodes = place_nodes(coordinates, step * len(sizes), step * (len(sizes) + size), tolerance)
    error += cut + CONCENTRATION + (count + 1) * 2 * OUTSIDE
    values = np.where(np.isnan(far_out), np.clip(values, 0.0, 1.0), far_out)
    return [Answer.without_ties(row, float(error)) for row in values]


def _window(
    coordinates: Coordinates, count: int, thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float, Nodes]:
    """Find where S lies, and with it the step between frequencies that resolves it.

    Returns:
        The probability at thresholds so far out that only CONCENTRATION errs there, NaN at the others, (laws, T); the others
        less the score at the means (0 far out); the step; nodes for the first frequencies.
    """
    centers, lipschitz = coordinates.centers(), coordinates.lipschitz()
    reach = REACH * float(np.sqrt(lipschitz[1:].max() ** 2 + count * lipschitz[0] ** 2))
    nodes = place_nodes(coordinates, 0.0, 2 * np.pi * FIRST_BLOCK / reach)
    offsets = mean_scores(coordinates, nodes)
    distance = thresholds - (centers[1:] + offsets[1:] + count * (centers[0] + offsets[0]))[:, None]
    inside = np.abs(distance) < reach
    far_out = np.where(inside, np.nan, np.where(distance > 0, 1.0, 0.0))
    at = np.where(inside, thresholds - (centers[1:] + count * centers[0])[:, None], 0.0)
    return far_out, at, 2 * np.pi / (reach + float(np.where(inside, np.abs(distance), 0.0).max())), nodes


def _sensitivity(parts: np.ndarray, count: int, error: float) -> np.ndarray:
    """Return what the error of every part of a product a b^n counts for in it, n = count, b the first part: (F,).

    |a b^n − a' b'^n| ≤ |b|^n |a − a'| + n |a'| max(|b|, |b'|)^{n−1} |b − b'|
    """
    background, dominant = np.abs(parts[0]) + error, np.abs(parts[1:]).max(axis=0) + error
    return background ** (count - 1) * (background + count * dominant)


def _cut_off(sizes: np.ndarray, truncation: float) -> tuple[float, int]:
    """Estimate the discarded frequencies' part, and how many more should bring it to the truncation.

    From |ψ_S(ω)| ≤ m (¾J step/ω)⁴, m the largest |ψ_S| seen on [¾J, J]: ψ_Y falls as ω^{−2} while r ω is small, as at a bend
    of φ, and then as ω^{−4}; S is the sum of two patches or more.
    """
    seen = len(sizes)
    late, early = (float(sizes[int(low * seen) : int(high * seen)].max()) for low, high in ((0.75, 1), (0.5, 0.75)))
    cut = late * 0.75**4 / (4 * np.pi)
    rate = max(np.log(early / late) / np.log(4 / 3), 1.0) if 0 < late < early else 1.0
    wanted = seen * ((max(cut, truncation) / truncation) ** (1 / rate) - 1)
    return cut, 2 * int(np.clip(8 * np.ceil(2 * wanted / 16 + 1), 16, min(LAST_BLOCK, 1.5 * seen) / 2))


def characteristic_functions(
    coordinates: Coordinates, nodes: Nodes, step: float, orders: np.ndarray, interpolate: bool = True
) -> tuple[np.ndarray, float]:
    """Return E e^{iω(Y − φ(μ_1) + φ(μ_2))} at ω = order × step, and an error beside the nodes'.

    As a function of ω this is entire, and past the first frequencies smooth: Chebyshev's interpolant on POINTS of them
    resolves it. Its error is an estimate, from the last coefficients. Where that is not small beside what else errs, or
    little would be saved, every frequency is evaluated, and the error is 0.

    Args:
        orders: j + ½ for successive j, an even number of them.
        interpolate: whether the interpolant may be used.

    Returns:
        Values by kind, (kinds, F), and the interpolation's error.
    """
    density = _Density.of(coordinates, nodes, step)
    middle, half = (orders[0] + orders[-1]) / 2, (orders[-1] - orders[0]) / 2
    if interpolate and orders[0] > 0.5 and len(orders) >= 1.2 * POINTS:
        points, spread, last = _chebyshev(len(orders))
        psi = density.transforms(middle, half * points)
        error = 2 * float(np.abs(psi @ last).sum(axis=1).max())
        if error <= RESOLVED * nodes.tolerance:
            return psi @ spread, error
    return density.transforms(middle, np.linspace(-half, half, len(orders))), 0.0


@lru_cache(maxsize=256)
def _chebyshev(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return POINTS Chebyshev points, and what turns values there into those at `count` even points, and last coefficients."""
    angles, orders = np.pi * (np.arange(POINTS) + 0.5) / POINTS, np.arange(POINTS)
    coefficients = np.cos(np.outer(angles, orders)) * (np.where(orders == 0, 1.0, 2.0) / POINTS)
    series = np.cos(np.outer(orders, np.arccos(np.linspace(-1, 1, count))))
    return np.cos(angles), coefficients @ series, coefficients[:, -LAST:]


@dataclass(frozen=True)
class _Density:
    """What one set of nodes holds for all frequencies."""

    values: np.ndarray  # the density at every node, times its weight, given every value of the common factor: (N, C)
    factor_weight: np.ndarray  # of those values, (C,)
    ends: list[tuple[int, int]]  # (first, last + 1) node of every coordinate
    rises: np.ndarray  # φ(z) − φ(μ), with the sign it has in the score, times the step between frequencies: (N,)

    @classmethod
    def of(cls, coordinates: Coordinates, nodes: Nodes, step: float) -> _Density:
        spacing, count = coordinates.common_factor(nodes.tolerance)
        owner, filters, network = nodes.owner, nodes.owner % 2, coordinates.network
        mean, narrow = coordinates.mean.ravel()[owner], coordinates.narrow.ravel()[owner]
        share = np.sqrt(abs(coordinates.correlation) / (1 - abs(coordinates.correlation)))  # of C, in units of `narrow`
        loading = np.where((filters == 1) & (coordinates.correlation < 0), -share, share)
        factor = spacing * (np.arange(count) - count // 2)
        values = _density_given(factor, (nodes.z - mean) / narrow, loading, DENSITY / narrow * nodes.weight)
        rises = step * (network.activation(nodes.z) - network.activation(mean)) * (1 - 2 * filters)
        ends = np.searchsorted(owner, np.arange(2 * len(coordinates.mean) + 1)).tolist()
        return cls(values, spacing * DENSITY * np.exp(-factor * factor / 2), list(pairwise(ends)), rises)

    def transforms(self, middle: float, offsets: np.ndarray) -> np.ndarray:
        """Return ψ by kind at middle + offset; the offsets, an even number, lie evenly about 0: (kinds, F)."""
        half = len(offsets) // 2
        psi = np.empty((len(self.ends) // 2, 2, half), complex)  # by side of the middle
        turn = _waves(middle * self.rises)
        for begin in range(0, half, PAIRS_AT_ONCE):
            these = slice(begin, min(begin + PAIRS_AT_ONCE, half))
            waves = _paired_waves(np.outer(offsets[these], self.rises), turn).reshape(-1, len(self.rises))
            parts = [
                (waves[:, low:high] @ self.values[low:high]).reshape(2, -1, len(self.factor_weight))
                for low, high in self.ends
            ]
            for row, first, second in zip(psi, parts[::2], parts[1::2], strict=True):
                first *= self.factor_weight
                (cc, cs), (sc, ss) = np.einsum("xfc,yfc->xyf", first, second).reshape(2, 2, 2, -1)
                row[:, these] = (cc - ss) + 1j * (cs + sc)
        return np.concatenate([psi[:, 0], psi[:, 1, ::-1]], axis=1)


def _density_given(factor: np.ndarray, x: np.ndarray, loading: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return scale × e^{−(x − loading × c)²/2} for every c of the evenly spaced factor: (len(x), len(factor))."""
    if loading.max() > LARGEST_LOADING:  # the factors below would overflow
        return np.exp(-0.5 * (x[:, None] - loading[:, None] * factor) ** 2) * scale[:, None]
    # Geometric in c, but for e^{−loading² c²/2}, in which loading² is the same everywhere.
    first = scale * np.exp(-x * (x / 2 + loading * factor[-1]))
    series = _geometric((factor[1] - factor[0]) * loading * x, first, len(factor))
    return series * np.exp(-0.5 * (loading[0] * factor) ** 2)


def _geometric(exponent: np.ndarray, first: np.ndarray, count: int) -> np.ndarray:
    """Return first × e^{k × exponent}, k = 0 … count − 1: (len(first), count). By doubling: NumPy's loops are long."""
    rows = np.empty((count, len(first)))
    rows[0], done = first, 1
    while done < count:
        more = min(done, count - done)
        np.multiply(rows[:more], np.exp(done * exponent), out=rows[done : done + more])
        done += more
    return np.ascontiguousarray(rows.T)


def _paired_waves(angles: np.ndarray, turn: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return cosine and sine of middle + angles, and of middle − angles: (2, 2, F, N), cosines first, then by side."""
    (cosine, sine), (middle_cosine, middle_sine) = _waves(angles), turn
    waves = np.empty((2, 2, *angles.shape))
    even, odd = cosine * middle_cosine, sine * middle_sine
    np.subtract(even, odd, out=waves[0, 0])
    np.add(even, odd, out=waves[0, 1])
    np.multiply(cosine, middle_sine, out=even)
    np.multiply(sine, middle_cosine, out=odd)
    np.add(even, odd, out=waves[1, 0])
    np.subtract(even, odd, out=waves[1, 1])
    return waves


def _waves(angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return cosine and sine, from the tangent of half the angle: it takes NumPy an eighth of their time."""
    tangent = np.tan(0.5 * angles)
    scale = tangent * tangent
    scale += 1
    np.divide(2, scale, out=scale)  # 1 + cosine
    tangent *= scale
    scale -= 1
    return scale, tangent
