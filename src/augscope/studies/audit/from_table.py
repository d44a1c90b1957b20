"""Images with columns of labels, splits and attributes, from Python or Parquet, as a listing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from augscope.images.reading import Source
from augscope.studies.audit.entries import SPLITS, Entry, Listing, check_values
from augscope.studies.audit.problems import Problems
from augscope.studies.audit.table_file import Coded


class Table(NamedTuple):
    """n images and their columns; `splits` None: to be drawn. A source that is None is a problem that is noted already."""

    sources: Sequence[Source | None]
    names: Sequence[str]
    labels: Coded
    splits: Coded | None
    attributes: dict[str, Coded]


def listing_of_table(table: Table, problems: Problems, notes: Sequence[str] = ()) -> Listing:
    """List the images by name; rows without a label or a known split are problems."""
    labels, attributes = _rows(table.labels), list(zip(*map(_rows, table.attributes.values()), strict=True))
    entries = []
    for index, (source, name) in enumerate(zip(table.sources, table.names, strict=True)):
        split = None if table.splits is None else table.splits.values[table.splits.codes[index]]
        known = split is None or split.lower() in SPLITS
        if not labels[index]:
            problems.add("images without a label", name)
        if not known:
            problems.add("splits that are not train, val, test, 0, 1 or 2", f"{name}: {split or '(none)'}")
        if source is not None and labels[index] and known:
            values = attributes[index] if attributes else ()
            entries.append(Entry(source, name, labels[index], values, None if split is None else SPLITS[split.lower()]))
    if not table.names:
        problems.add("no image", problems.source)
    check_values(tuple(table.attributes), entries)
    return Listing(tuple(sorted(entries, key=lambda entry: entry.name)), tuple(table.attributes), list(notes))


def _rows(column: Coded) -> list[str]:
    return [column.values[code] for code in column.codes]
