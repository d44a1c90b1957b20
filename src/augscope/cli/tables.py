"""Rows on a terminal, as CSV or as JSON."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from rich.text import Text

from augscope.cli.show import table
from augscope.cli.terminal import console
from augscope.support.extras import needs_extra
from augscope.support.plain_data import csv_text, plain

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from augscope.sweep.records import Records

MOST_ROWS = 200  # on a terminal; --csv and --json give all


def open_records(folder: Path) -> Records:
    """Return a sweep's records; parts that cannot be read are named on stderr."""
    with needs_extra("a sweep", "sweep"):
        from augscope.sweep.records import Records

    records = Records(folder)
    for name, reason in records.problems.items():
        print(f"augscope: {name} {reason}: left out", file=sys.stderr)
    return records


def print_table(rows: pa.Table, *, as_csv: bool, as_json: bool) -> None:
    """Print rows; numbers that are not finite are null in JSON; lists are JSON in CSV."""
    if as_json:
        print(json.dumps(plain(rows.to_pylist()), allow_nan=False))
    elif as_csv:
        lines = [[_csv_cell(value) for value in row.values()] for row in rows.to_pylist()]
        sys.stdout.write(csv_text(rows.column_names, lines))
    else:
        screen, shown = console(to_stderr=False), rows.slice(0, MOST_ROWS).to_pylist()
        screen.print(table(rows.column_names, [[*map(_cell, row.values())] for row in shown], numbers=False))
        if rows.num_rows > MOST_ROWS:
            screen.print(f"{MOST_ROWS} of {rows.num_rows:,} rows: --csv or --json prints all")


def print_columns(columns: dict[str, str], *, as_json: bool) -> None:
    """Print what can be asked for."""
    if as_json:
        print(json.dumps(columns))
    else:
        screen = console(to_stderr=False)
        screen.print(table(("column of `records`", "meaning"), columns.items(), numbers=False))


def _csv_cell(value: Any) -> Any:
    return json.dumps(plain(value)) if isinstance(value, (list, dict)) else value


def _cell(value: Any) -> Text:
    """A value as text, in which nothing is markup."""
    if isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, list):
        text = "[" + ", ".join(_cell(part).plain for part in value) + "]"
    else:
        text = "" if value is None else str(value)
    return Text(text, overflow="ellipsis")
