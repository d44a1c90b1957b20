"""The page's pictures as SVG: curves of each method on shared axes, and the map. Colours are classes, which front.css fills in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
CURVES, ACCURACIES, MAP = 215, 130, 215  # heights
FEATURES, ACCURACY = "feature score", "accuracy"


@dataclass(frozen=True)
class Axes:
    """A panel's axes: steps on a logarithmic axis, step 0 drawn at ½, and values from low to high."""

    num_steps: int
    low: float
    high: float
    height: int = CURVES

    def x(self, step: float) -> float:
        """Where a step is drawn."""
        share = log10(max(step, 0.5) / 0.5) / log10(max(self.num_steps, 1) / 0.5)
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
        if not self.low <= value <= self.high:
            return ""
        y = self.y(value)
        text = f'<text class="level" x="{LEFT + 3}" y="{y - 3:.1f}">{escape(name)}</text>'
        return f'<line class="level" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>{text}'

    def frame(self, title: str) -> str:
        """Return grid, ticks and their numbers; the title stands above the vertical axis."""
        parts = []
        for value in _round_values(self.low, self.high):
            y = self.y(value)
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(_text(LEFT - 5, y + 3.5, f"{value:g}", "value"))
        for step in [0, *(10**power for power in range(floor(log10(max(self.num_steps, 1))) + 1))]:
            parts.append(_text(self.x(step), self.height - 9, f"{step:,}", "step"))
        return f'<g class="axes">{"".join(parts)}</g>' + _text(LEFT, TOP - 6, title, "title")


def curves(
    frames: tuple[Frame, Frame], earlier: Sequence[SeedRun], titles: Sequence[str], num_steps: int
) -> dict[str, str]:
    """Return a column a method: feature scores above, accuracy below, each row on one axis.

    Args:
        frames: of the limit (dashed) and of the sample (solid).
        earlier: the limit at the settings before, in grey.
        titles: of the methods.
        num_steps: T: the axis is as long from the start, so that curves grow into it.
    """
    limit, sample = ({run.method.title: run for run in frame.runs} for frame in frames)
    before = {run.method.title: run for run in earlier}
    every = [*limit.values(), *sample.values(), *before.values()]
    axes = [
        Axes(num_steps, *_range(_scores(run) for run in every)),
        Axes(num_steps, *_range((run.history.accuracy[1:] for run in every), top=1.0), ACCURACIES),
    ]
    columns = {}
    for title in titles:
        drawn = [(before.get(title), "before"), (limit.get(title), "limit"), (sample.get(title), "exact")]
        runs = [(run, kind) for run, kind in drawn if run is not None]
        pictures = [_scores_picture(axes[0], title, runs), _accuracy_picture(axes[1], title, runs)]
        columns[title] = Markup("".join(pictures))
    return columns


def _scores_picture(axes: Axes, title: str, runs: Sequence[tuple[SeedRun, str]]) -> str:
    parts, ends = [axes.frame(FEATURES)], {}
    for run, kind in runs:
        scores, steps = _scores(run), run.history.steps
        for k in range(scores.shape[1]):
            parts.append(axes.line(steps, scores[:, k], f"{kind} f{k + 1}"))
            if kind == "limit" or (kind == "exact" and run.status != "running"):
                ends[k + 1] = axes.y(scores[-1, k]) if isfinite(scores[-1, k]) else axes.y(0)
    plateau = float(np.mean(runs[-1][0].predicted_plateau)) if runs else float("nan")
    if isfinite(plateau):
        parts.append(axes.level(plateau, "predicted plateau"))
    parts += [_text(WIDTH - RIGHT + 9, y + 4, str(k), f"end f{k}") for k, y in _apart(ends).items()]
    parts += _hints(
        axes,
        runs,
        lambda run, row: ", ".join(f"feature {k + 1}: {score:.3g}" for k, score in enumerate(_scores(run)[row])),
    )
    return _picture(axes.height, f"{title}: feature scores over steps. {_last(runs, _said_scores)}", parts)


def _accuracy_picture(axes: Axes, title: str, runs: Sequence[tuple[SeedRun, str]]) -> str:
    lines = [axes.line(run.history.steps, run.history.accuracy, f"{kind} overall") for run, kind in runs]
    hints = _hints(axes, runs, lambda run, row: f"accuracy {run.history.accuracy[row]:.4f}")
    label = f"{title}: exact test accuracy over steps. {_last(runs, lambda run: f'{run.history.accuracy[-1]:.4f}')}"
    return _picture(axes.height, label, [axes.frame(ACCURACY), *lines, *hints])


def _hints(axes: Axes, runs: Sequence[tuple[SeedRun, str]], say: object) -> list[str]:
    """What the pointer is told over a picture: the numbers of every record of the last run."""
    if not runs or not callable(say):
        return []
    run, kind = runs[-1]
    places = [axes.x(step) for step in run.history.steps]
    edges = [places[0], *((a + b) / 2 for a, b in pairwise(places)), places[-1]]
    name = "in the limit, " if kind != "exact" else ""
    return [
        f'<rect class="hint" x="{low:.1f}" y="{TOP}" width="{high - low:.1f}" height="{axes.height - TOP - BOTTOM}">'
        f"<title>{name}step {int(step):,}: {say(run, row)}</title></rect>"
        for row, (step, low, high) in enumerate(zip(run.history.steps, edges, edges[1:], strict=False))
    ]


def maps(plane: Plane, titles: Sequence[str], names: tuple[str, str], settings: Settings) -> dict[str, Markup]:
    """Return the map of each method, with a dot where the settings stand; rows that are not known yet look like those below."""
    return {title: _map(plane, index, title, names, settings) for index, title in enumerate(titles)}


def _map(plane: Plane, index: int, title: str, names: tuple[str, str], settings: Settings) -> Markup:
    wide, high = (WIDTH - LEFT - RIGHT) / SIZE, (MAP - TOP - BOTTOM) / SIZE
    box = f'<rect class="box" x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{MAP - TOP - BOTTOM}"/>'
    parts, known = [box], plane.learned[index].copy()
    shown = None
    for row, cells in enumerate(known):
        sure = cells[0] != UNKNOWN
        shown = cells if sure else shown
        column = 0
        for count, group in groupby([] if shown is None else shown.tolist()):
            length = len(list(group))
            kind = "none" if count == IMPOSSIBLE else f"m{count}"
            x, y = LEFT + column * wide, MAP - BOTTOM - (row + 1) * high
            parts.append(
                f'<rect class="{kind}{"" if sure else " guess"}" x="{x:.1f}" y="{y:.1f}" width="{length * wide + 0.5:.1f}" height="{high + 0.5:.1f}"/>'
            )
            column += length
    for at in (0, SIZE // 2, SIZE - 1):
        parts.append(_text(LEFT + (at + 0.5) * wide, MAP - 9, f"{plane.xs[at]:.2g}", "step"))
        parts.append(_text(LEFT - 5, MAP - BOTTOM - (at + 0.5) * high + 3.5, f"{plane.ys[at]:.2g}", "value"))
    places = [_share(values, settings.controls[name]) for name, values in ((plane.x, plane.xs), (plane.y, plane.ys))]
    x, y = LEFT + (places[0] + 0.5) * wide, MAP - BOTTOM - (places[1] + 0.5) * high
    parts.append(f'<circle class="here" cx="{x:.1f}" cy="{y:.1f}" r="5"/>')
    parts.append(_text(LEFT, TOP - 6, f"{names[1]} ↑, {names[0]} →", "title"))
    label = f"{title}: how many features are learned in the limit, over {names[0]} and {names[1]}"
    data = {"xs": plane.xs, "ys": plane.ys, "box": [LEFT, TOP, WIDTH - RIGHT, MAP - BOTTOM]}
    numbers = "".join(f' data-{name}="{",".join(map(str, values))}"' for name, values in data.items())
    return Markup(_picture(MAP, label, parts, f' data-map="{plane.x},{plane.y}"{numbers}'))


def _share(values: Sequence[float], value: float) -> float:
    """Where a value stands among increasing ones, in the logarithm, from 0 to SIZE − 1; 0 below them."""
    return float(np.interp(np.log(max(value, 1e-300)), np.log(values), np.arange(SIZE)))


def _picture(height: int, label: str, parts: Iterable[str], more: str = "") -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}"{more}>{"".join(parts)}</svg>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _scores(run: SeedRun) -> np.ndarray:
    """Feature scores, (R, K), mean over labels."""
    return run.history.feature_scores.mean(axis=1)


def _said_scores(run: SeedRun) -> str:
    return ", ".join(f"{score:.3g}" for score in _scores(run)[-1])


def _last(runs: Sequence[tuple[SeedRun, str]], say: object) -> str:
    """Where curves end, for those who do not see them."""
    words = {"limit": "In the limit", "exact": "Exactly"}
    return ". ".join(f"{words[kind]}: {say(run)}" for run, kind in runs if kind in words and callable(say))


def _range(arrays: Iterable[np.ndarray], top: float | None = None) -> tuple[float, float]:
    """The range of a row's values, a little wider, or up to `top`."""
    values = np.concatenate([np.asarray(array).ravel() for array in arrays] or [np.zeros(1)])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    if top is not None:
        return min(low, 0.9 * top) - 0.02, top + 0.02
    return min(low, 0.0), max(high * 1.08, low + 0.1)


def _round_values(low: float, high: float) -> list[float]:
    """Three to six round values within a range."""
    raw = (high - low) / 4
    size = 10 ** floor(log10(raw))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw)
    return [round(index * step, 10) for index in range(ceil(low / step), floor(high / step) + 1)]


def _apart(ends: dict[int, float]) -> dict[int, float]:
    """Heights of the numbers at the curves' ends, moved up so that none covers another."""
    placed, last = {}, float("inf")
    for k, y in sorted(ends.items(), key=lambda item: item[1], reverse=True):
        last = min(y, last - 11)
        placed[k] = last
    return placed
