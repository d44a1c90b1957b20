"""A sweep's records, for reading: SQL over its Parquet parts through DuckDB, as tables, data frames or arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from augscope.support.shown import check_installed
from augscope.support.values import check
from augscope.sweep.database import check_select, database, first_line, identifier, rows_of
from augscope.sweep.folder import SweepFolder
from augscope.sweep.grid import Sweep
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
        problems: why Parquet files there are not read, by name in the folder.

    Raises:
        ValueError: if the folder is not a sweep's, or cannot be read.

    Cost: the first reading of a part hashes it, which shows a changed byte; that is remembered in the folder.
    """

    def __init__(self, folder: Path | str) -> None:
        self._sweep = SweepFolder(folder)
        self._sweep.check_exists()
        self.folder = self._sweep.path
        with self._readable():
            problems = {**self._sweep.contents().problems, **self._sweep.grid_contents().problems}
        self.problems = {str(path.relative_to(self.folder)): reason for path, reason in problems.items()}

    @property
    def columns(self) -> dict[str, str]:
        """What every column of `records` means, by name."""
        meanings = {column.name: column.metadata[b"description"].decode() for column in SCHEMA}
        parameters = [name for sweep in self.grids for name in sweep.parameters]
        return {**meanings, **dict.fromkeys(parameters, "free parameter of a grid")}

    @property
    def grids(self) -> list[Sweep]:
        """The grids that were swept, oldest first."""
        return self._sweep.grids()

    @property
    def title(self) -> str:
        """The newest grid's title."""
        grids = self.grids
        return grids[-1].title if grids else ""

    @property
    def labels(self) -> dict[str, str]:
        """The grids' labels of columns, parameters and expressions, for pictures."""
        return {name: label for sweep in self.grids for name, label in sweep.labels.items()}

    def query(self, sql: str) -> pa.Table:
        """Return the rows of a SELECT statement; of columns of one name, the second is called name_2.

        The query reads this folder's records alone: no other file, no network, no Python variable. Ctrl-C interrupts it.

        Raises:
            ValueError: with DuckDB's message, if it is not one statement, fails, or asks for anything else.

        Cost: 10⁵ records in well under a second where few columns are asked for (benchmarks/sweep_records.py).
        """
        check_select(sql)
        for attempt in range(ATTEMPTS):
            try:
                with self._connection() as connection:
                    return rows_of(connection, sql)
            except duckdb.IOException as error:
                if attempt == ATTEMPTS - 1:
                    raise ValueError(f"`sql` could not be read: {first_line(error)}") from None
            except duckdb.PermissionException as error:
                raise ValueError(f"`sql` must ask the records and no other file: {first_line(error)}") from None
            except duckdb.Error as error:
                raise ValueError(f"`sql` must be a valid query: {first_line(error)}") from None
        raise AssertionError("unreachable")

    def to_pandas(self, sql: str = "SELECT * EXCLUDE (history) FROM records") -> pd.DataFrame:
        """Return a query's rows as a data frame; by default all records without their trajectories.

        Raises:
            ValueError: if pandas is not installed, or as `query` does.
        """
        check_installed("pandas")
        return self.query(sql).to_pandas()

    def to_xarray(self, *dims: str, where: str = "true") -> xr.Dataset:
        """Return the measures that are single numbers, as arrays over columns such as "dim", "method", "seed".

        Args:
            dims: columns that together identify a record.
            where: which records, as an SQL condition.

        Raises:
            ValueError: if xarray or pandas is not installed, two records have equal `dims`, or one is null: a population's seed.
        """
        check_installed("xarray", "pandas")
        check(len(dims) >= 1, "`dims` must name at least one column, got none")
        frame = self.to_pandas(f"SELECT * EXCLUDE (history) FROM records WHERE {where}")
        missing = [name for name in dims if name not in frame.columns]
        check(not missing, f"`dims` must be columns of `records`, got {', '.join(missing)}")
        empty = [name for name in dims if bool(frame[name].hasnans)]
        check(not empty, f"`dims` must have a value in every record: {', '.join(empty)} is null in some")
        frame = frame.set_index(list(dims))
        repeated = frame.index[frame.index.duplicated()]
        first = repeated[0] if len(repeated) else None
        check(not len(repeated), f"`dims` must tell records apart: several have {', '.join(dims)} = {first}")
        return frame.select_dtypes(["number", "bool"]).to_xarray()

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Raise ValueError in place of OSError."""
        try:
            yield
        except OSError as error:
            place = error.filename or self.folder
            raise ValueError(f"`folder` must be readable, got {place}: {error.strerror}") from None

    @contextmanager
    def _connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A database with both views, over the files that are records and grids."""
        with self._readable():
            parts, grids = self._sweep.contents().live, self._sweep.grid_contents().live
        names = list(dict.fromkeys(name for grid in grids for name in grid.sweep.parameters))
        part_files, grid_files = _canonical(parts), _canonical([grid.path for grid in grids])
        with database([*part_files, *grid_files]) as connection:
            if parts:
                connection.read_parquet(list(map(str, part_files))).create_view("parts")
            else:
                connection.register("parts", SCHEMA.empty_table())
            if names:
                connection.read_parquet(list(map(str, grid_files)), union_by_name=True).create_view("grids")
                largest = ", ".join(f"max({identifier(name)}) AS {identifier(name)}" for name in names)
                connection.execute(f"CREATE VIEW parameters AS SELECT cell, {largest} FROM grids GROUP BY cell")
                connection.execute("CREATE VIEW records AS SELECT * FROM parts LEFT JOIN parameters USING (cell)")
            else:
                connection.execute("CREATE VIEW records AS SELECT * FROM parts")
            unnested = ", ".join(f"unnest(history.{name}) AS {name}" for name in _PER_STEP)
            columns = f"cell, seed, method, unnest(history.steps) AS step, {unnested}"
            connection.execute(f"CREATE VIEW trajectories AS SELECT {columns} FROM parts")
            yield connection


def _canonical(paths: Sequence[Path]) -> list[Path]:
    """Paths as the database compares them: from the root, without links to their folder."""
    return [path.parent.resolve() / path.name for path in paths]
