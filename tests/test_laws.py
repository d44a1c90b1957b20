"""Laws against brute force; `certify` passes what is right, and catches and names every seeded defect.

Seeds are fixed. A certificate's false-alarm rate is 0.001, so a correct program was to fail one of the 100-seed tests here
with probability at most 0.1 a transform when its seeds were chosen.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter

import numpy as np
import pytest
import torch
from mutants import DEFECTS, MutantCutMix

from augscope.images import BoxCutMix, BoxCutout, Mixup, PatchCutMix, PatchCutout
from augscope.laws import BlendLaw, BoxLaw, Claims, PartnerLaw, PatchLaw, certify, coding, read_claims
from augscope.laws.page import html_page
from augscope.laws.statistics import binomial_test, cdf_test, group_test, uniform_test

torch.set_num_threads(1)  # small batches in parallel test processes: more threads only wait for each other

CORRECT = {
    "box, clipped": (
        lambda: BoxCutMix(num_classes=16, generator=torch.Generator()),
        Claims(kind="cutmix", boxes="clipped"),
    ),
    "box, unclipped": (
        lambda: BoxCutMix(0.5, "unclipped", num_classes=16, p=0.6, generator=torch.Generator()),
        Claims(kind="cutmix", boxes="unclipped", alpha=0.5, p=0.6),
    ),
    "patches": (lambda: PatchCutMix(4, num_classes=16, p=0.8), Claims(kind="cutmix", grid=4, p=0.8)),
    "cutout, patches": (
        lambda: PatchCutout(3, (2, 4), fill=0.5, num_classes=16, generator=torch.Generator()),
        Claims(kind="cutout", grid=(2, 4), num_cut=3, fill=0.5),
    ),
    "cutout, box": (
        lambda: BoxCutout((4, 7), p=0.7, num_classes=16),
        Claims(kind="cutout", size=(4, 7), boxes="clipped", p=0.7),
    ),
    "mixup": (lambda: Mixup(0.4, num_classes=16, p=0.9), Claims(kind="mixup", alpha=0.4, p=0.9)),
}


class TestLaws:
    @pytest.mark.parametrize("boxes", ["clipped", "unclipped"])
    def test_a_fixed_box_by_enumerating_its_positions(self, boxes):
        height, width, size = 5, 7, (3, 4)
        law = BoxLaw(size=size, boxes=boxes)
        masks = []
        places = (
            itertools.product(range(height), range(width))
            if boxes == "clipped"
            else itertools.product(range(3), range(4))
        )
        for y, x in places:
            top, left, bottom, right = (y - 1, x - 2, y + 2, x + 2) if boxes == "clipped" else (y, x, y + 3, x + 4)
            mask = np.zeros((height, width))
            mask[max(top, 0) : bottom, max(left, 0) : right] = 1
            masks.append(mask)
        masks = np.array(masks)
        np.testing.assert_allclose(law.coverage(height, width), masks.mean(axis=0), atol=1e-12)
        values, counts = np.unique(masks.mean(axis=(1, 2)).round(12), return_counts=True)
        share = law.share(height, width)
        np.testing.assert_allclose(share.values, values, atol=1e-11)
        np.testing.assert_allclose(share.probabilities, counts / len(masks), atol=1e-12)

    @pytest.mark.parametrize(("boxes", "mean"), [("clipped", 77 / 240), ("unclipped", 1 / 2)])
    def test_random_boxes_by_a_fine_grid_of_sizes(self, boxes, mean):
        law, (height, width) = BoxLaw(boxes=boxes), (6, 9)
        roots = np.sqrt((np.arange(200_000) + 0.5) / 200_000)
        sizes = np.stack([roots * height, roots * width], axis=1)
        sizes = (sizes // 2 * 2 if boxes == "clipped" else np.round(sizes)).astype(int)
        pairs, counts = np.unique(sizes, axis=0, return_counts=True)
        exact: dict[tuple, float] = {}
        for size, probability in zip(
            map(tuple, law.sizes(height, width)[0].tolist()), law.sizes(height, width)[1], strict=True
        ):
            exact[size] = exact.get(size, 0) + probability
        # A size's probability is counted on 200,000 points: off by at most one of these at either end.
        for pair, count in zip(map(tuple, pairs.tolist()), counts, strict=True):
            assert exact[pair] == pytest.approx(count / 200_000, abs=1.1e-5)
        assert law.share(height, width).mean == pytest.approx(law.coverage(height, width).mean(), abs=1e-12)
        # In real numbers, with u uniform and s = √u: E (s − s²/4)² = 1/2 − 1/5 + 1/48 clipped, E s² = 1/2 whole. At 224 pixels
        # a clipped side loses one pixel on average to rounding down twice: 2/224 of a share of 0.3.
        assert BoxLaw(boxes=boxes).share(224, 224).mean == pytest.approx(mean, abs=4e-3)

    def test_patches_by_enumerating_subsets(self):
        law = PatchLaw(grid=(2, 3))
        subsets = np.array(list(itertools.product([0, 1], repeat=6)))
        sizes = subsets.sum(axis=1)
        weights = 1 / (7 * np.array([np.sum(sizes == size) for size in sizes]))
        assert weights.sum() == pytest.approx(1)
        assert law.together == pytest.approx(weights @ (subsets[:, 0] * subsets[:, 5]))
        np.testing.assert_allclose(law.share(4, 6).probabilities, np.bincount(sizes, weights))
        np.testing.assert_allclose(law.coverage(4, 6), weights @ subsets[:, 2])
        cut = PatchLaw(grid=(2, 3), num_cut=2)
        assert cut.together == pytest.approx(1 / 15)
        assert (cut.share(4, 6).mean, cut.share(4, 6).above(0.3)) == pytest.approx((1 / 3, 1))

    def test_partners_by_enumerating_permutations(self):
        orders = np.array(list(itertools.permutations(range(4))))
        meets = orders == np.arange(4)
        law = PartnerLaw(batch_size=4)
        assert meets.mean(axis=0) == pytest.approx(law.probability)
        covariance = (meets[:, 0] & meets[:, 1]).mean() - law.probability**2
        assert law.self_covariance == pytest.approx(covariance)

    def test_quantiles_and_cdf(self):
        share = PatchLaw(grid=(2, 2)).share(4, 4)
        assert [share.quantile(level) for level in (0.1, 0.2, 0.5, 1.0)] == [0, 0, 0.5, 1]
        np.testing.assert_allclose(share.cdf(np.array([-0.1, 0, 0.3, 1])), [0, 0.2, 0.4, 1])
        assert BlendLaw(alpha=1).cdf(np.array([0.25])) == pytest.approx(0.25)


class TestStatistics:
    def test_p_values_are_small_no_more_often_than_they_may_be(self):
        # 400 samples from the law itself: each p-value is below 0.05 in at most 5 %, 20 ± 4.4; 40 is 4.6 of these.
        rng = np.random.default_rng(0)
        share = PatchLaw(grid=(2, 4)).share(4, 8)
        below = np.zeros(3, int)
        for _ in range(400):
            drawn = rng.choice(share.values, 300)
            groups = group_test(rng.choice(share.values, (30, 8)), rng.random((30, 8)) < 0.8)
            counts = binomial_test(rng.binomial(300, 0.3, 20), 300, 0.3)
            below += np.array([cdf_test(drawn, share.cdf)[1], counts, groups]) < 0.05
        assert (below <= 40).all()

    def test_equally_likely_categories_by_enumerating_outcomes(self):
        # However few: P(p-value ≤ level) ≤ level at every level.
        outcomes = [np.bincount(drawn, minlength=4) for drawn in itertools.product(range(4), repeat=6)]
        p_values = np.array([uniform_test(counts) for counts in {tuple(c): c for c in outcomes}.values()])
        weights = np.array([*Counter(map(tuple, outcomes)).values()]) / 4**6
        assert all(weights[p_values <= level].sum() <= level for level in np.unique(p_values))

    def test_what_differs_has_a_small_p_value(self):
        share = PatchLaw(grid=(2, 4)).share(4, 8)
        assert cdf_test(np.full(300, 0.5), share.cdf)[1] < 1e-10
        assert binomial_test(np.array([90, 150]), 300, 0.3) < 1e-6
        assert group_test(np.repeat(np.arange(30.0)[:, None], 8, axis=1), np.ones((30, 8), bool)) == 0


class TestCoding:
    @pytest.mark.parametrize("count", [2, 16, 240, 300, 2000])
    def test_colours_are_distinct(self, count):
        codes = coding.colours(count, 3)
        assert codes.shape == (count, 3)
        assert len(np.unique(codes, axis=0)) == count
        assert codes.min() >= coding.LOW
        assert codes.max() <= coding.HIGH
        if count <= 240:
            assert all(len(np.unique(codes[:, channel])) == count for channel in range(3))

    def test_pastes_blends_and_erasures_are_read(self):
        codes = coding.colours(5, 3)
        levels = coding.coded_batch(codes, 4, 6).astype(float)
        levels[0, :2] = codes[3]
        levels[1] = 0.3 * codes[1] + 0.7 * codes[4].astype(float)
        levels[2, :, 3:] = 255
        read = coding.decode(levels, codes, coding.BLENDED["float32"])
        assert read.partner.tolist() == [3, 4, -1, -1, -1]
        np.testing.assert_allclose(read.own.mean(axis=(1, 2)), [0.5, 0.3, 0.5, 1, 1])
        assert read.erased.mean(axis=(1, 2)).tolist() == [0, 0, 0.5, 0, 0]


class TestCorrectTransforms:
    @pytest.mark.parametrize("name", CORRECT)
    def test_pass_every_check(self, name):
        make, claims = CORRECT[name]
        certificate = certify(make(), claims=claims, num_calls=150)
        assert certificate.holds, certificate
        assert certificate.num_judged >= 15

    @pytest.mark.slow
    @pytest.mark.parametrize("name", CORRECT)
    def test_pass_with_a_hundred_seeds(self, name):
        make, claims = CORRECT[name]
        failed = [seed for seed in range(100) if not certify(make(), claims=claims, seed=seed).holds]
        assert failed == []

    @pytest.mark.parametrize("dtype", ["uint8", "float32"])
    def test_in_uint8_and_in_batches_over_240(self, dtype):
        for transform, kind in ((BoxCutMix(num_classes=10), "cutmix"), (Mixup(num_classes=10), "mixup")):
            size = 244 if kind == "cutmix" else 16
            certificate = certify(transform, claims=Claims(kind=kind), dtype=dtype, batch_size=size, num_calls=64)
            assert certificate.holds, certificate
            assert ("distinct as a triple" in certificate.coding) == (size > 240)
            assert ("uint8 levels" in certificate.coding) == (dtype == "uint8")

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_that_return_half_precision(self, dtype):
        for transform, claims in ((BoxCutMix(num_classes=16), "cutmix"), (Mixup(num_classes=16), "mixup")):
            certificate = certify(in_dtype(transform, dtype), claims=Claims(kind=claims), num_calls=64)
            assert certificate.holds, certificate
        wrong = certify(in_dtype(MutantCutMix("complement"), dtype), num_calls=64)
        assert wrong.defects == ("pasted share in place of its complement",)

    def test_one_draw_a_batch_where_that_is_claimed(self):
        claims = Claims(kind="cutmix", boxes="clipped", per="batch")
        assert certify(MutantCutMix("one box a batch"), claims=claims, num_calls=100).holds
        certificate = certify(MutantCutMix(""), claims=claims, num_calls=100)
        assert certificate.defects == ("not one draw a batch",)

    @pytest.mark.parametrize("arrays", ["numpy", "jax"])
    @pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
    def test_other_arrays_and_layouts(self, arrays, layout):
        rng = np.random.default_rng(1)

        def halves(images, labels):
            if arrays == "jax":
                import jax.numpy as xp
            else:
                xp = np
            order = rng.permutation(len(labels))
            column = np.arange(24) if layout == "channels_first" else np.arange(24)[:, None]  # images are 16×24
            soft = np.eye(len(labels))[np.asarray(labels)]
            return xp.where(column >= 12, images[order], images), (soft + soft[order]) / 2

        certificate = certify(halves, arrays=arrays, layout=layout, num_calls=64)
        assert certificate.holds, certificate
        assert "fixed" in certificate["law of the share"].evidence
        assert certificate.measured["share_mean"] == pytest.approx(0.5)

    def test_a_normalising_transform_is_read(self):
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        cutmix = BoxCutMix(num_classes=16)

        def normalised(images, labels):
            mixed, soft = cutmix(images, labels)
            return (mixed - mean[:, None, None]) / std[:, None, None], soft

        certificate = certify(normalised, claims=Claims(kind="cutmix", boxes="clipped"), num_calls=64)
        assert certificate.holds, certificate
        assert "normalised: 4.367·x -2.118" in certificate.coding


class Smoothed(MutantCutMix):
    """Labels smoothed as timm does it: off = ε/K, on = 1 − ε + ε/K."""

    smoothing, dtype = 0.1, torch.float32

    def __call__(self, images, labels):
        mixed, soft = super().__call__(images, labels)
        smoothed = (1 - self.smoothing) * soft + self.smoothing / soft.shape[1]
        return mixed, smoothed.to(self.dtype)


class OneDraw(MutantCutMix):
    """One box for the whole batch and the next sample as partner, as torchvision has it; or one a pair from both ends, as timm."""

    def __init__(self, per: str, boxes: str = "clipped", kind: str = "cutmix") -> None:
        super().__init__("", boxes=boxes)
        self.per, self.kind = per, kind

    def __call__(self, images, labels):
        count = len(images)
        order = torch.arange(count).roll(1) if self.per == "batch" else torch.arange(count).flip(0)
        boxes = self.draw_boxes(count, *images.shape[-2:])
        seed = int(torch.randint(2**31, (), generator=self.generator))
        weights = np.random.default_rng(seed).beta(0.2, 0.2, count)
        mixed, soft = images.clone(), torch.eye(count)[labels]
        rows = soft.clone()
        for i in range(count):
            draw = 0 if self.per == "batch" else min(i, count - 1 - i)
            if self.kind == "mixup":
                kept = weights[draw]
                mixed[i] = kept * images[i] + (1 - kept) * images[order[i]]
            else:
                kept = self.paste(mixed[i], images[order[i]], boxes[draw])
            rows[i] = kept * soft[i] + (1 - kept) * soft[order[i]]
        return mixed, rows


class TestLevelOfDraws:
    @pytest.mark.parametrize(
        ("per", "unit", "partners"),
        [("batch", "one draw for the whole batch", "roll by 15"), ("pair", "one draw for each pair", "flip")],
    )
    @pytest.mark.parametrize("boxes", ["clipped", "unclipped"])
    def test_one_draw_a_unit_is_accused_of_nothing_else(self, per, unit, partners, boxes):
        claims = Claims(kind="cutmix", boxes=boxes)
        certificate = certify(OneDraw(per, boxes), claims=claims)
        assert certificate.defects == (unit, f"fixed partner ({partners})"), certificate
        assert certificate["draws"].evidence.startswith(f"one draw per {per}")

    def test_one_draw_a_pair_can_be_claimed(self):
        claims = Claims(kind="cutmix", boxes="clipped", per="pair")
        assert certify(OneDraw("pair"), claims=claims).defects == ("fixed partner (flip)",)
        assert "not one draw a pair" in certify(MutantCutMix(""), claims=claims, num_calls=100).defects
        assert "one draw for the whole batch" in certify(OneDraw("batch"), claims=claims, num_calls=100).defects

    @pytest.mark.parametrize("per", ["batch", "pair"])
    def test_one_weight_a_unit_is_read_near_0_and_1_too(self, per):
        claims = Claims(kind="mixup", alpha=0.2, per=per)
        for seed in range(4):
            certificate = certify(OneDraw(per, kind="mixup"), claims=claims, seed=seed, num_calls=100)
            assert certificate["draws"].verdict == "holds", certificate
            assert len(certificate.defects) == 1, certificate

    def test_a_probability_that_gates_whole_batches_is_not_one_a_sample(self):
        class Gated(MutantCutMix):
            def applied(self, count):
                return (self.rand(1) < 0.5).expand(count)

        claims = Claims(kind="cutmix", boxes="clipped", p=0.5)
        certificate = certify(Gated(""), claims=claims, num_calls=150)
        assert certificate.defects == ("draws depend on each other",), certificate
        assert certificate["draws"].evidence.endswith("alike within a call: whether anything is pasted")

    def test_without_claims_the_unit_is_reported(self):
        certificate = certify(OneDraw("pair"), num_calls=100)
        assert certificate.holds
        assert certificate["draws"].evidence.startswith(
            "one draw per pair (all alike in 0.000 of calls); no dependence"
        )


class TestLabelSmoothing:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_is_recognised_and_reported(self, dtype):
        transform = Smoothed("")
        transform.dtype = dtype
        certificate = certify(transform, claims=Claims(kind="cutmix", boxes="clipped"), num_calls=100)
        assert certificate.holds, certificate
        assert (certificate["label smoothing"].verdict, certificate["label smoothing"].evidence[:15]) == (
            "reported",
            "smoothed by 0.1",
        )
        assert certificate.measured["label_smoothing"] == pytest.approx(0.1, abs=1e-3)

    @pytest.mark.parametrize("num_classes", [2, 1000])
    def test_with_few_or_many_classes(self, num_classes):
        class Classes(BoxCutMix):
            def __call__(self, images, labels):
                mixed, soft = super().__call__(images, labels)
                return mixed, 0.9 * soft + 0.1 / num_classes

        certificate = certify(Classes(num_classes=num_classes), num_calls=64)
        assert certificate.holds, certificate
        assert certificate["label smoothing"].evidence == "smoothed by 0.1"

    @pytest.mark.parametrize(
        ("claimed", "defects"), [(0.1, ()), (0.2, ("another label smoothing",)), (0.0, ("another label smoothing",))]
    )
    def test_can_be_claimed(self, claimed, defects):
        claims = Claims(kind="cutmix", boxes="clipped", smoothing=claimed)
        certificate = certify(Smoothed(""), claims=claims, num_calls=64)
        assert certificate.defects == defects
        assert f"labels smoothed by {claimed:g}" in certificate.claims

    def test_that_is_claimed_and_missing_fails(self):
        certificate = certify(MutantCutMix(""), claims=Claims(kind="cutmix", smoothing=0.1), num_calls=64)
        assert certificate["label smoothing"].evidence == "labels are not smoothed, claimed 0.1"
        assert certificate.defects == ("another label smoothing",)

    @pytest.mark.parametrize("defect", ["complement", "labels not permuted", "float area", "labels not mixed"])
    def test_hides_no_defect(self, defect):
        claims, name = DEFECTS[defect]
        transform = Smoothed(defect, **claims)
        certificate = certify(transform, claims=Claims(kind="cutmix", **claims), num_calls=150)
        assert any(named.startswith(name) for named in certificate.defects), certificate


class TestDefects:
    @pytest.mark.parametrize("defect", DEFECTS)
    def test_is_caught_and_named(self, defect):
        catch(defect, seed=0)

    @pytest.mark.slow
    @pytest.mark.parametrize("defect", DEFECTS)
    def test_is_caught_and_named_with_a_hundred_seeds(self, defect):
        for seed in range(100):
            catch(defect, seed)

    def test_the_plain_transform_they_are_seeded_into_passes(self):
        for claims in (Claims(kind="cutmix", boxes="clipped"), Claims(kind="cutmix", boxes="unclipped", p=0.7)):
            assert certify(MutantCutMix("", boxes=claims.boxes, p=claims.p), claims=claims, num_calls=150).holds

    def test_without_claims_labels_are_still_held_to_the_pixels(self):
        complement = certify(MutantCutMix("complement"), num_calls=64)
        assert complement.defects == ("pasted share in place of its complement",)
        assert certify(MutantCutMix("unclipped"), num_calls=64).holds

    def test_a_weight_that_is_off_everywhere_has_no_better_name(self):
        def overstated(images, labels):
            mixed, soft = images.clone(), torch.eye(max(16, len(labels)))[labels]
            order = torch.randperm(len(labels))
            mixed[:, :, 4:12, 6:18] = images[order][:, :, 4:12, 6:18]  # a quarter of 16×24, away from the border
            return mixed, 0.6 * soft + 0.4 * soft[order]

        assert certify(overstated, num_calls=64).defects == ("label weight is not the share of pixels",)

    def test_the_clipping_of_the_paper_without_its_correction_is_named(self):
        def uncorrected(images, labels):  # sides int(H√(1−λ)), halved with rounding, and λ as it was drawn
            height, width = images.shape[-2:]
            mixed, soft = images.clone(), torch.eye(max(16, len(labels)))[labels]
            order, pasted = torch.randperm(len(labels)), torch.rand(()).item()
            y, x = int(torch.randint(height, ())), int(torch.randint(width, ()))
            high, wide = int(height * pasted**0.5) // 2, int(width * pasted**0.5) // 2
            rows, columns = slice(max(y - high, 0), y + high), slice(max(x - wide, 0), x + wide)
            mixed[:, :, rows, columns] = images[order][:, :, rows, columns]
            return mixed, (1 - pasted) * soft + pasted * soft[order]

        claims = Claims(kind="cutmix", boxes="clipped", per="batch")
        certificate = certify(uncorrected, claims=claims, num_calls=150)
        assert certificate.defects == ("share not recomputed after clipping",)

    def test_a_flip_leaves_the_middle_of_an_odd_batch_as_it_is(self):
        def flip(images, labels):
            mixed, soft = images.clone(), torch.eye(max(16, len(labels)))[labels]
            mixed[:, :, :4] = images.flip(0)[:, :, :4]
            return mixed, 0.75 * soft + 0.25 * soft.flip(0)

        certificate = certify(flip, num_calls=64)
        assert certificate.holds, certificate
        assert certificate["pairing"].evidence.startswith("flip")

    def test_patch_sizes_that_are_binomial_do_not_pass_for_uniform_ones(self):
        class CoinFlips(PatchCutMix):
            def draw_mask(self, count, height, width, device):
                return torch.rand((count, *self.grid), generator=self.generator) < 0.5

        certificate = certify(CoinFlips(4, num_classes=16), claims=Claims(kind="cutmix", grid=4), num_calls=100)
        assert {"share follows another law", "subset is not uniform given its size"} <= set(certificate.defects)


class WrittenAs:
    """The plain CutMix, as people write it: what goes in, and what comes back."""

    FORMS = ("flat", "nested", "a weight a sample", "rows", "one-hot in", "one-hot in, times λ", "not always mixed")

    def __init__(self, form: str, defect: str = "") -> None:
        self.form, self.defect = form, defect
        self.generator = torch.Generator()

    def __call__(self, images, labels):
        mutant = MutantCutMix(self.defect)
        mutant.generator = self.generator
        count, indices = len(images), labels if labels.ndim == 1 else labels.argmax(1)
        if self.form == "one-hot in":
            assert labels.ndim == 2, "rows, please"
        if self.form == "not always mixed" and mutant.rand(1) < 0.5:
            return images, labels
        order = mutant.partners(count)[0]
        top, left, high, wide = mutant.draw_boxes(count, *images.shape[-2:])[0]
        mixed = images.clone()
        kept = [mutant.paste(mixed[i], images[order[i]], (top, left, high, wide)) for i in range(count)]
        weight, columns = kept[0], torch.tensor(kept)
        rows = torch.eye(count)[indices]
        return {
            "flat": (mixed, labels, labels[order], weight),
            "nested": (mixed, (labels, labels[order], torch.tensor(weight))),
            "a weight a sample": [mixed, labels, labels[order], columns],
            "rows": (mixed, (rows, rows[order], columns[:, None])),
            "one-hot in": (mixed, labels, labels[order], weight),
            "one-hot in, times λ": (mixed, labels * weight + labels[order] * (1 - weight)),
            "not always mixed": (mixed, labels, labels[order], weight),
        }[self.form]


class TestForms:
    @pytest.mark.parametrize("form", WrittenAs.FORMS)
    def test_are_read_without_an_option(self, form):
        claims = Claims(kind="cutmix", boxes="clipped", per="batch", p=0.5 if form == "not always mixed" else 1.0)
        certificate = certify(WrittenAs(form), claims=claims, num_calls=100)
        assert certificate.holds, certificate
        assert ("one-hot labels" in certificate.coding) == form.startswith("one-hot")

    @pytest.mark.parametrize("form", ["flat", "nested", "one-hot in, times λ"])
    def test_show_a_wrong_weight(self, form):
        certificate = certify(WrittenAs(form, "complement"), num_calls=64)
        assert certificate.defects == ("pasted share in place of its complement",)

    def test_a_kind_of_labels_can_be_asked_for(self):
        certificate = certify(WrittenAs("flat"), labels="one_hot", num_calls=64)
        assert certificate.holds, certificate
        assert "one-hot labels" in certificate.coding
        with pytest.raises(ValueError, match=r"`labels` belong to a form that gives them .*, got kornia"):
            certify(WrittenAs("flat"), labels="one_hot", form="kornia")


def in_dtype(transform, dtype: torch.dtype):
    """The transform, with images and soft labels returned in another type."""
    return lambda images, labels: tuple(part.to(dtype) for part in transform(images, labels))


def catch(defect: str, seed: int) -> None:
    """Certify the mutant: the defect must be among the named ones."""
    claims, name = DEFECTS[defect]
    transform = MutantCutMix(defect, p=claims.get("p", 1.0), boxes=claims.get("boxes", "clipped"))
    certificate = certify(transform, claims=Claims(kind="cutmix", **claims), seed=seed, num_calls=150)
    assert not certificate.holds
    assert any(named.startswith(name) for named in certificate.defects), (seed, certificate.defects)


def broken(how: str):
    """A transform that is no transform."""

    calls = itertools.count()

    def transform(images, labels):
        soft = torch.eye(max(16, len(labels)))[labels]
        if how == "raises" and len(images) == 7 and next(calls) > 1:
            raise RuntimeError("no odd batches\nplease")
        if how == "exits":
            raise SystemExit(3)
        if how == "nan":
            return images * torch.tensor(float("nan")), soft
        if how == "noise":
            return torch.rand_like(images), soft
        if how == "shape":
            return images[:, :, 1:], soft
        if how == "labels":
            return images, soft[:, :3]
        if how == "weights":
            return images, soft * 2
        return (images,) if how == "alone" else (images.roll(int(how == "hard"), 0), labels)

    return transform


def test_threads_of_torch_are_given_back():
    seen = []
    torch.set_num_threads(2)
    try:
        with pytest.raises(ValueError, match=r"and class indices it returned nothing \(None\)"):
            certify(lambda images, labels: seen.append(torch.get_num_threads()), num_calls=64)
        assert (set(seen), torch.get_num_threads()) == ({1}, 2)
    finally:
        torch.set_num_threads(1)


def test_rules_that_the_first_call_ended_are_not_judged():
    certificate = certify(broken("nan"))
    assert certificate.num_judged == 1
    assert certificate["shapes"].verdict == "reported"


CANNOT_BE_CHECKED = {
    "class indices it raised SystemExit: 3; with torch images (16, 3, 16, 24) and one-hot rows it raised IndexError": broken(
        "exits"
    ),
    "with torch images (16, 3, 16, 24) and class indices it returned a tuple of 1 (Tensor (16, 3, 16, 24)); with": broken(
        "alone"
    ),
    "it takes (), and not images with or without labels": lambda: None,
    "it returned a dict of pictures, labels; ": lambda images, labels: {"pictures": images, "labels": labels},
    "it returned a tuple of 2 (Tensor (16, 3, 16, 24), list of 2)": lambda images, labels: (images, [labels, [labels]]),
    "it returned a tuple of 4": lambda images, labels: (images, labels, labels[1:], 0.5),
    "it raised ValueError: too many values to unpack": lambda images, labels: [
        a for a, b in zip(images, images, labels, strict=True)
    ],
}


@pytest.mark.parametrize("sight", CANNOT_BE_CHECKED)
def test_what_cannot_be_checked_is_no_failed_claim(sight):
    with pytest.raises(ValueError, match=r"^`target` cannot be checked, got ") as refused:
        certify(CANNOT_BE_CHECKED[sight])
    assert sight in str(refused.value)
    assert "Give a function of (images, labels) that returns (images, y_a, y_b, λ) or" in str(refused.value)


def test_a_form_that_changes_later_is_named_with_its_call():
    calls = itertools.count()

    def changing(images, labels):
        return ((images + images.flip(0)) / 2, torch.eye(16)[labels]) if next(calls) < 9 else images

    sentence = r"call 9 \(a batch of 16, 16×24\) returned a Tensor \(16, 3, 16, 24\)\. Give a function"
    with pytest.raises(ValueError, match=sentence):
        certify(changing)


@pytest.mark.parametrize(
    ("refuses", "sentence", "missing"),
    [
        (lambda size: size % 2, "batches of 1, 7: raises AssertionError: even batches, please", {"odd batches"}),
        (lambda size: size != 16, "batches of 1, 2, 7: raises AssertionError", {"odd batches", "meets itself"}),
    ],
)
@pytest.mark.parametrize("defect", ["", "complement"])
def test_a_refused_batch_size_is_one_rule_and_the_report_stands(refuses, sentence, missing, defect):
    class Picky(MutantCutMix):
        def __call__(self, images, labels):
            assert not refuses(len(images)), "even batches, please"
            return super().__call__(images, labels)

    certificate = certify(Picky(defect), claims=Claims(kind="cutmix", boxes="clipped"), num_calls=100)
    assert sentence in certificate["other batch sizes"].evidence
    assert certificate["other batch sizes"].verdict == "reported"
    names = {rule.name for rule in certificate.checks}
    assert {"law of the share", "coverage", "draws", "pairing", "reproducible"} <= names
    assert not missing & names
    assert certificate.defects == (("pasted share in place of its complement",) if defect else ())


@pytest.mark.parametrize(
    ("how", "rule", "sentence"),
    [
        ("raises", "runs", r"call \d+ \(a batch of 7, 16×24\) raised RuntimeError: no odd batches please"),
        (
            "nan",
            "finite",
            r"call 1 \(a batch of 16, 16×24\) returned images with 18432 values that are NaN or infinite",
        ),
        ("noise", "masks can be read off", "a constant batch comes back changing"),
        ("shape", "shapes", r"returned images of shape \(16, 3, 15, 24\), not \(16, 3, 16, 24\)"),
        ("labels", "shapes", r"returned labels of shape \(16, 3\), not \(16, K\) with K ≥ 16"),
        ("weights", "soft labels", "returned labels that are no weights"),
        ("hard", "soft labels", "^class indices come back"),
    ],
)
def test_a_broken_target_fails_with_the_call_that_did_it(how, rule, sentence):
    certificate = certify(broken(how), num_calls=64)
    assert certificate.exit_status == 1
    assert certificate[rule].verdict == "fails"
    assert re.search(sentence, certificate[rule].evidence)
    if how == "raises":  # at the third batch of 7: what was read before stands
        assert certificate["label weight = pixel share"].verdict == "holds"


BAD = [
    ({"transform": "kornia"}, "`target` must read package.module:Class"),
    (
        {"transform": "no.such.package:Thing()"},
        "`target` could not be imported, got 'no.such.package:Thing()': ModuleNotFoundError",
    ),
    ({"transform": "augscope.images:Nothing()"}, "has no 'Nothing'"),
    (
        {"transform": "augscope.images:BoxCutMix(alpha=-1)"},
        "could not be made, got 'augscope.images:BoxCutMix(alpha=-1)': ValueError: `alpha` must",
    ),
    ({"transform": "augscope.images:BoxCutMix(alpha=abs(1))"}, "literal arguments"),
    ({"transform": BoxCutMix}, "must be a transform, got the class"),
    ({"transform": "nofile.py:thing"}, "no file nofile.py"),
    ({"transform": 3}, "`target` must be an import path or a callable, got 3"),
    ({"transform": broken("hard"), "batch_size": 2}, "`batch_size` must be in [4, 4096], got 2"),
    ({"transform": broken("hard"), "num_calls": 3}, "`num_calls` must be in [64, 1,000,000], got 3"),
    ({"transform": broken("hard"), "layout": "sideways"}, "`layout` is not valid"),
    (
        {"transform": broken("hard"), "claims": Claims(kind="cutmix", grid=5), "image_size": (16, 24)},
        "`grid` must divide the image",
    ),
]


@pytest.mark.parametrize(("arguments", "sentence"), BAD, ids=[sentence[:40] for _, sentence in BAD])
def test_bad_arguments_are_refused_in_a_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        certify(**arguments)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"kind": "cutmax"}, "`kind` is not valid"),
        ({"kind": "cutmix", "smoothing": 1}, "`smoothing` must be in [0, 1), got 1"),
        ({"kind": "cutmix", "p": 1.5}, "`p` must be in (0, 1], got 1.5"),
        ({"kind": "cutmix", "alpha": 0}, "`alpha` must be above 0"),
        ({"kind": "mixup", "grid": 4}, "`grid` does not belong to claims of mixup"),
        ({"kind": "cutout", "grid": 4}, "`grid` and `num_cut` of cutout must be given together"),
        ({"kind": "cutmix", "grid": 4, "boxes": "clipped"}, "`grid` excludes `boxes` and `size`"),
    ],
)
def test_bad_claims_are_refused_in_a_sentence(fields, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Claims(**fields)


def test_claims_are_read_from_a_file(tmp_path):
    file = tmp_path / "claims.toml"
    file.write_text('kind = "cutmix"\ngrid = [2, 4]\np = 0.5\n')
    assert read_claims(str(file), p=0.7) == Claims(kind="cutmix", grid=(2, 4), p=0.7)
    file.write_text("kind =")
    with pytest.raises(ValueError, match="`claims` must be valid TOML"):
        read_claims(str(file))
    with pytest.raises(
        ValueError, match="`claims` must be cutmix, cutout, erasing, mixup, choice or a TOML file, got 'nothing'"
    ):
        read_claims("nothing")


def test_the_same_seed_gives_the_same_certificate_as_json_and_page():
    one, again, other = (
        certify(MutantCutMix("float area", boxes="unclipped"), seed=seed, num_calls=64) for seed in (3, 3, 4)
    )
    assert json.dumps(one.as_dict()) == json.dumps(again.as_dict())
    assert one.measured != other.measured
    assert sum(one.measured["share_histogram"]) == round(one.measured["applied"] * 64 * 16)
    page = html_page(one)
    assert html_page(again) == page
    assert "<script" not in page
    assert "src=" not in page
    assert page.count("<svg") == 14  # coverage as measured and as expected, and twelve masks
    assert "area in real numbers against whole pixels" in page


def test_the_page_escapes_what_it_shows():
    transform = broken("hard")
    transform.__qualname__ = "<b>&"
    assert "&lt;b&gt;&amp;" in html_page(certify(transform, num_calls=64))
