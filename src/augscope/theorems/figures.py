"""Pictures of finished runs: which features each method learns, and how well it predicts, over the steps."""

from __future__ import annotations

from matplotlib.figure import Figure

from augscope.theorems.record import Results


def features_figure(results: Results) -> Figure:
    """Return a figure with a column a method: feature scores over steps above, exact test accuracy below.

    Thick lines are means over seeds and labels, thin ones single seeds. Grey: the level above which a feature counts as
    learned. Black: overall accuracy, with the theorem's prediction dotted. Short dashes: the population, d and n → ∞.
    """
    figure = Figure(figsize=(max(6.2, 4.1 * len(results.shown)), 6.2), layout="constrained")
    if not results.shown:
        return figure
    results.plot(figure.subplots(2, len(results.shown), sharex=True, sharey="row", squeeze=False))
    figure.suptitle(f"Features learned over training, {size_text(results)}")
    return figure


def size_text(results: Results) -> str:
    """Return what was trained, in a few words: "d = 2,000, n = 300, 8 seeds"."""
    experiment, count = results.experiment, len(results.drawn_seeds)
    samples = f"n = {experiment.num_samples:,}"
    if not count:
        return f"population of {samples} (d, n → ∞ at fixed energies over n)"
    dim = "d → ∞" if experiment.is_limit else f"d = {experiment.distribution.dim:,}"
    return f"{dim}, {samples}, {count} seed{'s' * (count > 1)}"
