"""Accuracy of Cutout and CutMix as the dimension falls at equal σ²d: CutMix's needs a small noise ratio κ."""

import jax
from matplotlib.figure import Figure

import augscope as ag


def draw():
    jax.config.update("jax_enable_x64", True)
    preset, rows = ag.presets.theorem, {"Cutout": [], "CutMix": []}
    dims, ratios = (1_000, 2_000, 5_000, 20_000, 200_000), []
    for dim in dims:
        scale = (preset.distribution.dim / dim) ** 0.5  # σ²d stays
        changes = {
            name: scale * getattr(preset.distribution, name) for name in ("dominant_noise_std", "background_noise_std")
        }
        distribution = preset.distribution.replace(dim=dim, **changes)
        experiment = preset.replace(
            distribution=distribution, init_std=preset.init_std * scale, num_samples=150, num_steps=1_000, record_at=()
        )
        dataset = experiment.sample(seed=0)
        ratios.append(ag.noise_ratio(distribution, 150))
        for method in (ag.Cutout(), ag.CutMix()):
            rows[method.title].append(experiment.run(method, dataset).history.accuracy[-1])
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    for title, accuracies in rows.items():
        axes.semilogx(ratios, accuracies, marker="o", label=title)
    axes.set(xlabel="noise ratio κ", ylabel="exact test accuracy")
    axes.legend(frameon=False)
    return figure


if __name__ == "__main__":
    draw().savefig("dimension.svg")
