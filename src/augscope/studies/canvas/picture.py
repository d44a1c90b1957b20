"""The picture of a study: three training points, accuracy by rarity, and how evenly a digit is weighed."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from augscope.studies.canvas.canvases import Canvases, draw_canvases
from augscope.studies.canvas.settings import RARITIES
from augscope.studies.canvas.study import Study
from augscope.support.styles import method_styles

SPREAD = 0.5  # of the methods' marks about a rarity's tick


def study_figure(study: Study) -> Figure:
    """Return the figure; intervals are 95 % over seeds."""
    figure = Figure(figsize=(9.6, 5.6), layout="constrained")
    halves = figure.subfigures(2, 1, height_ratios=(1, 2.4), squeeze=False)
    above, below = halves[0, 0], halves[1, 0]
    _draw_examples(above.subplots(1, len(RARITIES)), draw_canvases(study.settings, study.seeds[0]).train, study)
    accuracy, shares = below.subplots(1, 2)
    _draw_measure(accuracy, study, "accuracy", 100)
    accuracy.axhline(50, color="0.5", linewidth=0.9, linestyle=":", label="coin flip")
    accuracy.set(title="What is learned", ylabel="test accuracy, %")
    _draw_measure(shares, study, "clean_share", 1)
    even = 1 / study.settings.num_patches
    shares.axhline(even, color="0.5", linewidth=0.9, linestyle=":", label=f"even: 1/P = {even:.2f}")
    shares.set(title="How evenly a point is used", ylabel="digit's share of the margin")
    for axis in (accuracy, shares):
        axis.legend(fontsize=8, frameon=False)
    return figure


def _draw_examples(axes: np.ndarray, canvases: Canvases, study: Study) -> None:
    """The first training point of label +1 of each rarity, its patches side by side, each in a grey scale of its own."""
    side = study.settings.side
    for column, axis in enumerate(axes):
        patches = canvases.patches[int(np.argmax(canvases.rarity == column))]
        low, high = patches.min(axis=1, keepdims=True), patches.max(axis=1, keepdims=True)
        shown = ((patches - low) / (high - low)).reshape(-1, side, side)
        gap = np.ones((side, max(1, side // 16)))
        row = np.hstack([part for patch in shown for part in (patch, gap)][:-1])
        axis.imshow(row, cmap="gray", vmin=0, vmax=1)
        axis.set_title(f"{RARITIES[column]}: {study.settings.counts[column]} points a label", fontsize=9)
        axis.axis("off")


def _draw_measure(axis: Axes, study: Study, measure: str, factor: float) -> None:
    """A mark with its interval for each method at each rarity."""
    titles = list(study.measures)
    for index, (title, style) in enumerate(method_styles(titles).items()):
        intervals = np.array([study.interval(title, measure, column) for column in range(len(RARITIES))])
        middle, low, high = factor * intervals.T
        shift = SPREAD * (index - (len(titles) - 1) / 2) / len(titles)
        bars = np.nan_to_num([middle - low, high - middle], posinf=0)  # one seed has no interval
        axis.errorbar(np.arange(3) + shift, middle, bars, fmt=style.marker, color=style.colour, capsize=3, label=title)
    axis.set_xticks(range(3), RARITIES)
    axis.set_xlim(-0.5, 2.5)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", alpha=0.2)
