"""The two networks of the study: a score for every patch, summed over patches; all filters see every patch alike."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from augscope.studies.canvas.settings import CanvasSettings

NEGATIVE_SLOPE, SMOOTHING = 0.1, 1.0  # β and r, as in the lab's presets


class PatchNetwork(NamedTuple):
    """f(X) = Σ_p Σ_h u_h φ(⟨w_h, x^(p)⟩): filters w_h are trained, u_h = ±√(2/m) alternate and are fixed.

    With that scale of u a step size means the same at every number m of filters, and m = 2 with the paper's φ is its network.

    Attributes:
        num_filters: m.
        leaky: whether φ is the paper's smoothed leaky ReLU (model.md, §3), or ReLU.
    """

    num_filters: int
    leaky: bool

    def outputs(self, like: Tensor) -> Tensor:
        """u, (m,), of a tensor's dtype and device."""
        signs = torch.ones(self.num_filters, dtype=like.dtype, device=like.device)
        signs[1::2] = -1
        return signs * (2 / self.num_filters) ** 0.5

    def activation(self, z: Tensor) -> Tensor:
        """φ(z), elementwise."""
        if not self.leaky:
            return z.clamp(min=0)
        bent = z.clamp(0, SMOOTHING)
        beyond = bent * bent / (2 * SMOOTHING) + (z - SMOOTHING).clamp(min=0)
        return NEGATIVE_SLOPE * z + (1 - NEGATIVE_SLOPE) * beyond

    def slope(self, z: Tensor) -> Tensor:
        """φ'(z), elementwise; 0 at 0 for ReLU."""
        if not self.leaky:
            return (z > 0).to(z.dtype)
        return NEGATIVE_SLOPE + (1 - NEGATIVE_SLOPE) * z.clamp(0, SMOOTHING) / SMOOTHING

    def scores(self, projections: Tensor, num_patches: int) -> Tensor:
        """Patch scores (S, n, P) from projections ⟨w_h, x⟩ of all patches in a row, (S, n P, m)."""
        values = self.activation(projections) @ self.outputs(projections)
        return values.view(len(values), -1, num_patches)


def network_of(settings: CanvasSettings) -> PatchNetwork:
    """Return the network that settings name."""
    return (
        PatchNetwork(2, leaky=True) if settings.network == "two-filter" else PatchNetwork(settings.width, leaky=False)
    )
