"""A finished audit as one value, and as tables for programs: CSV and a record for JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from augscope.studies.audit.dataset import ImageData
from augscope.studies.audit.exposure import Exposure, exposure
from augscope.studies.audit.recommendation import Words, put_in_words
from augscope.studies.audit.settings import Settings
from augscope.studies.audit.study import Runs
from augscope.studies.audit.subgroups import Comparison, GroupAccuracy, Measured, correctness, measure
from augscope.support.plain_data import csv_text


@dataclass(frozen=True)
class Audit:
    """Everything that an audit shows.

    Attributes:
        data, settings, runs: what was trained on, how, and what each network predicts.
        measured: accuracies and comparisons.
        exposures: by method.
        words: the result in sentences.
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
        "exposure": {method: _exposure(shares) for method, shares in audit.exposures.items()},
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
    return {
        "method": cell.method,
        "subgroup": "all images" if cell.group < 0 else data.groups[cell.group].name,
        "status": cell.status,
        "test": cell.test._asdict(),
        "train": None if cell.train is None else cell.train._asdict(),
    }


def _comparison(data: ImageData, comparison: Comparison) -> dict[str, Any]:
    return {
        "method": comparison.method,
        "subgroup": data.groups[comparison.group].name,
        **comparison.difference._asdict(),
        "adjusted_p_value": comparison.adjusted,
        "claimed": comparison.claimed,
    }


def _exposure(shares: Exposure) -> dict[str, Any]:
    return {name: np.round(values, 6).tolist() for name, values in asdict(shares).items()}


def tables(audit: Audit) -> dict[str, bytes]:
    """The result as CSV files; `images.csv` has a row for each test image, with the share of networks that predict it rightly."""
    return {
        "accuracies.csv": _accuracies_csv(audit),
        "comparisons.csv": _comparisons_csv(audit),
        "exposure.csv": _exposure_csv(audit),
        "images.csv": _images_csv(audit),
    }


def _accuracies_csv(audit: Audit) -> bytes:
    columns = ("method", "subgroup", "status", "test", "test_low", "test_high", "train", "train_low", "train_high")
    rows = []
    for cell in (*audit.measured.accuracies.values(), *audit.measured.overall.values()):
        subgroup = _accuracy(audit.data, cell)["subgroup"]
        rows.append((cell.method, subgroup, cell.status, *cell.test, *(cell.train or ("", "", ""))))
    return _csv(columns, rows)


def _comparisons_csv(audit: Audit) -> bytes:
    columns = ("method", "subgroup", "difference", "low", "high", "p_value", "adjusted_p_value", "claimed")
    return _csv(columns, (_comparison(audit.data, comparison).values() for comparison in audit.measured.comparisons))


def _exposure_csv(audit: Audit) -> bytes:
    columns = ("weight", "pixels", "images", "unmixed")
    rows = (
        (method, group.name, *(getattr(shares, column)[index] for column in columns))
        for method, shares in audit.exposures.items()
        for index, group in enumerate(audit.data.groups)
    )
    return _csv(("method", "subgroup", *columns), rows)


def _images_csv(audit: Audit) -> bytes:
    data, settings = audit.data, audit.settings
    right = [correctness(data, settings, audit.runs, method, "test").mean(axis=0) for method in settings.methods]
    rows = (
        (name, data.classes[data.test.labels[i]], data.groups[data.test.groups[i]].name, *(share[i] for share in right))
        for i, name in enumerate(data.test.names)
    )
    return _csv(("filename", "label", "subgroup", *(f"right_{method}" for method in settings.methods)), rows)


def _csv(columns: tuple[str, ...], rows: Iterable[Iterable[Any]]) -> bytes:
    """Numbers have six digits; None is an empty cell."""
    cells = [[f"{value:.6g}" if isinstance(value, float) else value for value in row] for row in rows]
    return csv_text(columns, cells).encode()
