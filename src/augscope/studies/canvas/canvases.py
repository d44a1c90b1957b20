"""Drawing a seed's canvases: which digits play which part, and rows of patches with one digit among noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from augscope.studies.canvas.digits import NUM_CLASSES, pool, unit_digits
from augscope.studies.canvas.settings import RARITIES, CanvasSettings
from augscope.studies.canvas.textures import draw_textures

# Streams of random numbers of a seed: what is drawn from one does not depend on how much another draws.
ROLES, DIGITS, TRAIN_NOISE, TEST_NOISE, WEIGHTS = range(5)


@dataclass(frozen=True)
class Canvases:
    """Points of one seed; label +1's come first, then label −1's, each from common to extremely rare.

    Attributes:
        patches: (n, P, d) float64.
        labels: (n,) of +1 and −1.
        rarity: (n,), 0 common, 1 rare, 2 extremely rare.
        digit: (n,), index of the image among scikit-learn's.
        digit_position, dominant_position: (n,), in [0, P).
    """

    patches: np.ndarray
    labels: np.ndarray
    rarity: np.ndarray
    digit: np.ndarray
    digit_position: np.ndarray
    dominant_position: np.ndarray


@dataclass(frozen=True)
class SeedCanvases:
    """A seed's training and test points. `roles`: (2, 3), the digit class of each label (+1 first) and rarity."""

    train: Canvases
    test: Canvases
    roles: np.ndarray


def stream(seed: int, which: int) -> np.random.Generator:
    """Return one of a seed's independent streams."""
    return np.random.default_rng(np.random.SeedSequence([seed, which]))


def draw_roles(seed: int) -> np.ndarray:
    """Return six different digit classes, (2, 3), uniformly: rows are labels +1 and −1, columns rarities."""
    return stream(seed, ROLES).permutation(NUM_CLASSES)[: 2 * len(RARITIES)].reshape(2, len(RARITIES))


def draw_canvases(settings: CanvasSettings, seed: int) -> SeedCanvases:
    """Draw a seed's points. Training and test share no digit image (but for "template", where a subclass is one image).

    The test is balanced: `num_tests` fresh points of each subclass. Cost: some n P d normal numbers.
    """
    roles = draw_roles(seed)
    train, test = _draw_digits(settings, seed, roles)
    return SeedCanvases(
        _compose(settings, train, settings.counts, stream(seed, TRAIN_NOISE), half=0),
        _compose(settings, test, (settings.num_tests,) * len(RARITIES), stream(seed, TEST_NOISE), half=1),
        roles,
    )


def _draw_digits(settings: CanvasSettings, seed: int, roles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the images of all training points and of all test points."""
    images, classes = unit_digits(settings.side)
    generator = stream(seed, DIGITS)
    train, test = [], []
    for digit, count in zip(roles.ravel(), settings.counts * 2, strict=True):
        order = generator.permutation(pool(images, classes, settings.preset, digit))
        if settings.preset == "template":
            train.append(np.full(count, order[0]))
            test.append(np.full(settings.num_tests, order[0]))
        else:
            train.append(order[:count])
            test.append(np.resize(order[count:], settings.num_tests))  # held-out digits in turn, each with fresh noise
    return np.concatenate(train), np.concatenate(test)


def _compose(
    settings: CanvasSettings, digit: np.ndarray, counts: tuple[int, ...], generator: np.random.Generator, half: int
) -> Canvases:
    """Lay digits among noise, positions in random order."""
    images, _ = unit_digits(settings.side)
    size, num_patches, dim = len(digit), settings.num_patches, settings.dim
    order = generator.permuted(np.tile(np.arange(num_patches), (size, 1)), axis=1)
    points, at_digit, at_dominant = np.arange(size), order[:, 0], order[:, 1]
    patches = generator.standard_normal((size, num_patches, dim))
    patches *= settings.background_noise_norm / np.sqrt(dim)
    patches[points, at_digit] = images[digit]
    if settings.noise == "texture":
        textures = draw_textures(generator, size, settings.side, half)
        patches[points, at_dominant] = settings.dominant_noise_norm * textures
    else:
        patches[points, at_dominant] *= settings.dominant_noise_norm / settings.background_noise_norm
    rarity = np.repeat(np.arange(len(RARITIES)), counts)
    labels = np.repeat([1, -1], len(rarity))
    return Canvases(patches, labels, np.tile(rarity, 2), digit, at_digit, at_dominant)
