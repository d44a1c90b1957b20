"""Intervals and tests over seeds, against closed forms and their stated error rates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from augscope.support.statistics import clopper_pearson, crossed_share, holm, mean_interval, paired_difference


def test_clopper_pearson_is_the_exact_interval():
    expected = stats.binomtest(7, 20).proportion_ci(method="exact")
    assert clopper_pearson(7, 20) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert clopper_pearson(0, 5)[0] == 0
    assert clopper_pearson(5, 5)[1] == 1
    assert clopper_pearson(0, 0) == (0, 1)
    with pytest.raises(ValueError, match="successes"):
        clopper_pearson(6, 5)


def test_paired_difference_is_the_t_test():
    first, second = np.random.default_rng(0).normal(size=(2, 12))
    difference = paired_difference(first, second)
    expected = stats.ttest_rel(first, second)
    low, high = expected.confidence_interval()
    assert difference == pytest.approx((np.mean(first - second), low, high, expected.pvalue), abs=1e-12)


def test_differences_without_spread_or_with_one_seed():
    assert paired_difference(np.ones(4), np.ones(4)).p_value == 1
    assert paired_difference(np.ones(4), np.zeros(4)).p_value == 0.125
    shares = np.array([0.1, 0.2, 0.7])  # 0.2 − 0.1, 0.3 − 0.2 and 0.8 − 0.7 differ in the last digits
    assert len(set(shares + 0.1 - shares)) > 1
    assert paired_difference(np.array([0.2, 0.3, 0.8]), shares).p_value == 0.25
    alone = paired_difference(np.array([1.0]), np.array([0.0]))
    assert alone.p_value == 1
    assert alone.high == np.inf
    assert mean_interval([2.0, 2.0]) == (2, 2, 2)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]).shape == (0,)


def test_holm_keeps_its_false_alarm_rate():
    """2,000 families of 8 true nulls at level 0.05: more than 140 with a claim has probability 2e-5."""
    families = np.random.default_rng(1).uniform(size=(2_000, 8))
    claims = sum(bool((holm(family) <= 0.05).any()) for family in families)
    assert claims <= 140
    assert claims >= 50  # Holm is nearly exact for independent tests: fewer has probability below 1e-6


class TestFewNetworks:
    """What docs/audit.md says of three and five seeds: how often the crossed intervals hold the mean over all networks.

    200 test images, answered independently; 2,000 audits of fixed keys, so that a coverage is known to ± 0.02 at 95 %.
    """

    @pytest.mark.parametrize(("networks", "stated"), [(3, 0.80), (5, 0.83)])
    def test_very_skewed_effects(self, networks, stated):
        # A network errs on 2 % times a log-normal number with σ = 1.5: half of the networks on less than 2 %, one in twenty on 24 %.
        errors = 0.02 * np.exp(1.5 * np.random.default_rng(0).normal(size=(2_000, networks)))
        truth = 1 - np.minimum(0.02 * np.exp(1.5 * stats.norm.isf((np.arange(100_000) + 0.5) / 100_000)), 1).mean()
        assert coverage(1 - np.minimum(errors, 1), truth) == pytest.approx(stated, abs=0.005)

    @pytest.mark.parametrize(("networks", "stated"), [(3, 0.30), (5, 0.41)])
    def test_one_network_in_ten_collapses(self, networks, stated):
        # It is right on a tenth of the images, as if it always gave one of ten classes; the others on 95 %.
        shares = np.where(np.random.default_rng(1).random((2_000, networks)) < 0.1, 0.1, 0.95)
        assert coverage(shares, 0.865) == pytest.approx(stated, abs=0.005)


def coverage(shares: np.ndarray, truth: float) -> float:
    """How often the interval of an audit, a row of its networks' shares of right answers, holds the truth."""
    right = np.random.default_rng(2).random((*shares.shape, 200)) < shares[:, :, None]
    intervals = [crossed_share(audit) for audit in right]
    return float(np.mean([interval.low <= truth <= interval.high for interval in intervals]))
