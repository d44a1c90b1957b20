"""Rules of the mask's distribution: each holds or fails at the level that its share of the false-alarm rate gives it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from augscope.laws.certificate import Check, judge
from augscope.laws.claims import Claims
from augscope.laws.draws import read_draws
from augscope.laws.named import BlendLaw, BoxLaw, MaskLaw, PartnerLaw, PatchLaw
from augscope.laws.probing import BLEND_EDGE, Batches, Evidence
from augscope.laws.shapes import extents, whole_patches
from augscope.laws.statistics import binomial_test, cdf_test, normal_test
from augscope.support.wording import p_value_in_words

NAMING_LEVEL = 1e-8  # p-value from which a law may name a defect, where the verdict has already fallen


class LawChecks:
    """The rules on how much is pasted, how often, and where.

    Args:
        evidence: with its main batches read.
        claims: of the target, or None: everything is then reported.
    """

    def __init__(self, evidence: Evidence, claims: Claims | None) -> None:
        assert evidence.main is not None
        self.claims, self.level, self.size = claims, evidence.trial.level, evidence.trial.image_size
        self.batches: Batches = evidence.main
        self.blend = self.batches.blend
        self.pasted = self.batches.pasted_at_all
        self.draws = read_draws(self.batches, self.level)
        self.rows = self.draws.rows(None if claims is None else claims.per)  # samples that are draws of their own

    def all(self) -> list[Check]:
        """Every rule, in the order of the report."""
        return [self.share_check(), self.applied_check(), *self._placement_checks()]

    def _judge(self, name: str, figures: str, p_value: float, defect: str | None = None) -> Check:
        """The result of a statistical rule."""
        return judge(name, figures, good=self._good(p_value), defect=defect, p_value=p_value)

    def _good(self, p_value: float) -> bool | None:
        """Whether a rule holds; None without claims."""
        return None if self.claims is None else p_value >= self.level

    # The share, and the law of the mask

    @property
    def shares(self) -> np.ndarray:
        """Pasted shares above 0 of independent samples."""
        return self.batches.share[self.rows & self.pasted]

    def candidates(self) -> list[MaskLaw | BlendLaw]:
        """The laws that the share is compared with: the claimed ones, or all that have a name."""
        if self.claims is not None:
            return [*self.claims.mask_laws, *([self.claims.blend_law] if self.claims.blend_law else [])]
        return [BlendLaw()] if self.blend else [*self._named_mask_laws()]

    def _named_mask_laws(self) -> list[MaskLaw]:
        laws: list[MaskLaw] = [BoxLaw(boxes="clipped"), BoxLaw(boxes="unclipped")]
        grid = self._grid()
        return laws if grid is None else [*laws, PatchLaw(grid=grid)]

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
            good = None if self.claims is None else False
            return judge(name, "nothing is ever pasted", good=good, defect="never applied")
        shares, laws = self.shares, self.candidates()
        quantiles = " / ".join(f"{value:.3f}" for value in np.quantile(shares, (0.1, 0.5, 0.9)))
        figures = f"mean {shares.mean():.4f}, 10/50/90 % {quantiles}, P(share > ½) {(shares > 0.5).mean():.3f}; "
        if self.claims is None and np.ptp(self.batches.share[self.pasted]) < 1e-6:
            return judge(name, figures + "fixed", good=None)
        if not laws:
            return judge(name, figures + "no law is claimed", good=None)
        fits = [(*self.fit(law), law) for law in laws]
        distance, p_value, law = max(fits, key=lambda fit: fit[1])
        word = "fits" if p_value >= self.level else "does not fit"
        test = f"distance of the cdf {distance:.4f}, {p_value_in_words(p_value)}, n {len(shares):,}"
        figures += f"{word} {law.title} ({test})"
        if sum(value >= self.level for _, value, _ in fits) > 1:
            figures += "; other laws fit too"
        good = self._good(min(1.0, p_value * len(laws)))
        defect = self._share_defect() if good is False else None
        return judge(name, figures, good=good, defect=defect, p_value=p_value)

    def _share_defect(self) -> str:
        """The named law that it follows in place of the claimed one."""
        claimed = self.candidates()
        for law in [] if self.blend else self._named_mask_laws():
            if law not in claimed and self.fit(law)[1] >= NAMING_LEVEL:
                return f"follows {law.title} in place of what is claimed"
        return self._swapped_axes() or "share follows another law"

    @cached_property
    def mask_law(self) -> MaskLaw | None:
        """Of the claimed mask laws the one that fits best; without claims, the best that fits."""
        fits = [(self.fit(law)[1], law) for law in self.candidates() if isinstance(law, MaskLaw)]
        if not fits or not self.pasted.any():
            return None
        p_value, law = max(fits, key=lambda fit: fit[0])
        return law if self.claims is not None or p_value >= self.level else None

    def _grid(self) -> tuple[int, int] | None:
        """The grid whose patches the masks are made of, or None where they are made of single pixels."""
        masks = self.batches.pasted[self.pasted]
        rows = np.flatnonzero((masks[:, 1:, :] != masks[:, :-1, :]).any(axis=(0, 2))) + 1
        columns = np.flatnonzero((masks[:, :, 1:] != masks[:, :, :-1]).any(axis=(0, 1))) + 1
        height, width = (
            int(np.gcd.reduce(np.append(edges, side))) for edges, side in zip((rows, columns), self.size, strict=True)
        )
        grid = (self.size[0] // height, self.size[1] // width)
        return grid if min(height, width) > 1 and grid != (1, 1) else None

    # Applied with which probability

    def applied_check(self) -> Check:
        """How often something is pasted; with claims, against p, the law's P(share = 0), and meeting oneself."""
        name, count, total = "probability applied", int(self.pasted[self.rows].sum()), int(self.rows.sum())
        figures = f"something is pasted in {count / total:.4f} of samples, and in "
        figures += f"{self.pasted.any(axis=1).mean():.3f} of calls"
        if self.claims is None:
            return judge(name, figures, good=None)
        expected = self.claims.p * self._visible()
        figures += f"; expected {expected:.4f}"
        if self.claims.kind != "cutout":
            figures += ", less where it meets itself"
        p_value = self._rate_test(expected)
        return self._judge(name, figures, p_value, None if p_value >= self.level else self._rate_defect())

    def _visible(self) -> float:
        """P(something is seen to be pasted | applied, with another sample)."""
        if self.claims is not None and self.claims.blend_law is not None:
            return 1 - float(self.claims.blend_law.cdf(np.array([BLEND_EDGE]))[0])
        return 1.0 if self.mask_law is None else 1 - self.mask_law.share(*self.size).at_zero

    def _rate_test(self, rate: float) -> float:
        """p-value that each sample shows something pasted with this probability, or 1 − 1/N of it: it may meet itself."""
        count, total = int(self.pasted[self.rows].sum()), int(self.rows.sum())
        others = binomial_test(count, total, rate)
        if self.claims is None or self.claims.kind == "cutout":
            return others
        size = self.batches.own.shape[1]
        partner = PartnerLaw(batch_size=size)
        seen = rate * (1 - partner.probability)
        if total < self.batches.own.size:  # one row a call
            return min(1.0, 2 * max(others, binomial_test(count, total, seen)))
        variance = total * (seen * (1 - seen) + (size - 1) * rate**2 * partner.self_covariance)
        return min(1.0, 2 * max(others, normal_test(count, total * seen, variance)))

    def _rate_defect(self) -> str:
        assert self.claims is not None
        p = self.claims.p
        for name, other in (("p applied twice", p * p), ("p inverted", 1 - p), ("p ignored", 1.0)):
            if other != p and self._rate_test(other * self._visible()) >= self.level:
                return name
        return "p is not the probability applied"

    # Where

    @property
    def masks(self) -> np.ndarray:
        """Masks of independent samples with something pasted, (m, H, W)."""
        return self.batches.pasted[self.rows & self.pasted]

    def _placement_checks(self) -> list[Check]:
        if self.blend or not self.pasted.any():
            return []
        law, checks = self.mask_law, [self._coverage_check(), self._shape_check()]
        if isinstance(law, BoxLaw):
            return [*checks, *self._extent_checks(law)]
        return [*checks, self._together_check(law) if isinstance(law, PatchLaw) else self._sides_check()]

    def expected_coverage(self) -> np.ndarray | None:
        """P(pixel is pasted | something is) by the law, (H, W), or None without one."""
        if self.mask_law is None:
            return None
        return self.mask_law.coverage(*self.size) / (1 - self.mask_law.share(*self.size).at_zero)

    def _coverage_check(self) -> Check:
        masks, expected = self.masks, self.expected_coverage()
        covered = masks.mean(axis=0)
        figures = f"a pixel is pasted with probability {covered.min():.3f} to {covered.max():.3f}, given that some are"
        if expected is None:
            return judge("coverage", figures, good=None)
        p_value = binomial_test(masks.sum(axis=0), len(masks), expected)
        figures += f"; expected {expected.min():.3f} to {expected.max():.3f} ({p_value_in_words(p_value)})"
        return self._judge("coverage", figures, p_value, "placement is not the claimed one")

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
        good = None if law is None or self.claims is None else bool(right.all())
        return judge("shape", f"{right.mean():.4f} of masks are {shape}", good=good, defect="masks of another shape")

    def _extent_checks(self, law: BoxLaw) -> list[Check]:
        """Height and width of the visible boxes, each compared with its law: shows a width that was taken from the height."""
        joint = law.extents(*self.size)[1:, 1:]
        joint = joint / joint.sum()
        checks = []
        for axis, (name, sides) in enumerate(zip(("box height", "box width"), extents(self.masks), strict=True)):
            law_of_side = np.concatenate([[0.0], joint.sum(axis=1 - axis)])
            distance, p_value = cdf_test(sides, _lattice_cdf(law_of_side))
            expected = float(law_of_side @ np.arange(len(law_of_side)))
            figures = f"mean {sides.mean():.2f} of {self.size[axis]} pixels, expected {expected:.2f} "
            figures += f"(distance {distance:.4f}, {p_value_in_words(p_value)})"
            defect = None if p_value >= self.level else self._swapped_axes() or f"{name} follows another law"
            checks.append(self._judge(name, figures, p_value, defect))
        return checks

    def _swapped_axes(self) -> str | None:
        """A sentence where one side of the boxes follows the image's other side."""
        height, width = self.size
        high, wide = extents(self.masks)
        for law in self.candidates():
            if isinstance(law, BoxLaw) and law.size is None:
                if _drawn_from(law, wide, height, width):
                    return "box width taken from the image's height"
                if _drawn_from(law, high, width, height):
                    return "box height taken from the image's width"
        return None

    def _sides_check(self) -> Check:
        """Without a law: height and width of masks relative to the image, which should agree on images that are not square."""
        high, wide = (sides.mean() / side for sides, side in zip(extents(self.masks), self.size, strict=True))
        figures = f"masks span {high:.3f} of the height and {wide:.3f} of the width on average"
        return judge("sides", figures, good=None)

    def _together_check(self, law: PatchLaw) -> Check:
        """Subset uniform given its size: any two patches are pasted together equally often."""
        masks = self.masks
        rows, columns = law.grid
        patches = masks[:, :: self.size[0] // rows, :: self.size[1] // columns].reshape(len(masks), -1).astype(float)
        together = (patches.T @ patches)[np.triu_indices(law.num_patches, 1)]
        expected = law.together / (1 - law.share(*self.size).at_zero)
        p_value, share = binomial_test(together, len(masks), expected), together / len(masks)
        figures = f"two patches go together with probability {share.min():.3f} to {share.max():.3f}; "
        figures += f"expected {expected:.3f} ({p_value_in_words(p_value)})"
        return self._judge("subset", figures, p_value, "subset is not uniform given its size")


def _drawn_from(law: BoxLaw, sides: np.ndarray, from_side: int, to_side: int) -> bool:
    """Whether sides of boxes along `to_side` pixels have the law of boxes whose size is drawn from `from_side` pixels."""
    sizes, probabilities = law.sizes(from_side, from_side)
    if law.boxes == "unclipped" and (sizes[:, 0] > to_side).any():
        return False
    law_of_side = probabilities @ np.array([law.axis(size, to_side)[0] for size in sizes[:, 0]])
    law_of_side[0] = 0
    # The other side's being 0 shifts this law a little: a generous level, for a name and not for a verdict.
    return cdf_test(sides, _lattice_cdf(law_of_side / law_of_side.sum()))[0] < 0.06


def _lattice_cdf(probabilities: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The cdf of a law on 0, 1, 2, …"""
    cumulative = np.concatenate([[0.0], np.cumsum(probabilities)])
    return lambda points: cumulative[np.clip(np.floor(points + 1e-9).astype(int) + 1, 0, len(cumulative) - 1)]
