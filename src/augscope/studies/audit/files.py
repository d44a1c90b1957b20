"""All that an audit, or a comparison of trainings that the user made, writes into its folder."""

from __future__ import annotations

from json import dumps
from typing import Any

from augscope.studies.audit.csv_files import csv_files
from augscope.studies.audit.figure import pictures
from augscope.studies.audit.page import comparison_page, html_page
from augscope.studies.audit.result import Audit, Result, record
from augscope.studies.audit.table_file import predictions_file
from augscope.support.command_line import NextStep

_BOTH = ("record.json", "report.html", "accuracies.svg", "accuracies.png", "accuracies.csv")
FILES = (*_BOTH, "comparisons.csv", "confusions.csv", "exposure.csv", "images.csv", "predictions.parquet")
COMPARISON_FILES = (*_BOTH, "calibration.csv", "comparisons.csv", "confusions.csv", "images.csv")


def report_files(result: Audit, again: str = "", next_step: NextStep | None = None) -> dict[str, bytes]:
    """Return the files of `FILES`; arguments as for `html_page`."""
    drawn = pictures(result.design, result.measured)
    return {
        "record.json": dumps(record(result), allow_nan=False).encode(),
        **drawn,
        **csv_files(result),
        "predictions.parquet": predictions_file(result.design, result.runs),
        "report.html": html_page(result, drawn["accuracies.svg"], again, next_step).encode(),
    }


def comparison_files(result: Result, written: dict[str, Any], again: str, identity: str) -> dict[str, bytes]:
    """Return the files of `COMPARISON_FILES`, with what `comparison_record` wrote down; other arguments as for `comparison_page`."""
    drawn = pictures(result.design, result.measured)
    return {
        "record.json": dumps(written, allow_nan=False).encode(),
        **drawn,
        **csv_files(result),
        "report.html": comparison_page(result, drawn["accuracies.svg"], again, identity).encode(),
    }
