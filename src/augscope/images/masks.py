"""Masks of image batches, made of uniform random numbers for all samples at once: subsets of a grid of patches, and boxes.

A mask is true where pixels are *pasted*: they come from the partner (CutMix) or are erased (Cutout). Random numbers are
float64 on [0, 1): in float32 two of 2^24 values often tie, which would tilt ranks and roundings.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor


def beta(alpha: float, uniform: Tensor) -> Tensor:
    """Beta(α, α) numbers, (N,), by inversion: `torch.distributions` takes no generator."""
    if alpha == 1:
        return uniform
    return torch.from_numpy(betaincinv(alpha, alpha, np.asarray(uniform.cpu()))).to(uniform.device)


def uniform_sizes(uniform: Tensor, num_patches: int) -> Tensor:
    """Sizes uniform on 0 … P, (N,)."""
    return (uniform * (num_patches + 1)).long()


def uniform_subsets(uniform: Tensor, sizes: Tensor) -> Tensor:
    """A uniform subset of the patches for each size, (N, P): the patches whose random ranks are below it."""
    ranks = uniform.argsort(dim=1).argsort(dim=1)
    return ranks < sizes[:, None].to(ranks.device)


def box_mask(starts: Tensor, ends: Tensor, height: int, width: int) -> Tensor:
    """The masks (N, H, W) of boxes [start, end) given as (N, 2): rows, then columns."""
    rows = torch.arange(height, device=starts.device)
    columns = torch.arange(width, device=starts.device)
    in_rows = (rows >= starts[:, :1]) & (rows < ends[:, :1])
    in_columns = (columns >= starts[:, 1:]) & (columns < ends[:, 1:])
    return in_rows[:, :, None] & in_columns[:, None, :]


def clipped_boxes(uniform: Tensor, sizes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Boxes with a uniform centre pixel, from size//2 before it, clipped at the border."""
    extent = torch.tensor([height, width], device=sizes.device)
    starts = (uniform.to(sizes.device) * extent).long() - sizes // 2
    return starts.clamp(min=0), torch.minimum(starts + sizes, extent)


def unclipped_boxes(uniform: Tensor, sizes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Boxes that lie inside the image whole, uniformly placed."""
    free = torch.tensor([height, width], device=sizes.device) - sizes
    starts = (uniform.to(sizes.device) * (free + 1)).long()
    return starts, starts + sizes
