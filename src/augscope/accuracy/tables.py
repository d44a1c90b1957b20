"""The law of a sum of patch scores from tables of the patches' cdfs: fast wherever the filters lie, with an error that is estimated.

Used where frequencies would take long: filters nearly parallel, scales far apart, a steep bend, an activation of one's own.
What is an estimate: that a cdf is the polynomial on a panel that its last Chebyshev coefficients suggest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from augscope.accuracy.patch import Answer, PatchLaw

CONCENTRATION = 2e-10  # 2 exp(−6.8²/2): a function of normals strays 6.8 Lipschitz constants from its mean
RANGE = 8.3  # Lipschitz constants from the center to the end of a table: the mean within √2 of it, then 6.8
TABLE_TOLERANCE = 2e-10  # error allowed to one table panel
SUM_TOLERANCE = 3e-10  # the same for the table of a sum
SUM_ROUNDING = 1e-13  # of a convolution
LAW_PANELS = 400  # tried for the table of one law: about 0.3 s
DEGREE = 14  # of the polynomials in a table

_LEGENDRE = np.polynomial.legendre.leggauss(DEGREE)  # exact on the product of a cdf and a density of this degree
_NODES = -np.cos(np.pi * np.arange(DEGREE + 1) / DEGREE)  # Chebyshev points of the second kind, ascending
_FIT = np.linalg.inv(np.polynomial.chebyshev.chebvander(_NODES, DEGREE))  # from values there to Chebyshev coefficients


def sum_by_tables(laws: Sequence[PatchLaw], count: int, thresholds: np.ndarray) -> list[Answer]:
    """Return the law of D + B_1 + … + B_count at the thresholds for every law of D, the laws after the first, B's.

    Replacing one cdf of a convolution by another moves it by at most their largest distance: errors of tables add.
    Cost: 0.1 to 1 s.
    """
    single = tabulate(laws[0])
    summed, steepest, answers = repeated_sum(single, count), single.steepest(), []
    for law in laws[1:]:
        table = tabulate(law, steepest)
        error = np.full(thresholds.shape, table.error + table.blur * steepest + summed.error)
        values, unproved = convolve(table, summed, thresholds), np.full(thresholds.shape, np.inf)
        answers.append(Answer(values, values, np.zeros_like(values), unproved, error))
    return answers


@dataclass(frozen=True)
class Table:
    """A cdf as Chebyshev series on panels, 0 below the first edge and 1 above the last.

    After convolution with a density, panels accepted as jumps err by at most `blur` times the largest density.
    """

    edges: np.ndarray  # (n + 1,) ends of the panels
    coefficients: np.ndarray  # (n, DEGREE + 1)
    error: float  # bound on |table − cdf| outside the panels accepted as jumps
    blur: float  # Σ over those panels of width × probability

    def cdf(self, y: np.ndarray) -> np.ndarray:
        """Return the tabulated cdf, elementwise."""
        return np.where(y < self.edges[0], 0.0, np.where(y >= self.edges[-1], 1.0, self._series(y, self.coefficients)))

    def density(self, y: np.ndarray) -> np.ndarray:
        """Return its derivative, elementwise (y within the edges)."""
        derivative = np.polynomial.chebyshev.chebder(self.coefficients, axis=1)
        return self._series(y, derivative * (2 / np.diff(self.edges))[:, None])

    def _series(self, y: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """Evaluate the panels' Chebyshev series by Clenshaw's recurrence."""
        panel = np.clip(np.searchsorted(self.edges, y, side="right") - 1, 0, len(coefficients) - 1)
        left, right = self.edges[panel], self.edges[panel + 1]
        x = np.clip((2 * y - left - right) / (right - left), -1.0, 1.0)
        columns = np.ascontiguousarray(coefficients.T)
        double, ahead, behind = 2 * x, np.zeros_like(x), np.zeros_like(x)
        for column in columns[:0:-1]:
            ahead, behind = column[panel] + double * ahead - behind, ahead
        return columns[0][panel] + x * ahead - behind

    def jumps(self) -> np.ndarray:
        """Return the steps of the table at its edges (n + 1,): with the densities they sum to 1."""
        signs = (-1.0) ** np.arange(DEGREE + 1)
        starts, ends = self.coefficients @ signs, self.coefficients.sum(axis=1)
        return np.concatenate([starts, [1.0]]) - np.concatenate([[0.0], ends])

    def steepest(self) -> float:
        """Return (nearly) the largest density."""
        middles, half = (self.edges[1:] + self.edges[:-1]) / 2, np.diff(self.edges) / 2
        return 1.2 * float(np.abs(self.density(middles[:, None] + half[:, None] * _NODES * (1 - 1e-12))).max())


def build_table(
    evaluate: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    edges: np.ndarray,
    steepest: float = np.inf,
    tail: float = CONCENTRATION,
    tolerance: float = TABLE_TOLERANCE,
    most_panels: int = 4_000,
) -> Table:
    """Tabulate a cdf by bisecting panels until each is a polynomial, flat, or so thin a step that it cannot matter.

    Args:
        evaluate: y ↦ (cdf, error bound).
        edges: initial edges, increasing; outside them the cdf is 0 or 1 up to `tail`.
        steepest: the largest density of what the law will be convolved with: a step of height p within width h then
            costs at most p h × steepest.
        most_panels: about how many may be tried; then the panels left stay as they are, and their misfit counts.
    """
    left, right = edges[:-1], edges[1:]
    floor = 1e-15 * max(np.abs(edges).max(), edges[-1] - edges[0])
    panels, worst, blur, noise, tried = [], 0.0, 0.0, 0.0, 0
    while len(left):
        tried += len(left)
        middle, half = (left + right) / 2, (right - left) / 2
        values, errors = evaluate((middle[:, None] + half[:, None] * _NODES).ravel())
        values, errors = values.reshape(len(left), -1), errors.reshape(len(left), -1).max(axis=1)
        coefficients = values @ _FIT.T
        rise = np.maximum(values[:, -1] - values[:, 0], 0.0)
        misfit = np.minimum(3 * np.abs(coefficients[:, -3:]).sum(axis=1), rise)
        smooth = (misfit <= np.maximum(tolerance, 4 * errors)) | (tried > most_panels)
        step = ~smooth & ((rise * 2 * half <= tolerance / steepest) | (half <= floor))
        coefficients[step] = 0.0
        coefficients[step, 0], coefficients[step, 1] = (values[step, 0] + values[step, -1]) / 2, rise[step] / 2
        worst = max(worst, misfit[smooth].max(initial=0.0))
        if np.isfinite(steepest):
            blur += float((rise * 2 * half)[step].sum())
        else:
            worst = max(worst, rise[step].max(initial=0.0))
        noise = max(noise, errors[~step].max(initial=0.0))
        done = smooth | step
        panels.append((left[done], right[done], coefficients[done]))
        left, middle, right = left[~done], middle[~done], right[~done]
        left, right = np.concatenate([left, middle]), np.concatenate([middle, right])
    starts, ends, series = (np.concatenate(parts) for parts in zip(*panels, strict=True))
    order = np.argsort(starts)
    table_edges = np.append(starts[order], ends.max())
    return Table(table_edges, series[order], worst + 3 * noise + tail, blur)  # 3: Lebesgue constant at this degree


def tabulate(law: PatchLaw, steepest: float = np.inf) -> Table:
    """Return the table of a law that is not constant, over the range that holds all but 1e-11 of it."""

    def evaluate(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        answer = law.at(y, np.abs(y))
        return answer.above, answer.estimate

    reach, center = RANGE * law.lipschitz, law.center
    shrink = 2.0 ** -np.arange(1, 45)
    trial, _ = evaluate(np.concatenate([center - reach * shrink, center + reach * shrink]))
    # The cdf is monotone, so the nearest point with (almost) no probability beyond it ends the range.
    low = reach * shrink[trial[: len(shrink)] <= CONCENTRATION / 4].min(initial=1.0)
    high = reach * shrink[trial[len(shrink) :] >= 1 - CONCENTRATION / 4].min(initial=1.0)
    fractions = np.array([0.06, 0.125, 0.25, 0.375, 0.5, 0.75, 1.0])
    marks = np.concatenate([law.landmarks(), center - low * fractions, center + high * fractions])
    return build_table(evaluate, _initial_edges(marks, center - low, center + high), steepest, most_panels=LAW_PANELS)


def _initial_edges(marks: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return the range and the marks inside it, without slivers."""
    edges = np.unique(np.concatenate([[low, high], marks[(marks > low) & (marks < high)]]))
    return edges[np.concatenate([[True], np.diff(edges) > 1e-14 * max(abs(low), abs(high))])]


def convolve(first: Table, second: Table, y: np.ndarray) -> np.ndarray:
    """Return P(A + B ≤ y) = ∫ F_A(y − b) dF_B(b) for two tables: Gauss–Legendre on common panels, exact for them."""
    edges = np.concatenate(
        [np.broadcast_to(second.edges, (len(y), len(second.edges))), y[:, None] - first.edges], axis=1
    )
    edges = np.sort(np.clip(edges, second.edges[0], second.edges[-1]), axis=1)
    result = first.cdf(y[:, None] - second.edges) @ second.jumps()
    keep = np.diff(edges, axis=1) > 0
    owner = np.nonzero(keep)[0]
    left, right = edges[:, :-1][keep], edges[:, 1:][keep]
    half = (right - left) / 2
    b = ((left + right) / 2)[:, None] + half[:, None] * _LEGENDRE[0]
    parts = np.einsum("ij,j->i", first.cdf(y[owner, None] - b) * second.density(b), _LEGENDRE[1]) * half
    return result + np.bincount(owner, parts, len(y))


def repeated_sum(table: Table, count: int) -> Table:
    """Return the table of a sum of `count` independent copies, by doubling."""
    result, power = None, table
    while count:
        if count % 2:
            result = power if result is None else _added(result, power)
        count //= 2
        power = _added(power, power) if count else power
    assert result is not None
    return result


def _added(first: Table, second: Table) -> Table:
    """Return the table of the sum of two independent variables; errors add."""

    def evaluate(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        chunks = [convolve(first, second, part) for part in np.array_split(y, len(y) // 500 + 1)]
        return np.concatenate(chunks), np.zeros(len(y))

    low, high = first.edges[0] + second.edges[0], first.edges[-1] + second.edges[-1]
    edges = np.unique(np.concatenate([np.linspace(low, high, 9), [0.0] if low < 0 < high else []]))
    return build_table(evaluate, edges, tail=first.error + second.error + SUM_ROUNDING, tolerance=SUM_TOLERANCE)
