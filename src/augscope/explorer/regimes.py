"""What theory expects of the settings, before anything is trained: the regime of each feature, accuracies, plateau, κ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from augscope.model.distribution import BORDERLINE_FACTOR, LEARNING_THRESHOLD, learning_ratios
from augscope.model.methods import CutMix, Cutout, Method, cutmix_plateau
from augscope.sweep.phase_boundaries import PULL, TEST_NOISE
from augscope.theorems.assumptions import LARGEST_NOISE_RATIO, noise_ratio
from augscope.theorems.statements import resolve_rarity, theorem_for
from augscope.training.experiment import Experiment

LEARNED, BORDERLINE, BETTER, COIN_FLIP = "learned", "borderline", "not learned, better than a coin flip", "coin flip"


@dataclass(frozen=True)
class FeatureRegime:
    """What is expected of one feature.

    Attributes:
        frequency: ρ_k. rarity: stated, or derived from the learning speeds.
        dominant_ratio, background_ratio: R(σ_d) and R(σ_b) (model.md, identity 9).
        erm, cutout, cutmix: what each method makes of it, in words.
    """

    frequency: float
    rarity: str
    dominant_ratio: float
    background_ratio: float
    erm: str
    cutout: str
    cutmix: str


@dataclass(frozen=True)
class Prediction:
    """What is expected of one method.

    Attributes:
        title: the method's. theorem: its number.
        low, high: between which its accuracy is expected: equal where the theorem's rarities are stated or none is borderline.
    """

    title: str
    theorem: str
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.4g}" if self.low == self.high else f"{self.low:.4g} to {self.high:.4g}"


@dataclass(frozen=True)
class Outlook:
    """Everything expected: a regime a feature, a prediction a method, κ (identity 10) and the even plateau at equal labels."""

    features: tuple[FeatureRegime, ...]
    predictions: tuple[Prediction, ...]
    noise_ratio: float
    plateau: float

    @property
    def by_title(self) -> dict[str, Prediction]:
        """The predictions by their method's title."""
        return {prediction.title: prediction for prediction in self.predictions}

    @property
    def sentences(self) -> list[str]:
        """κ and the plateau in words."""
        if self.noise_ratio <= LARGEST_NOISE_RATIO:
            size = "small beside its plateau, as Theorem 3.3 (3) needs."
        else:
            size = f"not small beside its plateau (above {LARGEST_NOISE_RATIO} CutMix loses accuracy)."
        if np.isfinite(self.plateau):
            plateau = (
                f"CutMix settles where every patch scores about {self.plateau:.4f} (both labels equally frequent)."
            )
        else:
            plateau = "CutMix has no finite plateau: it needs P ≥ 3."
        return [f"κ = {self.noise_ratio:.3g}: the test noise of an even CutMix solution is {size}", plateau]


def outlook(experiment: Experiment) -> Outlook:
    """Return what theory expects of an experiment. Needs no training.

    Cost: microseconds, so that it can follow a slider.
    """
    distribution, num_samples = experiment.distribution, experiment.num_samples
    ratios = learning_ratios(distribution, num_samples)
    rarity = resolve_rarity(distribution, num_samples)
    words = [[_regime(ratio, level) for ratio in row] for row, level in zip(ratios, _levels(experiment), strict=True)]
    features = tuple(
        FeatureRegime(
            frequency=frequency,
            rarity=str(rarity[k]).replace("_", " "),
            dominant_ratio=float(ratios[0, k]),
            background_ratio=float(ratios[1, k]),
            erm=words[0][k],
            cutout=words[1][k],
            cutmix=LEARNED,
        )
        for k, frequency in enumerate(distribution.frequencies)
    )
    return Outlook(
        features,
        tuple(_prediction(experiment, method, words) for method in experiment.methods),
        noise_ratio(distribution, num_samples),
        cutmix_plateau(distribution.num_patches, 0.5).positive,
    )


def _levels(experiment: Experiment) -> list[float]:
    """What the ratio of an unlearned feature must exceed for better than a coin flip: see `Boundary.named("erm")`."""
    distribution, num_samples = experiment.distribution, experiment.num_samples
    first = learning_ratios(distribution, num_samples)[:, 0]
    pulls = PULL * distribution.feature_noise * first / (2 + first)
    return [sqrt(pull**2 + TEST_NOISE**2 * num_samples / distribution.dim) for pull in pulls]


def _regime(ratio: float, level: float) -> str:
    """The words for one feature and method, from its ratio."""
    if ratio >= LEARNING_THRESHOLD * BORDERLINE_FACTOR:
        return LEARNED
    if ratio > LEARNING_THRESHOLD / BORDERLINE_FACTOR:
        return BORDERLINE
    return BETTER if ratio > level else COIN_FLIP


def _prediction(experiment: Experiment, method: Method, words: Sequence[Sequence[str]]) -> Prediction:
    """The theorem's accuracy; where rarities are not stated, by the learning speeds, with a range where they do not decide."""
    theorem, distribution = theorem_for(method), experiment.distribution
    assert theorem is not None  # the explorer's methods are the theorems'
    if distribution.rarity is not None or isinstance(method, CutMix):
        value = theorem.accuracy.predicted(distribution, resolve_rarity(distribution, experiment.num_samples))
        return Prediction(method.title, theorem.number, value, value)
    regimes = list(zip(distribution.frequencies, words[isinstance(method, Cutout)], strict=True))
    high = 1 - sum(rho for rho, word in regimes if word in (BETTER, COIN_FLIP)) / 2
    low = high - sum(rho for rho, word in regimes if word == BORDERLINE) / 2
    return Prediction(method.title, theorem.number, low, high)
