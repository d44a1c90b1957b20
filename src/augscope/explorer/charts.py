"""The explorer's pictures of a training, as Vega-Lite charts, and the numbers behind them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import altair as alt
import numpy as np

from augscope.explorer.regimes import Prediction
from augscope.support.plain_data import csv_text
from augscope.theorems.figures import COLOURS
from augscope.theorems.statements import resolve_rarity
from augscope.training.experiment import Experiment
from augscope.training.measures import LEARNED_SHARE
from augscope.training.seed_run import SeedRun

WIDTH, HEIGHT = 195, 180  # pixels: three beside each other on a desk, one on a telephone
DASHES = ([1, 0], [7, 3], [2, 2], [8, 2, 2, 2])  # a style a feature, for those who cannot tell colours
INK, GREY = "#1c1c1c", "#757575"
METHOD_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")  # Okabe & Ito
Row = dict[str, Any]


def feature_names(experiment: Experiment) -> list[str]:
    """Return how each feature is called in legends."""
    rarity = resolve_rarity(experiment.distribution, experiment.num_samples)
    return [
        f"{k + 1}: ρ = {frequency:g}, {str(name).replace('_', ' ')}"
        for k, (frequency, name) in enumerate(zip(experiment.distribution.frequencies, rarity, strict=True))
    ]


def method_chart(run: SeedRun, experiment: Experiment, prediction: Prediction) -> alt.VConcatChart:
    """Return one method's picture: feature scores over steps above, exact accuracy below, with what theory expects of both."""
    names = feature_names(experiment)
    scores = run.history.feature_scores.mean(axis=1)
    level = LEARNED_SHARE * float(np.nanmax(scores[-1], initial=0.0))
    marks = [("learned above", level)]
    plateau = float(np.mean(run.predicted_plateau))
    if np.isfinite(plateau):
        marks.append(("predicted plateau", plateau))
    upper = alt.layer(_lines(run, names, scores, "feature score", experiment), _rules(marks), title=run.method.title)
    accuracies = run.history.accuracy_per_feature.mean(axis=1)
    bounds = dict.fromkeys((prediction.low, prediction.high))
    theorem = [(f"Theorem {prediction.theorem}: {prediction}", bound) for bound in bounds]
    overall = _table(run, ["overall"], run.history.accuracy[:, None])
    thick = (
        alt.Chart(alt.Data(values=overall))
        .mark_line(color="black", strokeWidth=2.5, point=False)
        .encode(x=_steps(experiment), y=_value("exact accuracy"), tooltip=_TOOLTIP)
    )
    by_feature = _lines(run, names, accuracies, "exact accuracy", experiment, legend=False)
    lower = alt.layer(by_feature, thick, _rules(theorem, is_named=False))  # where they lie, curves end
    title = alt.TitleParams(f"now {run.history.accuracy[-1]:.4f}", subtitle=f"dotted: {theorem[0][0]}")
    chart = alt.vconcat(upper, lower.properties(title=title))
    said = f"{run.method.title}: feature scores and exact test accuracy over {int(run.history.steps[-1]):,} steps"
    return finish(chart).properties(
        description=f"{said}; accuracy {run.history.accuracy[-1]:.4f}, expected {prediction}"
    )


def evenness_chart(runs: Sequence[SeedRun], experiment: Experiment) -> alt.VConcatChart:
    """Return how even each method's patch scores are, and CutMix's mean scores beside the plateau where they should settle."""
    titles = [run.method.title for run in runs]
    uneven = [row for run in runs for row in _table(run, [run.method.title], run.history.unevenness[:, None])]
    above = _series(uneven, titles, "spread / mean of patch scores", experiment, METHOD_COLOURS, log=True)
    even = [run for run in runs if np.isfinite(run.predicted_plateau).all()]
    charts: list[Any] = [above.properties(title="Evenness (0 is perfectly even)")]
    said = "Spread of the patch scores over their mean, by method"
    for run in even:
        labels = ["label +1", "label −1"]
        rows = _table(run, labels, run.history.plateau)
        means = _series(rows, labels, "mean patch score", experiment, ("#0072B2", "#D55E00"))
        marks = [
            (f"predicted, {label}: {value:.4f}", float(value))
            for label, value in zip(labels, run.predicted_plateau, strict=True)
        ]
        low, high = sorted(marks, key=lambda mark: mark[1])  # named outside of what they enclose, lest the names meet
        charts.append(
            alt.layer(means, _rules([high]), _rules([low], below=True)).properties(
                title=f"{run.method.title} and its plateau"
            )
        )
        last = ", ".join(f"{value:.4f}" for value in run.history.plateau[-1])
        predicted = ", ".join(f"{value:.4f}" for value in run.predicted_plateau)
        said += f"; {run.method.title} scores {last} a patch, predicted {predicted}"
    return finish(alt.vconcat(*charts)).properties(description=said)


def to_csv(runs: Iterable[SeedRun]) -> str:
    """Return every number behind the pictures, a row a method and recorded step."""
    rows = [
        {"method": run.method.title, "seed": run.seed, "step": int(step), **_measures(run, index)}
        for run in runs
        for index, step in enumerate(run.history.steps)
    ]
    columns = list(rows[0]) if rows else ["method", "seed", "step"]
    return csv_text(columns, [list(row.values()) for row in rows])


def _measures(run: SeedRun, index: int) -> Row:
    """One record's numbers by name."""
    history = run.history
    told: Row = {
        name: float(getattr(history, name)[index])
        for name in ("loss", "gradient_norm", "margin", "accuracy", "accuracy_error", "unevenness")
    }
    for label, row in (("plus", 0), ("minus", 1)):
        told[f"patch_score_{label}"] = float(history.plateau[index, row])
        told[f"predicted_patch_score_{label}"] = float(run.predicted_plateau[row])
        for k in range(history.feature_scores.shape[2]):
            told[f"score_{k + 1}_{label}"] = float(history.feature_scores[index, row, k])
            told[f"accuracy_{k + 1}_{label}"] = float(history.accuracy_per_feature[index, row, k])
    return told


_TOOLTIP = [
    alt.Tooltip("what:N", title="line"),
    alt.Tooltip("step:Q", format=","),
    alt.Tooltip("value:Q", format=".4f"),
]


def _table(run: SeedRun, names: Sequence[str], values: Any) -> list[Row]:
    """Long rows, one a line and step; step 0 is drawn at ½, for a logarithmic axis; what is not finite is left out."""
    return [
        {"step": int(step), "x": log_steps(step), "value": float(value), "what": name}
        for step, row in zip(run.history.steps, values, strict=True)
        for name, value in zip(names, row, strict=True)
        if np.isfinite(value)
    ]


def log_steps(step: float) -> float:
    """Return where a step lies on a logarithmic axis: step 0 at ½."""
    return max(0.5, float(step))


def _steps(experiment: Experiment) -> alt.X:
    """The axis of steps: as long as the training will be, so that pictures grow into it."""
    scale = alt.Scale(type="log", domain=[0.5, max(1, experiment.num_steps)], nice=False)
    axis = alt.Axis(title="step (0 drawn at ½)", format="~s", tickCount=5, grid=False)
    return alt.X("x:Q", scale=scale, axis=axis)


def _value(title: str, *, log: bool = False) -> alt.Y:
    scale = alt.Scale(type="log") if log else alt.Scale(zero=False, nice=True)
    return alt.Y("value:Q", title=title, scale=scale, axis=alt.Axis(tickCount=5, format="~g"))


def _lines(
    run: SeedRun, names: list[str], values: Any, title: str, experiment: Experiment, *, legend: bool = True
) -> alt.Chart:
    """A line a feature, coloured by rarity as in every picture of augscope."""
    rarity = resolve_rarity(experiment.distribution, experiment.num_samples)
    colours = [COLOURS[name] for name in rarity]
    return _series(_table(run, names, values), names, title, experiment, colours, has_legend=legend)


def _series(
    rows: list[Row],
    names: Sequence[str],
    title: str,
    experiment: Experiment,
    colours: Sequence[str],
    *,
    log: bool = False,
    has_legend: bool = True,
) -> alt.Chart:
    """Lines over steps, told apart by colour and style."""
    kept = [row for row in rows if not log or row["value"] > 0]
    legend = alt.Legend(title=None, orient="bottom", direction="vertical", labelLimit=WIDTH) if has_legend else None
    colour = alt.Color("what:N", scale=alt.Scale(domain=list(names), range=list(colours[: len(names)])), legend=legend)
    dash = alt.StrokeDash(
        "what:N", scale=alt.Scale(domain=list(names), range=list(DASHES[: len(names)])), legend=legend
    )
    return (
        alt.Chart(alt.Data(values=kept))
        .mark_line(strokeWidth=2)
        .encode(x=_steps(experiment), y=_value(title, log=log), color=colour, strokeDash=dash, tooltip=_TOOLTIP)
        .properties(width=WIDTH, height=HEIGHT)
    )


def _rules(marks: Sequence[tuple[str, float]], *, below: bool = False, is_named: bool = True) -> Any:
    """Dotted levels, if named with their names above them at the left or below them at the right."""
    rows = [{"value": value, "what": text} for text, value in marks]
    base = alt.Chart(alt.Data(values=rows)).encode(y="value:Q", tooltip=[_TOOLTIP[0], _TOOLTIP[2]])
    lines = base.mark_rule(strokeDash=[2, 3], color=GREY)
    if not is_named:
        return lines
    look: Any = (
        {"align": "right", "baseline": "top", "dx": -3, "dy": 2}
        if below
        else {"align": "left", "baseline": "bottom", "dx": 3}
    )
    text = base.mark_text(fontSize=10, color="#444444", **look).encode(
        x=alt.value(WIDTH if below else 0), text="what:N"
    )
    return alt.layer(lines, text)


def finish(chart: Any) -> Any:
    """Return a chart in the one look that all have: dark on white, whatever the page's theme."""
    # The browser's menu saves the picture; it offers no editor on another host.
    menu = {"embedOptions": {"actions": {"export": True, "source": False, "compiled": False, "editor": False}}}
    return (
        chart.properties(usermeta=menu)
        .resolve_scale(color="independent", strokeDash="independent")
        .configure(background="white")
        .configure_view(stroke="#d0d0d0")
        .configure_title(fontSize=13, anchor="start", color=INK, subtitleColor=INK)
        .configure_axis(labelColor=INK, titleColor=INK, tickColor=GREY, domainColor=GREY, gridColor="#e2e2e2")
        .configure_legend(labelColor=INK, titleColor=INK)
    )
