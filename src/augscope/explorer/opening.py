"""What the page shows while it loads: at the default settings a finished training's picture, at others what theory expects.

marimo's own page takes some seconds before it draws anything. Until its first chart stands, a cover lies over it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from urllib.parse import parse_qs

from augscope.explorer.charts import evenness_chart, method_chart
from augscope.explorer.page import figure, keep, outlook_of, pairs
from augscope.explorer.parts import (
    block,
    cover_html,
    heading_html,
    outlook_html,
    paragraphs,
    picture_html,
    standing_html,
)
from augscope.explorer.regimes import outlook
from augscope.explorer.session import TrainingSession
from augscope.explorer.settings import DEFAULT, PRESETS, Settings

LOADING = "The page with its sliders is being loaded …"


@dataclass(frozen=True)
class Opening:
    """A training that was finished before anybody came.

    Attributes:
        settings: what was trained.
        session: the training, over.
        picture: of it, a whole SVG file.
    """

    settings: Settings
    session: TrainingSession
    picture: bytes

    @classmethod
    def of(cls, settings: Settings) -> Opening:
        """Train to the end and draw, the page's charts too, so that nothing is compiled or imported for the first time later.

        Cost: at the default some 15 s on two cores, and 15 s more the first time on a machine.
        """
        session = TrainingSession(settings.experiment(), settings.seed)
        frame = session.run()
        for run, prediction in pairs(frame, outlook(session.experiment)):
            method_chart(run, session.experiment, prediction).to_dict()
        evenness_chart(frame.runs, session.experiment).to_dict()
        return cls(settings, session, figure(session, "svg"))

    def cover(self, query: str) -> str:
        """Return what lies over the page at an address until its first chart stands, as HTML.

        Args:
            query: the address's, without "?"; whatever it holds is escaped. The picture is shown at `settings` only.
        """
        chosen, problems = Settings.from_query(parse_qs(query))
        expected = outlook_of(chosen)
        pieces = [heading_html(problems), block(paragraphs([LOADING]))]
        if chosen == self.settings and expected is not None:
            frame = self.session.latest
            said = [f"{run.method.title} {run.history.accuracy[-1]:.4f}" for run in frame.runs]
            pieces += [
                picture_html(self.picture, f"Feature scores and exact test accuracy over training: {', '.join(said)}"),
                standing_html(frame, expected, chosen.num_steps),
            ]
        return cover_html([*pieces, outlook_html(expected)])


@cache
def opening() -> Opening:
    """Return the one at the default settings, made once in a process; the page then shows its training as it is."""
    found = Opening.of(PRESETS[DEFAULT])
    keep(found.settings, found.session)
    return found
