"""The canvas study's batched losses against plain loops over every subset and pair, and against sampled transforms."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
import torch

from augscope.images import PatchCutMix, PatchCutout
from augscope.studies.canvas.losses import SAFE, gradient, loss
from augscope.studies.canvas.settings import TrainingMethod

torch.set_num_threads(1)  # small batches in parallel test processes: more threads only wait for each other

ERM, CUTMIX = TrainingMethod("erm"), TrainingMethod("cutmix")
METHODS = [ERM, TrainingMethod("cutout", 1), TrainingMethod("cutout", 2), CUTMIX]
each_method = pytest.mark.parametrize("method", METHODS, ids=[method.title for method in METHODS])


def ell(z: float) -> float:
    """ℓ(z) = log(1 + e^{−z})."""
    return float(np.logaddexp(0, -z))


def plain_loss(method: TrainingMethod, scores: np.ndarray, labels: np.ndarray) -> float:
    """One seed's loss from model.md, §4, a loop for every sum."""
    size, num_patches = scores.shape
    if method.name != "cutmix":
        cuts = list(combinations(range(num_patches), method.num_cut))
        kept = [[p for p in range(num_patches) if p not in cut] for cut in cuts]
        return sum(ell(labels[i] * scores[i, k].sum()) for i in range(size) for k in kept) / (size * len(cuts))
    total = 0.0
    for i in range(size):
        for j in range(size):
            for count in range(num_patches + 1):
                for subset in combinations(range(num_patches), count):
                    own = np.isin(np.arange(num_patches), subset)
                    z, share = np.where(own, scores[i], scores[j]).sum(), count / num_patches
                    mixed = share * ell(labels[i] * z) + (1 - share) * ell(labels[j] * z)
                    total += mixed / ((num_patches + 1) * comb(num_patches, count))
    return total / size**2


def drawn(num_seeds: int, size: int, num_patches: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores and unbalanced labels: a mistake that balance hides shows."""
    scores = np.random.default_rng(3).normal(0.3, 2, (num_seeds, size, num_patches))
    labels = np.where(np.arange(size) % 3 == 0, -1.0, 1.0)
    return torch.from_numpy(scores), torch.from_numpy(labels)


@each_method
@pytest.mark.parametrize("num_patches", [3, 4])
def test_losses_are_those_of_plain_loops(method, num_patches):
    scores, labels = drawn(2, 5, num_patches)
    expected = [plain_loss(method, one.numpy(), labels.numpy()) for one in scores]
    np.testing.assert_allclose(loss(method, scores, labels).numpy(), expected, rtol=1e-13)  # rounding of some 300 terms


@each_method
@pytest.mark.parametrize("num_patches", [3, 4])
def test_gradients_are_those_of_plain_loops(method, num_patches):
    """Central differences of the loops: an error of h² and of rounding over h, some 1e-10 at h = 1e-5."""
    scores, labels = drawn(1, 4, num_patches)
    found, step = gradient(method, scores, labels)[0].numpy(), 1e-5
    for place in np.ndindex(*found.shape):
        moved = np.zeros(found.shape)
        moved[place] = step
        above, below = (plain_loss(method, scores[0].numpy() + sign * moved, labels.numpy()) for sign in (1, -1))
        assert found[place] == pytest.approx((above - below) / (2 * step), abs=1e-9)


@each_method
def test_gradients_are_those_of_autograd_at_the_study_s_size(method):
    scores, labels = drawn(3, 40, 3)
    scores.requires_grad_()
    (expected,) = torch.autograd.grad(loss(method, scores, labels).sum(), scores)
    torch.testing.assert_close(gradient(method, scores.detach(), labels), expected, rtol=1e-11, atol=1e-16)


def test_huge_scores_neither_overflow_nor_lose_their_sign():
    scores, labels = drawn(1, 4, 3)
    for factor in (SAFE / 4, 10 * SAFE):
        large = (scores * factor).requires_grad_()
        (expected,) = torch.autograd.grad(loss(CUTMIX, large, labels).sum(), large)
        torch.testing.assert_close(gradient(CUTMIX, large.detach(), labels), expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("method", METHODS[1:], ids=[method.title for method in METHODS[1:]])
def test_expected_losses_are_those_of_the_certified_transforms(method):
    """100 batches of 5 points 500 times; outside 4 standard errors with probability 6e-5 (and the seed is fixed)."""
    scores, labels = drawn(1, 5, 3)
    generator = torch.Generator().manual_seed(17)
    transform = (
        PatchCutMix((1, 3), num_classes=2, generator=generator)
        if method.name == "cutmix"
        else PatchCutout(method.num_cut, (1, 3), num_classes=2, generator=generator)
    )
    images, classes = scores.view(5, 1, 1, 3).repeat(500, 1, 1, 1), ((labels + 1) / 2).long().repeat(500)
    found = []
    for _ in range(100):
        mixed, soft = transform(images, classes)
        outputs = mixed.sum(dim=(1, 2, 3))
        losses = soft[:, 1] * torch.nn.functional.softplus(-outputs) + soft[:, 0] * torch.nn.functional.softplus(
            outputs
        )
        found.append(float(losses.mean()))
    exact, error = float(loss(method, scores, labels)), np.std(found, ddof=1) / 10
    assert abs(np.mean(found) - exact) <= 4 * error
    assert 0 < error < 0.01 * exact  # small enough that a wrong law would show
