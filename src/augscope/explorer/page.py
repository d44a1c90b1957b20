"""What the explorer's page asks for, in the form in which it shows it."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from augscope.explorer.charts import to_csv
from augscope.explorer.controls import Slider
from augscope.explorer.regimes import Outlook, Prediction, outlook
from augscope.explorer.session import Frame, TrainingSession
from augscope.explorer.settings import Settings
from augscope.training.seed_run import SeedRun


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
    from augscope.support.rendering import to_bytes
    from augscope.theorems.figures import features_figure
    from augscope.theorems.record import Results

    results = Results("train", session.experiment, (session.seed,), session.latest.runs, None, "")
    return to_bytes(features_figure(results), kind)


def configuration(settings: Settings) -> bytes:
    """Return the experiment as TOML, with the line that runs it."""
    from augscope.theorems.report import configuration_toml

    again = f"# augscope verify --config explored.toml --seeds {settings.seed},\n"
    return (again + configuration_toml(settings.experiment())).encode()
