"""An audit in words, only as strong as its intervals allow."""

from __future__ import annotations

from dataclasses import dataclass

from augscope.images.plan import title
from augscope.studies.audit.design import Design, GroupedImages
from augscope.studies.audit.subgroups import MEMORISED, Comparison, Measured
from augscope.support.statistics import Interval
from augscope.support.wording import p_value_in_words


@dataclass(frozen=True)
class Words:
    """What an audit says.

    Attributes:
        headline: the result in a sentence.
        recommendation: what to do, in a sentence or two.
        findings: a sentence for each claim, and for each method's worst subgroup.
    """

    headline: str
    recommendation: str
    findings: tuple[str, ...]


Claims = dict[str, list[Comparison]]


def put_in_words(design: Design, measured: Measured) -> Words:
    """Return the words: differences are claimed after Holm's correction only."""
    data, methods = design.data, design.methods
    gains, losses = _claims(design, measured, 1), _claims(design, measured, -1)
    findings = [
        _finding(design, claim) for method in methods for claim in (*gains.get(method, ()), *losses.get(method, ()))
    ]
    others = [claim for claim in measured.comparisons if claim.claimed and claim.baseline != design.reference]
    findings += [_finding(design, claim) for claim in others]
    findings += [_worst(data, measured, method) for method in methods]
    findings += _memorised(design, measured)
    return Words(_headline(design, gains, losses), _recommendation(design, measured, gains, losses), tuple(findings))


def share(interval: Interval) -> str:
    """52.0 % (44.9–60.1)."""
    return f"{100 * interval.estimate:.1f} % ({100 * interval.low:.1f}–{100 * interval.high:.1f})"


def _claims(design: Design, measured: Measured, sign: int) -> Claims:
    """The claimed differences of one sign to the reference, by method in the order of methods."""
    claims: Claims = {}
    for comparison in measured.comparisons:
        to_reference = comparison.baseline == design.reference
        if to_reference and comparison.claimed and sign * comparison.difference.estimate > 0:
            claims.setdefault(comparison.method, []).append(comparison)
    return claims


def _headline(design: Design, gains: Claims, losses: Claims) -> str:
    data, reference = design.data, title(design.reference)
    if len(design.methods) == 1:
        return f"{reference} alone was trained: there is nothing to compare it with."
    if design.one_seed:
        return "One training of each method cannot tell whether the methods differ, or only these trainings."
    if not gains and not losses:
        return f"No other method is shown to change what {reference} learns of any subgroup."

    def names(claims: list[Comparison]) -> str:
        return _listed([f"“{data.groups[claim.group].name}”" for claim in claims], "and")

    parts = [f"{title(method)} predicts {names(claims)} better than {reference}" for method, claims in gains.items()]
    parts += [f"{title(method)} predicts {names(claims)} worse" for method, claims in losses.items()]
    return "; ".join(parts) + "."


def _listed(names: list[str], word: str) -> str:
    """a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"


def _recommendation(design: Design, measured: Measured, gains: Claims, losses: Claims) -> str:
    if len(design.methods) == 1 or design.one_seed:
        return _one_seed(design)
    better = [title(method) for method in gains if method not in losses]
    trading = [title(method) for method in gains if method in losses]
    worse = [title(method) for method in losses if method not in gains]
    sentences = []
    if better:
        sentences.append(
            f"For images like these, {_listed(better, 'or')} is better than {title(design.reference)} on some subgroup, and not shown to be worse "
            f"on any: prefer it. {_unseen(measured)}"
        )
    if trading:
        sentences.append(
            f"{_listed(trading, 'or')} trades one subgroup for another: whether that is worth it depends on what an error "
            "costs in each."
        )
    if worse:
        sentences.append(f"{_listed(worse, 'or')} is worse on some subgroup and not shown to be better on any.")
    if len(gains) > 1 and len(design.pairs) < len(design.methods):
        sentences.append(f"Methods are compared with {title(design.reference)}, not with each other.")
    if not sentences:
        return f"These images give no reason to prefer one method to another. {_unseen(measured)}"
    return " ".join(sentences)


def _one_seed(design: Design) -> str:
    """What can be said without a comparison of methods."""
    if not design.one_seed:
        return "The intervals cover other seeds and other test images."
    return (
        "The intervals are over test images alone: they tell how these very networks do on other images like these, and not "
        "how a training from another seed would do. Train from three seeds or more to compare methods."
    )


def _unseen(measured: Measured) -> str:
    """How large a difference may be that the audit does not show, by the uncorrected intervals."""
    tested = [comparison for comparison in measured.comparisons if comparison.adjusted is not None]
    if not tested:
        return "No subgroup has enough test images to show a difference."
    unclear = [comparison.difference for comparison in tested if not comparison.claimed]
    if not unclear:
        return ""
    largest = max(max(abs(difference.low), abs(difference.high)) for difference in unclear)
    where = (
        ""
        if len(tested) == len(measured.comparisons)
        else " in the subgroups that have enough test images, and any in the others,"
    )
    return f"Differences of up to {100 * largest:.0f} points{where} may have gone unseen."


def _finding(design: Design, claim: Comparison) -> str:
    difference = claim.difference
    word = "better" if difference.estimate > 0 else "worse"
    assert claim.adjusted is not None  # of what is claimed
    return (
        f"{title(claim.method)} is {word} than {title(claim.baseline)} on “{design.data.groups[claim.group].name}”: "
        f"{100 * difference.estimate:+.1f} points (95 % interval {100 * difference.low:+.1f} to "
        f"{100 * difference.high:+.1f}), {p_value_in_words(claim.adjusted)} after Holm's correction."
    )


def _worst(data: GroupedImages, measured: Measured, method: str) -> str:
    cells, large = measured.worst(method), measured.large
    among = "Of the subgroups with enough test images, " if 0 < len(large) < len(data.groups) else ""
    names = [f"“{data.groups[cell.group].name}”" for cell in cells]
    if len(cells) == 1:
        return f"{among}{title(method)}'s worst{' subgroup' * (not among)} is {names[0]}, at {share(cells[0].test)}."
    alike = f"alike: {100 * cells[0].test.estimate:.1f} %."
    if len(cells) == len(large or data.groups):
        return f"{among}{title(method)} predicts all {alike}"
    return f"{among}{title(method)} predicts {_listed(names, 'and')} worst, {alike}"


def _memorised(design: Design, measured: Measured) -> list[str]:
    data, sentences = design.data, []
    for method in design.methods:
        cells = [measured.accuracies[method, group] for group in range(len(data.groups))]
        names = [f"“{data.groups[cell.group].name}”" for cell in cells if cell.status == MEMORISED]
        if names:
            sentences.append(
                f"{title(method)} only memorises {', '.join(names)}: it fits the training images and is not above chance "
                "on others."
            )
    return sentences
