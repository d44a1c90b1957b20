"""What the theorems assume, at finite size: each assumption in words and numbers, unmet only where it fails outright (model.md §5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from augscope.model.distribution import FeatureNoise, Rarity, learning_ratios
from augscope.model.methods import Cutout, Method
from augscope.model.network import Network
from augscope.theorems.statements import rarity_text, resolve_rarity, theorem_for
from augscope.training.experiment import Experiment
from augscope.training.seed_run import SeedRun, missing_features

LARGEST_NOISE_RATIO = 0.5  # κ up to which 3.3 (3) can be expected (model.md identity 10)


@dataclass(frozen=True)
class Assumption:
    """One assumption of a theorem.

    Attributes:
        text: in words and numbers: "κ = 0.075 ≤ 0.5", or where it is not met "κ = 0.75, needs ≤ 0.5".
        met: whether it is.
        about: the field of the experiment that it is about; None of what the runs show.
        for_accuracy: only the statement on accuracy needs it.
        at_this_size: it speaks of samples and dimensions, which the limit does not have.
    """

    text: str
    met: bool
    about: str | None = None
    for_accuracy: bool = False
    at_this_size: bool = False

    @classmethod
    def comparison(cls, measured: str, needed: str, met: bool, about: str | None = None, **fields: Any) -> Assumption:
        """Return the assumption that a number lies where it must: "κ = 0.75" and "≤ 0.5 (why)"."""
        return cls(f"{measured} {needed}" if met else f"{measured}, needs {needed}", met, about, **fields)


def noise_ratio(distribution: FeatureNoise, num_samples: int) -> float:
    """Return κ = √((n/d)(1 + (P−2) σ_d²/σ_b²)), the test noise of an even CutMix solution over its plateau (identity 6.10).

    Theorem 3.3 (3) needs κ ≪ 1; from 0.5 on `verify` calls that assumption not met.

    Example:
        >>> import augscope as ag
        >>> [round(ag.noise_ratio(preset.distribution, 300), 3) for preset in (ag.presets.figure, ag.presets.theorem)]
        [0.753, 0.075]
    """
    spread = (distribution.dominant_noise_std / distribution.background_noise_std) ** 2
    return sqrt(num_samples / distribution.dim * (1 + (distribution.num_patches - 2) * spread))


def setting_assumptions(method: Method, experiment: Experiment) -> list[Assumption]:
    """Return what the method's theorem assumes of an experiment. Needs no training.

    Args:
        method: with a theorem on it.
        experiment: a stated rarity is the claim under test, and assumes nothing; a derived one holds by construction, but
            not where it is borderline.
    """
    theorem, distribution = theorem_for(method), experiment.distribution
    assert theorem is not None
    num_patches, unlearned = distribution.num_patches, theorem.accuracy.unlearned
    ratio = distribution.dominant_noise_std / distribution.background_noise_std
    rows = [
        Assumption.comparison(f"P = {num_patches}", "≥ 3", num_patches >= 3, "num_patches"),
        Assumption.comparison(f"σ_d/σ_b = {ratio:.3g}", "> 1", ratio > 1, "dominant_noise_std"),
    ]
    if unlearned:  # a coin flip needs the pull of the feature noise
        alpha = distribution.feature_noise
        rows.append(Assumption.comparison(f"α = {alpha:g}", "> 0", alpha > 0, "feature_noise"))
    if isinstance(method, Cutout):
        met = method.num_cut < num_patches / 2
        rows.append(Assumption.comparison(f"C = {method.num_cut}", f"< P/2 = {num_patches / 2:g}", met, "num_cut"))
    rows += _size_assumptions(experiment)
    if not unlearned:
        kappa = noise_ratio(distribution, experiment.num_samples)
        needed, met = f"≤ {LARGEST_NOISE_RATIO:g} (test noise over CutMix's plateau)", kappa <= LARGEST_NOISE_RATIO
        kinds = {"for_accuracy": True, "at_this_size": True}
        rows.append(Assumption.comparison(f"κ = {kappa:.3g}", needed, met, "dim", **kinds))
    elif distribution.rarity is None:
        rows += _derived_rarities(experiment)
    return rows


def _size_assumptions(experiment: Experiment) -> list[Assumption]:
    """What speaks of this size only: noise patches that can be independent, a start within φ's smooth part."""
    distribution, network = experiment.distribution, experiment.network
    num_noise = experiment.num_samples * (distribution.num_patches - 1)
    needed = f"≤ d − 2K = {distribution.noise_dim:,} (independent noise patches)"
    fits = num_noise <= distribution.noise_dim
    rows = [Assumption.comparison(f"n(P−1) = {num_noise:,}", needed, fits, "dim", at_this_size=True)]
    if isinstance(network, Network):  # a φ of one's own has no r
        scale = experiment.init_std * distribution.dominant_noise_std * sqrt(distribution.noise_dim)
        needed, small = f"≤ r = {network.smoothing:g} (small initial weights)", scale <= network.smoothing
        rows.append(Assumption.comparison(f"σ_0 √e_d = {scale:.3g}", needed, small, "init_std", at_this_size=True))
    return rows


def _derived_rarities(experiment: Experiment) -> list[Assumption]:
    """A rarity that was derived holds by construction; one that is borderline says nothing."""
    distribution = experiment.distribution
    ratios = learning_ratios(distribution, experiment.num_samples).T.tolist()
    rarity = resolve_rarity(experiment)
    rows = []
    for k, (name, (dominant, background)) in enumerate(zip(rarity, ratios, strict=True)):
        decided = name is not Rarity.BORDERLINE
        words = " by construction" if decided else ", needs to be clearly common, rare or extremely rare"
        text = f"feature {k + 1}: {rarity_text(name)}{words}"
        rows.append(Assumption(f"{text} (R(σ_d) = {dominant:.3g}, R(σ_b) = {background:.3g})", decided))
    return rows


def run_assumptions(runs: Sequence[SeedRun]) -> list[Assumption]:
    """Return what a method's runs must show before they say anything of its theorem; nothing where none has finished."""
    if not runs:
        return []
    whole = sum(not missing_features(run) for run in runs)
    restless = sum(run.status == "diverged" or run.oscillating for run in runs)
    enough, steady = whole > 0, 2 * restless <= len(runs)
    features = f"samples with every feature of both labels: {whole} of {len(runs)}"
    moving = f"runs of {runs[0].method.title} that diverge or oscillate: {restless} of {len(runs)}"
    return [
        Assumption(features if enough else f"{features}, needs at least one", enough),
        Assumption(moving if steady else f"{moving}, needs at most half: try a smaller step size", steady),
    ]
