"""Statistical rules on where masks lie: each compares masks of independent draws with one law."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from augscope.laws.boxes import BoxLaw, ErasingLaw, OneBoxLaw
from augscope.laws.named import MaskLaw, PatchLaw, ShareLaw
from augscope.laws.shapes import corners, extents
from augscope.laws.statistics import binomial_test, cdf_test, mixed_binomial_test
from augscope.support.wording import p_value_in_words

MISPLACED = "placement is not the claimed one"
SWAPPED = 0.06  # distance of cdfs from which sides are not named after the other axis; for a name, not for a verdict


class Rule(NamedTuple):
    """A rule's name, its figures in words, its p-value, and the name of the defect if it fails."""

    name: str
    figures: str
    p_value: float
    defect: str


def placement_rules(masks: np.ndarray, law: MaskLaw, *, whole: bool = True) -> list[Rule]:
    """Every rule that the law has, in the order of the report.

    Args:
        masks: with something pasted in each, (m, H, W).
        law: what they are compared with.
        whole: whether masks of all pixels are among them.
    """
    rules = [_coverage_rule(masks, law, whole)]
    if isinstance(law, PatchLaw):
        return [*rules, _together_rule(masks, law, whole)]
    if isinstance(law, OneBoxLaw):
        joint = visible_extents(law, masks.shape[1:], whole=whole)
        rules += _extent_rules(masks, joint)
        if isinstance(law, ErasingLaw):
            rules.append(_aspect_rule(masks, joint))
        if law.inside:
            rules.insert(0, _starts_rule(masks, law))
    return rules


def expected_coverage(law: MaskLaw, size: tuple[int, int], *, whole: bool = True) -> np.ndarray:
    """P(pixel is pasted | something is), (H, W); without `whole`, given also that not everything is."""
    share = law.share(*size)
    full = 0.0 if whole else share.at_one
    return (law.coverage(*size) - full) / (1 - share.at_zero - full)


def visible_extents(law: OneBoxLaw, size: tuple[int, int], *, whole: bool = True) -> np.ndarray:
    """P(the visible box is h × w | something is pasted), (H + 1, W + 1); `whole` as in `expected_coverage`."""
    joint = law.extents(*size).copy()
    joint[0], joint[:, 0] = 0, 0
    if not whole:
        joint[-1, -1] = 0
    return joint / joint.sum()


def likelihood(masks: np.ndarray, law: OneBoxLaw, *, whole: bool = True) -> float:
    """Logarithm of the probability of the masks' heights and widths; 1e-300 for one that the law does not know."""
    joint = visible_extents(law, masks.shape[1:], whole=whole)
    return float(np.log(np.maximum(joint[extents(masks)], 1e-300)).sum())


def _coverage_rule(masks: np.ndarray, law: MaskLaw, whole: bool) -> Rule:
    expected = expected_coverage(law, masks.shape[1:], whole=whole)
    p_value = binomial_test(masks.sum(axis=0), len(masks), expected)
    figures = f"{coverage_in_words(masks)}; expected {expected.min():.3f} to {expected.max():.3f}"
    return Rule("coverage", f"{figures} ({p_value_in_words(p_value)})", p_value, MISPLACED)


def coverage_in_words(masks: np.ndarray) -> str:
    """The least and the largest coverage of a pixel."""
    covered = masks.mean(axis=0)
    return f"a pixel is pasted with probability {covered.min():.3f} to {covered.max():.3f}, given that some are"


def _extent_rules(masks: np.ndarray, joint: np.ndarray) -> list[Rule]:
    """Height and width of the visible boxes, each compared with its law: shows a width that was taken from the height."""
    rules = []
    for axis, (name, sides) in enumerate(zip(("box height", "box width"), extents(masks), strict=True)):
        law_of_side = joint.sum(axis=1 - axis)
        distance, p_value = cdf_test(sides, _lattice_cdf(law_of_side))
        expected = float(law_of_side @ np.arange(len(law_of_side)))
        figures = f"mean {sides.mean():.2f} of {masks.shape[1 + axis]} pixels, expected {expected:.2f} "
        figures += f"(distance {distance:.4f}, {p_value_in_words(p_value)})"
        rules.append(Rule(name, figures, p_value, f"{name} follows another law"))
    return rules


def _aspect_rule(masks: np.ndarray, joint: np.ndarray) -> Rule:
    """Height : width of boxes whose size is drawn in area and aspect."""
    sides = np.argwhere(joint > 0)
    law = ShareLaw.of(np.log(sides[:, 0] / sides[:, 1]), joint[tuple(sides.T)])
    high, wide = extents(masks)
    logs = np.log(high / wide)
    distance, p_value = cdf_test(logs, law.cdf)
    figures = f"height : width is {np.exp(logs.mean()):.3f} in the geometric mean, expected {np.exp(law.mean):.3f}; "
    figures += (
        f"standard deviation of its logarithm {logs.std():.3f} (distance {distance:.4f}, {p_value_in_words(p_value)})"
    )
    return Rule("box aspect", figures, p_value, "aspect ratio is not log-uniform")


def _starts_rule(masks: np.ndarray, law: OneBoxLaw) -> Rule:
    """Boxes at the first and the last place, given their sizes: shows a last start that is never drawn."""
    p_values, parts, never = [], [], False
    for axis, name in enumerate(("rows", "columns")):
        length = masks.shape[1 + axis]
        sides, trials = np.unique(extents(masks)[axis], return_counts=True)
        places = np.array([max(1, len(law.starts(int(side), length))) for side in sides])
        last_place = dict(zip(sides.tolist(), (places - 1).tolist(), strict=True))
        starts, last = corners(masks)[axis], np.array([last_place[side] for side in extents(masks)[axis].tolist()])
        free = last > 0  # the others have one place only
        expected = trials[places > 1] @ (1 / places[places > 1])
        counts = [int((starts == 0)[free].sum()), int((starts >= last)[free].sum())]
        p_values += [mixed_binomial_test(count, trials[places > 1], 1 / places[places > 1]) for count in counts]
        never |= counts[1] == 0 and counts[0] < 2 * expected
        parts.append(f"{counts[0]} and {counts[1]} in {name}, expected {expected:.1f}")
    p_value = min(1.0, len(p_values) * min(p_values))
    figures = f"boxes at the first and the last place: {'; '.join(parts)} ({p_value_in_words(p_value)})"
    return Rule("box starts", figures, p_value, "last start is never drawn" if never else MISPLACED)


def _together_rule(masks: np.ndarray, law: PatchLaw, whole: bool) -> Rule:
    """Subset uniform given its size: any two patches are pasted together equally often."""
    height, width = masks.shape[1:]
    rows, columns = law.grid
    patches = masks[:, :: height // rows, :: width // columns].reshape(len(masks), -1).astype(float)
    together = (patches.T @ patches)[np.triu_indices(law.num_patches, 1)]
    share = law.share(height, width)
    full = 0.0 if whole else share.at_one
    expected = (law.together - full) / (1 - share.at_zero - full)
    p_value, rate = binomial_test(together, len(masks), expected), together / len(masks)
    figures = f"two patches go together with probability {rate.min():.3f} to {rate.max():.3f}; "
    figures += f"expected {expected:.3f} ({p_value_in_words(p_value)})"
    return Rule("subset", figures, p_value, "subset is not uniform given its size")


def swapped_axes(masks: np.ndarray, laws: list[MaskLaw]) -> str | None:
    """A sentence where one side of the boxes follows the image's other side."""
    height, width = masks.shape[1:]
    high, wide = extents(masks)
    for law in laws:
        if isinstance(law, BoxLaw) and law.size is None:
            if _drawn_from(law, wide, height, width):
                return "box width taken from the image's height"
            if _drawn_from(law, high, width, height):
                return "box height taken from the image's width"
    return None


def _drawn_from(law: BoxLaw, sides: np.ndarray, from_side: int, to_side: int) -> bool:
    """Whether sides of boxes along `to_side` pixels have the law of boxes whose size is drawn from `from_side` pixels."""
    sizes, probabilities = law.sizes(from_side, from_side)
    if from_side == to_side or (law.inside and (sizes[:, 0] > to_side).any()):
        return False
    law_of_side = probabilities @ np.array([law.axis(size, to_side)[0] for size in sizes[:, 0]])
    law_of_side[0] = 0  # the other side's being 0 shifts this law a little
    return cdf_test(sides, _lattice_cdf(law_of_side / law_of_side.sum()))[0] < SWAPPED


def _lattice_cdf(probabilities: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The cdf of a law on 0, 1, 2, …"""
    cumulative = np.concatenate([[0.0], np.cumsum(probabilities)])
    return lambda points: cumulative[np.clip(np.floor(points + 1e-9).astype(int) + 1, 0, len(cumulative) - 1)]
