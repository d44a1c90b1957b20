"""The augmentation that a plan names, made for images of a shape."""

from __future__ import annotations

import math

from augscope.images.foreign import ForeignTransform
from augscope.images.plan import METHODS, TrainingPlan
from augscope.images.seeding import TRANSFORM, stream
from augscope.images.transforms import BatchTransform, BoxCutMix, BoxCutout, Mixup, PatchCutMix, PatchCutout
from augscope.support.values import check

CUT_SHARE = 0.25  # of the pixels that Cutout removes by default: the 16 × 16 box in 32 × 32 of DeVries & Taylor (2017)


def augmentation(
    plan: TrainingPlan, num_classes: int, shape: tuple[int, ...]
) -> BatchTransform | ForeignTransform | None:
    """Return the augmentation of a plan, with the generator of its draws; None for "erm".

    Args:
        plan: names it, and holds the arguments of those that have a name of their own; an import path has its arguments in itself.
        num_classes: how many there are, K.
        shape: of an image, (C, S, S).

    Raises:
        ValueError: on arguments that do not fit the images, or an import path that nothing can be called by.
    """
    if plan.method == "erm":
        return None
    generator, size = stream(plan.seed, TRANSFORM), shape[1]
    if plan.method not in METHODS:
        return ForeignTransform(plan.method, num_classes, shape, generator.initial_seed())
    if plan.method == "mixup":
        return Mixup(plan.alpha, num_classes=num_classes, p=plan.p, generator=generator)
    if plan.method == "cutmix-box":
        return BoxCutMix(plan.alpha, num_classes=num_classes, p=plan.p, generator=generator)
    if plan.method == "cutout-box":
        side = plan.box or max(1, round(size * math.sqrt(CUT_SHARE)))
        return BoxCutout(side, num_classes=num_classes, p=plan.p, generator=generator)
    grid = plan.grid
    check(grid >= 2 and size % grid == 0, f"`grid` must be at least 2 and divide `size`, got {grid} for {size} pixels")
    if plan.method == "cutmix-patch":
        return PatchCutMix(grid, num_classes=num_classes, p=plan.p, generator=generator)
    num_cut = plan.num_cut or max(1, round(CUT_SHARE * grid * grid))
    return PatchCutout(num_cut, grid, num_classes=num_classes, p=plan.p, generator=generator)
