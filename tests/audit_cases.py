"""Planted images: the paper's data model as pictures, with known subgroups that ERM can and cannot learn.

An image is a 2 × 2 grid of 32 × 32 patches in colour in random places. One shows the feature of its subgroup (a fixed pattern, the only
thing that tells of the label), one holds dominant noise, which is its own and strong enough to be remembered by, and weakly the
common feature of a random label (the paper's feature noise: where its own feature is not learned, it misleads); two hold weak noise.
Everything but the patterns is drawn afresh for every image, of both splits.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

PATCH, CHANNELS = 32, 1
DIMENSION = CHANNELS * PATCH**2
GREY, SCALE = 128, 300.0  # SCALE grey levels are 1 in the units of the model, where a feature has norm 1

PATCH_NET = '''
import torch
from torch import nn

class PatchNet(nn.Module):
    """The paper's network with more filters: one set of weights for all patches, ReLU, and a sum over patches."""
    def __init__(self, num_classes, channels, width=8, patch=32):
        super().__init__()
        self.num_classes, self.patch = num_classes, patch
        self.filters = nn.Linear(channels * patch**2, width * num_classes)
        nn.init.normal_(self.filters.weight, std=0.002)
        nn.init.zeros_(self.filters.bias)

    def forward(self, images):
        patches = nn.functional.unfold(images, self.patch, stride=self.patch).transpose(1, 2)
        active = torch.relu(self.filters(patches)).sum(dim=1)
        return active.view(len(images), self.num_classes, -1).sum(dim=2)
'''


def planted_images(
    seed: int,
    counts: dict[tuple[int, str], int],
    features: dict[tuple[int, str], np.ndarray],
    noise: tuple[float, float],
    misleading: float,
) -> list[tuple[int, str, np.ndarray]]:
    """(label, attribute, pixels) of as many images of each subgroup as `counts` says; `noise`: the norms of a dominant
    and a background patch; `misleading` is α."""
    generator = np.random.default_rng(seed)
    images = []
    for group, count in counts.items():
        for _ in range(count):
            deviations = np.array([0, noise[0], noise[1], noise[1]]) / DIMENSION**0.5
            patches = generator.normal(size=(4, PATCH, PATCH, CHANNELS)) * deviations[:, None, None, None]
            patches[0] = features[group]
            patches[1] += misleading * features[int(generator.integers(2)), "common"]
            grid = patches[generator.permutation(4)].reshape(2, 2, PATCH, PATCH, CHANNELS).transpose(0, 2, 1, 3, 4)
            pixels = GREY + SCALE * grid.reshape(2 * PATCH, 2 * PATCH, CHANNELS)
            images.append((*group, pixels.round().clip(0, 255).astype(np.uint8).squeeze()))
    return images


def patterns(seed: int, groups: list[tuple[int, str]]) -> dict[tuple[int, str], np.ndarray]:
    """A pattern of two values in each pixel and channel for each subgroup, of norm 1."""
    generator = np.random.default_rng(seed)
    return {group: generator.choice([-1, 1], size=(PATCH, PATCH, CHANNELS)) / DIMENSION**0.5 for group in groups}


def write_csv(folder: Path, splits: dict[str, list[tuple[int, str, np.ndarray]]]) -> Path:
    """Images as PNG and a CSV filename,y,split,a beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "data.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["filename", "y", "split", "a"])
        for split, images in splits.items():
            for number, (label, attribute, pixels) in enumerate(images):
                name = f"{split}-{number:04d}.png"
                Image.fromarray(pixels).save(folder / name)
                writer.writerow([name, label, split, attribute])
    (folder / "patchnet.py").write_text(PATCH_NET)
    return folder / "data.csv"


def planted(
    folder: Path,
    seed: int = 0,
    *,
    rare: int = 2,
    test: int = 100,
    common: int = 40,
    noise=(4.0, 0.5),
    misleading: float = 0.6,
) -> Path:
    """`common` common and `rare` rare images a label for training, `test` of each for testing."""
    groups = [(label, name) for label in (0, 1) for name in ("common", "rare")]
    features = patterns(1000 + seed, groups)
    counts = {group: common if group[1] == "common" else rare for group in groups}
    train = planted_images(2000 + seed, counts, features, noise, misleading)
    tested = planted_images(3000 + seed, dict.fromkeys(groups, test), features, noise, misleading)
    return write_csv(folder, {"train": train, "test": tested})


def one_feature(folder: Path, seed: int) -> Path:
    """Images that every method learns from, 20 a subgroup, and an attribute that means nothing: one feature a label."""
    groups = [(label, name) for label in (0, 1) for name in ("common", "other")]
    features = patterns(1000 + seed, groups)
    features |= {(label, "other"): features[label, "common"] for label in (0, 1)}
    train = planted_images(2000 + seed, dict.fromkeys(groups, 20), features, (4.0, 0.5), 0.6)
    tested = planted_images(3000 + seed, dict.fromkeys(groups, 40), features, (4.0, 0.5), 0.6)
    return write_csv(folder, {"train": train, "test": tested})


def pure_noise(folder: Path, seed: int) -> Path:
    """Labels and an attribute drawn at random, and pictures that tell of neither: 40 to train on, 30 of each subgroup to test."""
    generator = np.random.default_rng(4000 + seed)
    groups = [(label, name) for label in (0, 1) for name in ("a", "b")]

    def drawn(count: int) -> list[tuple[int, str, np.ndarray]]:
        return [
            (*group, generator.integers(0, 256, (64, 64)).astype(np.uint8)) for group in groups for _ in range(count)
        ]

    return write_csv(folder, {"train": drawn(10), "test": drawn(30)})
