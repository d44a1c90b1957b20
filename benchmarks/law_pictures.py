"""The small pictures of docs/augmentation-laws.md: where pixels are replaced, and how large a share, measured and claimed."""

from __future__ import annotations

import numpy as np

from augscope.laws import Certificate, Claims

SHADES = 10  # of coverage: few, so that noise does not look like a pattern
EDGE = 1e-6  # a share at the edge of two bins belongs to the upper one, as in the record
CELL, GAP, TALL, WIDE = 5, 16, 80, 150  # in SVG units: a pixel of the map; between the parts; the histogram
INK, LINE, FRAME = "#3f7fbf", "#e07b1a", "#8c8c8c"  # legible on white and on black


def picture(certificate: Certificate, claims: Claims) -> bytes:
    """One row of the table as SVG: coverage on the left, the law of the share on the right.

    Left: P(pixel is replaced | something is), from 0 (empty) to 1 (full colour), on the image of the check; of a blend, the mean
    weight of the other image. Right: histogram of the share, bars as measured, the line as claimed.
    """
    counts = np.array(certificate.measured.get("share_histogram", [0]), float)
    mean = certificate.measured.get("share_mean", 0.0)
    coverage = np.full((16, 24), mean) if certificate.coverage is None else certificate.coverage
    height, width = coverage.shape[0] * CELL, coverage.shape[1] * CELL
    measured = counts / max(counts.sum(), 1)
    expected = expected_shares(claims, coverage.shape, len(counts))
    top = max(measured.max(), 0.0 if expected is None else expected.max(), 1e-9)
    parts = [_shades(coverage), _frame(0, width, height), _bars(measured / top, width + GAP, height)]
    if expected is not None:
        parts.append(_steps(expected / top, width + GAP, height))
    parts.append(_frame(width + GAP, WIDE, height))
    words = f"coverage {coverage.min():.2f} to {coverage.max():.2f}, mean share {mean:.2f}"
    box = f"-1 -1 {width + GAP + WIDE + 2} {height + 2}"
    size = f'width="{width + GAP + WIDE + 2}" height="{height + 2}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" {size} role="img"><title>{words}</title>'
    return "\n".join([head, *parts, "</svg>", ""]).encode()


def expected_shares(claims: Claims, size: tuple[int, int], bins: int) -> np.ndarray | None:
    """P(the share is in a bin | something is pasted) by the claims; None where they name no law, or two."""
    edges = np.linspace(0, 1, bins + 1)
    if claims.kind != "choice" and claims.blend_law is not None:
        inner = np.clip(edges, 0.05, 1)  # smaller shares of blends do not count as pasted
        upto = claims.blend_law.share_cdf(inner)
        return np.diff(upto) / (upto[-1] - upto[0])
    if claims.kind == "choice" or len(claims.mask_laws) != 1:
        return None
    law = claims.mask_laws[0].share(*size).given_pasted()
    upto = law.cdf(edges - EDGE)
    upto[-1] = 1.0
    return np.diff(upto)


def _shades(coverage: np.ndarray) -> str:
    """One path a shade, of horizontal bars."""
    shades, paths = (coverage * SHADES).round().astype(int), []
    for shade in range(1, SHADES + 1):
        bars = [
            f"M{start * CELL} {y * CELL}h{(end - start) * CELL}v{CELL}h-{(end - start) * CELL}z"
            for y, row in enumerate(shades == shade)
            for start, end in _runs(row)
        ]
        if bars:
            paths.append(f'<path fill="{INK}" opacity="{shade / SHADES:.4g}" d="{"".join(bars)}"/>')
    return "\n".join(['<g shape-rendering="crispEdges">', *paths, "</g>"])


def _runs(row: np.ndarray) -> list[tuple[int, int]]:
    """Starts and ends of what is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def _bars(heights: np.ndarray, left: int, height: int) -> str:
    step = WIDE / len(heights)
    bars = [
        f"M{left + k * step:g} {height}h{step - 1:g}v-{value * (height - 4):.1f}h-{step - 1:g}z"
        for k, value in enumerate(heights)
        if value > 0
    ]
    return f'<path fill="{INK}" opacity="0.75" d="{"".join(bars)}"/>'


def _steps(heights: np.ndarray, left: int, height: int) -> str:
    step = WIDE / len(heights)
    line = "".join(f"V{height - value * (height - 4):.1f}h{step:g}" for value in heights)
    return f'<path fill="none" stroke="{LINE}" stroke-width="1.6" d="M{left} {height}{line}"/>'


def _frame(left: int, width: int, height: int) -> str:
    return f'<rect x="{left}" width="{width}" height="{height}" fill="none" stroke="{FRAME}"/>'
