"""A certificate as one HTML page that needs no other file: rules, coverage maps, and a strip of example masks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from augscope.laws.certificate import Certificate
from augscope.support.pages import render

SHADES = 16  # of a coverage map: neighbours of one shade are drawn as one bar
CELL = 8  # of a pixel of a mask or map, in SVG units
TONES = {"holds": "holds", "fails": "violated", "reported": "reported"}  # names of the pages' styles


def html_page(certificate: Certificate) -> str:
    """Return the page; every value is escaped."""
    examples = () if certificate.examples is None else certificate.examples
    return render(
        "law.html",
        certificate=certificate,
        tones=TONES,
        cell=CELL,
        maps=_maps(certificate),
        examples=[_example(mask, number) for number, mask in enumerate(examples, start=1)],
    )


def _maps(certificate: Certificate) -> list[dict[str, Any]]:
    """The measured coverage and the expected one, in one scale that begins at 0: noise is not to look like a pattern."""
    maps = {"Measured": certificate.coverage, "Expected by the law": certificate.expected_coverage}
    shown = {title: values for title, values in maps.items() if values is not None}
    high = max((float(values.max()) for values in shown.values()), default=1.0)
    return [_map(title, values, high) for title, values in shown.items()]


def _map(title: str, values: np.ndarray, high: float) -> dict[str, Any]:
    label = f"{title}: P(pixel pasted, given that some are) from {values.min():.3f} to {values.max():.3f}"
    return _drawing(title, label, (values / high * SHADES).round().astype(int))


def _example(mask: np.ndarray, number: int) -> dict[str, Any]:
    label = f"Example {number}: {mask.mean():.1%} of the pixels are pasted"
    return _drawing(f"{mask.mean():.2f}", label, mask.astype(int) * SHADES)


def _drawing(title: str, label: str, shades: np.ndarray) -> dict[str, Any]:
    """Horizontal bars, each of one shade: opacity from 0 to 1."""
    bars = [(y, x, length, f"{shade / SHADES:.4g}") for y, x, length, shade in _runs(shades) if shade]
    height, width = shades.shape
    return {"title": title, "label": label, "bars": bars, "height": height * CELL, "width": width * CELL}


def _runs(values: np.ndarray) -> Iterator[tuple[int, int, int, int]]:
    """(row, first column, length, value) of all runs of equal values in the rows."""
    for y, row in enumerate(values):
        edges = np.flatnonzero(np.diff(row)) + 1
        for start, end in zip([0, *edges], [*edges, len(row)], strict=True):
            yield y, int(start), int(end - start), int(row[start])
