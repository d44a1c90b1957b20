"""What a transform does beside its task, and what to try next where an option would explain a failure."""

from __future__ import annotations

import numpy as np

from augscope.laws.certificate import Check, judge
from augscope.laws.claims import Claims
from augscope.laws.evidence import Batches, Evidence
from augscope.laws.label_checks import NOT_PERMUTED


def conduct_checks(evidence: Evidence, claims: Claims | None) -> list[Check]:
    """What a transform does beside its task, each where it was seen."""
    checks = []
    if evidence.seeded_generators:
        names = " and ".join(evidence.seeded_generators)
        sentence = f"the transform seeds the global generator of {names}: whatever else draws from it then repeats"
        good = None if claims is None else False
        checks.append(judge("global generators", sentence, good=good, defect="seeds a global generator"))
    if evidence.num_shared:
        sentence = f"in {evidence.num_shared} of {evidence.num_calls} calls the images that come back are, or are a view of, those given"
        checks.append(judge("memory", f"{sentence}: what changes one changes the other", good=None))
    lines = evidence.target.prints.num_lines
    if lines:
        checks.append(judge("prints", f"{lines:,} lines, left out here", good=None))
    return checks


def hints(evidence: Evidence, checks: list[Check]) -> tuple[str, ...]:
    """What to try next, where an option would explain a failure."""
    sentences, defects = [], {check.defect for check in checks}
    if "one draw for the whole batch" in defects:
        hint = "As in the CutMix paper's own code, a batch has one draw: claim that (`per`, --per batch), and the rest is judged by it"
        main, form = evidence.main, evidence.target.convention.form
        if main is not None and (main.partner < 0).all() and form in ("pair", "images", "batch_dict"):
            hint += "; or, if it is meant for one image at a time, say so: `form` (--form) image, sample or sample_dict"
        sentences.append(f"{hint}.")
    if "one draw for each pair" in defects:
        sentences.append('Claim one draw a pair (`per="pair"`, --per pair), and the other rules are judged by that.')
    refused = evidence.target.labels_refused
    if "labels are not mixed" in defects and refused:
        sentences.append(f"It was called with images alone, so its labels stay: given labels too, {refused}.")
    if any(problem.rule == "shapes" and "labels of shape" in problem.sentence for problem in evidence.problems):
        sentences.append("If the transform knows a fixed number of classes, say so: `num_classes` (--num-classes).")
    if NOT_PERMUTED in defects and evidence.main is not None and _mixed_in_place(evidence.main):
        sentences.append(
            "Partners are mixed in place during the batch: pixels come from whom the partner was mixed with before. "
            "Take partners from a copy of the batch."
        )
    return tuple(sentences)


def _mixed_in_place(main: Batches) -> bool:
    """Whether an image with another partner than its label's always shows the partner that the label's one shows."""
    labels, classes = main.labels.copy(), main.classes
    if len(set(classes.tolist())) < len(classes):
        return False  # a label names several samples
    samples = np.arange(len(classes))
    labels[:, samples, classes] = 0
    named = np.argmax(labels, axis=2)  # classes are the samples' numbers
    wrong = (main.partner >= 0) & (named < len(classes)) & (labels.max(axis=2) > 0) & (main.partner != named)
    shown = np.take_along_axis(main.partner, np.minimum(named, len(classes) - 1), axis=1)
    return bool(wrong.any() and (shown == main.partner)[wrong].all())
