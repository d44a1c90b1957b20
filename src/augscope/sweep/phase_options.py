"""The options of a phase diagram, for the command line and `phase_diagram`; light to import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PhaseOptions:
    """What a phase diagram shows. Expressions and conditions are SQL over `records` (see `Records`).

    Attributes:
        x: Across: a column, a free parameter of the grid, or an expression of both, such as
            "power(dominant_noise_std, 2) * dim / num_samples".
        y: Up: likewise.
        value: The colour: likewise, such as "feature_accuracy[2]".
        panels: A column whose values each get a panel, such as "method".
        where: Which records, a condition.
        minus: A condition such as "method = 'cutout'": show the difference to the record of the same experiment and seed that
            meets it.
        level: Of the value, where the contour runs; by default half way between its smallest and largest mean.
        boundaries: Predicted ones, drawn in every panel: "erm", "cutout", "cutmix" (where it learns the rarest feature in the
            population, or with :k feature k; x and y must be axes of one grid), "kappa", "kappa=x", or EXPRESSION=LEVEL. By
            default those of each panel's method.
        title: Of the picture; by default the newest grid's.
    """

    x: str
    y: str
    value: str = "accuracy"
    panels: str | None = None
    where: str = "true"
    minus: str | None = None
    level: float | None = None
    boundaries: Sequence[str] | None = None
    title: str | None = None
