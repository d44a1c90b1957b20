"""Exact regimes: which features a method learns in the population, decided by training it (model.md §8.4).

A feature is learned at step T if its accuracy there is 1 for both labels, y A_{y,k} > |a_u|. A population costs microseconds a
step, so that many settings are trained side by side; nothing is drawn and nothing estimated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from math import sqrt
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from augscope.accuracy.limit import limit_accuracies
from augscope.model.dataset import Limit
from augscope.model.distribution import FeatureNoise, Rarity
from augscope.model.methods import CutMix, Cutout, Erm, Method
from augscope.model.methods.base import check_method
from augscope.model.methods.placed_cutmix import PlacedCutMix
from augscope.model.network import BaseNetwork, Network
from augscope.model.sampling import placed_population, population
from augscope.support.values import check_count, check_positive
from augscope.training.coarse_flow import coarse_end
from augscope.training.coefficients import FeatureNoiseGeometry, OrthogonalNoise, geometry
from augscope.training.descent import has_diverged, start, take_steps
from augscope.training.experiment import Experiment
from augscope.training.problem import Problem

BORDERLINE_FACTOR = 1.5  # of the energies: where the answer changes within it, a rarity is borderline
NETWORK = Network()
SMALL_BATCH, BATCH_TYPES = 8, 1_024  # lanes of a small batch; types in all lanes of a large one: few sizes are compiled
_NEIGHBOURS = tuple((dominant, background) for dominant in (-1, 0, 1) for background in (-1, 0, 1))
# Both energies may move together or one alone, not against each other; the setting itself comes first.
_MOVES = ((0, 0), *(move for move in _NEIGHBOURS if move[0] * move[1] >= 0 and any(move)))


class Setting(NamedTuple):
    """What a regime depends on beside the method.

    Attributes:
        distribution: 𝒟; d and the standard deviations enter through the noise energies, a stated rarity not at all.
        num_samples: n; it enters through the energies over n.
        network: the activation.
        step_size, num_steps: η and T of gradient descent from 0.
    """

    distribution: FeatureNoise
    num_samples: int
    network: BaseNetwork = NETWORK
    step_size: float = 1.0
    num_steps: int = 10_000

    @classmethod
    def of(cls, experiment: Experiment) -> Setting:
        """Return an experiment's; a flow is taken in steps of η, to the time at which it is judged."""
        num_steps = experiment.num_steps
        if experiment.until is not None:
            num_steps = max(1, round(experiment.horizon / experiment.step_size))
        return cls(experiment.distribution, experiment.num_samples, experiment.network, experiment.step_size, num_steps)

    def check(self, method: Method) -> None:
        """Raise ValueError unless the method can be trained so on a population."""
        check_count("num_samples", self.num_samples)
        check_positive("step_size", self.step_size)
        check_count("num_steps", self.num_steps)
        check_method(method, self.num_samples, self.distribution.num_patches, weighted=True)

    @property
    def canonical(self) -> Setting:
        """The same without a stated rarity, so that settings with one answer are equal."""
        return self._replace(distribution=self.distribution.model_copy(update={"rarity": None}))

    def with_energies(self, dominant: float, background: float) -> Setting:
        """Return it with the noise energies multiplied by these factors."""
        distribution = self.distribution
        stds = {
            "dominant_noise_std": distribution.dominant_noise_std * sqrt(dominant),
            "background_noise_std": distribution.background_noise_std * sqrt(background),
        }
        return self._replace(distribution=distribution.model_copy(update=stds))


@dataclass(frozen=True, eq=False)
class Regime:
    """What a method makes of a population.

    Attributes:
        accuracies: P[correct | label, feature], (2, K), row 0 for label +1: exactly 0, ½ or 1.
        diverged: whether the descent diverged before T; the accuracies are then those where it ended.
    """

    accuracies: Float[np.ndarray, "2 K"]
    diverged: bool

    @property
    def learned(self) -> Bool[np.ndarray, " K"]:
        """Whether each feature is learned: its accuracy is 1 for both labels."""
        return np.all(self.accuracies == 1, axis=0)


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What a method makes of a setting (`regimes[0]`) and of its neighbours, whose energies are 1.5 times higher or lower."""

    regimes: tuple[Regime, ...]

    @property
    def diverged(self) -> bool:
        """Whether any descent did."""
        return any(regime.diverged for regime in self.regimes)

    @property
    def borderline(self) -> Bool[np.ndarray, " K"]:
        """Whether each feature is learned at some and not at others; True where a descent diverged."""
        counts = np.sum([regime.learned for regime in self.regimes], axis=0)
        return (counts > 0) & (counts < len(self.regimes)) | self.diverged


class _Lanes(NamedTuple):
    """Settings of one batch as arrays, a row each."""

    frequencies: Float[np.ndarray, "B K"]
    feature_noise: Float[np.ndarray, " B"]
    energies: Float[np.ndarray, "B 2"]  # over n
    step_size: Float[np.ndarray, " B"]
    num_steps: Int[np.ndarray, " B"]

    @classmethod
    def of(cls, settings: Sequence[Setting], size: int) -> _Lanes:
        """Return the settings' lanes, filled up to `size` with lanes that take no step."""
        rows = [
            (
                np.array(at.distribution.frequencies) / sum(at.distribution.frequencies),
                at.distribution.feature_noise,
                np.array([at.distribution.dominant_energy, at.distribution.background_energy]) / at.num_samples,
                at.step_size,
                at.num_steps,
            )
            for at in settings
        ]
        rows += [(*rows[0][:-1], 0)] * (size - len(rows))
        return cls(*map(np.array, zip(*rows, strict=True)))


def regimes(settings: Sequence[Setting], method: Method, coarse: bool = False) -> list[Regime]:
    """Return what a method makes of the population at each setting.

    Args:
        settings: any; those with equal K, P and network are trained side by side.
        method: ERM, Cutout and CutMix are trained on 4K types, any other on all 4K P(P−1).
        coarse: take the first steps, and from there the gradient flow in few (see `coarse_end`): a preview, at a tenth of the cost
            or less. It knows no later oscillation, and errs near boundaries.

    Raises:
        ValueError: before any training, on a bad setting, or a method that knows no probabilities.

    Cost: about 2 µs a step and setting for ERM and Cutout at P = K = 3, 10 µs for CutMix; coarse, to t = 10⁴, 0.3 and 12 ms. A program is compiled for at most three
    batch sizes of each K, P, network and method; all else is data.
    """
    for setting in settings:
        setting.check(method)
    groups: dict[Any, list[Setting]] = {}
    for setting in dict.fromkeys(setting.canonical for setting in settings):
        shape = setting.distribution.num_features, setting.distribution.num_patches
        groups.setdefault((shape, setting.network), []).append(setting)
    known: dict[Setting, Regime] = {}
    with jax.enable_x64(True):
        for group in groups.values():  # long descents side by side
            known |= _train(sorted(group, key=lambda setting: setting.num_steps), method, coarse)
    return [known[setting.canonical] for setting in settings]


def smallest_population(distribution: FeatureNoise, num_samples: int, method: Method) -> tuple[Limit, Method]:
    """Return the population to train on, and the method as it is there: equal to it on `population`, where features are concerned.

    ERM, Cutout and CutMix treat positions alike and need 4K types; other methods all 4K P(P−1).
    """
    if isinstance(method, CutMix):
        return placed_population(distribution, num_samples), PlacedCutMix()
    types = placed_population if isinstance(method, (Erm, Cutout)) else population
    return types(distribution, num_samples), method


def _train(settings: Sequence[Setting], method: Method, coarse: bool) -> dict[Setting, Regime]:
    """The regimes of settings that one program serves."""
    network = settings[0].network
    unit = settings[0].distribution.replace(feature_noise=1.0)  # so that α multiplies `noise_members`
    dataset, method = smallest_population(unit, settings[0].num_samples, method)
    template, answers = geometry(dataset), []
    pairs = isinstance(method, PlacedCutMix) or method.of_projections
    weight = len(template.labels) ** 2 if pairs else len(template.labels)
    for part, size in _batches(settings, BATCH_TYPES if coarse else weight):
        lanes = _Lanes.of(part, size)
        accuracies, diverged = map(np.asarray, _outcomes(network, method, template, lanes, coarse))
        answers += [Regime(accuracies[lane], bool(diverged[lane])) for lane in range(len(part))]
    return dict(zip(settings, answers, strict=True))


def _batches(settings: Sequence[Setting], num_types: int) -> Iterator[tuple[Sequence[Setting], int]]:
    """Settings with the number of lanes that they are to fill: large batches, small ones where few are left; one alone."""
    if len(settings) == 1 and num_types < BATCH_TYPES:
        yield settings, 1
        return
    large, first = max(SMALL_BATCH, BATCH_TYPES // num_types), 0
    while first < len(settings):
        size = large if len(settings) - first > large // 2 else SMALL_BATCH
        yield settings[first : first + size], size
        first += size


@partial(jax.jit, static_argnums=(0, 1, 4))
def _outcomes(
    network: BaseNetwork, method: Method, template: FeatureNoiseGeometry, lanes: _Lanes, coarse: bool
) -> tuple[Float[Array, "B 2 K"], Bool[Array, " B"]]:
    """Accuracies of each lane, and whether it diverged: of the descent, or of its preview."""

    def outcome(lane: Any) -> tuple[Any, Any]:
        data = _geometry(template, lane)
        problem = Problem(data, network, (method,), lane.step_size)
        if coarse:
            at = coarse_end(problem, lane.num_steps)
            diverged = ~jnp.isfinite(at.feature).all()
        else:
            state = take_steps(problem, start(data), lane.num_steps + 1)
            at, diverged = state.point.coefficients, has_diverged(state)
        return limit_accuracies(at.feature, lane.feature_noise, network), diverged

    return jax.vmap(outcome)(lanes)


def _geometry(template: FeatureNoiseGeometry, lane: _Lanes) -> FeatureNoiseGeometry:
    """The geometry of a lane's population, from one with equal K and P, and α = 1."""
    num_types, num_noise = len(template.labels), template.slots.shape[1] - 1
    types_per_feature = num_types / (2 * len(lane.frequencies))  # of one label
    frequencies = template.feature_members @ jnp.tile(lane.frequencies, 2)
    probabilities = frequencies / (2 * types_per_feature)
    energies = jnp.where(jnp.arange(num_noise) == 0, lane.energies[0], lane.energies[1])
    lengths = jnp.sqrt(energies[None, :] / probabilities[:, None]).ravel()
    return template._replace(
        probabilities=probabilities,
        noise_members=lane.feature_noise * template.noise_members,
        noise=OrthogonalNoise(lengths),
    )


def derive_rarity(
    distribution: FeatureNoise,
    num_samples: int,
    network: BaseNetwork = NETWORK,
    step_size: float = 1.0,
    num_steps: int = 10_000,
    num_cut: int = 1,
) -> tuple[Rarity, ...]:
    """Return each feature's rarity as ERM and Cutout decide it in the population, or BORDERLINE where that is near a change.

    Common: ERM learns it by step T, that is, its accuracy there is 1. Rare: only Cutout does. Extremely rare: neither.
    Borderline: the answer changes when e_d, e_b or both are multiplied or divided by 1.5, or a descent diverges (model.md §5, §8).

    Args:
        distribution: the data distribution (a stated rarity in it is ignored).
        num_samples: n ≥ 1, the number of training points; it enters through the noise energies over n.
        network: the activation.
        step_size: η > 0.
        num_steps: T ≥ 1.
        num_cut: C of Cutout.

    Raises:
        ValueError: on bad arguments.

    Cost: two batches of seven descents of 4K types, about 0.4 s at T = 10,000, and a second or two of compilation once for
    each K, P, network and C; an answer is remembered.

    Example:
        >>> import augscope as ag
        >>> [str(rarity) for rarity in ag.derive_rarity(ag.presets.theorem.distribution, num_samples=300)]
        ['common', 'rare', 'extremely_rare']
    """
    setting = Setting(distribution, num_samples, network, step_size, num_steps)
    return _rarities(around(setting, Erm()), around(setting, Cutout(num_cut=num_cut)))


def derive_rarities(settings: Sequence[Setting], num_cut: int = 1) -> list[tuple[Rarity, ...]]:
    """Return `derive_rarity` of many settings, trained side by side. Arguments, errors and cost as for `regimes`."""
    pairs = zip(all_around(settings, Erm()), all_around(settings, Cutout(num_cut=num_cut)), strict=True)
    return [_rarities(*pair) for pair in pairs]


def around(setting: Setting, method: Method) -> Surroundings:
    """Return what a method makes of a setting and of its neighbours; an answer is remembered."""
    hashable: Any = method  # as every frozen value is
    return _around(setting.canonical, hashable)


@lru_cache(maxsize=4_096)
def _around(setting: Setting, method: Method) -> Surroundings:
    return all_around([setting], method)[0]


def all_around(settings: Sequence[Setting], method: Method) -> list[Surroundings]:
    """Return what a method makes of each setting and of its neighbours. Arguments, errors and cost as for `regimes`."""
    moved = [
        setting.with_energies(BORDERLINE_FACTOR**dominant, BORDERLINE_FACTOR**background)
        for setting in settings
        for dominant, background in _MOVES
    ]
    answers, count = regimes(moved, method), len(_MOVES)
    return [Surroundings(tuple(answers[first : first + count])) for first in range(0, len(answers), count)]


def _rarities(erm: Surroundings, cutout: Surroundings) -> tuple[Rarity, ...]:
    """Each feature's rarity, from what ERM and Cutout make of a setting and of its neighbours."""
    pairs = zip(erm.regimes, cutout.regimes, strict=True)
    names = zip(*(_rarities_at(*pair) for pair in pairs), strict=True)  # a row a feature
    diverged = erm.diverged or cutout.diverged
    return tuple(Rarity.BORDERLINE if diverged or len(set(row)) > 1 else row[0] for row in names)


def _rarities_at(erm: Regime, cutout: Regime) -> list[Rarity]:
    unlearned = np.where(cutout.learned, Rarity.RARE, Rarity.EXTREMELY_RARE)
    return [Rarity(name) for name in np.where(erm.learned, Rarity.COMMON, unlearned)]
