"""Predictions of trainings that the user made, checked: everything that is wrong with their table is listed together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from augscope.studies.audit.calibration import Probabilities
from augscope.studies.audit.dataset import unseen
from augscope.studies.audit.design import (
    MAX_GROUPS,
    Answers,
    Design,
    Group,
    GroupedImages,
    Members,
    grouped,
    method_order,
    natural_order,
    read_pairs,
)
from augscope.studies.audit.problems import Problems
from augscope.studies.audit.settings import REFERENCE
from augscope.studies.audit.table_file import PREDICTED, read_table
from augscope.studies.audit.table_rows import Columns, Rows, column_uses, read_rows

LARGEST_HOLE = 10  # methods × seeds × images over rows: beyond it, what is missing is not listed one by one


@dataclass(frozen=True)
class Predictions:
    """What a table holds: the design, what each network answers, and its probabilities where they are given."""

    design: Design
    runs: dict[tuple[str, int], Answers]
    probabilities: Probabilities

    @property
    def identity(self) -> str:
        """SHA-256 of all that decides the result."""
        design, data = self.design, self.design.data
        parts = (
            design.methods,
            design.seeds,
            design.pairs,
            data.classes,
            data.groups,
            data.train.names,
            data.test.names,
        )
        digest = hashlib.sha256(repr(parts).encode())
        arrays = [array for split in (data.train, data.test) for array in (split.labels, split.groups)]
        arrays += [array for answers in self.runs.values() for array in (answers.train, answers.test)]
        for array in (*arrays, *self.probabilities.values()):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def read_predictions(
    table: Any, attributes: tuple[str, ...] | None, reference: str | None, pairs: Sequence[str] = ()
) -> Predictions:
    """Read and check a table; arguments as for `compare`.

    Raises:
        ValueError: if it is no table or lacks columns.
        DataError: with every other problem.
    """
    read, source = read_table(table)
    columns = column_uses(read.column_names, source, attributes)
    problems = Problems(source, "predictions", "a comparison")
    rows = read_rows(read, columns, problems)
    del read
    is_val = rows.splits() == "val"
    notes = [f"{is_val.sum():,} rows of the val split are left out: nothing is chosen by them"] if is_val.any() else []
    rows = rows.where(np.flatnonzero(~is_val))
    methods = _methods(rows, reference, problems)
    data = _images(rows, columns, notes, problems)
    places = _places(rows, methods, problems)
    problems.raise_if_any()
    seeds = tuple(np.unique(rows.seeds).astype(int).tolist())
    design = Design(data, methods, seeds, methods[0], read_pairs(pairs, methods, methods[0]))
    return _assembled(rows, design, places)


def _methods(rows: Rows, reference: str | None, problems: Problems) -> tuple[str, ...]:
    """The methods: the reference first, then ours in our order, then others."""
    column = rows.coded["method"]
    names = [column.values[code] for code in np.unique(column.codes)]
    first = reference or (names[0] if len(names) == 1 else REFERENCE)
    if names and first not in names:
        kind = "the method that the others are compared with is not there: name another (--reference)"
        problems.add(kind, f"{first} is not among {', '.join(names)}")
    return tuple(sorted(names, key=lambda name: (name != first, method_order(name))))


def _images(rows: Rows, columns: Columns, notes: list[str], problems: Problems) -> GroupedImages:
    """The images in subgroups, in the order of their first rows."""
    _, first = np.unique(rows.coded["image"].codes, return_index=True)

    def words(name: str) -> list[str]:
        column = rows.coded[name]
        return [column.values[code] for code in column.codes[first]]

    labels, names, splits = words("y"), words("image"), rows.splits()[first]
    answers = columns.classes if columns.prefix else rows.coded[PREDICTED].values
    classes = tuple(sorted({*labels, *answers}, key=natural_order))
    values = zip(*map(words, columns.attributes), strict=True) if columns.attributes else [()] * len(labels)
    groups, indices = grouped([Group(label, value) for label, value in zip(labels, values, strict=True)])
    truth = np.array([classes.index(label) for label in labels], int)

    def split(name: str) -> Members:
        chosen = np.flatnonzero(splits == name)
        return Members(truth[chosen], indices[chosen], tuple(names[i] for i in chosen))

    train, test = split("train"), split("test")
    absent = "there are no rows of the train split, so that what is only memorised cannot be told"
    notes = [*notes, *(unseen(groups, train) if len(train) else [absent])]
    data = GroupedImages(classes, columns.attributes, groups, train, test, tuple(notes), drawn=False)
    _check_images(data, problems)
    return data


def _check_images(data: GroupedImages, problems: Problems) -> None:
    if not len(data.test):
        problems.add("no row of the test split", f"{len(data.train):,} images of the train split")
        return
    if len(data.classes) == 1:
        problems.add("one class only: there is nothing to tell apart", data.classes[0])
    for index in np.flatnonzero(data.test.counts(len(data.groups)) == 0):
        problems.add("subgroups absent from the test split, where they would be measured", data.groups[index].name)
    if len(data.groups) > MAX_GROUPS:
        problems.add(f"more than {MAX_GROUPS} subgroups: name fewer attributes", f"{len(data.groups):,} subgroups")


def _places(rows: Rows, methods: tuple[str, ...], problems: Problems) -> np.ndarray:
    """The row of each method, seed and image, (M, S, I), images in the order of their first rows; missing ones are a problem."""
    column, names = rows.coded["method"], rows.coded["image"]
    images = np.unique(names.codes, return_inverse=True)[1]
    seeds, seed_codes = np.unique(rows.seeds, return_inverse=True)
    order = {name: index for index, name in enumerate(methods)}
    method_codes = np.array([order.get(value, 0) for value in column.values])[column.codes]
    shape = (len(methods), len(seeds), int(images.max(initial=-1)) + 1)
    if np.prod(shape, dtype=float) > LARGEST_HOLE * len(images):
        kind = "every method needs a training from every seed, with a row for every image"
        sizes = f"{shape[0]:,} methods, {shape[1]:,} seeds and {shape[2]:,} images, but {len(images):,} rows"
        problems.add(kind, sizes)
        return np.zeros((0, 0, 0), int)
    places = np.full(shape, -1)
    places[method_codes, seed_codes, images] = np.arange(len(images))
    for m, s in np.argwhere((places < 0).any(axis=2)).tolist():
        absent = np.flatnonzero(places[m, s] < 0)
        name = names.values[names.codes[places[:, :, absent[0]].max()]]
        example = f"{methods[m]}, seed {seeds[s]:g}: {len(absent):,} of {shape[2]:,}, {name} among them"
        problems.add("images missing for a method and seed", example)
    return places


def _assembled(rows: Rows, design: Design, places: np.ndarray) -> Predictions:
    """The answers by method and seed; `places` as from `_places`."""
    data, splits = design.data, rows.splits()[places[0, 0]]
    if rows.probabilities is None:
        known = {name: index for index, name in enumerate(data.classes)}
        column = rows.coded[PREDICTED]
        answers = np.array([known[value] for value in column.values])[column.codes]
    else:
        answers = rows.probabilities.argmax(axis=1)
    runs = {
        (method, seed): Answers(*(answers[places[m, s, splits == name]] for name in ("train", "test")))
        for m, method in enumerate(design.methods)
        for s, seed in enumerate(design.seeds)
    }
    if rows.probabilities is None:
        return Predictions(design, runs, {})
    tested = places[:, :, splits == "test"]
    return Predictions(design, runs, {method: rows.probabilities[tested[m]] for m, method in enumerate(design.methods)})
