"""An audit as one HTML page that needs no other file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from augscope.images.plan import title
from augscope.studies.audit.calibration import NO_INTERVAL
from augscope.studies.audit.confusions import mistakes_text
from augscope.studies.audit.csv_files import csv_files
from augscope.studies.audit.examples import examples, samples
from augscope.studies.audit.explanations import INTRODUCTION, SUBGROUP
from augscope.studies.audit.exposure import MAX_BATCHES, Exposure
from augscope.studies.audit.recommendation import share
from augscope.studies.audit.result import Audit, Result
from augscope.studies.audit.settings import REFERENCE
from augscope.studies.audit.subgroups import Comparison, GroupAccuracy
from augscope.support.command_line import NextStep
from augscope.support.pages import Download, picture, render
from augscope.support.statistics import Interval
from augscope.support.wording import p_value_text

SHARES = {  # of `Exposure`, and their titles
    "images": "images that show some of it",
    "unmixed": "images of its label alone",
    "pixels": "visible pixels",
    "weight": "label weight",
}
CALIBRATION = {  # of `Calibration`, and their titles
    "brier": "Brier score",
    "log_loss": "Log loss",
    "error": "Calibration error of the predicted class",
}
CHANGED = 0.25  # relative to ERM: from here on a share is highlighted
LABEL = "Test accuracy of each subgroup under each method, with 95 % intervals"


def html_page(audit: Audit, svg: bytes, again: str, next_step: NextStep | None) -> str:
    """Return the page.

    Args:
        audit: the result.
        svg: the figure, as a file.
        again: the command line that runs it again; empty where Python did.
        next_step: the one to try next, if there is one.
    """
    data = audit.study.data
    channels = "1 channel" if data.channels == 1 else f"{data.channels} channels"
    return render(
        "audit.html",
        **_common(audit, svg, again),
        laws=audit.laws.values(),
        exposures=_exposures(audit),
        galleries=_galleries(audit),
        samples=samples(data),
        stored=data.stored,
        configuration={name: _text(value) for name, value in audit.study.settings.model_dump(mode="json").items()},
        sizes=f"{len(data.train):,} training and {len(data.test):,} test images of {data.size} × {data.size} pixels, {channels}",
        identity=audit.study.identity,
        introduction=INTRODUCTION,
        next_step=next_step,
    )


def comparison_page(result: Result, svg: bytes, again: str, identity: str) -> str:
    """Return the page of trainings that the user made; arguments as for `html_page`, `identity` of the table."""
    data = result.design.data
    return render(
        "compare.html",
        **_common(result, svg, again),
        calibrations=_calibrations(result),
        no_interval=NO_INTERVAL,
        sizes=f"{len(data.train):,} training and {len(data.test):,} test images",
        identity=identity,
        introduction=SUBGROUP,
    )


def _common(result: Result, svg: bytes, again: str) -> dict[str, Any]:
    """What both pages show, by the templates' names."""
    design = result.design
    files = [Download(name, content) for name, content in csv_files(result).items()]
    return {
        "words": result.words,
        "collapsed": result.measured.collapsed,
        "warnings": result.warnings,
        "notes": design.data.notes,
        "methods": [title(method) for method in design.methods],
        "reference": title(design.reference),
        "svg": picture(svg, LABEL, min_width=36, max_width=50),
        "files": {file.name: file for file in files},
        "accuracies": _rows(result, lambda cell: share(cell.test)),
        "training": _rows(result, _training_text),
        "comparisons": _comparison_rows(result),
        "confusions": _confusions(result),
        "seeds": len(design.seeds),
        "sampled": design.sampled,
        "versions": result.versions,
        "again": again,
    }


def _text(value: Any) -> str:
    if value is None:
        return "by default"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _rows(result: Result, text: Callable[[GroupAccuracy], str]) -> list[dict[str, Any]]:
    """A row for each subgroup and one for all images: `text` makes that of a cell."""
    measured, methods = result.measured, result.design.methods
    rows = [
        {"name": name, "values": [text(measured.accuracies[method, index]) for method in methods]}
        for index, name in enumerate(_counted_names(result))
    ]
    return [*rows, {"name": "all images", "values": [text(measured.overall[method]) for method in methods]}]


def _counted_names(result: Result) -> list[str]:
    """The subgroups, each with its training and test images."""
    data = result.design.data
    train, test = data.train.counts(len(data.groups)), data.test.counts(len(data.groups))
    return [f"{group.name} ({train[g]:,} / {test[g]:,})" for g, group in enumerate(data.groups)]


def _confusions(result: Result) -> list[dict[str, Any]]:
    design, counts = result.design, result.measured.confusions
    return [
        {"name": name, "values": [mistakes_text(design, counts[method], index) for method in design.methods]}
        for index, name in enumerate(_counted_names(result))
    ]


def _calibrations(result: Result) -> list[dict[str, Any]]:
    """A table for each measure, with a row for each subgroup; none without probabilities."""
    if not result.calibrations:
        return []
    names = [*enumerate(_counted_names(result)), (-1, "all images")]

    def text(value: float | Interval | None) -> str:
        if isinstance(value, Interval):
            return f"{value.estimate:.4f} ({value.low:.3f}–{value.high:.3f})"
        return "–" if value is None else f"{value:.4f}"

    def row(measure: str, index: int, name: str) -> dict[str, Any]:
        cells = [getattr(result.calibrations[method, index], measure) for method in result.design.methods]
        return {"name": name, "values": list(map(text, cells))}

    return [
        {"title": label, "rows": [row(measure, index, name) for index, name in names]}
        for measure, label in CALIBRATION.items()
    ]


def _training_text(cell: GroupAccuracy) -> str:
    fitted = "–" if cell.train is None else f"{100 * cell.train.estimate:.1f} %"
    return f"{fitted}, {cell.status}"


def _comparison_rows(result: Result) -> list[dict[str, Any]]:
    """Rows whose tone tells what is claimed: better, worse, or neither."""
    rows = []
    for comparison in result.measured.comparisons:
        difference, adjusted = comparison.difference, comparison.adjusted
        verdict, tone = _verdict(comparison, result.design.one_seed)
        other = "" if comparison.baseline == result.design.reference else f" vs {title(comparison.baseline)}"
        rows.append(
            {
                "method": title(comparison.method) + other,
                "group": result.design.data.groups[comparison.group].name,
                "difference": f"{100 * difference.estimate:+.1f}",
                "interval": f"{100 * difference.low:+.1f} to {100 * difference.high:+.1f}",
                "p_value": p_value_text(difference.p_value),
                "adjusted": "–" if adjusted is None else p_value_text(adjusted),
                "verdict": verdict,
                "tone": tone,
            }
        )
    return rows


def _verdict(comparison: Comparison, one_seed: bool) -> tuple[str, str]:
    """What is claimed of a difference, in a word, and the tone to print it in."""
    if comparison.claimed:
        return ("better", "holds") if comparison.difference.estimate > 0 else ("worse", "violated")
    untested = "one seed" if one_seed else "too small"
    return (untested if comparison.adjusted is None else "open"), "reported"


def _exposures(audit: Audit) -> dict[str, Any]:
    """Shares by subgroup and method; and for mixing methods, with what each subgroup shares its images."""
    methods, names = list(audit.exposures), [group.name for group in audit.study.data.groups]
    groups = [
        {
            "name": name,
            "rows": [
                {
                    "method": title(method),
                    "cells": _shares(audit.exposures[method], audit.exposures[REFERENCE], index),
                }
                for method in methods
            ],
        }
        for index, name in enumerate(names)
    ]
    pairs = [
        {"title": title(method), "rows": _pair_rows(names, audit.exposures[method].mixed_with)}
        for method in methods
        if method == "mixup" or method.startswith("cutmix")
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
                galleries.append({"title": f"{title(right)} right, {title(wrong)} wrong", "pictures": pictures})
    return galleries
