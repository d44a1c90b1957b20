"""The lines of the verdict table: each statement, and each of its conditions, over the samples that count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from augscope.theorems.samples import SampleVerdict
from augscope.theorems.statements import Condition, Theorem


@dataclass(frozen=True)
class Line:
    """A statement, or a condition of it, over the samples that count.

    Attributes:
        number: of a statement, "3.1 (1)"; "" for a condition.
        text: in words.
        samples_true, num_samples: in how many samples it is true at the judged step, of how many.
        onset: the step from which it is true until then, median over those samples; None if there are none.
        required: the range in which the measure must lie; "" for a statement of several conditions, which has no numbers.
        measured: mean over samples and labels.
        worst: the value that lies nearest to an end of the range, or farthest beyond it.
        digits: how the numbers are printed.
        part: whether it is a condition of the statement above.
    """

    number: str
    text: str
    samples_true: int
    num_samples: int
    onset: float | None = None
    required: str = ""
    measured: float | None = None
    worst: float | None = None
    digits: str = ""
    part: bool = False


def theorem_lines(theorem: Theorem, samples: Sequence[SampleVerdict]) -> tuple[Line, ...]:
    """Return the lines of a theorem: one a statement, and below it one a condition where it has several."""
    lines = []
    for index, statement in enumerate(theorem.statements if samples else ()):
        columns = list(zip(*(sample.conditions[index] for sample in samples), strict=True))
        if len(columns) == 1:
            lines.append(condition_line(statement.number, statement.text, samples, columns[0]))
            continue
        lines.append(_line(statement.number, statement.text, samples, columns))
        texts = [column[0].name.removeprefix("test accuracy ") for column in columns]  # the statement says so above
        parts = [condition_line("", text, samples, column) for text, column in zip(texts, columns, strict=True)]
        lines += [replace(part, part=True) for part in parts]
    return tuple(lines)


SAMPLE_COLUMNS = ["claim", "seed", "sample", "condition", "label", "value", "required", "true"]


def sample_rows(claim: str, samples: Sequence[SampleVerdict]) -> list[tuple[Any, ...]]:
    """Return a row of `SAMPLE_COLUMNS` a sample, condition and label: what was measured at the step that tables show, and whether that is enough."""
    return [
        (
            claim,
            sample.seed,
            sample.verdict,
            condition.name,
            label,
            float(value),
            condition.required,
            bool(condition.low <= value <= condition.high),
        )
        for sample in samples
        for conditions in sample.conditions
        for condition in conditions
        for label, value in zip(_labels(condition), condition.values[sample.at], strict=True)
    ]


def _labels(condition: Condition) -> tuple[int, ...]:
    """The labels of a condition's columns; 0 for both together."""
    return (1, -1) if condition.values.shape[1] == 2 else (0,)


def condition_line(number: str, text: str, samples: Sequence[SampleVerdict], conditions: Sequence[Condition]) -> Line:
    """Return the line of one condition, as it stands in each sample, with its numbers."""
    values = np.array(
        [one.values[sample.at] for sample, one in zip(samples, conditions, strict=True)]
    )  # (samples, labels)
    first = conditions[0]  # its range is that of all
    room = np.minimum(first.high - values, values - first.low)
    worst = float(values.ravel()[np.argmin(room)])  # NaN, if there is one
    line = _line(number, text, samples, [conditions])
    return replace(line, required=first.required, measured=float(values.mean()), worst=worst, digits=first.digits)


def _line(number: str, text: str, samples: Sequence[SampleVerdict], columns: Sequence[Sequence[Condition]]) -> Line:
    """Count the samples in which some conditions are all true at the judged step, and say since when."""
    onsets = []
    for sample, conditions in zip(samples, zip(*columns, strict=True), strict=True):
        true = np.all([condition.true for condition in conditions], axis=0)
        false = np.flatnonzero(~true[: len(true) + sample.at + 1])
        if true[sample.at]:
            onsets.append(sample.run.history.steps[false[-1] + 1 if len(false) else 0])
    onset = float(np.median(onsets)) if onsets else None
    return Line(number, text, len(onsets), len(samples), onset)
