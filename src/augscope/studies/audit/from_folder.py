"""Images in folders, one for each class."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from PIL import Image

from augscope.studies.audit.entries import Entry, Listing
from augscope.studies.audit.problems import Problems
from augscope.support.values import check


def listing_of_folder(folder: Path, problems: Problems) -> Listing:
    """List the images of a folder that holds a folder for each class, or train, test and perhaps val that do. Raises ValueError on pickles."""
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
