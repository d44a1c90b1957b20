"""Pictures of runs: which features they learn, and how well they predict, over the steps. Reports and `.plot` draw by these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any, NamedTuple, Protocol

import numpy as np
from matplotlib.axes import Axes

from augscope.model.distribution import FeatureNoise, Rarity
from augscope.model.methods import Method
from augscope.support.styles import INK, RARITIES, Style
from augscope.training.measure_table import mean_over_seeds
from augscope.training.measures import LEARNED_SHARE, History

SEED_ALPHA = 0.18


class Measured(Protocol):
    """What is drawn of a run: a `Run`, or a `SeedRun`."""

    @property
    def history(self) -> History: ...
    @property
    def predicted_plateau(self) -> Any: ...


class Look(NamedTuple):
    """How a feature is drawn: its name for the legend, and a style."""

    label: str
    style: Style


def looks(distribution: FeatureNoise, rarity: Sequence[Rarity] | None) -> list[Look]:
    """Return how each feature is drawn: by its rarity, or where that is not known in turn."""
    if rarity is None:
        names, styles = [f"feature {k + 1}" for k in range(distribution.num_features)], cycle(RARITIES.values())
    else:
        names, styles = [str(name).replace("_", " ") for name in rarity], [RARITIES[name] for name in rarity]
    parts = zip(names, distribution.frequencies, styles, strict=False)
    return [Look(f"{name}, ρ = {rho:g}", style) for name, rho, style in parts]


def draw_methods(
    axes: np.ndarray,
    groups: Mapping[Method, Sequence[Measured]],
    features: Sequence[Look],
    predicted: Mapping[Method, float],
    population: Mapping[Method, Sequence[Measured]],
) -> None:
    """Draw a column a method: feature scores over steps above, exact test accuracy below.

    Args:
        axes: (2, methods).
        groups: at least one run a method, with records. Thick lines are their means, thin ones single runs.
        features: how each is drawn.
        predicted: accuracies by a theorem, by method.
        population: runs at d, n → ∞, drawn in short dashes.
    """
    for column, (method, runs) in enumerate(groups.items()):
        scores, accuracy = axes[:, column]
        _draw_scores(scores, runs, features)
        _draw_accuracy(accuracy, runs, features, predicted.get(method))
        _draw_population([scores, accuracy], population.get(method, ()))
        scores.set_title(method.title, fontweight="bold")
    axes[0, 0].set_ylabel("signed feature score")
    axes[1, 0].set_ylabel("exact test accuracy, P[y f(X) > 0]")
    axes[0, 0].legend(loc="upper left", fontsize=8, frameon=False)


def draw_patches(axes: Any, run: Any) -> None:
    """Draw a run on own patches: the training loss above, accuracy on the test points below, overall and by label."""
    steps, history = _log_steps(run.history.steps), run.history
    axes[0].loglog(steps, history.loss, color=INK, linewidth=2)
    axes[0].set(title=run.method.title, ylabel="training loss")
    axes[1].semilogx(steps, history.accuracy, color=INK, linewidth=2, label="overall")
    for index, (label, line) in enumerate((("label +1", "--"), ("label −1", ":"))):
        axes[1].semilogx(steps, history.accuracy_per_label[:, index], color=INK, linestyle=line, label=label)
    axes[1].set(xlabel="step (logarithmic; step 0 at the left edge)", ylabel="accuracy on the test points")
    axes[1].legend(loc="lower right", fontsize=8, frameon=False)
    for axis in axes:
        _tidy(axis)


def _log_steps(steps: np.ndarray) -> np.ndarray:
    """Steps on a logarithmic axis, with step 0 drawn at 0.5; or times, with 0 drawn half as far as the first after it."""
    first = min(1.0, float(steps[1])) if len(steps) > 1 else 1.0
    return np.where(steps == 0, first / 2, steps)


def _draw_scores(axis: Axes, runs: Sequence[Measured], features: Sequence[Look]) -> None:
    """Feature scores over steps, one line a feature."""
    steps, mean = mean_over_seeds(runs, "feature_scores")
    steps, mean = _log_steps(steps), mean.mean(axis=1)  # (R, K)
    for k, (label, style) in enumerate(features):
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


def _draw_population(axes: Sequence[Axes], runs: Sequence[Measured]) -> None:
    """The population's scores and overall accuracy, over those of the seeds."""
    for run in runs:
        steps, history, style = _log_steps(run.history.steps), run.history, {"linestyle": (0, (2, 2)), "linewidth": 1.2}
        axes[0].plot(steps, history.feature_scores.mean(axis=1), color=INK, **style)
        axes[1].plot(steps, history.accuracy, color="0.45", label="population (d, n → ∞)", **style)
        axes[1].legend(loc="lower right", fontsize=8, frameon=False)


def _draw_accuracy(axis: Axes, runs: Sequence[Measured], features: Sequence[Look], predicted: float | None) -> None:
    """Exact accuracy over steps: overall, and on each feature."""
    per_feature = mean_over_seeds(runs, "accuracy_per_feature")[1].mean(axis=1)
    steps, overall = mean_over_seeds(runs, "accuracy")
    steps = _log_steps(steps)
    for k, (_, style) in enumerate(features):
        axis.plot(steps, per_feature[:, k], color=style.colour, linestyle=style.line, linewidth=1.5)
    axis.plot(steps, overall, color="black", linewidth=2, label="overall")
    if predicted is not None:
        axis.axhline(predicted, color="black", linewidth=0.9, linestyle=":", label=f"theorem: {predicted:g}")
    axis.set_ylim(min(0.27, float(per_feature.min()) - 0.05), 1.02)  # below a coin flip there is room for the legend
    axis.legend(loc="lower right", fontsize=8, frameon=False)
    flows = np.issubdtype(runs[0].history.steps.dtype, np.floating)
    axis.set_xlabel(
        "time (logarithmic; time 0 at the left edge)" if flows else "step (logarithmic; step 0 at the left edge)"
    )
    _tidy(axis)


def _tidy(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.2)
