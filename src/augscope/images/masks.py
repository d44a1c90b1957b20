"""Random masks of image batches, drawn for all samples at once: subsets of a grid of patches, and boxes.

A mask is true where pixels are *pasted*: they come from the partner (CutMix) or are erased (Cutout).
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor

# Uniform numbers are drawn in float64: in float32 two of 2^24 values often tie, which would tilt ranks and roundings.


def uniform(shape: tuple[int, ...], generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Uniform numbers on [0, 1), float64, on the generator's own device, or on `device` without one."""
    return torch.rand(shape, generator=generator, dtype=torch.float64, device=generator.device if generator else device)


def beta(alpha: float, count: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Beta(α, α) numbers, (count,), by inversion: `torch.distributions` takes no generator."""
    drawn = uniform((count,), generator, device)
    if alpha == 1:
        return drawn
    return torch.from_numpy(betaincinv(alpha, alpha, np.asarray(drawn.cpu()))).to(drawn.device)


def uniform_sizes(count: int, num_patches: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Sizes uniform on 0 … P, (count,)."""
    drawn = uniform((count,), generator, device)
    return (drawn * (num_patches + 1)).long()


def uniform_subsets(sizes: Tensor, num_patches: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """A uniform subset of the patches for each size, (N, P): the patches whose random ranks are below it."""
    ranks = uniform((len(sizes), num_patches), generator, device).argsort(dim=1).argsort(dim=1)
    return ranks < sizes[:, None].to(ranks.device)


def box_mask(starts: Tensor, ends: Tensor, height: int, width: int) -> Tensor:
    """The masks (N, H, W) of boxes [start, end) given as (N, 2): rows, then columns."""
    rows = torch.arange(height, device=starts.device)
    columns = torch.arange(width, device=starts.device)
    in_rows = (rows >= starts[:, :1]) & (rows < ends[:, :1])
    in_columns = (columns >= starts[:, 1:]) & (columns < ends[:, 1:])
    return in_rows[:, :, None] & in_columns[:, None, :]


def clipped_boxes(
    sizes: Tensor, height: int, width: int, generator: torch.Generator | None, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Boxes with a uniform centre pixel, size//2 to either side, clipped at the border: the original papers' law."""
    extent = torch.tensor([height, width], device=sizes.device)
    centres = (uniform((len(sizes), 2), generator, device).to(sizes.device) * extent).long()
    half = sizes // 2
    return (centres - half).clamp(min=0), torch.minimum(centres + half, extent)


def unclipped_boxes(
    sizes: Tensor, height: int, width: int, generator: torch.Generator | None, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Boxes placed uniformly among the places where they lie inside the image whole."""
    free = torch.tensor([height, width], device=sizes.device) - sizes
    starts = (uniform((len(sizes), 2), generator, device).to(sizes.device) * (free + 1)).long()
    return starts, starts + sizes
