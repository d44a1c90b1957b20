"""How fast descents approach their high-dimensional limit (docs/limit.md): distances against d and against n, with slopes."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import t as student

import augscope as ag
from augscope.model.dataset import PARTS, Dataset
from augscope.model.jax_setup import set_up_jax
from augscope.model.sampling import num_types
from augscope.support.plain_data import csv_text
from augscope.training.coefficients import geometry
from augscope.training.descent import compiled_steps, start
from augscope.training.problem import Problem

DIMENSIONS = (2 * 10**3, 2 * 10**5, 2 * 10**7, 2 * 10**7 * 10**0.5, 2 * 10**8, 2 * 10**8 * 10**0.5, 2 * 10**9)
FITTED_FROM = 2 * 10**7
SAMPLES = (300, 1_000, 3_000, 10_000, 30_000, 100_000)
STEPS = 2_000


def trained(dataset: Dataset, method: ag.Method, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the projections on features and the patch scores after `STEPS` steps, of these rows of the dataset."""
    problem = Problem(geometry(dataset), ag.Network(), (method,), 1.0)
    state = compiled_steps(problem, start(problem.data), STEPS + 1)
    scores, _ = problem.data.scores(state.point.coefficients, problem.network)
    return np.asarray(state.point.coefficients.feature), np.asarray(scores)[slice(None) if rows is None else rows]


def rows_of_points(sample: Dataset, limit: Dataset) -> np.ndarray:
    """Return each point's row among the types of the limit."""
    types = {
        tuple(row): index
        for index, row in enumerate(zip(*(np.asarray(getattr(limit, name)) for name in PARTS), strict=True))
    }
    return np.array([types[row] for row in zip(*(np.asarray(getattr(sample, name)) for name in PARTS), strict=True)])


def distance_to_limit(dim: float, seed: int, method: ag.Method) -> tuple[float, float]:
    """Return how far a sample's descent is from that of its limit: projections on features, and patch scores."""
    experiment = ag.presets.theorem.replace(
        distribution=ag.presets.theorem.distribution.at_dim(round(dim)), init_std=0.0
    )
    sample = experiment.sample(seed)
    limit = sample.limit().in_rows(num_types(sample.distribution))  # one program for all samples
    own, wanted = trained(sample, method), trained(limit, method, rows_of_points(sample, limit))
    return tuple(float(np.abs(a - b).max()) for a, b in zip(own, wanted, strict=True))  # type: ignore[return-value]


def distance_to_population(num_samples: int, seed: int, method: ag.Method) -> tuple[float, float]:
    """Return how far a sample's limit is from the population at the same e/n: projections, and scores of its types."""
    theorem = ag.presets.theorem
    grown = (num_samples / theorem.num_samples) ** 0.5  # e/n fixed
    stds = {
        name: getattr(theorem.distribution, name) * grown for name in ("dominant_noise_std", "background_noise_std")
    }
    experiment = theorem.replace(num_samples=num_samples, distribution=theorem.distribution.replace(**stds))
    population = experiment.replace(coordinates="population").sample(None)
    limit = experiment.replace(coordinates="limit").sample(seed).limit().in_rows(len(population.labels))
    own, wanted = trained(limit, method), trained(population, method, rows_of_points(limit, population))
    return float(np.abs(own[0] - wanted[0]).max()), float(np.abs(own[1] - wanted[1]).max())


def slope(places: Sequence[float], distances: np.ndarray) -> tuple[float, float]:
    """Return the slope of log distance over log place, with the half width of its 95 % interval; distances are (places, seeds)."""
    each = np.array([np.polyfit(np.log(places), np.log(column), 1)[0] for column in distances.T])
    return each.mean(), student.ppf(0.975, len(each) - 1) * each.std(ddof=1) / len(each) ** 0.5


def table(
    name: str, places: Sequence[float], seeds: int, distance: Callable[..., tuple[float, float]], fitted: float
) -> list[list]:
    """Print and return mean distances by method and place, with the slopes over the places from `fitted` on."""
    rows = []
    for method in ag.presets.theorem.methods:
        found = np.array(
            [[distance(place, seed, method) for seed in range(seeds)] for place in places]
        )  # (places, seeds, 2)
        used = [index for index, place in enumerate(places) if place >= fitted]
        for index, measure in enumerate(("projections", "scores")):
            at, width = slope([places[i] for i in used], found[used, :, index])
            means = found[:, :, index].mean(axis=1)
            print(
                f"{method.title:7} {measure:12} slope {at:+.3f} ± {width:.3f}   "
                + "  ".join(f"{mean:.2e}" for mean in means),
                flush=True,
            )
            rows += [
                [name, method.title, measure, f"{place:g}", f"{mean:.4g}", f"{at:.4f}", f"{width:.4f}"]
                for place, mean in zip(places, means, strict=True)
            ]
    return rows


def main() -> None:
    """Measure both tables, and write them if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, help="a CSV file for the distances")
    arguments = parser.parse_args()
    set_up_jax()
    print(f"To a sample's limit, d = {', '.join(f'{dim:.2g}' for dim in DIMENSIONS)}; slopes from {FITTED_FROM:g} on")
    rows = table("d", DIMENSIONS, arguments.seeds, distance_to_limit, FITTED_FROM)
    print(f"From a sample's limit to the population, n = {', '.join(map(str, SAMPLES))}")
    rows += table("n", SAMPLES, arguments.seeds, distance_to_population, SAMPLES[2])
    if arguments.out is not None:
        columns = ("against", "method", "measure", "place", "mean distance", "slope", "half width")
        arguments.out.write_text(csv_text(columns, rows))


if __name__ == "__main__":
    main()
