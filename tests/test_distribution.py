"""The distribution as a value: what it refuses and in which words, how it prints, which rarities it derives."""

from __future__ import annotations

import re

import numpy as np
import pytest

import augscope as ag

REFUSED = [
    ({"num_patches": 1}, "`num_patches` must be at least 2, got 1"),
    ({"num_patches": 2.5}, "`num_patches` is not valid: input should be a valid integer"),
    ({"dim": 3}, "`dim` must be at least 2K = 4 to hold the features of both labels, got 3"),
    ({"dim": "many"}, "`dim` is not valid: input should be a valid integer"),
    ({"frequencies": ()}, "`frequencies` must hold at least one feature, got none"),
    ({"frequencies": (1.0, 0.0)}, "`frequencies` must be above 0, got 0.0"),
    ({"frequencies": (1.2, -0.2)}, "`frequencies` must be above 0, got -0.2"),
    ({"frequencies": (0.3, 0.7)}, "`frequencies` must be decreasing, got (0.3, 0.7)"),
    ({"frequencies": (0.7, 0.2)}, "`frequencies` must sum to 1 within 1e-09, got 0.8999999999999999"),
    ({"frequencies": (0.7, float("nan"))}, "`frequencies.1` is not valid: input should be a finite number, got nan"),
    ({"feature_noise": -0.1}, "`feature_noise` must be at least 0, got -0.1"),
    ({"dominant_noise_std": 0.0}, "`dominant_noise_std` must be above 0, got 0.0"),
    ({"background_noise_std": -1.0}, "`background_noise_std` must be above 0, got -1.0"),
    ({"background_noise_std": float("inf")}, "`background_noise_std` is not valid: input should be a finite number, got inf"),
    ({"rarity": ("common",)}, "`rarity` must name each of the 2 features, got 1 (common)"),
    ({"rarity": ("common", "borderline")}, "`rarity` can be stated as common, rare or extremely_rare, got borderline"),
    ({"rarity": ("common", "seldom")}, "`rarity.1` is not valid: input should be 'common', 'rare', 'extremely_rare' or 'borderline', got 'seldom'"),
    ({"colour": "red"}, "`colour` is not a known field, got 'red'"),
]  # fmt: skip


class TestValidation:
    @pytest.mark.parametrize(("changes", "sentence"), REFUSED, ids=[case[1][:60] for case in REFUSED])
    def test_a_bad_field_is_refused_in_a_sentence(self, distribution, changes, sentence):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            distribution.replace(**changes)

    @pytest.mark.parametrize(
        ("field", "text"), [("dim", "2000"), ("feature_noise", "0.1"), ("frequencies", ("0.7", "0.3"))]
    )
    def test_numbers_given_as_text_are_refused(self, distribution, field, text):
        with pytest.raises(ValueError, match=f"`{field}"):
            distribution.replace(**{field: text})

    def test_a_missing_field_is_named(self):
        with pytest.raises(ValueError, match="`num_patches` is required"):
            ag.FeatureNoise(dim=4, frequencies=(1.0,), feature_noise=0, dominant_noise_std=1, background_noise_std=1)

    def test_several_mistakes_are_named_together(self, distribution):
        with pytest.raises(ValueError, match=r"`dim` is not valid: .*; `colour` is not a known field"):
            distribution.replace(dim=None, colour="red")

    def test_the_smallest_distribution_is_accepted(self, distribution):
        smallest = distribution.replace(dim=2, num_patches=2, frequencies=(1.0,), feature_noise=0.0)
        assert (smallest.num_features, smallest.noise_dim) == (1, 0)

    def test_frequencies_may_miss_one_by_rounding(self, distribution):
        assert distribution.replace(frequencies=(1 / 3 + 9e-10, 1 / 3, 1 / 3)).num_features == 3

    def test_it_is_a_frozen_hashable_value(self, distribution):
        assert hash(distribution) == hash(distribution.replace())
        assert distribution != distribution.replace(dim=21)
        with pytest.raises(ValueError, match="frozen"):
            distribution.dim = 5


class TestPrinting:
    def test_stated_rarities(self):
        assert str(ag.presets.figure.distribution) == (
            "FeatureNoise: d = 2000, P = 3, K = 3 features a label\n"
            "  frequencies   0.8 (common), 0.15 (rare), 0.05 (extremely rare)\n"
            "  noise         dominant 0.25, background 0.15, feature noise 0.005"
        )

    def test_no_stated_rarity(self, distribution):
        assert "0.7 (rarity not stated), 0.3 (rarity not stated)" in str(distribution)


class TestRarity:
    def test_learning_ratios_at_the_presets(self):
        # ρ_k n/(σ² d) by hand: σ²d is 125 and 45 at both presets, n is 300.
        by_hand = [
            [0.8 * 300 / 125, 0.15 * 300 / 125, 0.05 * 300 / 125],
            [0.8 * 300 / 45, 0.15 * 300 / 45, 0.05 * 300 / 45],
        ]
        for preset in ag.presets:
            np.testing.assert_allclose(
                ag.learning_ratios(preset.distribution, 300), by_hand, rtol=1e-14
            )  # a few roundings

    @pytest.mark.parametrize("function", [ag.learning_ratios, ag.derive_rarity])
    def test_the_number_of_samples_is_checked(self, distribution, function):
        with pytest.raises(ValueError, match="`num_samples` must be at least 1, got 0"):
            function(distribution, 0)


class TestAnotherDimension:
    @pytest.mark.parametrize("dim", [7, 2_000, 10**9, 2**62])
    def test_keeps_the_energies(self, dim):
        before = ag.presets.theorem.distribution
        after = before.at_dim(dim)
        assert after.dim == dim
        assert after.dominant_energy == pytest.approx(before.dominant_energy, rel=1e-14)  # rounding
        assert after.background_energy == pytest.approx(before.background_energy, rel=1e-14)

    @pytest.mark.parametrize("dim", [6, 0, -1])
    def test_needs_room_for_noise(self, dim):
        with pytest.raises(ValueError, match="`dim` must be above 2K = 6"):
            ag.presets.theorem.distribution.at_dim(dim)
