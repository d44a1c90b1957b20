"""Predictions of trainings that the user made, checked: everything that is wrong with their table is listed together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from augscope.images.plan import METHODS
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
    natural_order,
)
from augscope.studies.audit.listing import MAX_VALUES, NOT_ATTRIBUTES, SPLITS
from augscope.studies.audit.problems import Problems
from augscope.studies.audit.settings import REFERENCE
from augscope.studies.audit.table_file import PREDICTED, Coded, numbers, read_table, texts
from augscope.support.values import check

COLUMNS = ("method", "seed", "image", "y", "split")
PROBABILITY, LOGIT = "prob_", "logit_"
SUM_TOLERANCE = 1e-3  # of probabilities: what four digits or half precision leave of a sum of 1
LARGEST_HOLE = 10  # methods × seeds × images over rows: beyond it, what is missing is not listed one by one


@dataclass(frozen=True)
class Predictions:
    """What a table holds: the design, what each network answers, its probabilities where given, and a digest of it all."""

    design: Design
    runs: dict[tuple[str, int], Answers]
    probabilities: Probabilities

    @property
    def identity(self) -> str:
        """SHA-256 of all that decides the result."""
        design, data = self.design, self.design.data
        digest = hashlib.sha256(
            repr((design.methods, design.seeds, design.reference, data.classes, data.groups)).encode()
        )
        arrays = [array for split in (data.train, data.test) for array in (split.labels, split.groups)]
        arrays += [array for answers in self.runs.values() for array in (answers.train, answers.test)]
        for array in (*arrays, *self.probabilities.values()):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


class Columns(NamedTuple):
    """The names of a table's columns by their use; either `predicted` or two or more classes."""

    attributes: tuple[str, ...]
    prefix: str | None
    classes: tuple[str, ...]


class Rows(NamedTuple):
    """A table's rows, in arrays: `coded` by column, seeds (N,), probabilities (N, K) or None."""

    coded: dict[str, Coded]
    seeds: np.ndarray
    probabilities: np.ndarray | None

    def place(self, row: int) -> str:
        """Which row, as people find it again."""
        method, image = (self.coded[name].values[self.coded[name].codes[row]] for name in ("method", "image"))
        return f"{method or '(no method)'}, seed {self.seeds[row]:g}, image {image or '(no name)'}"

    def where(self, rows: np.ndarray) -> Rows:
        """Those rows alone."""
        coded = {name: Coded(column.codes[rows], column.values) for name, column in self.coded.items()}
        return Rows(coded, self.seeds[rows], None if self.probabilities is None else self.probabilities[rows])


def read_predictions(table: Any, attributes: tuple[str, ...] | None, reference: str | None) -> Predictions:
    """Read and check a table; arguments as for `compare`.

    Raises:
        ValueError: if it is no table or lacks columns.
        DataError: with every other problem.
    """
    read, source = read_table(table)
    columns = _columns(read.column_names, source, attributes)
    problems = Problems(source, "predictions", "a comparison")
    rows = _rows(read, columns, problems)
    del read
    _check_rows(rows, problems)
    problems.raise_if_any()
    is_val = np.array([SPLITS[value.lower()] == "val" for value in rows.coded["split"].values])[
        rows.coded["split"].codes
    ]
    rows = rows.where(np.flatnonzero(~is_val))
    notes = [f"{is_val.sum():,} rows of the val split are left out: nothing is chosen by them"] if is_val.any() else []
    return _assembled(rows, columns, reference, notes, problems)


def _columns(names: list[str], source: str, chosen: tuple[str, ...] | None) -> Columns:
    prefixes = [prefix for prefix in (PROBABILITY, LOGIT) if any(name.startswith(prefix) for name in names)]
    answers = [*([PREDICTED] if PREDICTED in names else []), *prefixes]
    missing = [name for name in (*COLUMNS, *(chosen or ())) if name not in names]
    classes = tuple(name.removeprefix(answers[0]) for name in names if prefixes and name.startswith(answers[0]))
    if len(answers) != 1:
        missing.append("exactly one of predicted, prob_… and logit_…")
    elif prefixes and len(classes) < 2:
        missing.append(f"a column {answers[0]}… for each of two or more classes")
    check(
        not missing,
        f"`predictions` must have the columns {', '.join((*COLUMNS, *(chosen or ())))}, and either predicted or one a class, named "
        f"by its label (prob_0, prob_1, … or logit_0, logit_1, …), got {source} with {', '.join(names) or 'no column'}: "
        f"there must be {' and '.join(missing)}",
    )
    taken = [name for name in chosen or () if name in (*COLUMNS, PREDICTED)]
    check(not taken, f"`attributes` must be other columns than {', '.join(COLUMNS)}, got {', '.join(taken)}")
    others = [name for name in names if name not in (*COLUMNS, *NOT_ATTRIBUTES, PREDICTED, "")]
    rest = tuple(name for name in others if not (prefixes and name.startswith(answers[0])))
    ordered = tuple(sorted(classes, key=natural_order))
    return Columns(rest if chosen is None else chosen, prefixes[0] if prefixes else None, ordered)


def _rows(table: pa.Table, columns: Columns, problems: Problems) -> Rows:
    coded = {}
    answered = () if columns.prefix else (PREDICTED,)
    for name in ("method", "image", "y", "split", *columns.attributes, *answered):
        try:
            coded[name] = texts(table[name])
        except ValueError as error:
            problems.add("columns of another kind", f"{name}: {error}")
    problems.raise_if_any()
    for name in columns.attributes:
        count = len(coded[name].values)
        if count > MAX_VALUES:
            problems.add(
                f"attributes of more than {MAX_VALUES} values: name others (--attributes)", f"{name}: {count:,}"
            )
    rows = Rows(coded, numbers(table["seed"]), None)
    if columns.prefix is None:
        return rows
    values = np.column_stack([numbers(table[f"{columns.prefix}{name}"]) for name in columns.classes])
    unknown = set(coded["y"].values) - {*columns.classes, ""}
    for label in sorted(unknown, key=natural_order):
        problems.add(f"labels without a column {columns.prefix}…, which are of {', '.join(columns.classes)}", label)
    _note(
        problems,
        f"rows with a {columns.prefix}… that is missing, NaN or infinite",
        rows,
        ~np.isfinite(values).all(axis=1),
    )
    return rows._replace(probabilities=_probabilities(values, columns, rows, problems))


def _probabilities(values: np.ndarray, columns: Columns, rows: Rows, problems: Problems) -> np.ndarray:
    if columns.prefix == LOGIT:
        with np.errstate(invalid="ignore"):  # of infinite ones, which are a problem already
            powers = np.exp(values - values.max(axis=1, keepdims=True))
            return powers / powers.sum(axis=1, keepdims=True)
    outside = (values < 0) | (values > 1 + SUM_TOLERANCE)
    _note(problems, "rows with probabilities outside [0, 1]", rows, outside.any(axis=1))
    sums = values.sum(axis=1)
    _note(problems, "rows whose probabilities do not sum to 1", rows, np.abs(sums - 1) > SUM_TOLERANCE)
    return values


def _note(problems: Problems, kind: str, rows: Rows, wrong: Any) -> None:
    for row in np.flatnonzero(wrong).tolist():
        problems.add(kind, rows.place(row))


def _check_rows(rows: Rows, problems: Problems) -> None:
    """What single rows, or rows of one image, can have wrong."""
    if not len(rows.seeds):
        problems.add("no row", problems.source)
        return
    for name in ("method", "image", "y", "split", PREDICTED):
        if name in rows.coded:
            column = rows.coded[name]
            _note(
                problems, f"rows without {name}", rows, np.array([not value for value in column.values])[column.codes]
            )
    split = rows.coded["split"]
    unknown = np.array([value != "" and value.lower() not in SPLITS for value in split.values])[split.codes]
    _note(problems, "rows whose split is not train, val, test, 0, 1 or 2", rows, unknown)
    seeds = rows.seeds
    _note(problems, "rows whose seed is no whole number", rows, ~np.isfinite(seeds) | (seeds != np.trunc(seeds)))
    images = rows.coded["image"].codes
    _, first = np.unique(images, return_index=True)
    for name in (name for name in rows.coded if name not in ("method", "image", PREDICTED)):
        codes = rows.coded[name].codes
        _note(problems, f"rows whose {name} differs from another row of the image", rows, codes != codes[first[images]])
    _, seed_codes = np.unique(seeds, return_inverse=True)
    trainings = rows.coded["method"].codes * (seed_codes.max() + 1) + seed_codes
    _, kept = np.unique(trainings * (images.max() + 1) + images, return_index=True)
    doubled = np.ones(len(seeds), bool)
    doubled[kept] = False
    _note(problems, "rows that are there twice: one method, seed and image", rows, doubled)


def _assembled(
    rows: Rows, columns: Columns, reference: str | None, notes: list[str], problems: Problems
) -> Predictions:
    """Everything by method, seed and image. Raises DataError if anything is missing."""
    methods, seeds = _methods(rows, reference, problems), np.unique(rows.seeds).astype(int).tolist()
    places = _places(rows, methods, problems)
    problems.raise_if_any()
    data = _images(rows, columns, places[0, 0], notes, problems)
    problems.raise_if_any()
    known = {name: index for index, name in enumerate(data.classes)}
    if rows.probabilities is None:
        predicted = rows.coded[PREDICTED]
        answers = np.array([known.get(value, -1) for value in predicted.values])[predicted.codes]
    else:
        answers = rows.probabilities.argmax(axis=1)
    in_train, in_test = _splits(rows, places[0, 0])
    runs = {
        (method, seed): Answers(answers[places[m, s][in_train]], answers[places[m, s][in_test]])
        for m, method in enumerate(methods)
        for s, seed in enumerate(seeds)
    }
    probabilities = {}
    if rows.probabilities is not None:
        probabilities = {method: rows.probabilities[places[m][:, in_test]] for m, method in enumerate(methods)}
    return Predictions(Design(data, methods, tuple(seeds), reference or methods[0]), runs, probabilities)


def _methods(rows: Rows, reference: str | None, problems: Problems) -> tuple[str, ...]:
    """The methods: the reference first, then ours in our order, then others."""
    column = rows.coded["method"]
    names = [column.values[code] for code in np.unique(column.codes)]
    if reference is None:
        reference = names[0] if len(names) == 1 else REFERENCE
    if reference not in names:
        problems.add(
            "the method that all others are compared with must be in the table (--reference)",
            f"{reference} is not among {', '.join(names)}",
        )
    ours = list(METHODS)
    return tuple(
        sorted(
            names,
            key=lambda name: (name != reference, ours.index(name) if name in ours else len(ours), natural_order(name)),
        )
    )


def _places(rows: Rows, methods: tuple[str, ...], problems: Problems) -> np.ndarray:
    """The row of each method, seed and image, (M, S, I), images in the order of their first rows; missing ones are a problem."""
    column, images = rows.coded["method"], np.unique(rows.coded["image"].codes, return_inverse=True)[1]
    seeds, seed_codes = np.unique(rows.seeds, return_inverse=True)
    order = {name: index for index, name in enumerate(methods)}
    method_codes = np.array([order.get(value, 0) for value in column.values])[column.codes]
    shape = (len(methods), len(seeds), int(images.max(initial=-1)) + 1)
    if np.prod(shape, dtype=float) > LARGEST_HOLE * max(1, len(images)):
        kind = "every method needs a training from every seed, with a row for every image"
        problems.add(
            kind, f"{shape[0]:,} methods, {shape[1]:,} seeds and {shape[2]:,} images, but {len(images):,} rows"
        )
        return np.zeros((1, 1, 0), int)
    places = np.full(shape, -1)
    places[method_codes, seed_codes, images] = np.arange(len(images))
    names = rows.coded["image"]
    for m, s in np.argwhere((places < 0).any(axis=2)).tolist():
        absent = np.flatnonzero(places[m, s] < 0)
        row = places[:, :, absent[0]].max()
        example = f"{methods[m]}, seed {seeds[s]:g}: {len(absent):,} of {shape[2]:,}, {names.values[names.codes[row]]} among them"
        problems.add("images missing for a method and seed", example)
    return places


def _splits(rows: Rows, first: np.ndarray) -> Iterator[np.ndarray]:
    """Which images are for training, and which for testing; `first` holds a row of each image."""
    column = rows.coded["split"]
    names = np.array([SPLITS[value.lower()] for value in column.values])[column.codes[first]]
    return (np.flatnonzero(names == name) for name in ("train", "test"))


def _images(rows: Rows, columns: Columns, first: np.ndarray, notes: list[str], problems: Problems) -> GroupedImages:
    """The images in subgroups, from a row of each."""

    def words(name: str) -> list[str]:
        column = rows.coded[name]
        return [column.values[code] for code in column.codes[first]]

    labels, names = words("y"), words("image")
    answers = rows.coded[PREDICTED].values if PREDICTED in rows.coded else columns.classes
    classes = tuple(sorted({*labels, *answers}, key=natural_order))
    attributes = zip(*map(words, columns.attributes), strict=True) if columns.attributes else [()] * len(labels)
    groups, indices = grouped([Group(label, values) for label, values in zip(labels, attributes, strict=True)])
    known = {name: index for index, name in enumerate(classes)}
    truth = np.array([known[label] for label in labels], int)
    train, test = (
        Members(truth[chosen], indices[chosen], tuple(names[i] for i in chosen)) for chosen in _splits(rows, first)
    )
    _check_images(classes, groups, train, test, problems)
    if len(train):
        notes = [*notes, *unseen(groups, train)]
    else:
        notes = [*notes, "there are no rows of the train split, so that what is only memorised cannot be told"]
    return GroupedImages(classes, columns.attributes, groups, train, test, tuple(notes), drawn=False)


def _check_images(
    classes: tuple[str, ...], groups: tuple[Group, ...], train: Members, test: Members, problems: Problems
) -> None:
    if not len(test):
        problems.add("no row of the test split", f"{len(train):,} images of the train split")
        return
    if len(classes) == 1:
        problems.add("one class only: there is nothing to tell apart", classes[0])
    for index in np.flatnonzero(test.counts(len(groups)) == 0):
        problems.add("subgroups absent from the test split, where they would be measured", groups[index].name)
    if len(groups) > MAX_GROUPS:
        problems.add(f"more than {MAX_GROUPS} subgroups: name fewer attributes", f"{len(groups):,} subgroups")
