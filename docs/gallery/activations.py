"""The smoothed leaky ReLU for three widths of its bend, and its slope."""

import numpy as np
from matplotlib.figure import Figure

import augscope as ag


def draw():
    z = np.linspace(-2, 3, 501)
    figure = Figure(figsize=(9, 3), layout="constrained")
    values, slopes = figure.subplots(1, 2)
    for smoothing in (0.2, 1.0, 2.0):
        network = ag.Network(negative_slope=0.1, smoothing=smoothing)
        values.plot(z, network.activation(z), label=f"r = {smoothing:g}")
        slopes.plot(z, network.activation_slope(z))
    values.set(xlabel="z", ylabel="φ(z)")
    slopes.set(xlabel="z", ylabel="φ'(z)")
    values.legend(frameon=False)
    return figure


if __name__ == "__main__":
    draw().savefig("activations.svg")
