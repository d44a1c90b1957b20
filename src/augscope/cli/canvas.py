"""`augscope images canvas`."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from augscope.cli.options import Whole
from augscope.support.command_line import parse_list, read_seeds

if TYPE_CHECKING:
    from augscope.studies.canvas.study import Study


@Parameter(name="*")
@dataclass(frozen=True)
class CanvasOptions:
    """What to study."""

    preset: str | None = None
    "Digits of a subclass: template (one image; the default), homogeneous (80 nearest to the class mean) or all."
    noise: str | None = None
    "The dominant patch: gaussian (the default) or texture, from photographs."
    network: str | None = None
    "relu (the default) or two-filter, the paper's own."
    cut: str | None = None
    "Patches that each Cutout removes, comma-separated (1,2), or none."
    counts: str | None = None
    "Training points of the common, rare and extremely rare subclass of each label (40,8,2)."
    num_patches: Whole | None = None
    "P, patches in a row, 3 to 8 (3)."
    side: Whole | None = None
    "Pixels of a patch's side (64)."
    dominant_noise_norm: float | None = None
    "Norm of the dominant noise; a digit has 1 (7.15)."
    background_noise_norm: float | None = None
    "Norm of a background patch (3.4)."
    width: Whole | None = None
    "Filters of the ReLU network (32)."
    init_std: float | None = None
    "σ_0 of the initial weights (0.01)."
    step_size: float | None = None
    "η (8)."
    num_steps: Whole | None = None
    "Gradient steps (2000)."
    num_tests: Whole | None = None
    "Fresh test points of each subclass (100)."

    def fields(self) -> dict[str, Any]:
        """The settings' fields that were given."""
        given = {option.name: getattr(self, option.name) for option in fields(self)}
        given = {name: value for name, value in given.items() if value is not None}
        if "counts" in given:
            given["counts"] = parse_list("counts", given["counts"], int)
        if "cut" in given:
            text = given.pop("cut")
            given["num_cut"] = () if text == "none" else parse_list("cut", text, int)
        return given


def canvas(
    *,
    options: CanvasOptions | None = None,
    seeds: str = "30",
    out: Path | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(name="--json", negative="")] = False,
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
    json
        Print the record as JSON on stdout, everything else on stderr.
    """
    from augscope.cli import show
    from augscope.studies.canvas.settings import CanvasSettings
    from augscope.support.files import claim

    settings = CanvasSettings(**(options or CanvasOptions()).fields())
    chosen = read_seeds(seeds)
    _check_extra()
    from augscope.studies.canvas.record import COMMAND, FILES, files_of
    from augscope.studies.canvas.study import run_study

    folder = None if out is None else claim(out, COMMAND, settings.identity, overwrite=overwrite, names=FILES)
    try:
        with show.progress_bar() as progress:
            study = run_study(settings, chosen, progress)
    except FloatingPointError as error:
        print(f"augscope: {error}", file=sys.stderr)
        return 1
    _show(study, as_json=json)
    if folder is not None:
        written = folder.write(files_of(study))
        print(f"Written to {folder.path}: {', '.join(path.name for path in written)}", file=sys.stderr)
    return 0


def _check_extra() -> None:
    """Raise ValueError if a package of the extra is missing."""
    for module, package in (("torch", "torch"), ("sklearn", "scikit-learn"), ("PIL", "Pillow")):
        if find_spec(module) is None:
            raise ValueError(f"`images canvas` needs {package}: pip install 'augscope[images]'")


def _show(study: Study, *, as_json: bool) -> None:
    """The tables and sentences; JSON alone on stdout."""
    from rich.table import Table

    from augscope.cli.show import console
    from augscope.studies.canvas.settings import RARITIES
    from augscope.studies.canvas.wording import conditions, measure_table, statements

    screen = console(to_stderr=as_json)
    titles = {
        "accuracy": "Test accuracy in % (95 % interval over seeds)",
        "clean_share": f"Clean feature's margin over the training margin (even: 1/P = {1 / study.settings.num_patches:.2f})",
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
        screen.print(statement.text, style=tones[statement.tone], markup=False)
    screen.print(conditions(study), markup=False, style="dim")
    if as_json:
        from json import dumps

        from augscope.studies.canvas.record import to_record

        print(dumps(to_record(study), allow_nan=False, indent=2, ensure_ascii=False))
