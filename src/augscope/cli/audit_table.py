"""An audit on a terminal: accuracy by subgroup, what is claimed, and the words."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from augscope.cli.show import console
from augscope.images.plan import METHODS
from augscope.studies.audit.recommendation import share
from augscope.studies.audit.result import Audit


def print_audit(audit: Audit, *, to_stderr: bool) -> None:
    """Print the tables and the sentences."""
    screen = console(to_stderr=to_stderr)
    screen.print(_accuracies(audit))
    screen.print(
        "Test accuracy, with its 95 % interval over networks and test images; * p ≤ 0.05 to ERM after Holm's correction.",
        style="dim",
    )
    for sentence in (audit.words.headline, audit.words.recommendation, *audit.words.findings):
        screen.print(sentence, markup=False)
    for warning in audit.measured.warnings:
        screen.print(f"Warning: {warning}", markup=False)


def _accuracies(audit: Audit) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("subgroup")
    for name in ("train", "test", *(METHODS[method] for method in audit.settings.methods)):
        table.add_column(name, justify="right")
    data, found = audit.data, audit.measured
    train, test = data.train.counts(len(data.groups)), data.test.counts(len(data.groups))
    claimed = {(c.method, c.group) for c in found.comparisons if c.claimed}
    for group, place in enumerate(data.groups):
        cells = [
            share(found.accuracies[method, group].test) + ("*" if (method, group) in claimed else "")
            for method in audit.settings.methods
        ]
        table.add_row(Text(place.name), f"{train[group]:,}", f"{test[group]:,}", *cells)
    overall = [share(found.overall[method].test) for method in audit.settings.methods]
    table.add_row("all images", f"{len(data.train):,}", f"{len(data.test):,}", *overall)
    return table
