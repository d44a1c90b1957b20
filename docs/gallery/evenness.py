"""The scores of every patch of every training point at the end of training, by kind of patch; dotted: CutMix's predicted plateau."""

import jax
import numpy as np
from matplotlib.figure import Figure

import augscope as ag


def draw():
    jax.config.update("jax_enable_x64", True)
    experiment = ag.presets.theorem.replace(num_steps=3_000, record_at=())
    dataset = experiment.sample(seed=0)
    points, labels = np.arange(experiment.num_samples), np.asarray(dataset.labels)
    places = {"feature": dataset.feature_position, "dominant noise": dataset.dominant_position}
    places["background"] = 3 - dataset.feature_position - dataset.dominant_position  # P = 3: the one that is left
    figure = Figure(figsize=(9, 3), layout="constrained")
    for axes, method in zip(figure.subplots(1, 3), experiment.methods, strict=True):
        run = experiment.run(method, dataset)
        signed = labels[:, None] * np.asarray(experiment.network.scores(run.weights, dataset.patches))
        axes.boxplot([signed[points, np.asarray(where)] for where in places.values()], tick_labels=list(places))
        for level in run.predicted_plateau:
            axes.axhline(level, linestyle=":", color="black")
        axes.set(title=method.title, ylabel="y × patch score")
    return figure


if __name__ == "__main__":
    draw().savefig("evenness.svg")
