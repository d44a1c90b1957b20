"""The explorer's pictures of a training, as Vega-Lite charts, and the numbers behind them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np

from augscope.explorer.regimes import Prediction
from augscope.support.plain_data import csv_text
from augscope.support.styles import BLUE, DASHES, GREY, INK, RARITIES, VERMILION, method_styles
from augscope.theorems.statements import resolve_rarity
from augscope.training.experiment import Experiment
from augscope.training.measures import LEARNED_SHARE
from augscope.training.seed_run import SeedRun

WIDTH, HEIGHT = 195, 180  # pixels: three beside each other on a desk, one on a telephone
LABELS, LABEL_COLOURS = ("label +1", "label −1"), (BLUE, VERMILION)
Row = dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """One panel: lines over steps, told apart by colour and style.

    Attributes:
        title: of the vertical axis.
        names, colours: one a line.
        num_steps: of the whole training: the axis is as long from the start, so that lines grow into it.
        is_logarithmic: whether the vertical axis is; lines then leave out what is not above 0.
        has_legend: whether the names stand below.
    """

    title: str
    names: Sequence[str]
    colours: Sequence[str]
    num_steps: int
    is_logarithmic: bool = False
    has_legend: bool = True

    def lines(self, rows: Sequence[Row]) -> alt.Chart:
        """Return the rows as a line each name."""
        legend = alt.Legend(title=None, orient="bottom", direction="vertical", labelLimit=WIDTH)
        look: Any = {"legend": legend if self.has_legend else None}
        names, count = list(self.names), len(self.names)
        colour = alt.Color("what:N", scale=alt.Scale(domain=names, range=list(self.colours[:count])), **look)
        dash = alt.StrokeDash("what:N", scale=alt.Scale(domain=names, range=list(DASHES.values())[:count]), **look)
        shown = [row for row in rows if row["value"] > 0] if self.is_logarithmic else rows
        return self._chart(shown).mark_line(strokeWidth=2).encode(color=colour, strokeDash=dash)

    def thick_line(self, rows: Sequence[Row]) -> alt.Chart:
        """Return the rows as one thick black line."""
        return self._chart(rows).mark_line(color="black", strokeWidth=2.5, point=False)

    def _chart(self, rows: Sequence[Row]) -> alt.Chart:
        """The rows on the panel's axes."""
        steps = alt.Scale(type="log", domain=[0.5, max(1, self.num_steps)], nice=False)
        steps_axis = alt.Axis(title="step (0 drawn at ½)", format="~s", tickCount=5, grid=False)
        values = alt.Scale(type="log") if self.is_logarithmic else alt.Scale(zero=False, nice=True)
        values_axis = alt.Axis(tickCount=5, format="~g")
        return (
            alt.Chart(alt.Data(values=rows), width=WIDTH, height=HEIGHT)
            .encode(x=alt.X("x:Q", scale=steps, axis=steps_axis), tooltip=_TOOLTIP)
            .encode(y=alt.Y("value:Q", title=self.title, scale=values, axis=values_axis))
        )


_TOOLTIP = [
    alt.Tooltip("what:N", title="line"),
    alt.Tooltip("step:Q", format=","),
    alt.Tooltip("value:Q", format=".4f"),
]


def method_chart(run: SeedRun, experiment: Experiment, prediction: Prediction) -> alt.VConcatChart:
    """Return one method's picture: feature scores over steps above, exact accuracy below, with what theory expects of both."""
    title, history, num_steps = run.method.title, run.history, experiment.num_steps
    rarity = resolve_rarity(experiment)
    names = [
        f"{k + 1}: ρ = {frequency:g}, {str(name).replace('_', ' ')}"
        for k, (frequency, name) in enumerate(zip(experiment.distribution.frequencies, rarity, strict=True))
    ]
    colours = [RARITIES[name].colour for name in rarity]  # as in every picture of augscope

    scores = history.feature_scores.mean(axis=1)
    levels = {"learned above": LEARNED_SHARE * float(np.nanmax(scores[-1], initial=0.0))}
    plateau = float(np.mean(run.predicted_plateau))
    if np.isfinite(plateau):
        levels["predicted plateau"] = plateau
    panel = Panel("feature score", names, colours, num_steps)
    upper = alt.layer(panel.lines(_table(run, names, scores)), _rules(levels), _rule_names(levels), title=title)

    panel = Panel("exact accuracy", names, colours, num_steps, has_legend=False)
    by_feature = panel.lines(_table(run, names, history.accuracy_per_feature.mean(axis=1)))
    overall = panel.thick_line(_table(run, ["overall"], history.accuracy[:, None]))
    theorem = f"Theorem {prediction.theorem}: {prediction}"
    bounds = _rules({theorem: prediction.low}), _rules({theorem: prediction.high})  # not named: curves end there
    heading = alt.TitleParams(f"now {history.accuracy[-1]:.4f}", subtitle=f"dotted: {theorem}")
    lower = alt.layer(by_feature, overall, *bounds, title=heading)
    description = (
        f"{title}: feature scores and exact test accuracy over {int(history.steps[-1]):,} steps; "
        f"accuracy {history.accuracy[-1]:.4f}, expected {prediction}"
    )
    return _finished(alt.vconcat(upper, lower), description)


def evenness_chart(runs: Sequence[SeedRun], experiment: Experiment) -> alt.VConcatChart:
    """Return how even each method's patch scores are, and CutMix's mean scores beside the plateau where they should settle."""
    titles = [run.method.title for run in runs]
    colours = [style.colour for style in method_styles(titles).values()]
    panel = Panel("spread / mean of patch scores", titles, colours, experiment.num_steps, is_logarithmic=True)
    rows = [row for run in runs for row in _table(run, [run.method.title], run.history.unevenness[:, None])]
    charts: list[Any] = [panel.lines(rows).properties(title="Evenness (0 is perfectly even)")]
    description = "Spread of the patch scores over their mean, by method"
    for run in runs:
        if np.isfinite(run.predicted_plateau).all():
            charts.append(_plateau_chart(run, experiment.num_steps))
            last = ", ".join(f"{value:.4f}" for value in run.history.plateau[-1])
            predicted = ", ".join(f"{value:.4f}" for value in run.predicted_plateau)
            description += f"; {run.method.title} scores {last} a patch, predicted {predicted}"
    return _finished(alt.vconcat(*charts), description)


def _plateau_chart(run: SeedRun, num_steps: int) -> Any:
    """Mean patch scores of each label, with the predicted ones."""
    panel = Panel("mean patch score", LABELS, LABEL_COLOURS, num_steps)
    values = [float(value) for value in run.predicted_plateau]
    levels = {f"predicted, {label}: {value:.4f}": value for label, value in zip(LABELS, values, strict=True)}
    low, high = sorted(levels, key=lambda name: levels[name])
    # The names stand outside of what the two levels enclose, so that they do not overlap.
    above, below = _rule_names({high: levels[high]}), _rule_names({low: levels[low]}, is_below=True)
    lines = panel.lines(_table(run, LABELS, run.history.plateau))
    return alt.layer(lines, _rules(levels), above, below).properties(title=f"{run.method.title} and its plateau")


def to_csv(runs: Iterable[SeedRun]) -> str:
    """Return every number behind the pictures, a row a method and recorded step."""
    rows = [_measures(run, index) for run in runs for index in range(len(run.history.steps))]
    columns = list(rows[0]) if rows else ["method", "seed", "step"]
    return csv_text(columns, [list(row.values()) for row in rows])


def _measures(run: SeedRun, index: int) -> Row:
    """One record's numbers by name."""
    history = run.history
    row: Row = {"method": run.method.title, "seed": run.seed, "step": int(history.steps[index])}
    for name in ("loss", "gradient_norm", "margin", "accuracy", "accuracy_error", "unevenness"):
        row[name] = float(getattr(history, name)[index])
    for label, axis in (("plus", 0), ("minus", 1)):
        row[f"patch_score_{label}"] = float(history.plateau[index, axis])
        row[f"predicted_patch_score_{label}"] = float(run.predicted_plateau[axis])
        for k in range(history.feature_scores.shape[2]):
            row[f"score_{k + 1}_{label}"] = float(history.feature_scores[index, axis, k])
            row[f"accuracy_{k + 1}_{label}"] = float(history.accuracy_per_feature[index, axis, k])
    return row


def _table(run: SeedRun, names: Sequence[str], values: Any) -> list[Row]:
    """Long rows, one a line and step; step 0 is drawn at ½, for a logarithmic axis; what is not finite is left out."""
    return [
        {"step": int(step), "x": max(0.5, float(step)), "value": float(value), "what": name}
        for step, row in zip(run.history.steps, values, strict=True)
        for name, value in zip(names, row, strict=True)
        if np.isfinite(value)
    ]


def _levels(levels: dict[str, float]) -> alt.Chart:
    rows = [{"value": value, "what": name} for name, value in levels.items()]
    return alt.Chart(alt.Data(values=rows)).encode(y="value:Q", tooltip=[_TOOLTIP[0], _TOOLTIP[2]])


def _rules(levels: dict[str, float]) -> alt.Chart:
    """Dotted horizontal lines at levels by name."""
    return _levels(levels).mark_rule(strokeDash=[2, 3], color=GREY)


def _rule_names(levels: dict[str, float], is_below: bool = False) -> alt.Chart:
    """The levels' names: above them at the left, or below them at the right."""
    if is_below:
        marks = _levels(levels).mark_text(fontSize=10, color="#444444", align="right", baseline="top", dx=-3, dy=2)
        return marks.encode(text="what:N", x=alt.value(WIDTH))
    marks = _levels(levels).mark_text(fontSize=10, color="#444444", align="left", baseline="bottom", dx=3)
    return marks.encode(text="what:N", x=alt.value(0))


def _finished(chart: Any, description: str) -> Any:
    """The chart in the one look that all have: dark on white, whatever the page's theme."""
    # The browser's menu saves the picture; it offers no editor on another host.
    menu = {"embedOptions": {"actions": {"export": True, "source": False, "compiled": False, "editor": False}}}
    return (
        chart.properties(usermeta=menu, description=description)
        .resolve_scale(color="independent", strokeDash="independent")
        .configure(background="white")
        .configure_view(stroke="#d0d0d0")
        .configure_title(fontSize=13, anchor="start", color=INK, subtitleColor=INK)
        .configure_axis(labelColor=INK, titleColor=INK, tickColor=GREY, domainColor=GREY, gridColor="#e2e2e2")
        .configure_legend(labelColor=INK, titleColor=INK)
    )
