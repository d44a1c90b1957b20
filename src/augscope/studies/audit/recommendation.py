"""An audit in words, only as strong as its intervals allow."""

from __future__ import annotations

from dataclasses import dataclass

from augscope.images.plan import METHODS
from augscope.studies.audit.dataset import ImageData
from augscope.studies.audit.settings import REFERENCE, Settings
from augscope.studies.audit.subgroups import MEMORISED, Comparison, Measured
from augscope.support.statistics import Interval


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


def put_in_words(data: ImageData, settings: Settings, measured: Measured) -> Words:
    """Return the words: differences are claimed after Holm's correction only."""
    gains, losses = _claims(settings, measured, 1), _claims(settings, measured, -1)
    findings = [
        _finding(data, c) for method in settings.methods for c in (*gains.get(method, ()), *losses.get(method, ()))
    ]
    findings += [_worst(data, measured, method) for method in settings.methods]
    findings += _memorised(data, settings, measured)
    return Words(
        _headline(data, settings, gains, losses),
        _recommendation(data, settings, measured, gains, losses),
        tuple(findings),
    )


def share(interval: Interval) -> str:
    """52.0 % (44.9–60.1)."""
    return f"{100 * interval.estimate:.1f} % ({100 * interval.low:.1f}–{100 * interval.high:.1f})"


def points(comparison: Comparison) -> str:
    """+38.0 points (95 % interval 25.1 to 51.3)."""
    found = comparison.difference
    return f"{100 * found.estimate:+.1f} points (95 % interval {100 * found.low:+.1f} to {100 * found.high:+.1f})"


Claims = dict[str, list[Comparison]]


def _claims(settings: Settings, measured: Measured, sign: int) -> Claims:
    found: Claims = {}
    for comparison in measured.comparisons:
        if comparison.claimed and sign * comparison.difference.estimate > 0:
            found.setdefault(comparison.method, []).append(comparison)
    return found


def _headline(data: ImageData, settings: Settings, gains: Claims, losses: Claims) -> str:
    if not gains and not losses:
        return "No augmentation is shown to change what ERM learns of any subgroup."
    parts = [f"{METHODS[method]} predicts {_names(data, claims)} better than ERM" for method, claims in gains.items()]
    parts += [f"{METHODS[method]} predicts {_names(data, claims)} worse" for method, claims in losses.items()]
    return "; ".join(parts) + "."


def _names(data: ImageData, claims: list[Comparison]) -> str:
    names = [f"“{data.groups[claim.group].name}”" for claim in claims]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _recommendation(data: ImageData, settings: Settings, measured: Measured, gains: Claims, losses: Claims) -> str:
    better = [METHODS[method] for method in settings.methods if method in gains and method not in losses]
    trading = [METHODS[method] for method in settings.methods if method in gains and method in losses]
    worse = [METHODS[method] for method in settings.methods if method in losses and method not in gains]
    said = []
    if better:
        said.append(
            f"For images like these, {_either(better)} is to be preferred to ERM: better on some subgroup, and on none shown to be worse. {_unseen(settings, measured)}"
        )
    if trading:
        said.append(
            f"{_either(trading)} trades one subgroup for another: whether that is worth it depends on what an error costs in each."
        )
    if worse:
        said.append(f"{_either(worse)} does harm on some subgroup and is shown to help none.")
    if len(better) + len(trading) > 1:
        said.append("Methods are compared with ERM, not with each other.")
    if not said:
        return f"These images give no reason to prefer one to the other. {_unseen(settings, measured)}"
    return " ".join(said)


def _either(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _unseen(settings: Settings, measured: Measured) -> str:
    """How large a difference may be that the audit did not find, by the uncorrected intervals."""
    open_ones = [c.difference for c in measured.comparisons if c.adjusted is not None and not c.claimed]
    if not any(c.adjusted is not None for c in measured.comparisons):
        return "No subgroup holds enough test images for any difference to be told."
    if not open_ones:
        return ""
    most = max(max(abs(found.low), abs(found.high)) for found in open_ones)
    return f"Where no difference was found, one of up to {100 * most:.0f} points could have gone unseen."


def _finding(data: ImageData, comparison: Comparison) -> str:
    equal = "" if p_text(comparison.adjusted).startswith("<") else "= "
    word = "better" if comparison.difference.estimate > 0 else "worse"
    return (
        f"{METHODS[comparison.method]} is {word} than {METHODS[REFERENCE]} on “{data.groups[comparison.group].name}”: "
        f"{points(comparison)}, p {equal}{p_text(comparison.adjusted)} after Holm's correction."
    )


def p_text(p_value: float | None) -> str:
    """A p-value in print: 0.013, < 0.001, or – where there is none."""
    if p_value is None:
        return "–"
    return "< 0.001" if p_value < 1e-3 else f"{p_value:.3f}"


def _worst(data: ImageData, measured: Measured, method: str) -> str:
    cell = measured.worst(method)
    return f"{METHODS[method]}'s worst subgroup is “{data.groups[cell.group].name}”, at {share(cell.test)}."


def _memorised(data: ImageData, settings: Settings, measured: Measured) -> list[str]:
    found = []
    for method in settings.methods:
        groups = [g for (name, g), cell in measured.accuracies.items() if name == method and cell.status == MEMORISED]
        if groups:
            names = ", ".join(f"“{data.groups[group].name}”" for group in groups)
            found.append(
                f"{METHODS[method]} only memorises {names}: it fits the training images and is not above chance on others."
            )
    return found
