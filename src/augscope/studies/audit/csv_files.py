"""An audit's CSV files: accuracies, comparisons, exposure, and a row for each test image."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from augscope.studies.audit.result import Audit, accuracy_row, comparison_row
from augscope.studies.audit.subgroups import correctness
from augscope.support.plain_data import csv_text


def csv_files(audit: Audit) -> dict[str, bytes]:
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
        subgroup = accuracy_row(audit.study.data, cell)["subgroup"]
        rows.append((cell.method, subgroup, cell.status, *cell.test, *(cell.train or ("", "", ""))))
    return _csv(columns, rows)


def _comparisons_csv(audit: Audit) -> bytes:
    names = ("method", "subgroup", "estimate", "low", "high", "p_value", "adjusted_p_value", "claimed")
    rows = [comparison_row(audit.study.data, comparison) for comparison in audit.measured.comparisons]
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


def _images_csv(audit: Audit) -> bytes:
    data, settings = audit.study.data, audit.study.settings
    right = [correctness(audit.study, audit.runs, method, "test").mean(axis=0) for method in settings.methods]
    rows = (
        (name, data.classes[data.test.labels[i]], data.groups[data.test.groups[i]].name, *(share[i] for share in right))
        for i, name in enumerate(data.test.names)
    )
    return _csv(("filename", "label", "subgroup", *(f"right_{method}" for method in settings.methods)), rows)


def _csv(columns: tuple[str, ...], rows: Iterable[Iterable[Any]]) -> bytes:
    """Numbers have six digits; None is an empty cell."""
    cells = [[f"{value:.6g}" if isinstance(value, float) else value for value in row] for row in rows]
    return csv_text(columns, cells).encode()
