"""`augscope query`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from augscope.cli.kinds import Json


def query(
    folder: Path,
    sql: str | None = None,
    /,
    *,
    csv: Annotated[bool, Parameter(name="--csv", negative="")] = False,
    json: Json = False,
) -> int:
    """Ask the records of a sweep in SQL; without a question, list the columns.

    Parameters
    ----------
    folder
        The sweep's folder; it may still be running.
    sql
        A SELECT statement over `records` (a row a cell) or `trajectories` (a row a recorded step).
    csv
        Print CSV.
    json
        Print JSON, a list of rows.
    """
    from augscope.cli import tables

    records = tables.open_records(folder)
    if sql is None:
        tables.print_columns(records.columns, as_json=json)
    else:
        tables.print_table(records.query(sql), as_csv=csv, as_json=json)
    return 0
