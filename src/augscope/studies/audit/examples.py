"""Test images that one method gets right and ERM does not, or the other way round."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from augscope.images.reading import png_bytes
from augscope.studies.audit.dataset import ImageData
from augscope.studies.audit.settings import REFERENCE
from augscope.studies.audit.study import Study, TrainedRuns
from augscope.studies.audit.subgroups import correctness
from augscope.support.pages import data_address

SHOWN, SAMPLES = 8, 4  # of each kind; of each subgroup
SMALLEST_SHOWN = 96  # pixels: smaller images are enlarged by a whole factor


@dataclass(frozen=True)
class Example:
    """A test image: its file's name, its picture as a `data:` address, and how many networks of both methods are right."""

    name: str
    address: str
    caption: str


def examples(study: Study, runs: TrainedRuns, method: str, sign: int) -> list[Example]:
    """The images on which a method's networks are right most more often (`sign` 1) or less often (−1) than ERM's.

    Ties go to the image that the two differ most on in the mean probability of its class. None differs by fewer than half the networks.
    """
    data, settings = study.data, study.settings
    right = {m: correctness(study.design, runs, m, "test").sum(axis=0) for m in (method, REFERENCE)}
    sure = {m: np.mean([runs[m, seed].test_confidence for seed in settings.seeds], axis=0) for m in (method, REFERENCE)}
    lead = sign * (right[method] - right[REFERENCE])
    order = np.lexsort((-sign * (sure[method] - sure[REFERENCE]), -lead))
    return [
        Example(
            data.test.names[i],
            data_address(png(data.test.images[i]), "png"),
            f"{data.groups[data.test.groups[i]].name}: right {right[method][i]} times, ERM {right[REFERENCE][i]}",
        )
        for i in order[:SHOWN]
        if 2 * lead[i] > len(settings.seeds)
    ]


def samples(data: ImageData) -> list[Example]:
    """The first images of each subgroup, of the training split where it has some, side by side in one picture."""
    shown = []
    for index, group in enumerate(data.groups):
        split = data.train if (data.train.groups == index).any() else data.test
        chosen = np.flatnonzero(split.groups == index)[:SAMPLES]
        strip = np.concatenate(list(split.images[chosen]), axis=2)
        shown.append(
            Example(group.name, data_address(png(strip), "png"), f"{len(chosen)} of {(split.groups == index).sum():,}")
        )
    return shown


def png(image: np.ndarray) -> bytes:
    """An image (C, size, size) as a PNG file, as the model sees it, enlarged so that people see it too."""
    factor = -(-SMALLEST_SHOWN // image.shape[1])
    enlarged = image.repeat(factor, axis=1).repeat(factor, axis=2)
    return png_bytes(Image.fromarray(enlarged[0] if len(enlarged) == 1 else enlarged.transpose(1, 2, 0)))
