"""The images of an audit in memory, checked: everything that could spoil it is found before any training."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from augscope.images.reading import READING_ERRORS, opened, reason, whole
from augscope.studies.audit.listing import Entry, Listing, draw_splits, read_listing
from augscope.studies.audit.problems import Problems
from augscope.support.values import check

GREY = ("1", "L", "I;16", "I;16B", "I;16L")  # modes that one channel holds
LARGEST_DEFAULT = (
    64  # pixels: larger images are scaled down to it unless a size is given, since time grows with the area
)
SMALLEST, LARGEST = 8, 1024  # sides in pixels that may be asked for
MAX_GROUPS = 60


@dataclass(frozen=True)
class Group:
    """A subgroup: a label and the values of the attributes."""

    label: str
    attributes: tuple[str, ...]

    @property
    def name(self) -> str:
        """As people read it."""
        return " · ".join((self.label, *(value or "(none)" for value in self.attributes)))


@dataclass(frozen=True)
class Split:
    """The images of one split.

    Attributes:
        images: (n, C, size, size), uint8.
        labels: (n,), index into the classes.
        groups: (n,), index into the groups.
        names: of the files.
    """

    images: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def counts(self, num_groups: int) -> np.ndarray:
        """Images of each group, (G,)."""
        return np.bincount(self.groups, minlength=num_groups)


@dataclass(frozen=True)
class ImageData:
    """A data set ready for an audit.

    Attributes:
        classes: labels, sorted.
        attributes: names of the attributes.
        groups: all subgroups that the test split holds, sorted.
        train, test: the splits.
        notes: what was done with the data that a reader should know.
    """

    classes: tuple[str, ...]
    attributes: tuple[str, ...]
    groups: tuple[Group, ...]
    train: Split
    test: Split
    notes: tuple[str, ...]

    @property
    def channels(self) -> int:
        """1 or 3."""
        return self.train.images.shape[1]

    @property
    def size(self) -> int:
        """The side of the images in pixels."""
        return self.train.images.shape[2]

    @property
    def digest(self) -> str:
        """SHA-256 of all that a training or a measure sees."""
        digest = hashlib.sha256(repr((self.classes, self.groups)).encode())
        for split in (self.train, self.test):
            for array in (split.images, split.labels, split.groups):
                digest.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def read_data(
    data: Path,
    *,
    root: Path | None = None,
    attributes: tuple[str, ...] | None = None,
    size: int | None = None,
    test_share: float = 0.25,
    seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> ImageData:
    """Read and check all images. Images of a val split are left out: an audit chooses nothing by it.

    Args:
        data, root, attributes: as `read_listing` takes them.
        size: side in pixels to which every image is scaled; the images' own where all are squares of one size up to 64, else 64.
        test_share: of each subgroup, where the data has no splits.
        seed: of that draw.
        progress: told what is read, and the share that is done.

    Raises:
        DataError: with every problem and the names of the files that have it.

    Cost: every file is decoded once; n · C · size² bytes of memory, of which at most half of what is free are taken.
    """
    check(size is None or SMALLEST <= size <= LARGEST, f"`size` must be in [{SMALLEST}, {LARGEST}], got {size}")
    problems = Problems(str(data))
    listing = draw_splits(read_listing(data, root=root, attributes=attributes, problems=problems), test_share, seed)
    used = [entry for entry in listing.entries if entry.split != "val"]
    _check_groups(used, problems)
    shapes, modes, unreadable = _headers(used, problems)
    side, notes = _side(size, shapes)
    mode, said = _mode(modes)
    notes = [*listing.notes, *_left_out(listing), *notes, *said]
    if shapes:
        _check_memory(len(used), 1 if mode == "L" else 3, side)
    images = _pixels(used, side, mode, unreadable, problems, progress or (lambda what, share: None))
    problems.raise_if_any()
    return _assembled(listing, used, images, notes)


def _check_groups(entries: list[Entry], problems: Problems) -> None:
    """Labels and subgroups must be there where they are trained on and where they are measured."""
    labels = {split: {e.label for e in entries if e.split == split} for split in ("train", "test")}
    groups = {split: {Group(e.label, e.attributes) for e in entries if e.split == split} for split in ("train", "test")}
    found = labels["train"] | labels["test"]
    if len(found) == 1:
        problems.add("one class only: there is nothing to tell apart", next(iter(found)))
    for split, other in (("train", "test"), ("test", "train")):
        for label in sorted(labels[other] - labels[split]):
            problems.add(f"labels missing in the {split} split", f"{label} (in {other})")
    for group in sorted(groups["train"] - groups["test"], key=lambda group: group.name):
        if group.label in labels["test"]:
            problems.add("subgroups absent from the test split, where they would be measured", group.name)
    if len(groups["test"]) > MAX_GROUPS:
        problems.add(f"more than {MAX_GROUPS} subgroups: name fewer attributes", f"{len(groups['test']):,} subgroups")


def _headers(entries: list[Entry], problems: Problems) -> tuple[Counter[tuple[int, int]], Counter[str], set[Path]]:
    """Sizes and modes of all files that can be opened, and those that cannot."""
    unreadable: set[Path] = set()
    shapes: Counter[tuple[int, int]] = Counter()
    modes: Counter[str] = Counter()
    for entry in entries:
        if not os.path.isfile(entry.path):  # `Path.is_file` raises for a name that is too long
            problems.add("files that do not exist", entry.name)
            unreadable.add(entry.path)
            continue
        try:
            with opened(entry.path) as image:
                shapes[image.size] += 1
                modes[image.mode] += 1
        except READING_ERRORS as error:
            problems.add("files that cannot be read as images", f"{entry.name}: {reason(error)}")
            unreadable.add(entry.path)
    return shapes, modes, unreadable


def _side(size: int | None, shapes: Counter[tuple[int, int]]) -> tuple[int, list[str]]:
    """The side to scale to, and what is to be said of it."""
    alike = len(shapes) == 1 and next(iter(shapes))[0] == next(iter(shapes))[1]
    own = next(iter(shapes))[0] if alike else 0
    side = size or (own if SMALLEST <= own <= LARGEST_DEFAULT else LARGEST_DEFAULT)
    if not shapes or set(shapes) == {(side, side)}:
        return side, []
    low, high = min(shapes, key=lambda s: s[0] * s[1]), max(shapes, key=lambda s: s[0] * s[1])
    sizes = f"{low[0]}×{low[1]}" + (f" to {high[0]}×{high[1]}" if len(shapes) > 1 else "")
    squeezed = sum(count for (width, height), count in shapes.items() if width != height)
    note = f"the images, {sizes} pixels, are scaled to {side}×{side} (--size)"
    return side, [note + f"; {squeezed:,} that are no squares are squeezed into one" * (squeezed > 0)]


def _mode(modes: Counter[str]) -> tuple[str, list[str]]:
    """One channel where all images are grey, else RGB; and what is to be said of it."""
    mode = "L" if modes and set(modes) <= set(GREY) else "RGB"
    others = {name: count for name, count in modes.items() if name != mode}
    if not others:
        return mode, []
    listed = ", ".join(f"{count:,} of mode {name}" for name, count in sorted(others.items()))
    return mode, [f"{listed} are converted to {mode}" + " (transparency is dropped)" * any("A" in m for m in others)]


def _left_out(listing: Listing) -> list[str]:
    count = sum(entry.split == "val" for entry in listing.entries)
    return [f"the {count:,} images of the val split are left out: the audit chooses nothing by them"] * (count > 0)


def _check_memory(count: int, channels: int, side: int) -> None:
    needed, free = count * channels * side**2, psutil.virtual_memory().available
    check(
        needed <= free / 2,
        f"`size` must leave the images in memory, got {side} for {count:,} images, which take {needed / 2**30:.1f} GiB "
        f"of {free / 2**30:.1f} that are free",
    )


def _pixels(
    entries: list[Entry],
    side: int,
    mode: str,
    unreadable: set[Path],
    problems: Problems,
    progress: Callable[[str, float], None],
) -> np.ndarray:
    """All images, (n, C, side, side); those that cannot be read are black, and a problem."""
    images = np.zeros((len(entries), 1 if mode == "L" else 3, side, side), np.uint8)
    for index, entry in enumerate(entries):
        progress(f"reading {len(entries):,} images", index / len(entries))
        if entry.path in unreadable:
            continue
        try:
            images[index] = whole(entry.path, side, mode)
        except READING_ERRORS as error:
            problems.add("files that cannot be read as images", f"{entry.name}: {reason(error)}")
    return images


def _assembled(listing: Listing, entries: list[Entry], images: np.ndarray, notes: list[str]) -> ImageData:
    classes = tuple(sorted({entry.label for entry in entries}, key=_natural))
    groups = sorted(
        {Group(entry.label, entry.attributes) for entry in entries},
        key=lambda group: tuple(map(_natural, (group.label, *group.attributes))),
    )
    labels = np.array([classes.index(entry.label) for entry in entries])
    places = {group: index for index, group in enumerate(groups)}
    members = np.array([places[Group(entry.label, entry.attributes)] for entry in entries])

    def split(name: str) -> Split:
        chosen = np.flatnonzero([entry.split == name for entry in entries])
        return Split(images[chosen], labels[chosen], members[chosen], tuple(entries[i].name for i in chosen))

    train, test = split("train"), split("test")
    notes = [*notes, *_twins(train, test), *_unseen(groups, train)]
    return ImageData(classes, listing.attributes, tuple(groups), train, test, tuple(notes))


def _twins(train: Split, test: Split) -> list[str]:
    """Test images that training holds pixel for pixel: they would pass for learned where they are memorised."""
    known = {image.tobytes(): name for image, name in zip(train.images, train.names, strict=True)}
    twins = [
        f"{name} = {known[image.tobytes()]}"
        for image, name in zip(test.images, test.names, strict=True)
        if image.tobytes() in known
    ]
    if not twins:
        return []
    return [f"{len(twins):,} test images are in the training split too, pixel for pixel: {twins[0]} among them"]


def _unseen(groups: list[Group], train: Split) -> list[str]:
    absent = [groups[g].name for g in np.flatnonzero(train.counts(len(groups)) == 0)]
    return [f"no training image is of the subgroup {', '.join(absent)}"] * bool(absent)


def _natural(text: str) -> tuple[int, int, str]:
    """Whole numbers by size, then words."""
    try:
        return (0, int(text), text)
    except ValueError:
        return (1, 0, text)
