"""The picture of an audit: test accuracy of every subgroup under every method, with intervals."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from augscope.images.plan import title
from augscope.studies.audit.design import Design
from augscope.studies.audit.subgroups import Measured
from augscope.support.rendering import lay_out, shown_name, to_bytes
from augscope.support.styles import method_styles

LONGEST = 36  # letters of a subgroup's name; the report's tables have all of them
LANE = 0.15  # between two methods of one subgroup, which are 1 apart


def pictures(design: Design, measured: Measured) -> dict[str, bytes]:
    """Return the files of `draw_accuracies`, with its legend above: SVG and PNG."""
    figure = Figure(figsize=figure_size(design), layout="constrained")
    draw_accuracies(figure.subplots(), design, measured)
    figure.legend(loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    lay_out(figure)
    return {f"accuracies.{kind}": to_bytes(figure, kind) for kind in ("svg", "png")}


def figure_size(design: Design) -> tuple[float, float]:
    """Return the inches that its rows need."""
    return 7.2, 1.5 + len(design.data.groups) * (0.25 + 0.17 * len(design.methods))


def draw_accuracies(axis: Axes, design: Design, measured: Measured) -> None:
    """Draw a row for each subgroup, a mark for each method: test accuracy with its 95 % interval; small and open: training."""
    data, methods = design.data, design.methods
    count = len(data.groups)
    styles = method_styles(methods)
    for index, method in enumerate(methods):
        colour, marker = styles[method].colour, styles[method].marker
        lane = LANE * (index - (len(methods) - 1) / 2)
        for group in range(count):
            cell = measured.accuracies[method, group]
            label = shown_name(title(method), LONGEST) if group == 0 else None
            axis.plot([cell.test.low, cell.test.high], [group + lane] * 2, color=colour, linewidth=1.4)
            axis.plot(cell.test.estimate, group + lane, marker, color=colour, markersize=5, label=label)
            if cell.train is not None:
                axis.plot(cell.train.estimate, group + lane, marker, color=colour, markersize=3.5, fillstyle="none")
    train, test = data.train.counts(count), data.test.counts(count)
    names = [f"{shown_name(group.name, LONGEST)}\n{train[g]:,} / {test[g]:,}" for g, group in enumerate(data.groups)]
    axis.set_yticks(range(count), names, fontsize=8)
    axis.axvline(1 / len(data.classes), color="#999999", linewidth=1, linestyle=":")
    axis.set_ylim(count - 0.4, -0.6)
    axis.set_xlim(-0.02, 1.02)
    axis.set_xlabel("accuracy (filled: test, 95 % interval; open: training; dotted: chance)")
    axis.grid(axis="x", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
