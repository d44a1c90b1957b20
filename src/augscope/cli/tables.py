"""Rows on a terminal, as CSV or as JSON; and how far a sweep is."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from augscope.cli.show import console
from augscope.support.plain import plain

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from augscope.sweep.folder import Progress as SweepProgress
    from augscope.sweep.records import Records

LINE_SECONDS = 5.0  # between two lines without a terminal
MOST_ROWS = 200  # on a terminal; --csv and --json give all


def open_records(folder: Path) -> Records:
    """Return a sweep's records; parts that cannot be read are named on stderr."""
    from augscope.sweep.records import Records

    records = Records(folder)
    for name, reason in records.problems.items():
        print(f"augscope: records/{name} {reason}: left out", file=sys.stderr)
    return records


@contextmanager
def sweep_progress() -> Iterator[Callable[[SweepProgress], None]]:
    """Yield a callback for a sweep's progress: a bar on a terminal's stderr, else a line every five seconds."""
    screen = Console(stderr=True, highlight=False)
    if not screen.is_terminal:
        yield _plain_lines()
        return
    with Progress(BarColumn(), TextColumn("{task.description}"), console=screen, transient=True) as bar:
        task = bar.add_task("starting", total=1)
        yield lambda found: bar.update(task, description=str(found), completed=found.done, total=max(1, found.total))


def _plain_lines() -> Callable[[SweepProgress], None]:
    told = -math.inf

    def tell(found: SweepProgress) -> None:
        nonlocal told
        if time.monotonic() - told >= LINE_SECONDS:
            told = time.monotonic()
            print(found, file=sys.stderr, flush=True)

    return tell


def print_table(rows: pa.Table, *, as_csv: bool, as_json: bool) -> None:
    """Print rows; numbers that are not finite are null in JSON."""
    if as_json:
        print(json.dumps(plain(rows.to_pylist()), allow_nan=False))
        return
    if as_csv:
        _print_csv(rows)
        return
    shown = Table(*rows.column_names, box=None, pad_edge=False)
    for row in rows.slice(0, MOST_ROWS).to_pylist():
        shown.add_row(*map(_cell, row.values()))
    screen = console(to_stderr=False)
    screen.print(shown)
    if rows.num_rows > MOST_ROWS:
        screen.print(f"{MOST_ROWS} of {rows.num_rows:,} rows: --csv or --json prints all")


def _print_csv(rows: pa.Table) -> None:
    """Lists as JSON, the rest as it is."""
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(rows.column_names)
    for row in rows.to_pylist():
        writer.writerow(
            [json.dumps(plain(value)) if isinstance(value, (list, dict)) else value for value in row.values()]
        )


def print_columns(columns: dict[str, str], *, as_json: bool) -> None:
    """Print what can be asked for."""
    if as_json:
        print(json.dumps(columns))
        return
    shown = Table("column of `records`", "meaning", box=None, pad_edge=False)
    for name, meaning in columns.items():
        shown.add_row(name, meaning)
    console(to_stderr=False).print(shown, markup=False)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_cell, value)) + "]"
    return "" if value is None else str(value)
