"""The trainings that a study is made of: what each is to be, what it takes, and what it says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch

from augscope.images.cscores.data import LabelledImages
from augscope.images.models import build_model
from augscope.images.training import Diverged, Scaling, fit, make_transform, predict, transform_generator
from augscope.values import Value, check_count, check_positive

TIMED_STEPS = 8  # of which the first, which is slower, does not count


class TrainingSettings(Value):
    """What all trainings have in common. Ranges as in `images.training`."""

    model: str = "small"
    steps: int
    batch_size: int = 64
    learning_rate: float = 3e-3
    grid: int = 4
    num_cut: int | None = None
    box: int | None = None
    alpha: float = 1.0


@dataclass(frozen=True)
class Plan:
    """One training that is to be made.

    Attributes:
        title: for people.
        method: one of `METHODS`.
        seed: of the initialisation, the batches and the transform.
        held_out: (m,), indices of the points that it does not see.
    """

    title: str
    method: str
    seed: int
    held_out: np.ndarray


@dataclass(frozen=True)
class Training:
    """What a finished one said.

    Attributes:
        predicted: (m,), the class of each held-out point.
        fitted: share of the training points that it classifies rightly.
    """

    predicted: np.ndarray
    fitted: float


class Trainer:
    """Makes trainings on one set of images.

    Args:
        data: the images.
        settings: of every training.
        device: such as "cpu" or "cuda".

    Raises:
        ValueError: if a number is out of range, or the model cannot be made, does not fit the images or has no such device.
    """

    def __init__(self, data: LabelledImages, settings: TrainingSettings, device: str) -> None:
        _check_settings(settings)
        _check_device(device)
        self.data, self.settings, self.device = data, settings, device
        self._images, self._labels = torch.from_numpy(data.images), torch.from_numpy(data.labels)
        self._model(0)

    def check_method(self, method: str) -> None:
        """Raise ValueError unless the method is known and its arguments fit the images."""
        transform = self._transform(method, 0)
        if transform is not None:
            transform(self._images[:2].float(), self._labels[:2])

    def train(self, plan: Plan, progress: Callable[[int], None] | None = None) -> Training:
        """Make one training. The same plan gives the same bits on one machine with one number of threads.

        Raises:
            ValueError: if its loss is not finite.
        """
        seen = torch.from_numpy(np.setdiff1d(np.arange(len(self.data.labels)), plan.held_out))
        model, scaling = self._model(plan.seed), Scaling.of(self._images[seen])
        try:
            self._fit(model, seen, scaling, plan, self.settings.steps, progress)
        except Diverged as error:
            raise ValueError(f"{plan.title}: {error}") from None
        held_out = torch.from_numpy(plan.held_out)
        predicted = self._predict(model, held_out, scaling)
        fitted = (self._predict(model, seen, scaling) == self._labels[seen]).double().mean()
        return Training(predicted.numpy().astype(np.int16), float(fitted))

    def seconds(self, plans: Sequence[Plan]) -> float:
        """Return the seconds that trainings will take, from a few steps of each method and a batch of predictions."""
        each: dict[str, float] = {}
        for plan in plans:
            if plan.method not in each:
                each[plan.method] = self._measured(plan)
        return sum(each[plan.method] for plan in plans)

    def _measured(self, plan: Plan) -> float:
        seen = torch.from_numpy(np.setdiff1d(np.arange(len(self.data.labels)), plan.held_out))
        model, ends, scaling = self._model(0), [], Scaling.of(self._images[seen[:1000]])
        self._fit(model, seen, scaling, plan, TIMED_STEPS, lambda _: ends.append(perf_counter()))
        begun, some = perf_counter(), torch.arange(min(512, len(self.data.labels)))
        self._predict(model, some, scaling)
        asking = (perf_counter() - begun) * len(self.data.labels) / len(some)
        return median(np.diff(ends).tolist()) * self.settings.steps + asking

    def identity(self, plan: Plan) -> dict[str, Any]:
        """Return what a training is, ready for JSON."""
        return {
            "data": self.data.digest,
            "settings": self.settings.model_dump(mode="json"),
            "method": plan.method,
            "seed": plan.seed,
            "held_out": hashlib.sha256(plan.held_out.astype(np.int64).tobytes()).hexdigest(),
        }

    def versions(self) -> dict[str, Any]:
        """Return what else decides the bits: a training of another version, device or number of threads is not taken."""
        return {
            **{name: version(name) for name in ("augscope", "numpy", "torch")},
            "device": self.device,
            "threads": torch.get_num_threads(),
        }

    def _model(self, seed: int) -> torch.nn.Module:
        _, channels, size, _ = self.data.images.shape
        return build_model(
            self.settings.model, channels=channels, size=size, num_classes=self.data.num_classes, seed=seed
        )

    def _transform(self, method: str, seed: int) -> Any:
        settings = self.settings
        return make_transform(
            method,
            num_classes=self.data.num_classes,
            size=self.data.images.shape[2],
            generator=transform_generator(seed),
            grid=settings.grid,
            num_cut=settings.num_cut,
            box=settings.box,
            alpha=settings.alpha,
        )

    def _fit(
        self,
        model: torch.nn.Module,
        seen: torch.Tensor,
        scaling: Scaling,
        plan: Plan,
        steps: int,
        progress: Callable[[int], None] | None,
    ) -> None:
        fit(
            model,
            self._images[seen],
            self._labels[seen],
            num_classes=self.data.num_classes,
            transform=self._transform(plan.method, plan.seed),
            steps=steps,
            batch_size=self.settings.batch_size,
            learning_rate=self.settings.learning_rate,
            seed=plan.seed,
            device=self.device,
            scaling=scaling,
            progress=progress,
        )

    def _predict(self, model: torch.nn.Module, indices: torch.Tensor, scaling: Scaling) -> torch.Tensor:
        return predict(model, self._images[indices], device=self.device, scaling=scaling).argmax(dim=1)


def _check_settings(settings: TrainingSettings) -> None:
    for name in ("steps", "batch_size", "grid", "num_cut", "box"):
        if (value := getattr(settings, name)) is not None:
            check_count(name, value)
    check_positive("learning_rate", settings.learning_rate)
    check_positive("alpha", settings.alpha)


def _check_device(device: str) -> None:
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:  # PyTorch asserts where it was built without that kind of device
        reason = str(error).splitlines()[0]
        raise ValueError(f"`device` must be one that PyTorch has here, got {device!r}: {reason}") from None
