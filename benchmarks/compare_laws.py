"""Writes docs/augmentation-laws.md: what our transforms and other libraries' do, as `augscope law check` measures it.

Run `make compare-laws`, which installs the libraries. Every figure on the page is measured in the run that writes it.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"  # chosen at import
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # no look-up of newer versions

from augscope.laws import BoxLaw, Certificate, Claims, certify
from augscope.laws.boxes import Boxes
from augscope.support.files import write_whole

PAGE = Path(__file__).parents[1] / "docs" / "augmentation-laws.md"
FORMS = Path(__file__).with_name("law_forms.md")  # a section of the page that nothing is measured for
LIBRARIES = ("augscope", "kornia", "keras", "albumentations", "torch", "jax", "numpy")
CUTMIX_CLASS = 'data_keys=["input","class"]'


@dataclass(frozen=True)
class Case:
    """A target, and what its documentation or paper says of it."""

    title: str
    target: str
    claims: Claims
    options: str  # the same claims, for the command line


CUTMIX = Claims(kind="cutmix")
CASES = (
    Case(
        "augscope BoxCutMix, clipped",
        "augscope.images:BoxCutMix()",
        Claims(kind="cutmix", boxes="clipped"),
        "--claims cutmix --boxes clipped",
    ),
    Case(
        "augscope BoxCutMix, unclipped",
        'augscope.images:BoxCutMix(boxes="unclipped")',
        Claims(kind="cutmix", boxes="unclipped"),
        "--claims cutmix --boxes unclipped",
    ),
    Case(
        "augscope PatchCutMix, 4×4",
        "augscope.images:PatchCutMix(4)",
        Claims(kind="cutmix", grid=4),
        "--claims cutmix --grid 4",
    ),
    Case(
        "augscope PatchCutout, 3 of 4×4",
        "augscope.images:PatchCutout(3, 4)",
        Claims(kind="cutout", grid=4, num_cut=3, fill=0),
        "--claims cutout --grid 4 --num-cut 3 --fill 0",
    ),
    Case(
        "augscope BoxCutout, 8×8",
        "augscope.images:BoxCutout(8)",
        Claims(kind="cutout", size=8, boxes="clipped", fill=0),
        "--claims cutout --size 8 --boxes clipped --fill 0",
    ),
    Case("augscope Mixup", "augscope.images:Mixup()", Claims(kind="mixup"), "--claims mixup"),
    Case(
        "kornia RandomCutMixV2, default",
        f"kornia.augmentation:RandomCutMixV2({CUTMIX_CLASS})",
        CUTMIX,
        "--claims cutmix",
    ),
    Case(
        "kornia RandomCutMixV2, use_correct_lambda",
        f"kornia.augmentation:RandomCutMixV2({CUTMIX_CLASS},use_correct_lambda=True)",
        CUTMIX,
        "--claims cutmix",
    ),
    Case(
        "kornia RandomMixUpV2",
        f"kornia.augmentation:RandomMixUpV2({CUTMIX_CLASS})",
        Claims(kind="mixup"),
        "--claims mixup",
    ),
    Case(
        "kornia RandomErasing, p = 0.5",
        "kornia.augmentation:RandomErasing(p=0.5)",
        Claims(kind="cutout", p=0.5, fill=0),
        "--claims cutout --p 0.5 --fill 0",
    ),
    Case("Keras CutMix", "keras.layers:CutMix()", CUTMIX, "--claims cutmix"),
    Case("Keras CutMix, factor 1", "keras.layers:CutMix(factor=(1.0, 1.0))", CUTMIX, "--claims cutmix"),
    Case("Keras MixUp, alpha 1", "keras.layers:MixUp(alpha=1.0)", Claims(kind="mixup"), "--claims mixup"),
    Case(
        "Keras RandomErasing",
        "keras.layers:RandomErasing(factor=1.0)",
        Claims(kind="cutout", p=0.5),
        "--claims cutout --p 0.5",
    ),
    Case(
        "Albumentations CoarseDropout, p = 0.5",
        "albumentations:CoarseDropout(p=0.5)",
        Claims(kind="cutout", p=0.5, fill=0),
        "--claims cutout --p 0.5 --fill 0",
    ),
)
NOTES = {
    "kornia": "kornia documents sides of floor(side · √(1−λ)), and places boxes where they fit whole; the unclipped law held "
    "against it rounds to the nearest pixel. The label weight is the exact share of pixels.",
    "keras": "Keras compares pixel numbers with real borders, so a box's pixels are not its area in real numbers, which is the "
    "label's weight; and the first row and column, whose number is 0, lie inside no box that begins above 0. "
    "With `factor=1.0`, α is drawn anew for every batch, as documented.",
}
REPRODUCTIONS = {
    "kornia": """import torch
from kornia.augmentation import RandomCutMixV2

torch.manual_seed(0)
images = torch.arange(2000.0)[:, None, None, None].expand(-1, 1, 16, 24)
mixed, _ = RandomCutMixV2(data_keys=["input", "class"])(images, torch.arange(2000))
pasted = (mixed != images)[:, 0].any(2).sum(1)  # rows
print("mean height of a box:", round(pasted[pasted > 0].float().mean().item(), 2), "of 16 rows")
print("boxes of full height:", (pasted == 16).sum().item(), "of 2000")
""",
    "keras": """import os

os.environ["KERAS_BACKEND"] = "jax"  # before the import
import keras
import numpy as np

keras.utils.set_random_seed(0)
images = np.arange(500.0)[:, None, None, None] * np.ones((1, 16, 24, 1))
layer = keras.layers.CutMix(factor=(1.0, 1.0))
mixed = layer({"images": images, "labels": np.eye(500)}, training=True)
kept = (np.asarray(mixed["images"]) == images)[..., 0]
error = np.abs(np.diagonal(mixed["labels"]) - kept.mean((1, 2)))
print(f"label weight against share of pixels: largest error {error.max():.3f}, mean {error.mean():.3f}")
print("pasted in first and last row:", (1 - kept).mean((0, 2))[[0, -1]].round(3))
""",
}
RULES = (
    "label weight = pixel share",
    "labels follow the images",
    "law of the share",
    "probability applied",
    "coverage",
    "draws",
    "pairing",
    "meets itself",
    "fill value",
    "reproducible",
)


def main() -> None:
    """Certify every case and write the page."""
    found = []
    for case in CASES:
        begun = time.perf_counter()
        certificate = certify(case.target, claims=case.claims)
        found.append((case, certificate, time.perf_counter() - begun))
        print(f"{case.title}: {certificate.summary} ({found[-1][2]:.1f} s)", file=sys.stderr)
    write_whole(PAGE, page(found).encode("utf-8"))
    print(f"Written: {PAGE}", file=sys.stderr)


def page(found: list[tuple[Case, Certificate, float]]) -> str:
    """The whole page."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    conditions = found[0][1].conditions
    parts = [
        "# What Cutout, CutMix and Mixup do in current libraries",
        "Written by `make compare-laws`: every figure is measured in the run that writes this page, by `augscope law check`.",
        f"Versions: {versions}; Keras on its JAX backend; Python {platform.python_version()}, {platform.machine()}, "
        f"{os.cpu_count()} cores. 300 batches of 16 samples a row, 16×24 pixels, and about 125 smaller or odd ones. {conditions.split('. ')[-1]}",
        "A rule *fails* where the transform does not do what the claim in the last column says: the paper's law, or the "
        "library's own documentation. A deviation need not be a mistake; a different law is only another law. What matters is "
        "to know it.",
        _overview(found),
        "## What is compared",
        "- **Label weight**: largest and mean distance between the label's weight and the share of pixels, counted in the output.\n"
        "- **Pasted share**: mean, and P(share > ½), given that something is pasted. By the exact laws, the original paper's clipped "
        f"boxes paste {_mean('clipped', 224, 224):.3f} on average at 224×224 and {_mean('clipped', 16, 24):.3f} at 16×24, where sides are "
        f"rounded down; unclipped ones {_mean('unclipped', 16, 24):.3f}.\n"
        "- **Draws**: one per sample or one per batch; whether samples of one batch resemble each other.\n"
        "- kornia returns (label, permuted label, λ). λ is read as kornia documents it: the area of the cut by default, and "
        "1 − area with `use_correct_lambda=True`. Whoever reads the default λ as the paper's (the own label's weight) gets its complement.\n"
        "- Keras documents of `RandomErasing(factor=1.0)` both that it always erases and that the probability is drawn between "
        "0 and the factor; it is checked against the second, 0.5.\n"
        "- Albumentations transforms single images and knows no labels, as do kornia's and Keras' erasing layers.",
        FORMS.read_text(encoding="utf-8").rstrip(),
        "## Deviations, each with the line that shows it",
        *[_deviations(case, certificate) for case, certificate, _ in found if not certificate.holds],
        "## The same without augscope",
        "Each program was run when this page was written; below it is what it printed.",
        *[_reproduction(library) for library in REPRODUCTIONS],
        "## Every rule",
        *[_details(case, certificate) for case, certificate, _ in found],
    ]
    return "\n\n".join(parts) + "\n"


def _mean(boxes: Boxes, height: int, width: int) -> float:
    """Mean share of CutMix boxes, given that something is pasted."""
    return BoxLaw(boxes=boxes).share(height, width).given_pasted().mean


def _reproduction(library: str) -> str:
    """A note, a program that needs the library alone, and what it prints."""
    program = REPRODUCTIONS[library]
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True, env=os.environ
    )
    return f"### {library}\n{NOTES[library]}\n\n```python\n{program}```\n\n```text\n{ran.stdout}```"


def _overview(found: list[tuple[Case, Certificate, float]]) -> str:
    lines = [
        "| transform | label weight error: largest, mean | pasted share: mean, P(> ½) | applied | draws | rules that fail | claim | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case, certificate, seconds in found:
        measured = certificate.measured
        draws = _rule(certificate, "draws").split(" (")[0].removeprefix("one draw per ")
        failing = ", ".join(check.name for check in certificate.checks if check.verdict == "fails") or "none"
        cells = [
            case.title,
            f"{measured['label_error_max']:.4f}, {measured['label_error_mean']:.4f}"
            if "label_error_max" in measured
            else "–",
            f"{measured['share_mean']:.3f}, {measured['share_above_half']:.3f}" if "share_mean" in measured else "–",
            f"{measured['applied']:.3f}" if "applied" in measured else "–",
            draws,
            failing,
            str(case.claims),
            f"{seconds:.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _rule(certificate: Certificate, name: str) -> str:
    return next((check.evidence for check in certificate.checks if check.name == name), "–")


def _deviations(case: Case, certificate: Certificate) -> str:
    lines = [f"### {case.title}", f"Checked against: {certificate.claims}.", ""]
    for check in certificate.checks:
        if check.verdict == "fails":
            lines.append(f"- **{check.name}**: {check.defect + ': ' if check.defect else ''}{check.evidence}.")
    lines += ["", "```console", f"augscope law check '{case.target}' {case.options}", "```"]
    return "\n".join(lines)


def _details(case: Case, certificate: Certificate) -> str:
    rows = [f"- {name}: {_rule(certificate, name)}." for name in RULES if _rule(certificate, name) != "–"]
    return "\n".join([f"**{case.title}** (`{case.target}`)", "", *rows])


if __name__ == "__main__":
    main()
