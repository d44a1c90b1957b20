"""A table of predictions as pyarrow reads it, from a file or from Python, and its columns as NumPy arrays."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from augscope.studies.audit.design import Design, Runs
from augscope.support.files import check_no_pipe
from augscope.support.values import check

PREDICTED = "predicted"
INDEX = "__index_level_"  # columns that pandas adds for the numbers of rows


class Coded(NamedTuple):
    """A column of texts: the index of each row's, (N,), and the texts in the order of their first rows."""

    codes: np.ndarray
    values: tuple[str, ...]


def read_table(table: Any) -> tuple[pa.Table, str]:
    """Return a table and what messages call it.

    Args:
        table: path of a CSV or Parquet file; or columns by name, a data frame, or what else `pyarrow.table` takes.

    Raises:
        ValueError: if it is none, or two columns have one name.
    """
    path = Path(table) if isinstance(table, (str, os.PathLike)) else None
    name = f"a {type(table).__name__}" if path is None else f"the file {path}"
    known = path is None or path.suffix.lower() in (".csv", ".parquet")
    check(known, f"`predictions` must be a file .csv or .parquet, got {path}")
    try:
        read = pa.table(table) if path is None else _of_file(path)
    except (OSError, TypeError, ValueError, csv.Error, pa.ArrowException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"`predictions` must be a table that can be read, got {name}: {reason}") from None
    names = [column for column in read.column_names if not column.startswith(INDEX)]
    check(len(set(names)) == len(names), f"`predictions` must have columns of different names, got {name} with {names}")
    return read.select(names), name


def _of_file(path: Path) -> pa.Table:
    check_no_pipe(path)
    if path.suffix.lower() == ".parquet":
        with path.open("rb") as stream:
            return parquet.ParquetFile(stream).read()
    with path.open(encoding="utf-8-sig", newline="") as stream:
        header = next(csv.reader(stream), [])
    return arrow_csv.read_csv(
        path,
        read_options=arrow_csv.ReadOptions(column_names=[name.strip() for name in header], skip_rows=1),
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            column_types={name.strip(): pa.string() for name in header}, strings_can_be_null=False
        ),
    )


def texts(column: pa.ChunkedArray) -> Coded:
    """Return a column as texts without spaces at their ends; whole numbers have no point, and what is missing is empty.

    Raises:
        ValueError: if it holds anything else than texts and numbers.
    """
    try:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_floating(column.type) and np.array_equal(values := _floats(column), np.trunc(values)):
            column = column.cast(pa.int64())
        words = pc.fill_null(pc.call_function("utf8_trim_whitespace", [column.cast(pa.string())]), "")
    except pa.ArrowException:
        raise ValueError(f"it must hold texts or numbers, got {column.type}") from None
    coded = pa.chunked_array([words.combine_chunks()]).combine_chunks().dictionary_encode()
    return Coded(coded.indices.to_numpy(zero_copy_only=False).astype(np.int64), tuple(coded.dictionary.to_pylist()))


def numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Return a column as float64, NaN where it holds no number."""
    try:
        return _floats(column.cast(pa.float64()))
    except pa.ArrowException:
        return np.array([_number(value) for value in column.to_pylist()], float)


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    return column.to_numpy().astype(float)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def predictions_file(design: Design, runs: Runs) -> bytes:
    """Return what networks predict as a Parquet file that `read_table` takes, so that an audit can be compared with other trainings."""
    tables = [
        pa.table(
            {
                "method": pa.array([method] * len(split)),
                "seed": pa.array([seed] * len(split), pa.int64()),
                "image": split.names,
                "y": _classes(design, split.labels),
                "split": [name] * len(split),
                PREDICTED: _classes(design, getattr(runs[method, seed], name)),
                **{
                    column: [design.data.groups[group].attributes[index] for group in split.groups]
                    for index, column in enumerate(design.data.attributes)
                },
            }
        )
        for method in design.methods
        for seed in design.seeds
        for name, split in (("train", design.data.train), ("test", design.data.test))
    ]
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.concat_tables(tables), sink)
    return sink.getvalue().to_pybytes()


def _classes(design: Design, indices: np.ndarray) -> list[str]:
    return [design.data.classes[index] for index in indices]
