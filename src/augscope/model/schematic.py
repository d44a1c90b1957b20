"""The problem in one picture: two data points as patches, and what Cutout and CutMix make of them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from augscope.support.styles import GREY, INK, RARITIES
from augscope.support.values import check

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST, MOST = 3, 8  # patches that fit into the picture
SHOWN = "Two data points as patches (feature, dominant noise, background noise), a Cutout of the first and a CutMix of both, with their labels"
PIXELS = 9  # of a patch's side; a vector of d numbers in truth
DOMINANT, BACKGROUND = 0.42, 0.11  # how strongly noise shows, as standard deviations of grey levels


class _Row(NamedTuple):
    title: str
    about: str
    patches: list[np.ndarray]  # RGB, (PIXELS, PIXELS, 3); NaN where cut
    origins: list[str]


def schematic(num_patches: int = 4) -> Figure:
    """Draw one data point of each label, one Cutout and one CutMix of them, for a reader who knows no paper.

    A patch is a vector of d numbers, drawn as a small image: the feature patch in the colour of its rarity, the dominant noise
    as strong grain with a trace α of a feature, the background as weak grain. Cutout clears C = 1 patch, CutMix takes the
    subset S of the first point's patches and the rest from the second, with label weights |S|/P and 1 − |S|/P (Definitions of
    Oh & Yun 2024, §2).

    Args:
        num_patches: P, 3 to 8.

    Raises:
        ValueError: on another P.
    """
    from matplotlib.figure import Figure

    check(LEAST <= num_patches <= MOST, f"`num_patches` must be {LEAST} to {MOST} in the picture, got {num_patches}")
    figure = Figure(figsize=(1.9 + 1.25 * num_patches + 3.1, 5.6), layout="constrained")
    rows = _rows(num_patches)
    grid = figure.add_gridspec(len(rows), num_patches + 1, width_ratios=[1] * num_patches + [2.9])
    for at, row in enumerate(rows):
        for p, (patch, origin) in enumerate(zip(row.patches, row.origins, strict=True)):
            _draw(figure.add_subplot(grid[at, p]), patch, origin)
        words = figure.add_subplot(grid[at, num_patches])
        words.set_axis_off()
        words.text(0.04, 0.72, row.title, fontsize=12, fontweight="bold", color=INK, va="center")
        words.text(0.04, 0.5, row.about, fontsize=9.5, color=INK, va="top", linespacing=1.4)
    return figure


def schematic_svg(num_patches: int) -> bytes:
    """Return the picture as an SVG file, of the nearest number of patches that fits into it."""
    return _svg(min(max(num_patches, LEAST), MOST))


@cache
def _svg(num_patches: int) -> bytes:
    from augscope.support.rendering import to_bytes

    return to_bytes(schematic(num_patches), "svg")


def _rows(num_patches: int) -> list[_Row]:
    random = np.random.default_rng(0)
    first = [_feature("common"), _noise(random, DOMINANT, trace="rare")]
    first += [_noise(random, BACKGROUND) for _ in range(num_patches - 2)]
    second = [_noise(random, BACKGROUND) for _ in range(num_patches)]
    second[1], second[-1] = _feature("rare", flipped=True), _noise(random, DOMINANT, trace="common")
    of_first = ["common feature", "dominant noise", *["background noise"] * (num_patches - 2)]
    of_second = ["background noise", "rare feature", *["background noise"] * (num_patches - 3), "dominant noise"]
    subset = {0, *range(2, num_patches - 1)}
    mixed = [(first if p in subset else second)[p] for p in range(num_patches)]
    origins = [(of_first if p in subset else of_second)[p] for p in range(num_patches)]
    share = len(subset) / num_patches
    cleared = [np.full_like(patch, np.nan) if p == 1 else patch for p, patch in enumerate(first)]
    return [
        _Row(
            "A point of label +1",
            "only the feature tells the label;\ndominant noise carries a trace α\nof a feature of either label",
            first,
            of_first,
        ),
        _Row("A point of label −1", "each label has features of its own,\ncommon and rare ones", second, of_second),
        _Row(
            "Cutout of the first",
            "one patch is cut, the label stays +1;\nwhere it is the dominant noise,\nthe feature has to tell the label",
            cleared,
            [of_first[0], "cut", *of_first[2:]],
        ),
        _Row(
            "CutMix of both",
            f"{len(subset)} of {num_patches} patches are the first's:\nlabel +1 with weight {share:.3g}, −1 with {1 - share:.3g}",
            mixed,
            origins,
        ),
    ]


def _feature(rarity: str, *, flipped: bool = False) -> np.ndarray:
    """Stripes in the colour of a rarity; those of the other label lie across."""
    from matplotlib.colors import to_rgb

    stripes = np.where(np.arange(PIXELS) % 4 < 2, 1.0, 0.25)
    weights = np.broadcast_to(stripes[:, None] if flipped else stripes, (PIXELS, PIXELS))
    return 1 - weights[..., None] * (1 - np.array(to_rgb(RARITIES[rarity].colour)))


def _noise(random: np.random.Generator, size: float, trace: str | None = None) -> np.ndarray:
    """Grey grain, with a trace of a feature or without."""
    grain = np.repeat(0.72 + size * random.standard_normal((PIXELS, PIXELS, 1)), 3, axis=2)
    if trace is not None:
        grain = 0.8 * grain + 0.2 * _feature(trace)
    return grain.clip(0, 1)


def _draw(axis: Axes, patch: np.ndarray, origin: str) -> None:
    is_cut = bool(np.isnan(patch).any())
    axis.imshow(np.ones_like(patch) if is_cut else patch, interpolation="nearest")
    if is_cut:
        axis.plot([-0.5, PIXELS - 0.5], [-0.5, PIXELS - 0.5], color=GREY, linewidth=1)
        axis.plot([-0.5, PIXELS - 0.5], [PIXELS - 0.5, -0.5], color=GREY, linewidth=1)
    axis.set(xticks=[], yticks=[], xlim=(-0.5, PIXELS - 0.5), ylim=(PIXELS - 0.5, -0.5))
    axis.set_xlabel(origin, fontsize=8, color=INK)
