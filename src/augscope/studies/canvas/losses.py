"""Expected losses of many seeds at once, exactly: every subset of patches and, for CutMix, every ordered pair of points.

Losses and gradients are functions of patch scores (S, n, P) and of labels (n,), as in the lab (model.md, §4 and §6). They are
enumerated rather than sampled: at n = 100 and P = 3 CutMix has 3 n² different terms, some milliseconds for 30 seeds, and
what a method learns is then not mixed up with the noise of its draws.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from math import comb

import torch
from torch import Tensor
from torch.nn.functional import softplus

from augscope.studies.canvas.settings import TrainingMethod

SAFE = 300.0  # e^600 is still finite in float64


def loss(method: TrainingMethod, scores: Tensor, labels: Tensor) -> Tensor:
    """Return each seed's expected training loss, (S,).

    Args:
        method: ERM, Cutout or CutMix.
        scores: (S, n, P), a_{i,p}.
        labels: (n,) of +1 and −1, in the scores' dtype.
    """
    if method.name == "cutmix":
        return _cutmix_loss(scores, labels)
    kept = _kept(scores.shape[-1], method.num_cut).to(scores)
    return softplus(-labels[:, None] * (scores @ kept.T)).mean(dim=(1, 2))


def gradient(method: TrainingMethod, scores: Tensor, labels: Tensor) -> Tensor:
    """Return the derivative of each seed's loss with respect to its scores, (S, n, P); arguments as for `loss`.

    Cost: O(S n 2^P) for Cutout, O(S n² 2^(P−1)) for CutMix.
    """
    if method.name == "cutmix":
        return _cutmix_gradient(scores, labels)
    kept = _kept(scores.shape[-1], method.num_cut).to(scores)
    slopes = -labels[:, None] * torch.sigmoid(-labels[:, None] * (scores @ kept.T))
    return slopes @ kept / (len(kept) * scores.shape[1])


@lru_cache(maxsize=32)
def _kept(num_patches: int, num_cut: int) -> Tensor:
    """A row for each C-subset, 1 where a patch is kept; ERM cuts none."""
    kept = torch.ones(comb(num_patches, num_cut), num_patches, dtype=torch.float64)
    for row, cut in enumerate(combinations(range(num_patches), num_cut)):
        kept[row, list(cut)] = 0
    return kept


@lru_cache(maxsize=32)
def _splits(num_patches: int) -> list[tuple[Tensor, float, float]]:
    """For one of each pair {S, complement}: S as 0s and 1s (P,), the pair's joint probability, λ = |S|/P.

    (i, j, S) and (j, i, complement) are the same mixed input with the same label weights: half of the subsets will do.
    """
    found = []
    for number in range(2 ** (num_patches - 1)):  # the last patch is never in S
        members = torch.tensor([(number >> p) & 1 for p in range(num_patches)], dtype=torch.float64)
        size = int(members.sum())
        found.append((members, 2 / ((num_patches + 1) * comb(num_patches, size)), size / num_patches))
    return found


def _cutmix_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """mean over (i, j) of E_S[softplus(z) − q z], z = A_i + B_j, q = λ·1[y_i = 1] + (1−λ)·1[y_j = 1]."""
    positive = (labels + 1) / 2
    total = torch.zeros(len(scores), dtype=scores.dtype, device=scores.device)
    for members, probability, share in _splits(scores.shape[-1]):
        members = members.to(scores)
        mixed = (scores @ members)[:, :, None] + (scores @ (1 - members))[:, None, :]
        weight = share * positive[:, None] + (1 - share) * positive[None, :]
        total += probability * (softplus(mixed) - weight * mixed).mean(dim=(1, 2))
    return total


def _cutmix_gradient(scores: Tensor, labels: Tensor) -> Tensor:
    """∂/∂a_{i,p}: the mean of σ(z) − q over partners, for the patches in S and for those outside."""
    positive = (labels + 1) / 2
    average, size = positive.mean(), scores.shape[1]
    found = torch.zeros_like(scores)
    for members, probability, share in _splits(scores.shape[-1]):
        members = members.to(scores)
        if share == 0:  # the partner alone: no pair to go through
            found += (probability / size) * (torch.sigmoid(scores.sum(dim=2)) - positive)[..., None]
            continue
        slopes = _slopes(scores @ members, scores @ (1 - members))
        inside = slopes.mean(dim=2) - share * positive - (1 - share) * average
        outside = slopes.mean(dim=1) - (1 - share) * positive - share * average
        found += (probability / size) * (inside[..., None] * members + outside[..., None] * (1 - members))
    return found


def _slopes(own: Tensor, partner: Tensor) -> Tensor:
    """σ(A_i + B_j), (S, n, n): as 1/(1 + e^{−A} e^{−B}) it takes n exponentials and not n²."""
    if max(own.abs().max(), partner.abs().max()) > SAFE:
        return torch.sigmoid(own[:, :, None] + partner[:, None, :])
    one = torch.ones((), dtype=own.dtype, device=own.device)
    return torch.addcmul(one, own.neg().exp()[:, :, None], partner.neg().exp()[:, None, :]).reciprocal_()
