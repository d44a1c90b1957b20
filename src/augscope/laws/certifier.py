"""`certify`: one call from a transform to its certificate."""

from __future__ import annotations

from typing import Any

import numpy as np

from augscope.laws import coding
from augscope.laws.adapters.forms import FORMS
from augscope.laws.batch_checks import batch_checks
from augscope.laws.certificate import HOLDS, Certificate, Check, judge
from augscope.laws.claims import Claims
from augscope.laws.conduct import conduct_checks, hints
from augscope.laws.draws import Draws
from augscope.laws.evidence import Batches, Evidence, Trial
from augscope.laws.label_checks import LabelRows, call_checks, label_checks
from augscope.laws.law_checks import LawChecks, law_checks
from augscope.laws.named import PatchLaw
from augscope.laws.probing import Prober, Progress
from augscope.laws.targets import resolve
from augscope.support.values import check
from augscope.support.wording import versions

UNREADABLE = 0.5  # erased pixels of varying value: above this share, nothing says that the rest was not redrawn too
NUM_BINS = 20  # of the histogram of shares, on [0, 1]
LEAST_CHANNELS = 3  # in which noise is never taken for a sample
LIBRARIES = ("augscope", "torch", "numpy", "jax", "kornia", "keras", "albumentations", "torchvision", "timm", "monai")
NO_CLAIMS = "label weight equals pixel share, labels permuted with the images, batch size kept, input untouched"


def certify(
    transform: Any,
    *,
    claims: Claims | None = None,
    batch_size: int = 16,
    num_calls: int = 300,
    image_size: tuple[int, int] | None = None,
    channels: int = 3,
    seed: int = 0,
    false_alarm_rate: float = 1e-3,
    time_limit: float = 60.0,
    progress: Progress | None = None,
    **options: Any,
) -> Certificate:
    """Find out what a transform of image batches does, and compare it with what is claimed of it.

    Batches whose pixels code their sample are fed to it, so that mask and partner can be read off every output.

    Args:
        transform: a callable, or an import path such as `kornia.augmentation:RandomCutMixV2(data_keys=["input","class"])` or
            `file.py:function`. It takes images and labels (apart, in a tuple, a dict or a list of samples), or images alone, or
            one image, with or without its label; it returns images and soft labels, or `(images, y_a, y_b, λ)`, or
            `(images, (y_a, y_b, λ))`, where λ is the weight of y_a, or what it was given. The form is found by trying.
        claims: what is claimed of it; without, that label weight equals pixel share, labels are permuted with the images,
            batch size is kept, and the input is untouched.
        batch_size: N in [4, 4096]; up to 240 samples differ in every channel.
        num_calls: calls with that batch size, from 64 to 1,000,000.
        image_size: height and width in pixels; by default 16×24, or the least multiple of the claimed grid from there.
        channels: of the images, at least 1; 3 are needed to see more than 240 samples, or who is blended with whom.
        seed: of every draw: of the global generators and of the transform's own; from 0 to 2³¹ − 1.
        false_alarm_rate: probability that a transform whose claims are true fails, in (0, 0.1], shared out evenly over all
            statistical rules.
        time_limit: seconds for one call, above 0; 60 leave time to compile. A call that takes longer is interrupted and counts as
            one that raises. It needs Python's main thread, and a system other than Windows; elsewhere nothing is interrupted.
        progress: called after every call with the seconds that all calls will take, as those so far have it, and the share done.
        options: `form`, `arrays`, `layout`, `dtype`, `labels`, `num_classes`, as in `Convention`: what need not be found by trying.

    Raises:
        ValueError: on a target that cannot be imported or made, sizes out of range, a transform that raises at once, or one
            that returns a form that is not read. One that raises later, or returns another shape, has a certificate
            that says so. What it prints to standard output is counted and left out.

    Cost: about num_calls + 150 calls of the transform.

    Example:
        >>> from augscope.laws import Claims, certify
        >>> def roll(images, labels):  # half of every picture from the next sample
        ...     soft = np.eye(len(labels))[labels]
        ...     mixed = images.copy()
        ...     mixed[:, :, :, 12:] = np.roll(images, 1, axis=0)[:, :, :, 12:]
        ...     return mixed, (soft + np.roll(soft, 1, axis=0)) / 2
        >>> certificate = certify(roll, arrays="numpy")
        >>> certificate.holds, certificate["pairing"].evidence[:12]
        (True, 'roll by 15; ')
    """
    trial = Trial(
        batch_size=batch_size,
        num_calls=num_calls,
        image_size=image_size or _default_size(claims),
        channels=channels,
        seed=seed,
        false_alarm_rate=false_alarm_rate,
        time_limit=time_limit,
    )
    _check_laws_fit(claims, *trial.image_size)
    target = resolve(transform, batch_size=batch_size, seconds=time_limit, **options)
    return _certificate(Prober(target, trial, progress).run(), claims)


def _default_size(claims: Claims | None) -> tuple[int, int]:
    """16×24, not square, or the least larger multiples of the grid; room for a Cutout box."""
    if claims is None:
        return 16, 24
    rows, columns = claims.grid or (1, 1)
    least = claims.size or (0, 0)
    return rows * -(-max(16, 2 * least[0]) // rows), columns * -(-max(24, 2 * least[1]) // columns)


def _check_laws_fit(claims: Claims | None, height: int, width: int) -> None:
    for law in claims.mask_laws if claims else ():
        if isinstance(law, PatchLaw):
            fits = height % law.grid[0] == 0 and width % law.grid[1] == 0
            check(fits, f"`grid` must divide the image, got {law.grid[0]}×{law.grid[1]} for {height}×{width} pixels")
        law.share(height, width)  # a box that does not fit says so


def _certificate(evidence: Evidence, claims: Claims | None) -> Certificate:
    checks = call_checks(evidence, hard_labels_allowed=_hard_labels_allowed(evidence, claims))
    checks += conduct_checks(evidence, claims)
    readable = _readable_check(evidence)
    if not evidence.ended:
        checks.append(readable)
    laws: list[LawChecks] = []
    if evidence.main is not None and not evidence.ended and readable.verdict == HOLDS:
        laws = law_checks(evidence, claims)
        checks += [_position_check(evidence), _fill_check(evidence, claims)]
        checks += label_checks(evidence.main, None if claims is None else claims.smoothing)
        checks += _kind_checks(evidence.main, claims)
        checks += [check for part in laws for check in part.all()]
        checks += batch_checks(evidence, claims, laws[0].draws)
    checks += _seed_checks(evidence, claims)
    return Certificate(
        target=evidence.target.name,
        claims=NO_CLAIMS if claims is None else str(claims),
        coding=_coding_sentence(evidence),
        checks=tuple(checks),
        measured=_measured(evidence, laws[0].draws if laws else None),
        false_alarm_rate=evidence.trial.false_alarm_rate,
        seed=evidence.trial.seed,
        versions=versions(LIBRARIES),
        hints=hints(evidence, checks),
        **_pictures(laws[0] if laws else None),
    )


def _hard_labels_allowed(evidence: Evidence, claims: Claims | None) -> bool:
    """Whether class indices may come back: of a Cutout, and without claims where no image shows another sample."""
    if claims is not None:
        return claims.erases
    main = evidence.main
    return main is not None and not main.blended.any() and bool((main.partner < 0).all())


def _coding_sentence(evidence: Evidence) -> str:
    """How samples were coded, and what the transform does to values."""
    convention, trial = evidence.target.convention, evidence.trial
    count, (height, width) = trial.batch_size, trial.image_size
    values = "uint8 levels" if convention.dtype == "uint8" else "levels/256 in float32"
    how = "distinct in every channel" if count <= coding.HIGH - coding.LOW + 1 else "distinct as a triple"
    colours = "one grey level a sample" if trial.channels == 1 else f"one colour a sample, {how}"
    values_kept = "" if evidence.value_map is None else f"; {evidence.value_map.describe(convention.unit)}"
    form = FORMS[convention.form].words
    classes = "" if evidence.target.num_classes is None else f" of {evidence.target.num_classes} classes"
    kind = "one-hot labels" if convention.labels == "one_hot" else "labels" if classes else ""
    return (
        f"Called with {form}. Coding: {colours}, {values} from {coding.LOW} to {coding.HIGH}{values_kept}; batches of {count} samples, "
        f"{height}×{width} pixels, {convention.arrays} arrays, {convention.layout.replace('_', ' ')}"
        f"{f', {kind}{classes}' if kind else ''}."
    )


def _readable_check(evidence: Evidence) -> Check:
    """Whether every pixel shows where it comes from."""
    name, main = "masks can be read off", evidence.main
    if evidence.value_map is None:
        reason = "values do not go through one line a channel: a constant batch comes back changing"
        if evidence.image_rounding:
            reason += ", or rounded to half precision after it was rescaled"
        return judge(name, reason, good=False)
    if main is None:
        return judge(name, "no batch could be read", good=False)
    if evidence.fill_varies and evidence.erased_share > UNREADABLE:
        reason = f"{evidence.erased_share:.3f} of pixels come from no sample and have no one value"
        if any(problem.rule == "input untouched" for problem in evidence.problems):
            reason += (
                "; the input is changed in place, so partners may be mixed in place during the batch: copy it first"
            )
        return judge(name, reason, good=False)
    several = (main.sources > 1).mean()
    if evidence.fill_varies and evidence.trial.channels < LEAST_CHANNELS:
        reason = (
            f"cannot be told: erased pixels vary, and may look like samples in {evidence.trial.channels} of 3 channels"
        )
        return judge(name, reason, good=None)
    if several > 0:
        reason = f"{several:.3f} of images show more than one other sample: there is no one partner"
        reason += (
            ", as where partners are mixed in place during the batch: copy the batch first, and take them from the copy"
        )
        return judge(name, reason, good=False)
    return judge(name, f"{main.own.size:,} images of {main.own.shape[1]} samples a batch", good=True)


def _position_check(evidence: Evidence) -> Check:
    name, moved = "pixels keep their places", evidence.misplaced
    if evidence.fill_varies:
        return judge(name, "cannot be judged where erased pixels have no one value", good=None)
    figures = f"{moved:,} pixels of a picture of positions hold what was elsewhere"
    return judge(name, figures, good=moved == 0, defect="pixels are moved")


def _fill_check(evidence: Evidence, claims: Claims | None) -> Check:
    name, claimed = "fill value", None if claims is None else claims.fill
    if evidence.fill_varies or evidence.fill is None:
        figures = "varies from pixel to pixel or call to call" if evidence.fill_varies else "nothing is erased"
        return judge(name, figures, good=None if claimed is None else False)
    shown = ", ".join(f"{value:.4g}" for value in evidence.fill)
    if claimed is None:
        return judge(name, shown, good=None)
    good = bool(np.abs(evidence.fill - claimed).max() <= 1e-3 * max(1.0, abs(claimed)))
    return judge(name, shown if good else f"{shown}, claimed {claimed:g}", good=good, defect="another fill value")


def _kind_checks(main: Batches, claims: Claims | None) -> list[Check]:
    """Whether it is the kind of augmentation that is claimed: pastes, erases or blends."""
    if claims is None:
        return []
    wanted = {"choice": ["mixup", "cutmix"], "erasing": ["cutout"]}.get(claims.kind, [claims.kind])
    some = main.blend if claims.erases else main.blended.any()  # a pixel of noise may lie between two samples
    signs = {
        "cutout": (main.erased > 0).any(),
        "mixup": some,
        "cutmix": ((main.partner >= 0) & ~main.blended & (main.own > 0)).any(),
    }
    kinds = [name for name, seen in signs.items() if seen]
    uneven = main.spread.max() > 0.02
    good = kinds == wanted and not (uneven and "mixup" in wanted)
    sentence = f"it does what {' and '.join(kinds) or 'nothing of the three'} does" + (", unevenly" if uneven else "")
    what = "a choice of CutMix and Mixup" if claims.kind == "choice" else f"a {wanted[0]}"
    return [judge("kind", sentence, good=good, defect=f"not {what}")]


def _seed_checks(evidence: Evidence, claims: Claims | None) -> list[Check]:
    """What decides the draws; without claims, only a generator that it was given is judged."""
    if evidence.reproducible is None:
        return []
    output = "the same" if evidence.reproducible else "another"
    checks = [
        judge(
            "reproducible",
            f"the same seed gives {output} output",
            good=None if claims is None else evidence.reproducible,
            defect="not reproducible under a seed",
        )
    ]
    if evidence.generator_obeyed is not None:
        ignored = "global generators decide, and not the one it was given"
        sentence = "the generator alone decides" if evidence.generator_obeyed else ignored
        checks.append(judge("generator", sentence, good=evidence.generator_obeyed, defect="generator ignored"))
    sentence = "calls differ" if evidence.random else "every call and every seed gives the same output"
    good = None if claims is None else bool(evidence.random)
    return [*checks, judge("random", sentence, good=good, defect="not random")]


def _measured(evidence: Evidence, draws: Draws | None) -> dict[str, Any]:
    """The figures for programs."""
    main = evidence.main
    if draws is None or main is None:
        return {"num_calls": evidence.num_calls}
    rows, pasted = LabelRows(main), main.pasted_at_all
    error, shares = rows.error[rows.comparable], main.share[draws.rows(None) & pasted]
    figures: dict[str, Any] = {
        "num_calls": evidence.num_calls,
        "label_error_max": float(error.max()),
        "label_error_mean": float(error.mean()),
        "label_smoothing": rows.smoothing,
        "applied": float(pasted.mean()),
        "fill": None if evidence.fill is None else evidence.fill.tolist(),
        "identical_draws": draws.identical,
    }
    if len(shares):
        figures |= {
            "share_mean": float(shares.mean()),
            "share_quantiles": {str(q): float(np.quantile(shares, q)) for q in (0.1, 0.25, 0.5, 0.75, 0.9)},
            "share_above_half": float((shares > 0.5).mean()),
            "share_histogram": np.histogram(np.minimum(shares + 1e-6, 1), NUM_BINS, (0, 1))[0].tolist(),
        }
    return figures


def _pictures(laws: LawChecks | None) -> dict[str, Any]:
    if laws is None or laws.blend or not len(laws.masks):
        return {}
    masks = laws.masks
    return {
        "coverage": masks.mean(axis=0),
        "expected_coverage": laws.expected_coverage(),
        "examples": masks[:: max(1, len(masks) // 12)][:12],
    }
