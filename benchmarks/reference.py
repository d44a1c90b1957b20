"""The references in PyTorch: what one would write first, and the same with the identities of the exact CutMix loss."""

from __future__ import annotations

import time
from itertools import combinations
from math import comb

import numpy as np
import torch

import augscope as ag

THREADS = 2


def enumerated_loss(method: ag.Method, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The training loss with every subset and ordered pair written out, two softplus each."""
    logistic = torch.nn.functional.softplus
    num_samples, num_patches = scores.shape
    if isinstance(method, ag.Erm):
        return logistic(-labels * scores.sum(1)).mean()
    if isinstance(method, ag.Cutout):
        kept = [list(set(range(num_patches)) - set(cut)) for cut in combinations(range(num_patches), method.num_cut)]
        return torch.stack([logistic(-labels * scores[:, keep].sum(1)).mean() for keep in kept]).mean()
    total = torch.zeros((), dtype=scores.dtype)
    for size in range(num_patches + 1):
        for subset in combinations(range(num_patches), size):
            mixed = _mixed(scores, subset)
            share = size / num_patches
            losses = share * logistic(-labels[:, None] * mixed) + (1 - share) * logistic(-labels[None, :] * mixed)
            total = total + losses.sum() / ((num_patches + 1) * comb(num_patches, size) * num_samples**2)
    return total


def halved_loss(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The CutMix loss as softplus(z) − q z (model.md, 6.2): one softplus a pair, and half of the subsets, by symmetry."""
    num_samples, num_patches = scores.shape
    positive = (labels > 0).to(scores.dtype)
    whole = scores.sum(1)
    single = (torch.nn.functional.softplus(whole) - positive * whole).mean()
    total = single * 2 / (num_patches + 1)  # the full and the empty set
    for size in range(1, num_patches):
        for subset in combinations(range(num_patches), size):
            if 0 in subset:  # its complement stands for the other half: (i, j, S) and (j, i, Sᶜ) are one mixed input
                mixed, share = _mixed(scores, subset), size / num_patches
                target = share * positive[:, None] + (1 - share) * positive[None, :]
                losses = torch.nn.functional.softplus(mixed) - target * mixed
                total = total + 2 * losses.sum() / ((num_patches + 1) * comb(num_patches, size) * num_samples**2)
    return total


def _mixed(scores: torch.Tensor, subset: tuple[int, ...]) -> torch.Tensor:
    inside = torch.zeros(scores.shape[1], dtype=scores.dtype)
    inside[list(subset)] = 1
    return (scores @ inside)[:, None] + (scores @ (1 - inside))[None, :]


def patch_scores(weights: torch.Tensor, patches: torch.Tensor, network: ag.Network) -> torch.Tensor:
    """Patch scores from the weights, as in the paper."""
    z = torch.einsum("sd,npd->snp", weights, patches)
    beta, r = network.negative_slope, network.smoothing
    inside = z.clamp(0, r)
    active = beta * z + (1 - beta) * (inside**2 / (2 * r) + (z - r).clamp(min=0))
    return active[0] - active[1]


def step_seconds(
    method: ag.Method, dataset: ag.Dataset, network: ag.Network, *, halved: bool = False, steps: int = 15
) -> list[float]:
    """Return the seconds of each full-batch step on dense patches, float64, gradients by autograd.

    Raises:
        AssertionError: if the reference's first loss is not ours to 1e-12: it would be timed for something else.
    """
    torch.set_num_threads(THREADS)
    weights = torch.tensor(np.asarray(dataset.initial_weights), requires_grad=True)
    patches = torch.tensor(np.asarray(dataset.patches))
    labels = torch.tensor(np.asarray(dataset.labels), dtype=torch.float64)
    ours = float(method.loss(network.scores(dataset.initial_weights, dataset.patches), np.asarray(dataset.labels)))
    found = []
    for step in range(steps + 1):
        begun = time.perf_counter()
        scores = patch_scores(weights, patches, network)
        loss = halved_loss(scores, labels) if halved else enumerated_loss(method, scores, labels)
        (gradient,) = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            weights -= gradient
        if step == 0:  # warm-up, not timed
            assert abs(float(loss.detach()) - ours) < 1e-12, "the reference computes another loss"
        else:
            found.append(time.perf_counter() - begun)
    return found
