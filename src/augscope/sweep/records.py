"""A sweep's records, for reading: SQL over its Parquet parts through DuckDB, as tables, data frames or arrays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from augscope.support.values import check
from augscope.sweep.folder import SweepFolder
from augscope.sweep.schema import SCHEMA
from augscope.training.measure_table import measures_of
from augscope.training.measures import History

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

ATTEMPTS = 5  # at a query: a running sweep may merge parts just before they are read
_PER_STEP = [row.name for row in measures_of(History)[1:] if row.shape in (("R",), ("R", "2", "K"))]


class Records:
    """The records of a sweep's folder, while it runs or after.

    Two views can be queried. `records` has a row a cell: every column of the schema (`Records.columns`) and the grids' free
    parameters by name. `trajectories` has a row a recorded step: cell, seed, method, step, and the measures of `History`
    that are one number or (2, K): one a label and feature. Lists count from 1, as in SQL.

    Attributes:
        folder: the sweep's folder.
        problems: why Parquet files there are no records, by name; they are left out.

    Raises:
        ValueError: if the folder is not a sweep's.
    """

    def __init__(self, folder: Path | str) -> None:
        self._sweep = SweepFolder(folder)
        self._sweep.check_exists()
        self.folder = self._sweep.path
        self.problems = {path.name: reason for path, reason in self._sweep.parts.look().problems.items()}

    @property
    def columns(self) -> dict[str, str]:
        """What every column of `records` means, by name."""
        meanings = {column.name: column.metadata[b"description"].decode() for column in SCHEMA}
        return {**meanings, **dict.fromkeys(self._parameters(), "free parameter of a grid")}

    @property
    def title(self) -> str:
        """The newest grid's title."""
        grids = self._sweep.grids()
        return grids[-1].title if grids else ""

    @property
    def labels(self) -> dict[str, str]:
        """The grids' labels of columns, parameters and expressions, for pictures."""
        return {name: label for sweep in self._sweep.grids() for name, label in sweep.labels.items()}

    def query(self, sql: str) -> pa.Table:
        """Return the rows of a SELECT statement. Raises ValueError, with DuckDB's message, if it is not one or fails.

        Cost: 10⁵ records in well under a second where few columns are asked for (benchmarks/sweep_records.py).
        """
        _check_select(sql)
        for attempt in range(ATTEMPTS):
            try:
                with self._connection() as connection:
                    return connection.sql(sql).to_arrow_table()
            except duckdb.IOException as error:
                if attempt == ATTEMPTS - 1:
                    raise ValueError(f"`sql` could not be read: {error}") from None
            except duckdb.Error as error:
                raise ValueError(f"`sql` must be a valid query: {str(error).splitlines()[0]}") from None
        raise AssertionError("unreachable")

    def to_pandas(self, sql: str = "SELECT * EXCLUDE (history) FROM records") -> pd.DataFrame:
        """Return a query's rows as a data frame; by default all records without their trajectories.

        Raises:
            ValueError: if pandas is not installed, or as `query` does.
        """
        _check_installed("pandas")
        return self.query(sql).to_pandas()

    def to_xarray(self, *dims: str, where: str = "true") -> xr.Dataset:
        """Return the measures that are single numbers, as arrays over columns such as "dim", "method", "seed".

        Args:
            dims: columns that together identify a record.
            where: which records, as an SQL condition.

        Raises:
            ValueError: if xarray or pandas is not installed, or two records have equal `dims`.
        """
        _check_installed("xarray")
        check(len(dims) >= 1, "`dims` must name at least one column, got none")
        frame = self.to_pandas(f"SELECT * EXCLUDE (history) FROM records WHERE {where}")
        missing = [name for name in dims if name not in frame.columns]
        check(not missing, f"`dims` must be columns of `records`, got {', '.join(missing)}")
        frame = frame.set_index(list(dims))
        repeated = frame.index[frame.index.duplicated()]
        first = repeated[0] if len(repeated) else None
        check(not len(repeated), f"`dims` must tell records apart: several have {', '.join(dims)} = {first}")
        return frame.select_dtypes(["number", "bool"]).to_xarray()

    def _parameters(self) -> list[str]:
        names: dict[str, None] = {}
        for path in self._sweep.grid_files():
            names |= dict.fromkeys(pq.read_schema(path).names[1:])
        return list(names)

    def _connection(self) -> duckdb.DuckDBPyConnection:
        """A database with both views."""
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        parts = [str(path) for path in self._sweep.parts.look().live]
        if parts:
            connection.read_parquet(parts).create_view("parts")
        else:
            connection.register("parts", SCHEMA.empty_table())
        names = self._parameters()
        if names:
            grids = [str(path) for path in self._sweep.grid_files()]
            connection.read_parquet(grids, union_by_name=True).create_view("grids")
            largest = ", ".join(f'max("{name}") AS "{name}"' for name in names)
            connection.execute(f"CREATE VIEW parameters AS SELECT cell, {largest} FROM grids GROUP BY cell")
            connection.execute("CREATE VIEW records AS SELECT * FROM parts LEFT JOIN parameters USING (cell)")
        else:
            connection.execute("CREATE VIEW records AS SELECT * FROM parts")
        unnested = ", ".join(f"unnest(history.{name}) AS {name}" for name in _PER_STEP)
        connection.execute(
            f"CREATE VIEW trajectories AS SELECT cell, seed, method, unnest(history.steps) AS step, {unnested} FROM parts"
        )
        return connection


def _check_select(sql: str) -> None:
    """Raise ValueError unless the text is one SELECT statement: queries never write."""
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise ValueError(f"`sql` must be a valid query: {str(error).splitlines()[0]}") from None
    selects = len(statements) == 1 and statements[0].type == duckdb.StatementType.SELECT
    check(selects, f"`sql` must be one SELECT statement, got {sql!r}")


def _check_installed(name: str) -> None:
    try:
        __import__("pandas")
        __import__(name)
    except ImportError:
        raise ValueError(f"{name} and pandas must be installed for this: pip install {name} pandas") from None
