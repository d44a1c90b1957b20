"""Every kind of right transform passes, every kind of wrong one is named; the laws of boxes against brute force.

Seeds are fixed. A certificate's false-alarm rate is 0.001, so a correct program was to fail one test of one seed with that
probability when its seed was chosen, and one of 20 seeds with 0.02.
"""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
import torch
from law_cases import CORRECT, WRONG, CoinCutout, Erasing, Neighbours, UnclippedCutMix, batch_mixup, soft
from mutants import DEFECTS

from augscope.laws import BlendLaw, BoxLaw, Claims, ErasingLaw, MinMaxLaw, certify
from augscope.laws.statistics import mixed_binomial_test

torch.set_num_threads(1)

QUICK_RIGHT = (
    "torchvision RandomChoice, 0.3, Beta(0.2)",
    "torchvision RandomErasing",
    "torchvision RandomErasing, p = 0.25",
    "timm Mixup, both, batch",
    "timm Mixup, both, elem, Beta(0.2), smoothed",
    "timm CutMix, minmax, pair",
    "paper's Mixup, Beta(0.2)",
    "Mixup, Beta(2, 5)",
    "Cutout, a coin a batch",
)
QUICK_WRONG = (
    "one draw a batch, of a choice",
    "last start never drawn",
    "aspect uniform",
    "pixels dropped",
    "neighbours, p = 0.1",
    "switch",
    "α of Mixup",
    "never another box",
)
NEW = [name for name in WRONG if name not in DEFECTS]  # the others are tested with the mutants


def check_right(name: str, seed: int, num_calls: int) -> None:
    case = CORRECT[name]
    certificate = certify(case.make(), claims=case.claims, seed=seed, num_calls=num_calls)
    assert certificate.holds, (seed, str(certificate))


def check_wrong(name: str, seed: int) -> None:
    case = WRONG[name]
    certificate = certify(case.make(), claims=case.claims, seed=seed, num_calls=200)
    assert certificate.defects[:1] != (), (seed, str(certificate))
    assert certificate.defects[0].startswith(case.name), (seed, str(certificate))


class TestVerdicts:
    @pytest.mark.parametrize("name", QUICK_RIGHT)
    def test_what_is_right_passes(self, name):
        check_right(name, seed=0, num_calls=64)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", CORRECT)
    def test_what_is_right_passes_with_ten_seeds(self, name):
        for seed in range(10):
            check_right(name, seed, num_calls=300)

    @pytest.mark.parametrize("name", QUICK_WRONG)
    def test_what_is_wrong_is_named_first(self, name):
        check_wrong(name, seed=0)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", NEW)
    def test_what_is_wrong_is_named_first_with_five_seeds(self, name):
        for seed in range(5):
            check_wrong(name, seed)


class TestBoxes:
    def test_minmax_by_enumerating_its_boxes(self):
        height, width, law = 8, 11, MinMaxLaw(low=0.25, high=0.75)
        masks, weights = [], []
        for high, wide in itertools.product(range(2, 6), range(2, 8)):
            for top, left in itertools.product(range(height - high + 1), range(width - wide + 1)):
                mask = np.zeros((height, width))
                mask[top : top + high, left : left + wide] = 1
                masks.append(mask)
                weights.append(1 / 24 / (height - high + 1) / (width - wide + 1))
        np.testing.assert_allclose(law.coverage(height, width), np.tensordot(weights, masks, 1), atol=1e-12)
        assert law.share(height, width).mean == pytest.approx(np.mean(np.array(masks), axis=(1, 2)) @ weights)

    def test_erasing_by_a_fine_grid_of_draws(self):
        height, width, law = 9, 7, ErasingLaw(area=(0.1, 0.9), aspect=(0.3, 3.3))
        areas = (0.1 + 0.8 * (np.arange(600) + 0.5) / 600)[:, None] * height * width
        aspects = np.exp(np.linspace(*np.log((0.3, 3.3)), 601)[:-1] + np.log(11) / 1200)
        high, wide = np.sqrt(areas * aspects).round().astype(int), np.sqrt(areas / aspects).round().astype(int)
        smaller = (high < height) & (wide < width)
        refused = 1 - smaller.mean()
        counts = np.zeros((height + 1, width + 1))
        np.add.at(counts, (high[smaller], wide[smaller]), 1 / high.size)
        counts *= (1 - refused**10) / (1 - refused)
        counts[0, 0] += refused**10
        # The grid's lines cut a size off at its border: off by at most the share of one line, 1/600, a size.
        np.testing.assert_allclose(law.extents(height, width), counts, atol=1 / 600)
        assert law.share(height, width).at_zero == pytest.approx(refused**10, abs=1e-3)
        assert law.share(height, width).mean == pytest.approx(law.coverage(height, width).mean())

    def test_an_asymmetric_blend(self):
        law = BlendLaw(alpha=1, beta=3)  # P(λ ≤ x) = 1 − (1 − x)³
        assert law.cdf(np.array([0.2])) == pytest.approx(1 - 0.8**3)
        assert law.share_cdf(np.array([0.2])) == pytest.approx(0.2**3)
        assert "Beta(1, 3)" in law.title

    @pytest.mark.parametrize(
        ("rounding", "sizes"), [("even", {0, 2, 4}), ("down", {0, 1, 2, 3, 4}), (None, set(range(6)))]
    )
    def test_roundings(self, rounding, sizes):
        law = BoxLaw(boxes="unclipped", rounding=rounding)
        assert set(law.sizes(5, 5)[0][:, 0].tolist()) == sizes
        assert sum(law.sizes(5, 5)[1]) == pytest.approx(1)

    def test_counts_in_groups_by_enumerating_outcomes(self):
        chances = np.repeat([0.2, 0.5], [3, 2])
        law = np.zeros(6)
        for outcome in itertools.product([0, 1], repeat=5):
            law[sum(outcome)] += np.prod(np.where(outcome, chances, 1 - chances))
        for count in range(6):
            exact = min(1, 2 * min(law[: count + 1].sum(), law[count:].sum()))
            assert mixed_binomial_test(count, np.array([3, 2]), np.array([0.2, 0.5])) == pytest.approx(exact)


class TestRounding:
    @pytest.mark.parametrize("size", [(16, 24), pytest.param((224, 224), marks=pytest.mark.slow)])
    def test_by_a_pixel_is_reported_and_all_else_judged_with_it(self, size):
        claims = Claims(kind="cutmix", boxes="unclipped")
        certificate = certify(UnclippedCutMix(), claims=claims, image_size=size)
        assert certificate.holds, certificate
        rule = certificate["rounding of sides"]
        assert (rule.verdict, rule.evidence) == ("reported", "sides rounded down, not to the nearest: at most 1 pixel")

    def test_the_claimed_one_is_not_mentioned(self):
        certificate = certify(UnclippedCutMix(round), claims=Claims(kind="cutmix", boxes="unclipped"), num_calls=80)
        assert "rounding of sides" not in [rule.name for rule in certificate.checks]

    def test_of_another_kind_still_fails(self):
        transform = UnclippedCutMix(lambda side: int(side * 0.9))
        certificate = certify(transform, claims=Claims(kind="cutmix", boxes="unclipped"), num_calls=150)
        assert "share follows another law" in certificate.defects


class TestFills:
    @pytest.mark.parametrize("value", ["noise", "colour"])
    def test_that_vary_show_the_mask(self, value):
        claims = Claims(kind="erasing", p=0.5)
        certificate = certify(Erasing(value=value), claims=claims, num_calls=80)
        assert certificate.holds, certificate
        assert "varies from pixel to pixel" in certificate["fill value"].evidence
        assert certificate["shape"].evidence.startswith("1.0000 of masks are one full rectangle")

    def test_in_one_channel_noise_cannot_be_told_and_does_not_fail(self):
        certificate = certify(Erasing(value="noise"), claims=Claims(kind="erasing", p=0.5), channels=1, num_calls=64)
        assert certificate.holds, certificate
        assert certificate["masks can be read off"].verdict == "reported"
        assert "cannot be told" in certificate["masks can be read off"].evidence

    def test_noise_everywhere_is_not_read(self):
        certificate = certify(lambda images, labels: (images + torch.randn_like(images), soft(labels)), num_calls=64)
        assert certificate["masks can be read off"].verdict == "fails"


class TestCutout:
    def test_says_what_shape_it_means(self):
        certificate = certify(CoinCutout(1.0), claims=Claims(kind="cutout", per="batch"), num_calls=64)
        assert certificate.holds, certificate
        assert certificate.claims.startswith("cutout, one box of any size, p = 1")
        assert certificate["shape"].verdict == "holds"

    @pytest.mark.parametrize("seed", range(4))
    def test_a_coin_for_few_batches_is_still_random(self, seed):
        certificate = certify(
            CoinCutout(0.1), claims=Claims(kind="cutout", p=0.1, per="batch"), seed=seed, num_calls=64
        )
        assert certificate["random"].verdict == "holds", certificate


class TestOddBatches:
    def test_name_the_sample_that_is_never_mixed(self):
        certificate = certify(Neighbours(), num_calls=64)
        assert certificate.defects == ("odd batch dropped",)
        assert certificate["odd batches"].evidence.endswith("never sample 7")


def test_fixed_partners_can_be_claimed():
    claims = Claims(kind="mixup", alpha=0.2, per="batch", partner="fixed")
    assert certify(batch_mixup, claims=claims, num_calls=64).defects == ("partners are not fixed",)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"kind": "cutout", "minmax": (0.2, 0.8)}, "`minmax` does not belong to claims of cutout, got (0.2, 0.8)"),
        ({"kind": "cutmix", "minmax": (0.8, 0.2)}, "`minmax` must be two rising shares in [0, 1], got 0.8, 0.2"),
        ({"kind": "cutmix", "minmax": (0.2, 0.8), "boxes": "clipped"}, "`minmax` excludes `boxes` and `grid`"),
        ({"kind": "erasing", "area": (0.5, 2)}, "`area` must be two rising shares in [0, 1], got (0.5, 2.0)"),
        ({"kind": "erasing", "aspect": (0, 2)}, "`aspect` must be two rising numbers above 0, got (0.0, 2.0)"),
        ({"kind": "choice", "switch": 1}, "`switch` must be in (0, 1), got 1"),
        ({"kind": "cutmix", "switch": 0.5}, "`switch` does not belong to claims of cutmix, got 0.5"),
        ({"kind": "mixup", "beta": -1}, "`beta` must be above 0"),
    ],
)
def test_bad_claims_are_refused_in_a_sentence(fields, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Claims(**fields)


def test_a_choice_says_both_laws():
    claims = Claims(kind="choice", boxes="clipped", switch=0.3, mixup_alpha=0.2, p=0.5)
    assert str(claims) == (
        "cutmix, clipped box, Beta(1, 1) (probability 0.15) or mixup, blend, Beta(0.2, 0.2) (probability 0.35), "
        "one draw per sample"
    )
