"""All that an audit writes into its folder."""

from __future__ import annotations

from json import dumps

from augscope.studies.audit.csv_files import csv_files
from augscope.studies.audit.figure import pictures
from augscope.studies.audit.page import html_page
from augscope.studies.audit.result import Audit, record
from augscope.studies.audit.table_file import predictions_file
from augscope.support.command_line import NextStep

FILES = (
    "record.json",
    "report.html",
    "accuracies.svg",
    "accuracies.png",
    "accuracies.csv",
    "comparisons.csv",
    "confusions.csv",
    "exposure.csv",
    "images.csv",
    "predictions.parquet",
)


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
