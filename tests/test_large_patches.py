"""Cutout without a table of subsets: against enumeration, closed forms and sharper arithmetic."""

from __future__ import annotations

import math
import re

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import oracle
import pytest
from scipy.special import expit

import augscope as ag
from augscope.model.methods import cut_frequencies, softplus_series

# The project's bar. The series errs by 1e-14 (proved); its sums of order L ≈ (Z + 33)/2 round by some 1e-16 (1 + Z).
TOLERANCE = 1e-12


def evaluate(method: ag.Method, scores, labels) -> tuple[float, np.ndarray]:
    value, gradient = method.loss_and_gradient(scores, labels)
    return float(value), np.asarray(gradient)


def assert_close(found, expected, scores: np.ndarray) -> None:
    """1e-12 (1 + max|z|) for the loss, 1e-12/n for gradient entries; |z| is at most the sum of a point's |scores|."""
    largest = np.abs(scores).max(axis=0).sum()
    assert abs(found[0] - expected[0]) <= TOLERANCE * (1 + largest)
    np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=TOLERANCE / len(scores))


def some_points(num_samples: int, num_patches: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([num_samples, num_patches])
    return rng.normal(0, spread, (num_samples, num_patches)), np.where(np.arange(num_samples) % 3 == 0, -1, 1)


class TestSeries:
    @pytest.mark.parametrize("largest", [0.0, 1e-6, 1.0, 30.0, 1e4])
    def test_the_error_is_the_one_proved(self, largest):
        terms = softplus_series.series(jnp.asarray(largest))
        omega, weight = (np.asarray(part) for part in terms.frequencies(0, int(terms.num_frequencies) + 8))
        z = np.linspace(-largest, largest, 501)
        half_period = float(terms.half_period)
        waves = np.outer(z, omega)
        losses = np.log(2) - z / 2 + z**2 / (4 * half_period) + (1 - np.cos(waves)) @ weight
        slopes = -0.5 + z / (2 * half_period) + np.sin(waves) @ (omega * weight)
        bound = softplus_series.error_bound(np.float64)
        assert bound == pytest.approx(1e-14, rel=1e-3)
        # Rounding: sums of numbers up to L and of cosines of phases up to 10 largest, which round by 1e-16 of them each;
        # the weights of high frequencies are small, which leaves a few 1e-15 of 1 + largest for the loss, 1e-14 for the slope.
        rounding = 4e-15 * (1 + largest)
        np.testing.assert_allclose(losses, np.logaddexp(0, -z), rtol=0, atol=bound + rounding)
        np.testing.assert_allclose(slopes, -expit(-z), rtol=0, atol=bound + 1e-13)

    def test_fewer_frequencies_or_a_shorter_period_would_not_do(self):
        # The measure can fail: with half the frequencies, or a range three times as large, errors are far above the bound.
        terms = softplus_series.series(jnp.asarray(5.0))
        half = int(terms.num_frequencies) // 2
        omega, weight = (np.asarray(part) for part in terms.frequencies(0, 2 * half))
        half_period = float(terms.half_period)
        for count, z in ((half, 3.0), (2 * half, 40.0)):
            loss = np.log(2) - z / 2 + z**2 / (4 * half_period) + (1 - np.cos(z * omega[:count])) @ weight[:count]
            assert abs(loss - np.logaddexp(0, -z)) > 1e-11

    def test_the_weights_are_the_fourier_coefficients(self):
        # By quadrature of the definition, at 30 digits: c_k = (1/L) ∫ s(z) cos(ω_k z) dz.
        terms = softplus_series.series(jnp.asarray(3.0))
        omega, weight = terms.frequencies(0, 12)
        with mpmath.workdps(30):
            for w, c in zip(np.asarray(omega)[::4], np.asarray(weight * omega**2)[::4], strict=True):
                integral = mpmath.quad(
                    lambda z, w=w: mpmath.cos(w * z) / (4 * mpmath.cosh(z / 2) ** 2), np.arange(-100, 101, 4)
                )
                assert c == pytest.approx(float(integral / float(terms.half_period)), rel=1e-13)

    @pytest.mark.parametrize("largest", [1e7, np.inf, np.nan])
    def test_too_many_frequencies_give_nan_at_once(self, largest):
        terms = softplus_series.series(jnp.asarray(largest))
        assert int(terms.num_frequencies) == 0
        assert np.isnan(float(terms.valid))


class TestCutoutByFrequencies:
    @pytest.mark.parametrize(
        ("num_samples", "num_patches", "num_cut", "spread"),
        [(1, 2, 1, 5), (7, 3, 1, 20), (7, 5, 4, 10), (30, 12, 5, 1), (5, 16, 7, 3), (9, 20, 4, 0)],
    )  # fmt: skip
    def test_agrees_with_enumeration(self, num_samples, num_patches, num_cut, spread):
        scores, labels = some_points(num_samples, num_patches, spread)
        found, expected = (
            evaluate(ag.Cutout(num_cut=num_cut, algorithm=name), scores, labels)
            for name in ("frequencies", "enumerate")
        )
        assert_close(found, expected, scores)

    def test_agrees_with_the_oracle(self):
        scores, labels = some_points(4, 6, 5)
        found = evaluate(ag.Cutout(num_cut=2, algorithm="frequencies"), scores, labels)
        assert_close(found, oracle.cutout(scores, labels, num_cut=2), scores)

    @pytest.mark.parametrize("num_cut", [1, 31, 40])
    def test_sixty_four_patches_of_two_kinds(self, num_cut):
        # 20 patches of one score and 44 of another: how many of the 20 are cut is hypergeometric, which gives the loss.
        high, low = 0.5, -0.25
        scores, labels = np.where(np.arange(64) < 20, high, low)[None, :].repeat(2, axis=0), np.array([1, -1])
        value, gradient = evaluate(ag.Cutout(num_cut=num_cut, algorithm="frequencies"), scores, labels)
        losses, slopes = zip(*(two_kinds(label, num_cut, high, low) for label in labels), strict=True)
        expected = np.array(slopes)[:, np.where(np.arange(64) < 20, 0, 1)] / 2
        assert_close((value, gradient), (np.mean(losses), expected), scores)

    def test_many_points_and_few_at_once(self, monkeypatch):
        scores, labels = (jnp.asarray(array, float) for array in some_points(10, 8, 2))
        method = ag.Cutout(num_cut=3, algorithm="frequencies")
        whole = method.loss_and_gradient(scores, labels)
        monkeypatch.setattr(cut_frequencies, "NUMBERS_AT_ONCE", 3 * 8 * 4 * cut_frequencies.FREQUENCIES_AT_ONCE)
        # 4 chunks of 3 points, the last padded with two of score 0.
        parts = jax.jit(lambda *points: method.raw_loss_and_gradient(*points))(scores, labels)
        # Ten terms added in another order.
        assert float(parts[0]) == pytest.approx(float(whole[0]), rel=1e-14)
        np.testing.assert_allclose(parts[1], whole[1], rtol=0, atol=1e-15)

    def test_trains_as_enumeration_does(self, network):
        distribution = ag.FeatureNoise(
            dim=30, num_patches=6, frequencies=(0.7, 0.3), feature_noise=0.2, dominant_noise_std=0.3, background_noise_std=0.15
        )  # fmt: skip
        dataset = ag.sample_dataset(jax.random.key(0), distribution, num_samples=10, init_std=0.1)
        fast, slow = (
            ag.train(dataset, network, ag.Cutout(num_cut=2, algorithm=name), step_size=0.5, num_steps=30)
            for name in ("frequencies", "enumerate")
        )
        # Gradients differ by 1e-14 or so; 30 steps of size ½ can add that up, and no more.
        np.testing.assert_allclose(fast.weights, slow.weights, rtol=0, atol=1e-12)
        assert abs(np.asarray(fast.weights) - np.asarray(dataset.initial_weights)).max() > 0.01

    def test_scores_out_of_reach_give_nan_and_not_a_wrong_number(self):
        value, gradient = evaluate(ag.Cutout(algorithm="frequencies"), np.full((2, 3), 1e6), np.array([1, -1]))
        assert np.isnan(value)
        assert np.isnan(gradient).all()

    def test_what_does_not_fit_is_refused_with_what_does(self):
        sentence = "makes 1,832,624,140,942,590,534 subsets, more than the 100,000 that can be enumerated: ask for `algorithm` = 'frequencies'"
        with pytest.raises(ValueError, match=re.escape(sentence)):
            ag.Cutout(num_cut=32).loss(np.zeros((1, 64)), np.array([1]))
        with pytest.raises(ValueError, match=re.escape("`num_patches` must be at most 256 for Cutout, got 257")):
            ag.Cutout(algorithm="frequencies").loss(np.zeros((1, 257)), np.array([1]))
        with pytest.raises(ValueError, match=re.escape("`num_cut` must be in [1, P), got 3 with P = 3")):
            ag.Cutout(num_cut=3, algorithm="frequencies").loss(np.zeros((1, 3)), np.array([1]))


def two_kinds(label: int, num_cut: int, high: float, low: float) -> tuple[float, tuple[float, float]]:
    """E ℓ(label · f) for a point with 20 patches of score `high` and 44 of `low`, and its slope in one of either."""
    loss, in_high, in_low = [], [], []
    for cut_high in range(max(0, num_cut - 44), min(20, num_cut) + 1):
        kept_high, kept_low = 20 - cut_high, 44 - (num_cut - cut_high)
        ways = math.comb(20, cut_high) * math.comb(44, num_cut - cut_high) / math.comb(64, num_cut)
        margin = label * (kept_high * high + kept_low * low)
        slope = ways * label * oracle.logistic_slope(margin)
        loss.append(ways * oracle.logistic(margin))
        in_high.append(slope * kept_high / 20)
        in_low.append(slope * kept_low / 44)
    return math.fsum(loss), (math.fsum(in_high), math.fsum(in_low))
