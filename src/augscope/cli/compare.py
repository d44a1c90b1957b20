"""`augscope images compare`: which subgroups do the user's own trainings learn?"""

from __future__ import annotations

from pathlib import Path

from augscope.cli.kinds import Flag, Json
from augscope.support.command_line import command_line
from augscope.support.extras import needs_extra


def compare(
    predictions: Path,
    *,
    reference: str | None = None,
    attributes: str | None = None,
    pairs: str | None = None,
    out: Path | None = None,
    overwrite: Flag = False,
    json: Json = False,
) -> int:
    """Compare trainings that you made, by subgroup, from a table of their predictions. Nothing is trained.

    Exit status: 0 done, 2 for bad usage or a bad table (everything wrong with it is listed).

    Parameters
    ----------
    predictions
        A CSV or Parquet file, a row an image and training: method, seed, image, y, split (train, val, test, or 0, 1, 2), any attributes, and
        either predicted or a column a class (prob_0, prob_1, … or logit_0, logit_1, …).
    reference
        The method that all others are compared with; by default erm.
    attributes
        The columns to form subgroups by, comma-separated; by default all further ones but id.
    pairs
        What else is compared, comma-separated, such as `mixup vs cutmix`.
    out
        Folder for report.html, pictures, tables and record.json.
    overwrite
        Replace another table's files in `--out`.
    json
        Print the result as JSON on stdout, everything else on stderr.
    """
    with needs_extra("`images compare`", "images"):
        from augscope.studies.audit.compare import comparison_record, conclude_predictions
        from augscope.studies.audit.explanations import size_warning
        from augscope.studies.audit.files import COMPARISON_FILES, comparison_files
        from augscope.studies.audit.predictions import read_predictions
    from json import dumps

    from augscope.cli.audit_terminal import print_audit
    from augscope.cli.terminal import console
    from augscope.support.command_line import parse_names
    from augscope.support.files import claim

    chosen = None if attributes is None else parse_names("attributes", attributes) if attributes else ()
    table = read_predictions(predictions, chosen, reference, () if pairs is None else parse_names("pairs", pairs))
    folder = None
    if out is not None:
        folder = claim(out, "images compare", table.identity, overwrite=overwrite, names=COMPARISON_FILES)
    screen, result = console(to_stderr=True), conclude_predictions(table)
    for note in result.design.data.notes:
        screen.print(f"Note: {note}.")
    if (warning := size_warning(result.design.data)) is not None:
        screen.print(f"Warning: {warning}")
    record = comparison_record(result, table.identity)
    print_audit(result, to_stderr=json)
    if json:
        print(dumps(record, indent=2, allow_nan=False))
    if folder is not None:
        options = {"reference": reference, "attributes": attributes, "pairs": pairs, "out": out}
        again = command_line("images compare", predictions, options=options)
        files = comparison_files(result, record, again, table.identity)
        folder.write(files)
        screen.print(f"Written to {folder.path}: {', '.join(files)}", soft_wrap=True)
    return 0
