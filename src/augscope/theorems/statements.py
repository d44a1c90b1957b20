"""Theorems 3.1–3.3 of Oh & Yun (2024) as data, and `judge`: from when on they hold in a run's history.

The theorems are asymptotic. Finite-size ratios are reported, and an assumption is called unmet only where it clearly fails
(model.md §5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from augscope.model.distribution import LEARNING_THRESHOLD, FeatureNoise, Rarity, derive_rarity, learning_ratios
from augscope.model.methods import CutMix, Cutout, Erm, Method
from augscope.training.measures import History

TOLERANCE = 0.01  # default distance of an accuracy from its prediction at which the statement still holds
STATIONARY_NORM = 1e-3  # ‖∇L‖ ≈ 0: below this …
STATIONARY_SHARE = 1e-2  # … and below this share of its largest value on the way


@dataclass(frozen=True)
class Statement:
    """One numbered statement of a theorem.

    Attributes:
        number: as in the paper, "3.1 (1)".
        text: the statement in words.
        measure: history → (R,) the number that the statement is about.
        predicted: (distribution, rarity) → the value or bound that the theorem gives.
        kind: "above" (measured > predicted), "near" (|measured − predicted| ≤ tolerance) or "vanishing" (a norm near 0).
    """

    number: str
    text: str
    kind: str
    measure: Callable[[History], Float[np.ndarray, " R"]]
    predicted: Callable[[FeatureNoise, tuple[Rarity, ...]], float]

    def margin(
        self, history: History, distribution: FeatureNoise, rarity: tuple[Rarity, ...], tolerance: float
    ) -> Float[np.ndarray, " R"]:
        """Return the distance at each recorded step before the statement fails; negative where it fails."""
        measured, predicted = self.measure(history), self.predicted(distribution, rarity)
        if self.kind == "near":
            return tolerance - np.abs(measured - predicted)
        if self.kind == "above":
            return measured - predicted
        return np.minimum(STATIONARY_NORM, STATIONARY_SHARE * measured.max(initial=0)) - measured

    def holds(
        self, history: History, distribution: FeatureNoise, rarity: tuple[Rarity, ...], tolerance: float
    ) -> Bool[np.ndarray, " R"]:
        """Return at which recorded steps the statement holds; where it was not measured (NaN) it does not."""
        margin = self.margin(history, distribution, rarity, tolerance)
        return margin > 0 if self.kind == "above" else margin >= 0


@dataclass(frozen=True)
class Theorem:
    """A theorem: its method, its statements, and whether they must last to the end or meet at one step."""

    number: str
    title: str
    method: type[Method]
    statements: tuple[Statement, ...]
    lasting: bool


def _zero(distribution: FeatureNoise, rarity: tuple[Rarity, ...]) -> float:
    return 0.0


def _fit(number: str, of: str, field: str) -> Statement:
    return Statement(number, f"fits {of}", "above", lambda history: getattr(history, field), _zero)


def _accuracy(number: str, unlearned: tuple[Rarity, ...]) -> Statement:
    """Accuracy near 1 − ½ Σ ρ_k over the features that are not learned: each of them is a coin flip."""

    def predicted(distribution: FeatureNoise, rarity: tuple[Rarity, ...]) -> float:
        return 1 - sum(rho for rho, name in zip(distribution.frequencies, rarity, strict=True) if name in unlearned) / 2

    return Statement(number, "test accuracy", "near", lambda history: history.accuracy, predicted)


THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        "3.1",
        "ERM learns the common features only",
        Erm,
        (_fit("3.1 (1)", "the data", "margin"), _accuracy("3.1 (2)", (Rarity.RARE, Rarity.EXTREMELY_RARE))),
        lasting=True,
    ),
    Theorem(
        "3.2",
        "Cutout learns the rare features too",
        Cutout,
        (
            _fit("3.2 (1)", "every cut of the data", "augmented_margin"),
            _fit("3.2 (2)", "the data", "margin"),
            _accuracy("3.2 (3)", (Rarity.EXTREMELY_RARE,)),
        ),
        lasting=True,
    ),
    Theorem(
        "3.3",
        "CutMix learns all features, evenly",
        CutMix,
        (
            Statement("3.3 (1)", "gradient norm near 0", "vanishing", lambda history: history.gradient_norm, _zero),
            _fit("3.3 (2)", "the data", "margin"),
            _accuracy("3.3 (3)", ()),
        ),
        lasting=False,
    ),
)


def theorem_for(method: Method) -> Theorem | None:
    """Return the theorem on this method, or None."""
    return next((theorem for theorem in THEOREMS if isinstance(method, theorem.method)), None)


@dataclass(frozen=True)
class Assumption:
    """One assumption of a theorem at finite size: a ratio in words and numbers, and whether it is met."""

    text: str
    met: bool


def assumptions(
    method: Method, distribution: FeatureNoise, rarity: tuple[Rarity, ...], num_samples: int
) -> list[Assumption]:
    """Return the finite-size assumptions of the method's theorem (model.md §5), each with its numbers. Needs no training.

    Args:
        method: Cutout adds C < P/2.
        distribution: 𝒟.
        rarity: stated or derived; BORDERLINE counts as unmet.
        num_samples: n.
    """
    num_patches, num_noise = distribution.num_patches, num_samples * (distribution.num_patches - 1)
    stds = distribution.dominant_noise_std, distribution.background_noise_std
    rows = [
        Assumption(f"P = {num_patches} ≥ 3", num_patches >= 3),
        Assumption(f"σ_d/σ_b = {stds[0] / stds[1]:.3g} > 1", stds[0] > stds[1]),
        Assumption(
            f"n(P−1) = {num_noise:,} ≤ d − 2K = {distribution.noise_dim:,} (independent noise patches)",
            num_noise <= distribution.noise_dim,
        ),
    ]
    if isinstance(method, Cutout):
        rows.append(Assumption(f"C = {method.num_cut} < P/2 = {num_patches / 2:g}", method.num_cut < num_patches / 2))
    ratios = learning_ratios(distribution, num_samples).T.tolist()
    rows += [_rarity_assumption(k, name, *ratios[k]) for k, name in enumerate(rarity)]
    return rows


def _rarity_assumption(k: int, name: Rarity, dominant: float, background: float) -> Assumption:
    """Whether a feature's stated rarity lies on the right side of its learning-speed ratio (identity 6.9)."""
    feature, bar = f"feature {k + 1} ({str(name).replace('_', ' ')})", LEARNING_THRESHOLD
    ratio_d, ratio_b = f"R(σ_d) = {dominant:.3g}", f"R(σ_b) = {background:.3g}"
    if name is Rarity.BORDERLINE:
        return Assumption(f"{feature}: {ratio_d}, {ratio_b}, too close to {bar} to tell", False)
    if name is Rarity.COMMON:
        return Assumption(f"{feature}: {ratio_d} ≥ {bar}", dominant >= bar)
    if name is Rarity.RARE:
        return Assumption(f"{feature}: {ratio_d} < {bar} ≤ {ratio_b}", dominant < bar <= background)
    return Assumption(f"{feature}: {ratio_b} < {bar}", background < bar)


def resolve_rarity(distribution: FeatureNoise, num_samples: int) -> tuple[Rarity, ...]:
    """Return the stated rarity, or the derived one where none is stated."""
    return distribution.rarity or derive_rarity(distribution, num_samples)


def noise_ratio(distribution: FeatureNoise, num_samples: int) -> float:
    """Return κ = √((n/d)(1 + (P−2) σ_d²/σ_b²)), the test noise of an even CutMix solution over its plateau (identity 6.10).

    Theorem 3.3 (3) needs κ ≪ 1.

    Example:
        >>> import augscope as ag
        >>> [round(ag.noise_ratio(preset.distribution, 300), 3) for preset in (ag.presets.figure, ag.presets.theorem)]
        [0.753, 0.075]
    """
    spread = (distribution.dominant_noise_std / distribution.background_noise_std) ** 2
    return sqrt(num_samples / distribution.dim * (1 + (distribution.num_patches - 2) * spread))


@dataclass(frozen=True)
class SeedOutcome:
    """One seed's result for one theorem.

    Attributes:
        seed: the seed.
        excluded: why this seed does not count (a feature is missing from its sample), or None.
        satisfied: the theorem holds: from `onset` to the end, or (3.3) at `onset`.
        onset: T_m, the first recorded step from which every statement holds to the end; for 3.3 the last recorded step at
            which all hold; None if there is none.
        statement_onsets: likewise for each statement alone.
        measured: each statement's number at the judged step (3.3: `onset` or the end; else the end).
        margins: each statement's margin there; negative where it fails.
        largest_distance: largest |accuracy − prediction| over [onset, end] (3.3: at `onset`); NaN without an onset.
        note: the run's own sentence where it did not simply complete.
    """

    seed: int
    excluded: str | None
    satisfied: bool
    onset: float | None
    statement_onsets: tuple[float | None, ...]
    measured: tuple[float, ...]
    margins: tuple[float, ...]
    largest_distance: float
    note: str | None


class Judgement(NamedTuple):
    """The result of `judge` for one history. Onsets are indices into its records; see `SeedOutcome` for the fields."""

    onset: int | None
    statement_onsets: tuple[int | None, ...]
    measured: tuple[float, ...]
    margins: tuple[float, ...]
    largest_distance: float


def judge(
    theorem: Theorem, history: History, distribution: FeatureNoise, rarity: tuple[Rarity, ...], tolerance: float
) -> Judgement:
    """Return from when a theorem and each of its statements hold in a history with at least one record, and how well."""
    statements = theorem.statements
    table = np.array([statement.holds(history, distribution, rarity, tolerance) for statement in statements])
    margins = np.array([statement.margin(history, distribution, rarity, tolerance) for statement in statements])
    find = _first_lasting if theorem.lasting else _last
    onset = find(np.asarray(table.all(axis=0)))
    at = len(history.steps) - 1 if theorem.lasting or onset is None else onset
    accuracy = statements[-1]
    distance = np.abs(accuracy.measure(history) - accuracy.predicted(distribution, rarity))
    return Judgement(
        onset=onset,
        statement_onsets=tuple(find(row) for row in table),
        measured=tuple(float(statement.measure(history)[at]) for statement in statements),
        margins=tuple(margins[:, at].tolist()),
        largest_distance=float("nan") if onset is None else float(distance[onset : at + 1].max()),
    )


def _first_lasting(holds: Bool[np.ndarray, " R"]) -> int | None:
    """Index of the first record from which it holds to the end."""
    if not len(holds) or not holds[-1]:
        return None
    failures = np.flatnonzero(~holds)
    return int(failures[-1]) + 1 if len(failures) else 0


def _last(holds: Bool[np.ndarray, " R"]) -> int | None:
    """Index of the last record at which it holds."""
    indices = np.flatnonzero(holds)
    return int(indices[-1]) if len(indices) else None
