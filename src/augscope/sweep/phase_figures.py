"""Pictures of phase diagrams: a heat map a panel with the measured contour and the predicted boundaries, seed spread below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from matplotlib.tri import Triangulation

from augscope.model.methods import METHOD_NAMES, read_method
from augscope.support.rendering import shown_name
from augscope.support.styles import BOUNDARIES, Style
from augscope.sweep.phase_panels import Panel, Panels

METHOD_TITLES = {name: read_method(name).title for name in METHOD_NAMES}  # of panels that are methods
RASTER = 240  # pixels a side where places do not form a full grid
OUTLINE = (Stroke(linewidth=3.5, foreground="0.2"), Normal())  # so that a white line shows on a light ground
SIZE = (4.0, 3.4)  # inches of a panel
TICKS_EVERY_DECADE = 2.0  # decades: above, only powers of ten are labelled


def phase_figure(diagram: Panels) -> Figure:
    """Return the figure of `draw_phase`, with legend and title."""
    figure = Figure(figsize=figure_size(diagram), layout="constrained")
    rows, columns = num_rows(diagram.panels), len(diagram.panels)
    draw_phase(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False), diagram)
    return figure


def num_rows(panels: Sequence[Panel]) -> int:
    """Return 2 where there are several seeds, whose spread is drawn, else 1."""
    return 1 + any((panel.count > 1).any() for panel in panels)


def figure_size(diagram: Panels) -> tuple[float, float]:
    """Return the inches that all panels need."""
    return SIZE[0] * len(diagram.panels) + 1.2, SIZE[1] * num_rows(diagram.panels) + 0.9


def draw_phase(axes: np.ndarray, diagram: Panels, *, complete: bool = True) -> None:
    """Draw a column a panel: mean over seeds above with contour and boundaries, largest minus smallest seed below.

    The contour and the boundaries are drawn where there are places on both sides. Without several seeds the lower row is left
    out.

    Args:
        axes: (rows, panels).
        complete: whether the figure is the diagram's own, to have its legend and title; otherwise the legend is the first axes'.
    """
    (rows, columns), figure = axes.shape, axes[0, 0].figure
    spread = rows > 1
    means = np.concatenate([panel.mean for panel in diagram.panels])
    limits, colours = (float(means.min()), float(means.max())), "viridis"
    if diagram.minus is not None:  # white where there is no difference
        largest = float(np.abs(means).max()) or 1.0
        limits, colours = (-largest, largest), "RdBu"
    widest = max(float(panel.spread.max()) for panel in diagram.panels) or 1.0
    drawn: dict[str, Line2D] = {}
    for column, panel in enumerate(diagram.panels):
        shown = [_heat(axes[0, column], diagram, panel, panel.mean, limits, colours)]
        _contours(axes[0, column], diagram, panel, drawn)
        axes[0, column].set_title(shown_name(METHOD_TITLES.get(panel.name, panel.name), 40), fontweight="bold")
        axes[-1, column].set_xlabel(_name(diagram, diagram.x))
        if spread:
            shown.append(_heat(axes[1, column], diagram, panel, panel.spread, (0.0, widest), "magma"))
        if column == columns - 1:
            for row, label in enumerate((_name(diagram, diagram.value), "largest − smallest seed")[:rows]):
                figure.colorbar(shown[row], ax=axes[row, :].tolist(), label=label)
    for row in axes:
        row[0].set_ylabel(_name(diagram, diagram.y))
    if drawn:
        place = {"loc": "outside lower center", "ncols": min(3, columns)} if complete else {}
        owner = figure if complete else axes[0, 0]
        owner.legend(handles=list(drawn.values()), frameon=False, fontsize=9, **place)
    if diagram.title and complete:
        figure.suptitle(shown_name(diagram.title, 90))


def _name(diagram: Panels, column: str) -> str:
    """A column's label, or itself; of the value in words."""
    label = diagram.labels.get(column, column)
    return shown_name(diagram.shown_value if label == diagram.value else label, 60)


def _scaled(diagram: Panels, panel: Panel) -> tuple[np.ndarray, np.ndarray]:
    """A panel's places in coordinates in which the axes are even."""
    return np.log(panel.x) if diagram.x_log else panel.x, np.log(panel.y) if diagram.y_log else panel.y


def _unscaled(diagram: Panels, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The inverse of `_scaled`."""
    return np.exp(x) if diagram.x_log else x, np.exp(y) if diagram.y_log else y


def _heat(
    axis: Axes, diagram: Panels, panel: Panel, values: np.ndarray, limits: tuple[float, float], colours: str
) -> Any:
    """A heat map: cells of a full grid; or every pixel in the colour of the nearest place, and the places as dots."""
    x, y = _scaled(diagram, panel)
    columns, rows = np.unique(x), np.unique(y)
    across, up = _edges(columns), _edges(rows)
    full = len(columns) * len(rows) == len(values)
    if full:
        table = values.reshape(len(columns), len(rows)).T  # places come in order of x, then y
    else:
        from scipy.interpolate import NearestNDInterpolator  # importing it takes longer than drawing most pictures

        across, up = (np.linspace(float(part[0]), float(part[-1]), RASTER + 1) for part in (across, up))
        middles = np.meshgrid((across[1:] + across[:-1]) / 2, (up[1:] + up[:-1]) / 2)
        table = NearestNDInterpolator(np.stack([x, y], axis=1), values, rescale=True)(*middles)
    mesh = axis.pcolormesh(
        *_unscaled(diagram, across, up), table, vmin=limits[0], vmax=limits[1], cmap=colours, rasterized=True
    )
    if not full:
        axis.plot(panel.x, panel.y, ".", color="white", markersize=2.5, markeredgewidth=0)
    for side, is_log, span in ((axis.xaxis, diagram.x_log, across), (axis.yaxis, diagram.y_log, up)):
        if is_log:
            _log_ticks(side, float(span[-1] - span[0]) / np.log(10))
    return mesh


def _log_ticks(side: Any, decades: float) -> None:
    """Label a logarithmic axis in plain numbers, few enough not to touch."""
    side.axes.set(**{f"{side.axis_name}scale": "log"})
    side.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < TICKS_EVERY_DECADE else (1.0,)))
    side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    side.set_minor_locator(NullLocator())  # ticks are half of the time that a picture takes


def _edges(centres: np.ndarray) -> np.ndarray:
    """Edges half way between increasing centres; the outer cells are symmetric."""
    if len(centres) == 1:
        return centres[0] + np.array([-0.5, 0.5])
    middles = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middles[0]], middles, [2 * centres[-1] - middles[-1]]])


def _contours(axis: Axes, diagram: Panels, panel: Panel, drawn: dict[str, Line2D]) -> None:
    """Draw where the mean crosses the level and where theory expects it; add new lines to the legend."""
    measured = "measured" if diagram.minus is None else "measured difference"
    contours = [(f"{measured}: {diagram.level:.3g}", panel.mean - diagram.level, "white", "-")]
    styles = cycle(BOUNDARIES)
    for name, style in zip(panel.exact, styles, strict=False):
        _exact(axis, panel, name, style, drawn)
    for (name, ratios), style in zip(panel.boundaries.items(), styles, strict=False):
        contours.append((_legend(name), np.log(ratios), style.colour, style.line))
    triangles, scratch = _triangles(diagram, panel), Figure().subplots()
    for name, heights, colour, style in contours:
        if triangles is None or not heights.min() < 0 < heights.max():
            continue
        for line in _level_lines(diagram, panel, scratch.tricontour(triangles, heights, levels=[0.0])):
            effects = OUTLINE if colour == "white" else ()
            shown = axis.plot(*line, color=colour, linestyle=style, linewidth=2, path_effects=effects, label=name)[0]
            drawn.setdefault(name, shown)


def _exact(axis: Axes, panel: Panel, name: str, style: Style, drawn: dict[str, Line2D]) -> None:
    """Draw an exact boundary; a change that belongs to no line as a dot."""
    boundary, (label, colour, kind) = panel.exact[name], (_legend(name), style.colour, style.line)
    for line in boundary.lines(panel.places):
        marker = "" if len(line) > 1 else "."
        shown = axis.plot(
            boundary.x[line], boundary.y[line], color=colour, linestyle=kind, marker=marker, linewidth=2, label=label
        )[0]
        drawn.setdefault(label, shown)


def _legend(name: str) -> str:
    return f"predicted: {shown_name(name, 60)}"


def _triangles(diagram: Panels, panel: Panel) -> Triangulation | None:
    """Triangles between the places in the axes' own scale, from 0 to 1; None if all places lie on one line."""
    x, y = _scaled(diagram, panel)
    if np.linalg.matrix_rank(np.stack([x - x[0], y - y[0]])) < 2:
        return None
    return Triangulation((x - x.min()) / np.ptp(x), (y - y.min()) / np.ptp(y))


def _level_lines(diagram: Panels, panel: Panel, contour: ContourSet) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The lines of a contour on those triangles, back at the places' own scale."""
    x, y = _scaled(diagram, panel)
    for vertices in contour.get_paths()[0].to_polygons(closed_only=False):
        points = np.asarray(vertices)
        yield _unscaled(diagram, x.min() + points[:, 0] * np.ptp(x), y.min() + points[:, 1] * np.ptp(y))
