"""A negative: plain 8×8 digits, an ordinary small convolutional network, imbalanced subclasses. Is there the theory's order?

Each label is three digit classes with 100, 20 and 4 training images, roles drawn per seed; the same network from the same
initial weights is trained by Adam without augmentation, with `PatchCutout` and with `PatchCutMix` on a 2×2 grid, one draw per image
and step. Nothing here is the paper's model: a digit fills all patches, there is no noise to memorise, and a cut patch takes part of
the digit. Prints test accuracy by rarity with 95 % intervals over seeds, and paired differences with Holm's correction.

    python benchmarks/plain_digits.py --seeds 30
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from augscope.images import PatchCutMix, PatchCutout
from augscope.support.statistics import holm, mean_interval, paired_difference

COUNTS = (100, 20, 4)
RARITIES = ("common", "rare", "extremely rare")
METHODS = ("ERM", "Cutout", "CutMix")
TESTS = 70  # held-out images of each subclass: the smallest class has 174
STEPS, BATCH, RATE, GRID = 1_000, 64, 3e-3, 2


def draw(seed: int, counts: Sequence[int] = COUNTS) -> tuple[Tensor, Tensor, Tensor, Tensor, np.ndarray]:
    """Return training images (n, 1, 8, 8) in [0, 1] and labels, test images and labels, and the test points' rarity."""
    pixels, classes = load_digits(return_X_y=True)
    generator = np.random.default_rng(seed)
    roles = generator.permutation(10)[: 2 * len(counts)]
    train, test = [], []
    for digit, count in zip(roles, [*counts, *counts], strict=True):
        order = generator.permutation(np.flatnonzero(classes == digit))
        train.append(order[:count])
        test.append(order[count : count + TESTS])
    images = torch.from_numpy(pixels / 16).float().view(-1, 1, 8, 8)
    labels = [torch.arange(2).repeat_interleave(torch.tensor([total, total])) for total in (sum(counts), 3 * TESTS)]
    rarity = np.tile(np.repeat(np.arange(len(counts)), TESTS), 2)
    return images[np.concatenate(train)], labels[0], images[np.concatenate(test)], labels[1], rarity


def network(seed: int) -> nn.Module:
    """A small convolutional network; the same weights for every method of a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * 16, 2),
        )


def transform(method: str, generator: torch.Generator):
    """The method's batch transform, or None for ERM."""
    if method == "ERM":
        return None
    made = PatchCutMix(GRID, num_classes=2, generator=generator)
    return made if method == "CutMix" else PatchCutout(1, GRID, num_classes=2, generator=generator)


def accuracies(method: str, seed: int, counts: Sequence[int] = COUNTS, steps: int = STEPS) -> tuple[np.ndarray, float]:
    """Train one network; return test accuracy by rarity, (3,), and the share of training points fitted."""
    images, labels, test_images, test_labels, rarity = draw(seed, counts)
    generator = torch.Generator().manual_seed(seed)
    augment, model = transform(method, generator), network(seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)
    for _ in range(steps):
        chosen = torch.randint(len(images), (BATCH,), generator=generator)
        batch, targets = images[chosen], nn.functional.one_hot(labels[chosen], 2).float()
        if augment is not None:
            batch, targets = augment(batch, labels[chosen])
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(batch), targets).backward()
        optimiser.step()
    with torch.no_grad():
        right = (model(test_images).argmax(dim=1) == test_labels).numpy()
        fitted = float((model(images).argmax(dim=1) == labels).float().mean())
    return np.array([right[rarity == column].mean() for column in range(len(counts))]), fitted


def main() -> None:
    """Train all and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # these layers are too small to share
    found, fitted = {}, {}
    for method in METHODS:
        runs = [accuracies(method, seed, steps=arguments.steps) for seed in range(arguments.seeds)]
        found[method] = np.stack([accuracy for accuracy, _ in runs])
        fitted[method] = np.mean([share for _, share in runs])
        cells = [mean_interval(values) for values in found[method].T]
        shown = "  ".join(f"{100 * c.estimate:5.1f} ({100 * c.low:.1f} to {100 * c.high:.1f})" for c in cells)
        print(f"{method:8} {shown}   fitted {100 * fitted[method]:.1f} %", flush=True)
    pairs = [(late, early, k) for early, late in combinations(METHODS, 2) for k in range(3)]
    rows = [paired_difference(found[late][:, k], found[early][:, k]) for late, early, k in pairs]
    for (late, early, k), row, p in zip(pairs, rows, holm([row.p_value for row in rows]), strict=True):
        bounds = f"{100 * row.estimate:+5.1f} ({100 * row.low:+.1f} to {100 * row.high:+.1f})"
        print(f"{RARITIES[k]:15} {late} − {early}: {bounds}, Holm's p {p:.2g}")


if __name__ == "__main__":
    main()
