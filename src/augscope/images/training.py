"""One classifier trained with one augmentation: the piece that every study of real images is made of.

Two trainings with one seed see the same batches in the same order whatever their augmentation, so that a difference
between them is the augmentation's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from augscope.images.transforms import BatchTransform, BoxCutMix, BoxCutout, PatchCutMix, PatchCutout
from augscope.values import check, check_count, check_positive

METHODS = {
    "erm": "ERM",
    "cutout-patch": "Cutout (patches)",
    "cutout-box": "Cutout (box)",
    "cutmix-patch": "CutMix (patches)",
    "cutmix-box": "CutMix (box)",
}
CUT_SHARE = 0.25  # of the pixels that Cutout removes unless told: the 16 × 16 box in 32 × 32 of DeVries & Taylor (2017)
WARM_UP = 0.05  # share of the steps in which the learning rate rises
CHECK_EVERY = 25  # steps between two looks at the loss, which on a GPU wait for it
_BATCHES, _TRANSFORM, _MODEL = 1, 2, 3  # streams of random numbers that come of one seed


class Diverged(ValueError):
    """A training whose loss became infinite or NaN."""


@dataclass(frozen=True)
class Scaling:
    """Bytes to numbers: (pixel − mean) / deviation, per channel, so that 0, which Cutout fills with, is the mean.

    Attributes:
        mean, deviation: one number a channel, in units of the stored pixels.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def of(cls, images: Tensor) -> Scaling:
        """The scaling of training images (N, C, H, W), of any dtype; a channel that never varies keeps its unit."""
        channels = [images[:, channel].double() for channel in range(images.shape[1])]
        deviations = [float(channel.std(correction=0)) for channel in channels]
        return cls(tuple(float(channel.mean()) for channel in channels), tuple(found or 1.0 for found in deviations))

    def __call__(self, images: Tensor) -> Tensor:
        """Images as float32, scaled."""
        shape = (1, -1, 1, 1)
        mean = torch.tensor(self.mean, device=images.device).view(shape)
        return (images.float() - mean) / torch.tensor(self.deviation, device=images.device).view(shape)


def make_transform(
    name: str,
    *,
    num_classes: int,
    size: int,
    generator: torch.Generator,
    grid: int = 4,
    num_cut: int | None = None,
    box: int | None = None,
    alpha: float = 1.0,
    p: float = 1.0,
) -> BatchTransform | None:
    """Return the augmentation of that name, or None for "erm".

    Args:
        name: one of `METHODS`.
        num_classes: K.
        size: side of the images in pixels.
        generator: of its draws.
        grid: rows and columns of patches; must divide `size` (patch methods).
        num_cut: C, the patches that Cutout removes; a quarter of them unless given.
        box: side of Cutout's box in pixels; half the image's unless given.
        alpha: α of CutMix's box law.
        p: probability that an image is transformed.

    Raises:
        ValueError: on an unknown name or arguments that do not fit.
    """
    check(name in METHODS, f"`methods` must be of {', '.join(METHODS)}, got {name!r}")
    if name == "erm":
        return None
    shared = {"num_classes": num_classes, "p": p, "generator": generator}
    if name == "cutmix-box":
        return BoxCutMix(alpha, **shared)
    if name == "cutout-box":
        return BoxCutout(box or max(1, round(size * math.sqrt(CUT_SHARE))), **shared)
    check(grid >= 2 and size % grid == 0, f"`grid` must be at least 2 and divide `size`, got {grid} for {size} pixels")
    if name == "cutmix-patch":
        return PatchCutMix(grid, **shared)
    return PatchCutout(num_cut or max(1, round(CUT_SHARE * grid * grid)), grid, **shared)


def stream(seed: int, number: int) -> torch.Generator:
    """A generator of its own for one of the uses that a seed has (CPU)."""
    state = np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> 1))


def transform_generator(seed: int) -> torch.Generator:
    """The generator for the augmentation's draws in the training with this seed."""
    return stream(seed, _TRANSFORM)


def fit(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    num_classes: int,
    transform: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    device: str | torch.device,
    weight_decay: float = 5e-4,
    scaling: Scaling | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Train a model in place: AdamW on the cross-entropy with the (soft) labels; the rate rises, then falls as a cosine.

    Args:
        model: from `build_model`; moved to `device`, and left in evaluation mode.
        images: (n, C, H, W), any dtype; kept in it, and scaled batch by batch.
        labels: class indices (n,).
        num_classes: K.
        transform: maps a batch and its labels to images and soft labels; None for ERM.
        steps: number of updates.
        batch_size: images an update, at most n; every epoch is a fresh random order, and no batch is short.
        learning_rate: the highest one, > 0.
        seed: of the order of the images, and of whatever the model draws (dropout); not of the transform.
        device: where to train.
        weight_decay: ≥ 0.
        scaling: applied before the transform; without one, images are only made float32.
        progress: called with the number of finished steps after each.

    Raises:
        ValueError: on arguments that do not fit. `Diverged` if the loss is not finite.

    Cost: `steps` forward and backward passes. The same seed gives the same bits on one machine with one number of threads.
    """
    _check_arguments(images, labels, num_classes, steps, batch_size, learning_rate, weight_decay)
    images, labels = images.to(device), labels.to(device)
    model.to(device)
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - the stub omits it
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate(step, steps))
    with reproducible(seed, device):
        for step, chosen in enumerate(batches(len(images), min(batch_size, len(images)), steps, seed), start=1):
            chosen = chosen.to(device)
            batch = images[chosen].float() if scaling is None else scaling(images[chosen])
            target = labels[chosen]
            if transform is not None:
                batch, target = transform(batch, target)
            batch = batch.contiguous(memory_format=torch.channels_last)
            loss = nn.functional.cross_entropy(model(batch), target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            if (step % CHECK_EVERY == 0 or step == steps) and not math.isfinite(loss.item()):
                raise Diverged(f"the loss is {loss.item()} at step {step}: a lower `learning_rate` may help")
            if progress is not None:
                progress(step)
    model.eval()


def predict(
    model: nn.Module,
    images: Tensor,
    batch_size: int = 256,
    *,
    device: str | torch.device = "cpu",
    scaling: Scaling | None = None,
) -> Tensor:
    """Return the logits (n, K) of a model in evaluation mode, float32, on the CPU; nothing of the model is changed.

    Args:
        model: as `fit` leaves it.
        images: (n, C, H, W).
        batch_size: images at a time: memory, not results.
        device: where the model is.
        scaling: that of the training.
    """
    check_count("batch_size", batch_size)
    model.eval()
    found = []
    with torch.no_grad():
        for part in images.split(batch_size):
            batch = part.to(device).float() if scaling is None else scaling(part.to(device))
            found.append(model(batch.contiguous(memory_format=torch.channels_last)).float().cpu())
    return torch.cat(found)


def batches(count: int, batch_size: int, steps: int, seed: int) -> Iterator[Tensor]:
    """Yield `steps` batches of indices: fresh random orders of all images, one after the other, cut into full batches."""
    generator, waiting = stream(seed, _BATCHES), torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        while len(waiting) < batch_size:
            waiting = torch.cat([waiting, torch.randperm(count, generator=generator)])
        yield waiting[:batch_size]
        waiting = waiting[batch_size:]


def rate(step: int, steps: int) -> float:
    """The learning rate at a step, over its highest: a linear rise, then half a cosine to 0."""
    rise = max(1, round(WARM_UP * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


@contextmanager
def reproducible(seed: int, device: str | torch.device) -> Iterator[None]:
    """PyTorch's own generators seeded, and cuDNN held to deterministic algorithms; all as before afterwards."""
    device = torch.device(device)
    devices = [device.index or 0] if device.type == "cuda" else []
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(stream(seed, _MODEL).initial_seed())
        cudnn.deterministic, cudnn.benchmark = True, False
        try:
            yield
        finally:
            cudnn.deterministic, cudnn.benchmark = before


def best_device() -> str:
    """ "cuda" where there is a GPU that PyTorch can use, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _check_arguments(
    images: Tensor,
    labels: Tensor,
    num_classes: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
) -> None:
    shape = tuple(images.shape)
    check(len(shape) == 4 and min(shape) >= 1, f"`images` must have shape (n, C, H, W), none of them 0, got {shape}")
    fits = labels.shape == shape[:1] and not labels.is_floating_point() and labels.dtype != torch.bool
    check(fits, f"`labels` must be class indices of shape ({shape[0]},), got {tuple(labels.shape)} of {labels.dtype}")
    low, high = (int(value) for value in labels.aminmax())
    check(low >= 0 and high < num_classes, f"`labels` must be in [0, {num_classes}), got {low if low < 0 else high}")
    check_count("steps", steps)
    check_count("batch_size", batch_size)
    check_positive("learning_rate", learning_rate)
    check(math.isfinite(weight_decay) and weight_decay >= 0, f"`weight_decay` must be at least 0, got {weight_decay}")
