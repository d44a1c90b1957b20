"""The images of an audit in memory, checked: everything that could spoil it shows before any training."""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from augscope.images.reading import READING_ERRORS, opened, reason, whole
from augscope.studies.audit.design import MAX_GROUPS, Group, GroupedImages, Members, grouped, natural_order
from augscope.studies.audit.entries import Entry, Listing, draw_splits
from augscope.studies.audit.from_arrays import Arrays
from augscope.studies.audit.listing import read_listing
from augscope.studies.audit.problems import Problems
from augscope.studies.audit.settings import SMALLEST, Reading
from augscope.support.values import check

GREY = ("1", "L", "I;16", "I;16B", "I;16L")  # modes that one channel holds
SHOWN_KINDS = 3  # sizes or modes in a sentence
REPORTED = 100  # images from one report of progress to the next
LARGEST_DEFAULT = 64  # pixels: larger images become as small unless a size is given, as time grows with the area


@dataclass(frozen=True)
class Split(Members):
    """The images of one split.

    Attributes:
        images: (n, C, size, size), uint8.
    """

    images: np.ndarray


@dataclass(frozen=True)
class ImageData(GroupedImages):
    """A data set ready for an audit."""

    train: Split
    test: Split
    stored: str  # what came in, in words: how many images, of which sizes and modes

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


class Form(NamedTuple):
    """What all images become: their side in pixels and their mode, "L" or "RGB"."""

    side: int
    mode: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one image: (C, side, side)."""
        return (1 if self.mode == "L" else 3, self.side, self.side)


def read_data(
    data: Path | Arrays, reading: Reading | None = None, progress: Callable[[str, float], None] | None = None
) -> ImageData:
    """Read and check all images. Images of a val split are left out: an audit chooses nothing by it.

    Args:
        data: as `read_listing` takes it.
        reading: how; by default as `Reading()` says.
        progress: called with what is read, and the share that is done.

    Raises:
        DataError: with every problem and the names of the files that have it.

    Cost: every file is decoded once; n · C · size² bytes of memory, of which at most half of what is free are taken.
    """
    reading = reading or Reading()
    problems = Problems("arrays" if isinstance(data, Arrays) else str(data))
    listing = draw_splits(read_listing(data, reading, problems), reading.test_share, reading.split_seed)
    used = [entry for entry in listing.entries if entry.split != "val"]
    _check_groups(used, problems)
    headers = _headers(used, problems)
    side, size_notes = _side(reading.size, headers.shapes)
    mode, mode_notes = _mode(headers.modes)
    form = Form(side, mode)
    if headers.readable:
        _check_memory(len(used), form)
    images = _pixels(used, form, headers.readable, problems, progress)
    problems.raise_if_any()
    return _assembled(listing, used, images, headers.words, [*size_notes, *mode_notes])


def _check_groups(entries: list[Entry], problems: Problems) -> None:
    """Labels must be in both splits, and the subgroups of the training split in the test split, which measures them."""
    labels = {split: {e.label for e in entries if e.split == split} for split in ("train", "test")}
    groups = {split: {Group(e.label, e.attributes) for e in entries if e.split == split} for split in ("train", "test")}
    classes = labels["train"] | labels["test"]
    if len(classes) == 1:
        problems.add("one class only: there is nothing to tell apart", classes.pop())
    for split, other in (("train", "test"), ("test", "train")):
        for label in sorted(labels[other] - labels[split]):
            problems.add(f"labels missing in the {split} split", f"{label} (in {other})")
    for group in sorted(groups["train"] - groups["test"], key=lambda group: group.name):
        if group.label in labels["test"]:
            problems.add("subgroups absent from the test split, where they would be measured", group.name)
    if len(groups["test"]) > MAX_GROUPS:
        problems.add(f"more than {MAX_GROUPS} subgroups: name fewer attributes", f"{len(groups['test']):,} subgroups")


class Headers(NamedTuple):
    """What the images' headers state.

    Attributes:
        shapes: number of images by (width, height).
        modes: number of images by Pillow's mode.
        readable: indices of those that can be opened.
    """

    shapes: Counter[tuple[int, int]]
    modes: Counter[str]
    readable: set[int]

    @property
    def words(self) -> str:
        """How many images of which sizes and modes there are."""
        shapes = [(f"{width}×{height} pixels", count) for (width, height), count in self.shapes.most_common()]
        modes = [(f"mode {mode}", count) for mode, count in self.modes.most_common()]
        return f"{self.shapes.total():,} images: {_counts(shapes)}; {_counts(modes)}"


def _counts(kinds: list[tuple[str, int]]) -> str:
    """Each kind with its number where there are several; the rarest only counted."""
    if len(kinds) == 1:
        return kinds[0][0]
    shown = ", ".join(f"{count:,} of {kind}" for kind, count in kinds[:SHOWN_KINDS])
    return shown if len(kinds) <= SHOWN_KINDS else f"{shown} and {len(kinds) - SHOWN_KINDS:,} other kinds"


def _headers(entries: list[Entry], problems: Problems) -> Headers:
    headers = Headers(Counter(), Counter(), set())
    for index, entry in enumerate(entries):
        source = entry.source
        if isinstance(source, Path) and not os.path.isfile(source):  # `Path.is_file` raises for a name that is too long
            problems.add("files that do not exist", entry.name)
            continue
        try:
            with opened(source) as image:
                headers.shapes[image.size] += 1
                headers.modes[image.mode] += 1
                headers.readable.add(index)
        except READING_ERRORS as error:
            problems.add("files that cannot be read as images", f"{entry.name}: {reason(error)}")
    return headers


def _side(size: int | None, shapes: Counter[tuple[int, int]]) -> tuple[int, list[str]]:
    """The side to scale to, and a note if that changes any image."""
    side = size or LARGEST_DEFAULT
    if size is None and len(shapes) == 1:
        width, height = next(iter(shapes))
        if width == height and SMALLEST <= width <= LARGEST_DEFAULT:
            side = width
    if set(shapes) <= {(side, side)}:
        return side, []
    ordered = sorted(shapes, key=lambda shape: shape[0] * shape[1])
    ends = [f"{width}×{height}" for width, height in (ordered if len(ordered) == 1 else (ordered[0], ordered[-1]))]
    note = f"the images, {' to '.join(ends)} pixels, are scaled to {side}×{side} (--size)"
    squeezed = sum(count for (width, height), count in shapes.items() if width != height)
    if squeezed:
        note += f"; {squeezed:,} that are no squares are squeezed into one"
    return side, [note]


def _mode(modes: Counter[str]) -> tuple[str, list[str]]:
    """One channel where all images are grey, else RGB; and a note if that changes any image."""
    mode = "L" if modes and set(modes) <= set(GREY) else "RGB"
    others = {name: count for name, count in sorted(modes.items()) if name != mode}
    if not others:
        return mode, []
    note = ", ".join(f"{count:,} of mode {name}" for name, count in others.items()) + f" are converted to {mode}"
    if any("A" in name for name in others):
        note += " (transparency is dropped)"
    return mode, [note]


def _check_memory(count: int, form: Form) -> None:
    needed, free = count * math.prod(form.shape), psutil.virtual_memory().available
    check(
        needed <= free / 2,
        f"`size` must leave the images in memory, got {form.side} for {count:,} images, which take "
        f"{needed / 2**30:.1f} GiB of {free / 2**30:.1f} that are free",
    )


def _pixels(
    entries: list[Entry],
    form: Form,
    readable: set[int],
    problems: Problems,
    progress: Callable[[str, float], None] | None,
) -> np.ndarray:
    """All images, (n, C, side, side); those that cannot be read are black, and a problem."""
    images = np.zeros((len(entries), *form.shape), np.uint8)
    for index, entry in enumerate(entries):
        if progress is not None and index % REPORTED == 0:
            progress(f"reading {len(entries):,} images", index / len(entries))
        if index not in readable:
            continue
        try:
            images[index] = whole(entry.source, form.side, form.mode)
        except READING_ERRORS as error:
            problems.add("files that cannot be read as images", f"{entry.name}: {reason(error)}")
    return images


def _assembled(listing: Listing, entries: list[Entry], images: np.ndarray, stored: str, notes: list[str]) -> ImageData:
    """The data set of the entries that are used; `notes` are those on the images' form."""
    classes = sorted({entry.label for entry in entries}, key=natural_order)
    groups, indices = grouped([Group(entry.label, entry.attributes) for entry in entries])
    label_indices = {label: index for index, label in enumerate(classes)}
    labels = np.array([label_indices[entry.label] for entry in entries])

    def split(name: str) -> Split:
        chosen = np.flatnonzero([entry.split == name for entry in entries])
        return Split(labels[chosen], indices[chosen], tuple(entries[i].name for i in chosen), images[chosen])

    train, test = split("train"), split("test")
    all_notes = [*listing.notes, *_left_out(listing), *notes, *equal_images(train, test), *unseen(groups, train)]
    return ImageData(tuple(classes), listing.attributes, groups, train, test, tuple(all_notes), listing.drawn, stored)


def _left_out(listing: Listing) -> list[str]:
    count = sum(entry.split == "val" for entry in listing.entries)
    if not count:
        return []
    return [f"the {count:,} images of the val split are left out: the audit chooses nothing by them"]


def equal_images(train: Split, test: Split) -> list[str]:
    """Return notes on images that are equal pixel for pixel, as they are trained on: test images that training holds too, which would pass
    for learned where they are memorised, and images with two labels, of which one is wrong."""
    first: dict[bytes, tuple[str, int]] = {}  # of equal images: name and label
    conflicts, copies = [], []
    for split in (train, test):
        known = set(first)
        for image, name, label in zip(split.images, split.names, split.labels.tolist(), strict=True):
            digest = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
            other, its_label = first.setdefault(digest, (name, label))
            if digest in known:
                copies.append(f"{name} = {other}")
            if its_label != label:
                conflicts.append(f"{name} = {other}")
    kinds = {
        "test images are in the training split too": copies,
        "images are equal to one with another label": conflicts,
    }
    return [f"{len(pairs):,} {kind}, pixel for pixel: {pairs[0]} among them" for kind, pairs in kinds.items() if pairs]


def unseen(groups: tuple[Group, ...], train: Members) -> list[str]:
    """Return a note on the subgroups that no training image is of, if there are any."""
    absent = [groups[g].name for g in np.flatnonzero(train.counts(len(groups)) == 0)]
    return [f"no training image is of the subgroup {', '.join(absent)}"] if absent else []
