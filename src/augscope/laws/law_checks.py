"""Rules of the mask's distribution: each holds or fails at the level that its share of the false-alarm rate gives it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from augscope.laws.batch_checks import identical_draws
from augscope.laws.certificate import FAILS, HOLDS, REPORTED, Check
from augscope.laws.claims import Claims
from augscope.laws.named import BlendLaw, BoxLaw, MaskLaw, PartnerLaw, PatchLaw
from augscope.laws.probing import BLEND_EDGE, Batches, Evidence
from augscope.laws.shapes import extents, whole_patches
from augscope.laws.statistics import binomial_test, cdf_test, normal_test
from augscope.support.wording import p_value_in_words

NUM_TESTS = 12  # statistical rules of one certificate, those of `batch_checks` included, at most; the false-alarm rate is shared out evenly
NAMING_LEVEL = 1e-8  # p-value from which a law names what was found, where the verdict has already fallen


class LawChecks:
    """The rules on how much is pasted, how often, and where.

    Args:
        evidence: with its main batches read.
        claims: what it is held to, or None: everything is then reported.
        level: the largest p-value at which a rule fails.
    """

    def __init__(self, evidence: Evidence, claims: Claims | None, level: float) -> None:
        assert evidence.main is not None
        self.evidence, self.claims, self.level = evidence, claims, level
        self.batches: Batches = evidence.main
        self.size = (evidence.height, evidence.width)
        self.pasted = self.batches.pasted_at_all
        self.rows = self._independent_rows()

    def all(self) -> list[Check]:
        """Every rule, in the order of the report."""
        return [self.share_check(), self.applied_check(), *self._placement_checks()]

    def _independent_rows(self) -> np.ndarray:
        """Which samples are independent draws, if the claims are true: all, or one a call, in turn."""
        calls, count = self.batches.own.shape
        per_batch = self.claims.per == "batch" if self.claims else identical_draws(self.batches) > 0.5
        return (np.arange(calls)[:, None] % count == np.arange(count)) if per_batch else np.ones((calls, count), bool)

    def _verdict(self, p_value: float) -> str:
        if self.claims is None:
            return REPORTED
        return FAILS if p_value < self.level else HOLDS

    # The share, and the law of the mask

    @property
    def blend(self) -> bool:
        """Whether pixels are blended, as by Mixup."""
        return self.batches.blend

    @property
    def shares(self) -> np.ndarray:
        """Pasted shares above 0 of independent samples."""
        return self.batches.share[self.rows & self.pasted]

    def candidates(self) -> list[MaskLaw | BlendLaw]:
        """The laws that the share is compared with: the claimed ones, or all that have a name."""
        if self.claims is not None:
            return [*self.claims.mask_laws, *([self.claims.blend_law] if self.claims.blend_law else [])]
        if self.blend:
            return [BlendLaw()]
        found: list[MaskLaw | BlendLaw] = [BoxLaw(boxes="clipped"), BoxLaw(boxes="unclipped")]
        grid = self.grid()
        if grid is not None:
            found.append(PatchLaw(grid=grid))
        return found

    def fit(self, law: MaskLaw | BlendLaw) -> tuple[float, float]:
        """Distance of the shares' cdf from a law's, given that something is pasted, and its p-value."""
        if isinstance(law, BlendLaw):
            inner = self.shares[self.shares < 1 - BLEND_EDGE]  # weights near 0 and 1 are not read exactly
            low, high = law.cdf(np.array([BLEND_EDGE, 1 - BLEND_EDGE]))
            return cdf_test(inner, lambda weights: (law.cdf(weights) - low) / (high - low))
        return cdf_test(self.shares, law.share(*self.size).given_pasted().cdf)

    def share_check(self) -> Check:
        """Law of the pasted share, given that something is pasted."""
        name = "law of the share"
        if not self.pasted.any():
            verdict = REPORTED if self.claims is None else FAILS
            return Check(name, verdict, "nothing is ever pasted", None if self.claims is None else "never applied")
        shares = self.shares
        quantiles = " / ".join(f"{value:.3f}" for value in np.quantile(shares, (0.1, 0.5, 0.9)))
        figures = f"mean {shares.mean():.4f}, 10/50/90 % {quantiles}, P(share > ½) {(shares > 0.5).mean():.3f}; "
        laws = self.candidates()
        fits = [(*self.fit(law), law) for law in laws]
        if np.ptp(self.batches.share[self.pasted]) < 1e-6 and self.claims is None:
            return Check(name, REPORTED, figures + "fixed")
        if not fits:
            return Check(name, REPORTED, figures + "no law is claimed")
        distance, p_value, law = max(fits, key=lambda fit: fit[1])
        word = "fits" if p_value >= self.level else "does not fit"
        figures += (
            f"{word} {law.title} (distance of the cdf {distance:.4f}, {p_value_in_words(p_value)}, n {len(shares):,})"
        )
        if self._two_fit(fits):
            figures += "; other laws fit too"
        verdict = self._verdict(min(1.0, p_value * len(laws)))
        defect = self._share_defect() if verdict == FAILS else None
        return Check(name, verdict, figures, defect, p_value)

    def _two_fit(self, fits: list) -> bool:
        return sum(p_value >= self.level for _, p_value, _ in fits) > 1

    def _share_defect(self) -> str:
        """The named law that it follows in place of the claimed one."""
        claimed = self.candidates()
        others: list[MaskLaw] = [BoxLaw(boxes="clipped"), BoxLaw(boxes="unclipped")]
        if (grid := self.grid()) is not None:
            others.append(PatchLaw(grid=grid))
        for law in others:
            if law not in claimed and not self.blend and self.fit(law)[1] >= NAMING_LEVEL:
                return f"follows {law.title} in place of what is claimed"
        return self._swapped_axes() or "share follows another law"

    def claimed_mask_law(self) -> MaskLaw | None:
        """Of the claimed mask laws the one that fits best; without claims, the best that fits."""
        laws = [law for law in self.candidates() if isinstance(law, MaskLaw)]
        fits = [(self.fit(law)[1], law) for law in laws]
        if not fits or not self.pasted.any():
            return None
        p_value, law = max(fits, key=lambda fit: fit[0])
        return law if self.claims is not None or p_value >= self.level else None

    def grid(self) -> tuple[int, int] | None:
        """The grid whose patches the masks are made of, or None where single pixels are told apart."""
        masks = self.batches.pasted[self.pasted]
        rows = np.flatnonzero((masks[:, 1:, :] != masks[:, :-1, :]).any(axis=(0, 2))) + 1
        columns = np.flatnonzero((masks[:, :, 1:] != masks[:, :, :-1]).any(axis=(0, 1))) + 1
        steps = [
            int(np.gcd.reduce(np.append(edges, side))) for edges, side in zip((rows, columns), self.size, strict=True)
        ]
        grid = (self.size[0] // steps[0], self.size[1] // steps[1])
        return grid if min(steps) > 1 and grid[0] * grid[1] > 1 else None

    # Applied with which probability

    def applied_check(self) -> Check:
        """How often something is pasted; with claims, against p, the law's P(share = 0), and meeting oneself."""
        count, total = int(self.pasted[self.rows].sum()), int(self.rows.sum())
        rate = count / total
        per_call = self.pasted.any(axis=1).mean()
        figures = f"something is pasted in {rate:.4f} of samples, and in {per_call:.3f} of calls"
        if self.claims is None:
            return Check("probability applied", REPORTED, figures)
        law = self.claimed_mask_law()
        full = self._seen(law)
        p_value = self._rate_test(count, total, self.claims.p * full)
        expected = self.claims.p * full
        figures += f"; expected {expected:.4f}" + (
            "" if self.claims.kind == "cutout" else ", less where it meets itself"
        )
        verdict = self._verdict(p_value)
        return Check("probability applied", verdict, figures, self._rate_defect(count, total, full, verdict), p_value)

    def _seen(self, law: MaskLaw | None) -> float:
        """P(something is seen to be pasted | applied, with another sample)."""
        blend = self.claims.blend_law if self.claims else None
        if blend is not None:
            return 1 - float(blend.cdf(np.array([BLEND_EDGE]))[0])
        return 1.0 if law is None else 1 - law.share(*self.size).at_zero

    def _rate_test(self, count: int, total: int, rate: float) -> float:
        """p-value that each sample shows something pasted with this probability, or 1 − 1/N of it: it may meet itself."""
        others = binomial_test(count, total, rate)
        if self.claims is None or self.claims.kind == "cutout":
            return others
        size = self.batches.own.shape[1]
        partner = PartnerLaw(batch_size=size)
        seen = rate * (1 - partner.probability)
        if total < self.batches.own.size:  # one row a call
            return min(1.0, 2 * max(others, binomial_test(count, total, seen)))
        calls = total / size
        variance = calls * size * (seen * (1 - seen) + (size - 1) * rate**2 * partner.self_covariance)
        return min(1.0, 2 * max(others, normal_test(count, total * seen, variance)))

    def _rate_defect(self, count: int, total: int, full: float, verdict: str) -> str | None:
        if verdict != FAILS or self.claims is None:
            return None
        p = self.claims.p
        for name, other in (("p applied twice", p * p), ("p inverted", 1 - p), ("p ignored", 1.0)):
            if other != p and self._rate_test(count, total, other * full) >= self.level:
                return name
        return "p is not the probability applied"

    # Where

    def _placement_checks(self) -> list[Check]:
        if self.blend or not self.pasted.any():
            return []
        law = self.claimed_mask_law()
        checks = [self._coverage_check(law), self._shape_check(law)]
        if isinstance(law, BoxLaw):
            return [*checks, *self._extent_checks(law)]
        return [*checks, self._together_check(law)] if isinstance(law, PatchLaw) else [*checks, self._sides_check()]

    @property
    def masks(self) -> np.ndarray:
        """Masks of independent samples with something pasted, (m, H, W)."""
        return self.batches.pasted[self.rows & self.pasted]

    def expected_coverage(self, law: MaskLaw) -> np.ndarray:
        """P(pixel is pasted | something is), (H, W)."""
        return law.coverage(*self.size) / (1 - law.share(*self.size).at_zero)

    def _coverage_check(self, law: MaskLaw | None) -> Check:
        masks = self.masks
        covered = masks.mean(axis=0)
        figures = f"a pixel is pasted with probability {covered.min():.3f} to {covered.max():.3f}, given that some are"
        if law is None:
            return Check("coverage", REPORTED, figures)
        expected = self.expected_coverage(law)
        p_value = binomial_test(masks.sum(axis=0), len(masks), expected)
        figures += f"; expected {expected.min():.3f} to {expected.max():.3f} ({p_value_in_words(p_value)})"
        verdict = self._verdict(p_value)
        return Check(
            "coverage", verdict, figures, "placement is not the claimed one" if verdict == FAILS else None, p_value
        )

    def _shape_check(self, law: MaskLaw | None) -> Check:
        """Exact: a mask is one full rectangle, or made of whole patches."""
        masks = self.masks
        if isinstance(law, PatchLaw):
            good = whole_patches(masks, law.grid)
            what = f"whole patches of {law.grid[0]}×{law.grid[1]}"
        else:
            high, wide = extents(masks)
            good = masks.sum(axis=(1, 2)) == high * wide
            what = "one full rectangle"
        figures = f"{good.mean():.4f} of masks are {what}"
        verdict = REPORTED if law is None or self.claims is None else HOLDS if good.all() else FAILS
        return Check("shape", verdict, figures, "masks of another shape" if verdict == FAILS else None)

    def _extent_checks(self, law: BoxLaw) -> list[Check]:
        """Height and width of the visible boxes, each against its law: tells a width that was taken from the height."""
        joint = law.extents(*self.size)[1:, 1:]
        joint = joint / joint.sum()
        checks = []
        for axis, (name, seen) in enumerate(zip(("box height", "box width"), extents(self.masks), strict=True)):
            law_of_side = np.concatenate([[0.0], joint.sum(axis=1 - axis)])
            distance, p_value = cdf_test(seen, _lattice_cdf(law_of_side))
            verdict = self._verdict(p_value)
            expected = float(law_of_side @ np.arange(len(law_of_side)))
            figures = f"mean {seen.mean():.2f} of {self.size[axis]} pixels, expected {expected:.2f} (distance {distance:.4f}, {p_value_in_words(p_value)})"
            defect = (self._swapped_axes() or f"{name} follows another law") if verdict == FAILS else None
            checks.append(Check(name, verdict, figures, defect, p_value))
        return checks

    def _swapped_axes(self) -> str | None:
        """Whether one side follows the image's other side."""
        laws = [law for law in self.candidates() if isinstance(law, BoxLaw) and law.size is None]
        high, wide = extents(self.masks)
        for law in laws:
            for what, seen, from_side, to_side in (
                ("box width taken from the image's height", wide, self.size[0], self.size[1]),
                ("box height taken from the image's width", high, self.size[1], self.size[0]),
            ):
                sizes, probabilities = law.sizes(from_side, from_side)
                fits = sizes[:, 0] <= to_side
                if not fits.all() and law.boxes == "unclipped":
                    continue
                side = probabilities @ np.array([law.axis(size, to_side)[0] for size in sizes[:, 0]])
                side[0] = 0
                # The other side's being 0 shifts this law a little: a generous level, for a name and not for a verdict.
                if cdf_test(seen, _lattice_cdf(side / side.sum()))[0] < 0.06:
                    return what
        return None

    def _sides_check(self) -> Check:
        """Without a law: height and width of masks relative to the image, which should agree on images that are not square."""
        high, wide = (seen.mean() / side for seen, side in zip(extents(self.masks), self.size, strict=True))
        return Check("sides", REPORTED, f"masks span {high:.3f} of the height and {wide:.3f} of the width on average")

    def _together_check(self, law: PatchLaw) -> Check:
        """Subset uniform given its size: any two patches are pasted together equally often."""
        masks = self.masks
        rows, columns = law.grid
        step = (self.size[0] // rows, self.size[1] // columns)
        patches = masks[:, :: step[0], :: step[1]].reshape(len(masks), -1).astype(np.float64)
        together = (patches.T @ patches)[np.triu_indices(law.num_patches, 1)]
        expected = law.together / (1 - law.share(*self.size).at_zero)
        p_value = binomial_test(together, len(masks), expected)
        share = together / len(masks)
        figures = f"two patches go together with probability {share.min():.3f} to {share.max():.3f}; expected {expected:.3f} ({p_value_in_words(p_value)})"
        verdict = self._verdict(p_value)
        defect = "subset is not uniform given its size" if verdict == FAILS else None
        return Check("subset", verdict, figures, defect, p_value)


def _lattice_cdf(probabilities: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The cdf of a law on 0, 1, 2, …"""
    cumulative = np.concatenate([[0.0], np.cumsum(probabilities)])
    return lambda points: cumulative[np.clip(np.floor(points + 1e-9).astype(int) + 1, 0, len(cumulative) - 1)]
