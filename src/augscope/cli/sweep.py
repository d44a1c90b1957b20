"""`augscope sweep`."""

from __future__ import annotations

import json as json_module
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from cyclopts import Parameter

from augscope.cli.kinds import Flag, Json, Whole
from augscope.support.extras import needs_extra
from augscope.support.wording import in_words

SILENT_SECONDS = 60.0  # a running sweep writes its progress after each batch of cells


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How cells are run.

    Attributes:
        workers: Processes on this machine.
        scheduler: Address of a running dask scheduler, such as tcp://10.0.0.5:8786, in place of local processes (needs the extra
            `cluster`).
        retry_failed: Run cells again that are recorded as failed.
    """

    workers: Whole = 1
    scheduler: str | None = None
    retry_failed: Flag = False


def sweep(
    grid: Path | None = None,
    /,
    *,
    out: Path | None = None,
    setting: str | None = None,
    options: RunOptions | None = None,
    status: Path | None = None,
    json: Json = False,
) -> int:
    """Run every cell of a grid of experiments that the folder does not hold yet: resumable, on one machine or many.

    Exit status: 0 if every cell is recorded, 1 if some are recorded as failed, 2 for bad usage, 3 if it stopped early
    (the same command goes on).

    Parameters
    ----------
    grid
        A TOML file with axes, derived fields, methods and seeds; see `augscope.Sweep` and examples/sweeps.
    out
        Folder for the records.
    setting
        One of the file's settings, such as `small`.
    status
        Say how far the sweep in this folder is, and do nothing else.
    json
        Print the result as JSON on stdout, everything else on stderr.
    """
    with needs_extra("`sweep`", "sweep"):
        from augscope.sweep.folder import SweepFolder
    if status is not None:
        state = SweepFolder(status).read_progress()
        print(json_module.dumps(asdict(state)) if json else state)
        silent = time.time() - state.updated
        if state.state == "running" and silent > SILENT_SECONDS:
            word = f"{in_words(silent)} ago, by process {state.process} on {state.machine}"
            print(f"augscope: last heard of {word}: a long cell, or a machine that is gone", file=sys.stderr)
        return 0
    if grid is None or out is None:
        raise ValueError("`sweep` needs a grid and a folder: augscope sweep GRID.toml --out DIR, or --status DIR")
    from augscope.cli.show import progress_bar
    from augscope.sweep.grid import Sweep
    from augscope.sweep.run import run_sweep

    cells = Sweep.from_toml(grid, setting)
    with progress_bar() as report:
        run_options = asdict(options or RunOptions())
        outcome = run_sweep(cells, out, **run_options, progress=lambda state: report(str(state), state.share))
    for name, reason in outcome.set_aside.items():
        print(
            f"augscope: records/{name} {reason}: set aside in {out / 'set-aside'}, its cells were run again",
            file=sys.stderr,
        )
    if outcome.stopped is not None:
        print(f"augscope: {outcome.stopped}; what was recorded is kept, the same command goes on", file=sys.stderr)
    print(json_module.dumps(asdict(outcome)) if json else outcome.progress)
    return 3 if outcome.stopped is not None else 1 if outcome.progress.failed else 0
