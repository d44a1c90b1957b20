"""What the laws of a score ask of an activation φ, and the built-in φ, whose pieces are quadratic."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtr

from augscope.accuracy.gaussian import REACH, ROUNDING
from augscope.model.network import Network

Function = Callable[[np.ndarray], np.ndarray]
Line = tuple[float, float]  # intercept and slope in x


@dataclass(frozen=True)
class Activation:
    """An increasing φ as the laws need it, by formula or by table."""

    value: Function
    slope: Function
    inverse: Function
    shift: Callable[[np.ndarray, np.ndarray], np.ndarray]  # (z, t) ↦ φ^{−1}(φ(z) + t) − z, with little cancellation
    line_score: type[LineScore]  # of its scores along a line
    bends: np.ndarray  # where it is known to bend, increasing
    slope_range: tuple[float, float]
    straight_slope: float = 0.0  # below 0, where φ is straight there
    narrow: float = float(
        "inf"
    )  # share of the outer spread below which the inner one leaves every turn's trace in the cdf
    error: float = 0.0  # how far it may stray from the network's φ: an estimate
    beyond: float = 0.0  # bound on the probability that a score leaves the range on which φ is known
    formula: Network | None = None  # the network, if φ is the built-in one


@dataclass(frozen=True)
class LineScore(ABC):
    """The score Y(x) = φ(a + b x) − φ(c + d x) along a line, for a standard normal x; `lines` are (a, b) and (c, d)."""

    activation: Activation
    lines: tuple[Line, Line]

    end = float("inf")  # |x| beyond which Y is taken as constant

    def values(self, x: np.ndarray) -> np.ndarray:
        """Return Y at x."""
        (a, b), (c, d) = self.lines
        x = np.clip(x, -self.end, self.end)
        return self.activation.value(a + b * x) - self.activation.value(c + d * x)

    @cached_property
    def kinks(self) -> np.ndarray:
        """Where Y is known to bend, sorted."""
        return np.zeros(0)

    @cached_property
    @abstractmethod
    def turning_points(self) -> np.ndarray:
        """Where Y turns, within REACH."""

    @abstractmethod
    def flat_pieces(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the probability and the value of Y of every interval on which it is constant."""

    @abstractmethod
    def roots(self, y: np.ndarray) -> np.ndarray:
        """Return the solutions x of Y = y, (len(y), any), NaN where there are fewer."""


def built_in(network: Network) -> Activation:
    """Return the built-in φ: slope β below 0, 1 above r, quadratic between."""
    beta, r = network.negative_slope, network.smoothing

    def shift(z: np.ndarray, target: np.ndarray) -> np.ndarray:  # without cancellation where both ends lie on one piece
        end, slope = network.activation_inverse(network.activation(z) + target), network.activation_slope(z)
        inside = (z >= 0) & (z <= r) & (end >= 0) & (end <= r)
        bent = 2 * target / (slope + np.sqrt(np.maximum(slope**2 + 2 * (1 - beta) * target / r, 0.0)))
        shift = np.where(inside, bent, end - z)
        shift = np.where((z <= 0) & (end <= 0), target / beta, shift)
        return np.where((z >= r) & (end >= r), target, shift)

    return Activation(
        value=network.activation,
        slope=network.activation_slope,
        inverse=network.activation_inverse,
        shift=shift,
        line_score=QuadraticScore,
        bends=np.array([0.0, r]),
        slope_range=(beta, 1.0),
        straight_slope=beta,
        narrow=0.1,
        formula=network,
    )


class QuadraticScore(LineScore):
    """Y along a line for the built-in φ: five quadratics."""

    @cached_property
    def kinks(self) -> np.ndarray:
        far = 10 * REACH  # a line without slope has no kink
        levels = self.activation.bends
        return np.sort([np.clip((level - a) / b, -far, far) if b else far for a, b in self.lines for level in levels])

    @cached_property
    def coefficients(self) -> np.ndarray:
        """Of x², x and 1, between the kinks: (5, 3)."""
        far, (beta, _), r = 20 * REACH, self.activation.slope_range, self.activation.bends[1]
        middles = (np.concatenate([[-far], self.kinks]) + np.concatenate([self.kinks, [far]])) / 2
        pieces = np.array([[0, beta, 0], [(1 - beta) / (2 * r), beta, 0], [0, 1, -(1 - beta) * r / 2]])
        own = []
        for a, b in self.lines:
            z = a + b * middles
            square, linear, constant = pieces[(z > 0).astype(int) + (z > r)].T
            own.append([square * b * b, (2 * square * a + linear) * b, (square * a + linear) * a + constant])
        return (np.array(own[0]) - own[1]).T

    @cached_property
    def turning_points(self) -> np.ndarray:
        square, linear, _ = self.coefficients.T
        turns = -linear / np.where(square == 0, 1.0, 2 * square)
        edges = np.concatenate([[-REACH], self.kinks, [REACH]])
        return turns[(square != 0) & (turns > edges[:-1]) & (turns < edges[1:])]

    def flat_pieces(self) -> tuple[np.ndarray, np.ndarray]:
        steepness = sum(abs(slope) for _, slope in self.lines)
        flat = (np.abs(self.coefficients[:, :2]) <= ROUNDING / 2 * steepness).all(axis=1)
        masses = np.diff(ndtr(np.concatenate([[-np.inf], self.kinks, [np.inf]])))
        return masses[flat], self.coefficients[flat, 2]

    def roots(self, y: np.ndarray) -> np.ndarray:
        square, linear, constant = self.coefficients.T
        level = constant - y[:, None]
        root = np.sqrt(np.maximum(linear**2 - 4 * square * level, 0.0))
        half = -(linear + np.where(linear < 0, -root, root)) / 2  # the sum of like signs: no cancellation
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            roots = np.stack([half / square, level / half], axis=-1)
        edges = np.concatenate([[-np.inf], self.kinks, [np.inf]])
        slack = 1e-9  # a root on a kink belongs to either side
        inside = (roots >= edges[:-1, None] - slack) & (roots <= edges[1:, None] + slack) & np.isfinite(roots)
        return np.where(inside, roots, np.nan).reshape(len(y), -1)
