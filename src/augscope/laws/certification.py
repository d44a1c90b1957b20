"""`certify`: one call from a transform to its certificate."""

from __future__ import annotations

from typing import Any

import numpy as np

from augscope.laws import coding
from augscope.laws.batch_checks import batch_checks, identical_draws
from augscope.laws.certificate import FAILS, HOLDS, REPORTED, Certificate, Check
from augscope.laws.claims import Claims
from augscope.laws.label_checks import FATAL_RULES, LabelRows, call_checks, label_checks
from augscope.laws.law_checks import NUM_TESTS, LawChecks
from augscope.laws.named import MaskLaw, PatchLaw
from augscope.laws.probing import Evidence, Prober
from augscope.laws.targets import resolve
from augscope.support.values import check
from augscope.support.wording import versions

UNREADABLE = 0.5  # erased pixels of varying value: above this share, nothing says that the rest was not redrawn too
LIBRARIES = ("augscope", "torch", "numpy", "jax", "kornia", "keras", "albumentations", "torchvision", "timm")
MIN_CALLS, MIN_BATCH, MAX_BATCH = 64, 4, 4096


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
    **options: Any,
) -> Certificate:
    """Find out what a transform of image batches does, and hold it to what is claimed of it.

    Batches whose pixels code their sample are fed to it, so that mask and partner can be read off every output.

    Args:
        transform: a callable of (images, labels) that returns images and soft labels, or an import path such as
            `kornia.augmentation:RandomCutMixV2(data_keys=["input","class"])` or `file.py:function`.
        claims: what to hold it to; without, that label weight equals pixel share, labels are permuted with the images,
            batch size is kept, and the input is untouched.
        batch_size: N in [4, 4096]; up to 240 samples differ in every channel.
        num_calls: calls with that batch size, at least 64.
        image_size: height and width in pixels; by default 16×24, or the least multiple of the claimed grid from there.
        channels: of the images, at least 1; 3 are needed to see more than 240 samples, or who is blended with whom.
        seed: of every draw: of the global generators and of the transform's own.
        false_alarm_rate: probability that a transform whose claims are true fails, in (0, 0.1], shared out evenly over all
            statistical rules.
        options: `adapter`, `arrays`, `layout`, `dtype`, `num_classes`, as in `Convention`; by default as the target's
            package has it.

    Returns:
        A `Certificate`.

    Raises:
        ValueError: on a target that cannot be imported or made, or sizes out of range. A transform that raises, or
            returns what is no batch, has a certificate that says so.

    Cost: about num_calls + 150 calls of the transform.

    Example:
        >>> from augscope.laws import Claims, certify
        >>> def roll(images, labels):  # half of every picture from the next sample
        ...     soft = np.eye(len(labels))[labels]
        ...     mixed = images.copy()
        ...     mixed[:, :, :, 12:] = np.roll(images, 1, axis=0)[:, :, :, 12:]
        ...     return mixed, (soft + np.roll(soft, 1, axis=0)) / 2
        >>> found = certify(roll, arrays="numpy")
        >>> found.holds, found["pairing"].evidence[:12]
        (True, 'roll by 15; ')
    """
    _check_sizes(batch_size, num_calls, image_size, channels, false_alarm_rate)
    height, width = image_size or _default_size(claims)
    _check_laws_fit(claims, height, width)
    target = resolve(transform, batch_size=batch_size, **options)
    evidence = Prober(target, batch_size, height, width, channels, seed).run(num_calls)
    return _certificate(evidence, claims, false_alarm_rate, seed, channels)


def _check_sizes(batch: int, calls: int, size: tuple[int, int] | None, channels: int, rate: float) -> None:
    check(MIN_BATCH <= batch <= MAX_BATCH, f"`batch_size` must be in [{MIN_BATCH}, {MAX_BATCH}], got {batch}")
    check(calls >= MIN_CALLS, f"`num_calls` must be at least {MIN_CALLS}, got {calls}")
    check(size is None or (len(size) == 2 and min(size) >= 4), f"`image_size` must be two sides ≥ 4, got {size}")
    check(channels >= 1, f"`channels` must be at least 1, got {channels}")
    enough = channels >= 2 or batch <= 240
    check(enough, f"`batch_size` must be at most 240 with one channel, got {batch}")
    check(0 < rate <= 0.1, f"`false_alarm_rate` must be in (0, 0.1], got {rate}")


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


def _certificate(evidence: Evidence, claims: Claims | None, rate: float, seed: int, channels: int) -> Certificate:
    checks = call_checks(evidence, hard_labels_allowed=claims is not None and claims.kind == "cutout")
    readable = _readable_check(evidence)
    if not any(problem.rule in FATAL_RULES for problem in evidence.problems):
        checks.append(readable)
    laws = None
    if evidence.main is not None and evidence.odd is not None and readable.verdict == HOLDS:
        laws = LawChecks(evidence, claims, rate / NUM_TESTS)
        checks += [*_pixel_checks(evidence, claims), *label_checks(evidence, evidence.main)]
        checks += [*_kind_checks(evidence, claims, laws), *laws.all()]
        checks += batch_checks(evidence, claims, rate / NUM_TESTS)
    checks += _seed_checks(evidence, claims)
    return Certificate(
        target=evidence.target.name,
        claims=str(claims)
        if claims
        else "label weight equals pixel share, labels permuted with the images, batch size kept, input untouched",
        coding=coding_sentence(evidence, channels),
        checks=tuple(checks),
        measured=_measured(evidence, laws),
        false_alarm_rate=rate,
        seed=seed,
        versions=versions(LIBRARIES),
        **_pictures(laws),
    )


def coding_sentence(evidence: Evidence, channels: int) -> str:
    """How samples were coded, and what the transform does to values."""
    convention, count = evidence.target.convention, evidence.batch_size
    values = "uint8 levels" if convention.dtype == "uint8" else "levels/256 in float32"
    how = "distinct in every channel" if count <= coding.HIGH - coding.LOW + 1 else "distinct as a triple"
    colours = "one grey level a sample" if channels == 1 else f"one colour a sample, {how}"
    values_kept = "" if evidence.value_map is None else f"; {evidence.value_map.describe(convention.unit)}"
    return (
        f"Coding: {colours}, {values} from {coding.LOW} to {coding.HIGH}{values_kept}; batches of {count} samples, "
        f"{evidence.height}×{evidence.width} pixels, {convention.arrays} arrays, {convention.layout.replace('_', ' ')}."
    )


def _readable_check(evidence: Evidence) -> Check:
    """Whether every pixel says where it comes from."""
    name = "masks can be read off"
    if evidence.value_map is None:
        why = "values do not go through one line a channel: a constant batch comes back changing"
        coarse = ", or rounded to half precision after it was rescaled" if evidence.image_rounding else ""
        return Check(name, FAILS, why + coarse)
    main = evidence.main
    if main is None:
        return Check(name, FAILS, "no batch could be read")
    if evidence.fill_varies and evidence.erased_share > UNREADABLE:
        return Check(name, FAILS, f"{evidence.erased_share:.3f} of pixels come from no sample and have no one value")
    if (main.sources > 1).any():
        share = (main.sources > 1).mean()
        return Check(name, FAILS, f"{share:.3f} of images show more than one other sample: there is no one partner")
    figures = f"{main.own.size:,} images of {main.own.shape[1]} samples a batch"
    return Check(name, HOLDS, figures)


def _pixel_checks(evidence: Evidence, claims: Claims | None) -> list[Check]:
    checks = []
    if evidence.fill_varies:
        checks.append(
            Check("pixels keep their places", REPORTED, "cannot be told where erased pixels have no one value")
        )
    else:
        moved = evidence.misplaced
        sentence = f"{moved:,} pixels of a picture of positions hold what was elsewhere"
        verdict = FAILS if moved else HOLDS
        checks.append(Check("pixels keep their places", verdict, sentence, "pixels are moved" if moved else None))
    checks.append(_fill_check(evidence, claims))
    return checks


def _fill_check(evidence: Evidence, claims: Claims | None) -> Check:
    wanted = claims.fill if claims is not None and claims.kind == "cutout" else None
    verdict = REPORTED if wanted is None else HOLDS
    if evidence.fill_varies:
        return Check("fill value", REPORTED if wanted is None else FAILS, "varies from pixel to pixel or call to call")
    if evidence.fill is None:
        return Check("fill value", REPORTED if wanted is None else FAILS, "nothing is erased")
    shown = ", ".join(f"{value:.4g}" for value in evidence.fill)
    if wanted is not None and np.abs(evidence.fill - wanted).max() > 1e-3 * max(1.0, abs(wanted)):
        return Check("fill value", FAILS, f"{shown}, claimed {wanted:g}", "another fill value")
    return Check("fill value", verdict, shown)


def _kind_checks(evidence: Evidence, claims: Claims | None, laws: LawChecks) -> list[Check]:
    """Whether it is the kind of augmentation that is claimed: pastes, erases or blends."""
    if claims is None:
        return []
    main = laws.batches
    seen = {
        "cutout": bool((main.erased > 0).any()),
        "mixup": laws.blend,
        "cutmix": bool(((main.partner >= 0) & ~main.blended & (main.own > 0)).any()),
    }
    uneven = main.spread.max() > 0.02
    found = [name for name, is_seen in seen.items() if is_seen]
    right = found == [claims.kind] and not (claims.kind == "mixup" and uneven)
    sentence = f"it does what {' and '.join(found) or 'nothing of the three'} does" + (", unevenly" if uneven else "")
    return [Check("kind", HOLDS if right else FAILS, sentence, None if right else f"not a {claims.kind}")]


def _seed_checks(evidence: Evidence, claims: Claims | None) -> list[Check]:
    if evidence.reproducible is None:
        return []
    judged = claims is not None
    checks = [
        _judged(
            "reproducible",
            evidence.reproducible,
            judged,
            "the same seed gives the same output",
            "the same seed gives another output",
            "not reproducible under a seed",
        )
    ]
    if evidence.generator_obeyed is not None:
        obeyed, ignored = "the generator alone decides", "global generators decide, and not the one it was given"
        checks.append(_judged("generator", evidence.generator_obeyed, True, obeyed, ignored, "generator ignored"))
    fixed = "every call and every seed gives the same output"
    checks.append(_judged("random", bool(evidence.random), judged, "calls differ", fixed, "not random"))
    return checks


def _judged(name: str, good: bool, judged: bool, yes: str, no: str, defect: str) -> Check:
    if not judged:
        return Check(name, REPORTED, yes if good else no)
    return Check(name, HOLDS, yes) if good else Check(name, FAILS, no, defect)


def _measured(evidence: Evidence, laws: LawChecks | None) -> dict[str, Any]:
    """The figures for programs."""
    if laws is None or evidence.main is None:
        return {"num_calls": evidence.num_calls}
    rows = LabelRows(evidence.main)
    error, shares = rows.error[rows.comparable], laws.shares
    figures: dict[str, Any] = {
        "num_calls": evidence.num_calls,
        "label_error_max": float(error.max()),
        "label_error_mean": float(error.mean()),
        "applied": float(laws.pasted.mean()),
        "fill": None if evidence.fill is None else evidence.fill.tolist(),
        "identical_draws": identical_draws(laws.batches),
    }
    if len(shares):
        figures |= {
            "share_mean": float(shares.mean()),
            "share_quantiles": {str(q): float(np.quantile(shares, q)) for q in (0.1, 0.25, 0.5, 0.75, 0.9)},
            "share_above_half": float((shares > 0.5).mean()),
        }
    return figures


def _pictures(laws: LawChecks | None) -> dict[str, Any]:
    if laws is None or laws.blend or not laws.pasted.any():
        return {}
    law: MaskLaw | None = laws.claimed_mask_law()
    masks = laws.masks
    return {
        "coverage": masks.mean(axis=0),
        "expected_coverage": None if law is None else laws.expected_coverage(law),
        "examples": masks[:: max(1, len(masks) // 12)][:12],
    }
