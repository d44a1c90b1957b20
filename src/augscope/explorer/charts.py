"""The page's pictures as SVG: curves of each method on shared axes, and the map. Colours are classes, which front.css fills in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from math import ceil, floor, isfinite, log10

import numpy as np
from markupsafe import Markup, escape

from augscope.explorer.plane import IMPOSSIBLE, SIZE, UNKNOWN, Plane
from augscope.explorer.runs import Frame
from augscope.explorer.settings import Settings
from augscope.training.seed_run import SeedRun

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 360, 34, 20, 16, 22  # of a panel, in units of its drawing
SCORES, ACCURACIES, MAP = 215, 130, 215  # heights
KINDS = {"before": "Before", "limit": "In the limit", "exact": "Exactly"}  # of curves, the later over the earlier
Drawn = Sequence[tuple[SeedRun, str]]  # a method's runs with their kinds


@dataclass(frozen=True)
class Axes:
    """A panel's axes: steps on a logarithmic axis, step 0 drawn at ½, and values from low to high."""

    num_steps: int
    low: float
    high: float
    height: int = SCORES

    def x(self, step: float) -> float:
        """Where a step is drawn."""
        share = log10(max(step, 0.5) / 0.5) / log10(self.num_steps / 0.5)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Where a value is drawn: at the axis if it lies below."""
        share = (max(value, self.low) - self.low) / (self.high - self.low)
        return self.height - BOTTOM - share * (self.height - TOP - BOTTOM)

    def line(self, steps: np.ndarray, values: np.ndarray, kind: str) -> str:
        """Return a curve; what is not finite is left out."""
        pairs = [(self.x(step), self.y(value)) for step, value in zip(steps, values, strict=True) if isfinite(value)]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)
        return f'<polyline class="{kind}" points="{points}"/>'

    def level(self, value: float, name: str) -> str:
        """Return a dotted line at a value, with its name."""
        text = _text(LEFT + 3, self.y(value) - 3, name, "level")
        return self._rule(value, "level") + text if self.low <= value <= self.high else ""

    def frame(self, title: str) -> str:
        """Return grid, ticks and their numbers; the title stands above the vertical axis."""
        parts = []
        for value in _round_values(self.low, self.high):
            parts += [self._rule(value, "grid"), _text(LEFT - 5, self.y(value) + 3.5, f"{value:g}", "value")]
        for step in [0, *(10**power for power in range(floor(log10(self.num_steps)) + 1))]:
            parts.append(_text(self.x(step), self.height - 9, f"{step:,}", "step"))
        return f'<g class="axes">{"".join(parts)}</g>{_text(LEFT, TOP - 6, title, "title")}'

    def _rule(self, value: float, kind: str) -> str:
        y = f"{self.y(value):.1f}"
        return f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'


def curves(
    limit: Frame, sample: Frame, earlier: Sequence[SeedRun], titles: Sequence[str], num_steps: int
) -> dict[str, Markup]:
    """Return a column a method: feature scores above, accuracy below, each row on one axis.

    Args:
        limit, sample: the trainings, dashed and solid.
        earlier: the limit at the settings before, in grey.
        titles: of the methods.
        num_steps: T: the axis is as long from the start, so that curves grow into it.
    """
    every = [*earlier, *limit.runs, *sample.runs]
    scores = Axes(num_steps, *_range(every, "feature scores"))
    accuracy = Axes(num_steps, *_range(every, "accuracy"), ACCURACIES)
    columns = {}
    for title in titles:
        groups = zip(KINDS, (earlier, limit.runs, sample.runs), strict=True)
        drawn = [(run, kind) for kind, runs in groups for run in runs if _family(run.method.title) == _family(title)]
        pictures = _curves(scores, "feature scores", title, drawn), _curves(accuracy, "accuracy", title, drawn)
        columns[title] = Markup("".join(pictures))
    return columns


def _family(title: str) -> str:
    """A method's name without its parameters: "Cutout" of "Cutout (C = 2)"."""
    return title.partition(" ")[0]


def _values(run: SeedRun, measure: str) -> np.ndarray:
    """What a row of panels shows of a run, (R, lines): a score a feature, mean over labels, or the accuracy."""
    history = run.history
    return history.accuracy[:, None] if measure == "accuracy" else history.feature_scores.mean(axis=1)


def _curves(axes: Axes, measure: str, title: str, drawn: Drawn) -> str:
    """One panel of curves, with their numbers at their ends."""
    parts, ends, words = [axes.frame(measure)], {}, []
    for run, kind in drawn:
        values = _values(run, measure)
        names = [f"f{k + 1}" for k in range(values.shape[1])] if measure != "accuracy" else ["overall"]
        parts += [axes.line(run.history.steps, values[:, k], f"{kind} {name}") for k, name in enumerate(names)]
        words.append(f"{KINDS[kind]}: {_listed(values[-1])}.")
        if kind != "before" and run.status != "running" and measure != "accuracy":
            ends = {k + 1: axes.y(value) for k, value in enumerate(values[-1]) if isfinite(value)}
    if drawn and measure != "accuracy":
        parts.append(axes.level(float(np.mean(drawn[-1][0].predicted_plateau)), "predicted plateau"))
    parts += [_text(WIDTH - RIGHT + 9, y + 4, str(k), f"end f{k}") for k, y in _apart(ends)]
    if drawn:
        parts += _hints(axes, measure, *drawn[-1])
    return _picture(axes.height, f"{title}: {measure} over steps. {' '.join(words)}", parts)


def _hints(axes: Axes, measure: str, run: SeedRun, kind: str) -> Iterator[str]:
    """What the pointer is told over a picture: the numbers of every record."""
    places = [axes.x(step) for step in run.history.steps]
    edges = pairwise([places[0], *((a + b) / 2 for a, b in pairwise(places)), places[-1]])
    for step, (low, high), values in zip(run.history.steps, edges, _values(run, measure), strict=True):
        title = f"<title>{KINDS[kind]}, step {int(step):,}: {_listed(values)}</title>"
        yield _rectangle("hint", low, TOP, high - low, axes.height - TOP - BOTTOM, title)


def _listed(values: np.ndarray) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def maps(plane: Plane, titles: Sequence[str], names: tuple[str, str], settings: Settings) -> dict[str, Markup]:
    """Return the map of each method, with a dot where the settings stand.

    Args:
        plane: the map.
        titles: of the methods.
        names: of the axes, in words.
        settings: where the dot is.
    """
    wide, high = (WIDTH - LEFT - RIGHT) / SIZE, (MAP - TOP - BOTTOM) / SIZE
    axes = _text(LEFT, TOP - 6, f"{names[1]} ↑, {names[0]} →", "title")
    for at in (0, SIZE // 2, SIZE - 1):
        axes += _text(LEFT + (at + 0.5) * wide, MAP - 9, _short(plane.xs[at]), "step")
        axes += _text(LEFT - 5, MAP - BOTTOM - (at + 0.5) * high + 3.5, _short(plane.ys[at]), "value")
    across, up = (
        _place(values, settings.controls[name]) for name, values in ((plane.x, plane.xs), (plane.y, plane.ys))
    )
    dot = f'<circle class="here" cx="{LEFT + across * wide:.1f}" cy="{MAP - BOTTOM - up * high:.1f}" r="5"/>'
    box = _rectangle("box", LEFT, TOP, WIDTH - LEFT - RIGHT, MAP - TOP - BOTTOM)
    data = {"map": (plane.x, plane.y), "xs": plane.xs, "ys": plane.ys, "box": (LEFT, TOP, WIDTH - RIGHT, MAP - BOTTOM)}
    texts = "".join(f' data-{name}="{",".join(map(str, values))}"' for name, values in data.items())
    label = f"how many features are learned in the limit, over {names[0]} and {names[1]}"
    waits = _text((LEFT + WIDTH - RIGHT) / 2, (TOP + MAP - BOTTOM) / 2, "computing", "step")
    return {
        title: Markup(
            _picture(
                MAP,
                f"{title}: {label}",
                [box, *_cells(rows, wide, high), axes, dot, *([waits] if (rows == UNKNOWN).all() else [])],
                texts,
            )
        )
        for title, rows in zip(titles, plane.learned, strict=True)
    }


def _cells(rows: np.ndarray, wide: float, high: float) -> Iterator[str]:
    """A map's places, equal neighbours as one; a row that is not known yet looks like the one below it, but paler."""
    shown: list[int] = []
    for index, row in enumerate(rows.tolist()):
        is_known, column = row[0] != UNKNOWN, 0
        shown = row if is_known else shown
        for count, group in groupby(shown):
            length, kind = len(list(group)), "none" if count == IMPOSSIBLE else f"m{count}"
            x, y = LEFT + column * wide, MAP - BOTTOM - (index + 1) * high
            yield _rectangle(kind if is_known else f"{kind} guess", x, y, length * wide + 0.5, high + 0.5)
            column += length


def _place(values: Sequence[float], value: float) -> float:
    """Where a value stands among increasing ones, in the logarithm and in places from 0 to SIZE."""
    return float(np.interp(np.log(max(value, 1e-300)), np.log(values), np.arange(SIZE))) + 0.5


def _short(value: float) -> str:
    return f"{value:,.0f}" if 100 <= value < 100_000 else f"{value:.2g}"


def _picture(height: int, label: str, parts: Iterable[str], more: str = "") -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}"{more}>{"".join(parts)}</svg>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _rectangle(kind: str, x: float, y: float, width: float, height: float, inside: str = "") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect class="{kind}" {place}>{inside}</rect>'


def _range(runs: Sequence[SeedRun], measure: str) -> tuple[float, float]:
    """The range of a row's values and a little more; accuracies end at 1, and begin at that of step 1 or 0.9."""
    values = np.concatenate([_values(run, measure)[1:].ravel() for run in runs] or [np.zeros(0)])
    values = values[np.isfinite(values)]
    if measure == "accuracy":
        return min([0.9, *values]) - 0.02, 1.02
    low, high = min([0.0, *values]), max([0.1, *values])
    return low, low + 1.08 * (high - low)


def _round_values(low: float, high: float) -> list[float]:
    """Three to six round values within a range."""
    raw = (high - low) / 4
    size = 10 ** floor(log10(raw))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw)
    return [round(index * step, 10) for index in range(ceil(low / step), floor(high / step) + 1)]


def _apart(ends: dict[int, float]) -> Iterator[tuple[int, float]]:
    """The numbers at the curves' ends with their heights, moved up so that none covers another."""
    last = float("inf")
    for k, y in sorted(ends.items(), key=lambda item: item[1], reverse=True):
        last = min(y, last - 11)
        yield k, last
