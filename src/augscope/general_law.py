"""The law of φ(Z_1) − φ(Z_2) for any increasing φ: as `difference_law`, with a table of φ in place of its formula."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.interpolate import CubicHermiteSpline
from scipy.special import ndtr

from augscope.difference_law import REACH, ROUNDING, DifferenceLaw
from augscope.model.network import BaseNetwork

CELLS = 8_192  # of the table of φ; and of the grid on which roots are looked for, half as many
SPREAD = 12.0  # standard deviations that the table covers: 6.8 of the conditional mean and 9 around it fit in
NEWTON_STEPS = 2  # from linear interpolation in the cell, each squaring the relative error
BISECTIONS = 45  # of a cell of the root grid: to the last bit
ROWS_AT_ONCE = 400


@dataclass(frozen=True)
class TabulatedActivation:
    """φ as a cubic spline with φ's own slopes at the nodes, straight beyond them; in NumPy, whatever φ is written in.

    Attributes:
        spline, slopes: of φ and φ'.
        error: twice the largest distance from φ seen half-way between nodes.
    """

    spline: CubicHermiteSpline
    slopes: CubicHermiteSpline
    error: float

    smoothing = 0.0  # a kink is looked for at 0; elsewhere the quadrature finds it

    @staticmethod
    def of(network: BaseNetwork, low: float, high: float) -> TabulatedActivation:
        """Tabulate φ on [low, high], which is made to reach beyond 0. A kink at 0 is kept to a billionth of the range."""
        import jax.numpy as jnp

        scale = max(high, -low, 1e-300)
        low, high = min(low, -1e-3 * scale), max(high, 1e-3 * scale)
        nodes = np.union1d(np.linspace(low, high, CELLS - 2), scale * np.array([-1e-9, 0.0, 1e-9]))
        nodes = np.pad(nodes, (0, CELLS + 1 - len(nodes)), constant_values=nodes[-1])  # one shape: compiled once
        middles = (nodes[1:] + nodes[:-1]) / 2
        values, slopes = (
            np.asarray(network.activation(jnp.asarray(nodes))),
            network.activation_slope(jnp.asarray(nodes)),
        )
        keep = np.diff(nodes, prepend=-np.inf) > 0
        spline = CubicHermiteSpline(nodes[keep], values[keep], np.asarray(slopes)[keep])
        distance = np.abs(spline(middles) - np.asarray(network.activation(jnp.asarray(middles))))
        return TabulatedActivation(spline, spline.derivative(), 2 * float(distance.max()))

    @cached_property
    def slope_range(self) -> tuple[float, float]:
        """The least and the largest slope at the nodes."""
        slopes = self.slopes(self.spline.x)
        return float(slopes.min()), float(slopes.max())

    def activation(self, z: np.ndarray) -> np.ndarray:
        """Return φ(z), elementwise."""
        inside = np.clip(z, self.spline.x[0], self.spline.x[-1])
        return self.spline(inside) + (z - inside) * self.slopes(inside)

    def activation_slope(self, z: np.ndarray) -> np.ndarray:
        """Return φ'(z), elementwise."""
        return self.slopes(np.clip(z, self.spline.x[0], self.spline.x[-1]))

    def activation_inverse(self, y: np.ndarray) -> np.ndarray:
        """Return φ^{−1}(y), elementwise; the ends of the table stand for all that lies beyond."""
        nodes, values = self.spline.x, self._values
        cell = np.clip(np.searchsorted(values, y, side="right") - 1, 0, len(values) - 2)
        left, right = nodes[cell], nodes[cell + 1]
        z = left + (right - left) * np.clip((y - values[cell]) / (values[cell + 1] - values[cell]), 0.0, 1.0)
        for _ in range(NEWTON_STEPS):
            z = np.clip(z - (self.spline(z) - y) / np.maximum(self.slopes(z), 1e-300), left, right)
        return z

    @cached_property
    def _values(self) -> np.ndarray:
        return self.spline(self.spline.x)


@dataclass(frozen=True)
class GeneralLaw(DifferenceLaw):
    """A difference law whose roots and turning points are looked for on a grid of x. `network` is a `TabulatedActivation`.

    Atoms: only where Y is constant; an increasing φ makes others only by flat pieces of φ(inner) − φ(outer).
    """

    @property
    def lipschitz(self) -> float:
        """A Lipschitz constant of Y in standard normals, from the range of the slopes."""
        slopes = self.network.slope_range  # pyright: ignore[reportAttributeAccessIssue]
        directions = np.array([(a, -b) for a in slopes for b in slopes])
        return self.std * float(
            np.sqrt(max(np.einsum("ij,jk,ik->i", directions, self.noise.gram, directions).max(), 0))
        )

    def _turning_points(self) -> np.ndarray:
        """Return where g(x) = φ(inner) − φ(outer) turns, by bisection on its slope."""
        x = np.linspace(-REACH, REACH, CELLS // 2 + 1)
        slope = self._line_slope(x)
        found = np.flatnonzero(slope[:-1] * slope[1:] < 0)
        low, high, rising = x[found], x[found + 1], slope[found] < 0
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            before = (self._line_slope(middle) < 0) == rising
            low, high = np.where(before, middle, low), np.where(before, high, middle)
        return (low + high) / 2

    def _line_slope(self, x: np.ndarray) -> np.ndarray:
        (a, b), (c, d) = self.inner_line, self.outer_line
        return b * self.network.activation_slope(a + b * x) - d * self.network.activation_slope(c + d * x)

    @cached_property
    def _grid(self) -> tuple[np.ndarray, np.ndarray]:
        """x, turning points among them so that Y is monotone in each cell, and Y there."""
        x = np.union1d(np.linspace(-REACH, REACH, CELLS // 2 + 1), self._turning_points())
        return x, self._line_values(x)

    def _line_roots(self, y: np.ndarray) -> np.ndarray:
        """Return the solutions x of Y = y on the line of conditional means, (len(y), most), nan where there are fewer."""
        if len(y) > ROWS_AT_ONCE:
            parts = [self._line_roots(part) for part in np.array_split(y, -(-len(y) // ROWS_AT_ONCE))]
            most = max(part.shape[1] for part in parts)
            return np.concatenate(
                [np.pad(part, ((0, 0), (0, most - part.shape[1])), constant_values=np.nan) for part in parts]
            )
        x, values = self._grid
        below = values <= y[:, None]
        row, cell = np.nonzero(below[:, 1:] != below[:, :-1])
        low, high, rising = x[cell], x[cell + 1], below[row, cell]
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            before = (self._line_values(middle) <= y[row]) == rising
            low, high = np.where(before, middle, low), np.where(before, high, middle)
        place = np.arange(len(row)) - np.searchsorted(row, row)
        roots = np.full((len(y), int(place.max(initial=0)) + 1), np.nan)
        roots[row, place] = (low + high) / 2
        return roots

    def line_cdf(self, y: np.ndarray) -> np.ndarray:
        """Return P(g(x) ≤ y) for standard normal x, elementwise."""
        if self.outer_line[1] == 0:
            return (self.center <= y).astype(float)
        roots = self._line_roots(y)
        ends = np.sort(np.where(np.isnan(roots), np.inf, roots), axis=1)
        edges = ndtr(np.concatenate([np.full((len(y), 1), -np.inf), ends, np.full((len(y), 1), np.inf)], axis=1))
        starts_below = self._grid[1][0] <= y
        alternate = (np.arange(edges.shape[1] - 1)[None, :] % 2 == 0) == starts_below[:, None]
        return (np.diff(edges, axis=1) * alternate).sum(axis=1)

    def atom(self, y: np.ndarray, slack: np.ndarray | float = 0.0) -> np.ndarray:
        """Return P(Y = y): of a constant only."""
        if not (self.on_a_line and self.outer_line[1] == 0):
            return np.zeros(len(y))
        return (np.abs(self.center - y) <= ROUNDING * (self.magnitude(y) + slack)).astype(float)

    def _shift(self, z: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Return φ^{−1}(φ(z) + target) − z."""
        return self.network.activation_inverse(self.network.activation(z) + target) - z

    def landmarks(self) -> np.ndarray:
        """Return the values of y where the cdf is least smooth."""
        turns = self._turning_points() if self.outer_line[1] else np.zeros(0)
        return np.unique([0.0, self.center, *self._line_values(turns).tolist()])
