"""Rules of labels and of single calls: exact ones, without a false alarm."""

from __future__ import annotations

import numpy as np

from augscope.laws.certificate import FAILS, HOLDS, REPORTED, Check
from augscope.laws.probing import Batches, Evidence

TOLERANCE = 5e-4  # of a label weight, and the rounding of half precision; one pixel of the default image is 2.6e-3
FATAL_RULES = ("runs", "shapes", "batch size kept", "finite")  # after which nothing more is measured
CALL_RULES = (*FATAL_RULES, "soft labels", "input untouched")


def call_checks(evidence: Evidence, *, hard_labels_allowed: bool) -> list[Check]:
    """Every call: does not raise, keeps shapes, returns finite numbers and soft labels, leaves its input alone."""
    broken = {problem.rule: problem.sentence for problem in evidence.problems}
    if evidence.hard_labels and not hard_labels_allowed:
        broken.setdefault("soft labels", "class indices come back, so no weight can be right")
    verdict, held = _held(evidence)
    checks = []
    for rule in CALL_RULES:
        if rule in broken:
            checks.append(Check(rule, FAILS, broken[rule], defect=_call_defect(rule, broken[rule])))
        else:
            checks.append(Check(rule, verdict, held))
    return checks


def _held(evidence: Evidence) -> tuple[str, str]:
    """Verdict and words for a rule that no call broke; a call that ended the run says nothing of the other rules."""
    ended = any(problem.rule in FATAL_RULES for problem in evidence.problems)
    calls = evidence.num_calls - ended
    if calls == 0:
        return REPORTED, "cannot be told: the first call ended the run"
    held = f"in {calls} call{'s' if calls > 1 else ''}"
    return HOLDS, held + (f", batches of {evidence.batch_size}, 7, 2 and 1" if evidence.odd is not None else "")


def _call_defect(rule: str, sentence: str) -> str | None:
    if rule == "batch size kept" and "batch of 7" in sentence:
        return "odd batch dropped"
    if rule == "input untouched":
        return "input changed in place"
    return "hard labels only" if sentence.startswith("class indices") else None


def label_checks(evidence: Evidence, batches: Batches) -> list[Check]:
    """Label weight = pixel share; labels name the samples that the pixels come from."""
    rows = LabelRows(batches)
    return [_weight_check(evidence, batches, rows), _follow_check(rows)]


class LabelRows:
    """Own weights and own shares of all rows, flattened, and which of them can be compared."""

    def __init__(self, batches: Batches) -> None:
        count = batches.own.shape[1]
        classes = batches.classes
        own_label = batches.labels[:, np.arange(count), classes]
        partner_class = classes[batches.partner]  # of −1: some class; masked below
        self.known = (batches.partner >= 0) & (partner_class != classes)
        theirs = np.take_along_axis(batches.labels, partner_class[..., None], axis=2)[..., 0]
        self.own_label = own_label
        self.expected = batches.own + batches.erased  # erasing leaves labels alone
        # A partner that cannot be seen may have the sample's own class: then the weight says nothing.
        # Nor does that of a blend whose partner cannot be told.
        self.comparable = self.known | ((batches.partner < 0) & ~batches.blended)
        self.error = np.where(self.comparable, np.abs(own_label - self.expected), 0.0)
        self.rounding = batches.label_rounding
        self.tolerance = self.rounding + np.where(batches.blended | batches.blend, batches.resolution, TOLERANCE)
        self.elsewhere = np.where(self.known, 1 - own_label - theirs, 0.0)
        self.wrong = self.error > self.tolerance


def _weight_check(evidence: Evidence, batches: Batches, rows: LabelRows) -> Check:
    error = rows.error[rows.comparable]
    figures = f"largest error {error.max():.4f}, mean {error.mean():.5f}, over {error.size:,} samples"
    if not rows.wrong.any():
        return Check("label weight = pixel share", HOLDS, figures)
    return Check("label weight = pixel share", FAILS, figures, _weight_defect(evidence, batches, rows))


def _weight_defect(evidence: Evidence, batches: Batches, rows: LabelRows) -> str:
    """Which of the known defects explains every wrong weight."""
    wrong, pasted = rows.wrong, (batches.share > 0) & rows.known
    rounding = 1 / evidence.height + 1 / evidence.width
    if _not_followed(rows):
        return "labels not permuted with the images"
    if (wrong & (batches.share == 0)).any() and not (wrong & pasted).any():
        return "box that does nothing, yet labels are mixed"
    if pasted.any() and (np.abs(rows.own_label - batches.share) <= rows.tolerance)[pasted].all():
        return "pasted share in place of its complement"
    if pasted.any() and (rows.own_label[pasted] >= 1 - TOLERANCE).all():
        return "labels are not mixed"
    if (rows.error <= rounding)[pasted].all() and (rows.error <= rounding)[wrong].all():
        return "area in real numbers against whole pixels"
    border = touches_border(batches.pasted)
    over = rows.expected - rows.own_label  # above 0: the label counts more pasted than there is
    # int(H√(1−λ)), then half of it rounded down to either side: up to two pixels a side are lost before clipping.
    small = rows.error <= 2 * rounding
    if (border & ~small)[wrong].any() and (border | small)[wrong].all() and (over >= -rounding)[wrong].all():
        return "share not recomputed after clipping"
    return "label weight is not the share of pixels"


def touches_border(pasted: np.ndarray) -> np.ndarray:
    """Whether a mask has a pixel at the image's border, or none at all, (R, N)."""
    inside = pasted[..., 1:-1, 1:-1].sum(axis=(-2, -1))
    return (pasted.sum(axis=(-2, -1)) > inside) | ~pasted.any(axis=(-2, -1))


def _follow_check(rows: LabelRows) -> Check:
    name = "labels follow the images"
    if not rows.known.any():
        return Check(name, HOLDS, "no other sample's pixels were seen")
    off = rows.elsewhere[rows.known]
    figures = (
        f"weight on classes that are not in the picture: largest {max(off.max(), 0):.4f}, mean {max(off.mean(), 0):.5f}"
    )
    if _not_followed(rows):
        return Check(name, FAILS, figures, "labels not permuted with the images")
    return Check(name, HOLDS, figures)


def _not_followed(rows: LabelRows) -> bool:
    return bool((rows.elsewhere > TOLERANCE + 2 * rows.rounding).any())
