"""What the explorer's page asks for, in the form in which it shows it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from augscope.explorer.charts import to_csv
from augscope.explorer.controls import Slider
from augscope.explorer.regimes import Outlook, Prediction, outlook
from augscope.explorer.server import SWEEP_VARIABLE
from augscope.explorer.session import Frame, TrainingSession
from augscope.explorer.settings import Settings
from augscope.explorer.sweep_charts import cell_of, legend_text, phase_charts, trajectory_chart
from augscope.explorer.sweep_view import SweepView, find_sweeps
from augscope.phase import PhaseDiagram
from augscope.seed_run import SeedRun

Fixed = Mapping[str, tuple[str, float] | None]  # of menus: an axis and the value at which it is held


def outlook_of(settings: Settings) -> Outlook | None:
    """Return what theory expects, or None where the settings do not fit together."""
    return None if settings.errors() else outlook(settings.experiment())


_kept: dict[Settings, TrainingSession] = {}  # trainings that were over before anybody came


def keep(settings: Settings, session: TrainingSession) -> None:
    """Have `session_of` return a finished training at these settings."""
    _kept[settings] = session


def session_of(settings: Settings, anew: bool = False) -> TrainingSession | None:
    """Return a training, not begun, or None where the settings do not fit together.

    Where a finished one was kept, that is returned, unless `anew`.
    """
    if settings in _kept and not anew:
        return _kept[settings]
    return None if settings.errors() else TrainingSession(settings.experiment(), settings.seed)


def stop(session: TrainingSession | None) -> None:
    """Stop a training, if there is one."""
    if session is not None:
        session.stop()


def pairs(frame: Frame, expected: Outlook) -> list[tuple[SeedRun, Prediction]]:
    """Return each run that has measured anything with what is expected of its method."""
    by_title = {prediction.title: prediction for prediction in expected.predictions}
    return [(run, by_title[run.method.title]) for run in frame.runs]


def knob_html(slider: Slider, settings: Settings) -> str:
    """Return a slider's label: symbol, value, meaning."""
    first = f" (leaves ρ_1 = {settings.frequencies[0]:g})" if slider.name == "rho_2" else ""
    return (
        f'<div class="knob"><strong>{escape(slider.symbol)} = {slider.value:,g}</strong> '
        f"<small>{escape(slider.meaning + first)}</small></div>"
    )


def downloads(session: TrainingSession | None, settings: Settings) -> list[tuple[str, str, Callable[[], bytes]]]:
    """Return (file name, label, what makes it) for everything that can be downloaded; made when it is asked for."""
    if session is None:
        return []
    return [
        ("explored.svg", "Figure (SVG)", lambda: figure(session, "svg")),
        ("explored.png", "Figure (PNG)", lambda: figure(session, "png")),
        ("explored.csv", "Data (CSV)", lambda: to_csv(session.latest.runs).encode()),
        ("explored.toml", "Configuration (TOML)", lambda: configuration(settings)),
        ("explored.sh", "Command line", lambda: f"{settings.command()}\n".encode()),
    ]


def figure(session: TrainingSession, kind: str) -> bytes:
    """Return the picture that `augscope train` draws of what has been measured so far, as "svg" or "png" bytes."""
    from augscope.figures import features_figure
    from augscope.record import Results
    from augscope.rendering import to_bytes

    results = Results("train", session.experiment, (session.seed,), session.latest.runs, None, "")
    return to_bytes(features_figure(results), kind)


def configuration(settings: Settings) -> bytes:
    """Return the experiment as TOML, with the line that runs it."""
    from augscope.report import configuration_toml

    again = f"# augscope verify --config explored.toml --seeds {settings.seed},\n"
    return (again + configuration_toml(settings.experiment())).encode()


def sweeps() -> tuple[dict[str, Path], list[str]]:
    """Return the sweeps in the folder that the explorer was started with, by name, or why there are none."""
    folder = os.environ.get(SWEEP_VARIABLE)
    if not folder:
        return {}, ["No folder of sweeps was given: start with `augscope explore --sweep DIR`."]
    try:
        return find_sweeps(Path(folder)), []
    except ValueError as error:
        return {}, [str(error)]


def look_at(folder: Path | None) -> tuple[SweepView | None, list[str]]:
    """Return what a sweep's folder holds now, and what was left out; or None, and why nothing can be shown."""
    if folder is None:
        return None, []
    try:
        view = SweepView.of(folder)
    except ValueError as error:
        return None, [str(error)]
    return view, [f"records/{name} {reason}: left out." for name, reason in view.records.problems.items()]


def menus(view: SweepView | None) -> tuple[dict[str, str], dict[str, str]]:
    """Return axes and measures by label, as menus want them; nothing where there is no sweep."""
    return ({}, {}) if view is None else (_labelled(view, view.axes), _labelled(view, view.measures))


def _labelled(view: SweepView, names: Iterable[str]) -> dict[str, str]:
    """Names by label; a label that two share is followed by the name."""
    found: dict[str, str] = {}
    for name in names:
        label = view.label(name)
        found[label if label not in found else f"{label} ({name})"] = name
    return found


def fixable(view: SweepView | None, x: str | None, y: str | None) -> dict[str, dict[str, Any]]:
    """Return the other axes of a sweep by label, each with what it can be held at, by how that is written.

    What a menu chooses is (axis, value), or None for the mean over all.
    """
    others = [] if view is None else [(view, name) for name in view.axes if name not in (x, y)]
    return {
        f"With {view.label(name)}": {"any (mean)": None, **{f"{value:g}": (name, value) for value in view.axes[name]}}
        for view, name in others
    }


def diagram_of(
    view: SweepView | None, x: str | None, y: str | None, measure: str | None, fixed: Fixed
) -> tuple[PhaseDiagram | None, list[str]]:
    """Return the phase diagram and what its lines are; or None, and why there is none."""
    if view is None or x is None or y is None or measure is None:
        return None, ["Choose two axes and a value."]
    try:
        diagram = view.diagram(x, y, measure, _held(fixed))
    except ValueError as error:
        return None, [str(error)]
    return diagram, legend_text(diagram)


def charts_of(diagram: PhaseDiagram | None) -> list[Any]:
    """Return a heat map a panel, or none."""
    return [] if diagram is None else phase_charts(diagram)


def trajectories_of(
    view: SweepView | None, x: str | None, y: str | None, fixed: Fixed, selections: Iterable[Any]
) -> tuple[list[Any], list[str]]:
    """Return the pictures of the place that was clicked, and a sentence."""
    clicked = [cell for found in selections if (cell := cell_of(found)) is not None]
    if view is None or x is None or y is None:
        return [], []
    if not clicked:
        return [], ["Click a cell to see its trajectories."]
    panel, at_x, at_y = clicked[-1]
    try:
        rows = view.trajectories({**_held(fixed), x: at_x, y: at_y})
    except ValueError as error:
        return [], [str(error)]
    features = [f"feature {k + 1}" for k in range(len(rows[0]["accuracy_per_feature"][0]))]
    told = f"{view.label(x)} = {at_x:g}, {view.label(y)} = {at_y:g} (clicked in {panel}): a line a seed."
    return [trajectory_chart(rows, measure) for measure in ("accuracy", *features)], [told]


def _held(fixed: Fixed) -> dict[str, float]:
    """The axes that are held at a value."""
    return dict(choice for choice in fixed.values() if choice is not None)
