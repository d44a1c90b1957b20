"""Cutout, CutMix and Mixup on batches of images, in the convention of torchvision v2, each with a known law.

A transform is called with `(images, labels)` and returns new ones; use it after the loader or in a `collate_fn`:
`lambda batch: transform(*default_collate(batch))`. `augscope.laws` states each law exactly and certifies it.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from augscope.images import masks
from augscope.support.values import check

Boxes = Literal["clipped", "unclipped"]


class BatchTransform:
    """What all transforms share: checks, soft labels, and which samples are transformed.

    Args:
        num_classes: K, needed where labels are class indices; soft labels (N, K) are taken as they are.
        p: probability, in [0, 1], with which each sample is transformed, independently; applied once.
        generator: a `torch.Generator` for every draw; without one, PyTorch's global generator.
    """

    def __init__(
        self, *, num_classes: int | None = None, p: float = 1.0, generator: torch.Generator | None = None
    ) -> None:
        whole = isinstance(num_classes, int) and not isinstance(num_classes, bool)
        check(num_classes is None or (whole and num_classes >= 1), f"`num_classes` must be ≥ 1, got {num_classes!r}")
        check(isinstance(p, int | float) and 0 <= p <= 1, f"`p` must be in [0, 1], got {p!r}")
        check(
            generator is None or isinstance(generator, torch.Generator),
            f"`generator` must be a torch.Generator, got {generator!r}",
        )
        self.num_classes, self.p, self.generator = num_classes, float(p), generator

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Transform a batch; neither argument is changed.

        Args:
            images: (N, C, H, W), any dtype, N ≥ 1; every sample may be of any channels and shape.
            labels: class indices (N,) in [0, K), or soft labels (N, K).

        Returns:
            Images of the same shape and dtype, and soft labels (N, K), float32 (or the soft labels' own dtype).

        Raises:
            ValueError: on shapes that do not fit, class indices out of range, or indices without `num_classes`.

        Cost: one pass over the images, and one over the partners' pixels.
        """
        soft = self._soft_labels(images, labels)
        return self._transformed(images, soft)

    def _transformed(self, images: Tensor, soft: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def _soft_labels(self, images: Tensor, labels: Tensor) -> Tensor:
        check(isinstance(images, Tensor), f"`images` must be a tensor, got {type(images).__name__}")
        check(isinstance(labels, Tensor), f"`labels` must be a tensor, got {type(labels).__name__}")
        shape = tuple(images.shape)
        check(
            len(shape) == 4 and min(shape) >= 1, f"`images` must have shape (N, C, H, W), none of them 0, got {shape}"
        )
        check(
            labels.ndim in (1, 2) and len(labels) == len(images),
            f"`labels` must have shape ({len(images)},) or ({len(images)}, K), got {tuple(labels.shape)}",
        )
        if labels.ndim == 2:
            check(labels.is_floating_point(), f"soft `labels` must be floating-point numbers, got {labels.dtype}")
            return labels
        integral = not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
        check(integral, f"`labels` of shape (N,) must be class indices, got {labels.dtype}")
        if self.num_classes is None:
            raise ValueError("`num_classes` is required where labels are class indices")
        low, high = (int(value) for value in labels.aminmax())
        check(
            low >= 0 and high < self.num_classes,
            f"`labels` must be in [0, {self.num_classes}), got {low if low < 0 else high}",
        )
        return torch.nn.functional.one_hot(labels.long(), self.num_classes).to(torch.float32)

    def _applied(self, count: int, device: torch.device) -> Tensor:
        """Which samples are transformed, (N,)."""
        return masks.uniform((count,), self.generator, device).to(device) < self.p

    def _partners(self, count: int, device: torch.device) -> Tensor:
        """A uniform permutation of the batch, (N,): every partner is equally likely, a sample's own self included."""
        return masks.uniform((count,), self.generator, device).argsort().to(device)


class _Mask(BatchTransform):
    """A transform that pastes where a mask is true."""

    def _mask(self, count: int, height: int, width: int, device: torch.device) -> Tensor:
        """(N, h, w), true where pasted: h × w pixels, or patches of equal size."""
        raise NotImplementedError

    def _drawn(self, images: Tensor) -> Tensor:
        count, (height, width), device = len(images), images.shape[-2:], images.device
        mask = self._mask(count, height, width, device).to(device)
        return mask & self._applied(count, device)[:, None, None]


class _CutMix(_Mask):
    """Paste the partner where the mask is true; label weight = share of pixels, from the mask itself."""

    def _transformed(self, images: Tensor, soft: Tensor) -> tuple[Tensor, Tensor]:
        mask = self._drawn(images)
        partners = self._partners(len(images), images.device)
        # The label's own dtype, unless it has too few digits to count pixels in.
        kept = 1 - mask.sum(dim=(1, 2), dtype=torch.float64) / mask[0].numel()
        kept = kept.to(soft.device)[:, None]
        own, theirs = soft.double(), soft[partners.to(soft.device)].double()
        return paste(images, partners, mask), (kept * own + (1 - kept) * theirs).to(soft.dtype)


class _Cutout(_Mask):
    """Erase where the mask is true; labels stay."""

    fill: float = 0.0

    def _transformed(self, images: Tensor, soft: Tensor) -> tuple[Tensor, Tensor]:
        mask = spread(self._drawn(images), *images.shape[-2:])
        return images.masked_fill(mask[:, None], self.fill), soft.clone()


class PatchCutMix(_CutMix):
    """CutMix on a grid of P patches with the law of Oh & Yun (2024, §2.3): |S| uniform on 0 … P, then S uniform.

    Patches in S come from the sample, the others from its partner, a uniform permutation of the batch; label weight |S|/P.

    Args:
        grid: rows and columns of patches, or one number for both. It must divide the image's height and width, so that
            |S|/P is the share of pixels exactly.
        num_classes, p, generator: as in every transform here.

    Example:
        >>> import torch
        >>> from augscope.images import PatchCutMix
        >>> mix = PatchCutMix(grid=4, num_classes=10, generator=torch.Generator().manual_seed(0))
        >>> images, labels = mix(torch.rand(8, 3, 32, 32), torch.arange(8))
        >>> images.shape, labels.shape, labels.sum(dim=1).unique().tolist()
        (torch.Size([8, 3, 32, 32]), torch.Size([8, 10]), [1.0])

    Reference: arXiv 2410.23672.
    """

    def __init__(
        self,
        grid: int | tuple[int, int] = 4,
        *,
        num_classes: int | None = None,
        p: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(num_classes=num_classes, p=p, generator=generator)
        self.grid = checked_pair("grid", grid)

    def _mask(self, count: int, height: int, width: int, device: torch.device) -> Tensor:
        rows, columns = checked_grid(self.grid, height, width)
        sizes = masks.uniform_sizes(count, rows * columns, self.generator, device)
        subset = masks.uniform_subsets(sizes, rows * columns, self.generator, device)
        return ~subset.view(count, rows, columns)


class PatchCutout(_Cutout):
    """Cutout on a grid of P patches (Oh & Yun 2024, §2.3): a uniform subset of C patches is erased; labels stay.

    Args:
        num_cut: C, 1 ≤ C < P.
        grid: rows and columns of patches, or one number for both; it must divide the image's height and width.
        fill: the value of erased pixels.
        num_classes, p, generator: as in every transform here.

    Reference: arXiv 2410.23672.
    """

    def __init__(
        self,
        num_cut: int = 1,
        grid: int | tuple[int, int] = 4,
        *,
        fill: float = 0.0,
        num_classes: int | None = None,
        p: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(num_classes=num_classes, p=p, generator=generator)
        self.grid, self.fill = checked_pair("grid", grid), fill
        num_patches = self.grid[0] * self.grid[1]
        check(
            isinstance(num_cut, int) and 1 <= num_cut < num_patches,
            f"`num_cut` must be in [1, P), got {num_cut!r} with P = {num_patches}",
        )
        self.num_cut = num_cut

    def _mask(self, count: int, height: int, width: int, device: torch.device) -> Tensor:
        rows, columns = checked_grid(self.grid, height, width)
        sizes = torch.full((count,), self.num_cut)
        return masks.uniform_subsets(sizes, rows * columns, self.generator, device).view(count, rows, columns)


class BoxCutMix(_CutMix):
    """CutMix with a box of its own for every sample; label weight = exact share of pixels, after clipping and rounding.

    λ ~ Beta(α, α), and the box takes √(1−λ) of height and of width. "clipped" (Yun et al. 2019): a uniform centre, the
    box clipped at the border, so that at α = 1 about 0.32 of the pixels are pasted on average. "unclipped": the box lies
    inside whole, uniformly placed, so that the pasted share is 1−λ up to rounding, ½ on average.

    Args:
        alpha: α > 0.
        boxes: "clipped" or "unclipped".
        num_classes, p, generator: as in every transform here.

    Reference: arXiv 1905.04899.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        boxes: Boxes = "clipped",
        *,
        num_classes: int | None = None,
        p: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(num_classes=num_classes, p=p, generator=generator)
        self.alpha, self.boxes = checked_alpha(alpha), checked_boxes(boxes)

    def _mask(self, count: int, height: int, width: int, device: torch.device) -> Tensor:
        side = (1 - masks.beta(self.alpha, count, self.generator, device)).sqrt()[:, None]
        extent = torch.tensor([height, width], device=side.device)
        if self.boxes == "clipped":
            starts, ends = masks.clipped_boxes((side * extent).long(), height, width, self.generator, device)
        else:
            sizes = (side * extent).round().long()
            starts, ends = masks.unclipped_boxes(sizes, height, width, self.generator, device)
        return masks.box_mask(starts, ends, height, width)


class BoxCutout(_Cutout):
    """Cutout of a box of fixed size for every sample; labels stay.

    "clipped" (DeVries & Taylor 2017): a uniform centre, size//2 to either side, clipped at the border. "unclipped": the
    box lies inside whole, uniformly placed.

    Args:
        size: height and width of the box in pixels, or one number for both.
        boxes: "clipped" or "unclipped".
        fill: the value of erased pixels.
        num_classes, p, generator: as in every transform here.

    Reference: arXiv 1708.04552.
    """

    def __init__(
        self,
        size: int | tuple[int, int] = 16,
        boxes: Boxes = "clipped",
        *,
        fill: float = 0.0,
        num_classes: int | None = None,
        p: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(num_classes=num_classes, p=p, generator=generator)
        self.size, self.boxes, self.fill = checked_pair("size", size), checked_boxes(boxes), fill

    def _mask(self, count: int, height: int, width: int, device: torch.device) -> Tensor:
        sizes = torch.tensor(self.size, device=device).expand(count, 2)
        if self.boxes == "clipped":
            starts, ends = masks.clipped_boxes(sizes, height, width, self.generator, device)
        else:
            fits = self.size[0] <= height and self.size[1] <= width
            check(
                fits, f"`size` must fit into the image where boxes are unclipped, got {self.size} in {height}×{width}"
            )
            starts, ends = masks.unclipped_boxes(sizes, height, width, self.generator, device)
        return masks.box_mask(starts, ends, height, width)


class Mixup(BatchTransform):
    """Mixup for comparison: λ x_i + (1−λ) x_j and the same of labels, λ ~ Beta(α, α) of its own for every sample.

    Integer images are mixed in float32 and rounded, so a pixel's weight is λ up to half a grey level.

    Args:
        alpha: α > 0.
        num_classes, p, generator: as in every transform here.

    Reference: arXiv 1710.09412.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        num_classes: int | None = None,
        p: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(num_classes=num_classes, p=p, generator=generator)
        self.alpha = checked_alpha(alpha)

    def _transformed(self, images: Tensor, soft: Tensor) -> tuple[Tensor, Tensor]:
        count, device = len(images), images.device
        weight = masks.beta(self.alpha, count, self.generator, device).to(device)
        weight = torch.where(self._applied(count, device), weight, 1.0)
        partners = self._partners(count, device)
        working = images if images.is_floating_point() else images.float()
        mixed = torch.lerp(working[partners], working, weight.to(working.dtype)[:, None, None, None])
        mixed = mixed if images.is_floating_point() else mixed.round().to(images.dtype)
        kept = weight.to(soft.device)[:, None]
        theirs = soft[partners.to(soft.device)].double()
        return mixed, (kept * soft.double() + (1 - kept) * theirs).to(soft.dtype)


def spread(mask: Tensor, height: int, width: int) -> Tensor:
    """A mask of patches (N, rows, columns) as one of pixels (N, H, W); a mask of pixels stays."""
    count, rows, columns = mask.shape
    if (rows, columns) == (height, width):
        return mask
    patches = mask[:, :, None, :, None].expand(count, rows, height // rows, columns, width // columns)
    return patches.reshape(count, height, width)


def paste(images: Tensor, partners: Tensor, mask: Tensor) -> Tensor:
    """Images (N, C, H, W) with the partners' pixels where the mask, of pixels or patches, is true."""
    pixels = spread(mask, *images.shape[-2:])
    return torch.where(pixels[:, None], images[partners], images)


def checked_pair(name: str, value: int | tuple[int, int]) -> tuple[int, int]:
    """One whole number ≥ 1 as a pair, or a pair of them. Raises ValueError."""
    pair = (value, value) if isinstance(value, int) else value
    good = isinstance(pair, tuple | list) and len(pair) == 2
    good = good and all(isinstance(part, int) and not isinstance(part, bool) and part >= 1 for part in pair)
    check(good, f"`{name}` must be a whole number ≥ 1 or two of them, got {value!r}")
    return pair[0], pair[1]


def checked_grid(grid: tuple[int, int], height: int, width: int) -> tuple[int, int]:
    """The grid, if it divides the image. Raises ValueError."""
    divides = height % grid[0] == 0 and width % grid[1] == 0
    check(
        divides, f"`grid` must divide the image's height and width, got {grid[0]}×{grid[1]} for {height}×{width} pixels"
    )
    return grid


def checked_alpha(alpha: float) -> float:
    """α as a float. Raises ValueError unless it is finite and above 0."""
    good = isinstance(alpha, int | float) and 0 < alpha < float("inf")
    check(good, f"`alpha` must be a number above 0, got {alpha!r}")
    return float(alpha)


def checked_boxes(boxes: str) -> Boxes:
    """The box law's name. Raises ValueError unless it is known."""
    if boxes == "clipped" or boxes == "unclipped":
        return boxes
    raise ValueError(f"`boxes` must be 'clipped' or 'unclipped', got {boxes!r}")
