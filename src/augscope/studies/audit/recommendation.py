"""An audit in words, only as strong as its intervals allow."""

from __future__ import annotations

from dataclasses import dataclass

from augscope.images.plan import METHODS
from augscope.studies.audit.dataset import ImageData
from augscope.studies.audit.settings import REFERENCE
from augscope.studies.audit.study import Study
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


def put_in_words(study: Study, measured: Measured) -> Words:
    """Return the words: differences are claimed after Holm's correction only."""
    data, methods = study.data, study.settings.methods
    gains, losses = _claims(measured, 1), _claims(measured, -1)
    findings = [
        _finding(data, claim) for method in methods for claim in (*gains.get(method, ()), *losses.get(method, ()))
    ]
    findings += [_worst(data, measured, method) for method in methods]
    findings += _memorised(study, measured)
    return Words(_headline(data, gains, losses), _recommendation(measured, gains, losses), tuple(findings))


def share(interval: Interval) -> str:
    """52.0 % (44.9–60.1)."""
    return f"{100 * interval.estimate:.1f} % ({100 * interval.low:.1f}–{100 * interval.high:.1f})"


def _claims(measured: Measured, sign: int) -> Claims:
    """The claimed differences of one sign, by method in the order of methods."""
    claims: Claims = {}
    for comparison in measured.comparisons:
        if comparison.claimed and sign * comparison.difference.estimate > 0:
            claims.setdefault(comparison.method, []).append(comparison)
    return claims


def _headline(data: ImageData, gains: Claims, losses: Claims) -> str:
    if not gains and not losses:
        return "No augmentation is shown to change what ERM learns of any subgroup."

    def names(claims: list[Comparison]) -> str:
        return _listed([f"“{data.groups[claim.group].name}”" for claim in claims], "and")

    parts = [f"{METHODS[method]} predicts {names(claims)} better than ERM" for method, claims in gains.items()]
    parts += [f"{METHODS[method]} predicts {names(claims)} worse" for method, claims in losses.items()]
    return "; ".join(parts) + "."


def _listed(names: list[str], word: str) -> str:
    """a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"


def _recommendation(measured: Measured, gains: Claims, losses: Claims) -> str:
    better = [METHODS[method] for method in gains if method not in losses]
    trading = [METHODS[method] for method in gains if method in losses]
    worse = [METHODS[method] for method in losses if method not in gains]
    sentences = []
    if better:
        sentences.append(
            f"For images like these, {_listed(better, 'or')} is better than ERM on some subgroup, and not shown to be worse "
            f"on any: prefer it. {_unseen(measured)}"
        )
    if trading:
        sentences.append(
            f"{_listed(trading, 'or')} trades one subgroup for another: whether that is worth it depends on what an error "
            "costs in each."
        )
    if worse:
        sentences.append(f"{_listed(worse, 'or')} is worse on some subgroup and not shown to be better on any.")
    if len(gains) > 1:
        sentences.append("Methods are compared with ERM, not with each other.")
    if not sentences:
        return f"These images give no reason to prefer one method to another. {_unseen(measured)}"
    return " ".join(sentences)


def _unseen(measured: Measured) -> str:
    """How large a difference may be that the audit does not show, by the uncorrected intervals."""
    tested = [comparison for comparison in measured.comparisons if comparison.adjusted is not None]
    if not tested:
        return "No subgroup has enough test images to show a difference."
    unclear = [comparison.difference for comparison in tested if not comparison.claimed]
    if not unclear:
        return ""
    largest = max(max(abs(difference.low), abs(difference.high)) for difference in unclear)
    return f"Differences of up to {100 * largest:.0f} points may have gone unseen."


def _finding(data: ImageData, claim: Comparison) -> str:
    difference = claim.difference
    word = "better" if difference.estimate > 0 else "worse"
    assert claim.adjusted is not None  # of what is claimed
    return (
        f"{METHODS[claim.method]} is {word} than {METHODS[REFERENCE]} on “{data.groups[claim.group].name}”: "
        f"{100 * difference.estimate:+.1f} points (95 % interval {100 * difference.low:+.1f} to "
        f"{100 * difference.high:+.1f}), {p_value_in_words(claim.adjusted)} after Holm's correction."
    )


def _worst(data: ImageData, measured: Measured, method: str) -> str:
    cell = measured.worst(method)
    return f"{METHODS[method]}'s worst subgroup is “{data.groups[cell.group].name}”, at {share(cell.test)}."


def _memorised(study: Study, measured: Measured) -> list[str]:
    data, sentences = study.data, []
    for method in study.settings.methods:
        cells = [measured.accuracies[method, group] for group in range(len(data.groups))]
        names = [f"“{data.groups[cell.group].name}”" for cell in cells if cell.status == MEMORISED]
        if names:
            sentences.append(
                f"{METHODS[method]} only memorises {', '.join(names)}: it fits the training images and is not above chance "
                "on others."
            )
    return sentences
