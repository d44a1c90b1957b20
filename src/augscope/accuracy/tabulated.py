"""An activation of one's own: a table of φ in place of its formula, with roots looked for on a grid."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from itertools import pairwise

import jax.numpy as jnp
import numpy as np
from scipy.interpolate import CubicHermiteSpline

from augscope.accuracy.activation import Activation, LineScore
from augscope.accuracy.gaussian import CONCENTRATION, REACH
from augscope.model.network import BaseNetwork

CELLS = 8_192  # of the table of φ; and of the grid on which roots are looked for, half as many
NEWTON_STEPS = 2  # from linear interpolation in the cell, each squaring the relative error
BISECTIONS = 45  # of a cell of the root grid: to the last bit


def tabulated(network: BaseNetwork, reach: float) -> Activation:
    """Return φ as a cubic spline on ±reach, with φ's own slopes at the nodes and straight beyond them.

    A kink at 0 is kept to a billionth of the range. The error is twice the largest distance from φ seen half-way between nodes.
    """
    scale = reach or 1.0  # without noise nothing is looked up
    nodes = np.union1d(np.linspace(-scale, scale, CELLS - 2), scale * np.array([-1e-9, 0.0, 1e-9]))
    middles = (nodes[1:] + nodes[:-1]) / 2
    at_nodes, slopes_at_nodes = network.activation(jnp.asarray(nodes)), network.activation_slope(jnp.asarray(nodes))
    spline = CubicHermiteSpline(nodes, np.asarray(at_nodes), np.asarray(slopes_at_nodes))
    distance = np.abs(spline(middles) - np.asarray(network.activation(jnp.asarray(middles))))
    slopes, values = spline.derivative(), spline(nodes)

    def value(z: np.ndarray) -> np.ndarray:
        inside = np.clip(z, -scale, scale)
        return spline(inside) + (z - inside) * slopes(inside)

    def inverse(y: np.ndarray) -> np.ndarray:  # the ends of the table stand for all that lies beyond
        cell = np.clip(np.searchsorted(values, y, side="right") - 1, 0, len(values) - 2)
        left, right = nodes[cell], nodes[cell + 1]
        z = left + (right - left) * np.clip((y - values[cell]) / (values[cell + 1] - values[cell]), 0.0, 1.0)
        for _ in range(NEWTON_STEPS):
            z = np.clip(z - (spline(z) - y) / np.maximum(slopes(z), 1e-300), left, right)
        return z

    return Activation(
        value=value,
        slope=lambda z: slopes(np.clip(z, -scale, scale)),
        inverse=inverse,
        shift=lambda z, target: inverse(value(z) + target) - z,
        line_score=GridScore,
        bends=np.array([0.0]),  # elsewhere the quadrature finds a kink
        slope_range=(float(slopes(nodes).min()), float(slopes(nodes).max())),
        error=2 * float(distance.max()),
        beyond=CONCENTRATION,
    )


class GridScore(LineScore):
    """Y along a line for a table of φ, from a grid of x within REACH. Flat only where it does not depend on x at all."""

    end = REACH

    @cached_property
    def turning_points(self) -> np.ndarray:
        x = np.linspace(-REACH, REACH, CELLS // 2 + 1)
        slopes = self._slopes(x)
        cell = np.flatnonzero(slopes[:-1] * slopes[1:] < 0)
        starts_falling = slopes[cell] < 0
        return _bisected(x[cell], x[cell + 1], lambda at: (self._slopes(at) < 0) == starts_falling)

    def _slopes(self, x: np.ndarray) -> np.ndarray:
        (a, b), (c, d) = self.lines
        return b * self.activation.slope(a + b * x) - d * self.activation.slope(c + d * x)

    def flat_pieces(self) -> tuple[np.ndarray, np.ndarray]:
        if any(slope for _, slope in self.lines):
            return np.zeros(0), np.zeros(0)
        return np.ones(1), self.values(np.zeros(1))

    @cached_property
    def _runs(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Increasing x and Y there, from each turning point to the next: Y is monotone."""
        x = np.union1d(np.linspace(-REACH, REACH, CELLS // 2 + 1), self.turning_points)
        ends = [0, *np.searchsorted(x, np.sort(self.turning_points)), len(x) - 1]
        return [(x[start : stop + 1], self.values(x[start : stop + 1])) for start, stop in pairwise(ends)]

    def roots(self, y: np.ndarray) -> np.ndarray:
        return np.stack([self._run_roots(y, x, values) for x, values in self._runs], axis=1)

    def _run_roots(self, y: np.ndarray, x: np.ndarray, values: np.ndarray) -> np.ndarray:
        roots, rising = np.full(len(y), np.nan), values[-1] > values[0]
        passed = np.searchsorted(values, y, side="right") if rising else np.searchsorted(-values, -y, side="left")
        crossing = np.flatnonzero((passed > 0) & (passed < len(x)))
        cell, levels = passed[crossing] - 1, y[crossing]
        roots[crossing] = _bisected(x[cell], x[cell + 1], lambda at: (self.values(at) <= levels) == rising)
        return roots


def _bisected(low: np.ndarray, high: np.ndarray, is_before: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return, for every interval, where `is_before` (true at its start, elementwise) ends."""
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        before = is_before(middle)
        low, high = np.where(before, middle, low), np.where(before, high, middle)
    return (low + high) / 2
