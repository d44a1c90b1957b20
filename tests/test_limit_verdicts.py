"""Theorems in the limit: windows of the population, against the history at every step, and how both parts make a verdict."""

from __future__ import annotations

import json

import numpy as np
import pytest
from commands import thinned
from threadpoolctl import threadpool_info, threadpool_limits

import augscope as ag
from augscope.theorems.assumptions import Assumption
from augscope.theorems.limit import LimitVerdict, judge_limit, judge_limits
from augscope.theorems.record import Results, read_results, to_record
from augscope.theorems.statements import Terms, theorem_for
from augscope.theorems.verdicts import combine

THEOREM = ag.presets.theorem
ERM, CUTOUT, CUTMIX = THEOREM.methods


def judged(method: ag.Method, **changes) -> LimitVerdict:
    distribution = THEOREM.distribution.replace(
        **{name: changes.pop(name) for name in ("feature_noise",) if name in changes}
    )
    return judge_limit(theorem_for(method), method, Terms(THEOREM.replace(distribution=distribution, **changes)))[0]


def test_judging_side_by_side_leaves_as_many_threads_as_before():
    def threads() -> list[int]:
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    terms = Terms(THEOREM.replace(num_steps=100))
    with threadpool_limits(2, "blas"):  # the tests themselves run with one
        before = threads()
        verdicts = judge_limits([(theorem_for(method), method) for method in (ERM, CUTOUT)], terms)
        assert threads() == before
    assert set(verdicts) == {ERM, CUTOUT}
    assert min(before) == 2


class TestWindows:
    """Figures of model.md §8.4 and §8.5, from an independent prototype."""

    def test_erm(self):
        assert judged(ERM).windows == ((1, None),)
        ((opens, closes),) = judged(ERM, feature_noise=0.1).windows
        assert opens == 13  # 0.900 from there on; before, the rare feature is learned too
        assert closes == pytest.approx(2.2e5, rel=0.03)

    def test_cutout(self):
        ((opens, closes),) = judged(CUTOUT).windows
        assert opens == 323
        assert closes == pytest.approx(3.4e11, rel=0.02)
        first, second = judged(CUTOUT, feature_noise=0.1).windows
        assert first == (1, 18)
        assert second[0] == 72
        assert second[1] == pytest.approx(3.6e5, rel=0.02)

    def test_a_flow_from_0(self):
        verdict = judged(CUTOUT, until=1e6)
        assert verdict.unit == "t ="
        assert verdict.longest[1] == pytest.approx(3.7e11, rel=0.02)

    @pytest.mark.parametrize(
        "method", thinned(THEOREM.methods, lambda method: method == CUTOUT), ids=lambda method: method.title
    )
    def test_every_step_is_judged_as_the_history_would_be(self, method):
        experiment = THEOREM.replace(num_steps=1_100, record_at=(0, 1_100))  # more than are held at once
        verdict, _ = judge_limit(theorem_for(method), method, Terms(experiment))
        population = experiment.in_population([method]).replace(record_at=tuple(range(1_101)))
        run = population.run(method, population.sample(None))
        exact = Terms(experiment, 1e-9, 0.0)
        conditions = [one for part in theorem_for(method).statements for one in part.conditions(run.history, exact)]
        true = np.all([one.true for one in conditions], axis=0)
        true[0] = False
        changes = np.flatnonzero(np.diff(true.astype(int))) + 1
        ends = [step for window in verdict.windows for step in window if step is not None and step <= 1_100]
        assert changes.tolist() == ends
        assert len(changes) > 0


class TestVerdict:
    @pytest.mark.parametrize(
        ("windows", "end", "lasting", "verdict", "text"),
        [
            (((10, None),), 100, True, "holds", "holds from step 10 to beyond 1e+12"),
            (((60, None),), 100, True, "inconclusive", "inconclusive, begins at step 60"),
            (((50, None),), 100, True, "holds", "holds from step 50 to beyond 1e+12"),
            (((1, 80),), 100, True, "fails", "fails, ended at step 80"),
            (((1, 4), (30, 900)), 100, True, "holds", "holds from step 30 to 900"),
            (((60, 90),), 100, True, "fails", "fails, at no step up to 1e+12"),  # no window with T_end ≥ 2 T_m
            ((), 100, True, "fails", "fails, at no step up to 1e+12"),
            (((60, 90),), 100, False, "holds", "holds, all three first true at step 60"),
            (((160, None),), 100, False, "inconclusive", "inconclusive, all three first true at step 160"),
            ((), 100, False, "fails", "fails, at no step up to 1e+12"),
        ],
    )
    def test_of_windows(self, windows, end, lasting, verdict, text):
        made = LimitVerdict(windows, end, lasting, 1e12)
        assert (made.verdict, made.text) == (verdict, text)
        assert LimitVerdict.from_dict(json.loads(json.dumps(made.to_dict()))) == made

    @pytest.mark.parametrize(
        ("here", "limit", "verdict"),
        [
            ("holds", "holds", "holds"),
            ("holds", None, "holds"),
            (None, "holds", "holds"),
            ("holds", "fails", "inconclusive"),
            ("inconclusive", "fails", "violated"),
            (None, "fails", "violated"),
            ("violated", "holds", "violated"),
            ("inconclusive", "holds", "inconclusive"),
            ("holds", "inconclusive", "inconclusive"),
            (None, None, "inconclusive"),
        ],
    )
    def test_of_both_parts(self, here, limit, verdict):
        assert combine([Assumption("met", True)], here, limit) == verdict
        assert combine([Assumption("not met", False)], here, limit) == "assumptions not met"


class TestVerify:
    def test_the_limit_alone(self):
        verdict = ag.verify(THEOREM, seeds=())
        assert verdict.exit_status == 0
        assert [one.verdict for one in verdict.theorems] == ["holds"] * 3
        assert [one.observed for one in verdict.theorems] == [
            f"in the limit: {one.limit.text}" for one in verdict.theorems
        ]
        assert not verdict.runs
        assert not verdict.orders
        assert [run.seed for run in verdict.population] == [None] * 3

    def test_methods_without_a_theorem_are_named(self):
        verdict = ag.verify(THEOREM.replace(methods=(ag.Erm(), ag.Mixup(law=0.5))), seeds=())
        assert [run.method.title for run in verdict.population] == ["ERM"]
        assert str(verdict).splitlines()[-1].startswith("No theorem speaks of Mixup")

    def test_a_sample_that_its_counts_spoil(self, tmp_path):
        """Seed 4 has too few points of the rarest feature for CutMix at T = 2,000, d infinite or not."""
        experiment = THEOREM.replace(num_samples=150, num_steps=2_000, methods=(CUTMIX,))
        verdict = ag.verify(experiment, seeds=[4])
        (theorem,) = verdict.theorems
        assert [one.verdict for one in theorem.samples] == ["undecided"]
        assert [one.verdict for one in theorem.own_limits] == ["undecided"]
        assert "Why samples do not hold: in 1 (seed 4) the cause is how many points have each feature" in str(theorem)
        results = Results("verify", experiment, (4,), verdict.runs, verdict, "again", verdict.population)
        (tmp_path / "record.json").write_text(json.dumps(to_record(results)))
        again = read_results(tmp_path)
        assert str(again.verdict) == str(verdict)
        assert to_record(again) == to_record(results)

    def test_a_population_has_no_samples_to_verify(self):
        with pytest.raises(ValueError, match=r"`coordinates` must not be 'population' for a verification.*`seeds`"):
            ag.verify(THEOREM.replace(coordinates="population"), seeds=())
