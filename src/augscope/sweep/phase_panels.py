"""What a picture of a phase diagram shows: a value at places of two axes, panel by panel."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from augscope.support.shown import Shown
from augscope.sweep.phase_limits import ExactBoundary


@dataclass(frozen=True, repr=False)
class Panel(Shown):
    """One diagram: the records of one group, by place (x, y). All arrays have an entry a place, in order of x, then y.

    Attributes:
        name: of the group, "" for all. method: of its records, or "several".
        x, y: the place.
        count: records there. mean, low, high: mean of the value over seeds and its 95 % t-interval (NaN where there is one
            record). smallest, largest: over seeds.
        boundaries: by name, the quantity divided by its level: 1 on the boundary.
        exact: by name, what the population says (model.md §8).
    """

    name: str
    method: str
    x: Float[np.ndarray, " M"]
    y: Float[np.ndarray, " M"]
    count: Int[np.ndarray, " M"]
    mean: Float[np.ndarray, " M"]
    low: Float[np.ndarray, " M"]
    high: Float[np.ndarray, " M"]
    smallest: Float[np.ndarray, " M"]
    largest: Float[np.ndarray, " M"]
    boundaries: dict[str, Float[np.ndarray, " M"]]
    exact: dict[str, ExactBoundary] = field(default_factory=dict)

    def __str__(self) -> str:
        name = f"{self.name}: " if self.name else ""
        return f"{name}from {self.mean.min():.4g} to {self.mean.max():.4g} at {len(self.x)} places"

    @property
    def places(self) -> Float[np.ndarray, "M 2"]:
        """x and y of each place."""
        return np.stack([self.x, self.y], axis=1)

    @property
    def spread(self) -> Float[np.ndarray, " M"]:
        """Largest minus smallest value over seeds."""
        return self.largest - self.smallest

    def crossings(self, level: float, column: str = "mean") -> dict[float, float]:
        """Return, by x, the largest y at which the value crosses a level between two places, linear in log y.

        Args:
            level: of the value (`column` "mean"), or 1 for a boundary (`column` its name).
            column: "mean" or the name of a boundary.

        An x whose places all lie on one side of the level is left out.
        """
        values = self.mean if column == "mean" else self.boundaries[column]
        crossings = {}
        for x in np.unique(self.x):
            here = np.flatnonzero(self.x == x)
            at, value = np.log(self.y[here]), values[here] - level
            if column != "mean":
                value = np.log(values[here])
            for i in range(len(here) - 1):
                if value[i] * value[i + 1] < 0:
                    share = value[i] / (value[i] - value[i + 1])
                    crossings[float(x)] = float(np.exp(at[i] + share * (at[i + 1] - at[i])))
        return crossings

    @property
    def predicted_crossings(self) -> dict[str, dict[float, list[float]]]:
        """Every y at which a boundary is crossed, by its name and x."""
        exact = {name: boundary.crossings(self.places) for name, boundary in self.exact.items()}
        return exact | {name: {x: [y] for x, y in self.crossings(1, name).items()} for name in self.boundaries}


@dataclass(frozen=True, repr=False)
class Panels(Shown):
    """Diagrams side by side, with common axes and a common value; attributes as in `PhaseDiagram`."""

    x: str
    y: str
    value: str
    level: float
    x_log: bool
    y_log: bool
    panels: tuple[Panel, ...]
    title: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    minus: str | None = None

    @property
    def shown_value(self) -> str:
        """The value in words: of a difference both sides."""
        return self.value if self.minus is None else f"{self.value} − that where {self.minus}"
