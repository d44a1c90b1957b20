"""Augmentations of anybody's in trainings and audits: the same bits as by name, every form, what their law is, and what is kept."""

from __future__ import annotations

import json
import shlex

import pytest
import torch
from audit_cases import planted
from torch import nn

from augscope.cli import app
from augscope.images import TrainedNetwork, TrainingPlan, train_network
from augscope.laws.guarding import global_states, seed_globals
from augscope.studies.audit.certificates import laws_of
from augscope.studies.audit.dataset import read_data
from augscope.studies.audit.kept import kept_trainings, remaining, train_all
from augscope.studies.audit.settings import Settings
from augscope.studies.audit.study import prepare

torch.set_num_threads(1)  # small batches in parallel test processes: more threads only wait for each other

MINE = """
import numpy as np
import torch

class Net(torch.nn.Sequential):
    def __init__(self, num_classes, channels, size):
        layers = torch.nn.Linear(channels * size**2, 9), torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(9, num_classes)
        super().__init__(torch.nn.Flatten(), *layers)

def paper(images, labels, alpha=1.0):
    "As in most papers' programs."
    weight = np.random.beta(alpha, alpha)
    order = torch.randperm(len(images))
    high = int(images.shape[2] * (1 - weight))
    images[:, :, :high] = images[order, :, :high]
    return images, labels, labels[order], 1 - high / images.shape[2]

def erase(image: np.ndarray):
    "One image of levels (H, W, C)."
    if image.dtype != np.uint8 or image.shape[2] > 3:
        raise TypeError("levels, channels last")
    image = image.copy()
    image[:4] = 0
    return image

class Half:
    "The label stays the image's own, whatever is pasted: no share."
    def __init__(self, num_classes):
        self.num_classes = num_classes
    def __call__(self, images, labels):
        mixed = images.clone()
        width = int(torch.randint(1, images.shape[3], ()))
        mixed[..., :width] = images.roll(1, 0)[..., :width]
        return mixed, torch.nn.functional.one_hot(labels, self.num_classes).float()

def square(images):
    "It takes images of 8 × 8 pixels alone."
    images = images.clone()
    places = torch.rand(len(images), 1, 8, 8).flatten(1).argsort(1).view(-1, 1, 8, 8) < 20
    return torch.where(places, 0, images)

def fails(images, labels):
    raise RuntimeError("not today")
"""


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    path = tmp_path_factory.mktemp("methods") / "mine.py"
    path.write_text(MINE)
    return str(path)


def trained(mine: str, method: str, seed: int = 1, size: int = 8, channels: int = 2) -> TrainedNetwork:
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (48, channels, size, size), dtype=torch.uint8, generator=generator)
    plan = TrainingPlan(model=f"{mine}:Net()", method=method, steps=6, batch_size=16, seed=seed)
    return train_network(plan, images, torch.arange(48) % 2, num_classes=2)


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


class TestTrainings:
    @pytest.mark.parametrize(
        ("name", "path"),
        [
            ("cutmix-box", "BoxCutMix()"),
            ("cutmix-patch", "PatchCutMix()"),
            ("cutout-box", "BoxCutout(size=4)"),
            ("cutout-patch", "PatchCutout(num_cut=4)"),
            ("mixup", "Mixup()"),
        ],
    )
    def test_ours_give_the_same_bits_by_path_and_by_name(self, name, path, mine):
        assert same(trained(mine, name).model, trained(mine, f"augscope.images:{path}").model)

    @pytest.mark.parametrize("name", ["paper", "erase", "Half"])
    def test_a_seed_decides_every_form_and_leaves_no_trace(self, name, mine):
        before = global_states()
        one = trained(mine, f"{mine}:{name}", channels=3)
        assert global_states() == before
        seed_globals(6)
        assert same(one.model, trained(mine, f"{mine}:{name}", channels=3).model)
        assert not same(one.model, trained(mine, f"{mine}:{name}", seed=2, channels=3).model)
        assert not same(one.model, trained(mine, "erm", channels=3).model)

    def test_levels_are_as_they_are_stored(self, mine):
        """Erasing above, as a transform of bytes: the same as training on images that are erased above."""
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (32, 3, 8, 8), dtype=torch.uint8, generator=generator)
        images[:, :, :4] = 0
        plans = [TrainingPlan(model=f"{mine}:Net()", method=m, steps=3, batch_size=8) for m in ("erm", f"{mine}:erase")]
        networks = [train_network(plan, images, torch.arange(32) % 2, num_classes=2) for plan in plans]
        assert same(*(network.model for network in networks))

    @pytest.mark.parametrize(
        ("path", "sentence"),
        [
            (":fails", "`methods` cannot be trained with, got .* raised RuntimeError: not today"),
            (":nothing", "`methods` could not be imported, got .* has no 'nothing'"),
            (":Half(num_classes=5)", r"labels of shape \(N, 2\), got .*Half.* with \(16, 2, 8, 8\) and \(16, 5\)"),
        ],
    )
    def test_what_cannot_be_trained_with(self, path, sentence, mine):
        with pytest.raises(ValueError, match=sentence):
            trained(mine, f"{mine}{path}")


class TestLaws:
    def test_a_law_that_fails_is_said_and_one_that_cannot_be_checked_too(self, mine):
        half, square = laws_of(("erm", f"{mine}:Half", f"{mine}:square", "mixup"), 2, (1, 8, 8)).values()
        assert "1 of 11 claimed properties fail: labels are not mixed" in half.sentence
        rules = {rule.name: rule.verdict for rule in half.rules}
        assert (rules["label weight = pixel share"], rules["law of the share"]) == ("fails", "reported")
        assert "every claimed property holds" in square.sentence

    def test_a_check_that_takes_long_is_left_out(self, tmp_path):
        code = "import time, torch\ndef slow(image):\n    time.sleep(0.01)\n    at = int(torch.randint(4, ()))\n"
        (tmp_path / "slow.py").write_text(code + "    image[:, at:6, at:6] = 0\n    return image\n")
        (law,) = laws_of([f"{tmp_path / 'slow.py'}:slow"], 2, (1, 8, 8)).values()
        assert "not checked, as that would take about" in law.sentence
        assert law.rules == ()


def test_the_command_compares_what_it_is_given(mine, tmp_path, capsys):
    path = planted(tmp_path, common=12, test=12)
    line = ["images", "audit", str(path), "--model", f"{mine}:Net()", "--out", str(tmp_path / "out"), "--json"]
    line += [*shlex.split("--steps 2 --seeds 2 --pairs"), f"{mine}:Half vs mixup"]
    assert app([*line, "--methods", f"erm,mixup,{mine}:Half"], exit_on_error=False, print_error=False) == 0
    printed = capsys.readouterr()
    record = json.loads(printed.out)
    named = [(row["method"], row["baseline"]) for row in record["comparisons"][::4]]
    assert named == [("mixup", "erm"), (f"{mine}:Half", "erm"), (f"{mine}:Half", "mixup")]
    assert record["exposure"].keys() == {"erm", "mixup"}
    law = record["laws"][f"{mine}:Half"]
    assert "labels are not mixed" in law["sentence"]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.index("What the methods given by import path do") < page.index(law["rules"][0]["evidence"])
    assert "label weight = pixel share (fails)" in " ".join(printed.err.split())
    words = ["images", "compare", str(tmp_path / "out" / "predictions.parquet"), "--pairs", f"{mine}:Half vs mixup"]
    assert app([*words, "--json"], exit_on_error=False, print_error=False) == 0
    assert json.loads(capsys.readouterr().out)["comparisons"] == record["comparisons"]


def test_another_code_is_another_training(tmp_path):
    planted(tmp_path, common=4, test=4)
    code = tmp_path / "mix.py"
    code.write_text("def mix(images, labels):\n    return images.flip(0).add(images) / 2, labels\n")
    options = {"model": f"{tmp_path / 'patchnet.py'}:PatchNet()", "seeds": (0, 1), "steps": 1, "batch_size": 8}
    settings = Settings(**options, methods=("erm", f"{code}:mix"))
    study = prepare(read_data(tmp_path / "data.csv"), settings)
    kept, identity = kept_trainings(tmp_path / "kept", study, "cpu"), study.identity
    train_all(study, remaining(study, kept, "cpu"), kept, lambda *_: None)
    assert remaining(study, kept, "cpu").plans == ()
    code.write_text("def mix(images, labels):\n    return (images.flip(0) + images) / 2, labels\n")
    again = prepare(study.data, settings)
    assert [plan.method for plan in remaining(again, kept, "cpu").plans] == [f"{code}:mix"] * 2
    assert again.identity != identity


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        ("mixup", "`pairs` must each be two of erm, mixup as `one vs other`, got 'mixup'"),
        ("mixup vs mixup", "`pairs` must each be two of"),
        ("mixup vs cutmix-box", "`pairs` must each be two of"),
        ("erm vs mixup", "`pairs` must name each comparison once, got 'erm vs mixup' again"),
    ],
)
def test_pairs_that_are_none(pairs, sentence):
    with pytest.raises(ValueError, match=sentence):
        Settings(methods=("erm", "mixup"), pairs=(pairs,))
