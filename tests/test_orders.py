"""The order ERM < Cutout < CutMix as a verdict, by features learned and by accuracy; and the words on all methods' means."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from verdict_cases import CUTMIX, CUTOUT, ERM, EXPERIMENT, TERMS, made_run

import augscope as ag
from augscope.theorems.orders import describe_orders, judge_orders
from augscope.theorems.statements import Terms

METHODS = {"erm": ERM, "cutout": CUTOUT, "cutmix": CUTMIX}
IN_ORDER = {"erm": (1, 0.9), "cutout": (2, 0.975), "cutmix": (3, 1.0)}


def runs_of(seed=0, **results):
    """A run a method, from the last record: (features learned, accuracy)."""
    made = []
    for name, (count, accuracy) in {**IN_ORDER, **results}.items():
        scores = np.repeat([1.0, 0.0], [count, 3 - count])
        made.append(made_run(METHODS[name], seed, accuracy=accuracy, feature_scores=scores))
    return made


def verdicts(runs, terms=TERMS):
    by_features, by_accuracy = judge_orders(terms, runs)
    return by_features, by_accuracy


def with_rarity(*rarity, **changes):
    return Terms(EXPERIMENT.replace(distribution=EXPERIMENT.distribution.replace(rarity=rarity, **changes)))


def test_it_holds_where_both_steps_rise():
    runs = [run for seed in range(6) for run in runs_of(seed)]
    for finding in verdicts(runs):
        assert (finding.verdict, finding.tally) == ("holds", (6, 0, 0))
    by_features, by_accuracy = verdicts(runs)
    assert by_features.title == "Order ERM < Cutout < CutMix by features learned"
    assert [(line.text, line.required, line.measured, line.samples_true) for line in by_features.lines] == [
        ("Cutout over ERM", "> 0", 1.0, 6),
        ("CutMix over Cutout", "> 0", 1.0, 6),
    ]
    assert [line.measured for line in by_accuracy.lines] == pytest.approx([0.075, 0.025])
    assert "6 of 6 samples hold, 0 fail, 0 undecided at T" in str(by_features)


@pytest.mark.parametrize(
    ("results", "by_features", "by_accuracy"),
    [
        ({"cutout": (1, 0.9)}, "undecided", "undecided"),  # no rise where one is asked for
        ({"cutout": (0, 0.89)}, "fails", "fails"),
        ({"cutmix": (3, 0.95)}, "holds", "fails"),  # each measure apart
        ({"cutmix": (1, 1.0)}, "fails", "holds"),
        ({"erm": (3, 0.99), "cutout": (3, 0.995)}, "undecided", "holds"),
    ],
)
def test_a_sample(results, by_features, by_accuracy):
    assert [finding.samples[0].verdict for finding in verdicts(runs_of(**results))] == [by_features, by_accuracy]


def test_a_fall_counts_only_where_training_is_done():
    runs = runs_of(cutout=(0, 0.89))
    unfitted = replace(runs[0], history=replace(runs[0].history, margin=np.full(5, -1.0)))
    assert [finding.tally for finding in verdicts([unfitted, *runs[1:]])] == [(0, 0, 1), (0, 0, 1)]


def test_a_rise_is_asked_for_only_where_a_feature_of_that_rarity_is():
    runs = runs_of(erm=(2, 0.975), cutout=(2, 0.975))
    assert [finding.samples[0].verdict for finding in verdicts(runs)] == ["undecided", "undecided"]
    terms = with_rarity("common", "common", "extremely_rare")
    assert [finding.samples[0].verdict for finding in verdicts(runs, terms)] == ["holds", "holds"]
    assert [line.required for line in verdicts(runs, terms)[0].lines] == ["≥ 0", "> 0"]


def test_a_difference_within_the_error_bounds_is_none():
    close = runs_of(erm=(2, 0.975 + 5e-9), cutout=(2, 0.975))
    terms = with_rarity("common", "common", "extremely_rare")
    assert verdicts(close, terms)[1].samples[0].verdict == "fails"
    bound = np.full(5, 4e-9)
    close = [replace(run, history=replace(run.history, accuracy_error=bound)) for run in close]
    assert verdicts(close, terms)[1].samples[0].verdict == "holds"


def test_without_cutout_cutmix_follows_erm():
    terms = Terms(EXPERIMENT.replace(methods=(ERM, CUTMIX)))
    by_features, _ = verdicts([run for run in runs_of() if run.method != CUTOUT], terms)
    assert (by_features.title, by_features.lines[0].text) == (
        "Order ERM < CutMix by features learned",
        "CutMix over ERM",
    )
    assert judge_orders(Terms(EXPERIMENT.replace(methods=(ERM,))), runs_of()) == ()


def test_every_cutout_counts_and_other_methods_do_not():
    large, other = ag.Cutout(num_cut=2), ag.FunctionMethod(function=lambda scores, labels: scores.sum())
    experiment = EXPERIMENT.replace(
        methods=(ERM, CUTOUT, large, CUTMIX, other), distribution=EXPERIMENT.distribution.replace(num_patches=5)
    )
    runs = runs_of()
    worse = replace(runs[0], method=large)  # learns what ERM does
    by_features, _ = verdicts([*runs, worse, replace(runs[0], method=other)], Terms(experiment))
    assert len(by_features.lines) == 4
    assert by_features.samples[0].verdict == "undecided"
    assert "Cutout (C = 2)" in by_features.samples[0].missing


def test_a_run_that_does_not_come_to_rest_leaves_its_sample_undecided_and_one_cut_short_leaves_it_out():
    runs = runs_of()
    for state in ({"oscillating": True}, {"status": "diverged"}):
        assert verdicts([replace(runs[0], **state), *runs[1:]])[0].tally == (0, 0, 1)
    assert verdicts([replace(runs[0], status="interrupted"), *runs[1:]])[0].tally == (0, 0, 0)


def test_a_sample_without_a_feature_is_set_aside():
    lacking = [replace(run, feature_counts=((9, 9, 9), (9, 9, 0))) for run in runs_of()]
    by_features, _ = verdicts(lacking)
    assert by_features.tally == (0, 0, 0)
    assert "Set aside: seed 0" in str(by_features)


def test_the_noise_ratio_is_assumed_for_accuracy_alone():
    terms = with_rarity("common", "rare", "extremely_rare", dim=4000)
    runs = [run for seed in range(6) for run in runs_of(seed)]
    assert [finding.verdict for finding in verdicts(runs, terms)] == ["holds", "assumptions not met"]


class TestInWords:
    """All methods in both orders, from their means."""

    def described(self, experiment, **results):
        runs = [run for run in runs_of(**results) if run.method in [METHODS[name] for name in results]]
        return describe_orders(experiment, runs)

    def test_they_agree(self):
        features, accuracy, relation = self.described(EXPERIMENT, cutmix=(3, 1.0), erm=(1, 0.9), cutout=(2, 0.975))
        assert features == "By features learned: ERM (1) < Cutout (2) < CutMix (3) (of 3)."
        assert accuracy == "By test accuracy: ERM (0.9000) < Cutout (0.9750) < CutMix (1.0000)."
        assert relation == "The two orders agree."

    def test_a_tie_in_one_order_is_no_difference(self):
        features, _, relation = self.described(EXPERIMENT, erm=(1, 0.91), cutout=(1, 0.9))
        assert features == "By features learned: ERM (1) = Cutout (1) (of 3)."
        assert relation == "The two orders agree."

    def test_large_test_noise_explains_cutmix(self):
        *_, relation = self.described(ag.presets.figure, cutout=(2, 0.96), cutmix=(3, 0.92))
        assert "CutMix learns more features than Cutout but predicts worse" in relation
        assert "κ = 0.75" in relation
        assert "needs κ ≪ 1" in relation

    def test_small_test_noise_explains_nothing(self):
        *_, relation = self.described(ag.presets.theorem, cutout=(2, 0.96), cutmix=(3, 0.92))
        assert "does not explain it (κ = 0.075" in relation

    def test_one_method_has_no_order(self):
        assert self.described(ag.presets.theorem, erm=(1, 0.9)) == []
