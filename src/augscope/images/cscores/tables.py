"""A study's results as rows: for the terminal, as CSV, as JSON and for the page."""

from __future__ import annotations

import csv
import io
import math
from itertools import pairwise
from typing import Any

import numpy as np

from augscope.images.cscores.results import BANDS, MEASURES, StudyResult
from augscope.images.training import METHODS
from augscope.intervals import Interval

COLUMNS = ("accuracy", "missed", "fitted", "mean", "Q1", "median", "Q3")


def rows(result: StudyResult) -> list[dict[str, Any]]:
    """Return the paper's table: a row a method, and one for all held-out points; intervals of accuracy and mean."""
    found = []
    for method in result.methods:
        cells = [_share(method.accuracy), f"{method.num_misclassified:.1f}", f"{method.fitted.estimate:.1%}"]
        mean, *quartiles = method.summary
        found.append({"name": method.title, "values": [*cells, _number(mean), *(_alone(value) for value in quartiles)]})
    every = [f"{value:.3f}" for value in result.held_out]
    return [*found, {"name": "all held-out points", "values": ["", f"{_mean_held_out(result):.0f}", "", *every]}]


def pair_rows(result: StudyResult) -> list[dict[str, Any]]:
    """Return the paired differences of the mean, a row a pair of methods."""
    return [
        {
            "name": f"{pair.first} − {pair.second}",
            "values": [_number(Interval(pair.estimate, pair.low, pair.high), "+.3f"), _p(pair.p_value), pair.num_seeds],
        }
        for pair in result.pairs
    ]


def band_rows(result: StudyResult) -> tuple[list[str], list[dict[str, Any]]]:
    """Return titles and rows of the accuracy per band of C-scores."""
    edges = [f"{low:g} to {high:g}" for low, high in pairwise(BANDS)]
    found = [
        {"name": method.title, "values": ["–" if math.isnan(value) else f"{value:.1%}" for value in row]}
        for method, row in zip(result.methods, result.bands, strict=True)
    ]
    return edges, [
        *found,
        {"name": "held-out points, all seeds", "values": [f"{count:,}" for count in result.band_counts]},
    ]


def sentences(result: StudyResult) -> list[str]:
    """Return what may be said: which methods can be told apart, and those that misclassified nothing."""
    apart = [pair.verdict for pair in result.pairs if pair.differs]
    found = apart if len(result.pairs) > 1 else [pair.verdict for pair in result.pairs]
    if len(result.pairs) > 1:
        count = f"{len(apart)} of the {len(result.pairs)} pairs of methods differ" if apart else "No two methods differ"
        found = [f"{count} detectably in the mean C-score of what they misclassify.", *apart]
    empty = [method.title for method in result.methods if not np.isfinite(method.per_seed[:, 0]).any()]
    if empty:
        found.append(f"{', '.join(empty)} misclassified nothing: hold out more, or train less.")
    return found


def scores_sentence(result: StudyResult) -> str:
    """Return where the scores come from."""
    estimate, settings = result.run.estimate, result.run.settings
    if estimate is None:
        return "The C-scores were given."
    worth = (
        "too few to tell how reliable they are"
        if math.isnan(estimate.reliability)
        else f"reliability {estimate.reliability:.2f}"
    )
    fractions = ", ".join(f"{fraction:g}" for fraction in settings.fractions)
    return (
        f"The C-scores were estimated here by {METHODS[settings.scored_by]}, {settings.trainings} trainings at each of the fractions {fractions} of "
        f"the points, each point held out {estimate.times.sum(axis=0).min()} times or more: {worth}."
    )


def table_csv(result: StudyResult) -> bytes:
    """Return the table with intervals: a row a method and measure."""
    lines: list[list[Any]] = [["method", "measure", "estimate", "low", "high"]]
    for method in result.methods:
        named = [("accuracy", method.accuracy), ("fitted", method.fitted), *zip(MEASURES, method.summary, strict=True)]
        lines += [[method.method, name, *map(_cell, interval)] for name, interval in named]
    lines += [
        ["all held-out points", name, _cell(value), "", ""]
        for name, value in zip(MEASURES, result.held_out, strict=True)
    ]
    return _csv(lines)


def misclassified_csv(result: StudyResult) -> bytes:
    """Return the data behind it all: a row for each seed, method and misclassified held-out point."""
    lines: list[list[Any]] = [["method", "seed", "index", "label", "predicted", "c_score"]]
    labels, names = result.run.data.labels, result.run.data.class_names
    for method in result.methods:
        for place, seed in enumerate(result.run.settings.seeds):
            for point, said, score in zip(
                method.misclassified[place], method.predicted[place], method.scores[place], strict=True
            ):
                lines.append([method.method, seed, int(point), names[labels[point]], names[said], _cell(score)])
    return _csv(lines)


def as_dict(result: StudyResult) -> dict[str, Any]:
    """Return the results ready for JSON; what is not finite is None."""
    run = result.run
    estimate = run.estimate
    return {
        "command": "images cscore",
        "identity": run.identity,
        "data": run.data.source,
        "device": run.device,
        "settings": run.settings.model_dump(mode="json"),
        "c_scores": "given"
        if estimate is None
        else {"reliability": _finite(estimate.reliability), "fewest_hold_outs": int(estimate.times.sum(axis=0).min())},
        "held_out": dict(zip(MEASURES, map(_finite, result.held_out), strict=True)),
        "methods": [
            {
                "method": method.method,
                "title": method.title,
                "accuracy": _interval(method.accuracy),
                "fitted": _interval(method.fitted),
                "misclassified": [len(found) for found in method.misclassified],
                "c_score": {name: _interval(found) for name, found in zip(MEASURES, method.summary, strict=True)},
                "per_seed": [[_finite(value) for value in row] for row in method.per_seed.tolist()],
                "accuracy_per_band": [_finite(value) for value in band],
            }
            for method, band in zip(result.methods, result.bands.tolist(), strict=True)
        ],
        "differences": [
            {
                "first": pair.first,
                "second": pair.second,
                **_interval(Interval(pair.estimate, pair.low, pair.high)),
                "p_value": pair.p_value,
                "seeds": pair.num_seeds,
                "verdict": pair.verdict,
            }
            for pair in result.pairs
        ],
        "bands": list(BANDS),
        "points_per_band": result.band_counts.tolist(),
    }


def _mean_held_out(result: StudyResult) -> float:
    return float(np.mean([len(points) for points in result.run.held_out]))


def _number(interval: Interval, form: str = ".3f") -> str:
    """An estimate and its interval, if it has bounds."""
    if math.isnan(interval.estimate):
        return "–"
    text = f"{interval.estimate:{form}}"
    text += f" [{interval.low:{form}}, {interval.high:{form}}]" if math.isfinite(interval.low) else ""
    return text.replace("-", "−")


def _share(interval: Interval) -> str:
    if not math.isfinite(interval.low):
        return f"{interval.estimate:.1%}"
    return f"{interval.estimate:.1%} [{interval.low:.1%}, {interval.high:.1%}]"


def _alone(interval: Interval) -> str:
    return "–" if math.isnan(interval.estimate) else f"{interval.estimate:.3f}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _cell(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _interval(interval: Interval) -> dict[str, float | None]:
    return {name: _finite(value) for name, value in interval._asdict().items()}


def _csv(lines: list[list[Any]]) -> bytes:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(lines)
    return stream.getvalue().encode()
