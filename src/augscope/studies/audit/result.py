"""A finished audit as one value, and as tables for programs: CSV and a record for JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from augscope.studies.audit.dataset import ImageData
from augscope.studies.audit.exposure import Exposure, exposure
from augscope.studies.audit.recommendation import Words, put_in_words
from augscope.studies.audit.settings import Settings
from augscope.studies.audit.study import Runs
from augscope.studies.audit.subgroups import Comparison, GroupAccuracy, Measured, correctness, measure


@dataclass(frozen=True)
class Audit:
    """Everything that an audit found.

    Attributes:
        data, settings, runs: what was trained on, how, and what each network predicts.
        measured: accuracies and comparisons.
        exposures: by method.
        words: what may be said.
        identity: SHA-256 of all that decides the result.
        versions: of what computed it.
    """

    data: ImageData
    settings: Settings
    runs: Runs
    measured: Measured
    exposures: dict[str, Exposure]
    words: Words
    identity: str
    versions: dict[str, str]


def conclude(data: ImageData, settings: Settings, runs: Runs, identity: str, versions: dict[str, str]) -> Audit:
    """Measure finished trainings and put the result in words."""
    measured = measure(data, settings, runs)
    shown = {method: exposure(data, settings, method) for method in settings.methods}
    return Audit(data, settings, runs, measured, shown, put_in_words(data, settings, measured), identity, versions)


def record(audit: Audit) -> dict[str, Any]:
    """The result ready for JSON."""
    data, measured = audit.data, audit.measured
    return {
        "command": "images audit",
        "identity": audit.identity,
        "headline": audit.words.headline,
        "recommendation": audit.words.recommendation,
        "findings": list(audit.words.findings),
        "warnings": list(measured.warnings),
        "notes": list(data.notes),
        "subgroups": _subgroups(data),
        "accuracies": [_accuracy(data, cell) for cell in measured.accuracies.values()],
        "overall": [_accuracy(data, cell) for cell in measured.overall.values()],
        "worst": {method: data.groups[measured.worst(method).group].name for method in audit.settings.methods},
        "comparisons": [_comparison(data, comparison) for comparison in measured.comparisons],
        "exposure": {method: _exposure(found) for method, found in audit.exposures.items()},
        "settings": audit.settings.model_dump(mode="json"),
        "versions": audit.versions,
    }


def _subgroups(data: ImageData) -> list[dict[str, Any]]:
    train, test = data.train.counts(len(data.groups)), data.test.counts(len(data.groups))
    return [
        {
            "name": group.name,
            "label": group.label,
            **dict(zip(data.attributes, group.attributes, strict=True)),
            "train_images": int(train[index]),
            "test_images": int(test[index]),
        }
        for index, group in enumerate(data.groups)
    ]


def _accuracy(data: ImageData, cell: GroupAccuracy) -> dict[str, Any]:
    name = "all images" if cell.group < 0 else data.groups[cell.group].name
    train = None if cell.train is None else cell.train._asdict()
    return {
        "method": cell.method,
        "subgroup": name,
        "status": cell.status,
        "test": cell.test._asdict(),
        "train": train,
    }


def _comparison(data: ImageData, found: Comparison) -> dict[str, Any]:
    return {
        "method": found.method,
        "subgroup": data.groups[found.group].name,
        **found.difference._asdict(),
        "adjusted_p_value": found.adjusted,
        "claimed": found.claimed,
    }


def _exposure(found: Exposure) -> dict[str, Any]:
    return {name: np.round(values, 6).tolist() for name, values in asdict(found).items()}


def tables(audit: Audit) -> dict[str, bytes]:
    """CSV files by name: accuracies, comparisons, exposure, and every test image with the networks that predict it rightly."""
    data, measured, settings = audit.data, audit.measured, audit.settings
    right = {
        method: correctness(data, settings, audit.runs, method, "test").mean(axis=0) for method in settings.methods
    }
    names = [group.name for group in data.groups]
    columns = ("weight", "pixels", "images", "unmixed")
    return {
        "accuracies.csv": _csv(
            ("method", "subgroup", "status", "test", "test_low", "test_high", "train", "train_low", "train_high"),
            (_accuracy_row(data, cell) for cell in (*measured.accuracies.values(), *measured.overall.values())),
        ),
        "comparisons.csv": _csv(
            ("method", "subgroup", "difference", "low", "high", "p_value", "adjusted_p_value", "claimed"),
            (
                (c.method, names[c.group], *c.difference, "" if c.adjusted is None else c.adjusted, c.claimed)
                for c in measured.comparisons
            ),
        ),
        "exposure.csv": _csv(
            ("method", "subgroup", *columns),
            (
                (method, names[g], *(getattr(found, column)[g] for column in columns))
                for method, found in audit.exposures.items()
                for g in range(len(names))
            ),
        ),
        "images.csv": _csv(
            ("filename", "label", "subgroup", *(f"right_{method}" for method in settings.methods)),
            (
                (
                    name,
                    data.classes[data.test.labels[i]],
                    names[data.test.groups[i]],
                    *(float(right[m][i]) for m in right),
                )
                for i, name in enumerate(data.test.names)
            ),
        ),
    }


def _accuracy_row(data: ImageData, cell: GroupAccuracy) -> tuple[Any, ...]:
    found = _accuracy(data, cell)
    return (cell.method, found["subgroup"], cell.status, *cell.test, *(cell.train or ("", "", "")))


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([f"{value:.6g}" if isinstance(value, float) else value for value in row] for row in rows)
    return stream.getvalue().encode()
