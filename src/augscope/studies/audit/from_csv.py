"""Images listed in a CSV, a file a row."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from augscope.studies.audit.entries import NOT_ATTRIBUTES, SPLITS, Entry, Listing, check_values
from augscope.studies.audit.problems import Problems
from augscope.studies.audit.settings import Reading
from augscope.support.files import check_no_pipe
from augscope.support.values import check

COLUMNS = ("filename", "y", "split")


def listing_of_csv(path: Path, reading: Reading, problems: Problems) -> Listing:
    """List the images of a CSV with the columns filename, y, split and any attributes. Raises ValueError if columns are missing."""
    header, rows = _csv_rows(path)
    attributes, notes = _attribute_columns(path, header, reading.attributes)
    entries, names, root = [], set(), reading.root or path.parent
    for line, row in enumerate(rows, start=2):
        cells = [row.get(column) for column in (*COLUMNS, *attributes)]
        if None in row or None in cells:  # `DictReader` puts fields beyond the header under None
            problems.add("rows with more or fewer fields than the header", f"row {line}")
            continue
        name, label, split, *values = (str(cell).strip() for cell in cells)
        kind = _row_problem(name, label, split, names)
        names.add(name)
        if kind is not None:
            problems.add(kind, f"row {line} ({name or 'no file name'})")
            continue
        entries.append(Entry(root / name, name, label, tuple(values), SPLITS[split.lower()]))
    if not rows:
        problems.add("no row", str(path))
    check_values(attributes, entries)
    return Listing(tuple(sorted(entries, key=lambda entry: entry.name)), attributes, notes)


def _csv_rows(path: Path) -> tuple[list[str], list[dict[str | None, Any]]]:
    """The header of a CSV and its rows by column. Raises ValueError if it is none."""
    try:
        check_no_pipe(path)
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"`data` must be a readable file, got {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"`data` must be a CSV in UTF-8, got {path}: {error}") from None
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        header = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = header
        return header, list(reader)
    except csv.Error as error:
        raise ValueError(f"`data` must be a CSV file, got {path}, line {reader.line_num}: {error}") from None


def _row_problem(name: str, label: str, split: str, names: set[str]) -> str | None:
    """What is wrong with a row, if anything; `names` are those of the rows above."""
    if not name or not label or not split:
        return "rows without a file name, a label or a split"
    if split.lower() not in SPLITS:
        return "rows whose split is not train, val, test, 0, 1 or 2"
    return "file names that occur twice" if name in names else None


def _attribute_columns(
    path: Path, header: list[str], chosen: tuple[str, ...] | None
) -> tuple[tuple[str, ...], list[str]]:
    """The columns that form subgroups, and a note on those that never do unless they are named."""
    needed = (*COLUMNS, *(chosen or ()))
    missing = ", ".join(name for name in needed if name not in header)
    other = "; its fields must be separated by commas" if len(header) == 1 and set(header[0]) & set(";\t|") else ""
    check(not missing, f"`data` must have the columns {', '.join(needed)}, got {path} without {missing}{other}")
    check(len(set(header)) == len(header), f"`data` must have columns of different names, got {path} with {header}")
    if chosen is not None:
        taken = ", ".join(name for name in chosen if name in COLUMNS)
        check(not taken, f"`attributes` must be other columns than {', '.join(COLUMNS)}, got {taken}")
        return chosen, []
    ignored = ", ".join(name for name in header if name in NOT_ATTRIBUTES)
    notes = [f"the column {ignored} is not taken for an attribute"] if ignored else []
    return tuple(name for name in header if name and name not in (*COLUMNS, *NOT_ATTRIBUTES)), notes
