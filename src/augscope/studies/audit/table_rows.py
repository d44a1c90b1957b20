"""The rows of a table of predictions as arrays, and what single rows or rows of one image can have wrong."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from augscope.studies.audit.design import natural_order
from augscope.studies.audit.entries import MAX_VALUES, NOT_ATTRIBUTES, SPLITS
from augscope.studies.audit.problems import Problems
from augscope.studies.audit.table_file import PREDICTED, Coded, numbers, texts
from augscope.support.values import check

COLUMNS = ("method", "seed", "image", "y", "split")
PROBABILITY, LOGIT = "prob_", "logit_"
SUM_TOLERANCE = 1e-3  # of probabilities: what four digits or half precision leave of a sum of 1
LARGEST_SEED = 2.0**53  # beyond it, floats are no longer every whole number


class Columns(NamedTuple):
    """A table's columns by their use: attributes, and the classes that have a column, with the prefix of its name ("": predicted)."""

    attributes: tuple[str, ...]
    prefix: str
    classes: tuple[str, ...]


class Rows(NamedTuple):
    """A table's rows in arrays: texts by column, seeds (N,), probabilities (N, K) or None."""

    coded: dict[str, Coded]
    seeds: np.ndarray
    probabilities: np.ndarray | None

    def place(self, row: int) -> str:
        """Which row, as people find it again."""
        method, image = (self.coded[name].values[self.coded[name].codes[row]] for name in ("method", "image"))
        return f"{method or '(no method)'}, seed {self.seeds[row]:g}, image {image or '(no name)'}"

    def splits(self) -> np.ndarray:
        """The split of each row, (N,): "train", "val", "test", or empty where it is unknown."""
        column = self.coded["split"]
        return np.array([SPLITS.get(value.lower(), "") for value in column.values], str)[column.codes]

    def where(self, chosen: np.ndarray) -> Rows:
        """Those rows alone."""
        coded = {name: Coded(column.codes[chosen], column.values) for name, column in self.coded.items()}
        return Rows(coded, self.seeds[chosen], None if self.probabilities is None else self.probabilities[chosen])


def column_uses(names: list[str], source: str, chosen: tuple[str, ...] | None) -> Columns:
    """Return what each column is for; `chosen` are the attributes, by default all further columns but id.

    Raises:
        ValueError: if columns are missing, or one is both an attribute and something else.
    """
    prefixes = [prefix for prefix in (PROBABILITY, LOGIT) if any(name.startswith(prefix) for name in names)]
    prefix = prefixes[0] if prefixes else ""
    answers = [name for name in names if name.startswith(prefix)] if prefix else []
    needed = (*COLUMNS, *(chosen or ()))
    missing = [name for name in needed if name not in names]
    if (PREDICTED in names) + len(prefixes) != 1:
        missing.append("exactly one of predicted, prob_… and logit_…")
    elif len(answers) == 1:
        missing.append(f"a column {prefix}… for each of two or more classes")
    check(
        not missing,
        f"`predictions` must have the columns {', '.join(needed)}, and either predicted or one a class, named by its label "
        f"(prob_0, prob_1, … or logit_0, logit_1, …), got {source} with {', '.join(names) or 'no column'}: there must be "
        f"{' and '.join(missing)}",
    )
    used = {*COLUMNS, PREDICTED, *answers}
    taken = ", ".join(name for name in chosen or () if name in used)
    check(not taken, f"`attributes` must be columns that are nothing else, got {taken}")
    further = tuple(name for name in names if name not in {*used, *NOT_ATTRIBUTES, ""})
    classes = sorted((name.removeprefix(prefix) for name in answers), key=natural_order)
    return Columns(further if chosen is None else chosen, prefix, tuple(classes))


def read_rows(table: pa.Table, columns: Columns, problems: Problems) -> Rows:
    """Return the rows, checked. Raises DataError at once only where they cannot be read as rows at all."""
    coded, answers = {}, () if columns.prefix else (PREDICTED,)
    for name in ("method", "image", "y", "split", *columns.attributes, *answers):
        try:
            coded[name] = texts(table[name])
        except ValueError as error:
            problems.add("columns of another kind", f"{name}: {error}")
            continue
        if name in columns.attributes and len(coded[name].values) > MAX_VALUES:
            kind = f"attributes of more than {MAX_VALUES} values: name others (--attributes)"
            problems.add(kind, f"{name}: {len(coded[name].values):,}")
    if not len(table):
        problems.add("no row", problems.source)
    problems.raise_if_any()
    rows = Rows(coded, numbers(table["seed"]), None)
    _check_rows(rows, problems)
    if columns.prefix:
        rows = rows._replace(probabilities=_probabilities(table, columns, rows, problems))
    return rows


def _note(problems: Problems, kind: str, rows: Rows, wrong: Any) -> None:
    for row in np.flatnonzero(wrong).tolist():
        problems.add(kind, rows.place(row))


def _check_rows(rows: Rows, problems: Problems) -> None:
    seeds, images = rows.seeds, rows.coded["image"].codes
    for name in ("method", "image", "y", "split", PREDICTED):
        if name in rows.coded and "" in rows.coded[name].values:
            column = rows.coded[name]
            _note(problems, f"rows without {name}", rows, column.codes == column.values.index(""))
    _note(problems, "rows whose split is not train, val, test, 0, 1 or 2", rows, rows.splits() == "")
    whole = (np.abs(seeds) < LARGEST_SEED) & (seeds == np.trunc(seeds))
    _note(problems, "rows whose seed is no whole number", rows, ~whole)
    _, first = np.unique(images, return_index=True)
    for name in (name for name in rows.coded if name not in ("method", "image", PREDICTED)):
        codes = rows.coded[name].codes
        _note(problems, f"rows whose {name} differs from another row of the image", rows, codes != codes[first[images]])
    seed_codes = np.unique(seeds, return_inverse=True)[1]
    trainings = rows.coded["method"].codes * (seed_codes.max() + 1) + seed_codes
    _, kept = np.unique(trainings * (images.max() + 1) + images, return_index=True)
    is_again = ~np.isin(np.arange(len(seeds)), kept)
    _note(problems, "rows that are there twice: one method, seed and image", rows, is_again)


def _probabilities(table: pa.Table, columns: Columns, rows: Rows, problems: Problems) -> np.ndarray:
    """Those of the classes, (N, K); of logits, their softmax."""
    values = np.column_stack([numbers(table[f"{columns.prefix}{name}"]) for name in columns.classes])
    for label in sorted(set(rows.coded["y"].values) - {*columns.classes, ""}, key=natural_order):
        problems.add(f"labels without a column {columns.prefix}…, which are of {', '.join(columns.classes)}", label)
    finite = np.isfinite(values).all(axis=1)
    _note(problems, f"rows with a {columns.prefix}… that is missing, NaN or infinite", rows, ~finite)
    if columns.prefix == PROBABILITY:
        _note(
            problems, "rows with probabilities outside [0, 1]", rows, ((values < 0) | (values > 1)).any(axis=1) & finite
        )
        sums = np.abs(values.sum(axis=1) - 1)
        _note(problems, "rows whose probabilities do not sum to 1", rows, (sums > SUM_TOLERANCE) & finite)
        return values
    values[~finite] = 0
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
