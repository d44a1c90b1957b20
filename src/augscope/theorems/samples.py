"""One sample, judged by a theorem: it holds, it fails, or it is undecided, and then what is missing (model.md §5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from augscope.theorems.statements import Condition, Terms, Theorem, stationary_conditions
from augscope.training.seed_run import SeedRun, missing_features

HOLDS, FAILS, UNDECIDED, SET_ASIDE = "holds", "fails", "undecided", "set aside"
APPROACH_SHARE = 0.1  # of an accuracy's tolerance: one that came nearer by more is still on its way


class Change(NamedTuple):
    """The largest change of an accuracy from one judged step in [T/2, T] to the next, beside its tolerance."""

    name: str
    size: float
    tolerance: float
    seed: int | None

    @property
    def share(self) -> float:
        """Of the tolerance."""
        return self.size / self.tolerance

    def __str__(self) -> str:
        return f"{self.size:.2g} ({self.name}, seed {self.seed}; its tolerance is {self.tolerance:g})"


@dataclass(frozen=True)
class SampleVerdict:
    """One sample's result for one theorem, or for an order of methods.

    Attributes:
        run: its run; for an order that of the last method.
        verdict: "holds", "fails", "undecided" or "set aside" (a feature is missing from the sample).
        missing: what stands in the way, in the same words in every sample where it is the same; "" where it holds.
        reason: the same with its numbers.
        onset: T_m, the first judged step ≥ 1 from which every statement lasts to T; for 3.3 the last judged step at which
            all are true; None where it does not hold.
        feature: (row of the label, index) of the feature that is wrong, or None.
        conditions: what was judged, by statement.
        change: the largest change of an accuracy between judged steps in [T/2, T]; None where nothing was compared.
        at: the judged step that tables show, as an index from the end: T, or for 3.3 `onset`.
    """

    run: SeedRun = field(repr=False)
    verdict: str
    missing: str = ""
    reason: str = ""
    onset: float | None = None
    feature: tuple[int, int] | None = None
    conditions: tuple[tuple[Condition, ...], ...] = field(default=(), repr=False)
    change: Change | None = None
    at: int = -1

    @property
    def seed(self) -> int | None:
        """Of the sample."""
        return self.run.seed


@dataclass(frozen=True)
class Evidence:
    """A theorem's conditions along one run, at its judged steps up to T."""

    theorem: Theorem
    run: SeedRun
    end: float
    conditions: tuple[tuple[Condition, ...], ...]

    @property
    def steps(self) -> np.ndarray:
        """The judged steps, or times of a flow."""
        return self.run.history.steps

    @cached_property
    def true(self) -> Bool[np.ndarray, " R"]:
        """B(t): where every statement is true."""
        return np.all([condition.true for row in self.conditions for condition in row], axis=0)

    @cached_property
    def fitted(self) -> Bool[np.ndarray, " R"]:
        """Where all training statements are true, or the gradient is near 0."""
        pairs = zip(self.theorem.statements, self.conditions, strict=True)
        rows = [condition.true for statement, row in pairs if statement.on_training for condition in row]
        stationary = [condition.true for condition in stationary_conditions(self.run.history)]
        return np.all(rows, axis=0) | np.all(stationary, axis=0)

    @cached_property
    def late(self) -> Int[np.ndarray, " late"]:
        """Indices of the judged steps in [T/2, T]."""
        return np.flatnonzero(self.steps >= self.end / 2)

    @property
    def accuracies(self) -> tuple[Condition, ...]:
        """The conditions on accuracy."""
        return self.conditions[-1]

    @cached_property
    def approaches(self) -> bool:
        """Whether an accuracy that is refused at T came nearer its range since T/2 by over a tenth of its tolerance."""
        for condition in self.accuracies:
            first, last = condition.distance[self.late[0]], condition.distance[-1]
            if np.any((last > 0) & (first - last > APPROACH_SHARE * (condition.tolerance or 0))):
                return True
        return False

    @cached_property
    def change(self) -> Change | None:
        """The largest change of an accuracy, beside its tolerance, from one judged step in [T/2, T] to the next."""
        if len(self.late) < 2:
            return None
        sizes = [np.abs(np.diff(condition.values[self.late], axis=0)).max() for condition in self.accuracies]
        changes = [
            Change(condition.name, float(size), condition.tolerance or 0, self.run.seed)
            for condition, size in zip(self.accuracies, sizes, strict=True)
        ]
        return max(changes, key=lambda change: change.share)

    def sample(
        self,
        verdict: str,
        missing: str = "",
        reason: str = "",
        *,
        onset: float | None = None,
        feature: tuple[int, int] | None = None,
        at: int = -1,
    ) -> SampleVerdict:
        """Return the sample's result with this evidence."""
        return SampleVerdict(self.run, verdict, missing, reason, onset, feature, self.conditions, self.change, at)

    def lacking(self, verdict: str, index: int, words: str) -> SampleVerdict:
        """Return a sample that does not hold because of what is not true at one judged step; `words` go before it."""
        false = [condition for row in self.conditions for condition in row if not condition.true[index]]
        texts = [condition.text(index, int(np.argmax(condition.distance[index]))) for condition in false]
        if false[0].tolerance is None:
            return self.sample(verdict, f"{false[0].name} is not {false[0].required}", f"{words}: {'; '.join(texts)}")
        name, feature = self._farthest(index)
        return self.sample(verdict, f"{name} is out of range", f"{words}: {'; '.join(texts)}", feature=feature)

    def _farthest(self, index: int) -> tuple[str, tuple[int, int]]:
        """Of the accuracies on features that which is farthest from what the theorem says: its name, label and feature."""
        on_features = [condition for condition in self.accuracies if condition.feature is not None]
        distances = np.array([np.abs(one.values[index] - one.target) for one in on_features])
        k, label = divmod(int(np.argmax(distances)), distances.shape[1])
        return on_features[k].name, (label, k)

    def step_text(self, index: int) -> str:
        """Return "at step 5,000", "at T" or "at t = 12.5"."""
        step = self.steps[index].item()
        if step == self.end:
            return "at T"
        return f"at step {step:,}" if isinstance(step, int) else f"at t = {step:,g}"


def unsettled(run: SeedRun, end: float) -> str | None:
    """Return why a run says nothing at T, in a word or two: it did not come there (a flow may give up after it), or oscillates."""
    late = run.status == "unfinished" and run.history.steps[-1] >= end
    if run.status != "completed" and not late:
        return run.status
    return "oscillating" if run.oscillating else None


def judge_sample(theorem: Theorem, run: SeedRun, terms: Terms) -> SampleVerdict:
    """Return one sample's result from its run, which has records up to T at most, and at least one."""
    absent = missing_features(run)
    if absent:
        return SampleVerdict(run, SET_ASIDE, "a feature is absent", "; ".join(absent))
    conditions = tuple(statement.conditions(run.history, terms) for statement in theorem.statements)
    evidence = Evidence(theorem, run, terms.end, conditions)
    return _judge_lasting(evidence) if theorem.lasting else _judge_meeting(evidence)


def _judge_lasting(evidence: Evidence) -> SampleVerdict:
    """Theorems 3.1 and 3.2: every statement is true on all of [T/2, T]."""
    run, true, late = evidence.run, evidence.true, evidence.late
    state = unsettled(run, evidence.end)
    if state is not None:
        return evidence.sample(UNDECIDED, f"training has not settled ({state})", run.message)
    if len(late) < 2:  # so it is at T = 1: nothing can be seen to last, or to come nearer
        reason = f"T = {evidence.end:,}: too few steps to see what lasts from T/2 to T"
        return evidence.sample(UNDECIDED, "only one step is judged from T/2 to T", reason)
    if not true[-1]:
        return _judge_false(evidence)
    if not true[late].all():
        index = int(late[~true[late]][-1])
        return evidence.lacking(UNDECIDED, index, f"true at T, but not {evidence.step_text(index)}")
    if evidence.change is not None and evidence.change.share > 1:
        reason = f"true, but from one judged step to the next it changes by {evidence.change}"
        return evidence.sample(UNDECIDED, "an accuracy changes by more than its tolerance", reason)
    return evidence.sample(HOLDS, onset=_first_lasting(evidence))


def _judge_false(evidence: Evidence) -> SampleVerdict:
    """A theorem that is not true at T: it fails if training is done and no accuracy is still on its way."""
    unfitted = evidence.late[~evidence.fitted[evidence.late]]
    if len(unfitted):
        return evidence.lacking(UNDECIDED, int(unfitted[-1]), evidence.step_text(int(unfitted[-1])))
    if evidence.approaches:
        return evidence.lacking(UNDECIDED, -1, "at T, but nearer than at T/2")
    return evidence.lacking(FAILS, -1, "at T, and no nearer than at T/2")


def _judge_meeting(evidence: Evidence) -> SampleVerdict:
    """Theorem 3.3: all statements are true at some step up to T."""
    meets = np.flatnonzero(evidence.true)
    if len(meets):
        at = int(meets[-1]) - len(evidence.steps)
        return evidence.sample(HOLDS, onset=evidence.steps[at].item(), at=at)
    stationary = np.all([condition.true for condition in evidence.conditions[0]], axis=0)
    if unsettled(evidence.run, evidence.end) is None and stationary[evidence.late].all():
        return evidence.lacking(FAILS, -1, "the gradient was near 0 from T/2 on, but at T")
    return evidence.lacking(UNDECIDED, -1, evidence.step_text(-1))


def _first_lasting(evidence: Evidence) -> float:
    """T_m: the first judged step ≥ 1 (time > 0) from which every statement is true to T."""
    false = np.flatnonzero(~evidence.true | (evidence.steps == 0))
    return evidence.steps[false[-1] + 1 if len(false) else 0].item()
