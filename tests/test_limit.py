"""The high-dimensional limit: types of point with their weights against samples whose noise is exactly orthogonal."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import augscope as ag
from augscope.model import sampling

KEY = jax.random.key(3)
METHODS = (ag.Erm(), ag.Cutout(), ag.CutMix(), ag.CutMix(algorithm="enumerate"))
each_method = pytest.mark.parametrize(
    "method", METHODS, ids=lambda method: f"{method.title} {getattr(method, 'algorithm', '')}"
)


def distribution_of(
    num_patches: int = 3, frequencies: tuple[float, ...] = (0.8, 0.15, 0.05), **changes
) -> ag.FeatureNoise:
    """𝒟 at the energies of `presets.theorem`."""
    theorem = ag.presets.theorem.distribution
    return theorem.replace(num_patches=num_patches, frequencies=frequencies, rarity=None, **changes)


def with_orthogonal_noise(sample: ag.Dataset, energies: tuple[float, float]) -> ag.Dataset:
    """The same points from a start at 0, in coordinates in which their noise vectors are orthogonal with squared norms e_d and e_b."""
    distribution, slots = sample.distribution, sample.slots
    num_samples, num_patches = slots.shape
    count, rows = num_samples * (num_patches - 1), 2 * distribution.num_features
    features = np.eye(rows, rows + count)
    noise = np.zeros((num_samples, num_patches - 1, rows + count))
    for index in range(count):
        i, slot = divmod(index, num_patches - 1)
        noise[i, slot, rows + index] = np.sqrt(energies[min(slot, 1)])
    by_slot = np.concatenate([features[sample.feature_row][:, None], noise], axis=1)
    by_slot[:, 1] += distribution.feature_noise * features[sample.feature_noise_row]
    patches = np.take_along_axis(by_slot, np.argsort(slots, axis=1)[:, :, None], axis=1)
    return replace(
        sample,
        patches=jnp.asarray(patches),
        features=jnp.asarray(features.reshape(2, distribution.num_features, -1)),
        initial_weights=jnp.zeros((2, rows + count)),
        residual_gram=jnp.zeros((2, 2)),
    )


def energies_of(distribution: ag.FeatureNoise) -> tuple[float, float]:
    return distribution.dominant_energy, distribution.background_energy


class TestSample:
    @each_method
    @pytest.mark.parametrize(
        ("num_patches", "frequencies"),
        [
            pytest.param(2, (0.7, 0.3), marks=pytest.mark.slow),
            (3, (0.8, 0.15, 0.05)),
            pytest.param(4, (1.0,), marks=pytest.mark.slow),
        ],
    )
    def test_limit_is_training_on_orthogonal_noise(self, method, num_patches, frequencies, without_accuracy):
        distribution = distribution_of(num_patches, frequencies)
        sample = ag.sample_dataset(KEY, distribution, num_samples=40, init_std=0.0, coordinates="reduced")
        dense = with_orthogonal_noise(sample, energies_of(distribution))
        training = {"step_size": 1.0, "num_steps": 200, "record_at": (0, 1, 10, 100, 200)}
        own, wanted = (ag.train(data, ag.Network(), method, **training).history for data in (sample.limit(), dense))
        for name in ("loss", "gradient_norm", "feature_scores", "noise_memorised", "unevenness", "plateau", "excess_loss",
                     "margin", "augmented_margin", "feature_projections"):  # fmt: skip
            # 200 steps of a map whose slope is about 1 leave some 200 times 1e-16; CutMix's tolerance is 1e-12 a step.
            np.testing.assert_allclose(getattr(own, name), getattr(wanted, name), rtol=1e-10, atol=1e-10, err_msg=name)
        assert np.ptp(wanted.feature_scores[-1]) > 0.01  # it did move

    def test_counts(self):
        sample = ag.sample_dataset(KEY, distribution_of(), num_samples=300, init_std=0.0, coordinates="reduced")
        limit = sample.limit()
        assert limit.feature_counts.tolist() == sample.feature_counts.tolist()
        assert len(limit.labels) <= 72
        assert limit.num_samples == 300
        points = np.stack([sample.labels, sample.feature_index, sample.feature_position, sample.dominant_position,
                           sample.feature_noise_label], axis=1)  # fmt: skip
        row = 5
        same = (points == [limit.labels[row], limit.feature_index[row], limit.feature_position[row],
                           limit.dominant_position[row], limit.feature_noise_label[row]]).all(axis=1)  # fmt: skip
        assert limit.probabilities[row] == same.sum() / 300
        assert abs(limit.probabilities.sum() - 1) < 1e-15
        assert str(limit).startswith("Dataset: limit of n = 300 points at d → ∞, ")

    def test_of_an_experiment_costs_nothing_in_n(self):
        experiment = ag.presets.theorem.replace(coordinates="limit", num_samples=100_000)
        limit = experiment.sample(0)
        small = ag.presets.theorem.replace(coordinates="limit").sample(0)
        drawn = ag.presets.theorem.sample(0).limit()
        assert len(limit.labels) == 72
        assert limit.feature_counts.sum() == 100_000
        np.testing.assert_array_equal(small.probabilities, drawn.probabilities)


class TestPopulation:
    @pytest.mark.parametrize(
        ("num_patches", "frequencies", "num_samples", "alpha"),
        [
            pytest.param(2, (0.5, 0.5), 16, 0.0, marks=pytest.mark.slow),
            (2, (1.0,), 8, 0.2),
            pytest.param(3, (0.4, 0.3, 0.2, 0.1), 240, 0.0, marks=pytest.mark.slow),
            pytest.param(3, (0.8, 0.15, 0.05), 480, 0.2, marks=pytest.mark.slow),
            pytest.param(4, (0.8, 0.15, 0.05), 960, 0.2, marks=pytest.mark.slow),
        ],
    )
    def test_equals_a_sample_with_every_type_in_proportion(
        self, num_patches, frequencies, num_samples, alpha, without_accuracy
    ):
        distribution = distribution_of(num_patches, frequencies, feature_noise=alpha)
        population = ag.population(distribution, num_samples)
        counts = population.probabilities * num_samples
        np.testing.assert_allclose(counts, counts.round(), rtol=1e-12)
        repeat = np.repeat(np.arange(len(counts)), counts.round().astype(int))
        drawn = ag.sample_dataset(KEY, distribution, num_samples=num_samples, init_std=0.0, coordinates="reduced")
        names = ("labels", "feature_index", "feature_position", "dominant_position", "feature_noise_label")
        sample = replace(drawn, **{name: getattr(population, name)[repeat] for name in names})
        dense = with_orthogonal_noise(sample, energies_of(distribution))
        direct = ag.CutMix(algorithm="enumerate") if num_samples < 20 else ag.Erm()  # pair by pair, where they are few
        for method, tolerance in ((ag.Erm(), 1e-12), (ag.Cutout(), 1e-12), (ag.CutMix(), 1e-10), (direct, 1e-12)):
            training = {"step_size": 1.0, "num_steps": 1_000, "record_at": (1_000,)}
            own, wanted = (ag.train(data, ag.Network(), method, **training).history for data in (population, dense))
            scale = np.abs(wanted.feature_scores).max()
            assert np.abs(own.feature_scores - wanted.feature_scores).max() <= tolerance * scale

    def test_figures_of_the_specification(self):
        """model.md §8.5: the population at the numbers of `theorem`, by an independent prototype."""
        preset = ag.presets.theorem.replace(coordinates="population")
        data = preset.sample(None)
        wanted = {ag.Erm(): (1, 0.9, (4.32, 0.11, 0.015)), ag.Cutout(): (323, 0.975, (5.74, 1.85, 0.10))}
        for method, (begins, accuracy, scores) in wanted.items():
            history = ag.train(data, preset.network, method, step_size=1.0, num_steps=10_000,
                               record_at=(0, begins - 1, begins, 10_000) if begins > 1 else (0, 1, 10_000)).history  # fmt: skip
            np.testing.assert_allclose(history.accuracy[-2:], accuracy, atol=1e-12)
            assert abs(history.accuracy[-3] - accuracy) > 0.01
            np.testing.assert_allclose(history.feature_scores[-1].mean(axis=0), scores, rtol=0.05)
            assert history.accuracy[0] == 0
            assert history.tie_probability[0] == 1
            assert not history.noise_gram.any()
        history = ag.train(
            data, preset.network, ag.CutMix(), step_size=1.0, num_steps=3_000, record_at=(900, 901, 3_000)
        ).history
        assert [round(float(value), 6) for value in history.accuracy] == [0.975, 1.0, 1.0]
        np.testing.assert_allclose(history.feature_scores[-1].mean(axis=0), (1.394, 1.393, 1.09), rtol=5e-3)

    def test_run_has_neither_seed_nor_counts(self):
        experiment = ag.presets.theorem.replace(coordinates="population", num_steps=3)
        assert experiment.init_std == 0
        assert experiment.sample(None).feature_counts is None
        assert len(experiment.sample(None).labels) == 72


class TestRefusals:
    def test_patches(self):
        limit = ag.population(distribution_of(), 300)
        for name in ("patches", "noise"):
            with pytest.raises(ValueError, match=f"`{name}`"):
                getattr(limit, name)

    def test_a_start_that_is_not_zero(self):
        for kind in ("limit", "population"):
            with pytest.raises(ValueError, match="`init_std` must be 0 with `coordinates`"):
                ag.presets.theorem.replace(coordinates=kind, init_std=0.1)
            assert ag.presets.theorem.replace(coordinates=kind).init_std == 0

    def test_a_random_frame(self):
        with pytest.raises(ValueError, match="`frame` = 'random' needs `coordinates` = 'dense', got 'limit'"):
            ag.presets.theorem.replace(coordinates="limit", frame="random")

    def test_seeds_of_a_population(self):
        with pytest.raises(ValueError, match="`seeds` must be left out"):
            ag.presets.theorem.replace(coordinates="population").checked_seeds([0])
        with pytest.raises(ValueError, match="`seeds` must be given"):
            ag.presets.theorem.checked_seeds(None)

    def test_a_method_that_knows_no_probabilities(self):
        method = ag.FunctionMethod(function=lambda scores, labels: (labels[:, None] * scores).mean())
        data = ag.population(distribution_of(), 300)
        with pytest.raises(ValueError, match="`probabilities`"):
            ag.train(data, ag.Network(), method, step_size=1.0, num_steps=1)

    def test_types_that_do_not_fit(self, monkeypatch):
        monkeypatch.setattr(sampling, "free_bytes", lambda: 2**20)
        many = distribution_of(3, (1 / 1_000,) * 1_000)
        with pytest.raises(ValueError, match="24,000 types of point"):
            ag.population(many, 300)
