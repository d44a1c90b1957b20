"""Theorems as data, assumptions, verdicts over seeds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import augscope as ag
from augscope.support.statistics import clopper_pearson
from augscope.theorems.orders import describe_orders
from augscope.theorems.record import mean_over_seeds
from augscope.theorems.statements import assumptions, judge
from augscope.theorems.verdicts import HOLDS, INCONCLUSIVE, NOT_MET, VIOLATED, decide, theorem_verdict
from augscope.training.measures import History
from augscope.training.seed_run import SeedRun

THEOREM = ag.presets.theorem.distribution
STATED = THEOREM.rarity


def history(**fields) -> History:
    """A history of made-up measures; fields that are not given are NaN."""
    length = len(fields["accuracy"])
    empty = {name: np.full(length, np.nan) for name in History.__dataclass_fields__}
    return History(**{**empty, "steps": np.arange(length) * 10, **{name: np.array(v) for name, v in fields.items()}})


@pytest.mark.parametrize(("index", "predicted"), [(0, 0.9), (1, 0.975), (2, 1.0)])
def test_predicted_accuracies_are_those_of_the_paper(index, predicted):
    # Sums of three decimals: a few units in the last place.
    assert ag.THEOREMS[index].statements[-1].predicted(THEOREM, STATED) == pytest.approx(predicted, abs=1e-15)


def test_a_lasting_theorem_starts_after_its_last_failure():
    made = history(margin=[-1, 1, 1, 1, 1], accuracy=[0.9, 0.9, 0.95, 0.905, 0.9])
    judgement = judge(ag.THEOREMS[0], made, THEOREM, STATED, 0.01)
    assert (judgement.onset, judgement.statement_onsets) == (3, (1, 3))
    assert judgement.measured == (1, 0.9)
    assert judgement.margins == pytest.approx((1, 0.01))
    assert judgement.largest_distance == pytest.approx(0.005)


def test_a_theorem_that_fails_at_the_end_has_no_onset():
    made = history(margin=[1, 1, 1], accuracy=[0.9, 0.9, 0.92])
    judgement = judge(ag.THEOREMS[0], made, THEOREM, STATED, 0.01)
    assert judgement.onset is None
    assert judgement.statement_onsets == (0, None)
    assert judgement.margins == pytest.approx((1, -0.01))
    assert np.isnan(judgement.largest_distance)


def test_a_training_fit_is_strict():
    assert judge(ag.THEOREMS[0], history(margin=[0.0], accuracy=[0.9]), THEOREM, STATED, 0.01).onset is None


def test_what_is_not_a_number_does_not_hold():
    made = history(margin=[1, np.nan], accuracy=[0.9, np.nan], gradient_norm=[1, np.nan])
    for theorem in (ag.THEOREMS[0], ag.THEOREMS[2]):
        assert judge(theorem, made, THEOREM, STATED, 0.01).onset is None


def test_cutmix_needs_one_common_step_and_reports_the_last():
    made = history(margin=[1, 1, 1, 1], accuracy=[0.5, 1.0, 1.0, 0.9], gradient_norm=[1.0, 5e-4, 1e-4, 1e-5])
    judgement = judge(ag.THEOREMS[2], made, THEOREM, STATED, 0.01)
    assert judgement.onset == 2
    assert judgement.statement_onsets == (3, 3, 2)
    assert judgement.measured == (1e-4, 1, 1.0)
    assert judgement.margins == pytest.approx((9e-4, 1, 0.01))
    assert judgement.largest_distance == 0  # there, not over what follows


def test_a_norm_vanishes_only_if_it_fell_a_hundredfold():
    made = history(margin=[1, 1], accuracy=[1.0, 1.0], gradient_norm=[5e-4, 4e-4])
    judgement = judge(ag.THEOREMS[2], made, THEOREM, STATED, 0.01)
    assert judgement.onset is None
    assert judgement.margins[0] == pytest.approx(5e-6 - 4e-4)


def test_every_assumption_holds_at_the_theorem_preset_and_each_can_fail():
    def unmet(method, num_samples=300, **changes):
        changed = THEOREM.replace(**changes)
        return [row.text for row in assumptions(method, changed, changed.rarity, num_samples) if not row.met]

    for method in ag.presets.theorem.methods:
        assert unmet(method) == []
    assert unmet(ag.Cutout(num_cut=2)) == ["C = 2 < P/2 = 1.5"]
    assert any(text.startswith("P = 2") for text in unmet(ag.Erm(), num_patches=2))
    assert any(text.startswith("σ_d/σ_b") for text in unmet(ag.Erm(), background_noise_std=0.03))
    assert any(text.startswith("n(P−1)") for text in unmet(ag.Erm(), dim=500))
    assert any("feature 2 (common)" in t for t in unmet(ag.Erm(), rarity=("common", "common", "extremely_rare")))


@pytest.mark.parametrize(
    ("holding", "trials", "verdict"),
    [(8, 8, HOLDS), (6, 6, HOLDS), (5, 5, INCONCLUSIVE), (7, 8, INCONCLUSIVE), (0, 8, VIOLATED), (0, 0, INCONCLUSIVE)],
)
def test_verdicts(holding, trials, verdict):
    assert decide(holding, trials) == verdict


ERM = ag.Erm()


def made_run(seed=0, method=ERM, status="completed", counts=((1, 1, 1), (1, 1, 1)), **fields) -> SeedRun:
    plateau = np.full(2, np.nan)
    return SeedRun(seed, method, history(**fields), status, f"{status}: a word", False, counts, 0.0, plateau)


class TestSeedsTogether:
    """`theorem_verdict` on made-up runs of ERM: what counts, what does not."""

    GOOD = {"margin": [1, 1], "accuracy": [0.8, 0.9]}  # noqa: RUF012
    BAD = {"margin": [1, 1], "accuracy": [0.9, 0.8]}  # noqa: RUF012

    def verdict(self, runs):
        return theorem_verdict(ag.THEOREMS[0], ag.Erm(), ag.presets.theorem, STATED, runs, 0.01)

    def test_seeds_are_counted_and_their_least_margin_is_shown(self):
        verdict = self.verdict([made_run(seed, **(self.BAD if seed == 3 else self.GOOD)) for seed in range(10)])
        assert (verdict.verdict, verdict.seeds_holding, verdict.num_seeds) == (HOLDS, 9, 10)
        assert verdict.interval == clopper_pearson(9, 10)
        assert verdict.onset == 10
        assert verdict.largest_distance == pytest.approx(0)  # of those that satisfy it
        assert [(line.seeds_holding, line.onset) for line in verdict.lines] == [(10, 0), (9, 10)]
        assert verdict.lines[1].measured == pytest.approx(0.89)
        assert verdict.lines[1].margin == pytest.approx(-0.09)
        assert "9 of 10 seeds" in str(verdict)

    def test_a_run_that_was_cut_short_does_not_count(self):
        runs = [made_run(seed, **self.GOOD) for seed in range(6)]
        verdict = self.verdict([*runs, made_run(6, status="interrupted", **self.BAD)])
        assert (verdict.verdict, verdict.num_seeds) == (HOLDS, 6)

    def test_a_run_that_diverged_counts_against(self):
        verdict = self.verdict([made_run(seed, status="diverged", **self.GOOD) for seed in range(6)])
        assert (verdict.verdict, verdict.seeds_holding, verdict.onset) == (VIOLATED, 0, None)
        assert [line.verdict for line in verdict.lines] == [VIOLATED, VIOLATED]

    def test_a_sample_without_a_feature_is_set_aside(self):
        lacking = made_run(6, counts=((1, 1, 1), (1, 1, 0)), **self.BAD)
        verdict = self.verdict([*(made_run(seed, **self.GOOD) for seed in range(6)), lacking])
        assert (verdict.verdict, verdict.num_seeds) == (HOLDS, 6)
        assert "Set aside: seed 6: no point with label −1 carries feature 3" in str(verdict)
        assert self.verdict([lacking]).verdict == NOT_MET

    def test_nothing_finished_is_inconclusive(self):
        assert self.verdict([]).verdict == INCONCLUSIVE


class TestOrders:
    """The two orders of the methods, from made-up last records: (features learned, accuracy)."""

    def described(self, experiment, **results):
        methods = {"erm": ag.Erm(), "cutout": ag.Cutout(), "cutmix": ag.CutMix()}
        scores = {count: np.repeat([1.0, 0.0], [count, 3 - count]) for count in (1, 2, 3)}
        runs = [
            made_run(method=methods[name], accuracy=[accuracy], feature_scores=[[scores[count]] * 2])
            for name, (count, accuracy) in results.items()
        ]
        return describe_orders(experiment, runs)

    def test_they_agree(self):
        features, accuracy, relation = self.described(
            ag.presets.theorem, cutmix=(3, 1.0), erm=(1, 0.9), cutout=(2, 0.975)
        )
        assert features == "By features learned: ERM (1) < Cutout (2) < CutMix (3) (of 3)."
        assert accuracy == "By test accuracy: ERM (0.9000) < Cutout (0.9750) < CutMix (1.0000)."
        assert relation == "The two orders agree."

    def test_a_tie_in_one_order_is_no_difference(self):
        features, _, relation = self.described(ag.presets.theorem, erm=(1, 0.91), cutout=(1, 0.9))
        assert features == "By features learned: ERM (1) = Cutout (1) (of 3)."
        assert relation == "The two orders agree."

    def test_large_test_noise_explains_cutmix(self):
        *_, relation = self.described(ag.presets.figure, cutout=(2, 0.96), cutmix=(3, 0.92))
        assert "CutMix learns more features than Cutout yet predicts worse" in relation
        assert "κ = 0.75" in relation
        assert "needs κ ≪ 1" in relation

    def test_small_test_noise_explains_nothing(self):
        *_, relation = self.described(ag.presets.theorem, cutout=(2, 0.96), cutmix=(3, 0.92))
        assert "does not explain it (κ = 0.075" in relation

    def test_one_method_has_no_order(self):
        assert self.described(ag.presets.theorem, erm=(1, 0.9)) == []


def test_means_are_taken_at_the_steps_that_all_runs_recorded():
    runs = [made_run(accuracy=[0.5, 0.7, 0.9]), made_run(accuracy=[0.7, 0.1])]
    runs[1] = replace(runs[1], history=replace(runs[1].history, steps=np.array([0, 15])))  # ended at a step of its own
    steps, mean = mean_over_seeds(runs, "accuracy")
    assert steps.tolist() == [0]
    assert mean.tolist() == pytest.approx([0.6])


@pytest.mark.parametrize("seeds", [[], [1, 1], [-1], [0.5], [True], 8, [2**63]])
def test_bad_seeds_are_refused(seeds):
    with pytest.raises(ValueError, match="`seeds` must"):
        ag.verify(ag.presets.theorem, seeds)


def test_bad_tolerance_is_refused():
    with pytest.raises(ValueError, match=r"`tolerance` must be in \(0, 0.5\), got 0.5"):
        ag.verify(ag.presets.theorem, [0], tolerance=0.5)


def test_a_sample_without_a_feature_is_set_aside_by_name():
    tiny = ag.presets.theorem.replace(num_samples=4, num_steps=1, methods=(ag.Erm(),))
    verdict = ag.verify(tiny, [0])
    assert verdict.theorems[0].verdict == "assumptions not met"
    assert "carries feature" in verdict.theorems[0].outcomes[0].excluded
    assert verdict.exit_status == 3


def test_erm_at_the_theorem_preset_holds_over_six_seeds():
    # Measured: ERM's accuracy is within 0.005 of 0.9 from about step 20; six of six is the least that decides.
    quick = ag.presets.theorem.replace(num_steps=60, record_at=(40, 60), methods=(ag.Erm(),))
    verdict = ag.verify(quick, range(6))
    assert [theorem.verdict for theorem in verdict.theorems] == [HOLDS]
    assert verdict.exit_status == 0
    assert abs(verdict.theorems[0].lines[1].measured - 0.9) < 0.005
