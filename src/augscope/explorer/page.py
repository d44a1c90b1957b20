"""What the explorer's page works with: the choice that its sliders make, its charts, and its downloads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from augscope.explorer.controls import Slider, sentences_beside, sliders
from augscope.explorer.panels import evenness_chart, method_chart, to_csv
from augscope.explorer.regimes import Outlook, outlook
from augscope.explorer.session import Frame, TrainingSession
from augscope.explorer.settings import Settings
from augscope.training.experiment import Experiment


@dataclass(frozen=True)
class Choice:
    """The sliders' settings, and what is known of them before any training.

    Attributes:
        settings: what is chosen.
        problems: sentences by control: see `Settings.problems`.
        outlook: what theory expects, or None where the settings do not fit together and nothing can be trained.
    """

    settings: Settings
    problems: dict[str, list[str]]
    outlook: Outlook | None

    @classmethod
    def of(cls, settings: Settings) -> Choice:
        """Return the choice of these settings. Cost: microseconds, so that it can follow a slider."""
        expected = None if settings.errors() else outlook(settings.experiment())
        return cls(settings, settings.problems(), expected)

    @property
    def sliders(self) -> list[Slider]:
        """The sliders as they stand."""
        return sliders(self.settings)

    @property
    def kind_of_problem(self) -> str:
        """The style of the sentences: "problem" if nothing can be trained, "note" if a theorem does not apply."""
        return "problem" if self.outlook is None else "note"

    def sentences_beside(self, slider: Slider) -> list[str]:
        """Return the sentences that belong beside a slider."""
        return sentences_beside(self.problems, slider.name)

    def session(self) -> TrainingSession | None:
        """Return a training that has not started, or None where the settings do not fit together."""
        if self.outlook is None:
            return None
        return TrainingSession(self.settings.experiment(), self.settings.seed)


def charts_of(frame: Frame, experiment: Experiment, expected: Outlook) -> list[Any]:
    """Return a chart for each method that has measured anything, and one of evenness; none before the first measurement."""
    if not frame.runs:
        return []
    predictions = expected.by_title
    charts = [method_chart(run, experiment, predictions[run.method.title]) for run in frame.runs]
    return [*charts, evenness_chart(frame.runs, experiment)]


def downloads(session: TrainingSession, settings: Settings) -> list[tuple[str, str, Callable[[], bytes]]]:
    """Return (file name, label, function that makes it) for each download."""
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

    command = f"# augscope verify --config explored.toml --seeds {settings.seed},\n"
    return (command + configuration_toml(settings.experiment())).encode()
