"""The theorems as data, and `verify`: what it records and refuses, and its verdicts on the corners where it once was wrong."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from verdict_cases import made_run

import augscope as ag
from augscope.theorems.record import Results, read_results, to_record
from augscope.theorems.statements import THEOREMS
from augscope.theorems.verification import prepare
from augscope.training.measure_table import mean_over_seeds

THEOREM = ag.presets.theorem


@pytest.mark.parametrize(("index", "predicted"), [(0, 0.9), (1, 0.975), (2, 1.0)])
def test_predicted_accuracies_are_those_of_the_paper(index, predicted):
    # Sums of three decimals: a few units in the last place.
    distribution = THEOREM.distribution
    assert THEOREMS[index].accuracy.predicted(distribution, distribution.rarity) == pytest.approx(predicted, abs=1e-15)


def test_means_are_taken_at_the_steps_that_all_runs_recorded():
    runs = [made_run(steps=(0, 10, 20), accuracy=[0.5, 0.7, 0.9]), made_run(steps=(0, 15), accuracy=[0.7, 0.1])]
    steps, mean = mean_over_seeds(runs, "accuracy")
    assert steps.tolist() == [0]
    assert mean.tolist() == pytest.approx([0.6])


@pytest.mark.parametrize("seeds", [[], [1, 1], [-1], [0.5], [True], 8, [2**63]])
def test_bad_seeds_are_refused(seeds):
    with pytest.raises(ValueError, match="`seeds` must"):
        ag.verify(THEOREM, seeds)


@pytest.mark.parametrize("name", ["tolerance", "rarity_tolerance"])
@pytest.mark.parametrize("value", [0, 0.5, float("nan")])
def test_bad_tolerances_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"`{name}` must be in \(0, 0.5\), got {value}"):
        ag.verify(THEOREM, [0], **{name: value})


class TestJudgedSteps:
    @pytest.mark.parametrize(
        ("num_steps", "steps"),
        [(1, (1,)), (2, (1, 2)), (3, (2, 3)), (7, (4, 5, 6, 7)), (20, (10, 11, 12, 14, 15, 16, 18, 19, 20))],
    )
    def test_half_way_the_end_and_seven_between_as_far_as_there_are(self, num_steps, steps):
        assert THEOREM.replace(num_steps=num_steps).judged_steps == steps

    def test_a_verification_records_them_whatever_is_asked_for(self):
        experiment = THEOREM.replace(num_samples=20, num_steps=20, record_at=(1, 20), methods=("erm",))
        (run,) = ag.verify(experiment, [0]).runs
        assert run.history.steps.tolist() == [1, 10, 11, 12, 14, 15, 16, 18, 19, 20]

    def test_those_of_a_flow_are_times(self):
        experiment = THEOREM.replace(num_samples=20, num_steps=8, until=1e3, methods=("erm",))
        assert experiment.judged_steps == (4, 4.5, 5, 5.5, 6, 6.5, 7, 7.5, 8)
        run = experiment.run(ag.Erm(), experiment.sample(0))
        assert set(experiment.judged_steps) < set(run.history.steps.tolist())

    def test_they_change_nothing_else(self):
        experiment = THEOREM.replace(num_samples=20, num_steps=40, record_at=(0, 7, 40))
        verdict = ag.verify(experiment, [0])
        assert verdict.experiment == experiment
        for run in verdict.runs:
            alone = experiment.run(run.method, experiment.sample(0)).history
            at = np.isin(run.history.steps, alone.steps)
            for name, array in vars(alone).items():
                assert np.array_equal(getattr(run.history, name)[at], array, equal_nan=True), name


class TestCorners:
    """Settings in which verdicts were wrong, at sizes where they are quick."""

    def test_one_step_decides_nothing(self):
        experiment = THEOREM.replace(num_steps=1, methods=("erm",))
        erm = ag.verify(experiment, range(6)).theorems[0]
        assert (erm.verdict, erm.tally) == ("inconclusive", (0, 0, 6))
        without = experiment.replace(distribution=experiment.distribution.replace(feature_noise=0.0))
        verdict = ag.verify(without, range(6), tolerance=0.02)
        assert (verdict.theorems[0].verdict, verdict.exit_status) == ("assumptions not met", 3)

    @pytest.mark.slow  # six seeds of three methods; `test_one_step` is the shorter
    def test_tiny_steps_violate_nothing(self):
        verdict = ag.verify(THEOREM.replace(num_steps=3, step_size=1e-3), range(6))
        assert [theorem.verdict for theorem in verdict.theorems] == ["inconclusive"] * 3
        assert [finding.samples_failing for finding in verdict.findings] == [0] * 5
        assert verdict.exit_status == 3

    @pytest.mark.slow  # the limit's flow begins at a huge step there, and takes minutes
    def test_steps_that_are_too_large_violate_nothing(self):
        verdict = ag.verify(THEOREM.replace(num_steps=20, step_size=1e6, methods=("cutmix",)), [0])
        assert verdict.theorems[0].verdict == "assumptions not met"
        assert "runs of CutMix that diverge or oscillate: 1 of 1, needs at most half" in str(verdict)
        assert verdict.exit_status == 3

    def test_test_noise_at_the_figure_is_an_unmet_assumption(self):
        cutmix = ag.verify(ag.presets.figure.replace(num_steps=3, methods=("cutmix",)), [0]).theorems[0]
        assert cutmix.verdict == "assumptions not met"
        assert "κ = 0.753, needs ≤ 0.5" in str(cutmix)

    def test_erm_at_the_theorem_preset_holds_over_six_seeds(self):
        # Measured: ERM's accuracy is within 0.005 of 0.9 from about step 20; six of six is the least that decides.
        verdict = ag.verify(THEOREM.replace(num_steps=60, record_at=(60,), methods=("erm",)), range(6))
        assert [theorem.verdict for theorem in verdict.theorems] == ["holds"]
        assert verdict.theorems[0].samples_holding == 6
        assert verdict.exit_status == 0
        assert verdict.theorems[0].lines[2].measured == pytest.approx(0.9, abs=0.005)

    def test_no_sample_is_whole(self):
        verdict = ag.verify(THEOREM.replace(num_samples=4, num_steps=1, methods=("erm",)), [0])
        assert verdict.theorems[0].verdict == "assumptions not met"
        assert "samples with every feature of both labels: 0 of 1, needs at least one" in str(verdict)
        assert verdict.exit_status == 3


class TestExitStatus:
    """From made-up runs of `presets.theorem` with T = 100."""

    def status(self, *lists):
        from verdict_cases import EXPERIMENT

        from augscope.theorems.statements import Terms
        from augscope.theorems.verification import judge_runs

        runs = [run for runs in lists for run in runs]
        seeds = tuple(sorted({run.seed for run in runs}))
        return judge_runs(Terms(EXPERIMENT), seeds, runs, interrupted=False, seconds=0.0).exit_status

    def runs(self, seeds=range(6), **changes):
        return [made_run(method, seed, **changes) for method in THEOREM.methods for seed in seeds]

    def test_0_if_all_theorems_and_orders_hold(self):
        assert self.status(self.runs()) == 0

    def test_1_if_one_is_violated(self):
        assert self.status(self.runs(accuracy_per_feature=(1, 0.75, 0.75))) == 1

    def test_1_if_the_order_alone_is(self):
        falling = [made_run(THEOREM.methods[2], seed, feature_scores=(0, 0, 0)) for seed in range(6)]
        assert self.status(self.runs()[:12], falling) == 1

    def test_3_if_undecided_or_without_a_verdict(self):
        assert self.status(self.runs(range(5))) == 3
        assert self.status([]) == 3


def test_records_without_judged_steps_are_judged_by_what_they_hold(tmp_path):
    experiment = THEOREM.replace(num_samples=20, num_steps=20, record_at=(0, 20))
    verdict = prepare(experiment, [0, 1], rarity_tolerance=0.2).run()
    record = to_record(
        Results("verify", experiment, (0, 1), verdict.runs, verdict, "augscope verify", verdict.population)
    )
    assert record["verdict"]["rarity_tolerance"] == 0.2
    (tmp_path / "record.json").write_text(json.dumps(record))
    again = read_results(tmp_path).verdict
    assert again is not None
    assert str(again) == str(verdict)
    # As it was written before accuracy by rarity was judged.
    for name in ("rarity_tolerance", "orders"):
        del record["verdict"][name]
    for row in record["runs"]:
        steps = row["history"]["steps"]
        keep = [steps.index(step) for step in (0, 20)]
        for name, values in row["history"].items():
            row["history"][name] = values if name == "predicted_plateau" else [values[index] for index in keep]
    (tmp_path / "record.json").write_text(json.dumps(record))
    old = read_results(tmp_path).verdict
    assert old is not None
    assert old.terms.rarity_tolerance == 0.1
    assert old.theorems[0].samples_holding == 0  # one judged step shows nothing that lasts
    assert replace(old, seconds=0.0).exit_status in (1, 3)
