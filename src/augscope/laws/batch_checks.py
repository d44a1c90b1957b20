"""Rules across a batch: one draw per sample or per batch, who is mixed with whom, and batches of odd size."""

from __future__ import annotations

import numpy as np

from augscope.laws.certificate import FAILS, HOLDS, REPORTED, Check
from augscope.laws.claims import Claims
from augscope.laws.probing import ODD, Batches, Evidence
from augscope.laws.shapes import FLIP, SAME_PARTNERS, centres, pairing_kind
from augscope.laws.statistics import group_test, uniform_test
from augscope.support.wording import p_value_in_words


def batch_checks(evidence: Evidence, claims: Claims | None, level: float) -> list[Check]:
    """All of them, in the order of the report.

    Args:
        evidence: with its main, pair and odd batches read.
        claims: what it is held to, or None: only odd batches are then judged.
        level: the largest p-value at which a rule fails.
    """
    main, pairs, odd = evidence.main, evidence.pairs, evidence.odd
    assert main is not None
    assert pairs is not None
    assert odd is not None
    return [
        draws_check(main, claims, level),
        pairing_check(main, claims, level),
        meeting_check(main, pairs),
        odd_check(main, odd, level),
    ]


def identical_draws(batches: Batches) -> float:
    """In which share of calls with two or more pasted samples they all have one mask, and one share."""
    same, calls = 0, 0
    for masks, shares, pasted in zip(batches.pasted, batches.share, batches.pasted_at_all, strict=True):
        if pasted.sum() >= 2:
            calls += 1
            alike = (masks[pasted] == masks[pasted][0]).all()
            same += bool(alike and np.ptp(shares[pasted]) < 1e-3)
    return same / calls if calls else 0.0


def draws_check(batches: Batches, claims: Claims | None, level: float) -> Check:
    """One draw per sample or per batch."""
    pasted, identical = batches.pasted_at_all, identical_draws(batches)
    tests = {"share": batches.share}
    if not batches.blend:
        row, column = centres(batches.pasted)
        tests |= {"row": row, "column": column}
    p_values = {name: group_test(values, pasted) for name, values in tests.items()}
    p_value = min(1.0, len(p_values) * min(p_values.values()))
    dependent = [name for name, value in p_values.items() if value * len(p_values) < level]
    figures = f"one draw per {'batch' if identical > 0.5 else 'sample'} (all alike in {identical:.3f} of calls); "
    figures += (
        f"alike within a call: {', '.join(dependent)}"
        if dependent
        else f"no dependence found ({p_value_in_words(p_value)})"
    )
    if claims is None:
        return Check("draws", REPORTED, figures)
    if claims.per == "batch":
        bad = identical < 1 and pasted.any()
        return Check("draws", FAILS if bad else HOLDS, figures, "not one draw a batch" if bad else None)
    bad = p_value < level or identical > 0.5
    defect = ("one draw for the whole batch" if identical > 0.5 else "draws depend on each other") if bad else None
    return Check("draws", FAILS if bad else HOLDS, figures, defect, p_value)


def pairing_check(batches: Batches, claims: Claims | None, level: float) -> Check:
    """Who is mixed with whom."""
    partner = batches.partner
    known = partner >= 0
    if not known.any():
        return Check("pairing", REPORTED, "no partner is ever seen")
    calls, count = partner.shape
    kind, fixed = pairing_kind(partner)
    mine = np.arange(count)
    # One row a call: rows of a call depend on each other.
    chosen = (np.arange(calls)[:, None] % count == mine) & known
    offsets = ((partner - mine) % count)[chosen] - 1
    p_value = uniform_test(np.bincount(offsets, minlength=count - 1)) if count > 2 else 1.0
    figures = f"{kind}; offsets of the partner uniform: {p_value_in_words(p_value)}"
    if claims is None:
        return Check("pairing", REPORTED, figures)
    bad = fixed or p_value < level
    defect = (f"fixed partner ({kind})" if fixed else "partners are not equally likely") if bad else None
    return Check("pairing", FAILS if bad else HOLDS, figures, defect, p_value)


def meeting_check(batches: Batches, pairs: Batches) -> Check:
    """Can a sample meet itself? In batches of two it then shows nothing pasted far more often than in large ones."""
    if not (batches.partner >= 0).any():
        return Check("meets itself", REPORTED, "no partner is ever seen")
    rate, in_pairs = batches.pasted_at_all.mean(), pairs.pasted_at_all.mean()
    word = "yes" if 1 - in_pairs / rate > 0.25 else "no"
    figures = f"{word}: something is pasted in {rate:.3f} of samples, in batches of two in {in_pairs:.3f}"
    return Check("meets itself", REPORTED, figures)


def odd_check(batches: Batches, odd: Batches, level: float) -> Check:
    """Every sample of an odd batch takes part."""
    taken = odd.pasted_at_all.mean(axis=0)
    figures = f"batches of {ODD}: something is pasted in {taken.min():.2f} to {taken.max():.2f} of calls, over places"
    # A place that is never taken, though it should be as often as in large batches (less, for meeting itself).
    rate = float(batches.pasted_at_all.mean()) * (1 - 1 / ODD)
    # Fixed partners may have a fixed point, which is never seen to be taken; that of a flip is the middle.
    kind = pairing_kind(odd.partner)[0]
    places = np.delete(taken, ODD // 2) if kind == FLIP else taken
    never = places.min() == 0 and kind != SAME_PARTNERS
    p_value = min(1.0, ODD * (1 - rate) ** len(odd.share)) if never else 1.0
    bad = p_value < level
    return Check("odd batches", FAILS if bad else HOLDS, figures, "odd batch dropped" if bad else None, p_value)
