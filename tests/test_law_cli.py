"""`augscope law check` and `augscope images show` as installed."""

from __future__ import annotations

import json

import pytest
import torch
from commands import run_here
from PIL import Image

from augscope.cli.images import show
from augscope.laws import certify, read_claims
from augscope.support.command_line import parse_pair
from augscope.support.files import check_file

torch.set_num_threads(1)  # small batches in parallel test processes: more threads only wait for each other

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

def strange(images, labels):
    return "strange"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a target of one's own."""
    path = tmp_path_factory.mktemp("law")
    (path / "mine.py").write_text(HALF)
    return path


def test_a_transform_that_keeps_its_claims(folder):
    done = run_here(
        "law",
        "check",
        "augscope.images:BoxCutMix()",
        "--claims",
        "cutmix",
        "--boxes",
        "clipped",
        "--json",
        "--out",
        folder / "law",
        *QUICK,
    )
    certificate = json.loads(done.stdout)
    assert done.returncode == 0
    assert certificate["holds"]
    assert certificate["target"] == "augscope.images:BoxCutMix()"
    assert {check["name"] for check in certificate["checks"]} >= {
        "label weight = pixel share",
        "generator",
        "coverage",
        "draws",
        "pairing",
    }
    assert "every claimed property holds" in done.stderr
    assert "Traceback" not in done.stderr
    page = (folder / "law" / "law.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 14
    assert json.loads((folder / "law" / "law.json").read_text(encoding="utf-8")) == certificate
    refused = run_here("law", "check", "augscope.images:BoxCutMix()", "--out", folder / "page.html")
    assert "`out` must be a folder, for law.html and law.json, got" in refused.stderr
    assert "prefers-color-scheme: dark" in page


def test_functions_of_ones_own(folder):
    certificate = certify(f"{folder / 'mine.py'}:half", num_calls=64)
    assert certificate.holds, certificate
    done = run_here("law", "check", "mine.py:unmixed", *QUICK, cwd=folder)
    assert (done.returncode, done.stderr) == (1, "")
    assert "mine.py:unmixed: 1 of 11 claimed properties fail: labels are not mixed." in " ".join(done.stdout.split())


def test_claims_that_do_not_hold(folder):
    (folder / "claims.toml").write_text('kind = "cutmix"\nboxes = "unclipped"\n')
    done = run_here("law", "check", "augscope.images:BoxCutMix()", "--claims", "claims.toml", *QUICK, cwd=folder)
    assert done.returncode == 1
    assert "follows clipped box, Beta(1, 1) in place of what is claimed" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere:Thing()"], "`target` could not be imported, got 'nowhere:Thing()': ModuleNotFoundError"),
        (
            ["mine.py:strange"],
            "`target` cannot be checked, got mine.py:strange: with torch images (16, 3, 16, 24) and class indices it",
        ),
        (["augscope.images:BoxCutMix()", "--p", "0.5"], "`p` needs claims, such as --claims cutmix"),
    ],
)
def test_bad_usage(arguments, sentence, folder):
    done = run_here("law", "check", *arguments, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_bad_options_are_refused_in_a_sentence(tmp_path):
    with pytest.raises(ValueError, match="`grid` must be a whole number or two such as 16x24, got '4by4'"):
        parse_pair("grid", "4by4")
    assert (parse_pair("grid", "4"), parse_pair("size", "4x6")) == ((4, 4), (4, 6))
    with pytest.raises(ValueError, match="`out` must be a file in a folder that exists"):
        check_file(tmp_path / "no" / "where.html")
    with pytest.raises(ValueError, match="`out` must be a file, not a folder"):
        check_file(tmp_path)
    with pytest.raises(ValueError, match=r"`claims` must be a readable file, got x\.toml: No such file"):
        read_claims("x.toml")


def test_images_show(folder):
    done = run_here("images", "show", "--out", folder / "picture.png", "--size", "64", "--json")
    assert done.returncode == 0, done.stderr
    assert (folder / "picture.png").read_bytes().startswith(b"\x89PNG")
    cells = json.loads(done.stdout)
    assert [cell["image"] for row in cells for cell in row[:1]] == ["china", "flower"]


def test_images_show_goes_on_past_files_that_are_no_images(folder):
    (folder / "text.jpg").write_text("no image")
    Image.new("RGB", (40, 40), "teal").save(folder / "teal.png")
    done = run_here("images", "show", "text.jpg", "teal.png", "--out", "again.svg", "--size", "64", cwd=folder)
    assert done.returncode == 1, done.stderr
    assert "text.jpg cannot be shown: it is none of PNG, JPEG, GIF" in done.stderr
    assert b"<svg" in (folder / "again.svg").read_bytes()
    with pytest.raises(ValueError, match="`images` must hold at least one image that can be read, got 1 that cannot"):
        show(folder / "text.jpg", out=folder / "none.png")
    assert not (folder / "none.png").exists()
    done = run_here("images", "show", "--out", "picture.gif", cwd=folder)
    assert (done.returncode, done.stderr) == (2, "augscope: `out` must end in .png, .svg or .pdf, got picture.gif\n")
