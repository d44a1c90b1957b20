"""The images of a data set before they are read: where each is, its label, attributes and split, whatever the data came as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from augscope.images.reading import Source
from augscope.support.values import check

SPLITS = {  # 0, 1, 2: SubpopBench; validation: Hugging Face
    "train": "train", "val": "val", "validation": "val", "test": "test", "0": "train", "1": "val", "2": "test",
}  # fmt: skip
NOT_ATTRIBUTES = ("id",)  # SubpopBench numbers its rows
MAX_VALUES = 50  # of an attribute: above, it is a number or a name, and every group would be tiny


@dataclass(frozen=True)
class Entry:
    """One image: its file, bytes or pixels, and its name, label, attributes and split ("train", "val", "test", or None: to be drawn)."""

    source: Source
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


def check_values(attributes: Sequence[str], entries: Sequence[Entry]) -> None:
    """Raise ValueError if an attribute has more than `MAX_VALUES` values."""
    for index, column in enumerate(attributes):
        count = len({entry.attributes[index] for entry in entries})
        check(
            count <= MAX_VALUES,
            f"`attributes` must have at most {MAX_VALUES} values each, got {column} with {count:,}: name the columns to "
            "form subgroups by with --attributes",
        )


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
