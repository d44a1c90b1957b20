"""Feature scores of ERM, Cutout and CutMix over the steps of gradient descent, one seed."""

import jax
from matplotlib.figure import Figure

import augscope as ag


def draw():
    jax.config.update("jax_enable_x64", True)
    experiment = ag.presets.theorem.replace(num_steps=3_000)
    dataset = experiment.sample(seed=0)
    figure = Figure(figsize=(9, 3), layout="constrained")
    for axes, method in zip(figure.subplots(1, 3), experiment.methods, strict=True):
        history = experiment.run(method, dataset).history
        axes.semilogx(history.steps[1:], history.feature_scores[1:].mean(axis=1))
        axes.set(title=method.title, xlabel="step", ylabel="feature score")
    axes.legend(["common", "rare", "extremely rare"], frameon=False)
    return figure


if __name__ == "__main__":
    draw().savefig("features.svg")
