"""Accuracy for an activation of one's own: the same integrals without proofs, from a table of φ and with errors that are estimates."""

from __future__ import annotations

from functools import cached_property

import jax.numpy as jnp
import numpy as np
from scipy.interpolate import CubicHermiteSpline
from scipy.special import ndtr

from augscope.accuracy.gaussian import DENSITY, EPS
from augscope.accuracy.patch import END, Answer, PatchLaw
from augscope.model.network import BaseNetwork

CELLS = 8_192  # of the table of φ
SPREAD = 14.0  # standard deviations that it covers
BESIDE = 1e-9  # of the range: how closely a kink is enclosed
PANEL_ERROR, NARROWEST = 1e-11, 1e-13
THIN = 1e-7  # share of the outer spread below which the score is taken as one on a line
LINE_CELLS = 2**15  # of the normal variable on which a score on a line depends

RULES = [np.polynomial.legendre.leggauss(count) for count in (14, 9)]


class OwnActivation:
    """φ as a cubic spline on ±reach with φ's own slopes, straight beyond; kinks that the network names are nodes."""

    def __init__(self, network: BaseNetwork, reach: float) -> None:
        scale = reach or 1.0  # without noise nothing is looked up
        self._kinks = np.array([kink for kink in network.kinks() if abs(kink) < scale])
        beside = (self._kinks[:, None] + scale * BESIDE * np.array([-1.0, 0.0, 1.0])).ravel()
        nodes = np.union1d(np.linspace(-scale, scale, CELLS - 3 * len(self._kinks)), beside)
        values, slopes = (np.asarray(f(jnp.asarray(nodes))) for f in (network.activation, network.activation_slope))
        self._scale, self._ends = scale, (values[0], values[-1])
        self._spline = CubicHermiteSpline(nodes, values, slopes)
        self._inverse = CubicHermiteSpline(values, nodes, 1 / np.maximum(slopes, 1e-12))
        self._slopes = self._spline.derivative()
        between = np.concatenate([nodes[:-1] + share * np.diff(nodes) for share in (0.17, 0.5, 0.79)])
        distance = np.abs(self._spline(between) - np.asarray(network.activation(jnp.asarray(between))))
        self.error = 2 * float(distance.max())  # an estimate
        self.slope_range = float(slopes.min()), float(slopes.max())

    def kinks(self) -> np.ndarray:
        """Return where φ bends, within the table."""
        return self._kinks

    def activation(self, z: np.ndarray) -> np.ndarray:
        """Return φ(z), elementwise."""
        inside = np.clip(z, -self._scale, self._scale)
        return self._spline(inside) + (z - inside) * self._slopes(inside)

    def activation_inverse(self, y: np.ndarray) -> np.ndarray:
        """Return φ^{−1}(y), elementwise."""
        z = self._inverse(np.clip(y, *self._ends))
        slopes = self._slopes(np.clip(z, -self._scale, self._scale))
        return z - (self.activation(z) - y) / np.maximum(slopes, 1e-12)  # a step of Newton's from the inverse table


class OwnLaw(PatchLaw):
    """The law of one patch's score: panels are halved until two rules agree."""

    network: OwnActivation  # pyright: ignore[reportIncompatibleVariableOverride]

    def at(self, y: np.ndarray, slack: np.ndarray) -> Answer:
        """Return the law of Y at thresholds y that were computed from numbers of size `slack`."""
        if self.pair.inner_std <= THIN * self.pair.outer_std:
            return self._on_a_line(y, slack)
        sign, grid = self.sign, np.broadcast_to(np.linspace(-END, END, 7), (len(y), 7))
        edges = np.sort(np.concatenate([self.passages(sign * y), grid], axis=1), axis=1)
        middle, half = ((edges[:, 1:] + edges[:, :-1]) / 2).ravel(), (np.diff(edges, axis=1) / 2).ravel()
        owner, total, error = np.repeat(np.arange(len(y)), edges.shape[1] - 1), np.zeros(len(y)), np.zeros(len(y))
        while len(middle):
            fine, coarse = (
                half * (self._integrand(middle[:, None] + half[:, None] * nodes, sign * y[owner, None], sign) @ weights)
                for nodes, weights in RULES
            )
            done = (np.abs(fine - coarse) <= PANEL_ERROR) | (half <= NARROWEST)
            total += np.bincount(owner[done], fine[done], len(y))
            error += np.bincount(owner[done], np.abs(fine - coarse)[done], len(y))
            quarter = half[~done] / 2
            middle = np.concatenate([middle[~done] - quarter, middle[~done] + quarter])
            half, owner = np.concatenate([quarter, quarter]), np.tile(owner[~done], 2)
        return Answer(total, total, np.zeros(len(y)), np.full(len(y), np.inf), error)

    def _integrand(self, x: np.ndarray, target: np.ndarray, sign: int) -> np.ndarray:
        """Return n(x) Φ(± [φ^{−1}(φ(z) + target) − E(inner | x)]/s)."""
        (a, b), c = self.outer_line, self.mean[1 - self.pair.outer]
        h = self.network.activation_inverse(self.network.activation(a + b * x) + target)
        gap = h - c - (self.pair.slope * b) * x
        return DENSITY * np.exp(-0.5 * x * x) * ndtr(gap * (sign / (self.std * self.pair.inner_std)))

    def _on_a_line(self, y: np.ndarray, slack: np.ndarray) -> Answer:
        """The law where the score depends on one variable x: as if it were linear in x on every cell."""
        fine, coarse = self._line_laws
        nudge = 16 * EPS * (slack + np.abs(y) + fine.largest) + 1e-290
        below, above = fine.cdf(y - nudge), fine.cdf(y + nudge)
        error = np.abs(above - coarse.cdf(y + nudge)) + 2 * float(ndtr(-END))
        ties = np.where(above - below > 10 * error, above - below, 0.0)
        thickness = END * self.std * self.pair.inner_std * self.network.slope_range[1]
        moved = fine.cdf(y + nudge + thickness) - fine.cdf(y - nudge - thickness) - ties
        return Answer(below, above, ties, np.full(len(y), np.inf), error + moved)

    @cached_property
    def _line_laws(self) -> tuple[_LineLaw, _LineLaw]:
        return _LineLaw(self, LINE_CELLS), _LineLaw(self, LINE_CELLS // 2)


class _LineLaw:
    """The law of a function of a standard normal x, linear on every cell: a sum of uniform laws and of atoms."""

    def __init__(self, law: OwnLaw, cells: int) -> None:
        x = np.linspace(-END, END, cells + 1)
        slopes = law.std * law.pair.factor()[:, 0]
        first, second = (law.network.activation(m + slope * x) for m, slope in zip(law.mean, slopes, strict=True))
        values, masses = first - second, np.diff(ndtr(x))
        self.largest = float(np.abs(first).max())
        low, high = np.minimum(values[1:], values[:-1]), np.maximum(values[1:], values[:-1])
        flat = high - low <= 16 * EPS * self.largest
        order = np.argsort(low[flat])
        self._atoms, self._atom_masses = low[flat][order], np.concatenate([[0.0], np.cumsum(masses[flat][order])])
        low, high, masses = low[~flat], high[~flat], masses[~flat]
        ends, changes = (
            np.concatenate([low, high, [0.0]]),
            np.concatenate([masses / (high - low), -masses / (high - low), [0.0]]),
        )
        order = np.argsort(ends)
        self.ends = ends[order]
        rises = np.cumsum(changes[order])[:-1] * np.diff(self.ends)
        self._cdf = np.concatenate([[0.0], np.cumsum(np.maximum(rises, 0.0))])

    def cdf(self, y: np.ndarray) -> np.ndarray:
        """Return P(Y ≤ y), elementwise."""
        return np.interp(y, self.ends, self._cdf) + self._atom_masses[np.searchsorted(self._atoms, y, side="right")]
