"""DuckDB over given Parquet files and nothing else: no other file, no network, no extension, and Ctrl-C ends a query.

The only place where a name or a path becomes SQL.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa

from augscope.support.values import check, check_utf8

INTERRUPT_SECONDS = 0.1  # between two interrupts: one that comes before the query has started is lost


@contextmanager
def database(files: Sequence[Path]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a database in memory that can read these files alone; what does not fit into memory goes to a temporary folder."""
    # A changed configuration is refused once it is locked; what is set before the start is there before the first statement.
    options = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    with TemporaryDirectory() as spill, duckdb.connect(config={**options, "temp_directory": spill}) as connection:
        connection.execute(f"SET allowed_paths = [{', '.join(map(_literal, map(str, files)))}]")
        for setting in (
            "enable_external_access = false",
            "python_enable_replacements = false",  # a Python variable is no table
            "TimeZone = 'UTC'",
            "lock_configuration = true",
        ):
            connection.execute(f"SET {setting}")
        yield connection


def identifier(name: str) -> str:
    """Return a name as SQL reads it, whatever characters it holds.

    Example:
        >>> print(identifier('x"; DROP'))
        "x""; DROP"
    """
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def check_select(sql: str) -> None:
    """Raise ValueError unless the text is one SELECT statement: queries never write."""
    check_utf8("sql", sql, "text")
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise ValueError(f"`sql` must be a valid query: {first_line(error)}") from None
    selects = len(statements) == 1 and statements[0].type == duckdb.StatementType.SELECT
    check(selects, f"`sql` must be one SELECT statement, got {sql!r}")


def rows_of(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    """Return a query's rows, columns of one name told apart; KeyboardInterrupt stops the query. Raises duckdb.Error."""
    with ThreadPoolExecutor(1) as thread:  # this thread waits, and so hears Ctrl-C
        running = thread.submit(lambda: connection.sql(sql).to_arrow_table())
        try:
            table = running.result()
        except KeyboardInterrupt:
            while not running.done():
                connection.interrupt()
                wait([running], INTERRUPT_SECONDS)
            raise
    return table.rename_columns(_apart(table.column_names))


def _apart(names: Sequence[str]) -> list[str]:
    """Names with a number behind each that came before: a, a_2."""
    apart: list[str] = []
    for name in names:
        free, count = name, 1
        while free in apart:
            count += 1
            free = f"{name}_{count}"
        apart.append(free)
    return apart


def first_line(error: Exception) -> str:
    """Return the first line of a message of DuckDB's; the others draw the query."""
    return str(error).partition("\n")[0]
