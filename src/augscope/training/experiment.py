"""One configured run: distribution, network, methods, sample and descent, as one validated value; and the presets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from pydantic import SerializeAsAny, field_validator, model_validator

from augscope.model.dataset import LIMITS, Dataset, Limit
from augscope.model.distribution import MAX_STD, FeatureNoise, Rarity
from augscope.model.methods import CutMix, Cutout, Erm, Method, read_method
from augscope.model.methods.base import check_method
from augscope.model.network import BaseNetwork, Network, read_network
from augscope.model.sampling import check_memory, needed_bytes, num_types, population, sample_dataset, sample_limit
from augscope.support.values import Value, check, check_positive, checked_seeds
from augscope.training.batch import train_methods
from augscope.training.descent import checked_record_steps
from augscope.training.flow import default_record_times, flow
from augscope.training.loop import Run
from augscope.training.sampling import Sampling
from augscope.training.train import train

NUM_JUDGED = 9  # steps from T/2 to T at which a verdict looks (model.md §5)
DRAWN_STEPS = 2**31  # what a seed's key is folded with for drawn steps: apart from what its sample is drawn from
MOST_ROWS = 512  # to which the types of a sample are split


class Experiment(Value):
    """Everything that determines a run but its seed.

    Args:
        distribution: the data distribution.
        network: the activation, as a value, a table, or the import path `module:Name` of your own.
        methods: the training losses to compare, as values or by name ("erm", "cutout", "cutmix", "mixup", `module:Name` of your own).
        num_samples: n ≥ 1, training points.
        init_std: σ_0 ≥ 0, of each coordinate of the initial weights; 0 in a limit.
        step_size: η > 0, of gradient descent.
        num_steps: T ≥ 1, gradient steps.
        record_at: increasing steps in 0 … T to measure at; by default 40, log-spaced.
        until: follow the gradient flow to this time, such as 1e12, instead of T steps; t = η × steps. Theorems are judged
            at T η, and the windows in which accuracies hold are stated too.
        coordinates: "reduced" (the same law, any d at the same cost) or "dense"; "limit": a sample at d → ∞, "population": the same
            at n → ∞, both at fixed noise energies from a start at 0 (`init_std` = 0).
        sampling: draw augmentations, and batches of points, anew in each step; None: descend the exact loss.
        frame: "standard" or "random" features (random: dense coordinates only).

    Raises:
        ValueError: with a sentence naming the field, the rule and the value.

    Example:
        >>> import augscope as ag
        >>> quick = ag.presets.theorem.replace(num_samples=60, num_steps=100)
        >>> quick.num_steps, len(quick.identity)
        (100, 64)
    """

    distribution: FeatureNoise
    network: SerializeAsAny[BaseNetwork] = Network()
    methods: tuple[SerializeAsAny[Method], ...] = (Erm(), Cutout(), CutMix())
    num_samples: int
    init_std: float
    step_size: float = 1.0
    num_steps: int = 10_000
    record_at: tuple[int, ...] | None = None
    until: float | None = None
    coordinates: Literal["dense", "reduced", "limit", "population"] = "reduced"
    frame: Literal["standard", "random"] = "standard"
    sampling: Sampling | None = None

    @model_validator(mode="before")
    @classmethod
    def _start_limits_at_zero(cls, fields: Any) -> Any:
        in_limit = isinstance(fields, dict) and fields.get("coordinates") in LIMITS
        return {"init_std": 0.0, **fields} if in_limit else fields

    @field_validator("methods", mode="before")
    @classmethod
    def _read_names(cls, methods: Any) -> Any:
        """A method may be given by its name alone, for its defaults."""
        return tuple(map(read_method, methods)) if isinstance(methods, (tuple, list)) else methods

    @field_validator("network", mode="before")
    @classmethod
    def _read_network(cls, network: Any) -> Any:
        return read_network(network)

    @field_validator("methods")
    @classmethod
    def _check_methods(cls, methods: tuple[Method, ...]) -> tuple[Method, ...]:
        titles = [method.title for method in methods]
        check(len(methods) >= 1, "`methods` must name at least one method, got none")
        check(len(set(titles)) == len(titles), f"`methods` must differ from each other, got {', '.join(titles)}")
        return methods

    @model_validator(mode="after")
    def _check_together(self) -> Experiment:
        check(self.num_samples >= 1, f"`num_samples` must be at least 1, got {self.num_samples}")
        check(self.init_std >= 0, f"`init_std` must be at least 0, got {self.init_std}")
        check(self.init_std <= MAX_STD, f"`init_std` must be at most {MAX_STD:g}, got {self.init_std}")
        check(
            self.init_std == 0 or not self.is_limit,
            f"`init_std` must be 0 with `coordinates` = {self.coordinates!r}, where training starts at 0; got {self.init_std}",
        )
        check_positive("step_size", self.step_size)
        check(self.num_steps >= 1, f"`num_steps` must be at least 1, got {self.num_steps}")
        checked_record_steps(self.record_at, self.num_steps)
        if self.until is not None:
            check_positive("until", self.until)
            check(
                self.record_at is None,
                f"`record_at` holds steps, which a flow does not have: leave it out, got {self.record_at}",
            )
        check(
            self.frame == "standard" or self.coordinates == "dense",
            f"`frame` = 'random' needs `coordinates` = 'dense', got {self.coordinates!r}",
        )
        if self.sampling is not None:
            check(not self.is_limit, f"`sampling` must be left out with `coordinates` = {self.coordinates!r}")
            check(self.until is None, "`sampling` must be left out with `until`: a gradient flow has no steps to draw")
            self.sampling.check_fits(self.num_samples, self.methods, self.step_size)
        for method in self.methods:
            check_method(method, self.num_samples, self.distribution.num_patches, weighted=self.is_limit)
        return self

    def replace(self, **changes: Any) -> Experiment:
        """Return a copy with some fields changed, validated again; in a limit training starts at 0 unless the changes say else.

        Raises:
            ValueError: as the constructor does; of a field of the distribution or the network, it says how to change that.
        """
        for part in ("distribution", "network"):
            for name in changes.keys() & type(getattr(self, part)).model_fields.keys():
                change = f"experiment.replace({part}=experiment.{part}.replace({name}={changes[name]!r}))"
                raise ValueError(f"`{name}` is a field of the {part}: {change}")
        return super().replace(**({"init_std": 0.0, **changes} if changes.get("coordinates") in LIMITS else changes))

    @property
    def is_limit(self) -> bool:
        """Whether d is infinite: `coordinates` is "limit" or "population"."""
        return self.coordinates in LIMITS

    @property
    def is_population(self) -> bool:
        """Whether nothing is drawn: then there are no seeds."""
        return self.coordinates == "population"

    def checked_seeds(self, seeds: Iterable[int] | None) -> tuple[int, ...] | tuple[None]:
        """Return the seeds to run from; of a population (None,). Raises ValueError if they are none, or given for a population."""
        if not self.is_population:
            check(seeds is not None, f"`seeds` must be given with `coordinates` = {self.coordinates!r}")
            return checked_seeds(seeds or ())
        check(seeds is None, "`seeds` must be left out with `coordinates` = 'population': nothing is drawn there")
        return (None,)

    @property
    def canonical(self) -> str:
        """The canonical JSON: equal if and only if the configurations are."""
        later = ("until", "sampling")  # a descent is named as it was before there were these
        unused = {name for name in later if getattr(self, name) is None}
        return json.dumps(self.model_dump(mode="json", exclude=unused), sort_keys=True, separators=(",", ":"))

    @property
    def identity(self) -> str:
        """SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()

    def check_memory(self) -> None:
        """Raise ValueError, with the bytes, if the dataset does not fit into the free memory."""
        check_memory(self.distribution, self.num_samples, self.coordinates, self.frame)

    def sample(self, seed: int | None) -> Dataset:
        """Draw the training set and initial weights of a seed (key: `jax.random.key(seed)`); a population has none (None)."""
        if self.is_population:
            return population(self.distribution, self.num_samples)
        if seed is None:
            raise ValueError(f"`seed` must be given with `coordinates` = {self.coordinates!r}")
        key = jax.random.key(seed)
        if self.is_limit:
            return sample_limit(key, self.distribution, self.num_samples)
        return sample_dataset(
            key,
            self.distribution,
            num_samples=self.num_samples,
            init_std=self.init_std,
            coordinates="dense" if self.coordinates == "dense" else "reduced",
            frame=self.frame,
        )

    def in_population(self, methods: Sequence[Method]) -> Experiment:
        """Return the experiment's population, with these methods. Raises ValueError where one takes no probabilities."""
        return self.replace(coordinates="population", frame="standard", sampling=None, methods=tuple(methods))

    @property
    def horizon(self) -> float:
        """T, the step at which theorems are judged; of a flow the time T η, or its end if that is sooner."""
        return self.num_steps if self.until is None else min(self.num_steps * self.step_size, self.until)

    @property
    def judged_steps(self) -> tuple[float, ...]:
        """T/2 (a whole step, rounded up), T, and seven steps evenly between: where verdicts look in any case; of a flow times."""
        if self.until is not None:
            return tuple(np.linspace(self.horizon / 2, self.horizon, NUM_JUDGED).tolist())
        spaced = np.linspace(-(-self.num_steps // 2), self.num_steps, NUM_JUDGED)
        return tuple(np.unique(spaced.round().astype(np.int64)).tolist())

    def with_judged_steps(self) -> Experiment:
        """Return the experiment recorded also at `judged_steps`; a flow always is. Its runs are otherwise the same."""
        if self.until is not None:
            return self
        steps = checked_record_steps(self.record_at, self.num_steps)
        return self.replace(record_at=tuple(sorted({*steps, *self.judged_steps})))

    @property
    def needed_bytes(self) -> int:
        """The bytes that one run takes."""
        return needed_bytes(self.distribution, self.num_samples, self.coordinates, self.frame)

    def run(
        self,
        method: Method,
        dataset: Dataset,
        progress: Callable[[Any, float], Any] | None = None,
        checkpoint: Path | None = None,
        seed: int | None = None,
    ) -> Run:
        """Train one method on a dataset drawn by `sample`; every method of a seed shares data and initial weights.

        Args:
            method, dataset: what to train on what.
            progress: called with (step or time, loss) about once a second.
            checkpoint: as for `train`; a flow keeps none, and begins anew with the same bits.
            seed: of the dataset, from which drawn steps are drawn too (key: `jax.random.fold_in(jax.random.key(seed), 2**31)`).
        """
        if isinstance(dataset, Limit):  # one program for the limits of all samples
            dataset = dataset.in_rows(min(num_types(dataset.distribution), MOST_ROWS))
        if self.until is not None:
            times = sorted({*default_record_times(self.until), *self.judged_steps})
            return flow(dataset, self.network, method, until=self.until, record_at=times, progress=progress)
        return train(
            dataset,
            self.network,
            method,
            step_size=self.step_size,
            num_steps=self.num_steps,
            record_at=self.record_at,
            progress=progress,
            checkpoint=checkpoint,
            sampling=self.sampling,
            key=jax.random.fold_in(jax.random.key(seed or 0), DRAWN_STEPS),
        )

    def run_together(
        self, methods: Sequence[Method], dataset: Dataset, progress: Callable[[Any, float], Any] | None = None
    ) -> list[Run]:
        """Train several methods at once on a dataset drawn by `sample`, by full-batch descent; see `train_methods`."""
        return train_methods(
            dataset,
            self.network,
            methods,
            step_size=self.step_size,
            num_steps=self.num_steps,
            record_at=self.record_at,
            progress=progress,
        )


class Presets(NamedTuple):
    """The two shipped experiments: P = 3, K = 3, ρ = (0.8, 0.15, 0.05), n = 300, T = 10,000 (model.md §7)."""

    figure: Experiment
    """The scale of the paper's numerical section (d = 2,000): features follow the paper, test noise is not small."""
    theorem: Experiment
    """Where the asymptotics have set in (d = 200,000): accuracies reach what the theorems predict."""


def _preset(dim: int, feature_noise: float, dominant: float, background: float, init_std: float) -> Experiment:
    distribution = FeatureNoise(
        dim=dim,
        num_patches=3,
        frequencies=(0.8, 0.15, 0.05),
        feature_noise=feature_noise,
        dominant_noise_std=dominant,
        background_noise_std=background,
        rarity=(Rarity.COMMON, Rarity.RARE, Rarity.EXTREMELY_RARE),
    )
    return Experiment(distribution=distribution, num_samples=300, init_std=init_std)


presets = Presets(
    figure=_preset(2_000, 0.005, 0.25, 0.15, 0.01),
    theorem=_preset(200_000, 0.2, 0.025, 0.015, 0.001),
)
