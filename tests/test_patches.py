"""Patches of one's own: trained as drawn ones are, measured by what needs no feature, and by the test points."""

from __future__ import annotations

import csv
import json
import os
import re
from dataclasses import replace

import jax
import numpy as np
import pytest
from commands import run_here

import augscope as ag

RNG = np.random.default_rng(0)
LABELS = np.tile([1, -1], 15)
PATCHES = RNG.normal(0, 0.3, (30, 3, 8))
PATCHES[:, 0, 0] += LABELS
TEST_PATCHES, TEST_LABELS = PATCHES[::-1] + RNG.normal(0, 0.5, (30, 3, 8)), LABELS[::-1]
DATA = ag.dataset_from_patches(PATCHES, LABELS, test_patches=TEST_PATCHES, test_labels=TEST_LABELS)
SHARED = ("loss", "gradient_norm", "unevenness", "plateau", "excess_loss", "margin", "augmented_margin")


def trained(data, method, **changes):
    return ag.train(data, ag.Network(), method, **{"step_size": 0.5, "num_steps": 30, **changes})


@pytest.mark.parametrize("method", [ag.Erm(), ag.Cutout(), ag.CutMix(), ag.Mixup()], ids=lambda method: method.title)
def test_drawn_patches_are_trained_as_the_sample_itself(method, distribution, network, without_accuracy):
    """Two routes to one descent: the filters themselves, and coefficients on features and noise (identity 6.7)."""
    sample = ag.sample_dataset(jax.random.key(1), distribution, num_samples=30, init_std=0.05, coordinates="dense")
    own = ag.dataset_from_patches(sample.patches, sample.labels)
    own = replace(own, initial_weights=sample.initial_weights)
    by_filters, by_coefficients = trained(own, method), trained(sample, method)
    # 30 steps in another order of sums, of order 1: some hundred roundings.
    np.testing.assert_allclose(by_filters.weights, by_coefficients.weights, rtol=0, atol=1e-13)
    for name in SHARED:
        measured = getattr(by_filters.history, name)
        np.testing.assert_allclose(measured, getattr(by_coefficients.history, name), rtol=0, atol=1e-11, err_msg=name)
    assert np.isnan(by_filters.history.accuracy).all()


def test_accuracy_is_the_share_of_the_test_points(network):
    run = trained(DATA, ag.Cutout())
    z = np.einsum("hd,npd->hnp", run.weights, TEST_PATCHES)
    active = np.asarray(run.network.activation(z))
    right = TEST_LABELS * (active[0] - active[1]).sum(axis=1) > 0
    assert 0.5 < right.mean() < 1
    assert run.history.accuracy[-1] == right.mean()
    assert run.history.accuracy_per_label[-1].tolist() == [right[label == TEST_LABELS].mean() for label in (1, -1)]
    assert run.history.accuracy[0] == 0  # at W = 0 every score is 0, an error for both labels


def test_drawn_steps_and_the_flow_take_them_too():
    sampling = ag.Sampling(batch_size=10)
    first, again = (trained(DATA, ag.CutMix(), sampling=sampling).weights for _ in range(2))
    assert np.array_equal(first, again)
    whole = trained(DATA, ag.Erm(), sampling=ag.Sampling(batch_size=None))
    assert np.array_equal(whole.weights, trained(DATA, ag.Erm()).weights)
    flow = ag.flow(DATA, ag.Network(), ag.Erm(), until=1.0, record_at=[1.0])
    descent = trained(DATA, ag.Erm(), step_size=1e-3, num_steps=1_000)
    # Descent strays from the flow by η/2 times its bend, here by less than the step size itself.
    np.testing.assert_allclose(flow.weights, descent.weights, rtol=0, atol=1e-3)


def test_a_checkpoint_is_of_these_points(tmp_path):
    path = tmp_path / "descent.npz"
    whole = trained(DATA, ag.Erm(), checkpoint=path)
    assert np.array_equal(trained(DATA, ag.Erm(), checkpoint=path).weights, whole.weights)
    other = replace(DATA, test_labels=-DATA.test_labels)
    with pytest.raises(ValueError, match="must be of this configuration"):
        trained(other, ag.Erm(), checkpoint=path)


def test_results_show_themselves(tmp_path):
    run = trained(DATA, ag.CutMix())
    assert "30×3×8 patches of your own, 30 test points" in str(run)
    assert list(run.history.to_pandas().columns[-3:]) == ["accuracy", "accuracy_per_label[0]", "accuracy_per_label[1]"]
    axes = run.plot()
    np.testing.assert_array_equal(axes[1, 0].lines[0].get_ydata(), run.history.accuracy)
    with pytest.raises(ValueError, match="of own patches keep the arrays"):
        run.save(tmp_path / "run.npz")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"patches": PATCHES[:, 0]}, "`patches` must be numbers of shape (n, P, d), got float64 of (30, 8)"),
        ({"patches": PATCHES.astype(str)}, "`patches` must be numbers of shape (n, P, d), got <U"),
        ({"patches": PATCHES[:, :0]}, "`patches` must have P ≥ 1 and d ≥ 1"),
        ({"patches": np.where(PATCHES > 0.9, np.nan, PATCHES)}, "`patches` must be finite"),
        ({"labels": LABELS[:-1]}, "`labels` must have shape (30,), got (29,)"),
        ({"labels": np.arange(30) % 2}, "`labels` must be +1 or −1, got [0, 0, 0]"),
        ({"labels": np.ones(30)}, "`labels` must hold both +1 and −1, got [1]"),
        ({"test_patches": TEST_PATCHES[:, :2]}, "`test_patches` must have P and d of `patches`, (3, 8), got (2, 8)"),
        ({"test_labels": None}, "`test_patches` and `test_labels` go together"),
        ({"init_std": -1.0}, "`init_std` must be at least 0, got -1.0"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(changes, sentence):
    arguments = {
        "patches": PATCHES,
        "labels": LABELS,
        "test_patches": TEST_PATCHES,
        "test_labels": TEST_LABELS,
        **changes,
    }
    with pytest.raises(ValueError, match=re.escape(sentence)):
        ag.dataset_from_patches(**arguments)


ARRAYS = {"patches": PATCHES, "labels": LABELS, "test_patches": TEST_PATCHES, "test_labels": TEST_LABELS}
QUICK = ("--methods", "erm,cutmix", "--num-steps", "5", "--step-size", "0.5", "--init-std", "0")


class TestCommand:
    @pytest.fixture
    def file(self, tmp_path):
        np.savez(tmp_path / "own.npz", **ARRAYS)
        return tmp_path / "own.npz"

    def test_it_trains_as_the_library_does(self, file, tmp_path):
        done = run_here("train", "--patches", file, *QUICK, "--out", tmp_path / "out", "--json")
        assert done.returncode == 0, done.stderr
        record = json.loads(done.stdout)
        for row, method in zip(record["runs"], (ag.Erm(), ag.CutMix()), strict=True):
            run = trained(DATA, method, num_steps=5)
            assert (row["method"], row["status"]) == (method.title, "completed 5 steps")
            assert row["test accuracy"] == run.history.accuracy[-1]
            assert row["loss"] == run.history.loss[-1]
        assert record == json.loads((tmp_path / "out" / "record.json").read_text())
        rows = list(csv.DictReader((tmp_path / "out" / "history.csv").read_text().splitlines()))
        assert float(rows[-1]["accuracy"]) == run.history.accuracy[-1]
        assert {path.name for path in (tmp_path / "out").iterdir()} == {
            "record.json",
            "curves.svg",
            "curves.png",
            "history.csv",
        }

    @pytest.mark.parametrize(
        ("kind", "reason"), [("pipe", "it is no file"), ("folder", "it is a folder"), ("", "No such")]
    )
    def test_a_file_that_is_none_is_refused(self, kind, reason, tmp_path):
        if kind:
            {"pipe": os.mkfifo, "folder": os.mkdir}[kind](tmp_path / "own.npz")
        refused = run_here("train", "--patches", tmp_path / "own.npz", *QUICK)
        assert refused.returncode == 2
        assert f"`patches` must be a readable file, got {tmp_path / 'own.npz'}: {reason}" in refused.stderr

    @pytest.mark.parametrize(
        ("arrays", "options", "sentence"),
        [
            ({**ARRAYS, "extra": LABELS}, (), "must be an .npz with the arrays patches and labels"),
            ({"labels": LABELS}, (), "must be an .npz with the arrays patches and labels"),
            ({**ARRAYS, "labels": 2 * LABELS}, (), "`labels` must be +1 or −1, got [2, -2, 2]"),
            ({**ARRAYS, "patches": np.array([{}])}, (), "`patches` must be a whole checkpoint file"),
            (ARRAYS, ("--dim", "50"), "`dim` describes the paper's data or its limits"),
            (ARRAYS, ("--num-cut", "3", "--methods", "cutout"), "`num_cut` must be in [1, P), got 3 with P = 3"),
            (ARRAYS, ("--checkpoint", "kept"), "`checkpoint` keeps runs on the paper's data"),
            (ARRAYS, ("--batch-size", "31"), "`batch_size` must be"),
        ],
    )
    def test_what_does_not_fit_is_refused_before_any_work(self, arrays, options, sentence, tmp_path):
        np.savez(tmp_path / "own.npz", **arrays)
        refused = run_here("train", "--patches", tmp_path / "own.npz", *QUICK[2:], *options, "--out", tmp_path / "out")
        assert refused.returncode == 2
        assert sentence in refused.stderr
        assert not (tmp_path / "out").exists()
