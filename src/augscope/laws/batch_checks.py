"""Rules across a batch: one draw per sample, pair or batch, who is mixed with whom, and batches of odd size."""

from __future__ import annotations

import numpy as np

from augscope.laws.certificate import Check, judge
from augscope.laws.claims import Claims
from augscope.laws.draws import Draws, mates_of
from augscope.laws.evidence import BLEND_EDGE, ODD, Batches, Evidence
from augscope.laws.shapes import FLIP, SAME_PARTNERS, pairing_kind
from augscope.laws.statistics import uniform_test
from augscope.support.wording import p_value_in_words


def batch_checks(evidence: Evidence, claims: Claims | None, draws: Draws) -> list[Check]:
    """All of them, in the order of the report.

    Args:
        evidence: with its main batches read; pair and odd batches are judged where they could be read too.
        claims: of the target, or None: only odd batches are then judged.
        draws: of the main batches.
    """
    main, pairs, odd, level = evidence.main, evidence.pairs, evidence.odd, evidence.trial.level
    assert main is not None
    checks = [draws_check(draws, claims, level, random=evidence.random), pairing_check(main, claims, level)]
    if pairs is not None:
        checks.append(meeting_check(main, pairs))
    if odd is not None:
        checks.append(odd_check(main, odd, level))
    return [*checks, *refusal_checks(evidence)]


def refusal_checks(evidence: Evidence) -> list[Check]:
    """One rule for all batch sizes at which the target raised at once: reported, since nobody claims that it takes them."""
    sizes_of: dict[str, list[int]] = {}  # by the kind of error; the sentence of the first is shown
    for size in sorted(evidence.refusals):
        sizes_of.setdefault(evidence.refusals[size].split(":")[0], []).append(size)
    parts = [
        f"batches of {', '.join(map(str, sizes))}: raises {evidence.refusals[sizes[0]]}" for sizes in sizes_of.values()
    ]
    return [judge("other batch sizes", "; ".join(parts), good=None)] if parts else []


def draws_check(draws: Draws, claims: Claims | None, level: float, *, random: bool | None) -> Check:
    """One draw per sample, per pair or per batch, and no other dependence; not judged where nothing is `random`."""
    figures = f"one draw per {draws.unit} (all alike in {draws.identical:.3f} of calls); "
    if draws.dependent:
        figures += f"alike within a call: {', '.join(draws.dependent)}"
    else:
        figures += f"no dependence found ({p_value_in_words(draws.p_value)})"
    if claims is None or random is False:
        return judge("draws", figures, good=None)
    if claims.per == "batch":
        good = draws.identical == 1 or draws.never_pasted
        return judge("draws", figures, good=good, defect="not one draw a batch")
    defects = {
        "batch": "one draw for the whole batch",
        "pair": "one draw for each pair",
        "sample": "not one draw a pair",
    }
    same_unit = draws.unit == claims.per
    defect = "draws depend on each other" if same_unit else defects[draws.unit]
    good = same_unit and draws.p_value >= level
    return judge("draws", figures, good=good, defect=defect, p_value=draws.p_value)


def pairing_check(batches: Batches, claims: Claims | None, level: float) -> Check:
    """Who is mixed with whom."""
    partner = batches.partner
    known = (partner >= 0) & (
        ~batches.blended | (batches.share > BLEND_EDGE)
    )  # near 1, some are better seen than others
    if not known.any():
        return judge("pairing", "no partner is ever seen", good=None)
    calls, count = partner.shape
    kind, fixed = pairing_kind(partner)
    mine = np.arange(count)
    # One row a call: rows of a call depend on each other.
    chosen = (np.arange(calls)[:, None] % count == mine) & known
    offsets = ((partner - mine) % count)[chosen] - 1
    p_value = uniform_test(np.bincount(offsets, minlength=count - 1)) if count > 2 else 1.0
    figures = f"{kind}; offsets of the partner uniform: {p_value_in_words(p_value)}"
    if claims is None:
        return judge("pairing", figures, good=None)
    if claims.partner == "fixed":
        return judge("pairing", kind, good=fixed, defect="partners are not fixed")
    defect = f"fixed partner ({kind})" if fixed else "partners are not equally likely"
    return judge("pairing", figures, good=not fixed and p_value >= level, defect=defect, p_value=p_value)


def meeting_check(batches: Batches, pairs: Batches) -> Check:
    """Can a sample meet itself? In batches of two it then shows nothing pasted far more often than in large ones."""
    if not (batches.partner >= 0).any():
        return judge("meets itself", "no partner is ever seen", good=None)
    rate, in_pairs = batches.pasted_at_all.mean(), pairs.pasted_at_all.mean()
    word = "yes" if 1 - in_pairs / rate > 0.25 else "no"
    figures = f"{word}: something is pasted in {rate:.3f} of samples, in batches of two in {in_pairs:.3f}"
    return judge("meets itself", figures, good=None)


def odd_check(batches: Batches, odd: Batches, level: float) -> Check:
    """Every sample of an odd batch takes part."""
    rates = odd.pasted_at_all.mean(axis=0)
    figures = f"batches of {ODD}: a sample has something pasted in {rates.min():.2f} to {rates.max():.2f} of calls"
    # A sample that is never mixed, though it should be as often as in large batches (less, for meeting itself).
    rate = float(batches.pasted_at_all.mean()) * (1 - 1 / ODD)
    # Fixed partners may have a fixed point, which is never seen to be mixed: the middle of a flip, or any, unless all are in
    # pairs: then it is the one that is left over.
    kind = pairing_kind(odd.partner)[0]
    excused = kind == SAME_PARTNERS and mates_of(batches.partner) is None
    judged = np.delete(rates, ODD // 2) if kind == FLIP else rates
    never = judged.min() == 0 and not excused
    if rates.min() == 0:
        figures += f"; never sample {' and '.join(str(i + 1) for i in np.flatnonzero(rates == 0))}"
    p_value = min(1.0, ODD * (1 - rate) ** len(odd.share)) if never else 1.0
    return judge("odd batches", figures, good=p_value >= level, defect="odd batch dropped", p_value=p_value)
