"""A study in words and tables: what it shows, and what it does not, each only as strong as the intervals allow."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from augscope.studies.canvas.settings import RARITIES
from augscope.studies.canvas.study import Comparison, Study
from augscope.support.statistics import Interval
from augscope.support.wording import p_value_in_words

LEVEL = 0.05  # of Holm's p-values, over all comparisons of a study
MEASURES = {"accuracy": (100, ".1f"), "fitted": (100, ".1f"), "clean_share": (1, ".2f")}  # factor, digits as shown


INTRODUCTION = (
    "A canvas is a row of P patches: one shows a digit, the others noise. Each label is three digit classes: a common one with many "
    "training canvases, a rare one with few, and an extremely rare one. ERM (empirical risk minimisation) trains on the canvases "
    "as they are, Cutout blanks C random patches, CutMix mixes the patches and labels of two canvases. A margin is y f(X), above "
    "0 where the network is right; the digit's share of it is the score of a fresh digit's patch alone over that of a training canvas."
)


class Statement(NamedTuple):
    """A sentence, and how it is coloured: "holds", "violated", "open", or "reported" for what the theory does not say."""

    text: str
    tone: str


def statements(study: Study) -> list[Statement]:
    """Return what the study says of the theory's order and evenness, then what lies outside the theory or against it."""
    order = [_order(study, rarity) for rarity in RARITIES[:0:-1]]
    outside = [
        _outside(study, title, "is outside the theory, which needs C < P/2")
        for title, inside in _cutouts(study).items()
        if not inside
    ]
    if "Mixup" in study.measures:
        outside.append(_outside(study, "Mixup", "blends two canvases in halves; the theory says nothing of it"))
    return [*order, _evenness(study), *outside, _common(study), _fit(study)]


def _cutouts(study: Study) -> dict[str, bool]:
    """Whether the theory covers each Cutout (C < P/2), by title."""
    return {title: 2 * num_cut < study.settings.num_patches for title, num_cut in study.settings.cutouts.items()}


def _order(study: Study, rarity: str) -> Statement:
    """Whether accuracy rises from ERM over the theory's Cutouts to CutMix, step by step."""
    chain = ["ERM", *(title for title, inside in _cutouts(study).items() if inside), "CutMix"]
    steps = [_comparison(study, rarity, later, earlier) for earlier, later in pairwise(chain)]
    column = RARITIES.index(rarity)
    shown = [f"{title} {100 * study.interval(title, 'accuracy', column).estimate:.1f} %" for title in chain]
    shown[1:] = [f"{text} ({p_value_in_words(step.adjusted)})" for text, step in zip(shown[1:], steps, strict=True)]
    rises = [step.adjusted <= LEVEL and step.difference.estimate > 0 for step in steps]
    falls = [step.adjusted <= LEVEL and step.difference.estimate < 0 for step in steps]
    tone = "holds" if all(rises) else "violated" if any(falls) else "open"
    verdict = {"holds": "as in the theory", "violated": "against the theory"}
    return Statement(
        f"Order on {rarity} digits, {verdict.get(tone, 'not shown at every step')}: {', '.join(shown)}.", tone
    )


def _step(step: Comparison) -> str:
    return f"{100 * step.difference.estimate:+.1f} points on {step.rarity} digits ({p_value_in_words(step.adjusted)})"


def _evenness(study: Study) -> Statement:
    shares = "; ".join(f"{title} {_row(study, title, 'clean_share')}" for title in ("ERM", "CutMix"))
    even = f"an even network has 1/P = {1 / study.settings.num_patches:.2f}"
    return Statement(f"Digit's share of the margin ({', '.join(RARITIES)}): {shares}; {even}.", "reported")


def _row(study: Study, title: str, measure: str) -> str:
    factor, digits = MEASURES[measure]
    return ", ".join(
        format(factor * study.interval(title, measure, column).estimate, digits) for column in range(len(RARITIES))
    )


def _outside(study: Study, title: str, why: str) -> Statement:
    steps = " and ".join(_step(_comparison(study, rarity, "CutMix", title)) for rarity in (RARITIES[2], RARITIES[1]))
    return Statement(f"{title} {why}. CutMix − {title}: {steps}.", "reported")


def _common(study: Study) -> Statement:
    step = _comparison(study, RARITIES[0], "CutMix", "ERM")
    certain, change = step.adjusted <= LEVEL, step.difference.estimate
    effect = "CutMix costs accuracy" if change < 0 else "CutMix gains accuracy"
    return Statement(f"{effect if certain else 'No cost of CutMix is shown'}: CutMix − ERM: {_step(step)}.", "reported")


def _fit(study: Study) -> Statement:
    least = min(float(measures.fitted.min()) for measures in study.measures.values())
    if least == 1:
        return Statement(
            "Every network fits every training point, those of digits it gets wrong in the test too: these it only memorised.",
            "reported",
        )
    shares = ", ".join(f"{title} {100 * measures.fitted.mean():.1f} %" for title, measures in study.measures.items())
    return Statement(f"Training points fitted, mean over rarities: {shares}.", "reported")


def _comparison(study: Study, rarity: str, first: str, second: str) -> Comparison:
    return next(row for row in study.comparisons if (row.rarity, row.first, row.second) == (rarity, first, second))


def measure_table(study: Study, measure: str) -> list[tuple[str, list[str]]]:
    """Rows (method, one cell a rarity): mean over seeds with its 95 % interval; `measure` as in `Measures`."""
    factor, digits = MEASURES[measure]
    return [
        (title, [cell(study.interval(title, measure, column), factor, digits) for column in range(len(RARITIES))])
        for title in study.measures
    ]


def cell(interval: Interval, factor: float, digits: str) -> str:
    """An estimate and its interval, such as 69.2 (60.1–78.3); bounds that are not finite are left out."""
    shown = [format(factor * value, digits) for value in interval]
    bounded = np.isfinite(interval.low) and np.isfinite(interval.high)
    return f"{shown[0]} ({shown[1]} to {shown[2]})" if bounded else shown[0]


def comparison_table(study: Study) -> list[tuple[str, list[str]]]:
    """Rows (comparison, rarity with difference, interval and Holm's p)."""
    rows: dict[str, list[str]] = {}
    for row in study.comparisons:
        difference = row.difference
        interval = Interval(difference.estimate, difference.low, difference.high)
        shown = f"{cell(interval, 100, '+.1f')}, {p_value_in_words(row.adjusted)}"
        rows.setdefault(f"{row.first} − {row.second}", []).append(shown)
    return list(rows.items())


def conditions(study: Study) -> str:
    """Return what was trained on what, in a sentence."""
    settings = study.settings
    digits = {
        "template": "one image a subclass",
        "homogeneous": "the 80 digits nearest to the class mean",
        "all": "all digits",
    }
    network = "the paper's two filters" if settings.network == "two-filter" else f"{settings.width} ReLU filters"
    return (
        f"{len(study.seeds)} seed{'s' * (len(study.seeds) != 1)}; {digits[settings.preset]}; {settings.noise} dominant noise of norm "
        f"{settings.dominant_noise_norm:g}, Gaussian background of norm {settings.background_noise_norm:g} (a digit has 1); "
        f"P = {settings.num_patches}, d = {settings.dim:,}, n = {settings.num_samples} with counts "
        f"{', '.join(map(str, settings.counts))} a label; {network}; {settings.num_steps:,} steps of size {settings.step_size:g}. "
        f"p-values: paired by seed, each method in the order against the one before it, with Holm's correction over all comparisons."
    )
