"""The trainings of an audit: every method from the same initialisations, over the same batches, for the same number of steps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from augscope.images.models import build_model
from augscope.images.plan import METHODS, TrainingPlan
from augscope.images.seeding import reproducible
from augscope.images.training import Scaling, augmented_batches, train_network
from augscope.studies.audit.dataset import ImageData, Split
from augscope.studies.audit.design import Answers, Design, read_pairs
from augscope.studies.audit.settings import REFERENCE, Settings
from augscope.support.naming import import_named
from augscope.support.values import check


@dataclass(frozen=True)
class Trained(Answers):
    """What one trained network predicts.

    Attributes:
        test_confidence: probability that it gives the true class of each test image, (n,).
    """

    test_confidence: np.ndarray

    @classmethod
    def of(cls, data: ImageData, arrays: Mapping[str, np.ndarray]) -> Trained:
        """Return the predictions that were kept. Raises ValueError if they are not of this data set."""
        kinds = {
            "train": (len(data.train), "iu"),
            "test": (len(data.test), "iu"),
            "test_confidence": (len(data.test), "f"),
        }
        whole = arrays.keys() == kinds.keys() and all(
            arrays[name].shape == (count,) and arrays[name].dtype.kind in kind for name, (count, kind) in kinds.items()
        )
        check(
            whole,
            "`checkpoint` must hold predictions of this data set, got a finished training with other arrays: remove it",
        )
        return cls(**arrays)


TrainedRuns = dict[tuple[str, int], Trained]


@dataclass(frozen=True)
class Study:
    """What an audit trains; get one from `prepare`.

    Attributes:
        data, settings: on what, and how.
        model_digest: of the model as every training begins.
    """

    data: ImageData
    settings: Settings
    model_digest: str

    @property
    def design(self) -> Design:
        """What is compared with what."""
        settings = self.settings
        pairs = read_pairs(settings.pairs, settings.methods, REFERENCE)
        return Design(self.data, settings.methods, settings.seeds, REFERENCE, pairs)

    @cached_property
    def identity(self) -> str:
        """SHA-256 of all that decides the result."""
        codes = [import_named("methods", method).code for method in self.settings.methods if method not in METHODS]
        parts = [self.data.digest, self.settings.model_dump(mode="json"), self.model_digest, *codes]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def prepare(data: ImageData, settings: Settings) -> Study:
    """Make the model and every augmentation once, and try them.

    Raises:
        ValueError: with a sentence, if anything does not fit the images.
    """
    few, num_classes = max(2, settings.batch_size), len(data.classes)
    images, labels = torch.from_numpy(data.train.images[:few]), torch.from_numpy(data.train.labels[:few])
    for method in settings.methods:
        with reproducible(0, "cpu"):
            next(augmented_batches(settings.plan(method, seed=0), images, labels, num_classes, Scaling.of(images)))
    # From the seed 0 whatever the seeds, so that more of them go on from fewer.
    model = build_model(settings.model, channels=data.channels, size=data.size, num_classes=num_classes, seed=0)
    digest = hashlib.sha256(repr(model).encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return Study(data, settings, digest.hexdigest())


def train_one(data: ImageData, plan: TrainingPlan, device: str, progress: Callable[[int], None]) -> Trained:
    """Train by a plan, and predict every image of both splits. Raises `Diverged` as `train_network` does."""
    images, labels = data.train.images, data.train.labels
    network = train_network(plan, images, labels, num_classes=len(data.classes), device=device, progress=progress)

    def probabilities(split: Split) -> torch.Tensor:
        return network.predict(split.images).softmax(dim=1)

    test = probabilities(data.test)
    confidence = test[torch.arange(len(data.test)), torch.from_numpy(data.test.labels)]
    train = probabilities(data.train).argmax(dim=1)
    return Trained(train.numpy(), test.argmax(dim=1).numpy(), confidence.numpy())
