"""An audit as one HTML page that needs no other file."""

from __future__ import annotations

from typing import Any

from augscope.images.plan import METHODS
from augscope.studies.audit.examples import Example, examples
from augscope.studies.audit.exposure import MAX_BATCHES
from augscope.studies.audit.recommendation import p_text, share
from augscope.studies.audit.result import Audit, tables
from augscope.studies.audit.settings import REFERENCE
from augscope.studies.audit.subgroups import GroupAccuracy
from augscope.support.pages import Download, data_address, picture, render


def html_page(audit: Audit, svg: bytes, again: str) -> str:
    """Return the page.

    Args:
        audit: what was found.
        svg: the figure, as a file.
        again: the command line that runs it again.
    """
    files = [Download(name, content) for name, content in tables(audit).items()]
    data = audit.data
    return render(
        "audit.html",
        words=audit.words,
        warnings=audit.measured.warnings,
        notes=data.notes,
        methods=[METHODS[method] for method in audit.settings.methods],
        svg=picture(
            svg, "Test accuracy of each subgroup under each method, with 95 % intervals", min_width=36, max_width=50
        ),
        files={file.name: file for file in files},
        accuracies=_accuracy_rows(audit),
        training=_training_rows(audit),
        comparisons=_comparison_rows(audit),
        exposures=_exposure_tables(audit),
        galleries=_galleries(audit),
        configuration={name: _text(value) for name, value in audit.settings.model_dump(mode="json").items()},
        sizes=f"{len(data.train):,} training and {len(data.test):,} test images of {data.size} × {data.size} pixels, {data.channels} channel{'s' * (data.channels > 1)}",
        seeds=len(audit.settings.seeds),
        identity=audit.identity,
        versions=audit.versions,
        again=again,
    )


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "by default" if value is None else str(value)


def _counted(audit: Audit) -> list[str]:
    count = len(audit.data.groups)
    train, test = audit.data.train.counts(count), audit.data.test.counts(count)
    return [f"{group.name} ({train[g]:,} / {test[g]:,})" for g, group in enumerate(audit.data.groups)]


def _rows(audit: Audit, cell: Any) -> list[dict[str, Any]]:
    """A row for each subgroup and one for all images: `cell` makes the text of one."""
    methods, found = audit.settings.methods, audit.measured
    rows = [
        {"name": name, "values": [cell(found.accuracies[method, g]) for method in methods]}
        for g, name in enumerate(_counted(audit))
    ]
    return [*rows, {"name": "all images", "values": [cell(found.overall[method]) for method in methods]}]


def _accuracy_rows(audit: Audit) -> list[dict[str, Any]]:
    return _rows(audit, lambda cell: share(cell.test))


def _training_rows(audit: Audit) -> list[dict[str, Any]]:
    def text(cell: GroupAccuracy) -> str:
        fitted = "–" if cell.train is None else f"{100 * cell.train.estimate:.1f} %"
        return f"{fitted}, {cell.status}"

    return _rows(audit, text)


def _comparison_rows(audit: Audit) -> list[dict[str, Any]]:
    """Rows whose tone tells what is claimed: better, worse, or neither."""
    rows = []
    for found in audit.measured.comparisons:
        gain = found.difference.estimate > 0
        verdict = (
            ("better" if gain else "worse") if found.claimed else "too small" if found.adjusted is None else "open"
        )
        rows.append(
            {
                "method": METHODS[found.method],
                "group": audit.data.groups[found.group].name,
                "difference": f"{100 * found.difference.estimate:+.1f}",
                "interval": f"{100 * found.difference.low:+.1f} to {100 * found.difference.high:+.1f}",
                "p_value": p_text(found.difference.p_value),
                "adjusted": p_text(found.adjusted),
                "verdict": verdict,
                "tone": {"better": "holds", "worse": "violated"}.get(verdict, "reported"),
            }
        )
    return rows


def _exposure_tables(audit: Audit) -> dict[str, Any]:
    """Shares by subgroup, one column a method; and for mixing methods, with what each subgroup shares its images."""
    methods, names = audit.settings.methods, [group.name for group in audit.data.groups]
    found = audit.exposures

    def rows(column: str) -> list[dict[str, Any]]:
        return [
            {"name": name, "values": [f"{100 * getattr(found[m], column)[g]:.2f} %" for m in methods]}
            for g, name in enumerate(names)
        ]

    pairs = [
        {
            "title": METHODS[method],
            "rows": [
                {"name": name, "values": [f"{100 * value:.2f} %" for value in found[method].mixed_with[g]]}
                for g, name in enumerate(names)
            ],
        }
        for method in methods
        if method.startswith("cutmix")
    ]
    columns = ("weight", "pixels", "images", "unmixed")
    batches = min(audit.settings.steps, MAX_BATCHES)
    return {**{column: rows(column) for column in columns}, "pairs": pairs, "names": names, "batches": batches}


def _galleries(audit: Audit) -> list[dict[str, Any]]:
    """What each method gets right that ERM does not, and the other way round; kinds without any are left out."""
    galleries = []
    for method in audit.settings.methods:
        for sign in (1, -1) if method != REFERENCE else ():
            found = examples(audit.data, audit.settings, audit.runs, method, sign)
            title = METHODS[method], METHODS[REFERENCE]
            title = title if sign == 1 else title[::-1]
            if found:
                galleries.append(
                    {"title": f"{title[0]} right, {title[1]} wrong", "pictures": [_shown(e) for e in found]}
                )
    return galleries


def _shown(example: Example) -> dict[str, str]:
    said = f"{example.group}: right {example.method_right} times, ERM {example.reference_right}"
    return {
        "address": data_address(example.png, "png"),
        "label": f"Test image {example.name}, {said}",
        "name": example.name,
        "said": said,
    }
