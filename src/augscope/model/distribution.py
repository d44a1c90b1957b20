"""The data distribution 𝒟 of Oh & Yun (2024): features of several frequencies among dominant and background noise."""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise
from math import sqrt

import numpy as np
from jaxtyping import Float
from pydantic import field_validator, model_validator

from augscope.support.values import Value, check, check_count, check_positive

MAX_STD = 1e12  # times the norm of a feature: above, powers of it overflow
MAX_DIM = 2**62  # so that every count of dimensions is a 64-bit integer
SUM_TOLERANCE = 1e-9  # how far the frequencies may sum from 1


class Rarity(StrEnum):
    """How a feature's frequency compares with the noise; BORDERLINE is only ever derived, never stated."""

    COMMON = "common"
    RARE = "rare"
    EXTREMELY_RARE = "extremely_rare"
    BORDERLINE = "borderline"


class FeatureNoise(Value):
    """The distribution 𝒟 of labelled points made of P patches in d dimensions (paper, Definition 2.1; model.md §2).

    Given a uniform label y = ±1, feature k is drawn with probability ρ_k; one uniform patch is v_{y,k}, another is
    α u + N(0, σ_d² Λ) with u uniform on {v_{+1,1}, v_{−1,1}}, and every other patch is N(0, σ_b² Λ); Λ projects off
    all features.

    Args:
        dim: d, the dimension of a patch; at least 2K.
        num_patches: P, patches of a point; at least 2.
        frequencies: ρ_1 ≥ … ≥ ρ_K > 0, summing to 1 within 1e-9.
        feature_noise: α ≥ 0, strength of the misleading feature in the dominant patch.
        dominant_noise_std: σ_d > 0, of each coordinate of the dominant noise.
        background_noise_std: σ_b > 0, of each coordinate of a background patch.
        rarity: a stated rarity per feature ("common", "rare", "extremely_rare"), or None: see `derive_rarity`.

    Raises:
        ValueError: with a sentence naming the field, the rule and the value.

    Example:
        >>> import augscope as ag
        >>> distribution = ag.FeatureNoise(dim=2000, num_patches=3, frequencies=(0.8, 0.2), feature_noise=0.1,
        ...                                dominant_noise_std=0.25, background_noise_std=0.15)
        >>> print(distribution)
        FeatureNoise: d = 2000, P = 3, K = 2 features a label
          frequencies   0.8 (rarity not stated), 0.2 (rarity not stated)
          noise         dominant 0.25, background 0.15, feature noise 0.1
    """

    dim: int
    num_patches: int
    frequencies: tuple[float, ...]
    feature_noise: float
    dominant_noise_std: float
    background_noise_std: float
    rarity: tuple[Rarity, ...] | None = None

    @field_validator("frequencies")
    @classmethod
    def _check_frequencies(cls, frequencies: tuple[float, ...]) -> tuple[float, ...]:
        check(len(frequencies) >= 1, "`frequencies` must hold at least one feature, got none")
        check(min(frequencies) > 0, f"`frequencies` must be above 0, got {min(frequencies)}")
        check(
            all(a >= b for a, b in pairwise(frequencies)),
            f"`frequencies` must be decreasing, got {frequencies}",
        )
        check(
            abs(sum(frequencies) - 1) <= SUM_TOLERANCE,
            f"`frequencies` must sum to 1 within {SUM_TOLERANCE}, got {sum(frequencies)!r}",
        )
        return frequencies

    @model_validator(mode="after")
    def _check_together(self) -> FeatureNoise:
        num_features = self.num_features
        check(self.num_patches >= 2, f"`num_patches` must be at least 2, got {self.num_patches}")
        check(
            self.dim >= 2 * num_features,
            f"`dim` must be at least 2K = {2 * num_features} to hold the features of both labels, got {self.dim}",
        )
        check(self.dim <= MAX_DIM, f"`dim` must be at most {MAX_DIM:.2g}, got {self.dim:.2g}")
        check(self.feature_noise >= 0, f"`feature_noise` must be at least 0, got {self.feature_noise}")
        check_positive("dominant_noise_std", self.dominant_noise_std)
        check_positive("background_noise_std", self.background_noise_std)
        for name in ("dominant_noise_std", "background_noise_std"):
            check(getattr(self, name) <= MAX_STD, f"`{name}` must be at most {MAX_STD:g}, got {getattr(self, name)}")
        if self.rarity is not None:
            check(
                len(self.rarity) == num_features,
                f"`rarity` must name each of the {num_features} features, got {len(self.rarity)} ({', '.join(self.rarity)}): "
                "state them, or have them derived (--rarity derive; in Python rarity=None)",
            )
            check(
                Rarity.BORDERLINE not in self.rarity,
                "`rarity` can be stated as common, rare or extremely_rare, got borderline",
            )
        return self

    @property
    def num_features(self) -> int:
        """K, the number of features per label."""
        return len(self.frequencies)

    @property
    def noise_dim(self) -> int:
        """d − 2K, the dimension of the space in which noise lives."""
        return self.dim - 2 * self.num_features

    @property
    def dominant_energy(self) -> float:
        """e_d = σ_d²(d − 2K), the expected squared norm of a dominant noise vector."""
        return self.dominant_noise_std**2 * self.noise_dim

    @property
    def background_energy(self) -> float:
        """e_b = σ_b²(d − 2K), the same of a background noise vector."""
        return self.background_noise_std**2 * self.noise_dim

    def at_dim(self, dim: int) -> FeatureNoise:
        """Return the distribution in d = `dim` dimensions with the same noise energies e_d and e_b, hence the same limit d → ∞.

        Raises:
            ValueError: if `dim` is at most 2K, or one of the two has no room for noise.

        Example:
            >>> import augscope as ag
            >>> wide = ag.presets.theorem.distribution.at_dim(10**9)
            >>> round(wide.dominant_energy, 3), round(wide.background_energy, 3)
            (124.996, 44.999)
        """
        room = dim - 2 * self.num_features
        check(room > 0 < self.noise_dim, f"`dim` must be above 2K = {2 * self.num_features} to hold noise, got {dim}")
        shrink = sqrt(self.noise_dim / room)
        return self.replace(
            dim=dim,
            dominant_noise_std=self.dominant_noise_std * shrink,
            background_noise_std=self.background_noise_std * shrink,
        )

    def __str__(self) -> str:
        names = self.rarity or ("rarity not stated",) * self.num_features
        features = ", ".join(
            f"{rho:g} ({str(name).replace('_', ' ')})" for rho, name in zip(self.frequencies, names, strict=True)
        )
        return (
            f"FeatureNoise: d = {self.dim}, P = {self.num_patches}, K = {self.num_features} features a label\n"
            f"  frequencies   {features}\n"
            f"  noise         dominant {self.dominant_noise_std:g}, background {self.background_noise_std:g}, "
            f"feature noise {self.feature_noise:g}"
        )


def learning_ratios(distribution: FeatureNoise, num_samples: int) -> Float[np.ndarray, "2 K"]:
    """Return R(σ_d) (row 0) and R(σ_b) (row 1) for each feature: its learning speed over one noise patch's.

    R(σ) = ρ_k n / (σ² d) (model.md, identity 9): a ratio of speeds at the start of training. Which features are learned,
    `derive_rarity` decides.

    Args:
        distribution: the data distribution.
        num_samples: n ≥ 1, the number of training points.
    """
    check_count("num_samples", num_samples)
    stds = np.array([distribution.dominant_noise_std, distribution.background_noise_std])
    return np.array(distribution.frequencies) * num_samples / (stds[:, None] ** 2 * distribution.dim)
