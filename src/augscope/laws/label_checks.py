"""Rules of labels and of single calls: exact ones, without a false alarm."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from augscope.laws.certificate import FAILS, Check, judge
from augscope.laws.evidence import ODD, PAIR, Batches, Evidence

TOLERANCE = 5e-4  # of a label weight, and the rounding of half precision; one pixel of the default image is 2.6e-3
LEAST_SMOOTHING = 1e-6  # of one class: less is a rounding error
NOT_PERMUTED = "labels not permuted with the images"
CALL_RULES = ("runs", "shapes", "batch size kept", "finite", "soft labels", "input untouched")


def call_checks(evidence: Evidence, *, hard_labels_allowed: bool) -> list[Check]:
    """Every call: does not raise, keeps shapes, returns finite numbers and soft labels, leaves its input alone."""
    broken = {problem.rule: problem.sentence for problem in evidence.problems}
    if evidence.hard_labels and not hard_labels_allowed:
        broken.setdefault("soft labels", "class indices come back, so no weight can be right")
    kept = _kept_rule(evidence)
    checks = []
    for rule in CALL_RULES:
        if rule in broken:
            checks.append(Check(rule, FAILS, broken[rule], defect=_call_defect(rule, broken[rule])))
        else:
            checks.append(replace(kept, name=rule))
    return checks


def _kept_rule(evidence: Evidence) -> Check:
    """The result of a rule that no call broke; a call that ended the run says nothing of the other rules."""
    calls = evidence.num_calls - evidence.ended - len(evidence.refusals)
    if calls == 0:
        return judge("", "cannot be judged: the first call ended the run", good=None)
    figures = f"in {calls} call{'s' if calls > 1 else ''}"
    if not evidence.ended and evidence.main is not None:
        others = [str(size) for size in (ODD, PAIR, 1) if size not in evidence.refusals]
        sizes = [str(evidence.trial.batch_size), *others]
        figures += f", batches of {' and '.join([', '.join(sizes[:-1]), sizes[-1]]) if others else sizes[0]}"
    return judge("", figures, good=True)


def _call_defect(rule: str, sentence: str) -> str | None:
    if rule == "batch size kept" and "batch of 7" in sentence:
        return "odd batch dropped"
    if rule == "input untouched":
        return "input changed in place"
    return "hard labels only" if sentence.startswith("class indices") else None


def label_checks(batches: Batches, smoothing: float | None = None) -> list[Check]:
    """Label weight = pixel share; labels name the samples that the pixels come from; label smoothing, claimed or not."""
    rows = LabelRows(batches)
    return [_weight_check(rows), _follow_check(rows), *_smoothing_checks(rows, smoothing)]


def label_smoothing(batches: Batches) -> float:
    """ε of labels that are smoothed to (1 − ε)·b + ε/K, or 0: classes that are not in the picture then weigh ε/K each."""
    labels, classes = batches.labels, batches.classes
    absent = np.ones(labels.shape, bool)
    absent[:, np.arange(len(classes)), classes] = False
    partner_class = np.where(batches.partner >= 0, classes[batches.partner], classes)
    np.put_along_axis(absent, partner_class[..., None], False, axis=2)
    absent[batches.blended & (batches.partner < 0)] = False
    weights = labels[absent]
    if not len(weights):
        return 0.0
    weight = float(np.median(weights))
    alike = np.abs(weights - weight) <= weight * (1e-3 + 2 * batches.label_rounding)
    smoothing = weight * labels.shape[2]
    return smoothing if weight > LEAST_SMOOTHING and smoothing < 1 and alike.mean() > 0.5 else 0.0


class LabelRows:
    """The weights of all samples (R, N) with their own labels, and which of them can be compared with shares of pixels.

    Label smoothing is taken off first.
    """

    def __init__(self, batches: Batches) -> None:
        self.batches, classes = batches, batches.classes
        self.smoothing = label_smoothing(batches)
        labels = (batches.labels - self.smoothing / batches.labels.shape[2]) / (1 - self.smoothing)
        own_label = labels[:, np.arange(len(classes)), classes]
        partner_class = classes[batches.partner]  # of −1: some class; masked below
        self.known = (batches.partner >= 0) & (partner_class != classes)
        theirs = np.take_along_axis(labels, partner_class[..., None], axis=2)[..., 0]
        self.own_label = own_label
        self.expected = batches.own + batches.erased  # erasing leaves labels alone
        # A partner that cannot be seen may have the sample's own class: then the weight says nothing.
        # Nor does that of a blend whose partner is not known.
        self.comparable = self.known | ((batches.partner < 0) & ~batches.blended)
        self.error = np.where(self.comparable, np.abs(own_label - self.expected), 0.0)
        self.rounding = batches.label_rounding / (1 - self.smoothing)
        # Where some are blends, an image that is wholly its own, or its partner's, may be a blend close to it.
        whole = (batches.own == 0) | (batches.own == 1)
        as_blend = batches.blended | batches.blend | (whole & batches.blended.any())
        self.tolerance = self.rounding + np.where(as_blend, np.maximum(batches.resolution, TOLERANCE), TOLERANCE)
        self.elsewhere = np.where(self.known, 1 - own_label - theirs, 0.0)
        self.wrong = self.error > self.tolerance
        # Whether labels name classes that are not in the picture.
        self.misnamed = bool((self.elsewhere > TOLERANCE + 2 * self.rounding).any())


def _weight_check(rows: LabelRows) -> Check:
    error = rows.error[rows.comparable]
    figures = f"largest error {error.max():.4f}, mean {error.mean():.5f}, over {error.size:,} samples"
    defect = _weight_defect(rows) if rows.wrong.any() else None
    return judge("label weight = pixel share", figures, good=defect is None, defect=defect)


def _weight_defect(rows: LabelRows) -> str:
    """Which of the known defects explains every wrong weight."""
    share, masks, wrong = rows.batches.share, rows.batches.pasted, rows.wrong
    pasted = (share > 0) & rows.known
    rounding = 1 / masks.shape[-2] + 1 / masks.shape[-1]
    if rows.misnamed:
        return NOT_PERMUTED
    if (wrong & (share == 0)).any() and not (wrong & pasted).any():
        return "box that does nothing, yet labels are mixed"
    if pasted.any() and (np.abs(rows.own_label - share) <= rows.tolerance)[pasted].all():
        return "pasted share in place of its complement"
    if pasted.any() and (rows.own_label[pasted] >= 1 - TOLERANCE).all():
        return "labels are not mixed"
    if pasted.any() and (rows.own_label[pasted] <= TOLERANCE).all():
        return "labels are the partner's alone"
    if (rows.error <= rounding)[pasted].all() and (rows.error <= rounding)[wrong].all():
        return "area in real numbers against whole pixels"
    border = _touches_border(masks)
    over = rows.expected - rows.own_label  # above 0: the label counts more pasted than there is
    # int(H√(1−λ)), then half of it rounded down to either side: up to two pixels a side are lost before clipping.
    small = rows.error <= 2 * rounding
    if (border & ~small)[wrong].any() and (border | small)[wrong].all() and (over >= -rounding)[wrong].all():
        return "share not recomputed after clipping"
    return "label weight is not the share of pixels"


def _touches_border(masks: np.ndarray) -> np.ndarray:
    """Whether a mask has a pixel at the image's border, or none at all, (R, N)."""
    inside = masks[..., 1:-1, 1:-1].sum(axis=(-2, -1))
    return (masks.sum(axis=(-2, -1)) > inside) | ~masks.any(axis=(-2, -1))


def _follow_check(rows: LabelRows) -> Check:
    name = "labels follow the images"
    if not rows.known.any():
        return judge(name, "no other sample's pixels were seen", good=True)
    off = rows.elsewhere[rows.known]
    largest, mean = max(off.max(), 0), max(off.mean(), 0)
    figures = f"weight on classes that are not in the picture: largest {largest:.4f}, mean {mean:.5f}"
    return judge(name, figures, good=not rows.misnamed, defect=NOT_PERMUTED)


def _smoothing_checks(rows: LabelRows, claimed: float | None) -> list[Check]:
    """A rule where labels are smoothed, or claimed to be."""
    if claimed is None and rows.smoothing == 0:
        return []
    figures = f"smoothed by {rows.smoothing:.3g}" if rows.smoothing else "labels are not smoothed"
    if claimed is None:
        return [judge("label smoothing", figures, good=None)]
    off = abs(rows.smoothing - claimed)
    good = off <= 1e-3 + rows.rounding * rows.batches.labels.shape[2]
    return [judge("label smoothing", f"{figures}, claimed {claimed:g}", good=good, defect="another label smoothing")]
