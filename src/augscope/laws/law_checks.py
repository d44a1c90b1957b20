"""The law of the mask, and the probability: reported without claims, judged with them, as the false-alarm rate gives it."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from augscope.laws.boxes import ROUNDINGS, BoxLaw
from augscope.laws.certificate import FAILS, Check, judge
from augscope.laws.claims import Claims
from augscope.laws.draws import Draws, read_draws
from augscope.laws.evidence import BLEND_EDGE, Batches, Evidence
from augscope.laws.named import BlendLaw, MaskLaw, PartnerLaw, PatchLaw
from augscope.laws.placement import (
    Rule,
    coverage_in_words,
    expected_coverage,
    likelihood,
    placement_rules,
    swapped_axes,
)
from augscope.laws.shapes import extents, patch_grid, whole_patches
from augscope.laws.statistics import binomial_test, cdf_test, normal_test
from augscope.support.wording import p_value_in_words

NAMING_LEVEL = 1e-8  # p-value from which a law may name a defect, where the verdict has already fallen
CLEARER = 10.0  # logarithm of the ratio of likelihoods from which another rounding than the usual one is reported


def law_checks(evidence: Evidence, claims: Claims | None) -> list[LawChecks]:
    """The rules of the one law, or of each of the two of a choice: boxes first, then blends."""
    main, level = evidence.main, evidence.trial.level
    assert main is not None
    draws = read_draws(main, level)
    if claims is None or len(claims.parts) == 1:
        return [LawChecks(main, claims, draws, level)]
    boxes, blends = (
        LawChecks(_part(main, blends=part.kind == "mixup"), part, draws, level, title=f" of {part.kind}")
        for part in claims.parts
    )
    return [boxes, blends]


def _part(batches: Batches, *, blends: bool) -> Batches:
    """Batches in which only blends count, or only pastes; what looks alike in both (nothing, or all, of the partner) does not."""
    share, edge = batches.share, BLEND_EDGE if blends else 0.0
    kept = (batches.blended == blends) & (share > edge) & (share < 1 - edge)
    return replace(
        batches,
        own=np.where(kept, batches.own, 1.0),
        pasted=batches.pasted & kept[..., None, None],
        erased=np.where(kept, batches.erased, 0.0),
        blended=batches.blended & kept,
    )


def _clearer(one: Check, other: Check) -> bool:
    """Whether a failing rule fails more clearly than another."""
    return one.verdict == FAILS and one.p_value is not None and (other.p_value is None or one.p_value < other.p_value)


class LawChecks:
    """The rules on how much is pasted, how often, and where.

    Args:
        batches: large ones.
        claims: of one law, or None: everything is then reported.
        draws: of the batches.
        level: the largest p-value at which a rule fails.
        title: of the part of a choice that they are, after the name of each rule; images that are wholly the partner's do
            not count in a part.
    """

    def __init__(self, batches: Batches, claims: Claims | None, draws: Draws, level: float, title: str = "") -> None:
        self.claims, self.draws, self.level, self.title = claims, draws, level, title
        self.batches, self.whole = batches, not title
        self.size: tuple[int, int] = batches.pasted.shape[2:]
        self.blend, self.pasted = batches.blend, batches.pasted_at_all
        self.rows = draws.rows(None if claims is None else claims.per)  # samples that are draws of their own

    def all(self) -> list[Check]:
        """Every rule, in the order of the report."""
        checks = [self.share_check(), self.applied_check(), *self._placement_checks()]
        # Boxes drawn anew, where too large, make the share depend on the aspect: the cause comes first.
        if any(check.name == "box aspect" and _clearer(check, checks[0]) for check in checks):
            checks.sort(key=lambda check: check.name != "box aspect")
        return [replace(check, name=check.name + self.title) for check in checks]

    def _judge(self, rule: Rule, defect: str | None = None) -> Check:
        """The result of a statistical rule; without claims, it is reported."""
        good = None if self.claims is None else rule.p_value >= self.level
        return judge(rule.name, rule.figures, good=good, defect=defect or rule.defect, p_value=rule.p_value)

    @property
    def shares(self) -> np.ndarray:
        """Pasted shares above 0 of independent samples."""
        return self.batches.share[self.rows & self.pasted]

    @property
    def masks(self) -> np.ndarray:
        """Masks of independent samples with something pasted, (m, H, W)."""
        return self.batches.pasted[self.rows & self.pasted]

    # Which law

    def candidates(self) -> list[MaskLaw | BlendLaw]:
        """The laws that the share is compared with: the claimed ones, or all that have a name."""
        if self.claims is not None:
            return [*self.claims.mask_laws, *([self.claims.blend_law] if self.claims.blend_law else [])]
        return [BlendLaw()] if self.blend else [*self._named_mask_laws()]

    def _named_mask_laws(self) -> list[MaskLaw]:
        laws: list[MaskLaw] = [BoxLaw(boxes="clipped"), BoxLaw(boxes="unclipped")]
        grid = patch_grid(self.batches.pasted[self.pasted])
        return laws if grid is None else [*laws, PatchLaw(grid=grid)]

    def _rules(self, law: MaskLaw | BlendLaw) -> dict[str, Rule]:
        """Every statistical rule of a law, by name."""
        rules = [self._share_rule(law), self._applied_rule(law)]
        if isinstance(law, MaskLaw) and not self.blend:
            rules += placement_rules(self.masks, law, whole=self.whole)
        return {rule.name: rule for rule in rules}

    @cached_property
    def comparison(self) -> tuple[MaskLaw | BlendLaw | None, dict[str, Rule]]:
        """The law that all else is compared with, and its rules; None where there is none, or without claims none fits.

        Of several claimed laws, and of their roundings, the one whose worst rule is best. If the true law is among them, a rule
        fails with the chosen one only if one fails with the true one.
        """
        laws = self.candidates()
        if not laws or not self.pasted.any():
            return None, {}
        if self.claims is None:
            law = max(laws, key=lambda law: self.fit(law)[1])
            return (law, self._rules(law)) if self.fit(law)[1] >= self.level else (None, {})
        rules = {law: self._rules(law) for law in laws}
        for law in laws:
            if isinstance(law, BoxLaw):
                rules |= {other: self._rules(other) for other in law.roundings}
        best = max(rules, key=lambda law: (self._worst(rules[law]), law in laws))
        fitting = [law for law in rules if self._worst(rules[law]) >= self.level]
        boxes = [law for law in fitting if isinstance(law, BoxLaw)]
        if len(boxes) > 1:
            bonus = [CLEARER * (law in laws) + likelihood(self.masks, law, whole=self.whole) for law in boxes]
            best = boxes[int(np.argmax(bonus))]
        return best, rules[best]

    @staticmethod
    def _worst(rules: dict[str, Rule]) -> float:
        return min(rule.p_value for rule in rules.values())

    @property
    def mask_law(self) -> MaskLaw | None:
        """The law of `comparison`, if it is one of masks."""
        law = self.comparison[0]
        return law if isinstance(law, MaskLaw) else None

    # The share

    def fit(self, law: MaskLaw | BlendLaw) -> tuple[float, float]:
        """Distance of the shares' cdf from a law's, given that something is pasted, and its p-value."""
        if isinstance(law, BlendLaw):
            edge = 1 - BLEND_EDGE
            low, high = law.share_cdf(np.array([BLEND_EDGE, edge]))
            top = 1.0 if self.whole else high
            # Weights near 0 and 1 are not read exactly: shares above the edge count as 1.
            read = np.where(self.shares < edge, self.shares, 1.0)
            return cdf_test(read, lambda s: np.where(s < 1, (law.share_cdf(s.clip(max=edge)) - low) / (top - low), 1))
        return cdf_test(self.shares, law.share(*self.size).given_pasted(whole=self.whole).cdf)

    def _share_rule(self, law: MaskLaw | BlendLaw) -> Rule:
        distance, p_value = self.fit(law)
        word = "fits" if p_value >= self.level else "does not fit"
        test = f"distance of the cdf {distance:.4f}, {p_value_in_words(p_value)}, n {len(self.shares):,}"
        return Rule("law of the share", f"{word} {law.title} ({test})", p_value, "share follows another law")

    def share_check(self) -> Check:
        """Law of the pasted share, given that something is pasted."""
        name = "law of the share"
        if not self.pasted.any():
            good = None if self.claims is None else False
            return judge(name, "nothing is ever pasted", good=good, defect="never applied")
        shares, laws = self.shares, self.candidates()
        quantiles = " / ".join(f"{value:.3f}" for value in np.quantile(shares, (0.1, 0.5, 0.9))) if len(shares) else "–"
        mean = f"mean {shares.mean():.4f}, " if len(shares) else ""
        figures = f"{mean}10/50/90 % {quantiles}, P(share > ½) {(shares > 0.5).mean() if len(shares) else 0:.3f}; "
        if self.claims is None and np.ptp(self.batches.share[self.pasted]) < 1e-6:
            return judge(name, figures + "fixed", good=None)
        if not laws:
            return judge(name, figures + "no law is claimed", good=None)
        best = max(laws, key=lambda law: self.fit(law)[1])
        rule = self.comparison[1].get(name) or self._share_rule(best)
        figures += rule.figures
        if self.claims is None and sum(self.fit(law)[1] >= self.level for law in laws) > 1:
            figures += "; other laws fit too"
        defect = self._share_defect() if rule.p_value < self.level and self.claims is not None else None
        return self._judge(rule._replace(figures=figures), defect)

    def _share_defect(self) -> str | None:
        """The named law that it follows in place of the claimed one."""
        claimed = self.candidates()
        for law in [] if self.blend else self._named_mask_laws():
            if law not in claimed and self.fit(law)[1] >= NAMING_LEVEL:
                return f"follows {law.title} in place of what is claimed"
        return None if self.blend else swapped_axes(self.masks, self._claimed_mask_laws())

    def _claimed_mask_laws(self) -> list[MaskLaw]:
        return [law for law in self.candidates() if isinstance(law, MaskLaw)]

    # Applied with which probability

    def applied_check(self) -> Check:
        """How often something is pasted; with claims, against p, the law's P(share = 0), and meeting oneself."""
        law, rules = self.comparison
        rule = rules.get("probability applied") or self._applied_rule(law)
        return self._judge(rule, self._rate_defect(law) if rule.p_value < self.level else None)

    def _applied_rule(self, law: MaskLaw | BlendLaw | None) -> Rule:
        name, count, total = "probability applied", int(self.pasted[self.rows].sum()), int(self.rows.sum())
        figures = f"something is pasted in {count / total:.4f} of samples, and in "
        figures += f"{self.pasted.any(axis=1).mean():.3f} of calls"
        if self.claims is None:
            return Rule(name, figures, 1.0, "")
        expected = self.claims.p * self._visible(law)
        figures += f"; expected {expected:.4f}"
        if not self.claims.erases:
            figures += ", less where it meets itself"
        return Rule(name, figures, self._rate_test(expected), "p is not the probability applied")

    def _visible(self, law: MaskLaw | BlendLaw | None) -> float:
        """P(something is seen to be pasted | applied, with another sample)."""
        if isinstance(law, BlendLaw):
            low, high = law.share_cdf(np.array([BLEND_EDGE, 1 - BLEND_EDGE]))
            return float((1.0 if self.whole else high) - low)
        if law is None:
            return 1.0
        share = law.share(*self.size)
        return 1 - share.at_zero - (0.0 if self.whole else share.at_one)

    def _rate_test(self, rate: float) -> float:
        """p-value that each sample shows something pasted with this probability, or 1 − 1/N of it: it may meet itself."""
        count, total = int(self.pasted[self.rows].sum()), int(self.rows.sum())
        others = binomial_test(count, total, rate)
        if self.claims is None or self.claims.erases:
            return others
        size = self.batches.own.shape[1]
        partner = PartnerLaw(batch_size=size)
        seen = rate * (1 - partner.probability)
        if total < self.batches.own.size:  # one row a call, or a pair
            return min(1.0, 2 * max(others, binomial_test(count, total, seen)))
        variance = total * (seen * (1 - seen) + (size - 1) * rate**2 * partner.self_covariance)
        return min(1.0, 2 * max(others, normal_test(count, total * seen, variance)))

    def _rate_defect(self, law: MaskLaw | BlendLaw | None) -> str | None:
        if self.claims is None:
            return None
        if self.title:
            return "p, the switch or α is not as claimed"
        p = self.claims.p
        for name, other in (("p applied twice", p * p), ("p inverted", 1 - p), ("p ignored", 1.0)):
            if other != p and self._rate_test(other * self._visible(law)) >= self.level:
                return name
        return "p or α is not as claimed" if isinstance(law, BlendLaw) else None

    # Where

    def _placement_checks(self) -> list[Check]:
        if self.blend or not self.pasted.any():
            return []
        rules = self.comparison[1]
        checks = [*self._rounding_checks(), self._shape_check()]
        if self.mask_law is None:
            return [judge("coverage", coverage_in_words(self.masks), good=None), *checks, self._sides_check()]
        for name in ("box aspect", "box height", "box width", "box starts", "coverage", "subset"):
            if name in rules:
                failing = self.claims is not None and rules[name].p_value < self.level
                sides = failing and name in ("box height", "box width")
                defect = swapped_axes(self.masks, self._claimed_mask_laws()) if sides else None
                checks.append(self._judge(rules[name], defect))
        return checks

    def expected_coverage(self) -> np.ndarray | None:
        """P(pixel is pasted | something is) by the law, (H, W), or None without one."""
        return None if self.mask_law is None else expected_coverage(self.mask_law, self.size, whole=self.whole)

    def _rounding_checks(self) -> list[Check]:
        """A rule where sides are rounded in another way than the claimed law's."""
        law = self.mask_law
        if not isinstance(law, BoxLaw) or law.rounding is None or self._worst(self.comparison[1]) < self.level:
            return []
        usual = "to the nearest" if law.inside else "down to even"
        pixels = "1 pixel" if law.rounding == "down" else "2 pixels"
        figures = f"sides rounded {ROUNDINGS[law.rounding]}, not {usual}: at most {pixels}"
        return [judge("rounding of sides", figures, good=None)]

    def _shape_check(self) -> Check:
        """Exact: a mask is one full rectangle, or made of whole patches."""
        masks, law = self.masks, self.mask_law
        if isinstance(law, PatchLaw):
            right = whole_patches(masks, law.grid)
            shape = f"whole patches of {law.grid[0]}×{law.grid[1]}"
        else:
            high, wide = extents(masks)
            right = masks.sum(axis=(1, 2)) == high * wide
            shape = "one full rectangle"
        good = None if self.claims is None else bool(right.all())
        return judge("shape", f"{right.mean():.4f} of masks are {shape}", good=good, defect="masks of another shape")

    def _sides_check(self) -> Check:
        """Without a law: height and width of masks relative to the image, which should agree on images that are not square."""
        high, wide = (sides.mean() / side for sides, side in zip(extents(self.masks), self.size, strict=True))
        figures = f"masks span {high:.3f} of the height and {wide:.3f} of the width on average"
        return judge("sides", figures, good=None)
