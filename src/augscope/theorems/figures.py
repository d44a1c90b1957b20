"""Pictures of finished runs: which features each method learns, and how well it predicts, over the steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from augscope.model.distribution import Rarity
from augscope.model.methods import Method
from augscope.support.styles import INK, RARITIES
from augscope.theorems.record import Results, mean_over_seeds
from augscope.theorems.statements import resolve_rarity, theorem_for
from augscope.training.measures import LEARNED_SHARE
from augscope.training.seed_run import SeedRun

SEED_ALPHA = 0.18


def features_figure(results: Results) -> Figure:
    """Return a figure with a column a method: feature scores over steps above, exact test accuracy below.

    Thick lines are means over seeds and labels, thin ones single seeds. Grey: the level above which a feature counts as
    learned. Black: overall accuracy, with the theorem's prediction dotted. Short dashes: the population, d and n → ∞.
    """
    experiment = results.experiment
    rarity = resolve_rarity(experiment)
    figure = Figure(figsize=(max(6.2, 4.1 * len(results.shown)), 6.2), layout="constrained")
    if not results.shown:
        return figure
    axes = figure.subplots(2, len(results.shown), sharex=True, sharey="row", squeeze=False)
    for column, (method, runs) in enumerate(results.shown.items()):
        population = [run for run in results.population if run.method == method and run not in runs]
        _draw_scores(axes[0, column], runs, experiment.distribution.frequencies, rarity)
        _draw_accuracy(axes[1, column], runs, rarity, _predicted(method, results))
        _draw_population(axes[:, column].tolist(), population)
        axes[0, column].set_title(method.title, fontweight="bold")
    axes[0, 0].set_ylabel("signed feature score")
    axes[1, 0].set_ylabel("exact test accuracy, P[y f(X) > 0]")
    axes[0, 0].legend(loc="upper left", fontsize=8, frameon=False)
    size = size_text(results)
    figure.suptitle(f"Features learned over training, {size}")
    return figure


def size_text(results: Results) -> str:
    """Return what was trained, in a few words: "d = 2,000, n = 300, 8 seeds"."""
    experiment, count = results.experiment, len(results.drawn_seeds)
    samples = f"n = {experiment.num_samples:,}"
    if not count:
        return f"population of {samples} (d, n → ∞ at fixed energies over n)"
    dim = "d → ∞" if experiment.is_limit else f"d = {experiment.distribution.dim:,}"
    return f"{dim}, {samples}, {count} seed{'s' * (count > 1)}"


def _predicted(method: Method, results: Results) -> float | None:
    theorem, distribution = theorem_for(method), results.experiment.distribution
    if theorem is None or results.verdict is None:
        return None
    return theorem.accuracy.predicted(distribution, results.verdict.terms.rarity)


def _log_steps(steps: np.ndarray) -> np.ndarray:
    """Steps on a logarithmic axis, with step 0 drawn at 0.5; or times, with 0 drawn half as far as the first after it."""
    first = min(1.0, float(steps[1])) if len(steps) > 1 else 1.0
    return np.where(steps == 0, first / 2, steps)


def _draw_scores(axis: Axes, runs: Sequence[SeedRun], frequencies: Sequence[float], rarity: Sequence[Rarity]) -> None:
    """Feature scores over steps, one line a feature."""
    steps, mean = mean_over_seeds(runs, "feature_scores")
    steps, mean = _log_steps(steps), mean.mean(axis=1)  # (R, K)
    for k, (rho, name) in enumerate(zip(frequencies, rarity, strict=True)):
        label = f"{str(name).replace('_', ' ')}, ρ = {rho:g}"
        style = RARITIES[name]
        axis.plot(steps, mean[:, k], color=style.colour, linestyle=style.line, linewidth=2, label=label)
        for run in runs:
            scores = run.history.feature_scores[:, :, k].mean(axis=1)
            axis.plot(_log_steps(run.history.steps), scores, color=style.colour, alpha=SEED_ALPHA, linewidth=0.8)
    level, words = LEARNED_SHARE * mean[-1].max(), {"textcoords": "offset points", "fontsize": 7}
    axis.axhline(level, color="0.6", linewidth=0.9)
    axis.annotate("learned above this line", (steps[0], level), (0, 2), color="0.4", **words)
    plateau = float(runs[0].predicted_plateau.mean())
    if np.isfinite(plateau):
        axis.axhline(plateau, color="black", linewidth=0.9, linestyle=":")
        axis.annotate("predicted plateau", (steps[0], plateau), (0, 3), **words)
    axis.set_xscale("log")
    _tidy(axis)


def _draw_population(axes: Sequence[Axes], runs: Sequence[SeedRun]) -> None:
    """The population's scores and overall accuracy, over those of the seeds."""
    for run in runs:
        steps, history, style = _log_steps(run.history.steps), run.history, {"linestyle": (0, (2, 2)), "linewidth": 1.2}
        axes[0].plot(steps, history.feature_scores.mean(axis=1), color=INK, **style)
        axes[1].plot(steps, history.accuracy, color="0.45", label="population (d, n → ∞)", **style)
        axes[1].legend(loc="lower right", fontsize=8, frameon=False)


def _draw_accuracy(axis: Axes, runs: Sequence[SeedRun], rarity: Sequence[Rarity], predicted: float | None) -> None:
    """Exact accuracy over steps: overall, and on each feature."""
    per_feature = mean_over_seeds(runs, "accuracy_per_feature")[1].mean(axis=1)
    steps, overall = mean_over_seeds(runs, "accuracy")
    steps = _log_steps(steps)
    for k, name in enumerate(rarity):
        axis.plot(steps, per_feature[:, k], color=RARITIES[name].colour, linestyle=RARITIES[name].line, linewidth=1.5)
    axis.plot(steps, overall, color="black", linewidth=2, label="overall")
    if predicted is not None:
        axis.axhline(predicted, color="black", linewidth=0.9, linestyle=":", label=f"theorem: {predicted:g}")
    axis.set_ylim(min(0.37, float(per_feature.min()) - 0.05), 1.02)  # below a coin flip there is room for the legend
    axis.legend(loc="lower right", fontsize=8, frameon=False)
    name = "time" if np.issubdtype(runs[0].history.steps.dtype, np.floating) else "step"
    axis.set_xlabel(f"{name} (logarithmic; {name} 0 at the left edge)")
    _tidy(axis)


def _tidy(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.2)
