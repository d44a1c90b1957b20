"""How a target is tried, and the evidence that checks are made on: batches as they were read, and what else was noticed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from pydantic import model_validator

from augscope.laws import coding
from augscope.laws.targets import Target
from augscope.support.values import Value, check

ODD, NUM_ODD = 7, 40
PAIR, NUM_PAIRS = 2, 60
NUM_SINGLE, NUM_POSITIONS, NUM_SEEDED = 4, 6, 4
MAX_SECONDS = 1_000_000  # of one call: more is a typing error, and beyond what timers hold
MIN_CALLS, MAX_CALLS, MIN_BATCH, MAX_BATCH = 64, 1_000_000, 4, 4096
MAX_VALUES = 2**28  # in a batch: above, it is a typing error
NUM_TESTS = 12  # statistical rules of one certificate, at most; they share the false-alarm rate
BLEND_EDGE = 0.05  # a blend's weight this close to 0 or 1 may be read as 0 or 1


class Trial(Value):
    """How a target is tried; the fields are explained in `certify`."""

    batch_size: int
    num_calls: int
    image_size: tuple[int, int]
    channels: int
    seed: int
    false_alarm_rate: float
    time_limit: float = 60.0

    @model_validator(mode="after")
    def _check_sizes(self) -> Trial:
        batch, calls, channels, rate = self.batch_size, self.num_calls, self.channels, self.false_alarm_rate
        check(MIN_BATCH <= batch <= MAX_BATCH, f"`batch_size` must be in [{MIN_BATCH}, {MAX_BATCH}], got {batch}")
        check(MIN_CALLS <= calls <= MAX_CALLS, f"`num_calls` must be in [{MIN_CALLS}, {MAX_CALLS:,}], got {calls}")
        check(min(self.image_size) >= 4, f"`image_size` must be two sides ≥ 4, got {self.image_size}")
        check(channels >= 1, f"`channels` must be at least 1, got {channels}")
        values = batch * channels * self.image_size[0] * self.image_size[1]
        check(values <= MAX_VALUES, f"`image_size` must leave at most {MAX_VALUES:,} values in a batch, got {values:,}")
        check(0 <= self.seed < 2**31, f"`seed` must be from 0 to 2^31 - 1, got {self.seed}")
        enough = channels >= 2 or batch <= 240
        check(enough, f"`batch_size` must be at most 240 with one channel, got {batch}")
        check(0 < rate <= 0.1, f"`false_alarm_rate` must be in (0, 0.1], got {rate}")
        limit = self.time_limit
        check(0 < limit <= MAX_SECONDS, f"`time_limit` must be above 0 and at most {MAX_SECONDS:,} s, got {limit:g}")
        return self

    @property
    def total_calls(self) -> int:
        """About all calls of a run that nothing ends, apart from those that find out the form; more where draws are rare."""
        constant = len(coding.CONSTANTS) * coding.NUM_CONSTANT
        return constant + NUM_POSITIONS + self.num_calls + 4 * NUM_SEEDED + NUM_PAIRS + NUM_SINGLE + NUM_ODD

    @property
    def level(self) -> float:
        """The largest p-value at which one statistical rule fails."""
        return self.false_alarm_rate / NUM_TESTS


class Problem(NamedTuple):
    """A rule that a call broke: the check's name, and a sentence with the call."""

    rule: str
    sentence: str


class TargetFailed(Exception):
    """The target raised, or returned something that is no batch; nothing more can be measured."""

    def __init__(self, rule: str, sentence: str) -> None:
        super().__init__(sentence)
        self.problem = Problem(rule, sentence)


@dataclass
class Batches:
    """Many calls with the same batch size, read (R calls, N samples).

    Attributes:
        own: share of the sample itself in the pixels, (R, N).
        pasted: pixels that are not wholly the sample's own, (R, N, H, W).
        partner: (R, N), −1 where none is to be seen.
        erased: share of erased pixels, (R, N).
        blended: whether pixels lie between two samples, (R, N).
        spread: how much the sample's weight varies over a blended image's pixels, (R, N).
        resolution: how exactly a blend's weight can be read, (R, N).
        sources: how many other samples an image shows, (R, N).
        labels: soft labels, (R, N, K).
        classes: the labels that went in, (N,).
        label_rounding: how far a label weight may be off in half precision, or 0.
    """

    own: np.ndarray
    pasted: np.ndarray
    partner: np.ndarray
    erased: np.ndarray
    blended: np.ndarray
    spread: np.ndarray
    resolution: np.ndarray
    sources: np.ndarray
    labels: np.ndarray
    classes: np.ndarray
    label_rounding: float

    @property
    def share(self) -> np.ndarray:
        """Pasted share, (R, N)."""
        return 1 - self.own

    @cached_property
    def blend(self) -> bool:
        """Whether most images that are not the sample alone are blends, as by Mixup."""
        changed = self.own < 1
        return bool(self.blended[changed].mean() > 0.5) if changed.any() else False

    @property
    def differ(self) -> bool:
        """Whether not all calls are alike."""
        return any((values != values[0]).any() for values in (self.own, self.pasted, self.partner))

    @property
    def pasted_at_all(self) -> np.ndarray:
        """Samples with something pasted, (R, N); of blends, those with more than 5 % of somebody else."""
        return self.share > (BLEND_EDGE if self.blend else 0)


@dataclass
class Evidence:
    """All that was read off a target.

    Attributes:
        target, trial: what was tried, and how.
        value_map: what the target does to values, or None where that is no line a channel.
        hard_labels: whether class indices came back, and never soft labels.
        problems: rules that calls broke, each once.
        ended: whether a call ended the run before all large batches were read.
        refusals: what the target raised at the first batch of another size, by size; such a size is not judged.
        main, odd, pairs: large batches, batches of odd size, and batches of two; None where they could not be read.
        fill: (C,), where every erased pixel has one value.
        fill_varies: whether erased pixels have several.
        erased_share: of the pixels of large batches.
        misplaced: pixels that hold what was elsewhere.
        reproducible, generator_obeyed, random: what seeds decide, or None where that was not tried.
        seeded_generators: whose global generators the target seeds itself.
        num_calls: all calls.
        num_shared: calls whose images lie in the memory of those that went in.
        image_rounding, label_rounding: the largest of any `Call`.
    """

    target: Target
    trial: Trial
    value_map: coding.ValueMap | None = None
    hard_labels: bool = False
    problems: list[Problem] = field(default_factory=list)
    ended: bool = False
    refusals: dict[int, str] = field(default_factory=dict)
    main: Batches | None = None
    odd: Batches | None = None
    pairs: Batches | None = None
    fill: np.ndarray | None = None
    fill_varies: bool = False
    erased_share: float = 0.0
    misplaced: int = 0
    reproducible: bool | None = None
    generator_obeyed: bool | None = None
    random: bool | None = None
    seeded_generators: tuple[str, ...] = ()
    num_calls: int = 0
    num_shared: int = 0
    image_rounding: float = 0.0
    label_rounding: float = 0.0

    def note(self, rule: str, sentence: str) -> None:
        """Keep a broken rule, once."""
        if all(problem.rule != rule for problem in self.problems):
            self.problems.append(Problem(rule, sentence))
