"""`augscope images cscore` from end to end: files, resumption, and bad usage found before any training."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
import torch
from cscore_cases import write_batches, write_scores

from augscope.cli import main
from augscope.images.cscores import trainings as trainings_module
from augscope.images.cscores.page import FILES
from augscope.images.cscores.trainings import Trainer

torch.set_num_threads(1)  # small batches in parallel test processes: more threads only wait for each other


def run(*words: object) -> int:
    """The command line's exit status."""
    with pytest.raises(SystemExit) as ended:
        main(["images", "cscore", *map(str, words)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


LITTLE = ("--steps", "4", "--batch-size", "8", "--device", "cpu")
QUICK = (*LITTLE, "--seeds", "2")


@pytest.fixture
def cifar(tmp_path):
    """A folder of small batches, and their scores."""
    _, labels = write_batches(tmp_path / "cifar")
    write_scores(tmp_path / "scores.npz", labels)
    return tmp_path


@pytest.fixture
def trained(monkeypatch) -> list[str]:
    """The titles of the trainings that are made."""
    titles, train = [], Trainer.train

    def noted(self, plan, progress=None):
        titles.append(plan.title)
        return train(self, plan, progress)

    monkeypatch.setattr(Trainer, "train", noted)
    return titles


@pytest.fixture(autouse=True)
def few_timed_steps(monkeypatch) -> None:
    monkeypatch.setattr(trainings_module, "TIMED_STEPS", 2)


class TestCommand:
    def test_cifar_with_the_published_scores(self, cifar, capsys, trained):
        out = cifar / "out"
        words = ("--data", cifar / "cifar", "--scores", cifar / "scores.npz", *QUICK, "--out", out, "--json")
        assert run(*words) == 0
        shown = capsys.readouterr()
        told = json.loads(shown.out)
        assert [method["title"] for method in told["methods"]] == ["ERM", "Cutout (box)", "CutMix (box)"]
        assert told["c_scores"] == "given"
        assert len(trained) == 6
        assert "6 trainings of 4 steps: about" in shown.err
        assert {path.name for path in out.iterdir()} == {*FILES, "trainings"} - {"cscores.npz"}
        rows = (out / "misclassified.csv").read_text().splitlines()[1:]
        assert len(rows) == sum(sum(method["misclassified"]) for method in told["methods"])
        scores = np.load(cifar / "scores.npz")["scores"]
        for row in rows:
            index, score = row.split(",")[2], row.split(",")[5]
            assert float(score) == pytest.approx(float(scores[int(index)]), abs=1e-6)
        page = (out / "report.html").read_text()
        assert "prefers-color-scheme" in page
        assert 'download="misclassified.csv"' in page

    def test_it_goes_on_where_it_stood_with_the_same_bits(self, cifar, capsys, monkeypatch, trained):
        words = ("--data", cifar / "cifar", "--scores", cifar / "scores.npz", *QUICK, "--json")
        assert run(*words, "--out", cifar / "whole") == 0
        whole = json.loads(capsys.readouterr().out)
        trained.clear()
        counting = Trainer.train

        def interrupted(self, plan, progress=None):
            if len(trained) == 2:
                raise KeyboardInterrupt
            return counting(self, plan, progress)

        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "train", interrupted)
            assert run(*words, "--out", cifar / "cut") == 3
        assert "what finished is kept in" in capsys.readouterr().err
        assert not (cifar / "cut" / "record.json").exists()
        assert run(*words, "--out", cifar / "cut") == 0
        shown = capsys.readouterr()
        assert json.loads(shown.out) == whole
        assert "4 trainings of 4 steps (2 more are kept)" in shown.err
        assert len(trained) == 2 + 4
        for name in ("misclassified.csv", "cscores.svg", "table.csv"):
            assert (cifar / "cut" / name).read_bytes() == (cifar / "whole" / name).read_bytes()

    def test_more_seeds_find_what_was_made(self, cifar, trained):
        words = ("--data", cifar / "cifar", "--scores", cifar / "scores.npz", *LITTLE, "--out", cifar / "out")
        assert run(*words, "--seeds", "2") == 0
        trained.clear()
        assert run(*words, "--seeds", "3") == 2  # another study, so its files would be replaced
        assert not trained
        assert run(*words, "--seeds", "3", "--overwrite") == 0
        assert trained == ["ERM, seed 2", "Cutout (box), seed 2", "CutMix (box), seed 2"]

    def test_a_damaged_training_is_named(self, cifar, capsys, trained):
        words = ("--data", cifar / "cifar", "--scores", cifar / "scores.npz", *QUICK, "--out", cifar / "out")
        assert run(*words) == 0
        trained.clear()
        part = sorted((cifar / "out" / "trainings").iterdir())[0]
        other = sorted((cifar / "out" / "trainings").iterdir())[1].read_bytes()
        for content, said in (
            (part.read_bytes()[:-30], "be a whole checkpoint file"),
            (other, "be of this configuration"),
        ):
            part.write_bytes(content)
            capsys.readouterr()
            assert run(*words) == 2
            told = capsys.readouterr().err
            assert said in told
            assert part.name in told
        assert not trained

    def test_digits_whose_scores_are_estimated(self, tmp_path, capsys, trained):
        out = tmp_path / "out"
        words = ("--data", "digits", "--methods", "erm,cutmix-patch", "--hold-out", "0.9", "--fractions", "0.5,0.6")
        words += ("--trainings", "3", *QUICK)
        assert run(*words, "--out", out) == 0
        shown = capsys.readouterr()
        assert "The C-scores were estimated here by ERM, 3 trainings at each of the fractions 0.5, 0.6" in " ".join(
            shown.out.split()
        )
        assert len(trained) == 6 + 4
        # The scores that it wrote can be given: the same study, but for where they come from.
        assert run(*words, "--scores", out / "cscores.npz", "--out", tmp_path / "given") == 0
        assert (tmp_path / "given" / "misclassified.csv").read_bytes() == (out / "misclassified.csv").read_bytes()

    def test_the_command_in_the_record_makes_it_again(self, cifar, capsys):
        words = ("--data", cifar / "cifar", "--scores", cifar / "scores.npz", *LITTLE, "--seeds", "7,", "--json")
        assert run(*words, "--out", cifar / "out") == 0
        told = json.loads(capsys.readouterr().out)
        again = shlex.split(json.loads((cifar / "out" / "record.json").read_text())["again"])
        assert run(*again[3:], "--json") == 0
        assert json.loads(capsys.readouterr().out) == told

    def test_over_an_hour_needs_yes(self, cifar, capsys, monkeypatch, trained):
        monkeypatch.setattr(Trainer, "seconds", lambda self, plans: 7200.0)
        words = ("--data", cifar / "cifar", "--scores", cifar / "scores.npz", *QUICK)
        assert run(*words) == 2
        assert "`yes` must be given for what takes over an hour. 6 trainings" in capsys.readouterr().err
        assert not trained
        assert run(*words, "--yes") == 0

    def test_a_training_that_diverges_is_named(self, cifar, capsys, monkeypatch):
        def diverge(*_, **__):
            raise trainings_module.Diverged("the loss is nan at step 3")

        monkeypatch.setattr(Trainer, "seconds", lambda self, plans: 1.0)
        monkeypatch.setattr(trainings_module, "fit", diverge)
        assert run("--data", cifar / "cifar", "--scores", cifar / "scores.npz", *QUICK) == 2
        assert "augscope: ERM, seed 0: the loss is nan at step 3\n" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (("--hold-out", "0"), "`hold_out` must be above 0 and below 1"),
            (("--hold-out", "1"), "`hold_out` must be above 0 and below 1"),
            (("--hold-out", "0.001"), "`hold_out` must leave points of every class"),
            (("--methods", "erm,erm"), "`methods` must differ"),
            (("--methods", "erm,mixup"), "got 'mixup'"),
            (("--methods", ""), "got ''"),
            (("--scored-by", "mixup"), "got 'mixup'"),
            (("--methods", "cutmix-patch", "--grid", "3"), "`grid` must"),
            (("--methods", "cutout-patch", "--num-cut", "16"), "`num_cut` must be in [1, P)"),
            (("--seeds", "0"), "`seeds` must be at least one"),
            (("--seeds", "3,3"), "`seeds` must differ"),
            (("--seeds", "1000000000,"), "`seeds` must be from 0"),
            (("--steps", "0"), "`steps` must be at least 1"),
            (("--batch-size", "0"), "`batch_size` must be at least 1"),
            (("--learning-rate", "0"), "`learning_rate` must be above 0"),
            (("--alpha", "0"), "`alpha` must be"),
            (("--box", "0"), "`box` must be at least 1"),
            (("--model", "nonsense"), "`model` must be"),
            (("--device", "nonsense"), "`device` must be"),
            (("--scores", "nowhere.npz"), "`scores` must be a readable file"),
            (("--data", "nowhere"), "`data` must be digits or a folder"),
        ],
    )
    def test_bad_usage_is_one_sentence_before_any_training(self, cifar, capsys, trained, words, sentence):
        given = {"--data": cifar / "cifar", "--scores": cifar / "scores.npz", "--out": cifar / "out", "--seeds": 2}
        given |= dict(zip(words[::2], words[1::2], strict=True))
        assert run(*(word for pair in given.items() for word in pair)) == 2
        said = capsys.readouterr().err
        assert said.startswith("augscope: ")
        assert sentence in said
        assert said.count("\n") == 1
        assert not trained
        assert not (cifar / "out").exists()
