"""Which files, with which label, attributes and split: from a folder of class folders, or from a CSV."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from augscope.studies.audit.problems import Problems
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
        notes: what was done with the data that a reader should know.
    """

    entries: tuple[Entry, ...]
    attributes: tuple[str, ...]
    notes: list[str] = field(default_factory=list)


def read_listing(data: Path, *, root: Path | None, attributes: tuple[str, ...] | None, problems: Problems) -> Listing:
    """List the images of a folder or a CSV; what is wrong with single lines or files goes to `problems`.

    Args:
        data: a folder that holds a folder for each class (or `train`, `test` and perhaps `val` that do); files in folders below
            a class's have those as their attribute. Or a CSV with the columns filename, y, split and any attributes.
        root: folder that a CSV's file names are relative to; the CSV's own unless given.
        attributes: the CSV's columns to form subgroups by; all other than `id` and the three unless given.

    Raises:
        ValueError: if `data` is neither, or columns are missing.
    """
    check(data.exists(), f"`data` must be a folder or a CSV file, got {data}, which does not exist")
    if data.is_dir():
        check(root is None and attributes is None, f"`root` and `attributes` are for a CSV, got the folder {data}")
        return _of_folder(data, problems)
    check(data.suffix.lower() == ".csv", f"`data` must be a folder or a CSV file, got {data}")
    return _of_csv(data, root or data.parent, attributes, problems)


def _of_folder(folder: Path, problems: Problems) -> Listing:
    names = ("data_batch_1", "batches.meta", "cifar-10-batches-py/data_batch_1")
    check(
        not any((folder / name).is_file() for name in names),
        f"`data` must be a folder that holds a folder for each class, got {folder}, the Python version of CIFAR, whose "
        "pickles are not read, as reading them could run any code: write its images as files, from the binary version or "
        "from arrays that your own Python code has loaded",
    )
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    splits = {path.name for path in classes} & {"train", "val", "test"}
    divided = splits >= {"train", "test"}
    places = [(SPLITS[name], folder / name) for name in sorted(splits)] if divided else [(None, folder)]
    if divided:
        for stranger in (path for path in classes if path.name not in splits):
            problems.add("folders beside train and test that are no split", stranger.name)
    known, left_out, entries = Image.registered_extensions(), [], []
    for split, place in places:
        for path in _files(place, problems):
            name, parts = readable(str(path.relative_to(folder))), path.relative_to(place).parts
            if path.suffix.lower() not in known or len(parts) < 2:
                left_out.append(name)
                continue
            label, attribute = readable(parts[0]), readable("/".join(parts[1:-1]))
            entries.append(Entry(path, name, label, (attribute,), split))
    if not any(entry.attributes[0] for entry in entries):
        entries = [replace(entry, attributes=()) for entry in entries]
    if not entries:
        problems.add("no image in any class folder", str(folder))
    names = ("folder",) if entries and entries[0].attributes else ()
    notes = []
    if left_out:
        notes = [f"{len(left_out):,} files that are no images of a class are left out, {left_out[0]} among them"]
    return Listing(tuple(entries), names, notes)


def _files(folder: Path, problems: Problems, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """All files below a folder, sorted, hidden ones left out. Links are followed, but not back into a folder on the way."""
    way = above | {folder.resolve()}
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        problems.add("folders that cannot be read", f"{readable(str(folder))}: {str(error.strerror).lower()}")
        return
    for path in paths:
        if not path.is_dir():
            yield from [path] * path.is_file()
        elif path.resolve() not in way:
            yield from _files(path, problems, way)


def readable(name: str) -> str:
    """A file's name as text that can be written anywhere: bytes that are no UTF-8, which Python keeps as lone surrogates, escaped."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _of_csv(path: Path, root: Path, attributes: tuple[str, ...] | None, problems: Problems) -> Listing:
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
        rows = list(reader)
    except csv.Error as error:
        raise ValueError(f"`data` must be a CSV file, got {path}, line {reader.line_num}: {error}") from None
    names, notes = _attribute_columns(path, header, attributes)
    entries, seen = [], set()
    for line, row in enumerate(rows, start=2):
        wanted = [row.get(name) for name in (*COLUMNS, *names)]
        if None in row or None in wanted:  # `DictReader` puts fields beyond the header under None
            problems.add("rows with more or fewer fields than the header", f"row {line}")
            continue
        filename, label, split, *values = (str(value).strip() for value in wanted)
        place = f"row {line} ({filename or 'no file name'})"
        bad = _row_problem(filename, label, split, seen)
        seen.add(filename)
        if bad:
            problems.add(bad, place)
            continue
        entries.append(Entry(root / filename, filename, label, tuple(values), SPLITS[split.lower()]))
    if not rows:
        problems.add("no row", str(path))
    for index, name in enumerate(names):
        count = len({entry.attributes[index] for entry in entries})
        check(
            count <= MAX_VALUES,
            f"`attributes` must have at most {MAX_VALUES} values each, got {name} with {count:,}: name the columns to "
            "form subgroups by with --attributes",
        )
    return Listing(tuple(sorted(entries, key=lambda entry: entry.name)), names, notes)


def _row_problem(filename: str, label: str, split: str, seen: set[str]) -> str | None:
    if not filename or not label or not split:
        return "rows without a file name, a label or a split"
    if split.lower() not in SPLITS:
        return "rows whose split is not train, val, test, 0, 1 or 2"
    return "file names that occur twice" if filename in seen else None


def _attribute_columns(
    path: Path, header: list[str], wanted: tuple[str, ...] | None
) -> tuple[tuple[str, ...], list[str]]:
    missing = [name for name in (*COLUMNS, *(wanted or ())) if name not in header]
    other = "; its fields must be separated by commas" if len(header) == 1 and set(header[0]) & set(";\t|") else ""
    check(
        not missing,
        f"`data` must have the columns {', '.join((*COLUMNS, *(wanted or ())))}, got {path} without {', '.join(missing)}{other}",
    )
    check(len(set(header)) == len(header), f"`data` must have columns of different names, got {path} with {header}")
    if wanted is not None:
        taken = [name for name in wanted if name in COLUMNS]
        check(not taken, f"`attributes` must be other columns than {', '.join(COLUMNS)}, got {', '.join(taken)}")
        return wanted, []
    found = tuple(name for name in header if name and name not in (*COLUMNS, *NOT_ATTRIBUTES))
    ignored = [name for name in header if name in NOT_ATTRIBUTES]
    return found, [f"the column {', '.join(ignored)} is not taken for an attribute"] * bool(ignored)


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
    return replace(listing, entries=tuple(entries), notes=[*listing.notes, note])
