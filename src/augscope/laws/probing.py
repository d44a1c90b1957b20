"""Feeds coded batches to a target and keeps what was read off: the evidence that checks are made on."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from augscope.laws import coding
from augscope.laws.targets import Call, Target

ODD, NUM_ODD = 7, 40
PAIR, NUM_PAIRS = 2, 60
NUM_SINGLE, NUM_PLACES = 4, 6
BLEND_EDGE = 0.05  # a blend's weight this close to 0 or 1 may be read as 0 or 1
LABEL_SLACK = 1e-3  # how far a row of soft labels may sum from 1, and two weights' rounding


class Problem(NamedTuple):
    """A rule that a call broke: the check's name, and a sentence with the call."""

    rule: str
    sentence: str


class TargetFailed(Exception):
    """The target raised, or returned something that is no batch; nothing more can be measured."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.sentence)
        self.problem = problem


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
    def pasted_at_all(self) -> np.ndarray:
        """Samples with something pasted, (R, N); of blends, those with more than 5 % of somebody else."""
        return self.share > (BLEND_EDGE if self.blend else 0)


@dataclass
class Evidence:
    """All that was read off a target."""

    target: Target
    batch_size: int
    height: int
    width: int
    value_map: coding.ValueMap | None = None
    hard_labels: bool = False
    problems: list[Problem] = field(default_factory=list)
    main: Batches | None = None
    odd: Batches | None = None
    pairs: Batches | None = None
    fill: np.ndarray | None = None  # (C,) where every erased pixel has one value
    fill_varies: bool = False
    erased_share: float = 0.0
    misplaced: int = 0  # pixels that do not hold what was at their place
    reproducible: bool | None = None
    generator_obeyed: bool | None = None
    random: bool | None = None
    num_calls: int = 0
    image_rounding: float = 0.0  # of the images that come back, as in `Call`
    label_rounding: float = 0.0


class Prober:
    """Calls a target, checks every answer's form, and reads it."""

    def __init__(self, target: Target, batch_size: int, height: int, width: int, channels: int, seed: int) -> None:
        self.target, self.channels, self.seed = target, channels, seed
        self.evidence = Evidence(target, batch_size, height, width)
        self._fills: list[np.ndarray] = []
        self._moved: list[np.ndarray] = []

    def run(self, num_calls: int) -> Evidence:
        """Make all calls; what fails is in the evidence, with the call that did it."""
        with foreign_warnings_ignored(), one_torch_thread():
            try:
                self._run(num_calls)
            except TargetFailed as failure:
                self.evidence.problems.append(failure.problem)
        self._settle_fill()
        return self.evidence

    def _run(self, num_calls: int) -> None:
        found = self.evidence
        self.target.seed(self.seed)
        constants = [self._images(np.full(self._shape(found.batch_size), level)) for level in coding.CONSTANTS]
        found.value_map = coding.find_value_map(constants)
        if found.value_map is None:
            return
        self._probe_places()
        found.main = self._batches(found.batch_size, num_calls)
        self._probe_seeds()
        self.target.seed(self.seed + 1)
        found.pairs = self._batches(PAIR, NUM_PAIRS)
        self._batches(1, NUM_SINGLE)
        found.odd = self._batches(ODD, NUM_ODD)

    @property
    def blend_tolerance(self) -> float:
        """How far a blended pixel may be off, in levels; pasted ones are exact in half precision too."""
        return coding.BLENDED[self.target.convention.dtype] + 256 * self.evidence.image_rounding

    def _shape(self, count: int) -> tuple[int, int, int, int]:
        return count, self.evidence.height, self.evidence.width, self.channels

    def _classes(self, count: int) -> np.ndarray:
        return np.arange(count) % (self.target.num_classes or count)

    def _call(self, levels: np.ndarray) -> Call:
        """One call, checked; a broken rule is kept once."""
        count = len(levels)
        self.evidence.num_calls += 1
        where = f"call {self.evidence.num_calls} (a batch of {count}, {self.evidence.height}×{self.evidence.width})"
        try:
            call = self.target(levels, self._classes(count))
        except (Exception, SystemExit) as error:  # whatever foreign code raises is the finding
            text = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            raise TargetFailed(Problem("runs", f"{where} raised {text}")) from error
        self.evidence.image_rounding = max(self.evidence.image_rounding, call.image_rounding)
        self.evidence.label_rounding = max(self.evidence.label_rounding, call.label_rounding)
        self._check_form(call, self.target.convention.encode(levels).shape, where)
        return call

    def _check_form(self, call: Call, shape: tuple[int, ...], where: str) -> None:
        if call.images.shape != tuple(shape):
            rule = "batch size kept" if call.images.shape[1:] == tuple(shape[1:]) else "shapes"
            raise TargetFailed(
                Problem(rule, f"{where} returned images of shape {call.images.shape}, not {tuple(shape)}")
            )
        labels, count = call.labels, shape[0]
        least = int(self._classes(count).max()) + 1
        if labels.shape == (count,):
            self.evidence.hard_labels = True
        elif labels.ndim != 2 or len(labels) != count or labels.shape[1] < least:
            wanted = f"({count}, K) with K ≥ {least}"
            raise TargetFailed(Problem("shapes", f"{where} returned labels of shape {labels.shape}, not {wanted}"))
        for what, values in (("images", call.images), ("labels", labels)):
            bad = int(values.size - np.isfinite(values).sum())
            if bad:
                raise TargetFailed(
                    Problem("finite", f"{where} returned {what} with {bad} values that are NaN or infinite")
                )
        if not call.untouched:
            self._note("input untouched", f"{where} changed its input in place")
        if labels.ndim == 2:
            off = np.abs(labels.astype(float).sum(1) - 1).max()
            low = labels.min()
            if off > LABEL_SLACK + 2 * call.label_rounding or low < -LABEL_SLACK:
                sentence = (
                    f"{where} returned labels that are no weights: a row sums to 1 ± {off:.3g}, the least is {low:.3g}"
                )
                self._note("soft labels", sentence)

    def _note(self, rule: str, sentence: str) -> None:
        if all(problem.rule != rule for problem in self.evidence.problems):
            self.evidence.problems.append(Problem(rule, sentence))

    def _images(self, levels: np.ndarray) -> np.ndarray:
        return self.target.convention.channels_last(self._call(levels).images).astype(float)

    def _probe_places(self) -> None:
        """Feed one image N times: a pixel that is not erased must hold what was at its place."""
        found = self.evidence
        levels = coding.position_batch(*self._shape(found.batch_size))
        assert found.value_map is not None
        for _ in range(NUM_PLACES):
            output = found.value_map.levels(self._images(levels))
            moved = (np.abs(output - levels) > 2 * self.blend_tolerance).any(axis=-1)
            self._moved.append(output[moved])

    def _batches(self, count: int, num_calls: int) -> Batches:
        codes = coding.colours(count, self.channels)
        levels = coding.coded_batch(codes, self.evidence.height, self.evidence.width)
        read = [self._read(self._call(levels), codes) for _ in range(num_calls)]
        parts = {name: np.array([one[name] for one in read]) for name in read[0]}
        return Batches(**parts, classes=self._classes(count), label_rounding=self.evidence.label_rounding)

    def _read(self, call: Call, codes: np.ndarray) -> dict[str, np.ndarray]:
        """One call's rows of `Batches`."""
        assert self.evidence.value_map is not None
        levels = self.evidence.value_map.levels(self.target.convention.channels_last(call.images).astype(float))
        read = coding.decode(levels, codes, self.blend_tolerance)
        self._fills.append(levels[read.erased])
        spread = np.where(read.blended, np.ptp(read.own.reshape(len(codes), -1), axis=1), 0)
        num_classes = self.target.num_classes or len(codes)
        hard = call.labels.ndim == 1
        labels = np.eye(num_classes)[call.labels.astype(int) % num_classes] if hard else call.labels.astype(float)
        return {
            "own": read.own.mean(axis=(1, 2)),
            "pasted": read.own < 1,
            "partner": read.partner,
            "erased": read.erased.mean(axis=(1, 2)),
            "blended": read.blended,
            "spread": spread,
            "resolution": coding.resolution(codes, read.partner, self.blend_tolerance),
            "sources": read.sources,
            "labels": labels,
        }

    def _probe_seeds(self) -> None:
        """Same seed, same output? Another seed, another one? A generator of its own: does it alone decide?"""
        found = self.evidence
        codes = coding.colours(found.batch_size, self.channels)
        levels = coding.coded_batch(codes, found.height, found.width)

        def outputs(seed: int, elsewhere: int | None = None) -> list[np.ndarray]:
            self.target.seed(seed, elsewhere=elsewhere)
            return [self._call(levels).images for _ in range(4)]

        first, again, other = outputs(self.seed), outputs(self.seed), outputs(self.seed + 1)
        found.reproducible = _same(first, again)
        found.random = not (_same(first, other) and all(np.array_equal(first[0], one) for one in first))
        if self.target.has_generator:
            found.generator_obeyed = _same(first, outputs(self.seed, elsewhere=self.seed + 17))

    def _settle_fill(self) -> None:
        """One fill value, or several; and pixels of the position image that hold neither their own value nor the fill."""
        fills = np.concatenate([np.empty((0, self.channels)), *self._fills])
        moved = np.concatenate([np.empty((0, self.channels)), *self._moved])
        if not len(fills):
            self.evidence.misplaced = len(moved)
            return
        self.evidence.fill_varies = bool(np.ptp(fills, axis=0).max() > 4 * coding.EXACT)
        scale = self.evidence.value_map
        if not self.evidence.fill_varies and scale is not None:
            self.evidence.fill = np.median(fills, axis=0) * scale.scale + scale.shift
            self.evidence.misplaced = int((np.abs(moved - fills[0]) > 8 * coding.EXACT).any(axis=-1).sum())
        if self.evidence.main is not None:
            self.evidence.erased_share = float(self.evidence.main.erased.mean())


def _same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@contextmanager
def foreign_warnings_ignored() -> Iterator[None]:
    """Foreign code may warn as it likes: what it does is reported, not what it says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Batches are small: more threads of PyTorch, where it is loaded, would only wait for each other."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 1
    try:
        if torch:
            torch.set_num_threads(1)
        yield
    finally:
        if torch:
            torch.set_num_threads(before)
