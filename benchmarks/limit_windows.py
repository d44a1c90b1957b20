"""When each theorem's statements hold in the limit, against feature noise α and against the noise energies (docs/limit.md).

python benchmarks/limit_windows.py --out docs
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import augscope as ag
from augscope.model.jax_setup import set_up_jax
from augscope.support.styles import method_styles

LAST = 1e12  # to which windows are followed
ALPHAS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.2, 0.28, 0.4, 0.56)
FACTORS = tuple(2.0**power for power in np.arange(-4, 4.5, 0.5))
Window = tuple[float, float | None]


def draw_windows(axis: Axes, places: Sequence[float], windows: Sequence[Iterable[Window]], colour: str) -> None:
    """Draw the windows of each place as upright bars of steps; an arrow where one has not ended by `LAST`."""
    for place, at in zip(places, windows, strict=True):
        for opens, closes in at:
            axis.plot([place, place], [opens, closes or LAST], color=colour, linewidth=4, solid_capstyle="butt")
            if closes is None:
                axis.plot(place, LAST, "^", color=colour, markersize=6)
    axis.set(xscale="log", yscale="log", ylim=(0.8, 4 * LAST))


def windows_of(experiments: Iterable[ag.Experiment]) -> dict[str, list[tuple[Window, ...]]]:
    """Return the windows of the population by method, one group an experiment."""
    windows: dict[str, list[tuple[Window, ...]]] = {}
    for experiment in experiments:
        for theorem in ag.verify(experiment, seeds=()).theorems:
            assert theorem.limit is not None
            windows.setdefault(theorem.method.title, []).append(theorem.limit.windows)
    return windows


def main() -> None:
    """Compute and draw both rows, and print what is drawn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path())
    out = parser.parse_args().out
    set_up_jax()
    theorem = ag.presets.theorem
    distribution = theorem.distribution
    noisier = [theorem.replace(distribution=distribution.replace(feature_noise=alpha)) for alpha in ALPHAS]
    louder = [
        theorem.replace(
            distribution=distribution.replace(
                dominant_noise_std=distribution.dominant_noise_std * factor**0.5,
                background_noise_std=distribution.background_noise_std * factor**0.5,
            )
        )
        for factor in FACTORS
    ]
    figure = Figure(figsize=(9.5, 6.2), layout="constrained")
    rows = figure.subplots(2, 3, sharey=True, sharex="row")
    for axes, places, experiments, name in (
        (rows[0], ALPHAS, noisier, "feature noise α"),
        (rows[1], FACTORS, louder, "both noise energies, times those of the preset"),
    ):
        found = windows_of(experiments)
        styles = method_styles(found)
        for axis, (method, windows) in zip(axes, found.items(), strict=True):
            print(name, method, list(zip(places, windows, strict=True)), flush=True)
            draw_windows(axis, places, windows, styles[method].colour)
            axis.set(xlabel=name if axis is axes[1] else "", title=method if name.startswith("feature") else "")
        axes[0].set_ylabel("steps at which the theorem holds")
    figure.savefig(out / "limit-windows.png", dpi=110)


if __name__ == "__main__":
    main()
