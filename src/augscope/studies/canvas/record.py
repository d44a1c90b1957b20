"""A study as files: a record for programs, a table of every seed, a picture and a page."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from augscope.studies.canvas.picture import study_figure
from augscope.studies.canvas.settings import RARITIES, CanvasSettings
from augscope.studies.canvas.study import Study
from augscope.studies.canvas.wording import (
    INTRODUCTION,
    MEASURES,
    comparison_table,
    conditions,
    measure_table,
    statements,
)
from augscope.support.command_line import NextStep, command_line, seeds_text
from augscope.support.files import RECORD
from augscope.support.pages import Download, picture, render
from augscope.support.plain_data import csv_text, plain
from augscope.support.rendering import lay_out, to_bytes
from augscope.support.wording import versions

COMMAND = "images canvas"
FILES = (RECORD, "seeds.csv", "canvas.svg", "canvas.png", "report.html")
VERSIONED = ("augscope", "jax", "jaxlib", "numpy", "scipy", "scikit-learn", "pillow")
SEED_MEASURES = ("accuracy", "fitted", "training_margin", "clean_margin", "clean_share")
LABEL = "Above, three example points. Below, test accuracy and the digit's share of the margin, by rarity and method."
CAPTION = (
    "Above: a training point of each rarity; its patches, each in its own grey scale. Below: means over seeds with 95 % "
    "intervals of test accuracy (left) and of the digit's share of the margin (right)."
)


def to_record(study: Study) -> dict[str, Any]:
    """Return the study as nested dictionaries and lists for JSON; numbers that are not finite become null."""
    return {
        "format": 1,
        "command": COMMAND,
        "identity": study.identity,
        "configuration": study.settings.model_dump(mode="json"),
        "seeds": list(study.seeds),
        "again": again(study),
        "versions": versions(VERSIONED),
        "statements": [statement._asdict() for statement in statements(study)],
        "methods": {title: _method(study, title) for title in study.measures},
        "comparisons": [
            {
                "rarity": row.rarity,
                "first": row.first,
                "second": row.second,
                **plain(row.difference._asdict()),
                "adjusted_p_value": row.adjusted,
            }
            for row in study.comparisons
        ],
    }


def _method(study: Study, title: str) -> dict[str, Any]:
    means = {
        measure: {
            rarity: plain(study.interval(title, measure, column)._asdict()) for column, rarity in enumerate(RARITIES)
        }
        for measure in SEED_MEASURES
    }
    return {**means, "largest_gradient_norm": float(study.measures[title].gradient_norm.max())}


def seeds_csv(study: Study) -> bytes:
    """Return a row for every seed, method and rarity."""
    rows = []
    for title, measures in study.measures.items():
        values = np.stack([getattr(measures, measure) for measure in SEED_MEASURES], axis=2)
        for index, seed in enumerate(study.seeds):
            for column, rarity in enumerate(RARITIES):
                rows.append([seed, title, rarity, *values[index, column].tolist()])
    return csv_text(["seed", "method", "rarity", *SEED_MEASURES], rows).encode()


def again(study: Study) -> str:
    """Return the command line that runs the study again."""
    settings, standard = study.settings, CanvasSettings()
    changed = {name: value for name, value in settings if value != getattr(standard, name)}
    if "num_cut" in changed:
        changed["cut"] = changed.pop("num_cut") or "none"
    return command_line(COMMAND, options={**changed, "seeds": seeds_text(study.seeds)})


def next_step(study: Study) -> NextStep:
    """Return the command to try next: more seeds where the order is open, else more varied digits or noise."""
    settings = study.settings
    if any(statement.tone == "open" for statement in statements(study)):
        more = replace(study, seeds=tuple(range(2 * len(study.seeds))))
        return NextStep("Do twice as many seeds decide the order?", again(more))
    if settings.preset == "template":
        question, changes = "Does it last where a digit has several images?", {"preset": "homogeneous"}
    elif settings.noise == "gaussian":
        question, changes = "And with photographs as noise?", {"noise": "texture"}
    else:
        question, changes = "And with all digits?", {"preset": "all", "noise": "gaussian"}
    return NextStep(question, again(replace(study, settings=settings.replace(**changes))))


def files_of(study: Study) -> dict[str, bytes]:
    """Return the content of all files, by name."""
    figure = study_figure(study)
    lay_out(figure)
    svg, table = to_bytes(figure, "svg"), seeds_csv(study)
    record = json.dumps(to_record(study), allow_nan=False, indent=2, ensure_ascii=False).encode()
    return {
        RECORD: record,
        "seeds.csv": table,
        "canvas.svg": svg,
        "canvas.png": to_bytes(figure, "png"),
        "report.html": html_page(study, svg, [Download("seeds.csv", table), Download(RECORD, record)]).encode(),
    }


def html_page(study: Study, svg: bytes, downloads: list[Download]) -> str:
    """Return the report as one HTML page that needs no other file."""
    return render(
        "canvas.html",
        conditions=conditions(study),
        statements=statements(study),
        svg=picture(svg, LABEL, min_width=34),
        caption=CAPTION,
        downloads=downloads,
        rarities=RARITIES,
        even=f"{1 / study.settings.num_patches:.2f}",
        tables={measure: _rows(measure_table(study, measure)) for measure in MEASURES},
        comparisons=_rows(comparison_table(study)),
        configuration=json.dumps(study.settings.model_dump(mode="json"), indent=2),
        identity=study.identity,
        seeds=study.seeds,
        gradient_norms={title: f"{measures.gradient_norm.max():.1e}" for title, measures in study.measures.items()},
        versions=versions(VERSIONED),
        again=again(study),
        introduction=INTRODUCTION,
        next_step=next_step(study),
    )


def _rows(rows: list[tuple[str, list[str]]]) -> list[dict[str, Any]]:
    return [{"name": name, "values": values} for name, values in rows]
