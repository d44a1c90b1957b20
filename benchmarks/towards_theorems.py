"""Towards the theorems: d and the separations grow together, and with them the share of samples that satisfy each theorem.

    python benchmarks/towards_theorems.py --out docs

Separation s, at the learning-speed ratios R (model.md identity 9): R_1(σ_d) = 0.7 s, R_2(σ_d) = 0.7/s, R_2(σ_b) = 0.7 s, R_3(σ_b) = 0.7/s.
Common and rare, rare and extremely rare features are a factor s² apart, and σ_d/σ_b = s. n doubles, so that the rarest feature has more points
each time; d grows tenfold, so that κ falls. Feature noise, network, steps and step size stay: α = 0.2, T = 10,000, η = 1.
Writes towards-theorems.json and .png. Slow: about an hour on two cores; `--seeds 6 --sizes 2` takes minutes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from limit_windows import LAST, draw_windows
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import augscope as ag
from augscope.model.jax_setup import set_up_jax
from augscope.support.files import write_whole
from augscope.support.statistics import clopper_pearson
from augscope.support.styles import method_styles

SEQUENCE = (  # separation, n, d
    (1.5, 100, 2 * 10**4),
    (1.75, 200, 2 * 10**5),
    (2.0, 400, 2 * 10**6),
    (2.25, 800, 2 * 10**7),
    (2.5, 1_600, 2 * 10**8),
    (2.75, 3_200, 2 * 10**9),
)
TRAINED = 3  # of them at finite d, whose Gram matrix is of n²; in their samples' limits all
LEVEL = 0.7


def separated(separation: float, num_samples: int, dim: int) -> ag.Experiment:
    """Return `presets.theorem` with its frequencies and noise energies a factor `separation`² apart."""
    weights = [separation ** (-2 * k) for k in range(3)]
    frequencies = tuple(weight / sum(weights) for weight in weights)
    theorem = ag.presets.theorem
    energy = num_samples * frequencies[0] / (LEVEL * separation)
    dominant = (energy / (dim - 2 * len(frequencies))) ** 0.5
    distribution = theorem.distribution.replace(
        dim=dim, frequencies=frequencies, dominant_noise_std=dominant, background_noise_std=dominant / separation
    )
    return theorem.replace(distribution=distribution, num_samples=num_samples)


def judged(place: tuple[float, int, int], seeds: int, is_trained: bool) -> list[dict]:
    """Return a row a theorem: the population's windows, and how many samples hold, trained at d and in their limits."""
    experiment = separated(*place)
    kinds = {"limits": experiment.replace(coordinates="limit")}
    if is_trained:
        kinds["trained"] = experiment
    verdicts = {kind: ag.verify(one, range(seeds)).theorems for kind, one in kinds.items()}
    rows = []
    for index, theorem in enumerate(verdicts["limits"]):
        counts = {
            kind: [one[index].samples_holding, one[index].samples_failing, one[index].samples_undecided]
            for kind, one in verdicts.items()
        }
        row = {
            "separation": place[0],
            "num_samples": place[1],
            "dim": place[2],
            "frequencies": experiment.distribution.frequencies,
            "kappa": ag.noise_ratio(experiment.distribution, place[1]),
            "theorem": theorem.theorem.number,
            "method": theorem.method.title,
            "windows": theorem.limit.windows,
            **counts,
        }
        print(json.dumps(row), flush=True)
        rows.append(row)
    return rows


def picture(rows: list[dict], seeds: int) -> Figure:
    """Draw the shares of samples above, the windows of the population below, over d."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    shares, windows = figure.subplots(2, 1, sharex=True)
    methods = list(dict.fromkeys(row["method"] for row in rows))
    styles = method_styles([method.lower() for method in methods])
    for lane, (method, style) in enumerate(zip(methods, styles.values(), strict=True)):
        mine = [row for row in rows if row["method"] == method]
        shift = 1.25 ** (lane - 1)
        _shares(shares, mine, seeds, shift, style, method)
        draw_windows(windows, [row["dim"] * shift for row in mine], [row["windows"] for row in mine], style.colour)
    shares.set(ylim=(-0.03, 1.03), ylabel="share of samples that hold")
    shares.legend(frameon=False, ncols=2, loc="center right")
    windows.set(
        xscale="log",
        yscale="log",
        ylim=(0.8, 3e12),
        ylabel="steps [T_m, T_end]",
        xlabel="d, the separations growing with it",
    )
    windows.axhline(LAST, color="#999999", linewidth=0.8, linestyle=":")
    for place in {(row["dim"], row["separation"], row["num_samples"]) for row in rows}:
        shares.annotate(
            f"s = {place[1]:g}\nn = {place[2]:,}",
            (place[0], 1.06),
            xycoords=("data", "axes fraction"),
            ha="center",
            fontsize=9,
        )
    return figure


def _shares(axis: Axes, rows: list[dict], seeds: int, shift: float, style, method: str) -> None:
    for kind, fill in (("trained", "full"), ("limits", "none")):
        mine = [row for row in rows if kind in row]
        middles = [row[kind][0] / seeds for row in mine]
        ends = [clopper_pearson(row[kind][0], seeds) for row in mine]
        bars = [
            [m - low for m, (low, _) in zip(middles, ends, strict=True)],
            [high - m for m, (_, high) in zip(middles, ends, strict=True)],
        ]
        label = f"{method}, {'trained at d' if kind == 'trained' else 'in the samples’ limits'}"
        axis.errorbar(
            [row["dim"] * shift * (1.1 if kind == "limits" else 1) for row in mine],
            middles,
            bars,
            color=style.colour,
            fmt=style.marker,
            linestyle="-" if kind == "trained" else ":",
            fillstyle=fill,
            linewidth=1.2,
            capsize=2,
            label=label,
        )


def main() -> None:
    """Judge place by place, and write what was found after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--sizes", type=int, default=len(SEQUENCE))
    parser.add_argument("--out", type=Path, default=Path("towards-theorems"))
    arguments = parser.parse_args()
    set_up_jax()
    rows = []
    for index, place in enumerate(SEQUENCE[: arguments.sizes]):
        rows += judged(place, arguments.seeds, index < TRAINED)
        write_whole(
            arguments.out / "towards-theorems.json",
            json.dumps({"seeds": arguments.seeds, "rows": rows}, indent=1).encode(),
        )
        picture(rows, arguments.seeds).savefig(arguments.out / "towards-theorems.png", dpi=110)


if __name__ == "__main__":
    main()
