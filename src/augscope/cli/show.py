"""What commands have in common on a terminal: progress, tables, files."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from augscope.cli.terminal import console

if TYPE_CHECKING:
    from rich.console import Console

    from augscope.cli.options import OutputOptions
    from augscope.support.files import OutputFolder
    from augscope.theorems.record import Results
    from augscope.theorems.verdicts import Finding
    from augscope.training.experiment import Experiment
    from augscope.training.preparation import Cost

TONES = {"holds": "bold green", "violated": "bold red", "open": "bold yellow"}
LINE_SECONDS = 5.0  # between two lines of progress without a terminal
GAP = 1  # between the columns of the verdict table


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None, numbers: bool = True
) -> Table:
    """Return rows under their columns' names: the first column to the left, the others to the right if they hold numbers."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for index, name in enumerate(columns):
        made.add_column(name, justify="right" if numbers and index else "left", overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else str(cell) for cell in row))
    return made


@contextmanager
def progress_bar() -> Iterator[Callable[[str, float], None]]:
    """Yield a callback (what is running, share done): a bar on a terminal's stderr, else lines.

    Without a terminal, a line is printed where the first text changes, `LINE_SECONDS` after the last line at the earliest.
    """
    screen = console(to_stderr=True)
    if not screen.is_terminal:
        yield _plain_progress()
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task("compiling", total=1.0)
        yield lambda what, share: bar.update(task, description=what, completed=share)


def _plain_progress() -> Callable[[str, float], None]:
    shown, last = "", -math.inf

    def tell(what: str, share: float) -> None:
        nonlocal shown, last
        if what != shown and time.monotonic() - last >= LINE_SECONDS:
            shown, last = what, time.monotonic()
            print(f"{share:4.0%}  {what}", file=sys.stderr, flush=True)

    return tell


def claim_folder(output: OutputOptions, command: str, experiment: Experiment) -> OutputFolder | None:
    """Check the output folder before any work."""
    from augscope.support.files import claim
    from augscope.theorems.reporting import FILES

    if output.out is None:
        return None
    return claim(output.out, command, experiment.identity, overwrite=output.overwrite, names=FILES)


def state_cost(cost: Cost, yes: bool) -> None:
    """Say what it will take, on stderr; refuse what takes over an hour unless `--yes` is given."""
    from augscope.support.wording import check_asked_for

    check_asked_for(cost.seconds, str(cost), yes)
    console(to_stderr=True).print(str(cost))


def finish(results: Results, output: OutputOptions, folder: OutputFolder | None) -> None:
    """Write the files; then print the result: a table, or JSON on stdout and the table on stderr."""
    from augscope.theorems.explanations import introduction, next_step
    from augscope.theorems.record import summary_record

    screen = console(to_stderr=output.json)
    if not results.shown:
        screen.print("Interrupted before anything was recorded; nothing is written.")
        return
    try:
        note = "" if folder is None else _write_unless_less(folder, results)
    finally:  # what was computed is shown even if it cannot be written
        screen.print(introduction(results.experiment), style="dim")
        if results.verdict is not None:
            show_verdict(screen, results)
        show_measures(screen, results)
        if output.json:
            print(json.dumps(summary_record(results), allow_nan=False, indent=2), flush=True)
    if note and folder is not None:
        screen.print(note, soft_wrap=True)
        screen.print(f"Next: {next_step(results, str(folder.path / 'config.toml'))}", soft_wrap=True)


def _write_unless_less(folder: OutputFolder, results: Results) -> str:
    """Write the files, unless the run was interrupted and the folder holds a finished one; return what was done."""
    from augscope.theorems.reporting import report_files

    finished = sum(run.status != "interrupted" for run in results.runs)
    interrupted = finished < len(results.seeds) * len(results.experiment.methods)
    if interrupted and (folder.path / "record.json").exists():
        return f"Interrupted: the finished run in {folder.path} is left as it is."
    written = folder.write(report_files(results))
    return f"Written to {folder.path}: {', '.join(path.name for path in written)}"


def show_verdict(screen: Console, results: Results) -> None:
    """Print what the words mean and why a theorem does not hold; then the table, and the sentences on each row."""
    from augscope.theorems.explanations import reasons
    from augscope.theorems.record import time_name
    from augscope.theorems.report import how_to_read, tone
    from augscope.theorems.statements import rarity_text

    verdict = results.verdict
    assert verdict is not None  # only called for verify
    for sentence in (*verdict.summary, *reasons(verdict)):
        screen.print(sentence)
    screen.print()
    columns = statement_columns(screen.width)
    heading = {
        f"from {time_name(verdict.experiment)}" if name == "since" else name: width for name, width in columns.items()
    }
    if verdict.runs:
        screen.print(_aligned(heading, []))
    for finding in verdict.findings:
        style = TONES[tone(finding.verdict)]
        verdict_text = (finding.verdict, style)
        screen.print(Text.assemble(f"{finding.title}: ", verdict_text, f", {finding.observed}", style="bold"))
        if finding.lines:
            screen.print(statement_table(columns, finding))
    if verdict.runs:
        screen.print(f"\n{how_to_read(verdict.experiment)}", style="dim")
    if verdict.rarity_derived:
        names = ", ".join(map(rarity_text, verdict.terms.rarity))
        screen.print(f"Rarity was not stated; derived by training the population, so true by construction: {names}.")
    for sentence in (*map(str, verdict.findings), *map(str, verdict.windows)):
        screen.print(sentence)
    if verdict.interrupted:
        screen.print("Interrupted: the verdicts use only the runs that had finished.")


def statement_columns(width: int) -> dict[str, int]:
    """Columns and their widths: the statement gets what is left, up to a line of words."""
    widths = {"mean": 9, "required": 13, "worst": 9, "true in": 8, "since": 9}
    left = width - sum(widths.values()) - GAP * len(widths)
    return {"statement": max(12, min(50, left)), **widths}


def statement_table(columns: dict[str, int], finding: Finding) -> Table:
    """Return the lines of one theorem or order as a table without a heading; conditions stand below their statement."""
    from augscope.theorems.report import line_cells

    rows = []
    for line in finding.lines:
        cells = line_cells(line)
        cells["statement"] = "    " * line.part + cells["statement"]
        rows.append([cells[name] for name in columns])
    return _aligned(columns, rows)


def _aligned(columns: dict[str, int], rows: list[list[str]]) -> Table:
    """Rows under each other at fixed widths, so that the theorems' tables align; without rows, the heading."""
    from rich.padding import Padding

    made = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), show_header=not rows)
    for name, width in columns.items():
        made.add_column(name, width=width, justify="left" if name == "statement" else "right")
    for statement, *cells in rows:
        text = statement.lstrip()
        made.add_row(Padding(text, (0, 0, 0, 2 + len(statement) - len(text))), *cells)
    return made


def show_measures(screen: Console, results: Results) -> None:
    """Print the measures at the last record, one column a method, and a sentence for each run that needs one."""
    from augscope.theorems.distance import distance_sentences
    from augscope.theorems.report import measure_rows, plateau_sentences, run_notes

    titles, rows = measure_rows(results)
    if titles:
        cells = [(name, *values) for name, values in rows]
        screen.print(
            table(
                ("measure", *titles),
                cells,
                title="At the last record" + ", mean over seeds" * bool(results.drawn_seeds),
            )
        )
    for note in (*plateau_sentences(results), *distance_sentences(results), *run_notes(results)):
        screen.print(note)
