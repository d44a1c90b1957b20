"""A result's CSV files: accuracies, comparisons, confusions, what else is known, and a row for each test image."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from augscope.studies.audit.result import Audit, Result, accuracy_row, comparison_row, group_name
from augscope.studies.audit.subgroups import correctness
from augscope.support.plain_data import csv_text


def csv_files(result: Result) -> dict[str, bytes]:
    """The result as CSV files; `images.csv` has a row for each test image, with the share of networks that predict it rightly."""
    files = {
        "accuracies.csv": _accuracies_csv(result),
        "comparisons.csv": _comparisons_csv(result),
        "confusions.csv": _confusions_csv(result),
        "images.csv": _images_csv(result),
    }
    if isinstance(result, Audit):
        files["exposure.csv"] = _exposure_csv(result)
    if result.calibrations:
        files["calibration.csv"] = _calibration_csv(result)
    return files


def _accuracies_csv(result: Result) -> bytes:
    columns = ("method", "subgroup", "status", "test", "test_low", "test_high", "train", "train_low", "train_high")
    rows = []
    for cell in (*result.measured.accuracies.values(), *result.measured.overall.values()):
        subgroup = accuracy_row(result.design.data, cell)["subgroup"]
        rows.append((cell.method, subgroup, cell.status, *cell.test, *(cell.train or ("", "", ""))))
    return _csv(columns, rows)


def _comparisons_csv(result: Result) -> bytes:
    names = ("method", "baseline", "subgroup", "estimate", "low", "high", "p_value", "adjusted_p_value", "claimed")
    rows = [comparison_row(result.design.data, comparison) for comparison in result.measured.comparisons]
    columns = tuple("difference" if name == "estimate" else name for name in names)
    return _csv(columns, ([row[name] for name in names] for row in rows))


def _exposure_csv(audit: Audit) -> bytes:
    columns = ("weight", "pixels", "images", "unmixed")
    rows = (
        (method, group.name, *(getattr(shares, column)[index] for column in columns))
        for method, shares in audit.exposures.items()
        for index, group in enumerate(audit.study.data.groups)
    )
    return _csv(("method", "subgroup", *columns), rows)


def _images_csv(result: Result) -> bytes:
    design, data = result.design, result.design.data
    right = [correctness(design, result.runs, method, "test").mean(axis=0) for method in design.methods]
    rows = (
        (name, data.classes[data.test.labels[i]], data.groups[data.test.groups[i]].name, *(share[i] for share in right))
        for i, name in enumerate(data.test.names)
    )
    return _csv(("filename", "label", "subgroup", *(f"right_{method}" for method in design.methods)), rows)


def _confusions_csv(result: Result) -> bytes:
    data = result.design.data
    rows = (
        (method, data.groups[group].name, data.classes[index], answers)
        for method, counts in result.measured.confusions.items()
        for group, row in enumerate(counts)
        for index, answers in enumerate(row)
    )
    return _csv(("method", "subgroup", "predicted", "answers"), rows)


def _calibration_csv(result: Result) -> bytes:
    rows = [
        (method, group_name(result.design.data, group), *calibration.brier, calibration.log_loss, calibration.error)
        for (method, group), calibration in result.calibrations.items()
    ]
    return _csv(("method", "subgroup", "brier", "brier_low", "brier_high", "log_loss", "error"), rows)


def _csv(columns: tuple[str, ...], rows: Iterable[Iterable[Any]]) -> bytes:
    """Numbers have six digits; None is an empty cell."""
    cells = [[f"{value:.6g}" if isinstance(value, float) else value for value in row] for row in rows]
    return csv_text(columns, cells).encode()
