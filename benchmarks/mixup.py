"""Mixup beside ERM, Cutout and CutMix: when each feature is learned, who learns it at all, and what a step costs.

Prints, of each method, from which step on (and until which, where that is before the end) each feature is learned in the
population (accuracy 1 on it), at both presets and at another feature noise. `--phase FILE.png` draws instead where each method learns a feature, over its
frequency and the noise; `--cost` times steps, beside plain PyTorch.
"""

from __future__ import annotations

import argparse
import resource
import time
from itertools import product
from pathlib import Path

import jax
import numpy as np

import augscope as ag
from augscope.training import descent
from augscope.training.coefficients import geometry
from augscope.training.problem import Problem
from augscope.training.regimes import Setting, regimes

UNIFORM = ag.Mixup(law=(1.0, 1.0), nodes=16)
METHODS = (
    ag.Erm(),
    ag.Cutout(),
    ag.CutMix(),
    ag.Mixup(),
    ag.Mixup(law=0.25),
    UNIFORM,
    ag.Mixup(law=(0.2, 0.2), nodes=16),
)
CELLS_A_DECADE, ROUNDS = 8, 6  # of the diagram's noise axis; of bisection between two cells
FREQUENCIES = np.geomspace(0.025, 0.4, 9)
SPEEDS = np.geomspace(0.02, 5.12, round(CELLS_A_DECADE * np.log10(5.12 / 0.02)) + 1)


def windows(experiment: ag.Experiment, method: ag.Method, num_steps: int) -> str:
    """From which step until which each feature is learned, in words."""
    population = ag.population(experiment.distribution, experiment.num_samples)
    steps = ag.default_record_steps(num_steps, 600)
    run = ag.train(population, experiment.network, method, step_size=1.0, num_steps=num_steps, record_at=steps)
    accuracies, parts = np.asarray(run.history.accuracy_per_feature), []
    accuracies = accuracies if accuracies.ndim == 2 else accuracies.mean(axis=1)
    for k in range(accuracies.shape[1]):
        learned = np.concatenate([[False], accuracies[:, k] == 1])
        changes = np.flatnonzero(np.diff(learned.astype(int)))
        words = [f"{'from' if learned[at + 1] else 'until'} {steps[at]:,}" for at in changes]
        parts.append(f"feature {k + 1}: {', '.join(words) or 'never'}")
    scores = " / ".join(f"{score:.3g}" for score in run.history.feature_scores[-1].mean(axis=0))
    return f"{'; '.join(parts)}; accuracy {run.history.accuracy[-1]:.4f}, scores {scores}"


def print_windows(num_steps: int) -> None:
    """A line for each preset, feature noise and method."""
    for name, noise in (("theorem", None), ("theorem", 0.1), ("figure", None)):
        experiment = getattr(ag.presets, name)
        if noise is not None:
            experiment = experiment.replace(distribution=experiment.distribution.replace(feature_noise=noise))
        label = f"{name}, α = {experiment.distribution.feature_noise:g}"
        for method in METHODS:
            print(f"{label:18} {method.title:22} {windows(experiment, method, num_steps)}", flush=True)


def setting(frequency: float, speed: float, feature_noise: float, num_steps: int) -> Setting:
    """The population of examples/sweeps/limit.toml: two features, ρ the rarer's frequency, speed σ_d² d/n, σ_b = 0.6 σ_d."""
    std = np.sqrt(speed * 300 / 200_000)
    distribution = ag.presets.theorem.distribution.replace(
        frequencies=(1 - frequency, frequency),
        rarity=None,
        feature_noise=feature_noise,
        dominant_noise_std=std,
        background_noise_std=0.6 * std,
    )
    return Setting(distribution, 300, num_steps=num_steps)


def crossings(method: ag.Method, feature_noise: float, num_steps: int) -> list[tuple[float, float, bool]]:
    """Every (ρ, speed) where what a method learns of the rarer feature changes, bisected; and whether it learns it below."""

    def learned(places: np.ndarray) -> np.ndarray:
        settings = [setting(frequency, speed, feature_noise, num_steps) for frequency, speed in places]
        return np.array([regime.learned[1] for regime in regimes(settings, method)])

    grid = np.array([(frequency, speed) for frequency in FREQUENCIES for speed in SPEEDS])
    answers = learned(grid).reshape(len(FREQUENCIES), len(SPEEDS))
    rows, columns = np.nonzero(np.diff(answers.astype(int), axis=1))
    below, low, high = answers[rows, columns], SPEEDS[columns], SPEEDS[columns + 1]
    for _ in range(ROUNDS if len(rows) else 0):
        middle = np.sqrt(low * high)
        with_low = learned(np.stack([FREQUENCIES[rows], middle], axis=1)) == below
        low, high = np.where(with_low, middle, low), np.where(with_low, high, middle)
    share = f"learned at {answers.mean():.0%} of {answers.size} places"
    print(f"α = {feature_noise:g}, {method.title}: {share}", flush=True)
    return list(zip(FREQUENCIES[rows].tolist(), np.sqrt(low * high).tolist(), below.tolist(), strict=True))


def draw_phase(path: Path, num_steps: int) -> None:
    """A panel a feature noise: a method learns the rarer feature below its filled points, and again above its hollow ones."""
    from matplotlib.figure import Figure

    from augscope.support.styles import method_styles

    methods = (ag.Erm(), ag.Cutout(), ag.CutMix(), ag.Mixup(), UNIFORM.replace(nodes=8))
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    styles = method_styles([method.title for method in methods])
    for axis, feature_noise in zip(figure.subplots(1, 2, sharey=True), (0.2, 0.05), strict=True):
        for method in methods:
            style, places = styles[method.title], crossings(method, feature_noise, num_steps)
            for frequency, speed, below in places:
                print(f"  ρ = {frequency:.4f}: {'to' if below else 'from'} speed {speed:.4f}", flush=True)
            for one, other in product(places, places):  # neighbours of one kind, unless far apart
                beside = FREQUENCIES[np.searchsorted(FREQUENCIES, one[0]) + 1 :][:1] == other[0]
                if one[2] == other[2] and beside.any() and 0.25 < one[1] / other[1] < 4:
                    ends = np.array([one[:2], other[:2]])
                    axis.plot(*ends.T, ls="-" if one[2] else ":", color=style.colour)
            for below in (True, False):
                points = np.array([place[:2] for place in places if place[2] == below]).reshape(-1, 2)
                face, label = (style.colour, method.title) if below else ("white", None)
                axis.plot(*points.T, style.marker, color=style.colour, mfc=face, label=label, ms=5)
        axis.set(xscale="log", yscale="log", xlim=(0.023, 0.43), ylim=(SPEEDS[0] / 1.1, SPEEDS[-1] * 1.1))
        axis.set(title=f"feature noise α = {feature_noise:g}", xlabel="frequency ρ of the rarer feature")
        axis.set_xticks(FREQUENCIES[::2], [f"{frequency:.3g}" for frequency in FREQUENCIES[::2]])
        axis.minorticks_off()
        axis.legend(fontsize=8, frameon=False)
    figure.axes[0].set_ylabel("noise speed σ_d² d/n")
    figure.savefig(path, dpi=110)


def torch_seconds(experiment: ag.Experiment, method: ag.Mixup, repeats: int) -> float:
    """The best of some steps of a plain PyTorch program of the same sums: the projections given, a node of the rule after another."""
    import torch

    from augscope.model.methods.mixup import blend_rule

    data = geometry(experiment.sample(0))
    projections = torch.tensor(np.array(data.projections(data.start())), requires_grad=True)
    labels = torch.tensor(np.array(data.labels))
    network = ag.Network()  # as in both presets
    beta, smoothing = network.negative_slope, network.smoothing

    def activation(z: torch.Tensor) -> torch.Tensor:
        bent = z.clamp(0, smoothing)
        return beta * z + (1 - beta) * (bent**2 / (2 * smoothing) + (z - smoothing).clamp(min=0))

    def step() -> None:
        projections.grad = None
        for share, mass in zip(*blend_rule(method.law, method.nodes), strict=True):
            blended = share * projections[:, :, None] + (1 - share) * projections[:, None]
            output = (activation(blended[0]) - activation(blended[1])).sum(-1)
            losses = [torch.nn.functional.softplus(-one * output) for one in (labels[:, None], labels[None])]
            (mass * (share * losses[0] + (1 - share) * losses[1]).mean()).backward()

    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])


def print_costs() -> None:
    """Steps and whole runs."""
    experiment = ag.presets.figure
    sample, population = experiment.sample(0), ag.population(experiment.distribution, experiment.num_samples)
    for method, repeats in ((ag.Mixup(), 20), (ag.Mixup(law=(1.0, 1.0)), 2)):
        problem = Problem(geometry(sample), experiment.network, (method,), 0.0)
        state = descent.start(problem.data)
        memory = descent.compiled_steps.lower(problem, state, 1).compile().memory_analysis()
        temporary = 0 if memory is None else memory.temp_size_in_bytes
        ours = min(descent.time_problem(problem) for _ in range(5))
        theirs, before = torch_seconds(experiment, method, repeats), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(
            f"{method.title}: {1e3 * ours:.2f} ms a step, temporary arrays {temporary / 2**20:.2f} MiB; plain PyTorch {1e3 * theirs:.1f} ms, "
            f"{theirs / ours:.1f} times as long; the process at its largest {before / 2**10:.0f} MiB",
            flush=True,
        )
        few = min(
            descent.time_problem(Problem(geometry(population), experiment.network, (method,), 0.0)) for _ in range(5)
        )
        print(f"{method.title}: {1e3 * few:.3f} ms a step of the population", flush=True)
    for name, dataset in (("one seed", sample), ("population", population)):
        for num_steps in (10, 10_000):  # the first compiles
            began = time.perf_counter()
            ag.train(dataset, experiment.network, ag.Mixup(), step_size=1.0, num_steps=num_steps, record_at=(0,))
        print(f"{name}: 10,000 midpoint steps in {time.perf_counter() - began:.2f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-steps", type=int, default=10_000)
    parser.add_argument("--phase", type=Path, metavar="FILE.png", help="draw who learns the rarer of two features")
    parser.add_argument("--cost", action="store_true", help="time steps, beside plain PyTorch")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    if options.cost:
        print_costs()
    elif options.phase is not None:
        draw_phase(options.phase, options.num_steps)
    else:
        print_windows(options.num_steps)


if __name__ == "__main__":
    main()
