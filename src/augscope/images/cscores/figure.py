"""The picture of a study: how the C-scores of the misclassified points are distributed, method by method."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from augscope.images.cscores.results import StudyResult

# Okabe & Ito's palette: told apart by colour-blind readers too; each method also has its own line style.
STYLES = (("#000000", "-"), ("#0072B2", "--"), ("#D55E00", "-."), ("#009E73", (0, (5, 1))), ("#CC79A7", (0, (1, 1))))
GREY = "#8a8a8a"


def distribution_figure(result: StudyResult) -> Figure:
    """Return the figure: cumulative shares on the left, mean and quartiles over seeds on the right."""
    height = max(3.6, 1.2 + 0.55 * (len(result.methods) + 1))
    figure = Figure(figsize=(9.5, height), layout="constrained")
    left, right = figure.subplots(1, 2)
    _cumulative(left, result)
    _quartiles(right, result)
    return figure


def _cumulative(axes: Axes, result: StudyResult) -> None:
    every = np.concatenate([result.run.scores[points] for points in result.run.held_out])
    axes.ecdf(every, color=GREY, linestyle=":", label="all held-out points")
    for method, (colour, line) in zip(result.methods, STYLES, strict=False):
        scores = np.concatenate(method.scores)
        if len(scores):
            axes.ecdf(scores, color=colour, linestyle=line, label=method.title)
    axes.set(xlim=(-0.02, 1.02), ylim=(0, 1.02), xlabel="C-score", ylabel="share of the misclassified points below")
    axes.set_title("Misclassified points, all seeds", fontsize=11)
    axes.legend(fontsize=8, frameon=False, loc="upper left")


def _quartiles(axes: Axes, result: StudyResult) -> None:
    """A bar from the first to the third quartile, a line at the median, a dot with its interval at the mean."""
    for row, (method, (colour, _)) in enumerate(zip(result.methods, STYLES, strict=False)):
        mean, low, middle, high = method.summary
        _bar(axes, row, colour, low.estimate, middle.estimate, high.estimate)
        axes.plot(mean.estimate, row, "o", color=colour, markersize=6)
        if np.isfinite(mean.low):
            axes.plot([mean.low, mean.high], [row, row], color=colour, linewidth=2)
    mean, *quartiles = result.held_out
    _bar(axes, len(result.methods), GREY, *quartiles)
    axes.plot(mean, len(result.methods), "o", color=GREY, markersize=6)
    names = [*(method.title for method in result.methods), "all held-out points"]
    axes.set_yticks(range(len(names)), names)
    axes.set(xlim=(-0.02, 1.02), xlabel="C-score", ylim=(len(names) - 0.4, -0.6))
    axes.set_title("Quartiles (bar), mean and 95 % interval (dot)", fontsize=11)


def _bar(axes: Axes, row: int, colour: str, low: float, middle: float, high: float) -> None:
    axes.barh(row, high - low, left=low, height=0.5, color=colour, alpha=0.25)
    axes.plot([middle, middle], [row - 0.25, row + 0.25], color=colour, linewidth=2)
