"""Exact regimes: against `train` on the full population, rarities derived from them, and programs that serve every setting."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from commands import thinned

import augscope as ag
from augscope.model.methods.placed_cutmix import PlacedCutMix
from augscope.model.sampling import placed_population
from augscope.training.regimes import Setting, all_around, derive_rarities, regimes

THEOREM = Setting.of(ag.presets.theorem)
WEAK = THEOREM._replace(distribution=THEOREM.distribution.replace(feature_noise=0.1))
TWO = ag.FeatureNoise(dim=2_000, num_patches=4, frequencies=(0.7, 0.3), feature_noise=0.3, dominant_noise_std=0.03,
                      background_noise_std=0.02)  # fmt: skip
# Noise too weak to be fitted by, and a pull that a huge step overshoots.
DIVERGING = Setting(
    THEOREM.distribution.replace(feature_noise=3.0, dominant_noise_std=2.5e-4, background_noise_std=1.5e-4),
    300,
    step_size=1e5,
    num_steps=1_000,
)


def at_steps(setting: Setting, method: ag.Method, *steps: int) -> list[list[bool]]:
    """Which features are learned at each of these T."""
    return [regime.learned.tolist() for regime in regimes([setting._replace(num_steps=step) for step in steps], method)]


class TestRegimes:
    @pytest.mark.parametrize("method", [ag.Erm(), ag.CutMix(), ag.Cutout(num_cut=2)], ids=lambda method: method.title)
    def test_are_those_of_training_on_the_full_population(self, method):
        settings = [
            THEOREM._replace(num_steps=500),
            WEAK._replace(num_steps=40, step_size=0.7, num_samples=900),
            Setting(TWO.replace(num_patches=3), 50, ag.Network(negative_slope=0.3), 2.0, 300),
        ]
        settings = settings[:1] if isinstance(method, ag.CutMix) else settings  # which takes long to compile
        for setting, regime in zip(settings, regimes(settings, method), strict=True):
            distribution, num_samples, network, step_size, num_steps = setting
            run = ag.train(ag.population(distribution, num_samples), network, method, step_size=step_size,
                           num_steps=num_steps, record_at=(num_steps,))  # fmt: skip
            np.testing.assert_array_equal(regime.accuracies, run.history.accuracy_per_feature[-1])
            assert not regime.diverged

    @pytest.mark.parametrize("method", [ag.Erm(), ag.Cutout()], ids=lambda method: method.title)
    def test_without_positions_features_move_as_with_them(self, method):
        for distribution in (THEOREM.distribution, TWO):
            training = {"step_size": 1.0, "num_steps": 1_000, "record_at": (0, 1, 30, 1_000)}
            one, other = (
                ag.train(types(distribution, 300), ag.Network(), method, **training).history.feature_scores
                for types in (placed_population, ag.population)
            )
            assert len(placed_population(distribution, 300).labels) == 4 * distribution.num_features
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-12 * np.abs(other).max())

    @pytest.mark.parametrize("num_patches", [2, 3, 5])
    def test_cutmix_of_placed_types_is_cutmix_of_all_positions(self, num_patches):
        distribution = TWO.replace(num_patches=num_patches)
        placed, whole = placed_population(distribution, 300), ag.population(distribution, 300)
        kinds = np.random.default_rng(0).normal(size=(len(placed.labels), 3))  # scores of feature, dominant, background
        each = len(whole.labels) // len(placed.labels)  # types of all positions follow each other
        rows, whole_scores = np.arange(len(whole.labels)), np.repeat(kinds, each, axis=0)[:, [2] * num_patches]
        whole_scores[rows, whole.feature_position] = np.repeat(kinds[:, 0], each)
        whole_scores[rows, whole.dominant_position] = np.repeat(kinds[:, 1], each)
        columns = [0, 1, *[2] * (num_patches - 2)]
        few = PlacedCutMix().loss_and_gradient(kinds[:, columns], placed.labels, probabilities=placed.probabilities)
        every_pair = ag.CutMix(algorithm="enumerate")
        all_of_them = every_pair.loss_and_gradient(whole_scores, whole.labels, probabilities=whole.probabilities)
        np.testing.assert_allclose(few[0], all_of_them[0], rtol=1e-12)
        of_features = np.asarray(all_of_them[1])[rows, whole.feature_position].reshape(-1, each).sum(axis=1)
        np.testing.assert_allclose(np.asarray(few[1])[:, 0], of_features, rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize(
        "method",
        thinned([ag.Erm(), ag.Cutout(), ag.CutMix()], lambda method: method == ag.Cutout()),
        ids=lambda method: method.title,
    )
    def test_a_coarse_flow_decides_as_a_descent_away_from_boundaries(self, method):
        settings = [THEOREM._replace(num_steps=500), THEOREM._replace(num_steps=2_000), WEAK._replace(num_steps=500)]
        exact, preview = regimes(settings, method), regimes(settings, method, coarse=True)
        assert [one.learned.tolist() for one in exact] == [one.learned.tolist() for one in preview]

    def test_steps_of_the_specification(self):
        """model.md §8.4 and §8.5, by an independent prototype."""
        assert at_steps(THEOREM, ag.Erm(), 1, 10_000) == [[True, False, False]] * 2
        assert at_steps(THEOREM, ag.Cutout(), 322, 323) == [[True, False, False], [True, True, False]]
        assert at_steps(THEOREM, ag.CutMix(), 900, 901) == [[True, True, False], [True, True, True]]
        learned = at_steps(WEAK, ag.Cutout(), 1, 17, 18, 71, 72)
        assert learned == [[True, second, False] for second in (True, True, False, False, True)]

    def test_a_batch_gives_what_each_setting_gives_alone(self):
        generator = np.random.default_rng(0)
        settings = [
            THEOREM._replace(
                distribution=THEOREM.distribution.replace(
                    feature_noise=alpha, dominant_noise_std=0.01 + 0.05 * std, background_noise_std=0.01
                ),
                num_steps=int(20 + 200 * std),
            )
            for alpha, std in generator.random((70, 2))
        ]
        together = regimes(settings, ag.Cutout())
        for index in (0, 33, 64, 69):
            alone = regimes([settings[index]], ag.Cutout())[0]
            np.testing.assert_array_equal(together[index].accuracies, alone.accuracies)
        assert {regime.learned.sum() for regime in together} > {1}  # they differ

    def test_a_change_of_numbers_compiles_nothing(self):
        distribution = TWO.replace(frequencies=(0.6, 0.2, 0.1, 0.1))
        setting = Setting(distribution, 300, num_steps=3)
        regimes([setting], ag.Erm())
        changed = distribution.replace(frequencies=(0.4, 0.3, 0.2, 0.1), feature_noise=0.05, dominant_noise_std=0.1)
        compiled: list[str] = []

        def listen(event: str, *_: float, **__: str) -> None:
            compiled.extend([event] * ("backend_compile" in event))

        jax.monitoring.register_event_duration_secs_listener(listen)
        regimes([Setting(changed, 77, step_size=0.3, num_steps=9)], ag.Erm())
        assert not compiled
        regimes([Setting(changed, 77, ag.Network(smoothing=0.5), num_steps=1)], ag.Erm())
        assert compiled  # it would be noticed

    def test_a_descent_that_diverges_says_so(self):
        near, far = regimes([THEOREM._replace(num_steps=500), DIVERGING], ag.Erm())
        assert (near.diverged, far.diverged) == (False, True)

    def test_bad_settings_are_refused(self):
        method = ag.FunctionMethod(function=lambda scores, labels: (labels[:, None] * scores).mean())
        for setting, own, sentence in (
            (THEOREM._replace(num_samples=0), ag.Erm(), "`num_samples` must be at least 1, got 0"),
            (THEOREM._replace(step_size=0.0), ag.Erm(), "`step_size`"),
            (THEOREM._replace(num_steps=0), ag.Erm(), "`num_steps` must be at least 1, got 0"),
            (THEOREM, ag.Cutout(num_cut=3), "`num_cut`"),
            (THEOREM, method, "`probabilities`"),
        ):
            with pytest.raises(ValueError, match=sentence):
                regimes([setting], own)


class TestRarity:
    def test_at_the_presets(self):
        theorem, figure = ag.presets.theorem, ag.presets.figure
        assert ag.derive_rarity(theorem.distribution, 300) == ("common", "rare", "extremely_rare")
        # At α = 0.005 the pull of the feature noise is so weak that in the limit ERM learns every feature.
        assert ag.derive_rarity(figure.distribution, 300) == ("common",) * 3

    def test_a_stated_rarity_is_ignored(self):
        stated = TWO.replace(rarity=("extremely_rare", "extremely_rare"))
        assert ag.derive_rarity(stated, 30, num_steps=20) == ag.derive_rarity(TWO, 30, num_steps=20)

    def test_depends_on_steps_and_cut(self):
        early = ag.derive_rarity(THEOREM.distribution, 300, num_steps=100)
        assert early == ("common", "extremely_rare", "extremely_rare")
        six = THEOREM.distribution.replace(num_patches=6)
        one, two = (ag.derive_rarity(six, 300, num_steps=1_000, num_cut=count) for count in (1, 4))
        assert one != two

    def test_borderline_where_a_neighbour_answers_otherwise(self):
        """The rule by hand: six neighbours, the standard deviations times or over √1.5."""
        distribution = THEOREM.distribution
        for std in (0.015, 0.018, 0.025, 0.03):
            moved = distribution.replace(background_noise_std=std, rarity=None)
            answers = set()
            for dominant, background in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1)):
                near = moved.replace(
                    dominant_noise_std=moved.dominant_noise_std * 1.5 ** (dominant / 2),
                    background_noise_std=moved.background_noise_std * 1.5 ** (background / 2),
                )
                pair = [regimes([Setting(near, 300, num_steps=2_000)], method)[0] for method in (ag.Erm(), ag.Cutout())]
                answers.add((pair[0].learned[1], pair[1].learned[1]))
            rarity = ag.derive_rarity(moved, 300, num_steps=2_000)[1]
            assert (rarity == "borderline") == (len(answers) > 1)

    def test_borderline_where_a_descent_diverges(self):
        assert ag.derive_rarity(DIVERGING.distribution, 300, step_size=1e5, num_steps=1_000) == ("borderline",) * 3

    def test_many_at_once(self):
        settings = [Setting(TWO, count, num_steps=50) for count in (10, 40, 160)]
        alone = [ag.derive_rarity(TWO, setting.num_samples, num_steps=50) for setting in settings]
        assert derive_rarities(settings) == alone
        assert [len(part.regimes) for part in all_around(settings, ag.Erm())] == [7, 7, 7]

    def test_needs_no_float64_of_the_caller(self):
        with jax.enable_x64(False):
            assert ag.derive_rarity(THEOREM.distribution, 301)[0] == "common"

    def test_verify_passes_its_own_descent(self):
        from augscope.theorems.statements import resolve_rarity

        preset = ag.presets.theorem
        assert resolve_rarity(preset) == preset.distribution.rarity
        derived = preset.replace(distribution=preset.distribution.replace(rarity=None))
        assert resolve_rarity(derived) == ("common", "rare", "extremely_rare")
        assert resolve_rarity(derived.replace(num_steps=100))[1] == "extremely_rare"
