"""Which files, with which label, attributes and split: from a folder of class folders, or from a CSV."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from augscope.studies.audit.problems import Problems
from augscope.studies.audit.settings import Reading
from augscope.support.values import check

SPLITS = {"train": "train", "val": "val", "test": "test", "0": "train", "1": "val", "2": "test"}  # 0, 1, 2: SubpopBench
COLUMNS = ("filename", "y", "split")
NOT_ATTRIBUTES = ("id",)  # SubpopBench numbers its rows
MAX_VALUES = 50  # of an attribute: above, it is a number or a name, and every group would be tiny


@dataclass(frozen=True)
class Entry:
    """One image: its file, and its name, label, attributes and split ("train", "val", "test", or None: to be drawn)."""

    path: Path
    name: str
    label: str
    attributes: tuple[str, ...]
    split: str | None


@dataclass(frozen=True)
class Listing:
    """All images of a data set.

    Attributes:
        entries: sorted by name.
        attributes: names of the attribute columns.
        notes: what a reader should know of how the data was read.
        drawn: whether `draw_splits` chose the test images.
    """

    entries: tuple[Entry, ...]
    attributes: tuple[str, ...]
    notes: list[str] = field(default_factory=list)
    drawn: bool = False


def read_listing(data: Path, reading: Reading, problems: Problems) -> Listing:
    """List the images of a folder or a CSV; what is wrong with single lines or files goes to `problems`.

    Args:
        data: a folder that holds a folder for each class (or `train`, `test` and perhaps `val` that do); files in folders below
            a class's have those as their attribute. Or a CSV with the columns filename, y, split and any attributes.
        reading: its `root` and `attributes` are for a CSV.
        problems: of the whole data set.

    Raises:
        ValueError: if `data` is neither, or columns are missing.
    """
    check(data.exists(), f"`data` must be a folder or a CSV file, got {data}, which does not exist")
    if data.is_dir():
        for_csv = reading.root is not None or reading.attributes is not None
        check(not for_csv, f"`root` and `attributes` are for a CSV, got the folder {data}")
        return _of_folder(data, problems)
    check(data.suffix.lower() == ".csv", f"`data` must be a folder or a CSV file, got {data}")
    return _of_csv(data, reading, problems)


def _of_folder(folder: Path, problems: Problems) -> Listing:
    names = ("data_batch_1", "batches.meta", "cifar-10-batches-py/data_batch_1")
    check(
        not any((folder / name).is_file() for name in names),
        f"`data` must be a folder that holds a folder for each class, got {folder}, the Python version of CIFAR, whose "
        "pickles are not read, as reading them could run any code: write its images as files, from the binary version or "
        "from arrays that your own Python code has loaded",
    )
    parts = _split_folders(folder, problems)
    known, left_out, entries = Image.registered_extensions(), [], []
    for split, part in parts:
        for path in _files(part, problems):
            name = readable(str(path.relative_to(folder)))
            folders = path.relative_to(part).parts[:-1]
            if path.suffix.lower() not in known or not folders:
                left_out.append(name)
                continue
            entries.append(Entry(path, name, readable(folders[0]), (readable("/".join(folders[1:])),), split))
    if not entries:
        problems.add("no image in any class folder", str(folder))
    notes = []
    if left_out:
        notes = [f"{len(left_out):,} files that are no images of a class are left out, {left_out[0]} among them"]
    if any(entry.attributes[0] for entry in entries):
        return Listing(tuple(entries), ("folder",), notes)
    return Listing(tuple(replace(entry, attributes=()) for entry in entries), (), notes)


def _split_folders(folder: Path, problems: Problems) -> list[tuple[str | None, Path]]:
    """The splits and their folders, which hold the classes; without train and test, the folder itself, with None."""
    names = {path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")}
    if not names >= {"train", "test"}:
        return [(None, folder)]
    for name in sorted(names - {"train", "val", "test"}):
        problems.add("folders beside train and test that are no split", name)
    return [(name, folder / name) for name in sorted(names & {"train", "val", "test"})]


def _files(folder: Path, problems: Problems, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """All files below a folder, sorted, hidden ones left out. Links are followed, but not back into a folder on the way."""
    open_folders = above | {folder.resolve()}
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        problems.add("folders that cannot be read", f"{readable(str(folder))}: {str(error.strerror).lower()}")
        return
    for path in paths:
        if path.is_file():
            yield path
        elif path.is_dir() and path.resolve() not in open_folders:
            yield from _files(path, problems, open_folders)


def readable(name: str) -> str:
    """A file's name as text that can be written anywhere: bytes that are no UTF-8, which Python keeps as lone surrogates, escaped."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _of_csv(path: Path, reading: Reading, problems: Problems) -> Listing:
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
    for index, column in enumerate(attributes):
        count = len({entry.attributes[index] for entry in entries})
        check(
            count <= MAX_VALUES,
            f"`attributes` must have at most {MAX_VALUES} values each, got {column} with {count:,}: name the columns to "
            "form subgroups by with --attributes",
        )
    return Listing(tuple(sorted(entries, key=lambda entry: entry.name)), attributes, notes)


def _csv_rows(path: Path) -> tuple[list[str], list[dict[str | None, Any]]]:
    """The header of a CSV and its rows by column. Raises ValueError if it is none."""
    try:
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


def draw_splits(listing: Listing, test_share: float, seed: int) -> Listing:
    """Give every image whose split is open one, at random within each label and attributes.

    Of a group of m ≥ 2 images, `test_share` × m rounded, but at least one and at most m − 1, go to test.
    """
    open_groups: dict[tuple[str, ...], list[int]] = {}
    for index, entry in enumerate(listing.entries):
        if entry.split is None:
            open_groups.setdefault((entry.label, *entry.attributes), []).append(index)
    if not open_groups:
        return listing
    check(0 < test_share < 1, f"`test_share` must be between 0 and 1, got {test_share}")
    generator, entries = np.random.default_rng(seed), list(listing.entries)
    for _, members in sorted(open_groups.items()):
        count = min(max(1, round(test_share * len(members))), len(members) - 1)
        chosen = set(generator.permutation(members)[:count].tolist())
        for index in members:
            entries[index] = replace(entries[index], split="test" if index in chosen else "train")
    drawn = sum(entry.split == "test" for entry in entries)
    note = f"{drawn:,} of {len(entries):,} images are drawn for testing, the same share of every subgroup (seed {seed})"
    return replace(listing, entries=tuple(entries), notes=[*listing.notes, note], drawn=True)
