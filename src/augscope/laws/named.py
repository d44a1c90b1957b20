"""The laws of augmentations as values, with their exact statistics at a given image size.

"Pasted" pixels come from the partner (CutMix) or are erased (Cutout). Nothing here is sampled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import Float
from pydantic import AfterValidator
from scipy.stats import beta as beta_distribution

from augscope.support.values import Value, check_positive


def _checked_alpha(alpha: float) -> float:
    check_positive("alpha", alpha)
    return alpha


Alpha = Annotated[float, AfterValidator(_checked_alpha)]  # of a Beta(α, α)


@dataclass(frozen=True)
class ShareLaw:
    """A discrete distribution of the pasted share.

    Attributes:
        values: increasing, in [0, 1].
        probabilities: of each value; they sum to 1.
    """

    values: Float[np.ndarray, " m"]
    probabilities: Float[np.ndarray, " m"]

    @classmethod
    def of(cls, values: np.ndarray, probabilities: np.ndarray) -> ShareLaw:
        """The law of values with repetitions; those of probability 0 are left out."""
        unique, where = np.unique(np.round(values, 12), return_inverse=True)
        total = np.bincount(where.ravel(), weights=np.ravel(probabilities), minlength=len(unique))
        return cls(unique[total > 0], total[total > 0])

    @property
    def mean(self) -> float:
        """E[share]."""
        return float(self.values @ self.probabilities)

    def quantile(self, level: float) -> float:
        """The smallest value whose cumulative probability reaches `level`."""
        index = np.searchsorted(np.cumsum(self.probabilities), level - 1e-12)
        return float(self.values[min(index, len(self.values) - 1)])

    def above(self, share: float) -> float:
        """P(share > `share`)."""
        return float(self.probabilities[self.values > share + 1e-12].sum())

    @property
    def at_zero(self) -> float:
        """P(share = 0)."""
        return float(self.probabilities[self.values == 0].sum())

    @property
    def at_one(self) -> float:
        """P(share = 1)."""
        return float(self.probabilities[self.values == 1].sum())

    def given_pasted(self, *, whole: bool = True) -> ShareLaw:
        """The law given that at least one pixel is pasted, and without `whole`, that not all are."""
        kept = (self.values > 0) & (whole | (self.values < 1))
        return ShareLaw(self.values[kept], self.probabilities[kept] / self.probabilities[kept].sum())

    def cdf(self, points: np.ndarray) -> np.ndarray:
        """P(share ≤ point), for every point."""
        below = np.concatenate([[0.0], np.cumsum(self.probabilities)])
        return below[np.searchsorted(self.values, points + 1e-9, side="right")]


class MaskLaw(Value):
    """A law of masks: what share is pasted, and where."""

    @property
    def title(self) -> str:
        """The law's name with its parameters."""
        raise NotImplementedError

    def share(self, height: int, width: int) -> ShareLaw:
        """The law of the pasted share in an image of this size."""
        raise NotImplementedError

    def coverage(self, height: int, width: int) -> Float[np.ndarray, "H W"]:
        """P(pixel is pasted), for every pixel."""
        raise NotImplementedError


class PatchLaw(MaskLaw):
    """Whole patches of a grid: a uniform subset, of size uniform on 0 … P (CutMix), or of fixed size C (Cutout).

    The law of Oh & Yun (2024, §2.3). Any two patches are pasted together with probability 1/3 in CutMix.

    Args:
        grid: rows and columns of patches; it must divide the image.
        num_cut: C, for the fixed size.
    """

    grid: tuple[int, int]
    num_cut: int | None = None

    @property
    def num_patches(self) -> int:
        """P."""
        return self.grid[0] * self.grid[1]

    @property
    def title(self) -> str:
        """Such as "uniform subset of 4×4 patches, size uniform"."""
        size = "uniform" if self.num_cut is None else f"{self.num_cut}"
        return f"uniform subset of {self.grid[0]}×{self.grid[1]} patches, size {size}"

    @property
    def size_probabilities(self) -> Float[np.ndarray, " P+1"]:
        """P(|S| = s), s = 0 … P."""
        if self.num_cut is None:
            return np.full(self.num_patches + 1, 1 / (self.num_patches + 1))
        return (np.arange(self.num_patches + 1) == self.num_cut).astype(float)

    def share(self, height: int, width: int) -> ShareLaw:
        """The law of the pasted share, the same at every image size."""
        return ShareLaw.of(np.arange(self.num_patches + 1) / self.num_patches, self.size_probabilities)

    def coverage(self, height: int, width: int) -> Float[np.ndarray, "H W"]:
        """P(pixel is pasted): E|S|/P everywhere."""
        return np.full((height, width), self.share(height, width).mean)

    @property
    def together(self) -> float:
        """P(two given patches are both pasted): E[|S| (|S|−1)] / (P (P−1))."""
        sizes = np.arange(self.num_patches + 1)
        count = self.num_patches * (self.num_patches - 1)
        return float(self.size_probabilities @ (sizes * (sizes - 1))) / max(count, 1)


class BlendLaw(Value):
    """Mixup's λ ~ Beta(α, β), the weight of the sample itself (Zhang et al. 2018, where β = α).

    Args:
        alpha: α > 0.
        beta: β > 0; without, α.
    """

    alpha: Alpha = 1.0
    beta: Alpha | None = None

    @property
    def title(self) -> str:
        """Such as "blend, Beta(1, 1)"."""
        return f"blend, Beta({self.alpha:g}, {self.beta or self.alpha:g})"

    def cdf(self, weights: np.ndarray) -> np.ndarray:
        """P(λ ≤ weight), for every weight."""
        return beta_distribution.cdf(weights, self.alpha, self.beta or self.alpha)

    def share_cdf(self, shares: np.ndarray) -> np.ndarray:
        """P(1 − λ ≤ share), for every share of the partner."""
        return beta_distribution.cdf(shares, self.beta or self.alpha, self.alpha)


class PartnerLaw(Value):
    """The partner's law: a uniform permutation of a batch of N, by which a sample meets itself with probability 1/N.

    The mean over a batch then has the same expectation as the loss over all ordered pairs of its points, and draws of
    the masks are independent across the batch.
    """

    batch_size: int

    @property
    def probability(self) -> float:
        """P(partner of i is j) = 1/N, j = i included."""
        return 1 / self.batch_size

    @property
    def self_covariance(self) -> float:
        """Cov(i meets itself, j meets itself) = 1/(N² (N−1)), i ≠ j: the only dependence across the batch."""
        return 1 / (self.batch_size**2 * (self.batch_size - 1)) if self.batch_size > 1 else 0.0
