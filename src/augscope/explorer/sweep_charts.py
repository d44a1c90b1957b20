"""The explorer's pictures of a sweep: a heat map a method whose cells can be clicked, and one place's trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from augscope.explorer.charts import DASHES, HEIGHT, METHOD_COLOURS, WIDTH, finish, log_steps
from augscope.phase import Panel, PhaseDiagram
from augscope.phase_figures import LINES, edges, scaled, unscaled

PLACE = "place"  # the name of the selection
Row = dict[str, Any]


def cells(diagram: PhaseDiagram) -> list[Row]:
    """Return the diagram's places as rows: panel, x, y, mean, spread, runs, and where their rectangles end.

    A place that is no part of a full grid has no rectangle; it is drawn as a dot.
    """
    return [row for panel in diagram.panels for row in _panel_cells(diagram, panel)]


def _panel_cells(diagram: PhaseDiagram, panel: Panel) -> list[Row]:
    x, y = scaled(diagram, panel)
    columns, rows = np.unique(x), np.unique(y)
    told = [
        {"panel": panel.name, "x": at_x, "y": at_y, "mean": mean, "spread": spread, "runs": count}
        for at_x, at_y, mean, spread, count in zip(
            panel.x.tolist(),
            panel.y.tolist(),
            panel.mean.tolist(),
            panel.spread.tolist(),
            panel.count.tolist(),
            strict=True,
        )
    ]
    if len(columns) * len(rows) != len(told):
        return told
    across, up = unscaled(diagram, edges(columns), edges(rows))
    for row, i, j in zip(told, np.searchsorted(columns, x), np.searchsorted(rows, y), strict=True):
        row |= {"left": float(across[i]), "right": float(across[i + 1]), "low": float(up[j]), "high": float(up[j + 1])}
    return told


def phase_charts(diagram: PhaseDiagram) -> list[Any]:
    """Return a heat map a panel, with the measured crossing of the level and the predicted boundaries on top.

    A click on a cell selects it (`PLACE`) by panel, x and y.
    """
    means = np.concatenate([panel.mean for panel in diagram.panels])
    limits = [float(means.min()), float(means.max())]
    label = diagram.labels.get(diagram.value, diagram.value)
    return [
        finish(_heat(diagram, panel, limits)).properties(
            description=f"{panel.name}: {label} over two axes, from {panel.mean.min():.4g} to {panel.mean.max():.4g}"
        )
        for panel in diagram.panels
    ]


def _heat(diagram: PhaseDiagram, panel: Panel, limits: list[float]) -> Any:
    """One panel."""
    rows = _panel_cells(diagram, panel)
    select = alt.selection_point(fields=["panel", "x", "y"], name=PLACE, on="click")
    x_axis, y_axis = (
        alt.Axis(title=diagram.labels.get(name, name), format="~g", grid=False, titleLimit=WIDTH, labelOverlap=True)
        for name in (diagram.x, diagram.y)
    )
    label = diagram.labels.get(diagram.value, diagram.value)
    colour = alt.Color(
        "mean:Q", scale=alt.Scale(scheme="viridis", domain=limits), legend=alt.Legend(title=label[:30], orient="bottom")
    )
    x_scale, y_scale = (
        alt.Scale(type="log", nice=False) if is_log else alt.Scale(nice=False, zero=False)
        for is_log in (diagram.x_log, diagram.y_log)
    )
    shown = ("panel:N", "x:Q", "y:Q", "mean:Q", "spread:Q", "runs:Q")
    told = [alt.Tooltip(name, format=".4~g") if name.endswith("Q") else alt.Tooltip(name) for name in shown]
    base = alt.Chart(alt.Data(values=rows))
    if rows and "left" in rows[0]:
        heat = base.mark_rect(cursor="pointer").encode(
            x=alt.X("left:Q", scale=x_scale, axis=x_axis),
            x2="right:Q",
            y=alt.Y("low:Q", scale=y_scale, axis=y_axis),
            y2="high:Q",
        )
    else:
        heat = base.mark_square(size=90, cursor="pointer").encode(
            x=alt.X("x:Q", scale=x_scale, axis=x_axis), y=alt.Y("y:Q", scale=y_scale, axis=y_axis)
        )
    heat = heat.encode(color=colour, tooltip=told, opacity=alt.condition(select, alt.value(1.0), alt.value(0.55)))
    lines = _boundaries(diagram, panel)
    layers = [heat.add_params(select), *lines]
    return alt.layer(*layers).properties(title=panel.name[:40], width=WIDTH, height=WIDTH - 20)


def _boundaries(diagram: PhaseDiagram, panel: Panel) -> list[alt.Chart]:
    """The measured crossing of the level in white, and the predicted ones, each in its colour and style."""
    wanted = [(f"measured: {diagram.level:.3g}", panel.crossings(diagram.level), "white", "-")]
    for name, (colour, style) in zip(panel.boundaries, LINES, strict=False):
        wanted.append((f"predicted: {name}", panel.crossings(1, name), colour, style))
    dashes = {"-": [1, 0], "--": [7, 3], "-.": [7, 2, 2, 2], ":": [2, 2]}
    charts = []
    for name, crossings, colour, style in wanted:
        if len(crossings) < 2:  # no line
            continue
        rows = [{"x": x, "y": y, "line": name} for x, y in sorted(crossings.items())]
        base = alt.Chart(alt.Data(values=rows)).encode(x="x:Q", y="y:Q", tooltip=[alt.Tooltip("line:N")])
        if colour == "white":  # shows on a light ground too
            charts.append(base.mark_line(strokeWidth=4, color="#333333"))
        charts.append(base.mark_line(strokeWidth=2.2, color=colour, strokeDash=dashes[style]))
    return charts


def legend_text(diagram: PhaseDiagram) -> list[str]:
    """Return what the lines of `phase_charts` are, a sentence a panel."""
    words = ("dashed", "dash-dotted", "dotted")
    told = [f"White: where the mean crosses {diagram.level:.3g}."]
    for panel in diagram.panels:
        lines = [f"{word}: {name}" for name, word in zip(panel.boundaries, words, strict=False)]
        if lines:
            told.append(f"Predicted boundaries, {panel.name or 'all records'}: {', '.join(lines)}.")
    return told


def trajectory_chart(rows: Sequence[Row], measure: str) -> alt.Chart:
    """Return a place's trajectories over steps: a line a run, coloured by method.

    Args:
        rows: from `SweepView.trajectories`.
        measure: "accuracy", or "feature k" for the accuracy on feature k of both labels.
    """
    methods = list(dict.fromkeys(row["method"] for row in rows))
    table = [
        {"x": log_steps(row["step"]), "step": row["step"], "value": value, "method": row["method"], "seed": row["seed"]}
        for row in rows
        if (value := _measured(row, measure)) is not None and np.isfinite(value)
    ]
    legend = alt.Legend(title=None, orient="bottom", labelLimit=240, columns=3)
    encode: dict[str, Any] = {
        "x": alt.X(
            "x:Q", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(title="step", format="~s", grid=False)
        ),
        "y": alt.Y(
            "value:Q", title=f"exact accuracy, {measure}", scale=alt.Scale(zero=False), axis=alt.Axis(format="~g")
        ),
        "color": alt.Color(
            "method:N", scale=alt.Scale(domain=methods, range=list(METHOD_COLOURS[: len(methods)])), legend=legend
        ),
        "strokeDash": alt.StrokeDash(
            "method:N", scale=alt.Scale(domain=methods, range=[DASHES[i % len(DASHES)] for i in range(len(methods))])
        ),
        "detail": "seed:N",
        "tooltip": [
            alt.Tooltip("method:N"),
            alt.Tooltip("seed:N"),
            alt.Tooltip("step:Q"),
            alt.Tooltip("value:Q", format=".4f"),
        ],
    }
    chart = alt.Chart(alt.Data(values=table)).mark_line(strokeWidth=1.6).encode(**encode)
    said = f"Accuracy ({measure}) over steps of {len({(row['method'], row['seed']) for row in rows})} runs"
    return finish(chart.properties(width=WIDTH, height=HEIGHT, title=measure, description=said))


def _measured(row: Row, measure: str) -> float | None:
    """One number of a trajectory's row."""
    if measure == "accuracy":
        return row["accuracy"]
    index = int(measure.rpartition(" ")[2]) - 1
    return sum(label[index] for label in row["accuracy_per_feature"]) / 2


def cell_of(selections: Any) -> tuple[str, float, float] | None:
    """Return (panel, x, y) of what was clicked, from a chart's selections as the browser sends them; None if nothing was."""
    found = selections.get(PLACE, {}) if isinstance(selections, dict) else {}
    if not all(found.get(name) for name in ("panel", "x", "y")):
        return None
    return str(found["panel"][-1]), float(found["x"][-1]), float(found["y"][-1])
