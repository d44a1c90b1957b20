"""A certificate as one HTML page that needs no other file: rules, coverage maps, and a strip of example masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from augscope.laws.certificate import Certificate, Check
from augscope.support.pages import render

SHADES = 16  # of a coverage map: neighbours of one shade are drawn as one bar
CELL = 8  # of a pixel of a mask or map, in SVG units


def html_page(certificate: Certificate) -> str:
    """Return the page; every value is escaped."""
    return render(
        "law.html",
        certificate=certificate,
        rows=[_row(check) for check in certificate.checks],
        maps=_maps(certificate),
        examples=[_mask(mask, number) for number, mask in enumerate(_examples(certificate), start=1)],
    )


def _row(check: Check) -> dict[str, str]:
    tone = {"holds": "holds", "fails": "violated"}.get(check.verdict, "reported")
    return {
        "name": check.name,
        "verdict": check.verdict,
        "tone": tone,
        "defect": check.defect or "",
        "evidence": check.evidence,
    }


def _examples(certificate: Certificate) -> np.ndarray:
    return np.zeros((0, 1, 1), bool) if certificate.examples is None else certificate.examples


def _maps(certificate: Certificate) -> list[dict[str, Any]]:
    """The measured coverage and the expected one, in one scale that begins at 0: noise is not to look like a pattern."""
    named = [("Measured", certificate.coverage), ("Expected by the law", certificate.expected_coverage)]
    shown = [(title, values) for title, values in named if values is not None]
    if not shown:
        return []
    high = max(float(values.max()) for _, values in shown)
    return [_map(title, values, high) for title, values in shown]


def _map(title: str, values: np.ndarray, high: float) -> dict[str, Any]:
    """Horizontal bars, each of one shade: opacity from 0 (never pasted) to 1 (`high`)."""
    shades = (values / high * SHADES).round().astype(int)
    bars = [(y, x, length, f"{shade / SHADES:.4g}") for y, x, length, shade in _runs(shades) if shade]
    label = f"{title}: P(pixel pasted, given that some are) from {values.min():.3f} to {values.max():.3f}"
    return {
        "title": title,
        "label": label,
        "bars": bars,
        "height": values.shape[0] * CELL,
        "width": values.shape[1] * CELL,
        "cell": CELL,
    }


def _mask(mask: np.ndarray, number: int) -> dict[str, Any]:
    bars = [(y, x, length, "1") for y, x, length, value in _runs(mask.astype(int)) if value]
    label = f"Example {number}: {mask.mean():.1%} of the pixels are pasted"
    return {
        "title": f"{mask.mean():.2f}",
        "label": label,
        "bars": bars,
        "height": mask.shape[0] * CELL,
        "width": mask.shape[1] * CELL,
        "cell": CELL,
    }


def _runs(values: np.ndarray) -> list[tuple[int, int, int, int]]:
    """(row, first column, length, value) of all runs of equal values in the rows."""
    found = []
    for y, row in enumerate(values):
        edges = np.flatnonzero(np.diff(row)) + 1
        for start, end in zip([0, *edges], [*edges, len(row)], strict=True):
            found.append((y, int(start), int(end - start), int(row[start])))
    return found
