"""One classifier trained with one augmentation: the piece that every study of real images is made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from augscope.images.augmentation import augmentation
from augscope.images.foreign import ForeignTransform
from augscope.images.models import build_model
from augscope.images.plan import TrainingPlan
from augscope.images.seeding import BATCHES, reproducible, stream
from augscope.support.values import check, check_count

WARM_UP = 0.05  # share of the steps in which the learning rate rises
CHECK_EVERY = 25  # steps between two looks at the loss, which on a GPU wait for it
FEWEST_TIMED, MOST_TIMED, TIMED_SECONDS = (
    4,
    20,
    2.0,
)  # steps to measure how long one takes; fewer where they take so long


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
        means = tuple(float(channel.mean()) for channel in channels)
        return cls(means, tuple(float(channel.std(correction=0)) or 1.0 for channel in channels))

    def __call__(self, images: Tensor) -> Tensor:
        """Images as float32, scaled."""
        shape = (1, -1, 1, 1)
        mean = torch.tensor(self.mean, device=images.device).view(shape)
        return (images.float() - mean) / torch.tensor(self.deviation, device=images.device).view(shape)


@dataclass(frozen=True)
class TrainedNetwork:
    """A classifier as its training left it; get one from `train_network`.

    Attributes:
        model: in evaluation mode, on the device.
        scaling: of the pixels, from the training images.
        device: where the model is.
    """

    model: nn.Module
    scaling: Scaling
    device: str

    def predict(self, images: Tensor | np.ndarray, batch_size: int = 256) -> Tensor:
        """Return the logits (n, K), float32, on the CPU; nothing of the model is changed.

        Args:
            images: (n, C, S, S), in the units of the training images.
            batch_size: images at a time: memory, not results.
        """
        check_count("batch_size", batch_size)
        self.model.eval()
        logits = []
        with torch.no_grad():
            for part in torch.as_tensor(images).split(batch_size):
                batch = self.scaling(part.to(self.device)).contiguous(memory_format=torch.channels_last)
                logits.append(self.model(batch).float().cpu())
        return torch.cat(logits)


def train_network(
    plan: TrainingPlan,
    images: Tensor | np.ndarray,
    labels: Tensor | np.ndarray,
    *,
    num_classes: int,
    device: str = "cpu",
    progress: Callable[[int], None] | None = None,
) -> TrainedNetwork:
    """Train a classifier by a plan: AdamW on the cross-entropy with the (soft) labels of the augmented images.

    Args:
        plan: model, augmentation, seed, steps and rates.
        images: (n, C, S, S), any dtype; kept in it, and scaled batch by batch.
        labels: class indices (n,), in [0, K).
        num_classes: how many there are, K.
        device: where to train, such as "cpu" or "cuda".
        progress: called with the number of finished steps after each.

    Raises:
        ValueError: if model, augmentation or labels do not fit the images; `Diverged` if the loss is not finite.

    Cost: `plan.steps` forward and backward passes. The same plan gives the same bits on one machine with one number of threads.

    Example:
        >>> import torch
        >>> from augscope.images import TrainingPlan, train_network
        >>> labels = torch.arange(40) % 2
        >>> images = torch.zeros(40, 1, 8, 8)
        >>> images[labels == 1, :, :4] = 1  # the upper half is bright
        >>> plan = TrainingPlan(method="cutmix-box", steps=20, batch_size=16, seed=0)
        >>> network = train_network(plan, images, labels, num_classes=2)
        >>> bool((network.predict(images).argmax(dim=1) == labels).all())
        True
    """
    images, labels = torch.as_tensor(images), torch.as_tensor(labels)
    _check_data(images, labels, num_classes)
    _, channels, size, _ = images.shape
    model = build_model(plan.model, channels=channels, size=size, num_classes=num_classes, seed=plan.seed)
    network = TrainedNetwork(model, Scaling.of(images), device)
    model.to(device)
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - the stub omits it
    model.train()
    augmented = augmented_batches(plan, images.to(device), labels.to(device), num_classes, network.scaling)
    with reproducible(plan.seed, device):
        _descend(model, plan, augmented, progress)
    model.eval()
    return network


def augmented_batches(
    plan: TrainingPlan, images: Tensor, labels: Tensor, num_classes: int, scaling: Scaling
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of a training, scaled and augmented, with their labels; within `reproducible`. Raises ValueError as `augmentation` does."""
    transform = augmentation(plan, num_classes, tuple(images.shape[1:]))
    as_stored = isinstance(transform, ForeignTransform) and transform.takes_bytes
    for chosen in batches(len(images), min(plan.batch_size, len(images)), plan.steps, plan.seed):
        chosen = chosen.to(images.device)
        batch, target = images[chosen] if as_stored else scaling(images[chosen]), labels[chosen]
        if transform is not None:
            batch, target = transform(batch, target)
        yield scaling(batch) if as_stored else batch, target


def _descend(
    model: nn.Module,
    plan: TrainingPlan,
    augmented: Iterator[tuple[Tensor, Tensor]],
    progress: Callable[[int], None] | None,
) -> None:
    """A step of AdamW for each batch. Raises `Diverged`."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate(step, plan.steps))
    for step, (batch, target) in enumerate(augmented, start=1):
        logits = model(batch.contiguous(memory_format=torch.channels_last))
        loss = nn.functional.cross_entropy(logits, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if (step % CHECK_EVERY == 0 or step == plan.steps) and not math.isfinite(loss.item()):
            raise Diverged(f"{plan.title}: the loss is {loss.item()} at step {step}: a lower `learning_rate` may help")
        if progress is not None:
            progress(step)


class StepSeconds(NamedTuple):
    """How long a step takes, in seconds, as some were timed."""

    low: float
    """The fifth that is quickest takes at most so long: near what a machine without other work needs."""
    high: float
    """The fifth that is slowest takes at least so long: as now, beside other work."""


class _Enough(Exception):
    """Ends a training that is only timed."""


def seconds_per_step(
    plan: TrainingPlan,
    images: Tensor | np.ndarray,
    labels: Tensor | np.ndarray,
    *,
    num_classes: int,
    device: str = "cpu",
) -> StepSeconds:
    """Return how long a step of a plan takes, measured on some; arguments and errors as in `train_network`.

    Cost: at most 21 steps, of which the first does not count; fewer, but at least 5, once they have taken 2 s, or for short plans.
    """
    few = max(256, plan.batch_size)  # the number of images does not matter to a step, but their scaling takes time
    ends: list[float] = []

    def note(step: int) -> None:
        ends.append(perf_counter())
        if step > FEWEST_TIMED and ends[-1] - ends[0] > TIMED_SECONDS:
            raise _Enough

    steps = min(MOST_TIMED, max(FEWEST_TIMED, plan.steps)) + 1
    timed, given = plan.replace(steps=steps), (images[:few], labels[:few])
    with suppress(_Enough):
        train_network(timed, *given, num_classes=num_classes, device=device, progress=note)
    return StepSeconds(*np.quantile(np.diff(ends), (0.2, 0.8)).tolist())


def batches(count: int, batch_size: int, steps: int, seed: int) -> Iterator[Tensor]:
    """Yield `steps` batches of indices: fresh random orders of all images, one after the other, cut into full batches."""
    generator, waiting = stream(seed, BATCHES), torch.empty(0, dtype=torch.long)
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


def checked_device(device: str | None) -> str:
    """Return the device; for None, "cuda" where PyTorch can use a GPU, else "cpu". Raises ValueError if it cannot be used."""
    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=device).tolist()  # the device `meta` holds no values
    except (RuntimeError, AssertionError) as error:  # PyTorch asserts where it was built without that kind of device
        reason = str(error).splitlines()[0]
        raise ValueError(f"`device` must be one that PyTorch can use, got {device!r}: {reason}") from None
    return device


def _check_data(images: Tensor, labels: Tensor, num_classes: int) -> None:
    shape = tuple(images.shape)
    good = len(shape) == 4 and min(shape) >= 1 and shape[2] == shape[3]
    check(good, f"`images` must have shape (n, C, S, S), none of them 0, got {shape}")
    fits = labels.shape == shape[:1] and not labels.is_floating_point() and labels.dtype != torch.bool
    check(fits, f"`labels` must be class indices of shape ({shape[0]},), got {tuple(labels.shape)} of {labels.dtype}")
    low, high = (int(value) for value in labels.aminmax())
    check(low >= 0 and high < num_classes, f"`labels` must be in [0, {num_classes}), got {low if low < 0 else high}")
