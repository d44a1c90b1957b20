"""Colours, lines and markers of all pictures (Okabe & Ito's palette, which colour-blind readers can distinguish)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle
from typing import NamedTuple

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
INK, GREY = "#1c1c1c", "#666666"


class Style(NamedTuple):
    """A colour, and a line and a marker in matplotlib's words for readers who cannot distinguish colours."""

    colour: str
    line: str
    marker: str


# By the name of a rarity, as in `Rarity`.
RARITIES = {
    "common": Style(BLUE, "-", "o"),
    "rare": Style(ORANGE, "--", "s"),
    "extremely_rare": Style(VERMILION, "-.", "^"),
    "borderline": Style(GREY, ":", "x"),
}
BOUNDARIES = (Style(VERMILION, "--", ""), Style(PURPLE, "-.", ""), Style(SKY, ":", ""))  # predicted, in phase diagrams

_FAMILIES = {
    "erm": (Style(BLACK, "-", "o"),),
    "cutout": (  # as many as a study of 8 patches has
        Style(ORANGE, "--", "s"),
        Style(VERMILION, "--", "D"),
        Style(PURPLE, "--", "P"),
        Style(YELLOW, "--", "*"),
        Style(GREY, "--", "X"),
        Style(SKY, "--", "h"),
        Style(GREEN, "--", "v"),
    ),
    "cutmix": (Style(BLUE, "-.", "^"), Style(SKY, "-.", "v")),
}
_OTHERS = (Style(GREEN, ":", "X"), Style(GREY, ":", "h"))  # methods of other families


def method_styles(titles: Iterable[str]) -> dict[str, Style]:
    """Return the style of each method by its name or title: all of one family look related, whatever their parameters.

    Example:
        >>> [style.marker for style in method_styles(["ERM", "Cutout C = 1", "Cutout C = 2", "CutMix"]).values()]
        ['o', 's', 'D', '^']
    """
    left = {family: cycle(styles) for family, styles in _FAMILIES.items()}
    others = cycle(_OTHERS)
    return {title: next(left.get(_family(title), others)) for title in titles}


def _family(title: str) -> str:
    return next((family for family in _FAMILIES if title.lower().startswith(family)), "")
