"""Feeds coded batches to a target and reads what comes back: the evidence that checks are made on."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable

import numpy as np

from augscope.laws import coding
from augscope.laws.adapters.convention import FormUnknown, error_in_words
from augscope.laws.evidence import (
    NUM_ODD,
    NUM_PAIRS,
    NUM_POSITIONS,
    NUM_SEEDED,
    NUM_SINGLE,
    ODD,
    PAIR,
    Batches,
    Evidence,
    TargetFailed,
    Trial,
)
from augscope.laws.guarding import global_states
from augscope.laws.settling import REMEDY, settle
from augscope.laws.targets import Call, Target, label_problem
from augscope.support.naming import FOREIGN_ERRORS
from augscope.support.threads import one_torch_thread

Progress = Callable[[float, float], None]  # gets the seconds that the whole run will take, and the share that is done


class Prober:
    """Calls a target, checks the form of all that it returns, and reads it."""

    def __init__(self, target: Target, trial: Trial, progress: Progress | None = None) -> None:
        self.target, self.trial, self.progress = target, trial, progress
        self.evidence = Evidence(target, trial)
        self._soft = False
        self._start = 0.0
        self._fills: list[np.ndarray] = [np.empty((0, trial.channels))]
        self._moved: list[np.ndarray] = [np.empty((0, trial.channels))]

    def run(self) -> Evidence:
        """Make all calls; what fails is in the evidence, with the call that did it.

        Raises:
            ValueError: if the target cannot be called, or what it returns has no form that is read.
        """
        with warnings.catch_warnings(action="ignore"), one_torch_thread():  # what foreign code does is reported
            try:
                self._run()
            except TargetFailed as failure:
                self.evidence.ended = True
                self.evidence.note(*failure.problem)
        self._settle_fill()
        return self.evidence

    def _run(self) -> None:
        evidence, trial = self.evidence, self.trial
        self.target.seed(trial.seed)
        example = coding.coded_batch(coding.colours(trial.batch_size, trial.channels), *trial.image_size)
        settle(self.target, example, self._classes(trial.batch_size))
        self.target.seed(trial.seed)
        self._start = time.perf_counter()
        flat = [np.full((trial.batch_size, *trial.image_size, trial.channels), level) for level in coding.CONSTANTS]
        outputs = [[self._values(self._call(levels)) for _ in range(coding.NUM_CONSTANT)] for levels in flat]
        evidence.value_map = coding.find_value_map(outputs)
        if evidence.value_map is None:
            return
        self._probe_positions()
        evidence.main = self._batches(trial.batch_size, trial.num_calls)
        self._probe_seeds()
        self.target.seed(trial.seed + 1)
        evidence.pairs = self._other_batches(PAIR, NUM_PAIRS)
        self._other_batches(1, NUM_SINGLE)
        evidence.odd = self._other_batches(ODD, self._num_odd())

    @property
    def blend_tolerance(self) -> float:
        """How far a blended pixel may be off, in levels; pasted ones are exact in half precision too."""
        return coding.BLENDED[self.target.convention.dtype] + 256 * self.evidence.image_rounding

    def _classes(self, count: int) -> np.ndarray:
        return np.arange(count) % (self.target.num_classes or count)

    def _call(self, levels: np.ndarray) -> Call:
        """One call, checked."""
        evidence, count = self.evidence, len(levels)
        evidence.num_calls += 1
        height, width = self.trial.image_size
        where = f"call {evidence.num_calls} (a batch of {count}, {height}×{width})"
        try:
            call = self.target(levels, self._classes(count))
        except FormUnknown as error:
            sight = f"{self.target.name}: {where} returned {error}"
            raise ValueError(f"`target` cannot be checked, got {sight}. {REMEDY}") from None
        except FOREIGN_ERRORS as error:  # whatever foreign code raises is a result
            raise TargetFailed("runs", f"{where} raised {error_in_words(error)}") from error
        self._report_progress()
        evidence.num_shared += call.shared
        evidence.image_rounding = max(evidence.image_rounding, call.image_rounding)
        evidence.label_rounding = max(evidence.label_rounding, call.label_rounding)
        self._check_shapes(call, self.target.convention.shape(levels), where)
        self._check_values(call, where)
        return call

    def _report_progress(self) -> None:
        if self.progress is not None:
            share = min(1.0, self.evidence.num_calls / self.trial.total_calls)
            self.progress((time.perf_counter() - self._start) / share, share)

    def _check_shapes(self, call: Call, shape: tuple[int, ...], where: str) -> None:
        if call.images.shape != shape:
            rule = "batch size kept" if call.images.shape[1:] == shape[1:] else "shapes"
            raise TargetFailed(rule, f"{where} returned images of shape {call.images.shape}, not {shape}")
        labels, count = call.labels, shape[0]
        least = int(self._classes(count).max()) + 1
        if labels.shape == (count,):
            self.evidence.hard_labels = not self._soft
        elif labels.ndim != 2 or len(labels) != count or labels.shape[1] < least:
            wanted = f"({count}, K) with K ≥ {least}"
            raise TargetFailed("shapes", f"{where} returned labels of shape {labels.shape}, not {wanted}")
        else:  # class indices in other calls are those of a call that mixes nothing
            self._soft, self.evidence.hard_labels = True, False

    def _check_values(self, call: Call, where: str) -> None:
        for name, values in (("images", call.images), ("labels", call.labels)):
            bad = int(values.size - np.isfinite(values).sum())
            if bad:
                raise TargetFailed("finite", f"{where} returned {name} with {bad} values that are NaN or infinite")
        if not call.untouched:
            self.evidence.note("input untouched", f"{where} changed its input in place")
        problem = label_problem(call.labels, call.label_rounding) if call.labels.ndim == 2 else None
        if problem is not None:
            self.evidence.note("soft labels", f"{where} returned labels that are no weights: {problem}")

    def _values(self, call: Call) -> np.ndarray:
        """The images of a call (N, H, W, C), as they came back."""
        return self.target.convention.channels_last(call.images).astype(float)

    def _levels(self, call: Call) -> np.ndarray:
        """The images of a call (N, H, W, C) as levels."""
        assert self.evidence.value_map is not None
        return self.evidence.value_map.levels(self._values(call))

    def _probe_positions(self) -> None:
        """Feed one image N times: a pixel that is not erased must hold what was at its position."""
        levels = coding.position_batch(self.trial.batch_size, *self.trial.image_size, self.trial.channels)
        for _ in range(NUM_POSITIONS):
            output = self._levels(self._call(levels))
            moved = (np.abs(output - levels) > 2 * self.blend_tolerance).any(axis=-1)
            self._moved.append(output[moved])

    def _batches(self, count: int, num_calls: int) -> Batches:
        codes = coding.colours(count, self.trial.channels)
        levels = coding.coded_batch(codes, *self.trial.image_size)
        calls = [self._read(self._call(levels), codes) for _ in range(num_calls)]
        widths = {rows["labels"].shape[1] for rows in calls}
        if len(widths) > 1:
            numbers = f"{min(widths)} and {max(widths)} classes come back in batches of {count}"
            self.evidence.note("soft labels", f"the number of classes changes: {numbers}")
        for rows in calls:
            rows["labels"] = np.pad(rows["labels"], ((0, 0), (0, max(widths) - rows["labels"].shape[1])))
        arrays = {name: np.array([rows[name] for rows in calls]) for name in calls[0]}
        return Batches(**arrays, classes=self._classes(count), label_rounding=self.evidence.label_rounding)

    def _other_batches(self, count: int, num_calls: int) -> Batches | None:
        """Batches of another size, or None where the target refuses that size or breaks a rule at it: all else stands."""
        before = self.evidence.num_calls
        try:
            return self._batches(count, num_calls)
        except TargetFailed as failure:
            rule, sentence = failure.problem
            if rule == "runs" and self.evidence.num_calls == before + 1:
                self.evidence.refusals[count] = sentence.partition(" raised ")[2]
            else:
                self.evidence.note(rule, sentence)
        return None

    def _num_odd(self) -> int:
        """Calls after which a sample that takes part as often as in large batches has done so, whichever of `ODD` it is."""
        main = self.evidence.main
        assert main is not None
        rate = float(main.pasted_at_all.mean()) * (1 - 1 / ODD)
        enough = np.log(self.trial.level / ODD / 2) / np.log1p(-min(max(rate, 1e-3), 0.99))
        return int(np.clip(np.ceil(enough), NUM_ODD, max(NUM_ODD, self.trial.num_calls)))

    def _read(self, call: Call, codes: np.ndarray) -> dict[str, np.ndarray]:
        """One call's rows of `Batches`."""
        levels = self._levels(call)
        decoded = coding.decode(levels, codes, self.blend_tolerance)
        self._fills.append(levels[decoded.erased])
        num_classes = self.target.num_classes or len(codes)
        hard = call.labels.ndim == 1
        labels = np.eye(num_classes)[call.labels.astype(int) % num_classes] if hard else call.labels.astype(float)
        return {
            "own": decoded.own.mean(axis=(1, 2)),
            "pasted": decoded.own < 1,
            "partner": decoded.partner,
            "erased": decoded.erased.mean(axis=(1, 2)),
            "blended": decoded.blended,
            "spread": np.where(decoded.blended, np.ptp(decoded.own, axis=(1, 2)), 0),
            "resolution": coding.resolution(codes, decoded.partner, self.blend_tolerance),
            "sources": decoded.sources,
            "labels": labels,
        }

    def _probe_seeds(self) -> None:
        """Same seed, same output? Another seed, another one? A generator of its own: does it alone decide?"""
        evidence, seed = self.evidence, self.trial.seed
        codes = coding.colours(self.trial.batch_size, self.trial.channels)
        levels = coding.coded_batch(codes, *self.trial.image_size)
        main = evidence.main
        assert main is not None
        touched = min(max(float(main.pasted_at_all.any(axis=1).mean()), 0.05), 0.99)
        num_calls = max(NUM_SEEDED, int(np.ceil(np.log(1e-4) / np.log1p(-touched))))  # a few that change something

        states = []  # of the global generators after each call

        def outputs(seed: int, elsewhere: int | None = None) -> list[np.ndarray]:
            self.target.seed(seed, elsewhere=elsewhere)
            images = []
            for _ in range(num_calls):
                images.append(self._call(levels).images)
                states.append(global_states())
            return images

        first, again, other = outputs(seed), outputs(seed), outputs(seed + 1)
        pairs = list(zip(states[:num_calls], states[2 * num_calls :], strict=True))
        evidence.seeded_generators = tuple(name for name in states[0] if any(a[name] == b[name] for a, b in pairs))
        evidence.reproducible = _same(first, again)
        alike = _same(first, other) and all(np.array_equal(first[0], images) for images in first)
        evidence.random = not alike or main.differ
        if self.target.has_generator:
            evidence.generator_obeyed = _same(first, outputs(seed, elsewhere=seed + 17))

    def _settle_fill(self) -> None:
        """One fill value, or several; and pixels of the position image that hold neither their own value nor the fill."""
        evidence, fills, moved = self.evidence, np.concatenate(self._fills), np.concatenate(self._moved)
        if not len(fills):
            evidence.misplaced = len(moved)
            return
        evidence.fill_varies = bool(np.ptp(fills, axis=0).max() > 4 * coding.EXACT)
        line = evidence.value_map
        if not evidence.fill_varies and line is not None:
            evidence.fill = np.median(fills, axis=0) * line.scale + line.shift
            evidence.misplaced = int((np.abs(moved - fills[0]) > 8 * coding.EXACT).any(axis=-1).sum())
        if evidence.main is not None:
            evidence.erased_share = float(evidence.main.erased.mean())


def _same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
