"""Matplotlib figures as the bytes of files."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from matplotlib import rc_context
from matplotlib.figure import Figure

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
