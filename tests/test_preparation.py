"""What is checked before anything runs: once, whole, and with what it will take."""

from __future__ import annotations

import threading

import pytest

import augscope as ag
from augscope.model import sampling
from augscope.support.command_line import command_line, parse_names, read_seeds, seeds_text
from augscope.theorems import verification
from augscope.theorems.verification import prepare
from augscope.training.preparation import prepare_runs

QUICK = ag.presets.theorem.replace(methods=("erm",), num_samples=20, num_steps=3)


def test_finished_runs_are_read_once(tmp_path):
    first, _ = prepare_runs(QUICK, [3, 1], tmp_path).run()
    prepared = prepare_runs(QUICK, [3, 1], tmp_path)
    assert (prepared.cost.num_kept, prepared.cost.num_runs) == (2, 0)
    for file in tmp_path.glob("seed-*"):
        file.unlink()
    again, interrupted = prepared.run()
    assert not interrupted
    assert [(run.seed, run.history.loss.tolist()) for run in again] == [
        (run.seed, run.history.loss.tolist()) for run in first
    ]


def test_verify_is_prepare_and_run():
    verification = prepare(QUICK, [0], tolerance=0.02)
    assert verification.cost.num_runs == 1
    assert str(verification.run()) == str(ag.verify(QUICK, [0], tolerance=0.02))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"seeds": []}, "`seeds` must hold at least one seed"),
        ({"seeds": [0], "tolerance": 0.5}, r"`tolerance` must be in \(0, 0.5\), got 0.5"),
        ({"seeds": [0], "rarity_tolerance": 0.0}, r"`rarity_tolerance` must be in \(0, 0.5\), got 0.0"),
        ({"seeds": [0], "until": -1.0}, "`until` must be above 0"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(given, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        prepare(QUICK, checkpoint=tmp_path / "kept", **given)
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("seeds", [(0,), (7,), (0, 1, 2), (3, 5, 8), (1, 0)])
def test_seeds_read_back_from_their_text(seeds):
    assert read_seeds(seeds_text(seeds)) == seeds


def test_a_list_may_end_in_a_comma_everywhere():
    assert parse_names("methods", "erm, cutout,") == ("erm", "cutout")
    with pytest.raises(ValueError, match="`methods` must be comma-separated names, got ','"):
        parse_names("methods", ",")


def test_a_command_line_is_quoted_for_a_shell():
    options = {"json": True, "yes": False, "out": None, "where": "seed = 0", "frequencies": (0.8, 0.2)}
    line = command_line("images audit", "my images", options=options)
    assert line == "augscope images audit 'my images' --json --where 'seed = 0' --frequencies 0.8,0.2"


def test_a_population_that_does_not_fit_is_refused_before_any_work(monkeypatch):
    """The limit is judged beside the runs: what it needs is asked for before them. One run takes 32 MB here, the types 1.2 GB."""
    many = QUICK.distribution.replace(frequencies=(1 / 1_000,) * 1_000, rarity=None)
    wide = QUICK.replace(distribution=many, num_samples=2)
    monkeypatch.setattr(sampling, "free_bytes", lambda: (wide.needed_bytes + 10**7) * 10)
    with pytest.raises(ValueError, match="24,000 types of point"):
        prepare(wide, [0])


class TestTheLimitBesideTheRuns:
    def test_its_error_ends_them(self, monkeypatch):
        def fail(*arguments):
            raise ValueError("no room")

        monkeypatch.setattr(verification, "judge_limits", fail)
        shares = []
        with pytest.raises(ValueError, match="no room"):
            prepare(QUICK, range(200)).run(lambda label, share: shares.append(share))
        assert max(shares) < 1

    def test_ctrl_c_gives_up_one_that_is_unfinished(self, monkeypatch):
        over, told = threading.Event(), []

        def interrupt(label, share):
            told.append(label)
            if "seed" in label and share > 0:
                raise KeyboardInterrupt

        monkeypatch.setattr(verification, "judge_limits", lambda *arguments: over.wait(60))
        try:
            verdict = prepare(QUICK, [0]).run(interrupt)
        finally:
            over.set()
        assert verdict.interrupted
        assert verdict.theorems[0].limit is None
        assert "the limit" not in told[1:]  # nobody waits for it
