"""The pages that commands write: valid, self-contained, accessible, and safe whatever names they are given."""

from __future__ import annotations

import base64
import csv
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from audit_cases import write_csv
from page_checks import axe_violations, check_html

import augscope as ag
from augscope.cli import app
from augscope.laws import certify
from augscope.laws.page import html_page
from augscope.support.pages import Download, picture
from augscope.support.plain_data import csv_text
from augscope.sweep.phase import Panel, PhaseDiagram
from augscope.sweep.phase_page import write_phase
from augscope.theorems.record import Results, trajectories_csv
from augscope.theorems.reporting import write_report
from augscope.theorems.verification import verify

SCRIPT = '<script>alert("x")</script> & [/bold] "quoted" $\\frac ' + "long" * 60


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A page of each command, by name."""
    folder = tmp_path_factory.mktemp("pages")
    made = {}
    experiment = ag.presets.theorem.replace(num_samples=20, num_steps=20, record_at=(0, 10))
    verdict = verify(experiment, (0, 1))
    results = Results("verify", experiment, (0, 1), verdict.runs, verdict, f"augscope verify {SCRIPT}")
    write_report(results, folder / "verify")
    made["verify"] = folder / "verify" / "report.html"
    write_phase(made_up_diagram(), folder / "phase", grids=[f"title = {SCRIPT!r}"], again=f"augscope phase {SCRIPT}")
    made["phase"] = folder / "phase" / "phase.html"
    certificate = certify(half_and_half, num_calls=64)
    made["law"] = folder / "law.html"
    made["law"].write_text(html_page(replace(certificate, target=SCRIPT)), encoding="utf-8")
    for name, words in image_commands(folder).items():
        assert app(["images", *words, "--out", str(folder / name)], exit_on_error=False, print_error=False) == 0
        made[name] = folder / name / "report.html"
    return made, results


def image_commands(folder) -> dict[str, list[str]]:
    """The smallest study of each `images` command, on data with names that must be escaped."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, 12, 8, 8)).astype(np.uint8)
    groups = [
        (label, attribute, image) for label in (0, 1) for attribute in ("plain", SCRIPT) for image in pixels[label]
    ]
    data = write_csv(folder / "images", {"train": groups, "test": groups})
    few = ["--steps", "2", "--batch-size", "8", "--seeds", "2", "--device", "cpu"]
    canvas = "--side 8 --counts 4,2,1 --width 4 --num-steps 5 --num-tests 4 --seeds 2"
    return {
        "canvas": ["canvas", *canvas.split()],
        "audit": ["audit", str(data), "--methods", "erm,cutmix-patch", *few],
        "compare": ["compare", str(predictions(folder / "predictions.csv")), "--reference", SCRIPT],
    }


def predictions(path):
    """Of two methods from two seeds, with probabilities."""
    rows = [
        (method, seed, image, image % 2, "test", SCRIPT, 0.25, 0.75)
        for method in ("erm", SCRIPT)
        for seed in (0, 1)
        for image in range(24)
    ]
    columns = ("method", "seed", "image", "y", "split", "place", "prob_0", "prob_1")
    path.write_text(csv_text(columns, rows), encoding="utf-8")
    return path


def half_and_half(images, labels):
    """Every sample's right half from the next one, with labels that do not say so: the page of what breaks a rule."""
    mixed = images.clone()
    mixed[..., images.shape[-1] // 2 :] = images.roll(1, dims=0)[..., images.shape[-1] // 2 :]
    return mixed, torch.eye(16)[labels]


def made_up_diagram() -> PhaseDiagram:
    x, y = (part.ravel() for part in np.meshgrid([0.1, 0.2, 0.4], [0.05, 0.5, 5.0], indexing="ij"))
    mean = np.where(x > y, 1.0, 0.5)
    panels = tuple(
        Panel(name, "erm", x, y, np.full(9, 2), mean, mean - 0.1, mean + 0.1, mean - 0.05, mean, {SCRIPT: x / y})
        for name in ("erm", SCRIPT)
    )
    return PhaseDiagram("rho", SCRIPT, "accuracy", 0.75, True, True, panels, SCRIPT, {"rho": SCRIPT})


@pytest.mark.parametrize("name", ["verify", "phase", "law", "canvas", "audit", "compare"])
def test_pages_are_valid_and_escape_what_they_are_given(pages, name):
    text = pages[0][name].read_text(encoding="utf-8")
    check_html(text)
    assert "<script" not in text
    if name != "canvas":  # which is given no names
        assert "&lt;script&gt;" in text


@pytest.mark.slow  # a browser in four looks; the explorer keeps one in the default suite
def test_pages_are_accessible_and_ask_nobody(pages):
    assert axe_violations(list(pages[0].values())) == []


def test_the_data_behind_the_picture_is_inside(pages):
    made, results = pages
    rows = list(csv.DictReader(io.StringIO(trajectories_csv(results))))
    assert len(rows) == sum(len(run.history.steps) for run in results.runs)
    last = [row for row in rows if (row["method"], row["seed"]) == ("CutMix", "1")][-1]
    history = next(run for run in results.runs if run.seed == 1 and run.method.title == "CutMix").history
    assert float(last["accuracy"]) == pytest.approx(history.accuracy[-1], rel=1e-9)
    assert float(last["feature_score[2]"]) == pytest.approx(history.feature_scores[-1, :, 1].mean(), rel=1e-9)
    inside = Download("features.csv", trajectories_csv(results).encode()).address
    assert inside in made["verify"].read_text(encoding="utf-8")
    assert base64.b64decode(inside.partition(",")[2]).decode() == trajectories_csv(results)


def test_a_picture_is_labelled():
    drawn = picture(b'<?xml version="1.0"?><svg width="3"></svg>', 'a "b" <c>')
    assert str(drawn).startswith('<svg role="img" aria-label="a &#34;b&#34; &lt;c&gt;" style=')
