"""Cutout, CutMix and Mixup on batches of images, in the convention of torchvision v2, each with a known law.

A transform is called with `(images, labels)` and returns new ones; use it after the loader, or `collate_fn=transform.collate` in it.
`augscope.laws` states each law exactly and certifies it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from math import isfinite
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import default_collate, get_worker_info

from augscope.images import masks
from augscope.support.values import check

Boxes = Literal["clipped", "unclipped"]
SPREAD = 0x9E3779B97F4A7C15  # odd: seeds of a generator and of a worker that differ give seeds that differ


@dataclass(eq=False)
class BatchTransform:
    """What all transforms share: checks, soft labels, and which samples are transformed.

    Args:
        num_classes: K, needed where labels are class indices; soft labels (N, K) are used as they are.
        p: probability, in [0, 1], with which each sample is transformed, independently; applied once.
        generator: a `torch.Generator` for every draw; without one, PyTorch's global generator. In the workers of a `DataLoader`, each
            of which has a copy of it, every worker draws from one of its own, seeded by it and by the worker's seed, which
            the loader draws anew every epoch.
    """

    _: KW_ONLY
    num_classes: int | None = None
    p: float = 1.0
    generator: torch.Generator | None = None
    _of_worker: tuple[int, torch.Generator] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        count, p, generator = self.num_classes, self.p, self.generator
        whole = isinstance(count, int) and not isinstance(count, bool)
        check(count is None or (whole and count >= 1), f"`num_classes` must be ≥ 1, got {count!r}")
        check(isinstance(p, int | float) and 0 <= p <= 1, f"`p` must be in [0, 1], got {p!r}")
        known = generator is None or isinstance(generator, torch.Generator)
        check(known, f"`generator` must be a torch.Generator, got {generator!r}")
        self.p = float(p)

    def __getstate__(self) -> dict[str, Any]:
        """For loaders that start their workers anew: a generator as its device and state, which PyTorch itself cannot send."""
        given = self.generator
        sent = None if given is None else (str(given.device), given.get_state().numpy().tobytes())
        return {**vars(self), "generator": sent, "_of_worker": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if self.generator is not None:
            device, content = state["generator"]
            self.generator = torch.Generator(device)
            self.generator.set_state(torch.frombuffer(bytearray(content), dtype=torch.uint8))

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Transform a batch; neither argument is changed.

        Args:
            images: (N, C, H, W), any dtype, N ≥ 1; every sample may be of any channels and shape.
            labels: class indices (N,) in [0, K), or soft labels (N, K).

        Returns:
            Images of the same shape, dtype, memory format and kind (a `tv_tensors.Image` stays one), and soft labels (N, K), float32 (or the soft labels' own dtype).

        Raises:
            ValueError: on shapes that do not fit, class indices out of range, or indices without `num_classes`.

        Cost: one pass over the images, and one over the partners' pixels.
        """
        soft = self._soft_labels(images, labels)
        made, soft = self._transformed(images, soft)
        return _as_given(made, images), soft

    def collate(self, samples: Sequence[tuple[Any, Any]]) -> tuple[Tensor, Tensor]:
        """Make a batch of samples (image, label) and transform it: `DataLoader(data, collate_fn=transform.collate)`."""
        return self(*default_collate(list(samples)))

    def _transformed(self, images: Tensor, soft: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def _soft_labels(self, images: Tensor, labels: Tensor) -> Tensor:
        check(isinstance(images, Tensor), f"`images` must be a tensor, got {type(images).__name__}")
        check(isinstance(labels, Tensor), f"`labels` must be a tensor, got {type(labels).__name__}")
        shape = tuple(images.shape)
        good = len(shape) == 4 and min(shape) >= 1
        check(good, f"`images` must have shape (N, C, H, W), none of them 0, got {shape}")
        fits = labels.ndim in (1, 2) and labels.shape[0] == shape[0]
        check(fits, f"`labels` must have shape ({shape[0]},) or ({shape[0]}, K), got {tuple(labels.shape)}")
        if labels.ndim == 2:
            check(labels.is_floating_point(), f"soft `labels` must be floating-point numbers, got {labels.dtype}")
            return labels
        integral = not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
        check(integral, f"`labels` of shape (N,) must be class indices, got {labels.dtype}")
        if self.num_classes is None:
            raise ValueError("`num_classes` is required where labels are class indices")
        low, high = (int(value) for value in labels.aminmax())
        wrong = low if low < 0 else high
        check(0 <= wrong < self.num_classes, f"`labels` must be in [0, {self.num_classes}), got {wrong}")
        return torch.nn.functional.one_hot(labels.long(), self.num_classes).to(torch.float32)

    def uniform(self, *shape: int, device: torch.device) -> Tensor:
        """Uniform numbers on [0, 1), float64, drawn on the generator's own device, or on `device` without one."""
        if self.generator is None:
            return torch.rand(shape, dtype=torch.float64, device=device)
        generator = self._generator_here(self.generator)
        return torch.rand(shape, generator=generator, dtype=torch.float64, device=generator.device)

    def _generator_here(self, generator: torch.Generator) -> torch.Generator:
        """The generator, or in a loader's worker one of its own."""
        worker = get_worker_info()
        if worker is None:
            return generator
        if self._of_worker is None or self._of_worker[0] != worker.seed:
            seed = (generator.initial_seed() * SPREAD + worker.seed) % 2**63
            self._of_worker = (worker.seed, torch.Generator(generator.device).manual_seed(seed))
        return self._of_worker[1]

    def _applied(self, count: int, device: torch.device) -> Tensor:
        """Which samples are transformed, (N,)."""
        return self.uniform(count, device=device).to(device) < self.p

    def _partners(self, count: int, device: torch.device) -> Tensor:
        """A uniform permutation of the batch, (N,): every partner is equally likely, a sample's own self included."""
        return self.uniform(count, device=device).argsort().to(device)


class MaskTransform(BatchTransform):
    """A transform that pastes where a mask is true."""

    def draw_mask(self, count: int, height: int, width: int, device: torch.device) -> Tensor:
        """Return masks (N, h, w), true where pasted: h × w pixels, or patches of equal size."""
        raise NotImplementedError

    def _applied_mask(self, images: Tensor) -> Tensor:
        count, (height, width), device = len(images), images.shape[-2:], images.device
        mask = self.draw_mask(count, height, width, device).to(device)
        return mask & self._applied(count, device)[:, None, None]


class _CutMix(MaskTransform):
    """Paste the partner where the mask is true; label weight = share of pixels, from the mask itself."""

    def _transformed(self, images: Tensor, soft: Tensor) -> tuple[Tensor, Tensor]:
        mask = self._applied_mask(images)
        partners = self._partners(len(images), images.device)
        kept = 1 - mask.sum(dim=(1, 2), dtype=torch.float64) / mask[0].numel()
        pixels = _spread(mask, *images.shape[-2:])
        return torch.where(pixels[:, None], images[partners], images), _mixed_labels(soft, partners, kept)


@dataclass(eq=False)
class _Cutout(MaskTransform):
    """Erase where the mask is true; labels stay."""

    _: KW_ONLY
    fill: float | Sequence[float] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        values = self._fills
        good = len(values) > 0 and all(isinstance(value, int | float) and isfinite(value) for value in values)
        check(good, f"`fill` must be a finite number or one a channel, got {self.fill!r}")

    def _transformed(self, images: Tensor, soft: Tensor) -> tuple[Tensor, Tensor]:
        fill = self._fill_for(images)
        pixels = _spread(self._applied_mask(images), *images.shape[-2:])
        return torch.where(pixels[:, None], fill, images), soft.clone()

    @property
    def _fills(self) -> Sequence[float]:
        """The fill of each channel, or one for all."""
        return self.fill if isinstance(self.fill, Sequence) else (self.fill,)

    def _fill_for(self, images: Tensor) -> Tensor:
        """The fill in the images' dtype, (C or 1, 1, 1). Raises ValueError where it does not fit."""
        values, channels = self._fills, images.shape[1]
        check(
            len(values) in (1, channels), f"`fill` must be one number or {channels}, one a channel, got {len(values)}"
        )
        if not images.is_floating_point():
            limits = torch.iinfo(images.dtype)
            good = all(value == int(value) and limits.min <= value <= limits.max for value in values)
            check(
                good, f"`fill` must be whole and in [{limits.min}, {limits.max}] for {images.dtype}, got {self.fill!r}"
            )
        return torch.tensor(values, dtype=images.dtype, device=images.device)[:, None, None]


@dataclass(eq=False)
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

    grid: int | tuple[int, int] = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        self.grid = checked_pair("grid", self.grid)

    def draw_mask(self, count: int, height: int, width: int, device: torch.device) -> Tensor:
        rows, columns = checked_grid(self.grid, height, width)
        sizes = masks.uniform_sizes(self.uniform(count, device=device), rows * columns)
        subset = masks.uniform_subsets(self.uniform(count, rows * columns, device=device), sizes)
        return ~subset.view(count, rows, columns)


@dataclass(eq=False)
class PatchCutout(_Cutout):
    """Cutout on a grid of P patches (Oh & Yun 2024, §2.3): a uniform subset of C patches is erased; labels stay.

    Args:
        num_cut: C, 1 ≤ C < P.
        grid: rows and columns of patches, or one number for both; it must divide the image's height and width.
        fill: the value of erased pixels, or one a channel; for integer images whole and within their range.
        num_classes, p, generator: as in every transform here.

    Reference: arXiv 2410.23672.
    """

    num_cut: int = 1
    grid: int | tuple[int, int] = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        rows, columns = self.grid = checked_pair("grid", self.grid)
        good = isinstance(self.num_cut, int) and 1 <= self.num_cut < rows * columns
        check(good, f"`num_cut` must be in [1, P), got {self.num_cut!r} with P = {rows * columns}")

    def draw_mask(self, count: int, height: int, width: int, device: torch.device) -> Tensor:
        rows, columns = checked_grid(self.grid, height, width)
        sizes = torch.full((count,), self.num_cut)
        subset = masks.uniform_subsets(self.uniform(count, rows * columns, device=device), sizes)
        return subset.view(count, rows, columns)


@dataclass(eq=False)
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

    alpha: float = 1.0
    boxes: Boxes = "clipped"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_alpha(self.alpha)
        check_boxes(self.boxes)

    def draw_mask(self, count: int, height: int, width: int, device: torch.device) -> Tensor:
        side = (1 - masks.beta(self.alpha, self.uniform(count, device=device))).sqrt()[:, None]
        sizes = side * torch.tensor([height, width], device=side.device)
        uniform = self.uniform(count, 2, device=device)
        if self.boxes == "clipped":
            even = sizes.long() // 2 * 2  # as in the paper's program
            starts, ends = masks.clipped_boxes(uniform, even, height, width)
        else:
            starts, ends = masks.unclipped_boxes(uniform, sizes.round().long(), height, width)
        return masks.box_mask(starts, ends, height, width)


@dataclass(eq=False)
class BoxCutout(_Cutout):
    """Cutout of a box of fixed size for every sample; labels stay.

    "clipped" (DeVries & Taylor 2017): a uniform centre pixel, the box clipped at the border; a whole box erases `size`
    pixels (their program rounds an odd size down to even). "unclipped": the box lies inside whole, uniformly placed.

    Args:
        size: height and width of the box in pixels, or one number for both.
        boxes: "clipped" or "unclipped".
        fill: the value of erased pixels, or one a channel; for integer images whole and within their range.
        num_classes, p, generator: as in every transform here.

    Reference: arXiv 1708.04552.
    """

    size: int | tuple[int, int] = 16
    boxes: Boxes = "clipped"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.size = checked_pair("size", self.size)
        check_boxes(self.boxes)

    def draw_mask(self, count: int, height: int, width: int, device: torch.device) -> Tensor:
        high, wide = checked_pair("size", self.size)
        sizes = torch.tensor([high, wide], device=device).expand(count, 2)
        fits = self.boxes == "clipped" or (high <= height and wide <= width)
        given = f"({high}, {wide}) in {height}×{width}"
        check(fits, f"`size` must fit into the image where boxes are unclipped, got {given}")
        place = masks.clipped_boxes if self.boxes == "clipped" else masks.unclipped_boxes
        starts, ends = place(self.uniform(count, 2, device=device), sizes, height, width)
        return masks.box_mask(starts, ends, height, width)


@dataclass(eq=False)
class Mixup(BatchTransform):
    """Mixup for comparison: λ x_i + (1−λ) x_j and the same of labels, λ ~ Beta(α, α) of its own for every sample.

    Integer images are mixed in float32 and rounded, so a pixel's weight is λ up to half a grey level.

    Args:
        alpha: α > 0.
        num_classes, p, generator: as in every transform here.

    Reference: arXiv 1710.09412.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_alpha(self.alpha)

    def _transformed(self, images: Tensor, soft: Tensor) -> tuple[Tensor, Tensor]:
        count, device = len(images), images.device
        weight = masks.beta(self.alpha, self.uniform(count, device=device)).to(device)
        weight = torch.where(self._applied(count, device), weight, 1.0)
        partners = self._partners(count, device)
        working = images if images.is_floating_point() else images.float()
        mixed = torch.lerp(working[partners], working, weight.to(working.dtype)[:, None, None, None])
        mixed = mixed if images.is_floating_point() else mixed.round().to(images.dtype)
        return mixed, _mixed_labels(soft, partners, weight)


def _as_given(made: Tensor, images: Tensor) -> Tensor:
    """Images in the memory format and of the kind of those that were given."""
    if images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous():
        made = made.contiguous(memory_format=torch.channels_last)
    tv_tensors = sys.modules.get("torchvision.tv_tensors")  # loaded where such a tensor was given
    if tv_tensors is not None and isinstance(images, tv_tensors.TVTensor):
        return tv_tensors.wrap(made, like=images)
    return made


def _mixed_labels(soft: Tensor, partners: Tensor, weight: Tensor) -> Tensor:
    """Soft labels mixed with the partners', in their own dtype; in float64 on the way, for too few digits to count pixels."""
    own, partners = soft.double(), partners.to(soft.device)
    weight = weight.to(soft.device)[:, None]
    return (weight * own + (1 - weight) * own[partners]).to(soft.dtype)


def _spread(mask: Tensor, height: int, width: int) -> Tensor:
    """A mask of patches (N, rows, columns) as one of pixels (N, H, W); a mask of pixels stays."""
    count, rows, columns = mask.shape
    if (rows, columns) == (height, width):
        return mask
    patches = mask[:, :, None, :, None].expand(count, rows, height // rows, columns, width // columns)
    return patches.reshape(count, height, width)


def checked_pair(name: str, value: int | tuple[int, int]) -> tuple[int, int]:
    """One whole number ≥ 1 as a pair, or a pair of them. Raises ValueError."""
    pair = (value, value) if isinstance(value, int) else value
    good = isinstance(pair, tuple | list) and len(pair) == 2
    good = good and all(isinstance(part, int) and not isinstance(part, bool) and part >= 1 for part in pair)
    check(good, f"`{name}` must be a whole number ≥ 1 or two of them, got {value!r}")
    return pair[0], pair[1]


def checked_grid(grid: int | tuple[int, int], height: int, width: int) -> tuple[int, int]:
    """The grid as a pair, if it divides the image. Raises ValueError."""
    rows, columns = checked_pair("grid", grid)
    divides = height % rows == 0 and width % columns == 0
    given = f"{rows}×{columns} for {height}×{width} pixels"
    check(divides, f"`grid` must divide the image's height and width, got {given}")
    return rows, columns


def check_alpha(alpha: float) -> None:
    """Raise ValueError unless α is a finite number above 0."""
    good = isinstance(alpha, int | float) and 0 < alpha < float("inf")
    check(good, f"`alpha` must be a number above 0, got {alpha!r}")


def check_boxes(boxes: str) -> None:
    """Raise ValueError unless the box law's name is known."""
    check(boxes in ("clipped", "unclipped"), f"`boxes` must be 'clipped' or 'unclipped', got {boxes!r}")
