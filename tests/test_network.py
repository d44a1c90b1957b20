"""The activation, its slope and inverse, the patch scores and predictions."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest

import augscope as ag

NETWORKS = [ag.Network(negative_slope=beta, smoothing=r) for beta in (1e-3, 0.1, 1.0) for r in (0.01, 1.0, 30.0)]
each_network = pytest.mark.parametrize("network", NETWORKS, ids=str)
POINTS = np.concatenate([np.linspace(-50, 50, 2001), np.linspace(-0.02, 0.02, 41), [1.0, 30.0, 0.01, -0.0, 1e-300]])


def by_oracle(function, network: ag.Network) -> np.ndarray:
    return np.array([function(z, network.negative_slope, network.smoothing) for z in POINTS])


class TestActivation:
    @each_network
    def test_value_and_slope(self, network):
        # Three products and two sums of numbers up to 50: a few units in the last place of the largest, 1e-14.
        np.testing.assert_allclose(
            network.activation(POINTS), by_oracle(oracle.activation, network), rtol=1e-14, atol=1e-14
        )
        np.testing.assert_allclose(
            network.activation_slope(POINTS), by_oracle(oracle.activation_slope, network), rtol=1e-14
        )

    @each_network
    def test_the_slope_is_the_derivative(self, network):
        # φ is quadratic or linear, so a central difference is exact but for rounding, 50 · 2e-16/1e-4 = 1e-10, except
        # within a step of 0 or r, where φ' bends by at most (1 − β) step/r.
        step = 1e-4
        estimate = (network.activation(POINTS + step) - network.activation(POINTS - step)) / (2 * step)
        bend = (1 - network.negative_slope) * step / network.smoothing
        near = (np.abs(POINTS) < step) | (np.abs(POINTS - network.smoothing) < step)
        assert (np.abs(estimate - network.activation_slope(POINTS)) <= np.where(near, bend, 0) + 1e-10).all()

    @each_network
    def test_value_and_slope_are_continuous_where_the_pieces_meet(self, network):
        for joint in (0.0, network.smoothing):
            around = np.array([joint - 1e-12, joint, joint + 1e-12])
            # The slope is at most 1 and its own slope at most 1/r ≤ 100: 1e-12 and 1e-10, plus rounding at 30 of 4e-15.
            assert np.ptp(network.activation(around)) <= 2e-12 + 1e-14
            assert np.ptp(network.activation_slope(around)) <= 2e-10

    @each_network
    def test_the_inverse(self, network):
        # The inverse multiplies relative errors by z φ'(z)/φ(z) or its inverse, at most 2 on the quadratic piece.
        np.testing.assert_allclose(
            network.activation_inverse(network.activation(POINTS)), POINTS, rtol=1e-14, atol=1e-300
        )
        np.testing.assert_allclose(
            network.activation(network.activation_inverse(POINTS)), POINTS, rtol=1e-14, atol=1e-300
        )

    @pytest.mark.parametrize("name", ["activation", "activation_slope", "activation_inverse"])
    def test_numpy_and_jax_arrays_return_their_own_kind(self, network, name):
        function = getattr(network, name)
        by_numpy, by_jax = function(POINTS[:, None]), function(jnp.asarray(POINTS)[:, None])
        assert isinstance(by_numpy, np.ndarray)
        assert isinstance(by_jax, jax.Array)
        assert by_numpy.shape == by_jax.shape == (len(POINTS), 1)
        np.testing.assert_allclose(by_jax, by_numpy, rtol=1e-14)  # XLA may contract a product and a sum
        assert jax.vmap(function)(jnp.ones((2, 3))).shape == (2, 3)


class TestScores:
    def test_scores_and_predictions(self, network):
        rng = np.random.default_rng(0)
        weights, patches = rng.normal(size=(2, 6)), rng.normal(size=(30, 4, 6))
        expected = oracle.patch_scores(weights, patches, network.negative_slope, network.smoothing)
        np.testing.assert_allclose(
            network.scores(weights, patches), expected, rtol=0, atol=1e-14
        )  # inner products of length 6
        assert network.predict(weights, patches).tolist() == np.where(expected.sum(axis=1) >= 0, 1, -1).tolist()
        assert set(network.predict(weights, patches).tolist()) == {1, -1}

    def test_a_tie_predicts_plus_one(self, network):
        assert network.predict(np.zeros((2, 3)), np.ones((2, 4, 3))).tolist() == [1, 1]

    def test_scores_can_be_differentiated(self, network):
        weights, patches = jnp.ones((2, 3)), jnp.ones((1, 2, 3))  # projections of 3, beyond r: φ' = 1
        gradient = jax.jit(jax.grad(lambda w: network.scores(w, patches).sum()))(weights)
        np.testing.assert_allclose(gradient, [[2.0] * 3, [-2.0] * 3], rtol=1e-15)

    @pytest.mark.parametrize(
        ("weights", "sentence"),
        [
            (np.ones((2, 4)), "`weights` must have shape (2, 3) to match `patches`, got (2, 4)"),
            (np.ones((3, 3)), "`weights` must have shape (2, 3) to match `patches`, got (3, 3)"),
            (np.ones(3), "`weights` must have shape (2, 3) to match `patches`, got (3,)"),
            (np.full((2, 3), np.nan), "`weights` must be finite, got 6 entries that are NaN or infinite"),
        ],
    )
    def test_bad_weights_are_refused(self, network, weights, sentence):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            network.scores(weights, np.ones((5, 2, 3)))


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "sentence"),
        [
            ({"negative_slope": 0.0}, "`negative_slope` must be in (0, 1], got 0.0"),
            ({"negative_slope": 1.1}, "`negative_slope` must be in (0, 1], got 1.1"),
            ({"smoothing": 0.0}, "`smoothing` must be above 0, got 0.0"),
            ({"smoothing": float("nan")}, "`smoothing` is not valid: input should be a finite number, got nan"),
            ({"width": 3}, "`width` is not a known field, got 3"),
        ],
    )
    def test_bad_settings_are_refused(self, settings, sentence):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            ag.Network(**settings)

    def test_initial_weights(self, network):
        weights = network.initial_weights(jax.random.key(0), 50_000, 0.5)
        assert weights.shape == (2, 50_000)
        # 10⁵ entries: mean 0 ± 0.5/√10⁵ and variance 0.25(1 ± √(2/10⁵)); four standard errors, false alarm 6e-5 each.
        assert abs(float(weights.mean())) < 4 * 0.5 / 1e5**0.5
        assert abs(float(weights.var()) / 0.25 - 1) < 4 * (2 / 1e5) ** 0.5
        assert (network.initial_weights(jax.random.key(0), 3, 0.0) == 0).all()

    def test_old_style_keys_work(self, network):
        assert network.initial_weights(jax.random.PRNGKey(0), 3, 1.0).shape == (2, 3)

    @pytest.mark.parametrize(
        ("key", "init_std", "sentence"),
        [
            (0, 1.0, "`key` must be a JAX random key such as jax.random.key(0), got 0"),
            (np.zeros(2), 1.0, "`key` must be a JAX random key"),
            (jax.random.split(jax.random.key(0), 2), 1.0, "`key` must be a JAX random key"),
            (jax.random.key(0), -1.0, "`init_std` must be at least 0, got -1.0"),
            (jax.random.key(0), float("nan"), "`init_std` must be at least 0, got nan"),
        ],
    )
    def test_bad_initialisation_is_refused(self, network, key, init_std, sentence):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            network.initial_weights(key, 3, init_std)
