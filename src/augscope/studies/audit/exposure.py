"""How much of each subgroup a model effectively sees under each augmentation: measured on the batches of its training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from augscope.images.augmentation import augmentation
from augscope.images.training import batches
from augscope.studies.audit.study import Study

MAX_BATCHES = 400  # of the first seed's training: shares are then known to a few per mille


@dataclass(frozen=True)
class Exposure:
    """What one method shows of the subgroups, as shares.

    Attributes:
        weight: label weight that each subgroup gets, (G,): sums to 1.
        pixels: share of all pixels that are the subgroup's and not erased, (G,).
        images: share of images that show anything of it, (G,).
        unmixed: share of images that carry its label alone, (G,).
        mixed_with: row g: the weight of g by the subgroup that the rest of its image is of, (G, G); the diagonal holds images
            of g alone. Rows sum to `weight`.
    """

    weight: np.ndarray
    pixels: np.ndarray
    images: np.ndarray
    unmixed: np.ndarray
    mixed_with: np.ndarray


def exposure(study: Study, method: str) -> Exposure:
    """Run one of our augmentations over the batches that the first seed trains on, with subgroups in place of labels.

    White images show what is erased, and soft labels the share of pixels of either image of a pair.
    """
    data, settings = study.data, study.settings
    num_groups, side = len(data.groups), data.size
    transform = augmentation(settings.plan(method, settings.seeds[0]), num_groups, (1, side, side))
    groups, count = torch.from_numpy(data.train.groups), len(data.train)
    size = min(settings.batch_size, count)
    sums = {name: np.zeros(num_groups) for name in ("weight", "pixels", "images", "unmixed")}
    mixed_with, seen = np.zeros((num_groups, num_groups)), 0
    for chosen in batches(count, size, min(settings.steps, MAX_BATCHES), settings.seeds[0]):
        soft, visible = _shown(transform, groups[chosen], num_groups, side)
        sums["weight"] += soft.sum(axis=0)
        sums["pixels"] += (soft * visible[:, None]).sum(axis=0)
        sums["images"] += (soft > 0).sum(axis=0)
        sums["unmixed"] += (soft == 1).sum(axis=0)
        mixed_with += _pairs(soft)
        seen += len(chosen)
    return Exposure(**{name: total / seen for name, total in sums.items()}, mixed_with=mixed_with / seen)


def _shown(transform, groups: torch.Tensor, num_groups: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Soft subgroups (N, G) and the share of each image that is not erased (N,)."""
    if transform is None:
        return np.eye(num_groups)[groups.numpy()], np.ones(len(groups))
    images, soft = transform(torch.ones(len(groups), 1, side, side), groups)
    return soft.double().numpy(), images.double().mean(dim=(1, 2, 3)).numpy()


def _pairs(soft: np.ndarray) -> np.ndarray:
    """Weight of each subgroup by the other one of its image: at most two share an image."""
    alone = soft * (soft == 1)
    shared = soft - alone
    return np.diag(alone.sum(axis=0)) + shared.T @ (shared > 0) - np.diag(shared.sum(axis=0))
