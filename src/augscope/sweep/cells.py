"""A cell: one method, one configuration, one seed (a population has none). Its identity, its run, and its row in the records."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from augscope.model.distribution import Rarity, learning_ratios
from augscope.model.methods import METHOD_NAMES
from augscope.model.network import Network
from augscope.support.plain_data import plain
from augscope.support.wording import versions
from augscope.sweep.schema import SCHEMA, numbers_of
from augscope.theorems.assumptions import noise_ratio
from augscope.theorems.statements import TOLERANCE, resolve_rarity, theorem_for
from augscope.theorems.windows import longest_window
from augscope.training.experiment import Experiment
from augscope.training.loop import Run
from augscope.training.measure_table import measures_of
from augscope.training.measures import History, features_learned

# Errors that are a cell's result; any other is a bug of ours.
FAILURES = (ValueError, ArithmeticError, RuntimeError, MemoryError)


@dataclass(frozen=True, eq=False)
class Cell:
    """One run to make.

    Attributes:
        experiment: its configuration, with one method.
        configuration: the canonical JSON of that.
        seed: its seed; None of a population.
        point: the grid's values by axis name.
        rarity: derived ones, where the prediction needs them and they are known (see `rarities.with_rarities`).
    """

    experiment: Experiment
    configuration: str
    seed: int | None
    point: Mapping[str, Any] = field(default_factory=dict)
    rarity: tuple[Rarity, ...] | None = None

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the canonical JSON of configuration and seed, on which every number depends, and of nothing else."""
        text = f'{{"configuration":{self.configuration},"seed":{json.dumps(self.seed)}}}'
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def program(self) -> tuple[Any, ...]:
        """Equal for cells that run the same compiled programs."""
        experiment, distribution = self.experiment, self.experiment.distribution
        pieces = experiment.methods[0].model_dump_json(), experiment.network.model_dump_json()
        shape = distribution.num_patches, distribution.num_features, *_size(experiment)
        return (*pieces, *shape, experiment.frame, experiment.until is not None)

    def message(self) -> dict[str, Any]:
        """Return what a worker needs, ready for JSON."""
        known = {"cell": self.identity, "configuration": self.configuration, "seed": self.seed}
        return known if self.rarity is None else {**known, "rarity": list(self.rarity)}


def _size(experiment: Experiment) -> tuple[Any, ...]:
    """What the arrays' shapes depend on besides patches and features: neither d nor, in a population, n where there is no noise."""
    if experiment.is_population:
        return (experiment.coordinates,)
    if experiment.is_limit:  # samples hold different types: about one shape an n
        return experiment.coordinates, experiment.num_samples
    distribution = experiment.distribution
    span = min(experiment.num_samples * (distribution.num_patches - 1), distribution.noise_dim)
    return experiment.num_samples, span, distribution.dim if experiment.coordinates == "dense" else 0


def run_cell(message: Mapping[str, Any]) -> dict[str, Any]:
    """Run a cell from its message; return its row, which holds the reason in place of measures if the cell fails."""
    experiment, row = _known_before(message)
    start = time.perf_counter()
    try:
        dataset = experiment.sample(message["seed"])
        dataset.initial_weights.block_until_ready()
        sampled = time.perf_counter()
        run = experiment.run(experiment.methods[0], dataset, seed=message["seed"])
        measures = _measures(run, row["predicted_accuracy"])
        row |= {"status": run.status, "message": run.message, **measures}
        row |= {"sample_seconds": sampled - start, "seconds": run.seconds}
    except FAILURES as error:
        row |= {"status": "failed", "message": f"{type(error).__name__}: {error}"}
    return row | _circumstances()


def failed_row(cell: Cell, reason: str) -> dict[str, Any]:
    """Return the row of a cell that could not be run."""
    _, row = _known_before(cell.message())
    return {**row, "status": "failed", "message": reason, **_circumstances()}


def _known_before(message: Mapping[str, Any]) -> tuple[Experiment, dict[str, Any]]:
    """A cell's experiment, and the columns that are known without a run."""
    rarity = message.get("rarity")
    experiment, columns = _of_configuration(message["configuration"], None if rarity is None else tuple(rarity))
    return experiment, {**{name: message[name] for name in ("cell", "seed", "configuration")}, **columns}


@lru_cache(maxsize=1_000)
def _of_configuration(configuration: str, rarity: tuple[str, ...] | None) -> tuple[Experiment, dict[str, Any]]:
    """The experiment of a configuration, and the columns that its seeds share."""
    experiment = Experiment(**json.loads(configuration))
    fields = json.loads(experiment.canonical)
    del fields["methods"]
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    identity = {"experiment": hashlib.sha256(text.encode()).hexdigest()}
    return experiment, {**identity, **_configuration(experiment), **_predictions(experiment, rarity)}


def _circumstances() -> dict[str, Any]:
    """When and where a row is made, and by which versions."""
    machine = f"{platform.machine()} {platform.system()} {platform.node()}"
    return {"finished": datetime.now(UTC), "machine": machine, "versions": versions()}


def _configuration(experiment: Experiment) -> dict[str, Any]:
    """The configuration as columns, by the fields' own names."""
    distribution, method = experiment.distribution, experiment.methods[0]
    flat = experiment.model_dump(mode="json")
    flat |= {**distribution.model_dump(mode="json"), "num_features": distribution.num_features}
    # A user's own network or method may give its fields any names: only its name is recorded.
    network = experiment.network.model_dump(mode="json")
    flat |= {name: None if "name" in network else network[name] for name in Network.model_fields}
    fields = method.model_dump(mode="json")
    own = fields["name"] not in METHOD_NAMES
    flat |= {name: None if own else fields.get(name) for name in ("num_cut", "algorithm")}
    flat |= {"method": fields["name"], "method_title": method.title}
    return {name: value for name, value in flat.items() if name in SCHEMA.names}


def _predictions(experiment: Experiment, rarity: Sequence[str] | None) -> dict[str, Any]:
    """What theory says without training the sample; `rarity` as derived before, if it was."""
    distribution, num_samples = experiment.distribution, experiment.num_samples
    dominant, background = learning_ratios(distribution, num_samples).tolist()
    return {
        "dominant_ratio": dominant,
        "background_ratio": background,
        "noise_ratio": noise_ratio(distribution, num_samples),
        "predicted_accuracy": _predicted_accuracy(experiment, rarity),
    }


def _predicted_accuracy(experiment: Experiment, rarity: Sequence[str] | None) -> float | None:
    """The accuracy that the method's theorem gives, or None."""
    theorem = theorem_for(experiment.methods[0])
    if theorem is None:
        return None
    if rarity is not None:
        names = tuple(map(Rarity, rarity))
    else:
        names = resolve_rarity(experiment) if theorem.accuracy.unlearned else ()
    return theorem.accuracy.predicted(experiment.distribution, names)


def _measures(run: Run, predicted: float | None) -> dict[str, Any]:
    """Every measure at the end, and all of them over the steps."""
    history, last = run.history, len(run.history.steps) - 1
    scores = history.feature_scores[last]
    learned = features_learned(scores)
    opens, closes = _window(history, predicted)
    return {
        "last_step": float(history.steps[last]),
        "oscillating": run.oscillating,
        "feature_counts": plain(run.dataset.feature_counts),
        **{name: float(getattr(history, name)[last]) for name in numbers_of(measures_of(History))},
        "best_accuracy": float(np.nan_to_num(history.accuracy, nan=-np.inf).max()),
        "feature_accuracy": history.accuracy_per_feature[last].mean(axis=0).tolist(),
        "feature_score": scores.min(axis=0).tolist(),
        "learned": learned.tolist(),
        "num_learned": int(learned.sum()),
        "plateau": history.plateau[last].tolist(),
        "predicted_plateau": run.predicted_plateau.tolist(),
        "window_opens": opens,
        "window_closes": closes,
        "window_until": float(history.steps[last]) if opens is not None and closes is None else closes,
        "history": {name: array.tolist() for name, array in vars(history).items()},
    }


def _window(history: History, predicted: float | None) -> tuple[float | None, float | None]:
    """From when to when the overall accuracy is what the method's theorem says."""
    if predicted is None:
        return None, None
    return longest_window(np.asarray(history.steps, float), TOLERANCE - np.abs(history.accuracy - predicted))
