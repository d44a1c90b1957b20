"""Figures as files in memory. Apart from `figures`, which loads all that runs are made of."""

from __future__ import annotations

import io

from matplotlib import rc_context
from matplotlib.figure import Figure


def to_bytes(figure: Figure, kind: str) -> bytes:
    """Return the figure as "png" (at 160 dots an inch) or "svg" bytes; equal figures give equal bytes."""
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "augscope", "svg.fonttype": "path"}):
        figure.savefig(buffer, format=kind, dpi=160, metadata={"Date": None} if kind == "svg" else {"Software": None})
    return buffer.getvalue()


def lay_out(figure: Figure) -> None:
    """Lay the figure out once for all kinds of file: it takes longer than drawing."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)  # "none" would have every file drawn twice
