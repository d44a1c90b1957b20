"""Exact boundaries of phase diagrams: where what a method learns in the population changes between neighbouring places.

The population is trained at the diagram's own places, and every change between two neighbours bisected on the grid's own
formulas. Nothing is assumed monotone: what is learned again farther on has boundaries of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from augscope.model.methods import Method
from augscope.support.values import check
from augscope.sweep.axes import points, rounded
from augscope.sweep.grid import Sweep
from augscope.sweep.phase_boundaries import Learned
from augscope.training.configuration import PARAMETERS
from augscope.training.experiment import Experiment
from augscope.training.regimes import Setting, regimes

ROUNDS = 6  # of bisection: to 1/64 of the distance between two places
MAX_PLACES = 2_000  # of a panel
PRECISION = 1e-6  # relative: places are rounded to ten digits
_MIXED = "the records of one place must be of one problem: choose by `where` or `panels`"


@dataclass(frozen=True)
class ExactBoundary:
    """Where a method begins or ceases to learn a feature in the population, on the M places of a panel.

    Attributes:
        learned: whether it is, at each place.
        x, y: the C places, between two neighbours each, at which that changes.
        edges: the numbers of those neighbours.
    """

    learned: Bool[np.ndarray, " M"]
    x: Float[np.ndarray, " C"]
    y: Float[np.ndarray, " C"]
    edges: Int[np.ndarray, "C 2"]

    def crossings(self, places: Float[np.ndarray, "M 2"]) -> dict[float, list[float]]:
        """Return, by x, every y at which it changes between places of that x."""
        crossings: dict[float, list[float]] = {}
        for y, (low, high) in zip(self.y.tolist(), self.edges, strict=True):
            if places[low, 0] == places[high, 0]:
                crossings.setdefault(float(places[low, 0]), []).append(y)
        return {x: sorted(values) for x, values in crossings.items()}

    def lines(self, places: Float[np.ndarray, "M 2"]) -> list[list[int]]:
        """Return the numbers of changes along lines: those on two sides of one cell are joined. A line may be one alone."""
        known = {(int(low), int(high)): index for index, (low, high) in enumerate(self.edges)}
        joined: dict[int, list[int]] = {index: [] for index in known.values()}
        for sides in _cells(places):
            changed = [known[side] for side in sides if side in known]
            for one, other in zip(changed[::2], changed[1::2], strict=True):
                joined[one].append(other)
                joined[other].append(one)
        lines, drawn = [], set()
        for start in sorted(joined, key=lambda index: len(joined[index])):  # closed lines, which have no end, come last
            line: list[int] = [] if start in drawn else [start]
            while line and line[-1] not in drawn:
                drawn.add(line[-1])
                line += [index for index in joined[line[-1]] if index not in drawn][:1]
            is_closed = len(line) > 2 and start in joined[line[-1]]
            lines += [[*line, start] if is_closed else line] if line else []
        return lines


@dataclass(frozen=True)
class Problems:
    """The problems of a panel's places, and of every place between them.

    Attributes:
        places: (M, 2), x and y.
        settings: of each place.
        methods: that were run there.
        grid, others: the grid whose axes x and y are, and the values of its other axes here.
        axes: the names of x and y. logs: whether they are logarithmic.
    """

    places: Float[np.ndarray, "M 2"]
    settings: Sequence[Setting]
    methods: Sequence[Method]
    grid: Sweep
    others: dict[str, Any]
    axes: tuple[str, str]
    logs: tuple[bool, bool]

    @classmethod
    def of(
        cls,
        places: Float[np.ndarray, "M 2"],
        configurations: Sequence[Sequence[str]],
        grids: Sequence[Sweep],
        axes: tuple[str, str],
        logs: tuple[bool, bool],
    ) -> Problems:
        """Return the problems of a panel, from the configurations of its records at each place.

        Raises:
            ValueError: in a sentence, where a place has several problems, or no grid has these axes and problems.
        """
        fitting = [grid for grid in grids if {(name,) for name in axes} <= {axis.names for axis in grid.axes}]
        check(bool(fitting) and axes[0] != axes[1], f"x and y must be axes of one grid, got {axes[0]} and {axes[1]}")
        check(len(places) <= MAX_PLACES, f"a panel must have at most {MAX_PLACES:,} places, got {len(places):,}")
        settings, methods = [], {}
        for texts in configurations:
            experiments = [Experiment(**json.loads(text)) for text in texts]
            settings.append(Setting.of(experiments[0]).canonical)
            check(all(_alike(Setting.of(experiment), settings[-1]) for experiment in experiments), _MIXED)
            methods |= {experiment.methods[0].title: experiment.methods[0] for experiment in experiments}
        for grid in reversed(fitting):  # the newest first
            for others in points([axis for axis in grid.axes if axis.names[0] not in axes]):
                problems = cls(places, settings, tuple(methods.values()), grid, others, axes, logs)
                if all(map(_alike, problems.at(places[:1]), settings)):
                    return problems
        raise ValueError("the grid with these axes must be that of the records, got another")

    def at(self, places: Float[np.ndarray, "M 2"]) -> list[Setting]:
        """Return the settings of any places."""
        values = [dict(zip(self.axes, map(_value, self.axes, place), strict=True)) for place in places.tolist()]
        return [Setting.of(next(self.grid.experiments({**self.others, **value}))) for value in values]

    def middles(self, low: Float[np.ndarray, "C 2"], high: Float[np.ndarray, "C 2"]) -> Float[np.ndarray, "C 2"]:
        """Return places half way between others, in the axes' own scale."""
        columns = [
            np.sqrt(low[:, i] * high[:, i]) if log else (low[:, i] + high[:, i]) / 2 for i, log in enumerate(self.logs)
        ]
        return np.stack(columns, axis=1)

    def boundary(self, line: Learned) -> ExactBoundary:
        """Return where a method begins or ceases to learn a feature. Raises ValueError if there is no such feature.

        Cost: a descent of the population for each place, and six for each change.
        """
        method = next((method for method in self.methods if isinstance(method, line.method)), line.method())

        def learned(settings: Sequence[Setting]) -> Bool[np.ndarray, " M"]:
            return np.array([regime.learned[line.index] for regime in regimes(settings, method)], bool)

        fewest = min(setting.distribution.num_features for setting in self.settings)
        check(line.index < fewest, f"there must be a feature {line.index + 1}, got {fewest}")
        answers = learned(self.settings)
        edges = [(low, high) for low, high, _ in neighbours(self.places) if answers[low] != answers[high]]
        ends = np.array(edges, int).reshape(-1, 2)
        low, high = self.places[ends[:, 0]], self.places[ends[:, 1]]
        for _ in range(ROUNDS if len(ends) else 0):
            middle = self.middles(low, high)
            with_low = (learned(self.at(middle)) == answers[ends[:, 0]])[:, None]
            low, high = np.where(with_low, middle, low), np.where(with_low, high, middle)
        middles = self.middles(low, high)
        return ExactBoundary(answers, middles[:, 0], middles[:, 1], ends)


def neighbours(places: Float[np.ndarray, "M 2"]) -> Iterator[tuple[int, int, int]]:
    """Yield the numbers of places next to each other along an axis, the lower first, with the axis (0: x)."""
    for along in (0, 1):
        for across in np.unique(places[:, 1 - along]):
            line = np.flatnonzero(places[:, 1 - along] == across)
            for low, high in pairwise(line[np.argsort(places[line, along])].tolist()):
                yield low, high, along


def _cells(places: Float[np.ndarray, "M 2"]) -> Iterator[tuple[tuple[int, int], ...]]:
    """The four sides of each cell between neighbours, in an order in which pairs meet in a corner."""
    right = {low: high for low, high, along in neighbours(places) if along == 0}
    above = {low: high for low, high, along in neighbours(places) if along == 1}
    for corner, beside in right.items():
        over, far = above.get(corner), above.get(beside)
        if over is not None and far is not None and right.get(over) == far:
            yield (corner, beside), (corner, over), (beside, far), (over, far)


def _value(name: str, value: float) -> float:
    """A place's coordinate as a value of an axis."""
    whole = name in PARAMETERS and PARAMETERS[name].is_whole
    return round(value) if whole else rounded(value)


def _alike(one: Setting, other: Setting) -> bool:
    """Whether two settings are equal, up to the digits of places."""
    first, second = _numbers(one), _numbers(other)
    return one.network == other.network and len(first) == len(second) and np.allclose(first, second, PRECISION, 0)


def _numbers(setting: Setting) -> list[float]:
    """All that training on the population depends on."""
    distribution = setting.distribution
    energies = distribution.dominant_energy / setting.num_samples, distribution.background_energy / setting.num_samples
    training = setting.step_size, setting.num_steps, distribution.num_patches, distribution.feature_noise
    return [*training, *energies, *distribution.frequencies]
