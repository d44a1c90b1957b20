"""`augscope phase`."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from augscope.cli.options import Whole


def phase(
    folder: Path,
    /,
    *,
    x: str,
    y: str,
    value: str = "accuracy",
    panels: str | None = None,
    where: str = "true",
    minus: str | None = None,
    level: float | None = None,
    boundary: list[str] | None = None,
    title: str | None = None,
    refine: Whole | None = None,
    workers: Whole = 1,
    out: Path | None = None,
    json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Draw a phase diagram of a sweep: heat map with contour, seed spread, and the boundaries that theory predicts.

    Writes phase.png, phase.svg, phase.csv and phase.json to --out.

    Parameters
    ----------
    folder
        The sweep's folder; it may still be running.
    x
        Across: a column, a free parameter of the grid, or an SQL expression of both.
    y
        Up: likewise.
    value
        The colour: likewise, such as "feature_accuracy[2]".
    panels
        A column whose values each get a panel, such as `method`.
    where
        Which records, an SQL condition.
    minus
        An SQL condition: show the difference to the record of the same experiment and seed that meets it.
    level
        Of the value, where the contour runs; by default half way.
    boundary
        `dominant`, `background` (R(σ_d), R(σ_b) = 0.7 of the rarest feature, or with :k of feature k), `erm`, `cutout` (the same,
        for any α), `kappa`, `kappa=x`, or EXPRESSION=LEVEL; several may be given. By default those of each panel's method.
    title
        Of the picture.
    refine
        First run this many more places of the grid, where the value changes fastest, with everything else as in the grid.
    workers
        For --refine: processes on this machine.
    out
        Folder for the pictures; by default the sweep's folder.
    json
        Print the diagram's data as JSON on stdout, everything else on stderr.
    """
    from augscope.cli.tables import sweep_progress
    from augscope.phase import phase_diagram, write_phase
    from augscope.records import Records

    def draw():
        records = Records(folder)
        for name, reason in records.problems.items():
            print(f"augscope: records/{name} {reason}: left out", file=sys.stderr)
        shown = records.title if title is None else title
        return phase_diagram(
            records,
            x=x,
            y=y,
            value=value,
            panels=panels,
            where=where,
            minus=minus,
            level=level,
            boundaries=boundary,
            title=shown,
        )

    diagram = draw()
    if refine is not None:
        from augscope.sweep.refinement import refine as run_refined

        with sweep_progress() as tell:
            outcome = run_refined(folder, diagram, refine, workers=workers, progress=tell)
        print(f"augscope: {outcome.progress}", file=sys.stderr)
        diagram = draw()
    paths = write_phase(diagram, folder if out is None else out)
    print(json_module.dumps(diagram.to_dict(), allow_nan=False) if json else "\n".join(map(str, [diagram, *paths])))
    return 0
