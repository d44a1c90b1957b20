"""An audit on a terminal: accuracy by subgroup, what is claimed, and the words."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from augscope.cli.show import table
from augscope.cli.terminal import console
from augscope.images.plan import title
from augscope.studies.audit.certificates import LawOfMethod
from augscope.studies.audit.dataset import ImageData
from augscope.studies.audit.explanations import INTRODUCTION, SUBGROUP
from augscope.studies.audit.recommendation import share
from augscope.studies.audit.result import Audit, Result


def print_audit(result: Result, *, to_stderr: bool) -> None:
    """Print the tables and the sentences."""
    screen = console(to_stderr=to_stderr)
    screen.print(INTRODUCTION if isinstance(result, Audit) else SUBGROUP, style="dim")
    screen.print(_accuracies(result))
    screen.print(
        f"Test accuracy, with its 95 % interval over {result.design.sampled}; * p ≤ 0.05 to {title(result.design.reference)} "
        "after Holm's correction.",
        style="dim",
    )
    for sentence in (result.words.headline, result.words.recommendation, *result.words.findings):
        screen.print(sentence)
    for warning in (*(network.sentence for network in result.measured.collapsed), *result.measured.warnings):
        screen.print(f"Warning: {warning}")


def print_data(data: ImageData, screen: Console) -> None:
    """Print what was read: how many images of each subgroup, of which sizes and modes, and what to know of them."""
    train, test = data.train.counts(len(data.groups)), data.test.counts(len(data.groups))
    rows = [(Text(group.name), f"{train[g]:,}", f"{test[g]:,}") for g, group in enumerate(data.groups)]
    screen.print(table(("subgroup", "train", "test"), rows))
    screen.print(f"Read from {data.stored}.")
    for note in data.notes:
        screen.print(f"Note: {note}.")


def print_laws(laws: Mapping[str, LawOfMethod], screen: Console) -> None:
    """Print what is known of the methods that are import paths."""
    for law in laws.values():
        screen.print(law.sentence)
        for rule in law.rules:
            screen.print(
                f"  {rule.name} ({rule.verdict}): {rule.defect or ''}{': ' if rule.defect else ''}{rule.evidence}"
            )


def _accuracies(result: Result) -> Table:
    data, measured, methods = result.design.data, result.measured, result.design.methods
    train, test = data.train.counts(len(data.groups)), data.test.counts(len(data.groups))
    reference = result.design.reference
    claimed = {(c.method, c.group) for c in measured.comparisons if c.claimed and c.baseline == reference}
    rows = []
    for index, group in enumerate(data.groups):
        marks = ["*" if (method, index) in claimed else "" for method in methods]
        shares = [share(measured.accuracies[method, index].test) for method in methods]
        cells = [text + mark for text, mark in zip(shares, marks, strict=True)]
        rows.append((Text(group.name), f"{train[index]:,}", f"{test[index]:,}", *cells))
    overall = [share(measured.overall[method].test) for method in methods]
    rows.append(("all images", f"{len(data.train):,}", f"{len(data.test):,}", *overall))
    return table(("subgroup", "train", "test", *map(title, methods)), rows)
