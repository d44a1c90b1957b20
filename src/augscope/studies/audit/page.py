"""An audit as one HTML page that needs no other file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from augscope.images.plan import METHODS
from augscope.studies.audit.csv_files import csv_files
from augscope.studies.audit.examples import examples
from augscope.studies.audit.explanations import INTRODUCTION
from augscope.studies.audit.exposure import MAX_BATCHES, Exposure
from augscope.studies.audit.recommendation import share
from augscope.studies.audit.result import Audit
from augscope.studies.audit.settings import REFERENCE
from augscope.studies.audit.subgroups import Comparison, GroupAccuracy
from augscope.support.command_line import NextStep
from augscope.support.pages import Download, picture, render
from augscope.support.wording import p_value_text

SHARES = {  # of `Exposure`, and their titles
    "images": "images that show some of it",
    "unmixed": "images of its label alone",
    "pixels": "visible pixels",
    "weight": "label weight",
}
CHANGED = 0.25  # relative to ERM: from here on a share is highlighted
LABEL = "Test accuracy of each subgroup under each method, with 95 % intervals"


def html_page(audit: Audit, svg: bytes, again: str, next_step: NextStep) -> str:
    """Return the page.

    Args:
        audit: the result.
        svg: the figure, as a file.
        again: the command line that runs it again.
        next_step: the one to try next.
    """
    files = [Download(name, content) for name, content in csv_files(audit).items()]
    data = audit.study.data
    channels = "1 channel" if data.channels == 1 else f"{data.channels} channels"
    return render(
        "audit.html",
        words=audit.words,
        collapsed=audit.measured.collapsed,
        warnings=audit.warnings,
        notes=data.notes,
        methods=[METHODS[method] for method in audit.study.settings.methods],
        svg=picture(svg, LABEL, min_width=36, max_width=50),
        files={file.name: file for file in files},
        accuracies=_rows(audit, lambda cell: share(cell.test)),
        training=_rows(audit, _training_text),
        comparisons=_comparison_rows(audit),
        exposures=_exposures(audit),
        galleries=_galleries(audit),
        configuration={name: _text(value) for name, value in audit.study.settings.model_dump(mode="json").items()},
        sizes=f"{len(data.train):,} training and {len(data.test):,} test images of {data.size} × {data.size} pixels, {channels}",
        seeds=len(audit.study.settings.seeds),
        identity=audit.study.identity,
        versions=audit.versions,
        again=again,
        introduction=INTRODUCTION,
        next_step=next_step,
    )


def _text(value: Any) -> str:
    if value is None:
        return "by default"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _rows(audit: Audit, text: Callable[[GroupAccuracy], str]) -> list[dict[str, Any]]:
    """A row for each subgroup and one for all images: `text` makes that of a cell."""
    data, measured, methods = audit.study.data, audit.measured, audit.study.settings.methods
    train, test = data.train.counts(len(data.groups)), data.test.counts(len(data.groups))
    rows = []
    for index, group in enumerate(data.groups):
        cells = [text(measured.accuracies[method, index]) for method in methods]
        rows.append({"name": f"{group.name} ({train[index]:,} / {test[index]:,})", "values": cells})
    return [*rows, {"name": "all images", "values": [text(measured.overall[method]) for method in methods]}]


def _training_text(cell: GroupAccuracy) -> str:
    fitted = "–" if cell.train is None else f"{100 * cell.train.estimate:.1f} %"
    return f"{fitted}, {cell.status}"


def _comparison_rows(audit: Audit) -> list[dict[str, Any]]:
    """Rows whose tone tells what is claimed: better, worse, or neither."""
    rows = []
    for comparison in audit.measured.comparisons:
        difference, adjusted = comparison.difference, comparison.adjusted
        verdict, tone = _verdict(comparison)
        rows.append(
            {
                "method": METHODS[comparison.method],
                "group": audit.study.data.groups[comparison.group].name,
                "difference": f"{100 * difference.estimate:+.1f}",
                "interval": f"{100 * difference.low:+.1f} to {100 * difference.high:+.1f}",
                "p_value": p_value_text(difference.p_value),
                "adjusted": "–" if adjusted is None else p_value_text(adjusted),
                "verdict": verdict,
                "tone": tone,
            }
        )
    return rows


def _verdict(comparison: Comparison) -> tuple[str, str]:
    """What is claimed of a difference, in a word, and the tone to print it in."""
    if comparison.claimed:
        return ("better", "holds") if comparison.difference.estimate > 0 else ("worse", "violated")
    return ("too small" if comparison.adjusted is None else "open"), "reported"


def _exposures(audit: Audit) -> dict[str, Any]:
    """Shares by subgroup and method; and for mixing methods, with what each subgroup shares its images."""
    methods, names = audit.study.settings.methods, [group.name for group in audit.study.data.groups]
    groups = [
        {
            "name": name,
            "rows": [
                {
                    "method": METHODS[method],
                    "cells": _shares(audit.exposures[method], audit.exposures[REFERENCE], index),
                }
                for method in methods
            ],
        }
        for index, name in enumerate(names)
    ]
    pairs = [
        {"title": METHODS[method], "rows": _pair_rows(names, audit.exposures[method].mixed_with)}
        for method in methods
        if method.startswith("cutmix")
    ]
    batches = min(audit.study.settings.steps, MAX_BATCHES)
    return {"columns": SHARES.values(), "groups": groups, "pairs": pairs, "names": names, "batches": batches}


def _shares(exposure: Exposure, reference: Exposure, group: int) -> list[dict[str, Any]]:
    """One method's shares of one subgroup, and which differ from ERM's."""
    cells = []
    for name in SHARES:
        value, usual = getattr(exposure, name)[group], getattr(reference, name)[group]
        cells.append({"text": f"{100 * value:.2f} %", "changed": abs(value - usual) >= CHANGED * usual > 0})
    return cells


def _pair_rows(names: list[str], table: np.ndarray) -> list[dict[str, Any]]:
    return [
        {"name": name, "values": [f"{100 * value:.2f} %" for value in row]}
        for name, row in zip(names, table, strict=True)
    ]


def _galleries(audit: Audit) -> list[dict[str, Any]]:
    """What each method gets right that ERM does not, and the other way round; kinds without any are left out."""
    galleries = []
    for method in audit.study.settings.methods:
        if method == REFERENCE:
            continue
        for sign, right, wrong in ((1, method, REFERENCE), (-1, REFERENCE, method)):
            pictures = examples(audit.study, audit.runs, method, sign)
            if pictures:
                galleries.append({"title": f"{METHODS[right]} right, {METHODS[wrong]} wrong", "pictures": pictures})
    return galleries
