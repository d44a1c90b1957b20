"""The result of a check: what was measured, rule by rule, and whether all that was claimed holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

HOLDS, FAILS, REPORTED = "holds", "fails", "reported"


@dataclass(frozen=True)
class Check:
    """One rule.

    Attributes:
        name: of the rule, such as "label weight = pixel share".
        verdict: "holds", "fails", or "reported" where nothing is claimed.
        evidence: the figures, in a sentence.
        defect: the defect's name, where it is a known one.
        p_value: of a statistical rule.
    """

    name: str
    verdict: str
    evidence: str
    defect: str | None = None
    p_value: float | None = None


def judge(
    name: str, evidence: str, *, good: bool | None, defect: str | None = None, p_value: float | None = None
) -> Check:
    """Return the result of a rule; `good` is None where nothing is claimed, and a defect is named where it fails."""
    if good is None:
        return Check(name, REPORTED, evidence, p_value=p_value)
    return Check(name, HOLDS if good else FAILS, evidence, None if good else defect, p_value)


@dataclass(frozen=True)
class Certificate:
    """What a transform does, compared with what is claimed of it.

    Attributes:
        target: its name.
        claims: what is claimed of it, in words.
        coding: how samples were coded in pixels, in words.
        checks: every rule.
        measured: the figures by name, for programs.
        false_alarm_rate: probability with which a correct transform fails, at most, over all statistical rules together.
        seed: of the run.
        hints: what to try next, a sentence each.
        coverage: P(pixel is pasted | something is) as measured, (H, W), or None where masks could not be read.
        expected_coverage: the claimed law's.
        examples: up to twelve masks, true where pasted, (m, H, W).
    """

    target: str
    claims: str
    coding: str
    checks: tuple[Check, ...]
    measured: dict[str, Any]
    false_alarm_rate: float
    seed: int
    versions: dict[str, str] = field(default_factory=dict)
    hints: tuple[str, ...] = ()
    coverage: np.ndarray | None = None
    expected_coverage: np.ndarray | None = None
    examples: np.ndarray | None = None

    @property
    def holds(self) -> bool:
        """Whether every claimed property holds."""
        return all(check.verdict != FAILS for check in self.checks)

    @property
    def exit_status(self) -> int:
        """0 if every claimed property holds, 1 otherwise."""
        return 0 if self.holds else 1

    @property
    def defects(self) -> tuple[str, ...]:
        """The names of its defects."""
        return tuple(check.defect for check in self.checks if check.defect)

    def __getitem__(self, name: str) -> Check:
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(name)

    @property
    def summary(self) -> str:
        """One sentence."""
        failed = [check for check in self.checks if check.verdict == FAILS]
        if not failed:
            return f"{self.target}: every claimed property holds."
        names = "; ".join(check.defect or check.name for check in failed)
        return f"{self.target}: {len(failed)} of {self.num_judged} claimed properties fail: {names}."

    @property
    def num_judged(self) -> int:
        """How many rules were judged."""
        return sum(check.verdict != REPORTED for check in self.checks)

    @property
    def conditions(self) -> str:
        """Coding, and the false-alarm rate."""
        return (
            f"{self.coding} A transform of which all claims are true fails with probability at most "
            f"{self.false_alarm_rate:g} over all statistical rules together (seed {self.seed})."
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON: plain numbers, text and lists."""
        return {
            "target": self.target,
            "claims": self.claims,
            "holds": self.holds,
            "exit_status": self.exit_status,
            "defects": list(self.defects),
            "checks": [vars(check) for check in self.checks],
            "hints": list(self.hints),
            "measured": self.measured,
            "coding": self.coding,
            "false_alarm_rate": self.false_alarm_rate,
            "seed": self.seed,
            "coverage": None if self.coverage is None else np.round(self.coverage, 5).tolist(),
            "versions": self.versions,
        }

    def __str__(self) -> str:
        width = max(len(check.name) for check in self.checks)
        lines = [f"Claims: {self.claims}."]
        for check in self.checks:
            evidence = f"{check.defect}: {check.evidence}" if check.defect else check.evidence
            lines.append(f"{check.name:{width}}  {check.verdict:8}  {evidence}")
        return "\n".join([*lines, self.summary, *self.hints, self.conditions])
