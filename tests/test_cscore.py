"""The C-score study: the estimate and the table against brute force and planted truths."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from augscope.images.cscores.data import LabelledImages, read_digits
from augscope.images.cscores.results import measures, summarise
from augscope.images.cscores.scores import HeldOut, balanced_hold_outs, check_fractions, estimate_scores
from augscope.images.cscores.study import Study, StudyRun, StudySettings
from augscope.images.cscores.tables import misclassified_csv, sentences
from augscope.images.cscores.trainings import Training, TrainingSettings

torch.set_num_threads(1)  # small batches in parallel test processes: more threads only wait for each other


class TestBalancedHoldOuts:
    @pytest.mark.parametrize(
        ("count", "fraction", "trainings"), [(101, 0.9, 11), (100, 0.25, 5), (37, 0.5, 3), (50, 0.1, 2)]
    )
    def test_sizes_and_times(self, count, fraction, trainings):
        parts = balanced_hold_outs(count, fraction, trainings, seed=0)
        times = np.bincount(np.concatenate(parts), minlength=count)
        assert [len(set(part.tolist())) for part in parts] == [count - round(fraction * count)] * trainings
        assert times.max() - times.min() <= 1
        assert times.min() >= 1

    def test_each_training_draws_every_point_alike(self):
        """The second training's held-out points over 400 orders: a χ² test at a false-alarm rate of 1e-4."""
        times = sum(np.bincount(balanced_hold_outs(20, 0.7, 4, seed)[1], minlength=20) for seed in range(400))
        variance = 400 * 0.3 * 0.7
        # Counts of n points of which exactly 30 % are held out: their deviations have one degree of freedom less.
        statistic = float(((times - 120) ** 2).sum() / variance * 19 / 20)
        assert statistic < stats.chi2.isf(1e-4, 19)

    def test_too_few_trainings_to_hold_every_point_out(self):
        check_fractions(101, (0.5, 0.9), 11)
        with pytest.raises(ValueError, match="`trainings` must be at least 11, so that each of the 101 points"):
            check_fractions(101, (0.5, 0.9), 10)

    @pytest.mark.parametrize("fractions", [(), (0.0,), (1.0,), (0.5, 0.5), (0.001,)])
    def test_bad_fractions(self, fractions):
        with pytest.raises(ValueError, match="`fractions` must"):
            check_fractions(50, fractions, 1000)


class TestEstimate:
    def answers(self, count: int, seed: int, chance: np.ndarray | None = None, trainings: int = 12) -> list[HeldOut]:
        generator, found = np.random.default_rng(seed), []
        chance = np.full(count, 0.5) if chance is None else chance
        for fraction in (0.3, 0.6):
            for held_out in balanced_hold_outs(count, fraction, trainings, seed):
                found.append(HeldOut(fraction, held_out, generator.random(len(held_out)) < chance[held_out]))
        return found

    def test_against_plain_loops(self):
        answers = self.answers(23, 0)
        found = estimate_scores(23, answers)
        for point in range(23):
            shares = []
            for fraction in (0.3, 0.6):
                said = [
                    bool(right)
                    for answer in answers
                    if answer.fraction == fraction
                    for index, right in zip(answer.indices, answer.right, strict=True)
                    if index == point
                ]
                shares.append(sum(said) / len(said))
            assert found.scores[point] == pytest.approx(sum(shares) / 2, abs=1e-15)  # sums of two rounded shares

    def test_it_is_unbiased(self):
        """Mean of z² over 400 points with a planted chance: false-alarm rate 1e-4 (normal approximation of a mean)."""
        chance = np.random.default_rng(1).uniform(0.2, 0.8, 400)
        found = estimate_scores(400, self.answers(400, 2, chance, trainings=40))
        variance = (chance * (1 - chance) / found.times).sum(axis=0) / 4
        z = (found.scores - chance) / np.sqrt(variance)
        assert abs(z.sum()) / np.sqrt(400) < stats.norm.isf(0.5e-4)
        assert abs((z**2).mean() - 1) < stats.norm.isf(0.5e-4) * np.sqrt(2 / 400)

    def test_reliability_is_the_correlation_with_a_repetition(self):
        """Tolerance: five standard errors of a correlation near 0.8 over 2,000 points (0.008 each), for two of them."""
        chance = np.random.default_rng(3).uniform(0, 1, 2000)
        first, again = (estimate_scores(2000, self.answers(2000, seed, chance)) for seed in (4, 5))
        assert first.reliability == pytest.approx(np.corrcoef(first.scores, again.scores)[0, 1], abs=0.06)
        assert 0.7 < first.reliability < 0.97

    def test_reliability_is_unknown_where_it_cannot_be_told(self):
        assert np.isnan(estimate_scores(50, self.answers(50, 0, np.ones(50))).reliability)
        once = [answer for answer in self.answers(100, 0, trainings=10) if answer.fraction == 0.6]
        assert not np.isnan(estimate_scores(100, once).reliability)
        arcs = balanced_hold_outs(100, 0.9, 11, 0)  # nearly no point is held out by two of them
        right = np.random.default_rng(0).random((11, 10)) < 0.5
        single = [HeldOut(0.9, arc, row) for arc, row in zip(arcs, right, strict=True)]
        assert np.isnan(estimate_scores(100, single).reliability)
        alone = [HeldOut(0.5, np.arange(5), np.ones(5, bool)), HeldOut(0.5, np.arange(5, 10), np.zeros(5, bool))]
        assert np.isnan(estimate_scores(10, alone).reliability)

    def test_a_point_that_no_training_left_out(self):
        with pytest.raises(ValueError, match="every point must be held out at each fraction, got 1 that are not"):
            estimate_scores(3, [HeldOut(0.5, np.array([0, 2]), np.array([True, False]))])

    def test_mislabelled_digits_have_low_scores(self):
        """Real training: 12 of 600 digits get a wrong label, and are the ones that no other digit speaks for."""
        digits = read_digits()
        labels = digits.labels[:600].copy()
        wrong = np.arange(0, 600, 50)
        labels[wrong] = (labels[wrong] + 1) % 10
        data = LabelledImages(digits.images[:600], labels, digits.class_names, "digits")
        training = TrainingSettings(steps=50)
        settings = StudySettings(training=training, methods=("erm",), seeds=(0,), fractions=(0.5,), trainings=4)
        scores = Study(settings, data).run().scores
        assert scores[wrong].mean() < 0.2
        assert np.delete(scores, wrong).mean() > 0.85


def planted(misses: dict[str, list[np.ndarray]], scores: np.ndarray, held_out: list[np.ndarray]) -> StudyRun:
    """A run in which each method misclassifies just these points at each seed."""
    labels = np.zeros(len(scores), np.int64)
    data = LabelledImages(np.zeros((len(scores), 1, 8, 8), np.uint8), labels, ("a", "b"), "planted")
    seeds = tuple(range(len(held_out)))
    made = {
        (method, place): Training(np.isin(held_out[place], missed).astype(np.int16), 1.0)
        for method, lists in misses.items()
        for place, missed in enumerate(lists)
    }
    settings = StudySettings(training=TrainingSettings(steps=1), methods=tuple(misses), seeds=seeds)
    return StudyRun(settings, data, scores, None, tuple(held_out), made, "0" * 64, "cpu")


class TestTable:
    SCORES = np.linspace(0, 1, 101)

    def test_measures_by_hand(self):
        assert measures(np.array([0.1, 0.2, 0.3, 0.4, 1.0])) == pytest.approx((0.4, 0.2, 0.3, 0.4), abs=1e-15)
        assert np.isnan(measures(np.array([]))).all()

    def test_a_planted_study(self):
        held = [np.arange(0, 100, 2), np.arange(1, 100, 2), np.arange(0, 50)]
        easy = [np.array([80, 90]), np.array([81, 91]), np.array([40, 46])]
        hard = [np.array([2, 4, 6]), np.array([1, 3, 11]), np.array([5])]
        found = summarise(planted({"erm": easy, "cutmix-box": hard}, self.SCORES, held))
        erm, cutmix = found.methods
        assert erm.per_seed[:, 0] == pytest.approx([0.85, 0.86, 0.43])
        assert cutmix.per_seed[:, 0] == pytest.approx([0.04, 0.05, 0.05])
        assert erm.accuracy.estimate == pytest.approx(48 / 50)
        assert cutmix.num_misclassified == pytest.approx(7 / 3)
        pair = found.pairs[0]
        assert (pair.first, pair.second, pair.num_seeds) == ("ERM", "CutMix (box)", 3)
        expected = stats.ttest_rel(erm.per_seed[:, 0], cutmix.per_seed[:, 0])
        assert pair.p_value == pytest.approx(expected.pvalue)
        assert (pair.low, pair.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
        assert found.bands[1].tolist() == pytest.approx([1 - 7 / 50, 1, 1, 1])
        assert found.band_counts.tolist() == [50, 50, 25, 25]
        assert misclassified_csv(found).decode().splitlines()[1] == "erm,0,80,a,b,0.8"
        assert len(misclassified_csv(found).decode().splitlines()) == 1 + 6 + 7

    def test_what_cannot_be_told_is_not_claimed(self):
        held = [np.arange(50)] * 2
        nothing = [np.array([], int)] * 2
        found = summarise(planted({"erm": [np.array([3]), np.array([4])], "cutout-box": nothing}, self.SCORES, held))
        assert np.isnan(found.methods[1].summary[0].estimate)
        assert found.pairs[0].p_value == 1
        assert sentences(found) == [
            "Cutout (box) against ERM: too few seeds to tell.",
            "Cutout (box) misclassified nothing: hold out more, or train less.",
        ]

    @pytest.mark.parametrize(("shift", "sentence"), [(30, "lower"), (-30, "higher")])
    def test_a_clear_difference_is_named_with_its_direction(self, shift, sentence):
        held, generator = [np.arange(101)] * 6, np.random.default_rng(0)
        first = [generator.choice(np.arange(40, 60), 5, replace=False) for _ in held]
        found = summarise(
            planted({"erm": first, "cutmix-patch": [points - shift for points in first]}, self.SCORES, held)
        )
        said = f"What CutMix (patches) misclassifies has {sentence} C-scores than what ERM does."
        assert sentences(found) == [said]

    def test_many_pairs_are_summed_up(self):
        held, generator = [np.arange(101)] * 6, np.random.default_rng(0)
        hard, alike = ([generator.choice(np.arange(40, 60), 5, replace=False) for _ in held] for _ in range(2))
        misses = {
            "erm": [points + 33 + seed for seed, points in enumerate(hard)],
            "cutout-box": hard,
            "cutmix-box": alike,
        }
        found = sentences(summarise(planted(misses, self.SCORES, held)))
        assert found == [
            "2 of the 3 pairs of methods differ detectably in the mean C-score of what they misclassify.",
            "What Cutout (box) misclassifies has lower C-scores than what ERM does.",
            "What CutMix (box) misclassifies has lower C-scores than what ERM does.",
        ]
        misses["erm"] = hard
        assert sentences(summarise(planted(misses, self.SCORES, held)))[0].startswith(
            "No two methods differ detectably"
        )

    def test_no_difference_is_claimed_too_often(self):
        """Three methods that err alike, 300 studies: claims at the 5 % level pass with a false-alarm rate of 1e-4."""
        generator, held, claims = np.random.default_rng(0), [np.arange(101)] * 5, 0
        for _ in range(300):
            misses = {
                method: [generator.choice(101, 8, replace=False) for _ in held]
                for method in ("erm", "cutout-box", "cutmix-box")
            }
            claims += any(pair.p_value <= 0.05 for pair in summarise(planted(misses, self.SCORES, held)).pairs)
        assert claims <= stats.binom.isf(1e-4, 300, 0.05)
        assert claims > 0
