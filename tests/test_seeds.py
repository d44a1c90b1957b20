"""Many seeds: side by side, batched, kept as they finish, stopped and gone on with; and what they will cost."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import jax.numpy as jnp
import numpy as np
import pytest

import augscope as ag
from augscope.training import batch, descent, preparation, seeds
from augscope.training.batch import train_many, train_methods
from augscope.training.checkpoint import Checkpoint
from augscope.training.kept_runs import KeptRuns
from augscope.training.seed_run import SeedRun
from augscope.training.seeds import run_seeds

SMALL = ag.presets.theorem.replace(num_samples=20, num_steps=60, record_at=(0, 7, 60))
ROUNDING = 1e-12  # after 60 steps of a few 1e-16
JOBS = [(seed, method) for seed in (3, 1) for method in SMALL.methods]


def assert_same_runs(left, right, tolerance=0.0) -> None:
    assert [(run.seed, run.method) for run in left] == [(run.seed, run.method) for run in right]
    for one, other in zip(left, right, strict=True):
        assert (one.status, one.oscillating, one.feature_counts) == (
            other.status,
            other.oscillating,
            other.feature_counts,
        )
        np.testing.assert_array_equal(one.predicted_plateau, other.predicted_plateau)
        for field in fields(one.history):
            np.testing.assert_allclose(
                getattr(one.history, field.name), getattr(other.history, field.name), rtol=tolerance, atol=tolerance
            )


@pytest.fixture(scope="module")
def alone():
    return [SeedRun.of(seed, SMALL.run(method, SMALL.sample(seed), seed=seed)) for seed, method in JOBS]


class TestSideBySide:
    # The methods of a seed together, or, with more workers than seeds, each alone.
    @pytest.mark.parametrize(("workers", "tolerance"), [(1, ROUNDING), (2, ROUNDING), (4, 0.0)])
    def test_results_do_not_depend_on_how_many_run_at_a_time(self, alone, workers, tolerance):
        runs, interrupted = run_seeds(SMALL, (3, 1), workers=workers)
        assert not interrupted
        assert [(run.seed, run.method) for run in runs] == JOBS
        assert_same_runs(runs, alone, tolerance)

    def test_a_single_run_has_the_same_bits(self):
        """NumPy's threads decide the last bit of an accuracy: at n = 300 its products are large enough for several."""
        experiment = ag.presets.figure.replace(num_steps=10)
        beside = run_seeds(experiment, (0, 1), workers=3)[0][0].history
        alone = experiment.run(experiment.methods[0], experiment.sample(0), seed=0).history
        for field in fields(alone):
            np.testing.assert_array_equal(getattr(beside, field.name), getattr(alone, field.name))

    def test_progress_goes_from_nothing_to_the_end(self):
        told = []
        run_seeds(SMALL, (3, 1), lambda what, share: told.append((what, share)), workers=1)
        assert told[0] == ("seed 3", 0.0)
        assert told[-1] == ("seed 1", 1.0)
        shares = [share for _, share in told]
        assert shares == sorted(shares)

    def test_an_error_in_one_run_ends_all_and_is_told(self, tmp_path, alone):
        kept = KeptRuns(tmp_path, SMALL)
        kept.descent_file(3, SMALL.methods[0]).write_bytes(b"not ours")
        with pytest.raises(ValueError, match="must be a whole checkpoint file"):
            run_seeds(SMALL, (3, 1), kept=kept)
        assert kept.descent_file(3, SMALL.methods[0]).read_bytes() == b"not ours"

    def test_as_many_as_memory_holds(self, monkeypatch):
        monkeypatch.setattr(seeds.os, "cpu_count", lambda: 8)
        monkeypatch.setattr(seeds, "free_bytes", lambda: int(3.5 * SMALL.needed_bytes))
        assert seeds.side_by_side(SMALL) == 3
        monkeypatch.setattr(seeds, "free_bytes", lambda: 0)
        assert seeds.side_by_side(SMALL) == 1


class Broken(ag.Method):
    """ERM's loss, and no number once a score is above `most`."""

    most: float = 0.5

    def raw_loss(self, scores, labels, probabilities=None):
        loss = ag.Erm().raw_loss_and_gradient(scores, labels, probabilities)[0]
        return jnp.where(abs(scores).max() > self.most, jnp.nan, loss)


class TestTogether:
    """All methods of a seed in one program: sums in the same order in most sizes, so differences of some 1e-16 a step."""

    def together(self, methods, **changes):
        given = {"step_size": 1.0, "num_steps": 60, "record_at": (0, 7, 60), **changes}
        return train_methods(SMALL.sample(3), SMALL.network, methods, **given)

    @pytest.mark.parametrize(
        "methods",
        [(ag.Erm(), Broken(), ag.CutMix()), (Broken(most=1.0), ag.Erm(), Broken()), (Broken(), Broken(most=0.5))],
        ids=["one", "two, one after the other", "all at once"],
    )
    def test_those_that_diverge_leave_and_the_others_go_on(self, methods):
        runs = self.together(methods)
        singles = [SMALL.run(method, SMALL.sample(3)) for method in methods]
        assert [run.status for run in runs] == [
            "diverged" if isinstance(method, Broken) else "completed" for method in methods
        ]
        assert_same_runs([SeedRun.of(3, run) for run in runs], [SeedRun.of(3, run) for run in singles], ROUNDING)
        assert [(run.method, run.message, run.num_steps) for run in runs] == [
            (run.method, run.message, run.num_steps) for run in singles
        ]
        lost = [run.num_steps for run in runs if run.status == "diverged"]
        assert all(0 < steps < 60 for steps in lost)

    @pytest.mark.parametrize("first", [0, 7])
    def test_interruption_keeps_what_was_recorded(self, first):
        def interrupt(step, loss):
            if step >= first:
                raise KeyboardInterrupt

        runs = self.together(SMALL.methods, progress=interrupt)
        assert [run.status for run in runs] == ["interrupted"] * 3
        assert all(run.history.steps[0] == 0 and run.history.steps[-1] == run.num_steps for run in runs)

    def test_losses_of_projections_are_refused(self):
        with pytest.raises(ValueError, match="`methods` must be of scores, got Mixup"):
            self.together((ag.Erm(), ag.Mixup()))
        with pytest.raises(ValueError, match="`methods` must hold at least one"):
            self.together(())

    def test_who_steps_together(self):
        four = SMALL.replace(methods=(*SMALL.methods, "mixup"))
        *three, mixup = four.methods
        assert seeds.method_groups(four, 2, 2) == [tuple(three), (mixup,)]
        singles = [(method,) for method in four.methods]
        assert seeds.method_groups(four, 2, 3) == singles  # a worker would have nothing to do
        assert seeds.method_groups(four, 2, 2, kept=True) == singles
        assert seeds.method_groups(four.replace(sampling={"batch_size": 4}), 2, 2) == singles


class TestKept:
    def test_what_was_kept_is_not_run_again(self, tmp_path, alone, monkeypatch):
        first = run_seeds(SMALL, (3,), kept=KeptRuns(tmp_path, SMALL))[0]
        assert KeptRuns(tmp_path, SMALL).count((3, 1)) == dict.fromkeys(SMALL.methods, 1)
        begun = []
        runs = run_seeds(SMALL, (3, 1), lambda what, share: begun.append(what), kept=KeptRuns(tmp_path, SMALL))[0]
        assert {what for what in begun if what.endswith("seed 3")} == set()
        assert_same_runs(runs, alone)
        assert [run.message for run in runs[:3]] == [run.message for run in first]
        assert not list(tmp_path.glob("*.descent.npz"))

    def test_its_files_hold_what_they_always_held(self, tmp_path, alone):
        """The names of a finished run's arrays, written out: folders of earlier versions are read."""
        KeptRuns(tmp_path, SMALL)
        run, experiment = alone[0], SMALL.model_dump(mode="json")
        measures = {field.name: getattr(run.history, field.name) for field in fields(run.history)}
        words = {"status": run.status, "message": run.message, "oscillating": run.oscillating, "seconds": 2.5}
        about = {"seed": 3, "method": {"name": "erm"}, "experiment": experiment}
        Checkpoint(tmp_path / "seed-3-0-erm.npz", about).save(
            {
                **measures,
                "predicted_plateau": np.full(2, np.nan),  # was a measure once
                "feature_counts": np.array(run.feature_counts),
                "said": np.array(json.dumps(words)),
            }
        )
        kept = KeptRuns(tmp_path, SMALL).load(3, SMALL.methods[0])
        assert kept is not None
        assert (kept.message, kept.seconds) == (run.message, 2.5)
        assert_same_runs([kept], [run])

    def test_an_interrupted_run_goes_on_with_the_same_bits(self, tmp_path, alone):
        def interrupt(what, share):
            if what.startswith("CutMix") and share > 0.7:  # runs that are kept go one by one
                raise KeyboardInterrupt

        runs, interrupted = run_seeds(SMALL, (3,), interrupt, kept=KeptRuns(tmp_path, SMALL), workers=1)
        assert interrupted
        assert [run.status for run in runs] == ["completed", "completed", "interrupted"]
        assert list(KeptRuns(tmp_path, SMALL).count((3,)).values()) == [1, 1, 0]
        assert list(tmp_path.glob("*.descent.npz"))
        assert_same_runs(run_seeds(SMALL, (3, 1), kept=KeptRuns(tmp_path, SMALL))[0], alone)

    def test_another_experiments_folder_is_refused_at_once_and_kept(self, tmp_path):
        KeptRuns(tmp_path / "kept", SMALL)  # from the first moment, before any run is finished
        before = {path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir()}
        with pytest.raises(ValueError, match=r"of this configuration, got .* with experiment.num_steps = 60, not 61"):
            KeptRuns(tmp_path / "kept", SMALL.replace(num_steps=61))
        assert {path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir()} == before

    def test_somebody_elses_folder_is_refused(self, tmp_path):
        (tmp_path / "thesis.tex").write_text("")
        with pytest.raises(
            ValueError, match=r"must be an empty folder or one with this experiment's runs, .* thesis.tex"
        ):
            KeptRuns(tmp_path, SMALL)

    def test_a_save_that_was_killed_is_not_taken_for_a_strangers_file(self, tmp_path):
        (tmp_path / ".experiment.npz-12-0a1b2c3d").write_bytes(b"half")
        KeptRuns(tmp_path, SMALL)
        assert (tmp_path / "experiment.npz").exists()

    def test_a_folder_that_cannot_be_written_is_found_before_any_work(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(ValueError, match="`checkpoint` could not be written"):
            KeptRuns(tmp_path / "file" / "inside", SMALL)

    def test_flows_are_kept_too(self, tmp_path):
        flows = SMALL.replace(methods=(ag.Erm(),), until=100.0, record_at=None)
        first = run_seeds(flows, (0,), kept=KeptRuns(tmp_path, flows))[0]
        assert_same_runs(run_seeds(flows, (0,), kept=KeptRuns(tmp_path, flows))[0], first)

    def test_a_file_is_not_a_folder(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(ValueError, match="`checkpoint` must be a folder"):
            KeptRuns(tmp_path / "file", SMALL)


class TestBatched:
    """`train_many` gives what `train` gives: sums in another order, 60 steps, so differences of some 1e-13 are expected."""

    def test_as_alone(self, alone, monkeypatch):
        monkeypatch.setattr(seeds.jax, "default_backend", lambda: "gpu")
        assert seeds.method_groups(SMALL, 2, 2) == [(method,) for method in SMALL.methods]
        told = []
        runs, interrupted = run_seeds(SMALL, (3, 1), lambda what, share: told.append(share))
        assert not interrupted
        assert_same_runs(runs, alone, 1e-9)
        assert told[-1] == 1.0

    def test_progress_counts_the_runs_that_were_kept(self, alone, tmp_path, monkeypatch):
        monkeypatch.setattr(seeds.jax, "default_backend", lambda: "gpu")
        kept = KeptRuns(tmp_path, SMALL)
        for run in alone[:3]:
            kept.save(run)
        heard = []
        run_seeds(SMALL, (3, 1), lambda label, share: heard.append((label, share)), kept=kept)
        assert heard[0] == ("ERM, seeds 1 to 1", 0.5)  # three of six
        assert heard[-1] == ("CutMix, seeds 1 to 1", 1.0)
        assert [share for _, share in heard] == sorted(share for _, share in heard)

    def test_batches_are_as_large_as_memory_holds(self, alone, monkeypatch):
        monkeypatch.setattr(seeds.jax, "default_backend", lambda: "gpu")
        monkeypatch.setattr(seeds, "free_bytes", lambda: SMALL.needed_bytes)
        sizes = []
        monkeypatch.setattr(
            seeds,
            "train_many",
            lambda datasets, *a, **k: (sizes.append(len(datasets)), train_many(datasets, *a, **k))[1],
        )
        assert_same_runs(run_seeds(SMALL, (3, 1))[0], alone, 1e-9)
        assert sizes == [1] * 6

    def test_those_that_diverge_leave_and_the_others_go_on(self):
        # NaN diverges at once.
        datasets = [SMALL.sample(seed) for seed in range(4)]
        broken = [replace(data, initial_weights=data.initial_weights * np.nan) for data in datasets[1:]]
        runs = train_many(
            [datasets[0], *broken], SMALL.network, ag.CutMix(), step_size=1.0, num_steps=60, record_at=(0, 7, 60)
        )
        assert [run.status for run in runs] == ["completed", "diverged", "diverged", "diverged"]
        whole = ag.train(datasets[0], SMALL.network, ag.CutMix(), step_size=1.0, num_steps=60, record_at=(0, 7, 60))
        np.testing.assert_allclose(runs[0].weights, whole.weights, rtol=0, atol=1e-12)
        assert runs[0].history.steps.tolist() == [0, 7, 60]
        single = ag.train(broken[0], SMALL.network, ag.CutMix(), step_size=1.0, num_steps=60, record_at=(0, 7, 60))
        assert (runs[1].message, runs[1].num_steps) == (single.message, single.num_steps)

    def test_interruption_keeps_what_was_recorded(self):
        def interrupt(step, loss):
            if step >= 7:
                raise KeyboardInterrupt

        runs = train_many(
            [SMALL.sample(0), SMALL.sample(1)],
            SMALL.network,
            ag.Erm(),
            step_size=1.0,
            num_steps=60,
            record_at=(0, 7, 60),
            progress=interrupt,
        )
        assert [run.status for run in runs] == ["interrupted", "interrupted"]
        assert all(run.history.steps[0] == 0 and run.history.steps[-1] == run.num_steps for run in runs)

    def test_shapes_must_agree(self):
        with pytest.raises(ValueError, match="`datasets` must have one shape"):
            train_many(
                [SMALL.sample(0), SMALL.replace(num_samples=21).sample(0)],
                SMALL.network,
                ag.Erm(),
                step_size=1,
                num_steps=1,
            )
        with pytest.raises(ValueError, match="at least one"):
            train_many([], SMALL.network, ag.Erm(), step_size=1, num_steps=1)


class TestCost:
    def made(self, **changes) -> preparation.Cost:
        fields = {
            "step_seconds": {("ERM",): 1e-3, ("CutMix",): 3e-3},
            "runs": {("ERM",): 2, ("CutMix",): 5},
            "num_steps": 1000,
            "num_kept": 3,
            "workers": 2,
            "flow": False,
        }
        return preparation.Cost(**{**fields, **changes})

    def test_what_is_left_is_counted_per_method(self):
        # (2 × 1 ms + 5 × 3 ms) × 1,000 steps, two at a time.
        assert self.made().seconds == pytest.approx(8.5)
        assert str(self.made()) == (
            "A step: ERM 1 ms, CutMix 3 ms. 7 runs of 1,000 steps (3 more are kept): about 8.5 s, "
            "and what compiling and measuring take."
        )

    def test_one_run_has_nobody_beside_it(self):
        assert self.made(runs={("CutMix",): 1}).seconds == pytest.approx(3.0)

    def test_nothing_left(self):
        done = preparation.measure_cost(SMALL, 2, dict.fromkeys(SMALL.methods, 2))
        assert (done.seconds, str(done)) == (0.0, "Nothing is left to run (6 more are kept).")

    def test_each_methods_step_is_timed_and_the_slowest_beside_others_counts(self, monkeypatch):
        seconds = {"ERM": iter([9.0, 1.0, 2.0]), "CutMix": iter([9.0, 4.0, 3.0])}  # the first compiles
        monkeypatch.setattr(preparation, "side_by_side", lambda _: 2)
        monkeypatch.setattr(preparation, "time_step", lambda dataset, network, method: next(seconds[method.title]))
        measured = preparation.measure_cost(SMALL.replace(methods=("erm", "cutmix")), 1)
        assert measured.runs == {("ERM",): 1, ("CutMix",): 1}
        assert measured.step_seconds == {("ERM",): 2.0, ("CutMix",): 4.0}

    def test_methods_that_step_together_are_timed_together(self, monkeypatch):
        seconds = iter([9.0, 1.0, 2.0])
        monkeypatch.setattr(preparation, "side_by_side", lambda _: 2)
        monkeypatch.setattr(preparation, "time_step_together", lambda dataset, network, methods: next(seconds))
        measured = preparation.measure_cost(SMALL, 3)
        assert measured.step_seconds == {("ERM", "Cutout", "CutMix"): 2.0}
        assert str(measured).startswith(
            "A step: ERM, Cutout and CutMix together 2.0 s. 9 runs of 60 steps: about 4.0 min"
        )
        assert measured.seconds == 2 * 60 * 2.0  # three seeds on two cores: two rounds
        assert batch.time_step_together(SMALL.sample(0), SMALL.network, SMALL.methods) > 0

    def test_a_step_is_its_share_of_the_steps_that_were_timed(self, monkeypatch):
        # A clock by which every trial takes 5 ms, shorter than a trial is to last.
        ticks = iter([0.0, 0.005] * 20)
        monkeypatch.setattr(descent.time, "perf_counter", lambda: next(ticks))
        dataset = SMALL.sample(0)
        step = descent.time_step(dataset, SMALL.network, ag.Erm())
        assert step == pytest.approx(0.005 / 65_536)  # 4⁸ steps, the last trial of at most 100,000

    def test_a_step_size_that_diverges_can_be_timed(self):
        measured = preparation.measure_cost(SMALL.replace(step_size=1e8, methods=(ag.CutMix(),)), 1)
        assert measured.step_seconds["CutMix",] > 0

    def test_flows_count_gradients(self):
        assert "some 10,000 gradients" in str(self.made(num_steps=10_000, flow=True))


def test_the_descent_of_a_run_that_is_finished_is_removed(tmp_path):
    """Its process was killed between the two."""
    run_seeds(SMALL, (3,), kept=KeptRuns(tmp_path, SMALL))
    kept = KeptRuns(tmp_path, SMALL)
    left = kept.descent_file(3, SMALL.methods[0])
    left.touch()
    assert kept.load(3, SMALL.methods[0]) is not None
    assert not left.exists()
