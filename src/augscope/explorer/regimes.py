"""What theory expects of the settings, before their sample is trained: the regime of each feature, accuracies, plateau, κ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from augscope.model.distribution import learning_ratios
from augscope.model.methods import CutMix, Cutout, Erm, Method, cutmix_plateau
from augscope.theorems.assumptions import LARGEST_NOISE_RATIO, noise_ratio
from augscope.theorems.statements import cut_of, resolve_rarity, theorem_for
from augscope.training.experiment import Experiment
from augscope.training.regimes import Setting, around

LEARNED, BORDERLINE, COIN_FLIP, WRONG = "learned", "borderline", "coin flip", "wrong"


@dataclass(frozen=True)
class FeatureRegime:
    """What is expected of one feature.

    Attributes:
        frequency: ρ_k. rarity: stated, or derived (see `derive_rarity`).
        dominant_ratio, background_ratio: R(σ_d) and R(σ_b) (model.md, identity 9).
        erm, cutout: what each makes of it in the population at T, in words. cutmix: learned, as its theorem says.
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
    """Return what theory expects of an experiment. Needs no sample: ERM and Cutout are trained on the population.

    Cost: that of `derive_rarity`; what was asked before is remembered.
    """
    distribution, num_samples = experiment.distribution, experiment.num_samples
    ratios = learning_ratios(distribution, num_samples)
    rarity = resolve_rarity(experiment)
    erm, cutout = _words(experiment, Erm()), _words(experiment, Cutout(num_cut=cut_of(experiment)))
    features = tuple(
        FeatureRegime(
            frequency=frequency,
            rarity=str(rarity[k]).replace("_", " "),
            dominant_ratio=float(ratios[0, k]),
            background_ratio=float(ratios[1, k]),
            erm=erm[k],
            cutout=cutout[k],
            cutmix=LEARNED,
        )
        for k, frequency in enumerate(distribution.frequencies)
    )
    return Outlook(
        features,
        tuple(_prediction(experiment, method) for method in experiment.methods),
        noise_ratio(distribution, num_samples),
        cutmix_plateau(distribution.num_patches, 0.5).positive,
    )


def _words(experiment: Experiment, method: Method) -> list[str]:
    """What a method makes of each feature in the population, or that it changes near by."""
    surroundings = around(Setting.of(experiment), method)
    accuracies = surroundings.regimes[0].accuracies.min(axis=0)  # both labels agree
    names = [COIN_FLIP if accuracy == 0.5 else LEARNED if accuracy == 1 else WRONG for accuracy in accuracies]
    return [BORDERLINE if near else name for near, name in zip(surroundings.borderline, names, strict=True)]


def _prediction(experiment: Experiment, method: Method) -> Prediction:
    """The theorem's accuracy; where rarities are not stated, the population's, with a range where that changes near by."""
    theorem, distribution = theorem_for(method), experiment.distribution
    assert theorem is not None  # the explorer's methods are the theorems'
    if distribution.rarity is not None or isinstance(method, CutMix):
        value = theorem.accuracy.predicted(distribution, resolve_rarity(experiment))
        return Prediction(method.title, theorem.number, value, value)
    frequencies = np.array(distribution.frequencies)
    accuracies = [
        frequencies @ regime.accuracies.mean(axis=0) for regime in around(Setting.of(experiment), method).regimes
    ]
    return Prediction(method.title, theorem.number, float(min(accuracies)), float(max(accuracies)))
