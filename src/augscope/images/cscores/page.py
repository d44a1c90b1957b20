"""A study's files: the HTML page, the picture, the tables and the scores."""

from __future__ import annotations

import json

from augscope.images.cscores.figure import distribution_figure
from augscope.images.cscores.published import scores_file
from augscope.images.cscores.results import StudyResult
from augscope.images.cscores.study import ESTIMATE_FIELDS
from augscope.images.cscores.tables import (
    COLUMNS,
    as_dict,
    band_rows,
    misclassified_csv,
    pair_rows,
    rows,
    scores_sentence,
    sentences,
    table_csv,
)
from augscope.pages import Download, picture, render
from augscope.rendering import lay_out, to_bytes
from augscope.store import RECORD
from augscope.versions import versions

SCORES = "cscores.npz"
FILES = (RECORD, "report.html", "cscores.svg", "cscores.png", "table.csv", "misclassified.csv", SCORES)


def files(result: StudyResult, command: str) -> dict[str, bytes]:
    """Return the content of every file of an output folder, by name; the scores only where they were estimated.

    Args:
        result: of the study.
        command: the command line that runs it again.
    """
    figure = distribution_figure(result)
    lay_out(figure)
    svg = to_bytes(figure, "svg")
    found = {
        "cscores.svg": svg,
        "cscores.png": to_bytes(figure, "png"),
        "table.csv": table_csv(result),
        "misclassified.csv": misclassified_csv(result),
        "report.html": html_page(result, svg, command).encode(),
        RECORD: json.dumps({**as_dict(result), "again": command, "versions": _versions()}, allow_nan=False).encode(),
    }
    if result.run.estimate is not None:
        found[SCORES] = scores_file(result.run.data.labels, result.run.scores)
    return found


def html_page(result: StudyResult, svg: bytes, command: str) -> str:
    """Return the page; it needs no other file."""
    label = "; ".join(
        f"{method.title}: mean C-score {method.summary[0].estimate:.2f}, quartiles "
        + ", ".join(f"{found.estimate:.2f}" for found in method.summary[1:])
        for method in result.methods
    )
    bands, band_table = band_rows(result)
    return render(
        "cscores.html",
        result=result,
        sentences=sentences(result),
        tone="holds" if any(pair.differs for pair in result.pairs) else "open",
        scores=scores_sentence(result),
        picture=picture(svg, f"C-scores of misclassified points. {label}", min_width=36),
        label=label,
        columns=COLUMNS,
        rows=rows(result),
        pairs=pair_rows(result),
        bands=bands,
        band_rows=band_table,
        downloads=[
            Download("table.csv", table_csv(result)),
            Download("misclassified.csv", misclassified_csv(result)),
            Download("cscores.svg", svg),
        ],
        settings=_settings(result),
        command=command,
        versions=_versions(),
    )


def _settings(result: StudyResult) -> list[tuple[str, str]]:
    """The exact configuration as pairs for a table."""
    told = result.run.settings.model_dump(mode="json")
    flat = {**told.pop("training"), **told}
    if result.run.estimate is None:
        flat = {name: value for name, value in flat.items() if name not in ESTIMATE_FIELDS}
    shown = {name: ", ".join(map(str, value)) if isinstance(value, list) else value for name, value in flat.items()}
    return [
        ("data", result.run.data.source),
        *((name, str(value)) for name, value in shown.items() if value is not None),
    ]


def _versions() -> dict[str, str]:
    import torch

    return {**versions(), "torch": torch.__version__}
