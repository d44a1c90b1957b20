"""`augscope phase`."""

from __future__ import annotations

import json as json_module
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from augscope.cli.kinds import Json, Whole
from augscope.cli.options import changed_options
from augscope.support.command_line import command_line
from augscope.support.extras import needs_extra
from augscope.sweep.phase_options import PhaseOptions


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DiagramOptions(PhaseOptions):
    """Its fields as options; `--boundary` may be given several times."""

    boundaries: Annotated[tuple[str, ...] | None, Parameter(name="--boundary", negative="")] = None

    def command(self, folder: Path) -> str:
        """Return the command that draws the same diagram."""
        changed = changed_options(self)
        boundaries = changed.pop("boundaries", None)
        return command_line("phase", folder, options={**changed, "boundary": list(boundaries or ())})


def phase(
    folder: Path,
    /,
    *,
    options: DiagramOptions,
    refine: Whole | None = None,
    workers: Whole = 1,
    out: Path | None = None,
    json: Json = False,
) -> int:
    """Draw a phase diagram of a sweep: heat map with contour, seed spread, and the boundaries that theory predicts.

    Writes phase.html, phase.png, phase.svg, phase.csv and phase.json to --out.

    Parameters
    ----------
    folder
        The sweep's folder; it may still be running.
    refine
        First run this many more places of the grid, where the value changes fastest, with everything else as in the grid.
    workers
        For --refine: processes on this machine.
    out
        Folder for the pictures; by default the sweep's folder.
    json
        Print the diagram's data as JSON on stdout, everything else on stderr.
    """
    import tomli_w

    from augscope.cli.show import progress_bar
    from augscope.cli.tables import open_records
    from augscope.support.files import check_folder

    with needs_extra("`phase`", "sweep"):
        from augscope.sweep.folder import SweepFolder
        from augscope.sweep.phase import phase_diagram
        from augscope.sweep.phase_page import write_phase

    if out is not None:
        check_folder(out)
    diagram = phase_diagram(open_records(folder), options)
    if refine is not None:
        from augscope.sweep.refinement import refine as run_refined

        with progress_bar() as report:
            outcome = run_refined(
                folder, diagram, refine, workers=workers, progress=lambda state: report(str(state), state.share)
            )
        print(f"augscope: {outcome.progress}", file=sys.stderr)
        diagram = phase_diagram(open_records(folder), options)
    grids = [tomli_w.dumps(sweep.source) for sweep in SweepFolder(folder).grids()]
    paths = write_phase(diagram, folder if out is None else out, grids=grids, again=options.command(folder))
    print(json_module.dumps(diagram.to_dict(), allow_nan=False) if json else "\n".join(map(str, [diagram, *paths])))
    return 0
