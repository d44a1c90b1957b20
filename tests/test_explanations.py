"""What reports say beside their numbers: what the words mean, why a theorem does not hold here, and what to try next."""

from __future__ import annotations

import shlex

import pytest
from verdict_cases import CUTMIX, CUTOUT, ERM, EXPERIMENT, made_run

import augscope as ag
from augscope.cli import app
from augscope.theorems.explanations import introduction, next_step, reasons
from augscope.theorems.limit import LimitVerdict
from augscope.theorems.record import Results
from augscope.theorems.statements import Terms
from augscope.theorems.verification import judge_runs

HOLDS_IN_LIMIT = LimitVerdict(((1.0, None),), 100, True, 1e12)
FAILS_IN_LIMIT = LimitVerdict((), 100, True, 1e12)
LEARNED = {"accuracy_per_feature": (1, 1, 0.5), "accuracy": 0.975}  # of ERM, with a feature that it should not learn


def results_of(num_seeds=6, experiment=EXPERIMENT, limit=None, **erm) -> Results:
    """A verification in which all theorems hold, but for ERM's measures given."""
    runs = [made_run(method, seed) for seed in range(num_seeds) for method in (CUTOUT, CUTMIX)]
    runs += [made_run(ERM, seed, **erm) for seed in range(num_seeds)]
    limits = {} if limit is None else {ERM: (limit, runs[-1])}
    verdict = judge_runs(Terms(experiment), tuple(range(num_seeds)), runs, False, 0.0, limits=limits)
    return Results("verify", experiment, tuple(range(num_seeds)), tuple(runs), verdict, "augscope verify")


def with_dim(dim: int) -> ag.Experiment:
    return EXPERIMENT.replace(distribution=EXPERIMENT.distribution.replace(dim=dim))


def test_the_words_are_explained_as_far_as_they_are_used():
    text = introduction(EXPERIMENT)
    assert all(word in text for word in ("ERM", "feature", "ρ", "κ", "plateau"))
    assert "κ" not in introduction(EXPERIMENT.replace(methods=(ERM,)))


class TestReasons:
    def test_there_are_none_where_everything_holds(self):
        assert reasons(results_of().verdict) == []

    def test_an_unmet_assumption_is_said_once_for_all_that_share_it(self):
        (text,) = reasons(results_of(experiment=with_dim(4_000)).verdict)
        assert text.startswith("Theorem 3.3, Order by accuracy: assumptions not met. κ = 0.532, needs ≤ 0.5")

    def test_a_violation_says_whether_the_size_is_to_blame(self):
        text = reasons(results_of(limit=HOLDS_IN_LIMIT, **LEARNED).verdict)[0]
        assert text.startswith(
            "Theorem 3.1: violated: in 6 of 6 samples test accuracy on feature 2 (rare) is out of range"
        )
        assert text.endswith("although the high-dimensional limit holds.")
        text = reasons(results_of(limit=FAILS_IN_LIMIT, **LEARNED).verdict)[0]
        assert "not a matter of sample size" in text

    def test_what_is_undecided_says_what_would_decide_it(self):
        assert "It has 2 samples that count, and 6 are the fewest" in reasons(results_of(2).verdict)[0]
        text = reasons(results_of(margin=-1.0).verdict)[0]
        assert text.startswith(
            "Theorem 3.1: inconclusive. Most samples are undecided at T: in 6 of 6 samples smallest y f(X)"
        )
        assert text.endswith("More steps may decide them.")


class TestNextStep:
    @pytest.mark.parametrize(
        ("results", "options"),
        [
            (results_of(), "--until 1e12 --seeds 6"),
            (results_of(2), "--seeds 8"),
            (results_of(experiment=with_dim(4_000)), "--seeds none"),
            (results_of(limit=FAILS_IN_LIMIT, **LEARNED), "--rarity derive --seeds 6"),
            (results_of(margin=-1.0), "--num-steps 400 --seeds 20"),
        ],
    )
    def test_of_a_verification(self, results, options):
        command = next_step(results, "my runs/config.toml").command
        assert command == f"augscope verify --config 'my runs/config.toml' {options}"
        app.parse_args(shlex.split(command)[1:], exit_on_error=False, print_error=False)

    @pytest.mark.parametrize(
        ("run", "command"),
        [
            (made_run(), "verify --config config.toml --seeds 8"),
            (made_run(oscillating=True), "train --config config.toml --step-size 0.1"),
        ],
    )
    def test_of_a_training(self, run, command):
        results = Results("train", EXPERIMENT, (0,), (run,), None, "augscope train")
        assert next_step(results).command == f"augscope {command}"
        app.parse_args(command.split(), exit_on_error=False, print_error=False)

    def test_of_a_population_which_has_no_seeds(self):
        experiment = EXPERIMENT.in_population((ERM,))
        results = Results("train", experiment, (None,), (made_run(seed=None),), None, "augscope train")
        assert next_step(results).command.endswith("--coordinates reduced --seeds 3")
