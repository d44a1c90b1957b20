"""Theorem windows along a flow: where they open and close, their words, and `verify` with `until`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import augscope as ag
from augscope.theorems.samples import judge_sample
from augscope.theorems.windows import TheoremWindow, Window, longest_window, up_to

TIMES = np.array([0, 1, 10, 100, 1_000.0])


class TestLongestWindow:
    def test_the_longest_stretch_counts_and_its_edges_are_interpolated(self):
        opens, closes = longest_window(TIMES, np.array([-1, 1, -1, 3, -1.0]))
        # Zeros of straight lines in log(1 + t): a quarter of the way from 10 to 100, three quarters from 100 to 1,000.
        logs = np.log1p(TIMES)
        assert opens == pytest.approx(np.expm1(logs[2] + (logs[3] - logs[2]) / 4), rel=1e-12)
        assert closes == pytest.approx(np.expm1(logs[3] + 3 / 4 * (logs[4] - logs[3])), rel=1e-12)

    def test_one_that_holds_to_the_end_does_not_close(self):
        assert longest_window(TIMES, np.array([1, 1, 1, 1, 1.0])) == (0.0, None)

    def test_one_that_never_holds_never_opens(self):
        assert longest_window(TIMES, np.array([-1, -1, -1, -1, -1.0])) == (None, None)

    def test_what_is_not_a_number_does_not_hold(self):
        opens, closes = longest_window(TIMES, np.array([np.nan, 1, 1, np.nan, -1.0]))
        # The edge lies somewhere before the next record: what is known to hold counts, no more.
        assert (opens, closes) == pytest.approx((1.0, 10.0), rel=1e-14)  # through log1p and back


class TestInWords:
    def made(self, *windows):
        return TheoremWindow("3.1 (2)", 0.9, 0.01, 1e6, tuple(Window(i, *pair, 1e6) for i, pair in enumerate(windows)))

    def test_one_seed(self):
        text = str(self.made((7.0, 2e5)))
        assert text == "Window of 3.1 (2), overall accuracy 0.9 ± 0.01: from t = 7 to t = 2e+05."

    def test_never_entered(self):
        assert str(self.made((None, None), (None, None))).endswith("never reached up to t = 1e+06, in 2 seeds.")

    def test_some_do_not_end(self):
        text = str(self.made((7.0, 2e5), (8.0, None), (9.0, None), (None, None)))
        assert "from t = 8 (median of 3 seeds; 7 to 9)" in text
        assert "to t = beyond 1e+06 (median of 3 seeds; 2e+05 to beyond 1e+06)" in text
        assert text.endswith("never reached in 1 of 4 seeds.")

    def test_no_run_that_counts(self):
        assert str(self.made()).endswith("no run that counts reached t = 1e+06.")

    def test_none_ends(self):
        assert str(self.made((7.0, None), (8.0, None))).endswith("not left within t = 1e+06.")


@pytest.fixture(scope="module")
def verdict():
    """ERM at the theorem preset: its window of ± 0.01 opens before t = 10 and closes after 1e9 (model.md §7 says it ends)."""
    experiment = ag.presets.theorem.replace(methods=(ag.Erm(),))
    return ag.verify(experiment, seeds=[2], until=1e12)


def test_verify_tells_the_window_and_judges_at_the_descents_last_step(verdict):
    (window,) = verdict.windows
    (only,) = window.windows
    history = verdict.runs[0].history
    distance = np.abs(history.accuracy - 0.9)
    inside = (history.steps >= only.opens) & (history.steps <= only.closes)
    assert distance[inside].max() <= 0.01
    after = history.steps > only.closes
    assert distance[after].min() > 0.01
    assert 1 < only.opens < 100 < 1e6 < only.closes < 1e12
    assert verdict.terms.end == 10_000
    assert verdict.theorems[0].samples_holding == 1
    assert "1 of 1 samples hold, 0 fail, 0 undecided at T = 10,000" in str(verdict.theorems[0])
    assert str(window) in str(verdict)


def test_a_window_is_that_of_descent_where_both_can_be_seen(verdict):
    # Descent follows the flow to first order in η: it opened about 1 later at η = 1, so about 0.1 later is expected at η = 0.1,
    # and interpolation between records adds as much again.
    descent = ag.presets.theorem.replace(
        methods=(ag.Erm(),), step_size=0.1, num_steps=400, record_at=tuple(range(0, 401, 5))
    )
    run = descent.run(ag.Erm(), descent.sample(2))
    opens, closes = longest_window(0.1 * run.history.steps, 0.01 - np.abs(run.history.accuracy - 0.9))
    assert closes is None
    assert opens == pytest.approx(verdict.windows[0].windows[0].opens, abs=0.2)


def test_a_run_up_to_a_time_keeps_its_earlier_records(verdict):
    run = verdict.runs[0]
    cut = up_to(run, 100.0)
    assert cut.history.steps[-1] <= 100.0 < run.history.steps[len(cut.history.steps)]
    assert np.array_equal(cut.history.accuracy, run.history.accuracy[: len(cut.history.steps)])


def test_an_experiment_without_flow_is_named_as_before_and_one_with_it_differs():
    # A descent's identity does not change because flows exist; the SHA-256 itself pins the canonical form.
    assert ag.presets.theorem.replace(until=1e12).identity != ag.presets.theorem.identity
    assert ag.presets.theorem.replace(until=None).identity == ag.presets.theorem.identity


def test_a_flow_is_recorded_at_the_horizon():
    experiment = ag.presets.theorem.replace(num_samples=30, num_steps=77, until=1e3, methods=(ag.Erm(),))
    run = experiment.run(ag.Erm(), experiment.sample(0))
    assert 77.0 in run.history.steps
    assert experiment.horizon == 77.0


@pytest.mark.parametrize("until", [0.0, -1.0, float("inf"), float("nan")])
def test_a_bad_end_is_refused(until):
    with pytest.raises(ValueError, match="until"):
        ag.presets.theorem.replace(until=until)


def test_steps_to_record_are_refused_for_a_flow():
    with pytest.raises(ValueError, match="`record_at` holds steps, which a flow does not have"):
        ag.presets.theorem.replace(until=1e3, record_at=(0, 10))


def test_a_seed_that_is_set_aside_has_no_window():
    # At n = 4 some feature is missing from any sample: 3 features of 2 labels.
    small = ag.presets.theorem.replace(num_samples=4, methods=(ag.Erm(),), until=10.0)
    (window,) = ag.verify(small, seeds=[0]).windows
    assert window.windows == ()


def test_a_flow_that_gave_up_after_the_horizon_is_judged_to_it(verdict):
    (run,) = verdict.runs
    for status, result in (("unfinished", "holds"), ("diverged", "undecided")):
        cut = up_to(replace(run, status=status), 10_000)
        assert judge_sample(ag.THEOREMS[0], cut, verdict.terms).verdict == result
