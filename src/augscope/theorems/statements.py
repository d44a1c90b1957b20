"""Theorems 3.1–3.3 of Oh & Yun (2024) as data: what each states, as conditions on a history's measures (model.md §5)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from augscope.model.distribution import FeatureNoise, Rarity
from augscope.model.methods import CutMix, Cutout, Erm, Method
from augscope.training.experiment import Experiment
from augscope.training.measures import History
from augscope.training.regimes import Setting, derive_rarity
from augscope.training.watched import Measured

TOLERANCE = 0.01  # default distance of the overall accuracy from its prediction at which the statement still holds
RARITY_TOLERANCE = 0.1  # τ, the same for the accuracy on a feature of a label
STATIONARY_NORM = 1e-3  # ‖∇L‖ ≈ 0: at most this …
STATIONARY_SHARE = 1e-2  # … and at most this share of its largest value so far
Measures = History | Measured  # what statements are asked of: records, or every step in the limit
ABOVE_ZERO = np.nextafter(0.0, 1.0)  # the least number above 0: a training point is fitted where y f(X) > 0


@dataclass(frozen=True)
class Terms:
    """What statements are judged by.

    Attributes:
        experiment: what was trained.
        tolerance: of the overall accuracy, around its prediction.
        rarity_tolerance: τ, of the accuracy on each feature of each label: at least 1 − τ where the theorem says learned,
            ½ ± τ where it says coin flip.
    """

    experiment: Experiment
    tolerance: float = TOLERANCE
    rarity_tolerance: float = RARITY_TOLERANCE

    @property
    def distribution(self) -> FeatureNoise:
        """The data distribution."""
        return self.experiment.distribution

    @cached_property
    def rarity(self) -> tuple[Rarity, ...]:
        """Of each feature, stated or derived."""
        return resolve_rarity(self.experiment)

    @property
    def end(self) -> float:
        """T, the step (or time of a flow) at which theorems are judged."""
        return self.experiment.horizon

    @property
    def end_text(self) -> str:
        """T in words: "10,000"."""
        return f"{self.end:,}" if isinstance(self.end, int) else f"{self.end:,g}"


@dataclass(frozen=True)
class Condition:
    """A measure at each recorded step, and the range in which a statement asks it to lie.

    Attributes:
        name: of the measure.
        required: the range in words.
        values: (R, L); L = 2 is a column a label, +1 first.
        low, high: ends of the range, which belong to it.
        target: what an accuracy should be near: its prediction, 1 or ½.
        digits: how values are printed.
        tolerance: of an accuracy; None of what is measured on the training set.
        feature: index of the feature that the accuracy is on; None for the others.
    """

    name: str
    required: str
    values: Float[np.ndarray, "R L"]
    low: float = -np.inf
    high: float = np.inf
    target: float = np.nan
    digits: str = ".3g"
    tolerance: float | None = None
    feature: int | None = None

    @cached_property
    def true(self) -> Bool[np.ndarray, " R"]:
        """Where it holds, for both labels; not where it was not measured (NaN)."""
        return np.all((self.values >= self.low) & (self.values <= self.high), axis=1)

    @cached_property
    def distance(self) -> Float[np.ndarray, "R L"]:
        """How far each value lies outside the range; 0 inside."""
        return np.maximum(np.maximum(self.low - self.values, self.values - self.high), 0)

    def text(self, index: int, label: int) -> str:
        """Return the value at a record in words: "test accuracy on feature 2 (rare), label −1: 0.7307 (required ≥ 0.9)"."""
        name = self.name + ("" if self.values.shape[1] == 1 else f", label {('+1', '−1')[label]}")
        return f"{name}: {self.values[index, label]:{self.digits}} (required {self.required})"


@dataclass(frozen=True)
class Statement(ABC):
    """One numbered statement of a theorem. `number` is the paper's, "3.1 (1)"; `on_training` sets it apart from an accuracy."""

    number: str
    on_training = True

    @property
    @abstractmethod
    def text(self) -> str:
        """The statement in words."""

    @abstractmethod
    def conditions(self, history: Measures, terms: Terms) -> tuple[Condition, ...]:
        """Return what must hold, at each recorded step."""


@dataclass(frozen=True)
class Fit(Statement):
    """Every training point is fitted: a margin of the history, by its field's name, is above 0."""

    of: str
    field: str

    @property
    def text(self) -> str:
        """In words."""
        return f"fits {self.of}: smallest y f(X)"

    def conditions(self, history: Measures, terms: Terms) -> tuple[Condition, ...]:
        """Return the one condition."""
        margin = getattr(history, self.field)[:, None]
        return (Condition(f"smallest y f(X) over {self.of}", "> 0", margin, low=ABOVE_ZERO),)


@dataclass(frozen=True)
class Stationary(Statement):
    """‖∇L‖ ≈ 0: small, and small beside its largest value so far."""

    @property
    def text(self) -> str:
        """In words."""
        return "gradient near 0"

    def conditions(self, history: Measures, terms: Terms) -> tuple[Condition, ...]:
        """Return both thresholds."""
        return stationary_conditions(history)


def stationary_conditions(history: Measures) -> tuple[Condition, Condition]:
    """Return both thresholds of a gradient near 0."""
    norm = history.gradient_norm[:, None]
    largest = np.fmax.accumulate(norm)
    share = np.divide(norm, largest, out=np.zeros_like(norm), where=largest != 0)
    return (
        Condition("gradient norm", f"≤ {STATIONARY_NORM:g}", norm, high=STATIONARY_NORM, digits=".1e"),
        Condition(
            "gradient norm over its largest", f"≤ {STATIONARY_SHARE:g}", share, high=STATIONARY_SHARE, digits=".1e"
        ),
    )


@dataclass(frozen=True)
class Accuracy(Statement):
    """Accuracy near 1 − ½ Σ ρ_k over the features that are not learned: on each of those a coin flip, on each other near 1."""

    unlearned: tuple[Rarity, ...]
    on_training = False

    @property
    def text(self) -> str:
        """In words."""
        return "test accuracy"

    def predicted(self, distribution: FeatureNoise, rarity: tuple[Rarity, ...]) -> float:
        """Return the overall accuracy that the theorem gives; one that says learned of every feature needs no rarity."""
        if not self.unlearned:
            return 1.0
        return (
            1
            - sum(rho for rho, name in zip(distribution.frequencies, rarity, strict=True) if name in self.unlearned) / 2
        )

    def conditions(self, history: Measures, terms: Terms) -> tuple[Condition, ...]:
        """Return the condition on the overall accuracy, and one a feature on both labels."""
        predicted, width = self.predicted(terms.distribution, terms.rarity), terms.tolerance
        overall = Condition(
            "test accuracy overall",
            f"{predicted:.4f} ± {width:g}",
            history.accuracy[:, None],
            low=predicted - width,
            high=predicted + width,
            target=predicted,
            digits=".4f",
            tolerance=width,
        )
        return overall, *(self._on_feature(k, history, terms) for k in range(terms.distribution.num_features))

    def _on_feature(self, k: int, history: Measures, terms: Terms) -> Condition:
        name, width = terms.rarity[k], terms.rarity_tolerance
        learned = name not in self.unlearned
        return Condition(
            f"test accuracy on feature {k + 1} ({rarity_text(name)})",
            f"≥ {1 - width:g}" if learned else f"0.5 ± {width:g}",
            history.accuracy_per_feature[:, :, k],
            low=1 - width if learned else 0.5 - width,
            high=np.inf if learned else 0.5 + width,
            target=1.0 if learned else 0.5,
            digits=".4f",
            tolerance=width,
            feature=k,
        )


@dataclass(frozen=True)
class Theorem:
    """A theorem: its method, its statements (the last is on accuracy), and whether they must last or meet at one step."""

    number: str
    title: str
    method: type[Method]
    statements: tuple[Statement, ...]
    lasting: bool

    @property
    def accuracy(self) -> Accuracy:
        """The statement on accuracy."""
        last = self.statements[-1]
        assert isinstance(last, Accuracy)
        return last


THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        "3.1",
        "ERM learns the common features only",
        Erm,
        (Fit("3.1 (1)", "the data", "margin"), Accuracy("3.1 (2)", (Rarity.RARE, Rarity.EXTREMELY_RARE))),
        lasting=True,
    ),
    Theorem(
        "3.2",
        "Cutout learns the rare features too",
        Cutout,
        (
            Fit("3.2 (1)", "every cut of the data", "augmented_margin"),
            Fit("3.2 (2)", "the data", "margin"),
            Accuracy("3.2 (3)", (Rarity.EXTREMELY_RARE,)),
        ),
        lasting=True,
    ),
    Theorem(
        "3.3",
        "CutMix learns all features, evenly",
        CutMix,
        (Stationary("3.3 (1)"), Fit("3.3 (2)", "the data", "margin"), Accuracy("3.3 (3)", ())),
        lasting=False,
    ),
)


def theorem_for(method: Method) -> Theorem | None:
    """Return the theorem on this method, or None."""
    return next((theorem for theorem in THEOREMS if isinstance(method, theorem.method)), None)


def resolve_rarity(experiment: Experiment) -> tuple[Rarity, ...]:
    """Return the stated rarity; where none is, the one derived at the experiment's network, η, T and C (see `cut_of`)."""
    return experiment.distribution.rarity or derive_rarity(*Setting.of(experiment), num_cut=cut_of(experiment))


def cut_of(experiment: Experiment) -> int:
    """Return C of the experiment's first Cutout; 1 where it has none."""
    return next((method.num_cut for method in experiment.methods if isinstance(method, Cutout)), 1)


def rarity_text(rarity: Rarity) -> str:
    """Return a rarity as people write it: "extremely rare"."""
    return str(rarity).replace("_", " ")
