"""`augscope report`."""

from __future__ import annotations

from pathlib import Path

from augscope.cli.kinds import Flag, Json
from augscope.cli.options import OutputOptions


def report(
    folder: Path,
    /,
    *,
    out: Path | None = None,
    trust: Flag = False,
    json: Json = False,
) -> int:
    """Draw the report of a finished `verify` or `train` again from its record, without training.

    Prints the tables, and writes pictures, data and report.html. Exit status: as `verify`; 0 for a `train`.

    Parameters
    ----------
    folder
        What `--out` was given to the run: it holds record.json.
    out
        Folder for the files; by default the same one.
    trust
        Import methods and activations of your own that the record names; importing runs their modules.
    json
        Print the result as JSON on stdout, everything else on stderr.
    """
    from augscope.cli import show
    from augscope.theorems.record import read_results

    results = read_results(folder, trust=trust)
    output = OutputOptions(out=folder if out is None else out, json=json)
    place = show.claim_folder(output, results.command, results.experiment)
    show.finish(results, output, place)
    return 0 if results.verdict is None else results.verdict.exit_status
