"""How often intervals of an audit hold what they should, and how often a study of equal methods claims a difference.

`python benchmarks/audit_intervals.py coverage` (some 5 minutes) or `null` (1 minute); what docs/audit.md says was measured with it.

A subgroup's images all have one label, of two. Network s gives the logit z = m + σ(√a A_i + √b B_s + √e E_si) to the true class of
image i, with standard normal A, B, E and a + b + e = 1, so that it is right (z > 0) with probability Φ(m/σ): the truth is
the mean over all images and networks. With σ = 2m/σ and b = 0 its probabilities are calibrated; a larger σ makes it too sure.
"""

from __future__ import annotations

import sys
from itertools import product

import numpy as np
from scipy import special, stats

import augscope as ag
from augscope.studies.audit.result import Result
from augscope.support.statistics import LEVEL, Interval, clopper_pearson, crossed_share

TABLES, STUDIES = 2_000, 200
SEEDS, IMAGES = (3, 5), (12, 25, 50, 100, 200, 500)
ACCURACIES = (0.02, 0.5, 0.98)
SPREADS = (1.0, 4.0, 8.0)  # σ; 4.1 is calibrated at the accuracy 0.98
NETWORKS = (0.0, 0.05, 0.2)  # b; of the rest, 0.6 is the images' part
QUANTILES = stats.norm.ppf((np.arange(60_000) + 0.5) / 60_000)


def logits(
    generator: np.random.Generator, shape: tuple[int, int, int], mean: float, spread: float, networks: float
) -> np.ndarray:
    """Draw the logits of the true class, (tables, S, n)."""
    tables, seeds, images = shape
    by_image = np.sqrt(0.6 * (1 - networks)) * generator.standard_normal((tables, 1, images))
    by_network = np.sqrt(networks) * generator.standard_normal((tables, seeds, 1))
    by_answer = np.sqrt(0.4 * (1 - networks)) * generator.standard_normal(shape)
    return mean + spread * (by_image + by_network + by_answer)


def holds(intervals: list[Interval], truth: float) -> np.ndarray:
    """Which intervals hold the truth."""
    return np.array([interval.low <= truth <= interval.high for interval in intervals])


def scores_hold(scores: np.ndarray, truth: float) -> np.ndarray:
    """Which intervals hold the mean of scores (tables, S, n) without bounds: the construction of `crossed_share`, nothing added."""
    half = 0.0
    for axis, over in ((1, scores.shape[2]), (2, scores.shape[1])):
        variance = scores.mean(axis=axis).var(axis=1, ddof=1) / over
        half = half + variance * stats.t.isf((1 - LEVEL) / 2, over - 1) ** 2
    return np.abs(scores.mean(axis=(1, 2)) - truth) <= np.sqrt(half)


def errors_hold(z: np.ndarray, truth: float) -> np.ndarray:
    """Which intervals hold the squared calibration error: the same construction, networks' estimates and chance within bins."""
    seeds, images = z.shape[1:]
    sure = special.expit(np.abs(z))
    order = np.argsort(sure, axis=2)
    edges = images * np.arange(num_bins(images)) // num_bins(images)
    counts = np.diff([*edges, images]).astype(float)
    confidence, share = (
        np.add.reduceat(np.take_along_axis(values, order, 2), edges, axis=2) / counts
        for values in (sure, 1.0 * (z > 0))
    )
    square, chance = (confidence - share) ** 2, share * (1 - share) / (counts - 1)
    estimates = (counts / images * (square - chance)).sum(axis=2)
    likely = (share * counts + 1) / (counts + 2)  # where all are right chance is not 0
    noise = likely * (1 - likely) / counts
    by_bin = (counts / images) ** 2 * (4 * np.maximum(square - chance, 0) * noise + 2 * noise**2)
    variances = (by_bin.sum(axis=2).mean(axis=1), images - 1), (estimates.var(axis=1, ddof=1) / seeds, seeds - 1)
    half = np.sqrt(sum(value * stats.t.isf((1 - LEVEL) / 2, freedom) ** 2 for value, freedom in variances))
    mean = estimates.mean(axis=1)
    return (mean - half <= truth) & (truth <= np.maximum(mean + half, 0))


def num_bins(images: int) -> int:
    """As many as `calibration_error` makes."""
    return min(15, images // 10)


def true_error(mean: float, spread: float, networks: float, images: int) -> float:
    """The squared calibration error in bins, mean over all networks."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(31) if networks else (np.zeros(1), np.ones(1))
    total = 0.0
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        z = mean + spread * (np.sqrt(networks) * node + np.sqrt(1 - networks) * QUANTILES)
        z = z[np.argsort(np.abs(z))][: len(z) // num_bins(images) * num_bins(images)].reshape(num_bins(images), -1)
        total += weight * np.mean((special.expit(np.abs(z)).mean(axis=1) - (z > 0).mean(axis=1)) ** 2)
    return total


def coverage(measure: str, seeds: int, images: int, networks: float) -> list[float]:
    """The shares of intervals that hold the truth, over accuracies and spreads."""
    shares = []
    for accuracy, spread in product(ACCURACIES, (1.0,) if measure == "accuracy" else SPREADS):
        mean = float(stats.norm.ppf(accuracy)) * spread
        generator = np.random.default_rng([seeds, images, round(100 * accuracy), round(spread), round(100 * networks)])
        z, everywhere = logits(generator, (TABLES, seeds, images), mean, spread, networks), mean + spread * QUANTILES
        match measure:
            case "accuracy":
                covered = holds([crossed_share(table) for table in z > 0], accuracy)
            case "Brier score":
                scores, truth = special.expit(-z) ** 2, np.mean(special.expit(-everywhere) ** 2)
                covered = holds([crossed_share(table) for table in scores], float(truth))
            case "log loss":
                covered = scores_hold(np.logaddexp(0, -z), float(np.mean(np.logaddexp(0, -everywhere))))
            case _:
                covered = errors_hold(z, true_error(mean, spread, networks, images))
        shares.append(float(covered.mean()))
    return shares


def print_coverage() -> None:
    """Print a table: lowest and highest coverage over accuracies and spreads, in %."""
    print("| measure | networks' part | seeds |", " | ".join(map(str, IMAGES)), "|")
    for measure in ("accuracy", "Brier score", "log loss", "calibration error"):
        for networks, seeds in product(NETWORKS, SEEDS):
            cells = []
            for images in IMAGES:
                if images < 100 and measure in ("log loss", "calibration error"):
                    cells.append("")
                    continue
                shares = coverage(measure, seeds, images, networks)
                cells.append(f"{100 * min(shares):.1f}–{100 * max(shares):.1f}")
            print(f"| {measure} | {100 * networks:.0f} % | {seeds} |", " | ".join(cells), "|", flush=True)


def predictions(z: np.ndarray) -> dict[str, np.ndarray]:
    """Return logits of the true class (methods, subgroups, seeds, images) as a table: subgroup g has the label g % 2 and the place g // 2."""
    method, group, seed, image = (axis.ravel() for axis in np.indices(z.shape))
    label, sure = group % 2, special.expit(z.ravel())
    return {
        "method": np.array(["erm", *map(str, range(1, len(z)))])[method],
        "seed": seed,
        "image": group * z.shape[3] + image,
        "y": label,
        "split": np.full(len(label), "test"),
        "place": group // 2,
        "prob_0": np.where(label == 0, sure, 1 - sure),
        "prob_1": np.where(label == 1, sure, 1 - sure),
    }


def null_study(key: list[int], seeds: int) -> Result:
    """Compare three methods that are equal in law on four subgroups of 50 images, right on 69 %; an image is hard for all of them alike."""
    generator, shape = np.random.default_rng(key), (3, 4, seeds, 50)
    by_image = np.sqrt(0.6) * generator.standard_normal((1, 4, 1, 50))
    by_network = np.sqrt(0.1) * generator.standard_normal((3, 4, seeds, 1))
    by_answer = np.sqrt(0.3) * generator.standard_normal(shape)
    return ag.compare(predictions(1 + 2 * (by_image + by_network + by_answer)))


def claims_something(result: Result) -> bool:
    """Whether any difference is claimed."""
    return any(comparison.claimed for comparison in result.measured.comparisons)


def print_null() -> None:
    """Print how many of the studies claim something."""
    for seeds in SEEDS:
        claims = sum(claims_something(null_study([seeds, number], seeds)) for number in range(STUDIES))
        low, high = clopper_pearson(claims, STUDIES)
        print(
            f"{seeds} seeds: {claims} of {STUDIES} studies claim something, {100 * low:.1f}–{100 * high:.1f} % of all"
        )


if __name__ == "__main__":
    {"coverage": print_coverage, "null": print_null}[sys.argv[1]]()
