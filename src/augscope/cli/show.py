"""What `verify` and `train` have in common on a terminal: progress, tables, files."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from augscope.cli.options import OutputOptions
    from augscope.support.files import OutputFolder
    from augscope.theorems.record import Results
    from augscope.theorems.verdicts import Line, TheoremVerdict
    from augscope.training.experiment import Experiment

FILES = ("record.json", "config.toml", "features.svg", "features.png", "features.csv", "report.html")
TONES = {"holds": "bold green", "violated": "bold red", "open": "bold yellow"}
WIDTH_WITHOUT_TERMINAL = 120
GAP = 1  # between the columns of the verdict table


def console(*, to_stderr: bool) -> Console:
    """Return a console; without a terminal it is wide enough for the tables."""
    found = Console(stderr=to_stderr, highlight=False, soft_wrap=False)
    return found if found.is_terminal else Console(stderr=to_stderr, highlight=False, width=WIDTH_WITHOUT_TERMINAL)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, float], None]]:
    """Yield a callback (what is running, share done): a bar on a terminal's stderr, else a line per change of task."""
    screen = Console(stderr=True, highlight=False)
    if not screen.is_terminal:
        yield _plain_progress()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task("compiling", total=1.0)
        yield lambda what, share: bar.update(task, description=what, completed=share)


def _plain_progress() -> Callable[[str, float], None]:
    shown = ""

    def tell(what: str, share: float) -> None:
        nonlocal shown
        if what != shown:
            shown = what
            print(f"{share:4.0%}  {what}", file=sys.stderr, flush=True)

    return tell


def claim_folder(output: OutputOptions, command: str, experiment: Experiment) -> OutputFolder | None:
    """Check the output folder before any work."""
    from augscope.support.files import claim

    if output.out is None:
        return None
    return claim(output.out, command, experiment.identity, overwrite=output.overwrite, names=FILES)


def state_cost(experiment: Experiment, seeds: tuple[int, ...], output: OutputOptions) -> None:
    """Say what it will take, on stderr; refuse what takes over an hour unless `--yes` is given."""
    from augscope.support.wording import check_asked_for
    from augscope.training.cost import measure_cost
    from augscope.training.kept_runs import KeptRuns

    kept = None if output.checkpoint is None else KeptRuns(output.checkpoint, experiment).count(seeds)
    cost = measure_cost(experiment, len(seeds), kept)
    check_asked_for(cost.seconds, str(cost), output.yes)
    console(to_stderr=True).print(str(cost), markup=False)


def again(command: str, seeds: tuple[int, ...], *extra: str) -> str:
    """Return the command line that runs it again from the folder's config.toml."""
    listed = (
        str(len(seeds))
        if seeds == tuple(range(len(seeds)))
        else ",".join(map(str, seeds)) + ("," if len(seeds) == 1 else "")
    )
    return shlex.join(["augscope", command, "--config", "config.toml", "--seeds", listed, *extra])


def write_files(folder: OutputFolder, results: Results) -> list[Path]:
    """Write record, configuration, pictures and report. Raises ValueError if the folder can no longer be written."""
    from augscope.support.rendering import to_bytes
    from augscope.theorems.figures import features_figure
    from augscope.theorems.record import to_record, trajectories_csv
    from augscope.theorems.report import configuration_toml, html_report

    figure = features_figure(results)
    svg = to_bytes(figure, "svg")
    return folder.write(
        {
            "record.json": json.dumps(to_record(results), allow_nan=False).encode(),
            "config.toml": configuration_toml(results.experiment).encode(),
            "features.svg": svg,
            "features.png": to_bytes(figure, "png"),
            "features.csv": trajectories_csv(results).encode(),
            "report.html": html_report(results, svg).encode(),
        }
    )


def finish(results: Results, output: OutputOptions, folder: OutputFolder | None) -> None:
    """Print the result, a table, or JSON on stdout and the table on stderr; then write the files."""
    from augscope.theorems.record import summary_record

    screen = console(to_stderr=output.json)
    if not results.shown:
        screen.print("Interrupted before anything was recorded; nothing is written.")
        return
    if results.verdict is not None:
        show_verdict(screen, results)
    show_measures(screen, results)
    if output.json:
        print(json.dumps(summary_record(results), allow_nan=False, indent=2), flush=True)
    finished = sum(run.status != "interrupted" for run in results.runs)
    interrupted = finished < len(results.seeds) * len(results.experiment.methods)
    if folder is not None and interrupted and (folder.path / "record.json").exists():
        screen.print(f"Interrupted: the finished run in {folder.path} is left as it is.", soft_wrap=True, markup=False)
    elif folder is not None:
        written = write_files(folder, results)
        screen.print(
            f"Written to {folder.path}: {', '.join(path.name for path in written)}", soft_wrap=True, markup=False
        )


def show_verdict(screen: Console, results: Results) -> None:
    """Print the theorem table, a sentence per theorem, and the summary."""
    from augscope.theorems.record import place
    from augscope.theorems.report import how_to_read, tone

    verdict = results.verdict
    assert verdict is not None  # only called for verify
    columns = _verdict_columns(screen.width, [line for found in verdict.theorems for line in found.lines])
    screen.print(
        _verdict_table({place(verdict.experiment) if name == "step" else name: w for name, w in columns.items()}, [])
    )
    for found in verdict.theorems:
        style = TONES[tone(found.verdict)]
        screen.print(f"[bold]{found.heading}: [{style}]{found.verdict}[/][/bold]")
        screen.print(_verdict_table(columns, _verdict_rows(columns, found)))
    screen.print(f"\n{how_to_read(verdict.experiment)}", style="dim")
    if verdict.rarity_derived:
        names = ", ".join(str(name).replace("_", " ") for name in verdict.rarity)
        screen.print(f"Rarity was not stated; derived from the learning speeds: {names}.")
    for sentence in (*map(str, verdict.theorems), *map(str, verdict.windows), *verdict.summary):
        screen.print(sentence, markup=False)
    if verdict.interrupted:
        screen.print("Interrupted: the verdicts rest on the runs finished until then.")


def _verdict_columns(width: int, lines: list[Line]) -> dict[str, int]:
    """Columns and their widths: the statement gets what is left; where that is little, the tolerance joins the prediction."""
    widths = {"measured": 8, "predicted": 9, "tolerance": 9, "margin": 8, "seeds": 5, "step": 11, "verdict": 12}
    wanted = max((len(line.text) for line in lines), default=0) + len("  (1) ")
    if width - sum(widths.values()) - GAP * len(widths) < wanted:
        del widths["tolerance"]
        widths["predicted"] = 13
    left = width - sum(widths.values()) - GAP * len(widths)
    return {"statement": max(12, min(wanted, left)), **widths}


def _verdict_rows(columns: dict[str, int], found: TheoremVerdict) -> list[list[str]]:
    """One theorem's statements as rows of marked-up cells."""
    from augscope.theorems.report import line_cells

    rows = []
    for line in found.lines:
        cell = line_cells(line, lasting=found.theorem.lasting)
        cell["statement"] = f"({cell['index']}) {cell['text']}"
        if "tolerance" not in columns and cell["tolerance"]:
            cell["predicted"] += f" ± {cell['tolerance']}" if line.kind == "near" else f" (≤ {cell['tolerance']})"
        cell["verdict"] = f"[{TONES[cell['tone']]}]{cell['verdict']}[/]"
        rows.append([cell[name] for name in columns])
    return rows


def _verdict_table(columns: dict[str, int], rows: list[list[str]]) -> Table:
    """Rows under each other at fixed widths, so that the theorems' tables align; without rows, the heading."""
    from rich.padding import Padding

    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), show_header=not rows)
    for name, width in columns.items():
        table.add_column(name, width=width, justify="left" if name in ("statement", "verdict") else "right")
    for statement, *cells in rows:
        table.add_row(Padding(statement, (0, 0, 0, 2)), *cells)
    return table


def show_measures(screen: Console, results: Results) -> None:
    """Print the measures at the last record, one column a method, and a sentence for each run that needs one."""
    from augscope.theorems.report import measure_rows, run_notes

    titles, rows = measure_rows(results)
    table = Table(title="At the last record, mean over seeds", title_justify="left")
    table.add_column("measure")
    for title in titles:
        table.add_column(title, justify="right")
    for name, values in rows:
        table.add_row(name, *values)
    if titles:
        screen.print(table)
    for note in run_notes(results):
        screen.print(note, markup=False)
