"""`augscope law check` and `augscope images show` as installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("augscope")
QUICK = ["--num-calls", "64"]

HALF = """
import torch

def half(images, labels):
    order, soft = torch.randperm(len(labels)), torch.eye(max(16, len(labels)))[labels]
    mixed = images.clone()
    mixed[..., 12:] = images[order][..., 12:]
    return mixed, (soft + soft[order]) / 2

def unmixed(images, labels):
    return half(images, labels)[0], torch.eye(max(16, len(labels)))[labels]
"""


def augscope(*arguments, cwd=None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=cwd)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a target of one's own."""
    found = tmp_path_factory.mktemp("law")
    (found / "mine.py").write_text(HALF)
    return found


def test_a_transform_that_keeps_its_claims(folder):
    done = augscope(
        "law",
        "check",
        "augscope.images:BoxCutMix()",
        "--claims",
        "cutmix",
        "--boxes",
        "clipped",
        "--json",
        "--out",
        folder / "law.html",
        *QUICK,
    )
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert found["holds"]
    assert found["target"] == "augscope.images:BoxCutMix()"
    assert {check["name"] for check in found["checks"]} >= {
        "label weight = pixel share",
        "generator",
        "coverage",
        "draws",
        "pairing",
    }
    assert "every claimed property holds" in done.stderr
    assert "Traceback" not in done.stderr
    page = (folder / "law.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 14
    assert "prefers-color-scheme: dark" in page


def test_functions_of_ones_own(folder):
    done = augscope("law", "check", "mine.py:half", *QUICK, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "every claimed property holds" in done.stdout
    done = augscope("law", "check", "mine.py:unmixed", *QUICK, cwd=folder)
    assert done.returncode == 1
    assert "labels are not mixed" in done.stdout


def test_claims_that_do_not_hold(folder):
    (folder / "claims.toml").write_text('kind = "cutmix"\nboxes = "unclipped"\n')
    done = augscope("law", "check", "augscope.images:BoxCutMix()", "--claims", "claims.toml", *QUICK, cwd=folder)
    assert done.returncode == 1
    assert "follows clipped box, Beta(1, 1) in place of what is claimed" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere:Thing()"], "`target` could not be imported, got 'nowhere:Thing()': ModuleNotFoundError"),
        (["augscope.images:BoxCutMix()", "--p", "0.5"], "`p` needs claims, such as --claims cutmix"),
        (
            ["augscope.images:BoxCutMix()", "--claims", "cutmix", "--grid", "4by4"],
            "`grid` must be a whole number or two",
        ),
        (
            ["augscope.images:BoxCutMix()", "--claims", "x.toml"],
            "`claims` must be a readable file, got x.toml: No such file",
        ),
        (["augscope.images:BoxCutMix()", "--out", "no/where.html"], "`out` must be a file in a folder that exists"),
    ],
)
def test_bad_usage(arguments, sentence, folder):
    done = augscope("law", "check", *arguments, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_images_show(folder):
    done = augscope("images", "show", "--out", folder / "picture.png", "--size", "64", "--json")
    assert done.returncode == 0, done.stderr
    assert (folder / "picture.png").read_bytes().startswith(b"\x89PNG")
    cells = json.loads(done.stdout)
    assert [cell["image"] for row in cells for cell in row[:1]] == ["china", "flower"]


def test_images_show_goes_on_past_files_that_are_no_images(folder):
    (folder / "text.jpg").write_text("no image")
    done = augscope("images", "show", "text.jpg", "picture.png", "--out", "again.svg", "--size", "64", cwd=folder)
    assert done.returncode == 1, done.stderr
    assert "text.jpg cannot be shown: it is no image that Pillow knows" in done.stderr
    assert b"<svg" in (folder / "again.svg").read_bytes()
    done = augscope("images", "show", "text.jpg", "--out", "none.png", cwd=folder)
    assert done.returncode == 2
    assert "`images` must hold at least one image that can be read" in done.stderr
    done = augscope("images", "show", "--out", "picture.gif", cwd=folder)
    assert (done.returncode, done.stderr) == (2, "augscope: `out` must end in .png, .svg or .pdf, got picture.gif\n")
