"""Writes docs/augmentation-laws.md and its pictures: what our transforms and other libraries' do, as `augscope law check` measures it.

Run `make compare-laws`, which installs the libraries in a virtual environment of their own (several GB). Every figure in the
page's tables is measured in the run that writes it.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

os.environ["KERAS_BACKEND"] = "jax"  # chosen at import
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # no look-up of newer versions

from law_pictures import picture
from library_laws import CASES, LibraryCase

from augscope.laws import BoxLaw, Certificate, certify
from augscope.laws.boxes import Boxes
from augscope.support.files import write_whole

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "augmentation-laws.md"
PICTURES = PAGE.with_name("laws")
LIBRARIES = (*CASES, "torch", "jax", "numpy")
NAMES = {"keras": "Keras", "albumentations": "Albumentations", "monai": "MONAI"}  # as they write themselves
REPRODUCTIONS = {
    "kornia: p decides for whole batches": """import torch
from kornia.augmentation import RandomMixUpV2

torch.manual_seed(0)
images, labels = torch.rand(16, 1, 8, 8), torch.arange(16)
mix = RandomMixUpV2(data_keys=["input", "class"], p=0.5)
mixed = [(mix(images, labels)[0] != images).flatten(1).any(1).sum().item() for _ in range(200)]
others = [number for number in mixed if number > 0]
print("batches of 16 with nobody mixed:", 200 - len(others), "of 200")
print("mixed in the others, on average:", round(sum(others) / len(others), 1))
""",
    "Keras: area in real numbers": """import os

os.environ["KERAS_BACKEND"] = "jax"  # before the import
import keras
import numpy as np

keras.utils.set_random_seed(0)
for size in (16, 224):
    images = np.arange(256.0)[:, None, None, None] * np.ones((1, size, size, 1))
    layer = keras.layers.CutMix(factor=(1.0, 1.0))
    mixed = layer({"images": images, "labels": np.eye(256)}, training=True)
    kept = (np.asarray(mixed["images"]) == images)[..., 0].mean((1, 2))
    error = np.abs(np.diagonal(mixed["labels"]) - kept)
    print(f"{size}×{size}: label weight off the share by {error.mean():.3f} on average, {error.max():.3f} at most")
""",
    "MONAI: one-hot labels become the partner's": """import numpy as np
import torch
from monai.transforms import CutMix

mix = CutMix(batch_size=8)
mix.set_random_state(0)
images = torch.arange(8.0)[:, None, None, None].expand(-1, 1, 16, 16)
mixed, labels = mix(images, torch.eye(8))
kept = (mixed == images).float().mean((1, 2, 3))
print("share of pixels that are the image's own:", np.round(kept.numpy(), 2))
print("weight of its own label:                 ", labels.diagonal().numpy())
""",
}


class Row(NamedTuple):
    """A transform of a library, checked."""

    library: str
    case: LibraryCase
    certificate: Certificate
    seconds: float

    @property
    def name(self) -> str:
        return f"{NAMES.get(self.library, self.library)} {self.case.title}"

    @property
    def file(self) -> str:
        """Of its picture."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower().replace("×", "x")).strip("-") + ".svg"

    @property
    def command(self) -> str:
        return f"augscope law check '{self.case.target}' {self.case.options}"


def main() -> None:
    """Check every case, and write the page and its pictures."""
    os.chdir(HERE)
    rows = [checked(library, case) for library, cases in CASES.items() for case in cases]
    PICTURES.mkdir(exist_ok=True)
    for old in PICTURES.glob("*.svg"):
        old.unlink()
    for row in rows:
        write_whole(PICTURES / row.file, picture(row.certificate, row.case.claims))
    write_whole(PAGE, page(rows).encode("utf-8"))
    print(f"Written: {PAGE}", file=sys.stderr)


def checked(library: str, case: LibraryCase) -> Row:
    """Certify a case; a line says how it went."""
    start = time.perf_counter()
    certificate = certify(case.target, claims=case.claims, image_size=(16, 24))
    row = Row(library, case, certificate, time.perf_counter() - start)
    print(f"{row.name}: {certificate.summary} ({row.seconds:.1f} s)", file=sys.stderr, flush=True)
    return row


def page(rows: list[Row]) -> str:
    """The whole page."""
    parts = [
        "# What Cutout, CutMix and Mixup do in current libraries",
        "`augscope law check` reads off any transform what it pastes, erases or blends, how often, where, and what the labels say, and "
        "compares that with the paper's law or with what you claim. First a file of your own; then what the libraries' transforms do, measured, "
        "and what to write to get the law that you want.",
        f"Measured with {_versions()}.",
        _own_file(),
        "## The libraries at a glance",
        "✓: as claimed; ✗: not, with the deviation's name ([below](#deviations) in full). A deviation need not be a mistake; a different law is only "
        "another law. What matters is to know it. The claims are the papers' laws, and where a library documents another law, that one; of RandomErasing, torchvision's and timm's law, with an aspect ratio that is "
        "log-uniform (the paper's own program draws it uniformly).",
        "The pictures: on the left how often each pixel is replaced, given that something is, from never (empty) to always (full colour), at 16×24 pixels (of a "
        "blend, its mean weight); on the right the share that is replaced, from 0 to 1: bars as measured, the orange line as claimed.",
        *[_table(library, rows) for library in CASES],
        _exact_means(),
        (HERE / "law_advice.md").read_text(encoding="utf-8").rstrip(),
        "## Deviations",
        "Each with the line that shows it.",
        *[_deviations(row) for row in rows if not row.certificate.holds and not _only_in_place(row)],
        _in_place([row for row in rows if _only_in_place(row)]),
        "## The same without augscope",
        "Each program needs the library alone. It was run when this page was written; below it is what it printed.",
        *[_reproduction(title) for title in REPRODUCTIONS],
        (HERE / "law_forms.md").read_text(encoding="utf-8").rstrip(),
        _conditions(rows),
    ]
    return "\n\n".join(parts) + "\n"


def _versions() -> str:
    return ", ".join(f"{NAMES.get(name, name)} {importlib.metadata.version(name)}" for name in LIBRARIES)


def _own_file() -> str:
    """One command on one's own file, and its answer."""
    program = (HERE / "my_file.py").read_text(encoding="utf-8").partition("\n")[2]  # without a line for ruff
    certificate = certify("my_file.py:mix")
    failing = [check for check in certificate.checks if check.verdict == "fails"]
    shown = "\n".join(f"{check.name}  {check.verdict}  {check.defect}: {check.evidence}" for check in failing)
    law = certificate["law of the share"].evidence.split("; ")[-1].split(" (")[0]
    draws = certificate["draws"].evidence.split(" (")[0]
    return (
        "## Check a file of your own\n\n`my_file.py`, with a CutMix as it stands in many programs:\n\n"
        f"```python\n{program}```\n\nOne line, no option; the form in which it takes and returns batches is found by trying:\n\n"
        f"```console\naugscope law check my_file.py:mix\n```\n\n```text\n{shown}\n\n{certificate.summary}\n```\n\n"
        "The box was clipped at the border, and λ still counts it whole: labels are off by 0.2 on average. "
        "`kept = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)` after the clipping mends it. "
        f"The rest of the report says what else it does: its share {law}, {draws}. Then claim what you mean, and every rule is judged:\n\n"
        "```console\naugscope law check my_file.py:mix --claims cutmix --boxes clipped --per batch\n```\n\n"
        "Exit status 0: every claim holds; 1: one fails; 2: it cannot be checked, with a sentence that says why. "
        "[Every form that is read](#your-own-code-in-the-form-that-it-has) has a worked line."
    )


def _table(library: str, rows: list[Row]) -> str:
    """What a library's transforms do, a row each, with a picture."""
    lines = [
        f"### {NAMES.get(library, library)}",
        "",
        "| transform | where, and how much | law | label's weight, draws |",
        "| --- | --- | --- | --- |",
    ]
    for row in rows:
        if row.library == library:
            image = f"![{_alt(row)}](laws/{row.file})"
            title = "<br>".join([f"**{row.case.title}**", *_also(row)])
            cells = [title, image, _law(row), f"{_label(row)}<br>{_draw(row)}"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _alt(row: Row) -> str:
    measured = row.certificate.measured
    return f"{row.name}: mean share {measured.get('share_mean', 0):.2f}, above one half in {measured.get('share_above_half', 0):.2f}"


def _law(row: Row) -> str:
    """What was claimed and holds; or the deviation, with the mean share."""
    checks = [check for check in row.certificate.checks if check.name.startswith("law of the share")]
    failing = [check for check in row.certificate.checks if check.verdict == "fails" and check.name in LAW_RULES]
    mean = f"mean share {row.certificate.measured.get('share_mean', 0):.2f}"
    if failing:
        return f"✗ {failing[0].defect}<br>{mean}"
    titles = [re.search(r"fits (.+?)(?:, sides rounded[^(]*)? \(distance", check.evidence) for check in checks]
    named = " or ".join(title[1] for title in titles if title) or "one box, of any size"
    return f"✓ {named}<br>{mean}"


LAW_RULES = ("law of the share", "box aspect", "box starts", "box height", "box width", "coverage", "subset")


def _label(row: Row) -> str:
    """Whether the label's weight is the share of pixels."""
    if row.case.claims.erases:
        return "✓ label stays"
    check, measured = row.certificate["label weight = pixel share"], row.certificate.measured
    smoothing = f", smoothed by {measured['label_smoothing']:.2g}" if measured["label_smoothing"] else ""
    if check.verdict == "holds":
        return f"✓ weight = share{smoothing}"
    error = f"off by {measured['label_error_mean']:.2f} on average, {measured['label_error_max']:.2f} at most"
    return f"✗ {check.defect}: {error}"


def _draw(row: Row) -> str:
    check = row.certificate["draws"]
    unit = check.evidence.removeprefix("one draw per ").split(" (")[0]
    return f"✓ one draw a {unit}" if check.verdict == "holds" else f"✗ one draw a {unit}: {check.defect}"


def _also(row: Row) -> list[str]:
    """What else a user should know, in a few words."""
    certificate, words = row.certificate, []
    names = {check.name: check for check in certificate.checks}
    if names["input untouched"].verdict == "fails":
        words.append("works in place")
    rounding = next((check.evidence for name, check in names.items() if name.startswith("rounding of sides")), "")
    if rounding:
        sides, _, pixels = rounding.partition(": ")
        words.append(f"{sides.split(',')[0]} ({pixels})")
    if "other batch sizes" in names:
        sizes = re.findall(r"batches of ([\d, ]+):", names["other batch sizes"].evidence)
        words.append(f"refuses batches of {', '.join(sizes)}")
    if names.get("reproducible") and names["reproducible"].verdict == "fails":
        words.append("not reproducible under a seed")
    pairing = names["pairing"].evidence.split(";")[0] if "pairing" in names else ""
    if row.case.claims.partner == "fixed":
        words.append(f"fixed partners: {pairing}")
    return words


def _exact_means() -> str:
    return (
        f"By the exact laws, the original paper's clipped boxes paste {_mean('clipped', 224, 224):.3f} on average at 224×224 and "
        f"{_mean('clipped', 16, 24):.3f} at 16×24, where sides are rounded down; unclipped ones {_mean('unclipped', 16, 24):.3f}."
    )


def _mean(boxes: Boxes, height: int, width: int) -> float:
    """Mean share of CutMix boxes, given that something is pasted."""
    return BoxLaw(boxes=boxes).share(height, width).given_pasted().mean


def _deviations(row: Row) -> str:
    lines = [f"### {row.name}", f"Claimed: {row.certificate.claims}.", ""]
    for check in row.certificate.checks:
        if check.verdict == "fails":
            lines.append(f"- **{check.name}**: {check.defect + ': ' if check.defect else ''}{check.evidence}.")
    lines += [f"\n{hint}" for hint in row.certificate.hints]
    return "\n".join([*lines, "", "```console", row.command, "```"])


def _only_in_place(row: Row) -> bool:
    return row.certificate.defects == ("input changed in place",)


def _in_place(rows: list[Row]) -> str:
    """Those that write into the batch that they are given, and do all else as claimed: one section."""
    commands = "\n".join(row.command for row in rows)
    names = "; ".join(row.name for row in rows)
    return (
        f"### In place\n\nThese write into the batch that they are given, and do all else as claimed: {names}. "
        f"Give them a copy where the batch is used again.\n\n```console\n{commands}\n```"
    )


def _reproduction(title: str) -> str:
    """A program that needs the library alone, and what it prints."""
    program = REPRODUCTIONS[title]
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True, env=os.environ
    )
    return f"### {title}\n\n```python\n{program}```\n\n```text\n{ran.stdout}```"


def _conditions(rows: list[Row]) -> str:
    """How it was measured, and every row's command."""
    seconds = sorted(row.seconds for row in rows)
    commands = "\n".join(row.command for row in rows if row.certificate.holds)
    return (
        "## How it was measured\n\n"
        "Written by `make compare-laws`: every figure in the tables is measured in the run that writes this page, with the versions named above; Keras on its JAX "
        f"backend; Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores. 300 batches of 16 samples a row, 16×24 pixels, and about 125 "
        f"smaller or odd ones; a row took {seconds[0]:.1f} to {seconds[-1]:.1f} s, {seconds[len(seconds) // 2]:.1f} s in the median. "
        f"{rows[0].certificate.conditions.split('. ')[-1]}\n\n"
        f"{(HERE / 'law_evidence.md').read_text(encoding='utf-8').rstrip()}\n\n"
        "The rows that hold, with `choose.py` for torchvision's `RandomChoice`:\n\n"
        f"```python\n{(HERE / 'choose.py').read_text(encoding='utf-8')}```\n\n```text\n{commands}\n```"
    )


if __name__ == "__main__":
    main()
