"""The rule of model.md §5, clause by clause, on made-up histories: one sample, all samples, assumptions, a theorem's verdict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from verdict_cases import CUTMIX, CUTOUT, ERM, EXPERIMENT, TERMS, made_run

import augscope as ag
from augscope.support.statistics import clopper_pearson
from augscope.theorems.samples import judge_sample
from augscope.theorems.statements import Terms, Theorem, theorem_for
from augscope.theorems.verdicts import Tally, theorem_verdict


def theorem_of(method) -> Theorem:
    theorem = theorem_for(method)
    assert theorem is not None
    return theorem


def judged(run, terms=TERMS):
    return judge_sample(theorem_of(run.method), run, terms)


def verdict_of(runs, terms=TERMS):
    (method,) = {run.method for run in runs}
    return theorem_verdict(theorem_of(method), method, terms, runs)


class TestOneSampleOfALastingTheorem:
    """3.1 and 3.2: every statement is true on all of [T/2, T]."""

    @pytest.mark.parametrize("method", [ERM, CUTOUT])
    def test_it_holds_from_the_first_judged_step_after_0_from_which_it_lasts(self, method):
        assert (judged(made_run(method)).verdict, judged(made_run(method)).onset) == ("holds", 10)  # true at step 0 too
        late = judged(made_run(method, augmented_margin=[1, 1, -1, 1, 1], margin=[1, -1, 1, 1, 1]))
        assert late.verdict == ("holds" if method == ERM else "undecided")
        assert judged(made_run(ERM, margin=[1, -1, 1, 1, 1])).onset == 50

    def test_what_is_true_at_the_end_alone_is_undecided(self):
        sample = judged(made_run(accuracy=[0.9, 0.9, 0.889, 0.895, 0.9]))
        assert sample.verdict == "undecided"
        assert sample.reason.startswith(
            "true at T, but not at step 50: test accuracy overall: 0.8890 (required 0.9000 ± 0.01)"
        )

    def test_what_is_false_and_comes_no_nearer_fails(self):
        for accuracy in ([0.95] * 5, [0.9, 0.9, 0.92, 0.93, 0.95], [0.9, 0.9, 0.9, 0.9, 0.92]):
            sample = judged(made_run(accuracy=accuracy))
            assert sample.verdict == "fails"
            assert "required 0.9000 ± 0.01" in sample.reason

    @pytest.mark.parametrize(("nearer", "verdict"), [(0.0009, "fails"), (0.0011, "undecided")])
    def test_an_accuracy_is_on_its_way_if_it_came_nearer_by_over_a_tenth_of_its_tolerance(self, nearer, verdict):
        assert judged(made_run(accuracy=[0.5, 0.99, 0.95, 0.95, 0.95 - nearer])).verdict == verdict
        # On a feature the tolerance is ten times as wide.
        rare = [[1, at, 0.5] for at in (0.5, 0.9, 0.8, 0.8, 0.8 - 10 * nearer)]
        assert judged(made_run(accuracy_per_feature=rare)).verdict == verdict

    def test_an_accuracy_in_its_range_that_moves_is_not_on_its_way(self):
        extremely_rare = [[1, 0.8, at] for at in (0.5, 0.5, 0.59, 0.56, 0.5)]
        assert judged(made_run(accuracy_per_feature=extremely_rare)).verdict == "fails"

    def test_a_sample_that_is_not_fitted_is_undecided(self):
        sample = judged(made_run(margin=[-1, 1, -0.5, 1, 1], accuracy=0.95))
        assert (sample.verdict, sample.missing) == ("undecided", "smallest y f(X) over the data is not > 0")
        assert sample.reason.startswith("at step 50: smallest y f(X) over the data: -0.5 (required > 0)")

    def test_it_fails_if_its_gradient_is_near_0_instead(self):
        run = made_run(margin=-1, gradient_norm=[1, 0.1, 9e-4, 9e-4, 9e-4])
        assert judged(run).verdict == "fails"
        assert judged(made_run(margin=-1, gradient_norm=[1, 0.1, 2e-3, 9e-4, 9e-4])).verdict == "undecided"
        assert judged(made_run(margin=-1, gradient_norm=[0.05, 0.01, 9e-4, 9e-4, 9e-4])).verdict == "undecided"

    def test_a_training_fit_is_strict_and_nan_is_not_true(self):
        assert judged(made_run(margin=0.0)).verdict != "holds"
        assert judged(made_run(margin=np.nan)).verdict == "undecided"
        assert judged(made_run(accuracy=[0.9, 0.9, 0.9, 0.9, np.nan])).verdict != "holds"

    @pytest.mark.parametrize("accuracy", [0.9, 0.95])
    def test_one_step_says_nothing(self, accuracy):
        terms = Terms(EXPERIMENT.replace(num_steps=1))
        sample = judged(made_run(steps=(0, 1), accuracy=accuracy), terms)
        assert sample.verdict == "undecided"
        assert "too few steps to see what lasts" in sample.reason

    def test_two_steps_may(self):
        assert judged(made_run(steps=(0, 1, 2)), Terms(EXPERIMENT.replace(num_steps=2))).verdict == "holds"

    @pytest.mark.parametrize(
        ("measures", "name"),
        [
            ({"accuracy": [0.9, 0.9, 0.893, 0.9035, 0.9]}, "test accuracy overall"),
            ({"accuracy_per_feature": [[1, at, 0.5] for at in (0.5, 0.5, 0.45, 0.555, 0.5)]}, "feature 2 (rare)"),
        ],
    )
    def test_an_accuracy_that_changes_by_more_than_its_tolerance_is_undecided(self, measures, name):
        sample = judged(made_run(**measures))
        assert sample.verdict == "undecided"
        assert sample.change is not None
        assert sample.change.share == pytest.approx(1.05)
        assert name in sample.reason

    def test_what_changes_before_the_second_half_does_not_matter(self):
        assert judged(made_run(accuracy=[0.5, 0.7, 0.9, 0.9, 0.9])).verdict == "holds"

    @pytest.mark.parametrize(
        "change", [{"status": "diverged"}, {"status": "unfinished", "steps": (0, 1, 50, 60, 70)}, {"oscillating": True}]
    )
    def test_a_run_that_does_not_come_to_rest_is_undecided(self, change):
        for accuracy in (0.9, 0.95):
            sample = judged(made_run(accuracy=accuracy, **change))
            assert sample.verdict == "undecided"
            assert "a word" in sample.reason

    def test_a_sample_without_a_feature_is_set_aside(self):
        sample = judged(made_run(counts=((9, 9, 9), (9, 9, 0))))
        assert (sample.verdict, sample.reason) == ("set aside", "seed 0: no point with label −1 carries feature 3")


class TestAccuracyByRarity:
    def test_errors_that_cancel_are_seen(self):
        # 0.8 + 0.15 · 0.95 + 0.05 · 0.65 = 0.975, as Theorem 3.2 predicts; yet the extremely rare feature is no coin flip.
        per_feature = np.array([1, 0.95, 0.65])
        overall = float(per_feature @ TERMS.distribution.frequencies)
        assert overall == pytest.approx(0.975, abs=1e-15)
        run = made_run(CUTOUT, accuracy=overall, accuracy_per_feature=per_feature)
        sample = judged(run)
        assert (sample.verdict, sample.missing) == (
            "fails",
            "test accuracy on feature 3 (extremely rare) is out of range",
        )
        # And with 0.04 in place of 0.1 neither half of the claim is true.
        strict = judged(run, replace(TERMS, rarity_tolerance=0.04))
        assert "feature 2 (rare), label +1: 0.9500 (required ≥ 0.96)" in strict.reason
        assert "feature 3 (extremely rare), label +1: 0.6500 (required 0.5 ± 0.04)" in strict.reason

    def test_one_label_is_enough(self):
        both = [[1, 0.5, 0.5], [1, 0.75, 0.5]]
        sample = judged(made_run(accuracy_per_feature=[both] * 5))
        assert sample.verdict == "fails"
        assert sample.feature == (1, 1)
        assert "feature 2 (rare), label −1: 0.7500" in sample.reason

    def test_the_ends_of_a_range_belong_to_it(self):
        assert judged(made_run(accuracy=0.91, accuracy_per_feature=(0.9, 0.6, 0.4))).verdict == "holds"


class TestOneSampleOfCutMix:
    """3.3: all statements are true at some step."""

    def test_one_step_is_enough_and_the_last_is_shown(self):
        run = made_run(CUTMIX, accuracy=[0.5, 1, 1, 0.9, 0.9], gradient_norm=[1, 5e-4, 5e-4, 1e-4, 1e-5])
        assert (judged(run).verdict, judged(run).onset) == ("holds", 50)
        line = verdict_of([run]).lines[0]
        assert (line.number, line.samples_true, line.onset) == ("3.3 (1)", 1, 10)

    def test_a_gradient_is_near_0_by_both_thresholds_and_its_largest_value_is_that_so_far(self):
        assert judged(made_run(CUTMIX, gradient_norm=5e-4)).verdict == "undecided"  # it never was a hundred times that
        assert judged(made_run(CUTMIX, gradient_norm=[1, 0.5, 0.1, 0.1, 2e-3])).verdict == "undecided"
        assert judged(made_run(CUTMIX, gradient_norm=[5e-4, 5e-4, 5e-4, 1, 1])).verdict == "undecided"  # larger later
        names = [line.required for line in verdict_of([made_run(CUTMIX)]).lines[1:3]]
        assert names == ["≤ 0.001", "≤ 0.01"]

    def test_a_gradient_near_0_all_along_and_no_such_step_is_a_failure(self):
        assert judged(made_run(CUTMIX, accuracy=0.95)).verdict == "fails"
        still = made_run(CUTMIX, accuracy=0.95, gradient_norm=[1, 0.1, 2e-3, 5e-4, 1e-4])
        assert judged(still).verdict == "undecided"
        assert judged(made_run(CUTMIX, accuracy=0.95, status="diverged")).verdict == "undecided"


class TestFlows:
    def terms(self, until):
        return Terms(EXPERIMENT.replace(until=until, num_steps=4, step_size=0.25))

    def test_it_is_judged_in_time_and_t_need_not_be_2(self):
        terms = self.terms(1e6)
        assert terms.end == 1.0
        sample = judged(made_run(steps=(0.0, 0.1, 0.5, 0.75, 1.0), margin=[1, -1, 1, 1, 1]), terms)
        assert (sample.verdict, sample.onset) == ("holds", 0.5)
        assert self.terms(0.5).end == 0.5

    def test_one_that_gave_up_after_the_time_of_judgement_counts(self):
        run = made_run(steps=(0.0, 0.1, 0.5, 0.75, 1.0), status="unfinished")
        assert judged(run, self.terms(1e6)).verdict == "holds"
        assert judged(replace(run, status="diverged"), self.terms(1e6)).verdict == "undecided"


@pytest.mark.parametrize(
    ("holding", "failing", "undecided", "verdict"),
    [
        (6, 0, 0, "holds"),  # the fewest that decide
        (5, 0, 0, "inconclusive"),
        (8, 0, 8, "holds"),
        (8, 0, 9, "inconclusive"),  # not half of all
        (16, 0, 4, "holds"),
        (7, 1, 0, "holds" if clopper_pearson(7, 8)[0] > 0.5 else "inconclusive"),
        (0, 6, 0, "violated"),
        (0, 6, 1, "violated" if clopper_pearson(6, 7)[0] > 0.5 else "inconclusive"),
        (0, 6, 6, "inconclusive"),
        (0, 15, 5, "violated"),
        (0, 0, 20, "inconclusive"),
        (0, 0, 0, "inconclusive"),
    ],
)
def test_what_samples_say_at_this_size(holding, failing, undecided, verdict):
    tally = Tally(holding, failing, undecided)
    assert tally.verdict == verdict
    total = holding + failing + undecided
    assert str(tally) == f"{holding} of {total} samples hold, {failing} fail, {undecided} undecided"


class TestSamplesTogether:
    def test_they_are_counted_and_what_the_others_lack_is_said_with_their_points(self):
        few = {"counts": ((9, 9, 9), (9, 3, 9)), "accuracy_per_feature": [[[1, 1, 0.5], [1, 0.8, 0.5]]] * 5}
        runs = [made_run(CUTOUT, seed) for seed in range(7)] + [made_run(CUTOUT, seed, **few) for seed in (7, 8)]
        verdict = verdict_of(runs)
        assert (verdict.samples_holding, verdict.samples_failing, verdict.samples_undecided) == (7, 2, 0)
        assert (verdict.verdict, verdict.theorem.number) == ("inconclusive", "3.2")
        text = str(verdict)
        assert text.startswith(
            "Theorem 3.2: inconclusive, true in 7 of 9 samples. 7 of 9 samples hold, 2 fail, 0 undecided at T = 100"
        )
        assert (
            "Fails (seeds 7, 8): test accuracy on feature 2 (rare) is out of range; the label concerned has 3 points of feature 2"
            in text
        )
        assert "points of feature 2 (9 where it holds)" in text

    def test_lines_count_the_samples_in_which_they_are_true(self):
        runs = [made_run(seed=seed) for seed in range(9)] + [made_run(seed=9, accuracy=0.95)]
        fit, statement, overall, common, *_ = verdict_of(runs).lines
        assert [line.samples_true for line in (fit, statement, overall, common)] == [10, 9, 9, 10]
        assert (statement.number, statement.measured, overall.number) == ("3.1 (2)", None, "")
        assert (overall.measured, overall.worst) == (pytest.approx(0.905), 0.95)
        assert fit.onset == 0

    def test_the_largest_change_is_printed(self):
        runs = [made_run(), made_run(seed=1, accuracy=[0.5, 0.9, 0.9, 0.904, 0.9])]
        assert (
            "Largest change of an accuracy between judged steps since T/2: 0.004 (test accuracy overall, seed 1; its tolerance is 0.01)."
            in str(verdict_of(runs))
        )

    def test_a_run_that_was_cut_short_does_not_count(self):
        verdict = verdict_of([made_run(), made_run(seed=1, status="interrupted")])
        assert verdict.tally == (1, 0, 0)

    def test_samples_set_aside_are_named_and_in_no_count(self):
        lacking = made_run(seed=6, counts=((1, 1, 1), (1, 1, 0)))
        verdict = verdict_of([*(made_run(seed=seed) for seed in range(6)), lacking])
        assert (verdict.verdict, verdict.tally) == ("holds", (6, 0, 0))
        assert "Set aside: seed 6: no point with label −1 carries feature 3" in str(verdict)
        assert verdict_of([lacking]).verdict == "assumptions not met"

    def test_nothing_finished_is_inconclusive(self):
        assert theorem_verdict(ag.THEOREMS[0], ERM, TERMS, []).verdict == "inconclusive"

    @pytest.mark.parametrize(("restless", "verdict"), [(6, "holds"), (7, "assumptions not met")])
    @pytest.mark.parametrize("state", [{"status": "diverged"}, {"oscillating": True}])
    def test_a_step_size_is_too_large_if_more_than_half_diverge_or_oscillate(self, restless, verdict, state):
        runs = [made_run(seed=seed, **(state if seed < restless else {})) for seed in range(12)]
        assert verdict_of(runs).verdict == verdict


class TestAssumptions:
    def verdicts(self, method=ERM, num_samples=300, init_std=0.001, **changes):
        experiment = EXPERIMENT.replace(
            num_samples=num_samples,
            init_std=init_std,
            distribution=EXPERIMENT.distribution.replace(**changes),
            methods=(method,),
        )
        verdict = verdict_of([made_run(method, seed) for seed in range(6)], Terms(experiment))
        return verdict.verdict, [row.text for row in verdict.assumptions if not row.met]

    @pytest.mark.parametrize("method", [ERM, CUTOUT, CUTMIX])
    def test_all_are_met_at_the_theorem_preset(self, method):
        assert self.verdicts(method) == ("holds", [])

    @pytest.mark.parametrize(
        ("method", "changes", "unmet"),
        [
            (ERM, {"feature_noise": 0.0}, "α = 0, needs > 0"),
            (CUTOUT, {"feature_noise": 0.0}, "α = 0, needs > 0"),
            (ag.Cutout(num_cut=2), {}, "C = 2, needs < P/2 = 1.5"),
            (ERM, {"num_patches": 2}, "P = 2, needs ≥ 3"),
            (ERM, {"background_noise_std": 0.03}, "σ_d/σ_b = 0.833, needs > 1"),
            (ERM, {"dim": 500}, "n(P−1) = 600, needs ≤ d − 2K = 494"),
            (CUTMIX, {"dim": 4000}, "κ = 0.532, needs ≤ 0.5"),
            (ERM, {"init_std": 1.0}, "σ_0 √e_d = 11.2, needs ≤ r = 1"),
        ],
    )
    def test_each_can_fail(self, method, changes, unmet):
        verdict, texts = self.verdicts(method, **changes)
        assert verdict == "assumptions not met"
        assert any(text.startswith(unmet) for text in texts), texts

    def test_cutmix_needs_no_feature_noise_and_the_others_no_small_noise_ratio(self):
        assert self.verdicts(CUTMIX, feature_noise=0.0) == ("holds", [])
        assert self.verdicts(ERM, dim=4000) == ("holds", [])

    def test_a_stated_rarity_is_the_claim_and_no_assumption(self):
        # The population says otherwise; the samples decide.
        assert self.verdicts(ERM, rarity=("common", "common", "extremely_rare"))[0] in ("inconclusive", "violated")

    def test_a_derived_rarity_holds_by_construction_unless_it_is_borderline(self):
        # At α = 0.1 Cutout learns the second feature from step 72 on, and of 100 with noise of 1.5 times the energy none.
        verdict, unmet = self.verdicts(ERM, rarity=None, feature_noise=0.1)
        assert verdict == "assumptions not met"
        assert unmet == [
            "feature 2: borderline, needs to be clearly common, rare or extremely rare (R(σ_d) = 0.36, R(σ_b) = 1)"
        ]
        assert self.verdicts(CUTMIX, rarity=None) == ("holds", [])
        clear = {"rarity": None, "dominant_noise_std": 0.05, "background_noise_std": 0.0125, "feature_noise": 0.2}
        experiment = EXPERIMENT.replace(distribution=EXPERIMENT.distribution.replace(**clear))
        rows = verdict_of([made_run(seed=seed) for seed in range(6)], Terms(experiment)).assumptions
        assert sum("by construction" in row.text for row in rows) + sum("borderline" in row.text for row in rows) == 3


def test_cutout_of_any_size_is_judged_by_its_own_runs():
    both = (ag.Cutout(num_cut=1), ag.Cutout(num_cut=2))
    experiment = EXPERIMENT.replace(methods=both, distribution=EXPERIMENT.distribution.replace(num_patches=5))
    runs = [made_run(both[1], seed) for seed in range(6)]
    verdict = theorem_verdict(ag.THEOREMS[1], both[1], Terms(experiment), runs)
    assert (verdict.verdict, verdict.title) == ("holds", "3.2 Cutout learns the rare features too, Cutout (C = 2)")
