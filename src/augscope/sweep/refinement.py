"""Refinement: new places half way between neighbours where a phase diagram's value changes fastest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from augscope.support.values import check
from augscope.sweep.axes import rounded
from augscope.sweep.folder import Progress, SweepFolder
from augscope.sweep.grid import Sweep
from augscope.sweep.phase import Panel, PhaseDiagram
from augscope.sweep.phase_limits import neighbours
from augscope.sweep.run import SweepOutcome, run_sweep

MAX_PLACES = 10_000


def refined(sweep: Sweep, diagram: PhaseDiagram, count: int) -> Sweep:
    """Return a grid of `count` new places for a diagram over two of its axes; everything else, seeds included, as in the grid.

    Neighbours are places next to each other along one axis. The pairs whose means differ most, in any panel, get a place half
    way (in the logarithm on a logarithmic axis), the largest difference first.

    Args:
        sweep: the grid that the diagram's records come from; `x` and `y` of the diagram are its axes, by name.
        diagram: the phase diagram.
        count: how many places to add, at least 1.

    Raises:
        ValueError: if x or y is not an axis of its own in the grid, or the value is the same everywhere.
    """
    check(1 <= count <= MAX_PLACES, f"`refine` must be from 1 to {MAX_PLACES:,}, got {count}")
    names = [axis.names[0] for axis in sweep.axes if len(axis.names) == 1]
    for name in (diagram.x, diagram.y):
        check(name in names, f"`refine` needs axes of the grid, not zipped: {', '.join(names) or 'none'}, got {name!r}")
    known = {(x, y) for panel in diagram.panels for x, y in zip(panel.x.tolist(), panel.y.tolist(), strict=True)}
    changes: dict[tuple[float, float], float] = {}
    for panel in diagram.panels:
        for place, change in _middles(panel, (diagram.x_log, diagram.y_log)):
            if place not in known and change > 0:
                changes[place] = max(change, changes.get(place, 0.0))
    places = sorted(changes, key=lambda place: (-changes[place], place))[:count]
    check(bool(places), f"`refine` needs a place where the value changes, got the same {diagram.value} everywhere")
    return _with_places(sweep, (diagram.x, diagram.y), places)


def refine(
    folder: Path | str,
    diagram: PhaseDiagram,
    count: int,
    *,
    workers: int = 1,
    progress: Callable[[Progress], Any] | None = None,
) -> SweepOutcome:
    """Run `count` new places, where the diagram changes fastest, of the newest grid of a folder that has its axes.

    Raises:
        ValueError: as `refined` and `run_sweep` do.
    """
    grids = SweepFolder(folder).grids()
    check(bool(grids), f"`folder` must hold a grid, got {folder}")
    axes = {(diagram.x,), (diagram.y,)}
    fitting = [sweep for sweep in grids if axes <= {axis.names for axis in sweep.axes}]
    grid = refined(fitting[-1] if fitting else grids[0], diagram, count)
    return run_sweep(grid, folder, workers=workers, progress=progress)


def _middles(panel: Panel, logs: tuple[bool, bool]) -> Iterator[tuple[tuple[float, float], float]]:
    """Places half way between neighbours along either axis, with the change between them."""
    places = panel.places
    for low, high, along in neighbours(places):
        ends, across = places[[low, high], along], float(places[low, 1 - along])
        middle = rounded(np.sqrt(ends.prod()) if logs[along] else ends.mean())
        place = (middle, across) if along == 0 else (across, middle)
        yield place, float(abs(panel.mean[high] - panel.mean[low]))


def _with_places(sweep: Sweep, names: tuple[str, str], places: Sequence[tuple[float, float]]) -> Sweep:
    """The grid with one zipped axis of places in place of two axes."""
    source: dict[str, Any] = {**sweep.source}
    source["axes"] = {name: values for name, values in source.get("axes", {}).items() if name not in names}
    columns = {name: [place[i] for place in places] for i, name in enumerate(names)}
    source["zip"] = [*source.get("zip", []), columns]
    grid = Sweep.from_dict(source)
    axes = tuple(replace(axis, computed=axis.computed or axis.names == names) for axis in grid.axes)
    return replace(grid, axes=axes)
