"""Right and wrong transforms: with the laws of torchvision's, timm's and kornia's, and plain ones of each form, with claims that are true, or not.

Written from scratch: the libraries are not needed. Faithful in what is drawn, and at what level. Every draw comes from
PyTorch's, NumPy's or Python's global generator.
"""
# ruff: noqa: NPY002 - libraries draw so

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mutants import DEFECTS, MutantCutMix

from augscope.images import PatchCutMix
from augscope.laws import Claims

NUM_CLASSES = 16


def soft(labels: torch.Tensor) -> torch.Tensor:
    return torch.eye(max(NUM_CLASSES, int(labels.max()) + 1))[labels]


def clipped_box(height: int, width: int, kept: float) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of the paper's box, in the arithmetic of torchvision's CutMix."""
    half = 0.5 * math.sqrt(1 - kept)
    high, wide = int(half * height), int(half * width)
    y, x = int(torch.randint(height, ())), int(torch.randint(width, ()))
    return max(y - high, 0), min(y + high, height), max(x - wide, 0), min(x + wide, width)


def minmax_box(height: int, width: int, bounds: tuple[float, float]) -> tuple[int, int, int, int]:
    """timm's `cutmix_minmax`."""
    high = np.random.randint(int(height * bounds[0]), int(height * bounds[1]))
    wide = np.random.randint(int(width * bounds[0]), int(width * bounds[1]))
    top, left = np.random.randint(0, height - high + 1), np.random.randint(0, width - wide + 1)
    return top, top + high, left, left + wide


def area_of(box: tuple[int, int, int, int], shape: tuple[int, ...]) -> float:
    top, bottom, left, right = box
    return (bottom - top) * (right - left) / (shape[-2] * shape[-1])


def torchvision_cutmix(images, labels, alpha=1.0):
    kept = float(torch.distributions.Beta(alpha, alpha).sample())
    box = clipped_box(*images.shape[-2:], kept)
    top, bottom, left, right = box
    mixed, rolled = images.clone(), images.roll(1, 0)
    mixed[..., top:bottom, left:right] = rolled[..., top:bottom, left:right]
    kept = 1 - area_of(box, images.shape)
    return mixed, soft(labels).roll(1, 0) * (1 - kept) + soft(labels) * kept


def torchvision_mixup(images, labels, alpha=1.0):
    kept = float(torch.distributions.Beta(alpha, alpha).sample())
    rows = soft(labels)
    return images.roll(1, 0).mul(1 - kept).add(images.mul(kept)), rows.roll(1, 0) * (1 - kept) + rows * kept


@dataclass
class TorchvisionChoice:
    """`RandomChoice([CutMix(), MixUp()], p)`: one of the two for each batch."""

    mixup_alpha: float = 1.0
    switch: float = 0.5

    def __call__(self, images, labels):
        if torch.rand(()) < self.switch:
            return torchvision_cutmix(images, labels)
        return torchvision_mixup(images, labels, self.mixup_alpha)


@dataclass
class Timm:
    """timm's `Mixup` in its three modes; labels smoothed as there. Batches are even, and the input is copied first."""

    mode: str
    mixup_alpha: float = 0.8
    cutmix_alpha: float = 1.0
    minmax: tuple[float, float] | None = None
    prob: float = 1.0
    switch: float = 0.5
    smoothing: float = 0.0

    def draw(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """λ and whether it is CutMix, for every element."""
        both = self.mixup_alpha > 0 and self.cutmix_alpha > 0
        cut = np.random.rand(count) < self.switch if both else np.full(count, self.cutmix_alpha > 0)
        weights = [np.random.beta(alpha, alpha, count) if alpha > 0 else np.ones(count) for alpha in self.alphas]
        weight = np.where(cut, weights[1], weights[0]).astype(np.float32)
        return np.where(np.random.rand(count) < self.prob, weight, np.float32(1)), cut

    @property
    def alphas(self) -> tuple[float, float]:
        return self.mixup_alpha, self.cutmix_alpha

    def mix(self, own, other, weight, cut, box):
        """One image, and λ as corrected."""
        if weight == 1:
            return own, 1.0
        if not cut:
            return own * float(weight) + other * (1 - float(weight)), float(weight)
        mixed, (top, bottom, left, right) = own.clone(), box
        mixed[:, top:bottom, left:right] = other[:, top:bottom, left:right]
        return mixed, 1 - area_of(box, own.shape)

    def __call__(self, images, labels):
        count = len(images)
        assert count % 2 == 0, "Batch size should be even when using this"
        draws = {"batch": 1, "pair": count // 2, "elem": count}[self.mode]
        weights, cuts = self.draw(draws)
        size = images.shape[-2:]
        boxes = [
            clipped_box(*size, float(weight)) if self.minmax is None else minmax_box(*size, self.minmax)
            for weight in weights
        ]
        rows, mixed, kept = soft(labels), torch.empty_like(images), np.ones(count)
        for i in range(count):
            draw = {"batch": 0, "pair": min(i, count - 1 - i), "elem": i}[self.mode]
            other = images[count - 1 - i]
            mixed[i], kept[i] = self.mix(images[i], other, weights[draw], cuts[draw], boxes[draw])
        column = torch.tensor(kept, dtype=torch.float32)[:, None]
        mixed_rows = column * rows + (1 - column) * rows.flip(0)
        return mixed, mixed_rows * (1 - self.smoothing) + self.smoothing / rows.shape[1]


@dataclass
class Erasing:
    """RandomErasing of torchvision (`per="batch"`: one box for all that it is given) and of timm (`per="sample"`)."""

    p: float = 0.5
    per: str = "sample"
    value: str | float = 0.0  # "noise": every pixel of its own; "colour": every box of its own
    area: tuple[float, float] = (0.02, 0.33)
    aspect: tuple[float, float] = (0.3, 3.3)
    uniform_aspect: bool = False

    def box(self, height: int, width: int) -> tuple[int, int, int, int] | None:
        for _ in range(10):
            area = height * width * random.uniform(*self.area)
            aspect = math.exp(random.uniform(*map(math.log, self.aspect)))
            if self.uniform_aspect:
                aspect = random.uniform(*self.aspect)
            high, wide = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if high < height and wide < width:
                return random.randint(0, height - high), random.randint(0, width - wide), high, wide
        return None

    def erase(self, images: torch.Tensor) -> None:
        """The same box in all images, in place."""
        box = self.box(*images.shape[-2:]) if random.random() < self.p else None
        if box is None:
            return
        top, left, high, wide = box
        shape = (images.shape[1], high, wide) if self.value == "noise" else (images.shape[1], 1, 1)
        fill = torch.randn(shape) if isinstance(self.value, str) else self.value
        images[..., top : top + high, left : left + wide] = fill

    def __call__(self, images, labels):
        erased = images.clone()
        for part in [erased] if self.per == "batch" else erased.split(1):
            self.erase(part)
        return erased, soft(labels)


@dataclass
class CoinCutout:
    """A box of one size, by a coin for the whole batch."""

    p: float
    size: int = 8

    def __call__(self, images, labels):
        height, width = images.shape[-2:]
        top, left = random.randint(0, height - self.size), random.randint(0, width - self.size)
        erased = images.clone()
        if random.random() < self.p:
            erased[..., top : top + self.size, left : left + self.size] = 0
        return erased, soft(labels)


@dataclass
class UnclippedCutMix:
    """A box inside whole for every sample: sides rounded, and where they start, as said."""

    rounding: Callable[[float], int] = math.floor
    left_out: int = 0  # of the last starts
    aspect: float = 1.0

    def __call__(self, images, labels):
        count, (height, width) = len(images), images.shape[-2:]
        order, mixed, rows = torch.randperm(count), images.clone(), soft(labels)
        kept = np.ones(count)
        for i in range(count):
            root = math.sqrt(random.random())
            high, wide = self.rounding(height * root), self.rounding(width * root)
            starts = max(1, height - high + 1 - self.left_out), max(1, width - wide + 1 - self.left_out)
            top, left = (random.randrange(number) for number in starts)
            mixed[i, :, top : top + high, left : left + wide] = images[
                order[i], :, top : top + high, left : left + wide
            ]
            kept[i] = 1 - high * wide / (height * width)
        column = torch.tensor(kept, dtype=torch.float32)[:, None]
        return mixed, column * rows + (1 - column) * rows[order]


def batch_mixup(images, labels, alpha=0.2, beta=None):
    """One λ a batch and a random permutation, in the form of papers: (x, y_a, y_b, λ)."""
    kept = float(np.random.beta(alpha, beta or alpha))
    order = torch.from_numpy(np.random.permutation(len(labels)))
    return kept * images + (1 - kept) * images[order], labels, labels[order], kept


def sample_mixup(images, labels, alpha=2.0, beta=5.0):
    """A λ of its own for every sample, Beta(α, β)."""
    count = len(labels)
    kept = torch.tensor(np.random.beta(alpha, beta, count), dtype=torch.float32)
    order = torch.from_numpy(np.random.permutation(count))
    column = kept[:, None, None, None]
    rows = soft(labels)
    return column * images + (1 - column) * images[order], kept[:, None] * rows + (1 - kept)[:, None] * rows[order]


def dropped_pixels(images, labels):
    """Single pixels erased here and there: no Cutout."""
    return images * (torch.rand(len(images), 1, *images.shape[-2:]) > 0.05), soft(labels)


def paper_cutmix(images, labels):
    """The program of the paper: one box a batch, a random permutation, (x, (y_a, y_b, λ))."""
    order = torch.randperm(len(labels))
    box = clipped_box(*images.shape[-2:], float(np.random.beta(1, 1)))
    top, bottom, left, right = box
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = images[order][:, :, top:bottom, left:right]
    return mixed, (labels, labels[order], 1 - area_of(box, images.shape))


@dataclass(frozen=True)
class Case:
    """A transform made anew by `make`, and what is claimed of it."""

    make: Callable[[], Any]
    claims: Claims


def case(make: Callable[[], Any], kind: str, **fields: Any) -> Case:
    return Case(make, Claims(kind=kind, **fields))


BOTH = {"per": "batch", "partner": "fixed"}
CORRECT = {
    "torchvision CutMix": case(lambda: torchvision_cutmix, "cutmix", boxes="clipped", **BOTH),
    "torchvision MixUp": case(lambda: torchvision_mixup, "mixup", **BOTH),
    "torchvision RandomChoice": case(TorchvisionChoice, "choice", boxes="clipped", **BOTH),
    "torchvision RandomChoice, 0.3, Beta(0.2)": case(
        lambda: TorchvisionChoice(0.2, 0.3), "choice", boxes="clipped", mixup_alpha=0.2, switch=0.3, **BOTH
    ),
    "torchvision RandomErasing": case(lambda: Erasing(per="batch"), "erasing", p=0.5, per="batch", fill=0),
    "torchvision RandomErasing, p = 0.25": case(
        lambda: Erasing(p=0.25, per="batch"), "erasing", p=0.25, per="batch", fill=0
    ),
    "torchvision RandomErasing, noise": case(
        lambda: Erasing(per="batch", value="noise"), "erasing", p=0.5, per="batch"
    ),
    "timm RandomErasing": case(
        lambda: Erasing(area=(0.02, 1 / 3), aspect=(0.3, 1 / 0.3)),
        "erasing", p=0.5, area=(0.02, 1 / 3), aspect=(0.3, 1 / 0.3), fill=0,
    ),
    "timm RandomErasing, pixel": case(lambda: Erasing(value="noise"), "erasing", p=0.5),
    "timm RandomErasing, rand": case(lambda: Erasing(p=0.3, value="colour"), "erasing", p=0.3),
    "timm Mixup, both, batch": case(
        lambda: Timm("batch"), "choice", boxes="clipped", mixup_alpha=0.8, **BOTH
    ),
    "timm Mixup, both, pair": case(
        lambda: Timm("pair"), "choice", boxes="clipped", mixup_alpha=0.8, per="pair", partner="fixed"
    ),
    "timm Mixup, both, elem": case(
        lambda: Timm("elem"), "choice", boxes="clipped", mixup_alpha=0.8, partner="fixed"
    ),
    "timm Mixup, both, elem, Beta(0.2), smoothed": case(
        lambda: Timm("elem", 0.2, prob=0.7, smoothing=0.1),
        "choice", boxes="clipped", mixup_alpha=0.2, p=0.7, partner="fixed", smoothing=0.1,
    ),
    "timm CutMix, elem": case(lambda: Timm("elem", 0), "cutmix", boxes="clipped", partner="fixed"),
    "timm CutMix, minmax, pair": case(
        lambda: Timm("pair", 0, minmax=(0.2, 0.8)), "cutmix", minmax=(0.2, 0.8), per="pair", partner="fixed"
    ),
    "kornia-like CutMix, sides down": case(UnclippedCutMix, "cutmix", boxes="unclipped"),
    "CutMix, sides to the nearest": case(lambda: UnclippedCutMix(round), "cutmix", boxes="unclipped"),
    "paper's CutMix": case(lambda: paper_cutmix, "cutmix", boxes="clipped", per="batch"),
    "paper's Mixup, Beta(0.2)": case(lambda: batch_mixup, "mixup", alpha=0.2, per="batch"),
    "Mixup, Beta(2, 5)": case(lambda: sample_mixup, "mixup", alpha=2, beta=5),
    "Cutout, a coin a batch": case(lambda: CoinCutout(0.5), "cutout", size=8, boxes="unclipped", p=0.5, per="batch"),
    "Cutout, p = 0.25 a batch": case(lambda: CoinCutout(0.25), "cutout", size=8, boxes="unclipped", p=0.25, per="batch"),
}  # fmt: skip


class Gated(MutantCutMix):
    """p gates whole batches."""

    def applied(self, count):
        return (self.rand(1) < 0.5).expand(count)


@dataclass
class Neighbours:
    """Samples mixed in pairs (0, 1), (2, 3), …; an odd one is left as it is."""

    p: float = 1.0

    def __call__(self, images, labels):
        mixed, rows = images.clone(), soft(labels)
        kept = torch.ones(len(images))
        order = torch.arange(len(images))
        for i in range(len(images) // 2 * 2):
            order[i] = i + 1 - 2 * (i % 2)
            if random.random() < self.p:
                box = clipped_box(*images.shape[-2:], random.random())
                top, bottom, left, right = box
                mixed[i, :, top:bottom, left:right] = images[order[i], :, top:bottom, left:right]
                kept[i] = 1 - area_of(box, images.shape)
        return mixed, kept[:, None] * rows + (1 - kept)[:, None] * rows[order]


class CoinFlips(PatchCutMix):
    """Every patch by a coin: sizes are binomial."""

    def draw_mask(self, count, height, width, device):
        return torch.rand((count, *self.grid), generator=self.generator) < 0.5


def flat_complement(images, labels):
    """λ belongs to the partner's label."""
    mixed, (own, partner, kept) = paper_cutmix(images, labels)
    return mixed, own, partner, 1 - kept


def partner_labels(images, labels):
    """The label is the partner's, however little of it is pasted."""
    mixed, (_, partner, _) = paper_cutmix(images, labels)
    return mixed, soft(partner)


def always_the_same(images, labels):
    erased = images.clone()
    erased[..., 4:12, 4:12] = 0
    return erased, soft(labels)


def unseeded():
    generator = np.random.default_rng()

    def mix(images, labels):
        order, kept = torch.from_numpy(generator.permutation(len(labels))), float(generator.beta(1, 1))
        return kept * images + (1 - kept) * images[order], labels, labels[order], kept

    return mix


@dataclass(frozen=True)
class WrongCase:
    """A transform made anew by `make`, what is claimed of it, and how the first defect that is named begins."""

    make: Callable[[], Any]
    claims: Claims
    name: str


def wrong(name: str, make: Callable[[], Any], kind: str = "cutmix", **fields: Any) -> WrongCase:
    return WrongCase(make, Claims(kind=kind, **fields), name)


def mutant(defect: str) -> WrongCase:
    claims, name = DEFECTS[defect]
    boxes, p = claims.get("boxes", "clipped"), claims.get("p", 1.0)
    return wrong(name, lambda: MutantCutMix(defect, p=p, boxes=boxes), **claims)


TIMM = {"boxes": "clipped", "partner": "fixed"}
WRONG = {defect: mutant(defect) for defect in DEFECTS} | {
    "p gates batches": wrong("draws depend on each other", lambda: Gated(""), boxes="clipped", p=0.5),
    "one draw a pair": wrong("one draw for each pair", lambda: Timm("pair", 0), **TIMM),
    "one draw a batch, of a choice": wrong(
        "one draw for the whole batch", lambda: Timm("batch"), "choice", mixup_alpha=0.8, **TIMM
    ),
    "last start never drawn": wrong(
        "last start is never drawn", lambda: UnclippedCutMix(round, left_out=1), boxes="unclipped"
    ),
    "aspect uniform": wrong("aspect ratio is not log-uniform", lambda: Erasing(uniform_aspect=True), "erasing", p=0.5),
    "area smaller": wrong("share follows another law", lambda: Erasing(area=(0.02, 0.25)), "erasing", p=0.5),
    "pixels dropped": wrong("masks of another shape", lambda: dropped_pixels, "cutout"),
    "neighbours": wrong("odd batch dropped", Neighbours, **TIMM),
    "neighbours, p = 0.1": wrong("odd batch dropped", lambda: Neighbours(0.1), p=0.1, **TIMM),
    "not smoothed": wrong("another label smoothing", lambda: Timm("elem", 0), smoothing=0.1, **TIMM),
    "λ of the partner": wrong(
        "pasted share in place of its complement", lambda: flat_complement, boxes="clipped", per="batch"
    ),
    "the partner's label": wrong(
        "labels are the partner's alone", lambda: partner_labels, boxes="clipped", per="batch"
    ),
    "switch": wrong(
        "p, the switch or α is not as claimed", lambda: Timm("elem", switch=0.4), "choice", mixup_alpha=0.8, **TIMM
    ),
    "α of a choice": wrong(
        "p, the switch or α is not as claimed", lambda: Timm("elem", 0.4), "choice", mixup_alpha=0.8, **TIMM
    ),
    "α of Mixup": wrong("share follows another law", lambda: batch_mixup, "mixup", alpha=1, per="batch"),
    "CutMix in place of a choice": wrong(
        "not a choice of CutMix and Mixup", lambda: Timm("elem", 0), "choice", **TIMM
    ),
    "a choice in place of CutMix": wrong("not a cutmix", lambda: Timm("elem"), **TIMM),
    "minmax wider": wrong(
        "share follows another law", lambda: Timm("elem", 0, minmax=(0.2, 0.9)), minmax=(0.2, 0.8), partner="fixed"
    ),
    "patches by coins": wrong("share follows another law", lambda: CoinFlips(4, num_classes=16), grid=4),
    "fill": wrong("another fill value", lambda: Erasing(value=0.3), "erasing", p=0.5, fill=0),
    "never another box": wrong("not random", lambda: always_the_same, "cutout"),
    "unseeded": wrong("not reproducible under a seed", unseeded, "mixup", per="batch"),
    "a roll": wrong("fixed partner (roll by 15)", lambda: torchvision_cutmix, boxes="clipped", per="batch"),
}  # fmt: skip
