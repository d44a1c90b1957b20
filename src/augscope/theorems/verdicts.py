"""From samples to verdicts: a claim over all samples at this size, and a theorem's verdict with its assumptions (model.md §5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from augscope.model.methods import Method
from augscope.support.statistics import clopper_pearson
from augscope.theorems.assumptions import Assumption, run_assumptions, setting_assumptions
from augscope.theorems.limit import INCONCLUSIVE, LimitVerdict
from augscope.theorems.lines import Line, theorem_lines
from augscope.theorems.samples import FAILS, HOLDS, SET_ASIDE, UNDECIDED, Change, SampleVerdict, judge_sample
from augscope.theorems.statements import Terms, Theorem
from augscope.training.seed_run import SeedRun

VIOLATED, NOT_MET = "violated", "assumptions not met"
SHOWN_SEEDS = 8  # in a sentence; the report names all


class Tally(NamedTuple):
    """How many samples hold, fail and are undecided. `print` it for the sentence."""

    holding: int
    failing: int
    undecided: int

    @classmethod
    def of(cls, samples: Iterable[SampleVerdict]) -> Tally:
        """Return the counts of these samples; those set aside are in none."""
        verdicts = [sample.verdict for sample in samples]
        return cls(*map(verdicts.count, (HOLDS, FAILS, UNDECIDED)))

    @property
    def total(self) -> int:
        """All that count."""
        return sum(self)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Clopper–Pearson interval of the share that holds, among those that hold or fail."""
        return clopper_pearson(self.holding, self.holding + self.failing)

    @property
    def verdict(self) -> str:
        """Return "holds", "violated" or "inconclusive": what the samples say at this size."""
        if 2 * self.holding >= self.total and self.interval[0] > 0.5:
            return HOLDS
        return VIOLATED if clopper_pearson(self.failing, self.total)[0] > 0.5 else INCONCLUSIVE

    def __str__(self) -> str:
        return f"{self.holding} of {self.total} samples hold, {self.failing} fail, {self.undecided} undecided"


def combine(assumptions: Sequence[Assumption], at_this_size: str | None, in_limit: str | None = None) -> str:
    """Return the verdict on a claim from its parts; None is one that was not asked for, or does not count.

    Where an assumption is unmet, they say nothing. What fails in the limit is violated unless it holds at this size.
    """
    if not all(row.met for row in assumptions):
        return NOT_MET
    if at_this_size == VIOLATED or (in_limit == FAILS and at_this_size != HOLDS):
        return VIOLATED
    parts = [part for part in (at_this_size, in_limit) if part is not None]
    return HOLDS if parts and all(part == HOLDS for part in parts) else INCONCLUSIVE


@dataclass(frozen=True, kw_only=True, repr=False)
class Finding:
    """What the samples say of a claim. `print` it for the result in words.

    Attributes:
        name: of the claim, as a sentence begins: "Theorem 3.1".
        title: of the claim, for a table.
        terms: what it was judged by.
        assumptions: of the claim.
        samples: one a seed.
        lines: what it states, over the samples that count.
    """

    name: str
    title: str
    terms: Terms
    assumptions: tuple[Assumption, ...]
    samples: tuple[SampleVerdict, ...]
    lines: tuple[Line, ...]

    @cached_property
    def tally(self) -> Tally:
        """The counts of the samples."""
        return Tally.of(self.samples)

    @property
    def samples_holding(self) -> int:
        """Samples in which the claim holds."""
        return self.tally.holding

    @property
    def samples_failing(self) -> int:
        """Samples in which it fails."""
        return self.tally.failing

    @property
    def samples_undecided(self) -> int:
        """Samples that do not say."""
        return self.tally.undecided

    @property
    def at_this_size(self) -> str | None:
        """Return "holds", "violated" or "inconclusive": what the samples say; None where there are none."""
        return self.tally.verdict if self.samples else None

    @property
    def verdict(self) -> str:
        """Return "holds", "violated", "inconclusive" or "assumptions not met"."""
        return combine(self.assumptions, self.at_this_size)

    @property
    def observed(self) -> str:
        """The finding: "true in 16 of 20 samples"."""
        return f"true in {self.tally.holding} of {self.tally.total} samples"

    @property
    def sentences(self) -> list[str]:
        """The result in words: the counts, what the samples that do not hold have in common, and the unmet assumptions."""
        low, high = self.tally.interval
        decided = self.tally.holding + self.tally.failing
        share = f" (95 % interval of the share that holds, of those decided: {low:.2f}–{high:.2f})" if decided else ""
        texts = [f"{self.name}: {self.verdict}, {self.observed}. {self.tally} at T = {self.terms.end_text}{share}."]
        texts += describe_missing(self.samples)
        unmet = [row.text for row in self.assumptions if not row.met]
        if unmet:
            texts.append(f"Assumptions not met: {'; '.join(unmet)}.")
        aside = [sample.reason for sample in self.samples if sample.verdict == SET_ASIDE]
        if aside:
            texts.append(f"Set aside: {'; '.join(aside)}.")
        return texts

    def __str__(self) -> str:
        return " ".join(self.sentences)

    def __repr__(self) -> str:
        return f"{self.name}: {self.verdict}, {self.observed}"


@dataclass(frozen=True, kw_only=True, repr=False)
class TheoremVerdict(Finding):
    """One theorem over all samples, and in the limit: a `Finding` of a method.

    Attributes:
        theorem, method: which.
        limit: what holds in the population; None where it was not asked for, or cannot be.
        own_limits: the samples that do not hold (or all, if asked for), judged in their own limits.
    """

    theorem: Theorem
    method: Method
    limit: LimitVerdict | None = None
    own_limits: tuple[SampleVerdict, ...] = ()

    @property
    def verdict(self) -> str:
        """Return "holds", "violated", "inconclusive" or "assumptions not met"; a derived rarity holds in the limit by construction."""
        counts = self.limit is not None and self.terms.distribution.rarity is not None
        return combine(self.assumptions, self.at_this_size, self.limit.verdict if self.limit and counts else None)

    @property
    def observed(self) -> str:
        """The finding in both parts: "true in 16 of 20 samples; in the limit: holds from step 1 to beyond 1e+12"."""
        texts = [super().observed] if self.samples else []
        return "; ".join([*texts, *([f"in the limit: {self.limit.text}"] if self.limit else [])])

    @property
    def onset(self) -> float | None:
        """Median T_m over the samples that hold; of 3.3, the median last judged step at which all statements are true."""
        onsets = [sample.onset for sample in self.samples if sample.onset is not None]
        return float(np.median(onsets)) if onsets else None

    @property
    def largest_change(self) -> Change | None:
        """The largest change of an accuracy between judged steps in [T/2, T], beside its tolerance, over the samples."""
        changes = [sample.change for sample in self.samples if sample.change is not None]
        return max(changes, key=lambda change: change.share, default=None)

    @property
    def sentences(self) -> list[str]:
        """The result in words, with when it holds."""
        first, *others = super().sentences
        first = first if self.samples else f"{self.name}: {self.verdict}, {self.observed}."
        details = self.limit.details if self.limit is not None else []
        return [first, *details, *self._when(), *others, *self._own_limits()]

    def _own_limits(self) -> list[str]:
        """Why samples do not hold, by their own limits: the counts of points, or the overlap of noise."""
        others = {one.seed for one in self.samples if one.verdict in (FAILS, UNDECIDED)}
        judged = [one for one in self.own_limits if one.seed in others]
        if not judged:
            return []
        by_overlap = [one for one in judged if one.verdict == HOLDS]
        by_counts = [one for one in judged if one.verdict != HOLDS]
        parts = []
        if by_counts:
            cause = "the cause is how many points have each feature, since their own limits do not hold either"
            if self.limit is not None and self.limit.verdict == FAILS:
                cause = "their own limits do not hold either, as the limit without a sample does not"
            parts.append(f"in {len(by_counts)} ({_seeds(by_counts)}) {cause}")
        if by_overlap:
            cause = "the cause is the overlap of noise at this size, since their own limits hold"
            parts.append(f"in {len(by_overlap)} ({_seeds(by_overlap)}) {cause}")
        return [f"Why samples do not hold: {'; '.join(parts)}."]

    def _when(self) -> list[str]:
        unit, texts = "step" if self.terms.experiment.until is None else "t =", []
        if self.onset is not None and self.theorem.lasting:
            texts.append(f"Where it holds, every statement is true from {unit} {self.onset:,g} (median T_m) to T.")
        elif self.onset is not None:
            texts.append(
                f"Where it holds, the last judged {unit} at which all three are true is {self.onset:,g} (median)."
            )
        if self.theorem.lasting and self.largest_change is not None:
            texts.append(f"Largest change of an accuracy between judged steps since T/2: {self.largest_change}.")
        return texts


def theorem_verdict(
    theorem: Theorem,
    method: Method,
    terms: Terms,
    runs: Sequence[SeedRun],
    limit: LimitVerdict | None = None,
    own_limits: Sequence[SeedRun] = (),
) -> TheoremVerdict:
    """Return the verdict on one theorem from its method's runs, what holds in the limit, and runs in samples' own limits.

    A run that Ctrl-C ended does not count.
    """
    finished = [run for run in runs if run.status != "interrupted"]
    samples = tuple(judge_sample(theorem, run, terms) for run in finished)
    usual = method.title in theorem.title
    return TheoremVerdict(
        name=f"Theorem {theorem.number}" + ("" if usual else f" ({method.title})"),
        title=f"{theorem.number} {theorem.title}" + ("" if usual else f", {method.title}"),
        terms=terms,
        assumptions=(*_assumed(method, terms, is_sized=bool(runs)), *run_assumptions(finished)),
        samples=samples,
        lines=theorem_lines(theorem, [sample for sample in samples if sample.verdict != SET_ASIDE]),
        theorem=theorem,
        method=method,
        limit=limit,
        own_limits=tuple(judge_sample(theorem, run, terms) for run in own_limits),
    )


def _assumed(method: Method, terms: Terms, is_sized: bool) -> list[Assumption]:
    """What the theorem assumes of the setting: without samples, or in their limits, not what speaks of this size."""
    is_sized = is_sized and not terms.experiment.is_limit
    return [row for row in setting_assumptions(method, terms.experiment) if is_sized or not row.at_this_size]


def describe_missing(samples: Sequence[SampleVerdict]) -> list[str]:
    """Return a sentence for each thing that samples lack: which samples, and how many points of a feature they have."""
    groups: dict[tuple[str, str], list[SampleVerdict]] = {}
    for sample in samples:
        if sample.verdict in (FAILS, UNDECIDED):
            groups.setdefault((sample.verdict, sample.missing), []).append(sample)
    holding = [sample for sample in samples if sample.verdict == HOLDS]
    return [
        f"{verdict.capitalize()} ({_seeds(group)}): {missing}{_points(group, holding)}."
        for (verdict, missing), group in groups.items()
    ]


def _seeds(samples: Sequence[SampleVerdict]) -> str:
    shown = ", ".join(str(sample.seed) for sample in samples[:SHOWN_SEEDS])
    more = len(samples) - SHOWN_SEEDS
    return f"seed{'s' * (len(samples) > 1)} {shown}" + (f" and {more} more" if more > 0 else "")


def _points(group: Sequence[SampleVerdict], holding: Sequence[SampleVerdict]) -> str:
    """How many points have the feature that is wrong in these samples, and how many where the claim holds."""
    places = [sample.feature for sample in group if sample.feature is not None]
    if len(places) < len(group) or len({k for _, k in places}) > 1:
        return ""
    k = places[0][1]
    own = [(sample.run.feature_counts or ())[label][k] for sample, (label, _) in zip(group, places, strict=True)]
    others = [row[k] for sample in holding for row in sample.run.feature_counts or ()]
    text = f"; the label concerned has {_range(own)} points of feature {k + 1}"
    return text + (f" ({_range(others)} where it holds)" if others else "")


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"
