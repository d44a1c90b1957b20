"""The trainings of an audit: every method from the same initialisations, over the same batches, for the same number of steps."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import field_validator, model_validator

from augscope.images.audit.dataset import ImageData, Split
from augscope.images.models import build_model
from augscope.images.training import (
    METHODS,
    Diverged,
    Scaling,
    fit,
    make_transform,
    predict,
    transform_generator,
)
from augscope.values import Value, check, check_count, check_positive

REFERENCE = "erm"  # what the other methods are held against
TIMED_STEPS = 4  # of each method, to tell how long it will take; the first, which is slower, does not count

Progress = Callable[[str, float], None]


class Settings(Value):
    """How the trainings are done. The fields that `make_transform` and `fit` take are explained there."""

    methods: tuple[str, ...] = tuple(METHODS)
    model: str = "small"
    steps: int = 1000
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 5e-4
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    grid: int = 4
    num_cut: int | None = None
    box: int | None = None
    alpha: float = 1.0
    p: float = 1.0

    @field_validator("methods")
    @classmethod
    def _check_methods(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        for name in methods:
            check(name in METHODS, f"`methods` must be of {', '.join(METHODS)}, got {name!r}")
        check(len(set(methods)) == len(methods), f"`methods` must differ, got {', '.join(methods)}")
        enough = REFERENCE in methods and len(methods) >= 2
        check(
            enough, f"`methods` must hold erm, which the others are held against, and another, got {', '.join(methods)}"
        )
        return tuple(sorted(methods, key=list(METHODS).index))

    @field_validator("seeds")
    @classmethod
    def _check_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        check(len(set(seeds)) == len(seeds), f"`seeds` must differ, got {seeds}")
        check(len(seeds) >= 2, f"`seeds` must be at least two: one training says nothing of the next, got {seeds}")
        check(all(seed >= 0 for seed in seeds), f"`seeds` must be at least 0, got {seeds}")
        return seeds

    @model_validator(mode="after")
    def _check_numbers(self) -> Settings:
        check_count("steps", self.steps)
        check_count("batch_size", self.batch_size)
        check_positive("learning_rate", self.learning_rate)
        check(self.weight_decay >= 0, f"`weight_decay` must be at least 0, got {self.weight_decay}")
        return self

    def training(self) -> dict[str, object]:
        """What decides a single training apart from its method and its seed, ready for JSON."""
        return self.model_dump(mode="json", exclude={"methods", "seeds"})


@dataclass(frozen=True)
class Trained:
    """What one trained network predicts.

    Attributes:
        train, test: predicted class of each image, (n,).
        test_confidence: probability that it gives the true class of each test image, (n,).
    """

    train: np.ndarray
    test: np.ndarray
    test_confidence: np.ndarray


Runs = dict[tuple[str, int], Trained]


def check_study(data: ImageData, settings: Settings) -> str:
    """Make the model and every augmentation once, and try them; return a digest of the model's first weights.

    Raises:
        ValueError: with a sentence, if anything does not fit the images.
    """
    images, labels = torch.from_numpy(data.train.images[:2]), torch.from_numpy(data.train.labels[:2])
    for method in settings.methods:
        transform = _transform(data, settings, method, seed=0)
        if transform is not None:
            transform(images.float(), labels)
    model = _model(data, settings, 0)  # whatever the seeds, so that more of them go on from fewer
    digest = hashlib.sha256(repr(model).encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def identity(data: ImageData, settings: Settings, model_digest: str) -> str:
    """SHA-256 of all that decides the result: images, settings, and the model as it begins."""
    parts = [data.digest, settings.model_dump(mode="json"), model_digest]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def train_one(
    data: ImageData, settings: Settings, method: str, seed: int, device: str, progress: Callable[[int], None] | None
) -> Trained:
    """Train with one method from one seed, and predict every image of both splits."""
    model, scaling = _model(data, settings, seed), Scaling.of(torch.from_numpy(data.train.images))
    try:
        _fit(model, data, settings, method, seed, device, scaling, settings.steps, progress)
    except Diverged as error:
        raise Diverged(f"{METHODS[method]}, seed {seed}: {error}") from None

    def probabilities(split: Split) -> torch.Tensor:
        return predict(model, torch.from_numpy(split.images), device=device, scaling=scaling).softmax(dim=1)

    test = probabilities(data.test)
    confidence = test[torch.arange(len(data.test)), torch.from_numpy(data.test.labels)]
    train = probabilities(data.train).argmax(dim=1)
    return Trained(train.numpy(), test.argmax(dim=1).numpy(), confidence.numpy())


def time_steps(data: ImageData, settings: Settings, method: str, device: str) -> float:
    """Seconds of one step of a method, measured on a few."""
    model, scaling = _model(data, settings, 0), Scaling.of(torch.from_numpy(data.train.images[:256]))
    begun: list[float] = []
    _fit(model, data, settings, method, 0, device, scaling, TIMED_STEPS, lambda _: begun.append(time.perf_counter()))
    return (time.perf_counter() - begun[0]) / (TIMED_STEPS - 1)


def _fit(
    model: torch.nn.Module,
    data: ImageData,
    settings: Settings,
    method: str,
    seed: int,
    device: str,
    scaling: Scaling,
    steps: int,
    progress: Callable[[int], None] | None,
) -> None:
    fit(
        model,
        torch.from_numpy(data.train.images),
        torch.from_numpy(data.train.labels),
        num_classes=len(data.classes),
        transform=_transform(data, settings, method, seed),
        steps=steps,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        seed=seed,
        device=device,
        scaling=scaling,
        progress=progress,
    )


def _model(data: ImageData, settings: Settings, seed: int) -> torch.nn.Module:
    return build_model(settings.model, channels=data.channels, size=data.size, num_classes=len(data.classes), seed=seed)


def _transform(data: ImageData, settings: Settings, method: str, seed: int):
    return augmentation(settings, method, len(data.classes), data.size, transform_generator(seed))


def augmentation(settings: Settings, method: str, num_classes: int, size: int, generator: torch.Generator):
    """The augmentation of a method with these settings, or None for ERM."""
    return make_transform(
        method,
        num_classes=num_classes,
        size=size,
        generator=generator,
        grid=settings.grid,
        num_cut=settings.num_cut,
        box=settings.box,
        alpha=settings.alpha,
        p=settings.p,
    )
