"""Options, configurations and records that no reader of ours wrote: one sentence on stderr and status 2, never a traceback."""

from __future__ import annotations

import json
import os

import pytest
from commands import QUICK
from PIL import Image

from augscope.cli import main


def refusal(capsys, *arguments) -> str:
    """The one sentence with which a command refuses."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    assert ended.value.code == 2, printed
    lines = printed.err.strip().splitlines()
    assert len(lines) == 1, printed.err
    return lines[0]


OPTIONS = {
    "canvas steps": (["images", "canvas", "--num-steps", "1e30"], "`num_steps` must be at most 10,000,000"),
    "canvas tests": (["images", "canvas", "--num-tests", "1e30"], "`num_tests` must be at most 100,000"),
    "canvas width": (["images", "canvas", "--width", "1e30"], "`width` must be at most 10,000"),
    "law calls": (
        ["law", "check", "augscope.images:BoxCutMix()", "--num-calls", "1e30"],
        "`num_calls` must be in [64, 1,000,000]",
    ),
    "law images": (
        ["law", "check", "augscope.images:BoxCutMix()", "--image-size", "100000"],
        "`image_size` must leave at most",
    ),
    "law seed": (["law", "check", "augscope.images:BoxCutMix()", "--seed", "1e30"], "`seed` must be from 0 to"),
    "law grid": (
        ["law", "check", "augscope.images:BoxCutMix()", "--claims", "cutmix", "--grid", "99999999"],
        "`image_size` must leave at most",
    ),
    "a module that raises": (
        ["law", "check", "raising.py:thing"],
        "`target` could not be imported, got 'raising.py:thing': Odd: no",
    ),
    "a module that ends": (
        ["law", "check", "ending.py:thing"],
        "`target` could not be imported, got 'ending.py:thing': GeneratorExit",
    ),
    "show size": (["images", "show", "--out", "x.png", "--size", "1e30"], "`size` must be in [16, 4,096]"),
    "show seed": (["images", "show", "--out", "x.png", "--seed", "1e30"], "`seed` must be from 0 to"),
    "show grid": (["images", "show", "--out", "x.png", "--num-cut", "1e30"], "`num_cut` must be in [1, P)"),
    "audit device": (["images", "audit", "images", "--device", "meta"], "`device` must be one that PyTorch can use"),
    "audit seed": (["images", "audit", "images", "--split-seed=-1"], "`split_seed` must be at least 0"),
    "noise": (["train", "--dominant-noise-std", "1e30"], "`dominant_noise_std` must be"),
    "other noise": (["train", "--background-noise-std", "1e200"], "`background_noise_std` must be"),
    "weights": (["train", "--init-std", "1e300"], "`init_std` must be"),
    "a network's path": (["train", *QUICK, "--network", "../x:y"], "`network`"),
    "a network that is no activation": (["train", *QUICK, "--network", "json:loads"], "`network`"),
    "a network that is a command": (["train", *QUICK, "--network", "os:system"], "`network`"),
    "a method that is none": (["train", *QUICK[:-4], "--methods", "json:loads"], "`methods`"),
    "a long name": (["report", "n" * 300], "ile name too long"),
    "out of a run": (["train", *QUICK, "--out", "link"], "`out` must be a folder, got link"),
    "out of a picture": (["images", "show", "--out", "/proc/x.png"], "`out` must be a file that can be written"),
}


@pytest.mark.parametrize(("arguments", "sentence"), OPTIONS.values(), ids=OPTIONS)
def test_hostile_options(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raising.py").write_text("class Odd(BaseException): pass\nraise Odd('no')\n")
    (tmp_path / "ending.py").write_text("raise GeneratorExit\n")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for label in ("a", "b"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(8):
            Image.new("L", (16, 16), 20 * number + (label == "b")).save(tmp_path / "images" / label / f"{number}.png")
    assert sentence in refusal(capsys, *arguments)


TOML = {
    "deep": "x = " + "[" * 3_000 + "]" * 3_000,
    "many digits": "num_steps = " + "9" * 400,
    "more digits": "num_steps = " + "9" * 5_000,
    "a large seed": "seed = 1\n",
    "an infinity": "preset = 'theorem'\nstep_size = inf",
    "a number as noise": "preset = 'theorem'\ndistribution = { dominant_noise_std = 1e30 }",
    "a table of methods": "preset = 'theorem'\nmethods = [{}]",
    "a method of a list": "preset = 'theorem'\nmethods = [[1]]",
    "a network of a list": "preset = 'theorem'\nnetwork = [1]",
    "many digits as a number": "preset = 'theorem'\nstep_size = 1" + "0" * 400,
    "a date": "preset = 'theorem'\nnum_steps = 2020-01-01",
    "a preset of a table": "preset = { a = 1 }",
}


@pytest.mark.parametrize("text", TOML.values(), ids=TOML)
@pytest.mark.parametrize(
    "command", [["train", "--config"], ["law", "check", "augscope.images:BoxCutMix()", "--claims"]]
)
def test_hostile_configurations(command, text, tmp_path, capsys):
    (tmp_path / "x.toml").write_text(text)
    assert refusal(capsys, *command, tmp_path / "x.toml").startswith("augscope: `")


GRID = "preset = 'theorem'\nmethods = ['erm']\nseeds = 1\n"
GRIDS = {
    "a table as a value": GRID + "[axes]\ndim = [{}]",
    "a table as a zipped value": GRID + "[[zip]]\ndim = [{}]",
    "a range without end": GRID + "[axes]\ndim = { from = 1, to = 1" + "0" * 30 + ", count = 3 }",
    "a range of many digits": GRID + "[axes]\ndim = { from = 1, to = 1" + "0" * 400 + ", count = 3 }",
    "many digits": GRID + "[axes]\ndim = [1" + "0" * 400 + "]",
    "deep": GRID + "[axes]\ndim = " + "[" * 300 + "]" * 300,
}


@pytest.mark.parametrize("text", GRIDS.values(), ids=GRIDS)
def test_hostile_grids(text, tmp_path, capsys):
    (tmp_path / "grid.toml").write_text(text)
    refusal(capsys, "sweep", tmp_path / "grid.toml", "--out", tmp_path / "out")


@pytest.fixture(scope="module")
def record(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("run")
    with pytest.raises(SystemExit):
        main(["verify", *QUICK, "--out", str(folder)])
    return json.loads((folder / "record.json").read_text())


def replaced(record, path, value):
    """The record with another value in one place."""
    copy = json.loads(json.dumps(record))
    place = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return copy


PLACES = [
    ("command",), ("format",), ("configuration",), ("seeds",), ("again",), ("verdict",), ("runs",),
    ("configuration", "methods"), ("configuration", "network"), ("configuration", "distribution"), ("configuration", "record_at"),
    ("verdict", "tolerance"), ("verdict", "interrupted"), ("verdict", "rarity_tolerance"),
    ("runs", 0), ("runs", 0, "method"), ("runs", 0, "seed"), ("runs", 0, "status"), ("runs", 0, "message"), ("runs", 0, "seconds"),
    ("runs", 0, "oscillating"), ("runs", 0, "feature_counts"), ("runs", 0, "history"), ("runs", 0, "history", "steps"),
    ("runs", 0, "history", "loss"), ("runs", 0, "history", "feature_scores"), ("runs", 0, "history", "predicted_plateau"),
]  # fmt: skip
VALUES = ["text", [[1, "a"]], {"name": "bogus"}, 10**400]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=() if number % 3 == 0 else pytest.mark.slow, id=".".join(map(str, path)))
        for number, path in enumerate(PLACES)
    ],
)
def test_hostile_records(path, record, tmp_path, capsys):
    """Another type in any place: refused, or of no effect."""
    for value in VALUES:
        (tmp_path / "record.json").write_text(json.dumps(replaced(record, path, value)))
        with pytest.raises(SystemExit) as ended:
            main(["report", str(tmp_path), "--out", str(tmp_path / "out")])
        printed = capsys.readouterr()
        if ended.value.code == 2:
            assert len(printed.err.strip().splitlines()) == 1, printed.err
            assert printed.out == ""


@pytest.mark.parametrize(
    "content", ["[" * 100_000, "[" * 100_000 + "]" * 100_000, "9" * 10_000, "nul", "\x00", "[]", '"verify"']
)
def test_files_that_are_no_records(content, tmp_path, capsys):
    (tmp_path / "record.json").write_text(content)
    assert "record.json" in refusal(capsys, "report", tmp_path)


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path, capsys):
    os.mkfifo(tmp_path / "record.json")
    os.mkfifo(tmp_path / "x.toml")
    assert "is no file" in refusal(capsys, "report", tmp_path)
    assert "is no file" in refusal(capsys, "train", "--config", tmp_path / "x.toml")
    assert "is no file" in refusal(capsys, "sweep", tmp_path / "x.toml", "--out", tmp_path / "out")
