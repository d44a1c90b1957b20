"""A phase diagram as files, and as one HTML page: where the value crosses its level, the picture, how to draw it again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from augscope.support.files import OutputFolder
from augscope.support.pages import Download, picture, render
from augscope.support.rendering import lay_out, to_bytes
from augscope.support.wording import versions
from augscope.sweep.phase import Panel, PhaseDiagram, in_row
from augscope.sweep.phase_figures import phase_figure


def write_phase(diagram: PhaseDiagram, folder: Path, *, grids: Sequence[str] = (), again: str = "") -> list[Path]:
    """Write phase.png, phase.svg, phase.csv and phase.json (the data behind them) and phase.html, each whole; return their paths.

    Args:
        diagram: to draw.
        folder: for the files.
        grids: for the page, the sweep's grids as TOML.
        again: for the page, the command that draws it again.

    Raises:
        ValueError: if the folder cannot be written.
    """
    figure = phase_figure(diagram)
    lay_out(figure)
    files = {f"phase.{kind}": to_bytes(figure, kind) for kind in ("png", "svg")}
    files["phase.csv"] = diagram.to_csv().encode()
    files["phase.json"] = json.dumps(diagram.to_dict(), allow_nan=False).encode()
    files["phase.html"] = _page(diagram, files["phase.svg"], grids, again).encode()
    return OutputFolder(folder).write(files)


def _page(diagram: PhaseDiagram, svg: bytes, grids: Sequence[str], again: str) -> str:
    return render(
        "phase.html",
        title=diagram.title or "Phase diagram",
        diagram=diagram,
        tables=[_crossings(diagram, panel) for panel in diagram.panels],
        svg=picture(
            svg, _label(diagram), min_width=14 * len(diagram.panels), max_width=max(44, 24 * len(diagram.panels))
        ),
        downloads=[Download("phase.csv", diagram.to_csv().encode()), Download("phase.svg", svg)],
        grids=grids,
        again=again,
        versions=versions(),
    )


def _label(diagram: PhaseDiagram) -> str:
    names = ", ".join(panel.name for panel in diagram.panels if panel.name)
    panels = f", one each for {names}" if names else ""
    return (
        f"Heat maps of {diagram.shown_value} over {diagram.x} and {diagram.y}{panels}, with the "
        "contour at the level and the predicted boundaries; its spread over seeds below. The tables give the numbers."
    )


def _crossings(diagram: PhaseDiagram, panel: Panel) -> dict[str, Any]:
    """One panel's range, and rows of where the value, and then each boundary, crosses its level."""
    predicted = panel.predicted_crossings
    rows = []
    for x, y in panel.crossings(diagram.level).items():
        values = [in_row(at[x]) if x in at else "–" for at in predicted.values()]
        rows.append({"name": f"{x:g}", "values": [f"{y:.3g}", *values]})
    low, high = panel.count.min(), panel.count.max()
    records = f"{low} records" if low == high else f"{low} to {high} records"
    return {
        "name": panel.name or "all records",
        "range": f"from {panel.mean.min():.4g} to {panel.mean.max():.4g} at {len(panel.x):,} places, {records} each",
        "columns": [f"{diagram.y}, measured", *(f"predicted: {name}" for name in predicted)],
        "rows": rows,
    }
