"""`augscope images canvas`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from augscope.cli.kinds import Flag, Json
from augscope.cli.options import given_values, options_for
from augscope.support.command_line import parse_list, read_seeds
from augscope.support.extras import needs_extra
from augscope.support.fields import fields_of

if TYPE_CHECKING:
    from augscope.studies.canvas.study import Study

_SETTINGS = {
    name: field
    for name, field in fields_of("augscope.studies.canvas.settings:CanvasSettings").items()
    if name != "num_cut"
}


@options_for(_SETTINGS)
class CanvasOptions:
    """What to study."""

    cut: str = "1,2"
    "Patches that each Cutout removes, comma-separated, or none."

    def fields(self) -> dict[str, Any]:
        """The settings' fields."""
        cut = () if self.cut == "none" else parse_list("cut", self.cut, int)
        return {**given_values(self, _SETTINGS), "num_cut": cut}


def canvas(
    *,
    options: CanvasOptions | None = None,
    seeds: str = "30",
    out: Path | None = None,
    overwrite: Flag = False,
    yes: Flag = False,
    json: Json = False,
) -> int:
    """The paper's data model with real digits: what ERM, Cutout and CutMix learn of common and rare subclasses.

    Exit status: 0 when the study is done, 1 if a method diverged, 2 for bad usage.

    Parameters
    ----------
    seeds
        A count (30 means seeds 0 to 29) or a list such as 3,5,8.
    out
        Folder for report.html, canvas.png and .svg, seeds.csv and record.json; nothing is written without it.
    overwrite
        Replace another configuration's study in that folder.
    yes
        Start although it will take over an hour.
    json
        Print the record as JSON on stdout, everything else on stderr.
    """
    from augscope.cli import show
    from augscope.model.jax_setup import set_up_jax
    from augscope.studies.canvas.settings import CanvasSettings
    from augscope.support.files import claim

    settings = CanvasSettings(**(options or CanvasOptions()).fields())
    chosen = read_seeds(seeds)
    with needs_extra("`images canvas`", "canvas"):
        import PIL  # noqa: F401
        import sklearn  # noqa: F401
    set_up_jax()
    from augscope.studies.canvas.record import COMMAND, FILES, files_of, next_step
    from augscope.studies.canvas.study import run_study, study_cost

    folder = None if out is None else claim(out, COMMAND, settings.identity(chosen), overwrite=overwrite, names=FILES)
    show.state_cost(study_cost(settings, chosen), yes)
    try:
        with show.progress_bar() as progress:
            study = run_study(settings, chosen, progress)
    except FloatingPointError as error:
        print(f"augscope: {error}", file=sys.stderr)
        return 1
    try:
        written = [] if folder is None else folder.write(files_of(study))
    finally:  # what was computed is shown even if it cannot be written
        _show(study, as_json=json)
    if folder is not None:
        print(f"Written to {folder.path}: {', '.join(path.name for path in written)}", file=sys.stderr)
    print(f"Next: {next_step(study)}", file=sys.stderr)
    return 0


def _show(study: Study, *, as_json: bool) -> None:
    """The tables and sentences; JSON alone on stdout."""
    from rich.table import Table

    from augscope.cli.terminal import console
    from augscope.studies.canvas.settings import RARITIES
    from augscope.studies.canvas.wording import INTRODUCTION, conditions, measure_table, statements

    screen = console(to_stderr=as_json)
    screen.print(INTRODUCTION, style="dim")
    titles = {
        "accuracy": "Test accuracy in % (95 % interval over seeds)",
        "clean_share": f"Digit's share of the margin (even: 1/P = {1 / study.settings.num_patches:.2f})",
        "fitted": "Training points fitted, in %",
    }
    for measure, title in titles.items():
        table = Table(title=title, title_justify="left")
        table.add_column("method")
        for rarity in RARITIES:
            table.add_column(rarity, justify="right")
        for name, cells in measure_table(study, measure):
            table.add_row(name, *cells)
        screen.print(table)
    tones = {"holds": "green", "violated": "bold red", "open": "yellow", "reported": ""}
    for statement in statements(study):
        screen.print(statement.text, style=tones[statement.tone])
    screen.print(conditions(study), style="dim")
    if as_json:
        from json import dumps

        from augscope.studies.canvas.record import to_record

        print(dumps(to_record(study), allow_nan=False, indent=2))
