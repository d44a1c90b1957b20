"""examples/cscores.py as it is run, its readers, and the commands that docs/cscores.md shows."""

from __future__ import annotations

import pickle
import re
import runpy
import shlex
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from augscope.images import TrainingOptions

torch.set_num_threads(1)  # small batches in parallel test processes: more threads only wait for each other

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "examples" / "cscores.py"
EXAMPLE = Namespace(**runpy.run_path(str(SCRIPT)))
DOCS = (ROOT / "docs" / "cscores.md").read_text(encoding="utf-8")  # "cscores.md" of `test_docs.ELSEWHERE`
SHOWN = [line for block in re.findall(r"```console\n(.*?)```", DOCS, re.S) for line in block.splitlines()]


def write_batches(folder: Path, count: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Write five batches of CIFAR-10's binary version; return all images (n, 3, 32, 32) and labels in order."""
    folder.mkdir(parents=True, exist_ok=True)
    generator, parts = np.random.default_rng(0), []
    for number in range(1, 6):
        labels = generator.permutation(np.arange(count, dtype=np.uint8) % 10)
        records = np.column_stack([labels, generator.integers(0, 256, (count, 3072), dtype=np.uint8)])
        (folder / f"data_batch_{number}.bin").write_bytes(records.tobytes())
        parts.append(records)
    records = np.concatenate(parts)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64)


def digits_file(path: Path, count: int, wrong: slice = slice(0)) -> Path:
    """The first digits as arrays in an .npz, some with the label of another digit."""
    images, labels = EXAMPLE.read_data("digits")
    labels = labels[:count].copy()
    labels[wrong] = (labels[wrong] + 1) % 10
    np.savez(path, images=images[:count], labels=labels)
    return path


def test_digits_from_the_command_line(tmp_path, monkeypatch, capsys):
    """The table is what the kept predictions say; a second run finds them, and prints the same."""
    _, labels = EXAMPLE.read_data("digits")
    scores = np.random.default_rng(0).random(len(labels))
    np.savez(tmp_path / "given.npz", labels=labels, scores=scores)
    words = ["--data", "digits", "--scores", tmp_path / "given.npz", "--seeds", 2, "--steps", 2]
    words = [str(word) for word in (*words, "--device", "cpu", "--out", tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *words])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    printed = capsys.readouterr().out
    rows = {line.split(" | ")[0]: line.split(" | ") for line in printed.splitlines() if line.startswith("| ")}
    assert list(rows)[2:] == ["| erm", "| cutout-box", "| cutmix-box"]
    means = []
    for seed in range(2):
        held_out = EXAMPLE.hold_out(labels, 0.2, seed)
        predicted = np.load(tmp_path / "out" / "trainings" / f"seed-{seed}-cutmix-box.npz")["predicted"]
        means.append(scores[held_out][predicted != labels[held_out]].mean())
    assert rows["| cutmix-box"][3].startswith(f"{np.mean(means):.3f} [")
    assert (tmp_path / "out" / "cscores.png").read_bytes().startswith(b"\x89PNG")
    EXAMPLE.main(EXAMPLE.options(words))
    assert capsys.readouterr().out == printed


class TestEstimate:
    @pytest.mark.parametrize(("count", "fraction", "trainings"), [(101, 0.9, 11), (100, 0.25, 5), (50, 0.1, 2)])
    def test_points_are_left_out_equally_often(self, count, fraction, trainings):
        parts = EXAMPLE.arcs(count, fraction, trainings)
        times = np.bincount(np.concatenate(parts), minlength=count)
        assert [len(set(part.tolist())) for part in parts] == [count - round(fraction * count)] * trainings
        assert 1 <= times.min() <= times.max() <= times.min() + 1

    def test_too_few_trainings(self):
        with pytest.raises(ValueError, match="`trainings` must be at least 11, to leave each point out, got 10"):
            EXAMPLE.arcs(101, 0.9, 10)

    def test_scores_against_plain_loops(self):
        """Answers drawn at random in place of trained networks."""
        generator, answers = np.random.default_rng(1), []

        def right(plan, held_out):
            answers.append((held_out.tolist(), generator.random(len(held_out)) < 0.6))
            return answers[-1][1]

        study = Namespace(labels=np.zeros(23), options=TrainingOptions(), right=right)
        scores, reliability = EXAMPLE.estimated_scores(study, "erm", 6, (0.3, 0.6))
        assert -1 <= reliability <= 1
        for point in range(23):
            shares = []
            for part in (answers[:6], answers[6:]):
                rights = [bool(row[held.index(point)]) for held, row in part if point in held]
                shares.append(sum(rights) / len(rights))
            assert scores[point] == pytest.approx(sum(shares) / 2, abs=1e-15)  # sums of two rounded shares

    @pytest.mark.slow  # trains many networks
    def test_mislabelled_digits_have_low_scores(self, tmp_path):
        """Real training: 12 of 600 digits get a wrong label, and are the ones that no other digit speaks for."""
        path = digits_file(tmp_path / "digits.npz", 600, slice(0, 600, 50))
        study = EXAMPLE.Study(EXAMPLE.options(["--data", str(path), "--steps", "50"]))
        scores, _ = EXAMPLE.estimated_scores(study, "erm", 4, (0.5,))
        wrong = np.arange(0, 600, 50)
        assert scores[wrong].mean() < 0.2
        assert np.delete(scores, wrong).mean() > 0.85


def test_differences_are_paired_and_corrected(capsys):
    generator = np.random.default_rng(0)
    missed = {
        name: np.sort(generator.random((6, 5)) + shift, axis=0) for name, shift in (("a", 0), ("b", 0.3), ("c", 0))
    }
    EXAMPLE.print_differences(missed)
    means = {name: values.mean(axis=1) for name, values in missed.items()}
    p_values = {
        f"{x} − {y}": stats.ttest_rel(means[x], means[y]).pvalue for x, y in (("a", "b"), ("a", "c"), ("b", "c"))
    }
    largest = 0.0
    for line, (left, (pair, p_value)) in zip(
        capsys.readouterr().out.splitlines(),
        enumerate(sorted(p_values.items(), key=lambda item: item[1])),
        strict=True,
    ):
        largest = max(largest, min(1, (3 - left) * p_value))
        assert line.startswith(f"{pair}: ")
        assert line.endswith(f"p = {largest:.3g} after Holm")


class TestReaders:
    def test_five_batches_come_in_order(self, tmp_path):
        images, labels = write_batches(tmp_path / "cifar-10-batches-bin")
        read_images, read_labels = EXAMPLE.read_data(str(tmp_path))
        np.testing.assert_array_equal(read_images, images)
        np.testing.assert_array_equal(read_labels, labels)

    @pytest.mark.parametrize("name", ["data_batch_1", "batches.meta", "cifar-10-batches-py/data_batch_1"])
    def test_pickles_are_named_and_not_opened(self, tmp_path, name):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pickle.dumps({"data": 1}))
        with pytest.raises(ValueError, match=r"CIFAR's Python version, .* take the binary version, or load it .*savez"):
            EXAMPLE.read_data(str(tmp_path))

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            (lambda path: path.unlink(), r"without \['data_batch_3.bin'\]"),
            (lambda path: path.write_bytes(path.read_bytes()[:-1]), "as many whole images"),
            (lambda path: path.write_bytes(path.read_bytes()[:-3073]), "as many whole images"),
            (lambda path: path.write_bytes(b"\x0b" + path.read_bytes()[1:]), "labels from 0 to 9"),
        ],
    )
    def test_bad_batches(self, tmp_path, change, sentence):
        write_batches(tmp_path)
        change(tmp_path / "data_batch_3.bin")
        with pytest.raises(ValueError, match=sentence):
            EXAMPLE.read_data(str(tmp_path))

    @pytest.mark.parametrize(
        ("arrays", "sentence"),
        [
            ({"labels": [0, 1, 2]}, "must be an .npz with arrays labels, scores"),
            ({"labels": [0, 1], "scores": [0.1, 0.2]}, "must be of 3 images"),
            ({"labels": [0, 1, 2], "scores": [0.1, 0.2, np.nan]}, r"must be in \[0, 1\]"),
            ({"labels": [0, 2, 1], "scores": [0.1, 0.2, 0.3]}, "in the order of the images, got .* differ at .1."),
            ({"labels": [0, 1, 2], "scores": np.array([{}, 1, 2])}, "allow_pickle=False"),
        ],
    )
    def test_bad_scores(self, tmp_path, arrays, sentence):
        np.savez(tmp_path / "scores.npz", **arrays)
        with pytest.raises(ValueError, match=sentence):
            EXAMPLE.read_scores(tmp_path / "scores.npz", np.arange(3))

    def test_what_is_no_archive(self, tmp_path):
        for content in (b"", b"text", pickle.dumps([1]), b"PK\x03\x04 cut off"):
            (tmp_path / "scores.npz").write_bytes(content)
            with pytest.raises(ValueError, match=r"`scores` must be an \.npz with arrays labels, scores, got"):
                EXAMPLE.read_scores(tmp_path / "scores.npz", np.arange(3))
        with pytest.raises(ValueError, match=r"`data` must be an \.npz with arrays images, labels, got"):
            EXAMPLE.read_data(str(tmp_path / "nowhere.npz"))


def test_there_are_commands_to_check():
    assert len(SHOWN) == 4


@pytest.mark.parametrize("line", SHOWN)
def test_the_shown_commands_make_a_study(line, monkeypatch, tmp_path):
    """Everything up to the first training, with small files in place of the full ones."""
    monkeypatch.chdir(tmp_path)
    _, labels = write_batches(tmp_path / "cifar-10-batches-bin", 40)
    np.savez(tmp_path / "cifar10-cscores-orig-order.npz", labels=labels, scores=np.full(len(labels), 0.5))
    words = shlex.split(line.replace("--device cuda", "--device cpu"))
    assert words[:2] == ["python", "examples/cscores.py"]
    chosen = EXAMPLE.options(words[2:])
    study = EXAMPLE.Study(chosen)
    assert study.kept.folder == chosen.out / "trainings"
    if chosen.scores is not None:
        assert EXAMPLE.read_scores(chosen.scores, study.labels).shape == study.labels.shape
