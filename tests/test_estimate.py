"""`ag.estimate`: unbiased, with honest standard errors, at any P; the same key gives the same bits; bad input.

Keys are fixed, so a test that passes once passes always; the rates below say how likely a correct program was to fail when
its key was chosen.
"""

from __future__ import annotations

import re

import jax
import numpy as np
import pytest
from scipy.special import expit

import augscope as ag
from augscope.model.methods import monte_carlo

METHODS = (ag.Erm(), ag.Cutout(num_cut=2), ag.CutMix())
each_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.title)
SCORES = np.random.default_rng(0).normal(0, 2, (5, 4))
LABELS = np.array([1, -1, 1, 1, -1])


def estimate(method: ag.Method, seed: int, num_draws: int, scores=SCORES, labels=LABELS) -> ag.Estimate:
    return ag.estimate(jax.random.key(seed), method, scores, labels, num_draws)


class TestAgainstExactValues:
    @each_method
    def test_unbiased(self, method):
        # 200,000 draws, 40,000 a point: means are normal. 21 numbers within 5 standard errors: false alarms 1.2e-5 a method.
        found = estimate(method, 1, 200_000)
        value, gradient = method.loss_and_gradient(SCORES, LABELS)
        assert abs(found.value - float(value)) <= 5 * found.standard_error
        assert (np.abs(found.gradient - gradient) <= 5 * np.asarray(found.gradient_standard_error)).all()
        # … and that says something: standard errors are a small part of what is estimated.
        assert 0 < found.standard_error < 0.01 * float(value)
        assert 0 < np.max(found.gradient_standard_error) < 0.03 * np.abs(gradient).max()

    @each_method
    def test_standard_errors_are_the_spread_of_estimates(self, method):
        # 400 estimates of 600 draws: a sample standard deviation errs by 1/sqrt(800) = 3.5% (normal means); 25% is 7 of these.
        found = [estimate(method, seed, 600) for seed in range(400)]
        stated = np.sqrt(np.mean([one.standard_error**2 for one in found]))
        assert np.std([one.value for one in found], ddof=1) == pytest.approx(stated, rel=0.25)
        stated = np.sqrt(np.mean([np.asarray(one.gradient_standard_error) ** 2 for one in found], axis=0))
        np.testing.assert_allclose(np.std([one.gradient for one in found], axis=0, ddof=1), stated, rtol=0.25)

    def test_four_times_the_draws_halve_the_error(self):
        # Relative error of a standard error from N draws of bounded kurtosis: 1% at 20,000. 10% is 10 of these.
        few, many = (estimate(ag.CutMix(), 2, count) for count in (20_000, 80_000))
        assert few.standard_error / many.standard_error == pytest.approx(2, rel=0.1)

    @pytest.mark.parametrize("num_cut", [1, 5_000])
    def test_ten_thousand_patches_cut(self, num_cut):
        # All patches of a point alike: every cut leaves the same margin, so the loss has no spread over subsets.
        scores, labels = np.outer([2e-4, -4e-4], np.ones(10_000)), np.array([1, 1])
        found = estimate(ag.Cutout(num_cut=num_cut), 3, 1_000, scores, labels)
        margins = (10_000 - num_cut) * scores[:, 0]
        exact = np.logaddexp(0, -margins).mean()
        # Over points alone: 5 standard errors; false alarms 6e-7. The spread of two values a, b drawn evenly is |a − b|/2.
        assert abs(found.value - exact) <= 5 * found.standard_error
        assert found.standard_error == pytest.approx(np.ptp(np.logaddexp(0, -margins)) / 2 / np.sqrt(1_000), rel=0.02)
        # A patch is kept with probability 1 − C/P. Means over patches: 1,000 draws leave each point 500 ± 16; 20% is 6 of these.
        slopes = -expit(-margins) / 2 * (1 - num_cut / 10_000)
        np.testing.assert_allclose(np.mean(found.gradient, axis=1), slopes, rtol=0.2)

    def test_ten_thousand_patches_mixed(self):
        # One point of score u in total and one of −u, patches alike: f = u (2t − 1), t uniform on [0, 1] up to 1/sqrt(P).
        scores, labels = np.outer([3e-4, -3e-4], np.ones(10_000)), np.array([1, -1])
        found = estimate(ag.CutMix(), 4, 4_000, scores, labels)
        share = np.arange(10_001) / 10_000
        mixed = 3 * (2 * share - 1)
        of_two = np.mean(share * np.logaddexp(0, -mixed) + (1 - share) * np.logaddexp(0, mixed))
        exact = (np.logaddexp(0, -3) + of_two) / 2  # i = j, or not
        assert abs(found.value - exact) <= 5 * found.standard_error
        assert found.standard_error < 0.02 * exact

    def test_sixty_four_patches_mixed_and_their_gradient(self):
        # Points with P equal scores u and −v: f = s u − (P − s) v for |S| = s, uniform on 0 … P.
        scores, labels = np.outer([0.3, -0.2], np.ones(64)), np.array([1, -1])
        found = estimate(ag.CutMix(), 5, 20_000, scores, labels)
        share = np.arange(65) / 64
        mixed = 64 * (0.3 * share - 0.2 * (1 - share))
        of_two = np.mean(share * np.logaddexp(0, -mixed) + (1 - share) * np.logaddexp(0, mixed))
        alone = np.logaddexp(0, -64 * np.array([0.3, 0.2]))
        slope = (1 - share) * expit(mixed) - share * expit(-mixed)
        in_pairs = np.array([np.mean(slope * share), np.mean(slope * (1 - share))])  # a patch of X_i is in S with s/P
        expected = (2 * in_pairs + expit(-64 * np.array([0.3, 0.2])) * [-1, 1]) / 4
        # 129 numbers, of each point's patches strongly alike, within 5 standard errors: false alarms below 8e-5.
        assert abs(found.value - (2 * of_two + alone.sum()) / 4) <= 5 * found.standard_error
        errors = np.abs(found.gradient - expected[:, None])
        assert (errors <= 5 * np.asarray(found.gradient_standard_error)).all()
        assert np.max(found.gradient_standard_error) < 0.05 * np.abs(expected).max()


class TestReproducibility:
    @each_method
    def test_the_same_key_gives_the_same_bits(self, method):
        one, again, other = (estimate(method, seed, 5_000) for seed in (7, 7, 8))
        assert (one.value, one.standard_error) == (again.value, again.standard_error)
        np.testing.assert_array_equal(one.gradient, again.gradient)
        np.testing.assert_array_equal(one.gradient_standard_error, again.gradient_standard_error)
        assert other.value != one.value

    @pytest.mark.parametrize("num_draws", [2, 3, monte_carlo.DRAWS_AT_ONCE, monte_carlo.DRAWS_AT_ONCE + 1, 10_000])
    def test_every_draw_counts_once(self, num_draws):
        # All scores equal: every draw has the same loss and slope, whatever the chunks.
        found = estimate(ag.CutMix(), 5, num_draws, np.full((3, 4), 0.5), np.ones(3, int))
        assert found.num_draws == num_draws
        # Sums of up to 10,000 equal numbers round by some 1e-13 of them.
        assert found.value == pytest.approx(np.log1p(np.exp(-2)), rel=1e-12)
        assert float(found.gradient.sum()) == pytest.approx(-4 * expit(-2), rel=1e-12)
        assert found.standard_error < 1e-12

    def test_the_algorithm_plays_no_part(self):
        one, other = (estimate(ag.CutMix(algorithm=name), 6, 100) for name in ("interpolate", "enumerate"))
        assert one.value == other.value


BAD_INPUT = [
    ((0, ag.Erm(), SCORES, LABELS, 10), "`key` must be a JAX random key such as jax.random.key(0), got 0"),
    ((None, ag.Erm(), SCORES, LABELS, 1), "`num_draws` must be an integer in [2, 2^31 - 1], got 1"),
    ((None, ag.Erm(), SCORES, LABELS, 10.0), "`num_draws` must be an integer in [2, 2^31 - 1], got 10.0"),
    ((None, ag.Erm(), SCORES, LABELS, True), "`num_draws` must be an integer in [2, 2^31 - 1], got True"),
    ((None, ag.Erm(), SCORES, LABELS, 2**31), "`num_draws` must be an integer in [2, 2^31 - 1], got 2147483648"),
    ((None, ag.CutMix(), np.where(SCORES > 2, np.nan, SCORES), LABELS, 10), "`scores` must be finite, got"),
    ((None, ag.CutMix(), SCORES, LABELS * 2, 10), "`labels` must be +1 or -1, got [-2, 2]"),
    ((None, ag.CutMix(), SCORES, LABELS[:4], 10), "`labels` must have shape (5,) to match `scores`, got (4,)"),
    ((None, ag.Cutout(num_cut=4), SCORES, LABELS, 10), "`num_cut` must be in [1, P), got 4 with P = 4"),
    ((None, "cutmix", SCORES, LABELS, 10), "`method` must be Erm, Cutout or CutMix, or define `draw`, got 'cutmix'"),
]


@pytest.mark.parametrize(("arguments", "sentence"), BAD_INPUT, ids=[case[1][:50] for case in BAD_INPUT])
def test_bad_input_is_refused_in_a_sentence(arguments, sentence):
    key, *rest = arguments
    with pytest.raises(ValueError, match=re.escape(sentence)):
        ag.estimate(jax.random.key(0) if key is None else key, *rest)
