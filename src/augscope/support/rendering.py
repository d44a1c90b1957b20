"""Matplotlib figures: axes to draw on, and figures as the bytes of files."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from augscope.support.values import check

UNDATED = {"svg": {"Date": None}, "png": {"Software": None}, "pdf": {"CreationDate": None}}  # metadata left out


def shown_name(name: str, longest: int = 24) -> str:
    """Return a user's name as a figure can show it: cut to a length, its $ starting no formula."""
    return (name if len(name) <= longest else name[: longest - 1] + "…").replace("$", r"\$")


@contextmanager
def _any_letters() -> Iterator[None]:
    """Draw letters that the font lacks as boxes, without a warning for each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def axes_grid(axes: Any, rows: int, columns: int, size: tuple[float, float] | None = None) -> np.ndarray:
    """Return given axes as an array (rows, columns), or those of a new figure of pyplot's (None), which notebooks show; its size in inches.

    Raises:
        ValueError: if they are of another number.
    """
    if axes is None:
        from matplotlib import pyplot as plt

        size = size or (max(6.2, 4.1 * columns), 3.1 * rows)
        return plt.subplots(
            rows, columns, sharex=True, sharey="row", squeeze=False, figsize=size, layout="constrained"
        )[1]
    grid = np.array(axes, dtype=object)
    check(grid.size == rows * columns, f"`axes` must be {rows} × {columns} of matplotlib's axes, got {grid.size}")
    return grid.reshape(rows, columns)


def to_bytes(figure: Figure, kind: str) -> bytes:
    """Return the figure as "png" (at 160 dots an inch), "svg" or "pdf" bytes; equal figures give equal bytes."""
    buffer = io.BytesIO()
    with _any_letters(), rc_context({"svg.hashsalt": "augscope", "svg.fonttype": "path"}):
        figure.savefig(buffer, format=kind, dpi=160, metadata=UNDATED[kind])
    return buffer.getvalue()


def lay_out(figure: Figure) -> None:
    """Lay the figure out once for all kinds of file: that takes longer than drawing."""
    engine = figure.get_layout_engine()
    if engine is not None:
        with _any_letters():
            engine.execute(figure)
        figure.set_layout_engine(None)  # with "none", every file would be drawn twice
