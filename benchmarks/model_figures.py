"""Two figures of docs/model.md §6, measured: accuracy of ERM over α (identity 9) and of CutMix over σ_d/σ_b (identity 10).

`python benchmarks/model_figures.py [SEEDS]`, by default 20 seeds. All else as at `presets.theorem`: P = 3, ρ = (0.8, 0.15, 0.05),
n = 300, σ_0 = 0.001, η = 1, T = 10,000. Identity 9 is measured at d = 200,000, σ_d = 0.025, σ_b = 0.015; identity 10 at d = 20,000 with
σ_b² d as there.
"""

from __future__ import annotations

import sys

import numpy as np
from harness import jax  # noqa: F401 - float64

import augscope as ag

ALPHAS = (0.0, 0.05, 0.1, 0.2)
RATIOS = (1.0, 5 / 3, 4.0, 10.0)


def accuracies(method: ag.Method, distribution: ag.FeatureNoise, seeds: int) -> np.ndarray:
    """The exact test accuracy after the last step, by seed."""
    experiment = ag.presets.theorem.replace(distribution=distribution, methods=(method,), record_at=(0,))
    return np.array([experiment.run(method, experiment.sample(seed)).history.accuracy[-1] for seed in range(seeds)])


def line(name: str, values: np.ndarray) -> None:
    """Print the mean with its standard error, the first four seeds' mean, and the range."""
    error = values.std(ddof=1) / len(values) ** 0.5
    print(
        f"{name}: {values.mean():.4f} ± {error:.4f} (seeds 0 to 3: {values[:4].mean():.4f}; {values.min():.4f} to {values.max():.4f})",
        flush=True,
    )


def main(seeds: int = 20) -> None:
    """Both identities."""
    theorem = ag.presets.theorem.distribution
    for alpha in ALPHAS:
        line(f"ERM, α = {alpha:g}", accuracies(ag.Erm(), theorem.replace(feature_noise=alpha), seeds))
    dim = 20_000
    background = theorem.background_noise_std * (theorem.dim / dim) ** 0.5
    for alpha in (0.2, 0.005):
        for ratio in RATIOS:
            distribution = theorem.replace(
                dim=dim, feature_noise=alpha, background_noise_std=background, dominant_noise_std=ratio * background
            )
            kappa = ag.noise_ratio(distribution, ag.presets.theorem.num_samples)
            name = f"CutMix, α = {alpha:g}, σ_d/σ_b = {ratio:.3g}, κ = {kappa:.2f}"
            line(name, accuracies(ag.CutMix(), distribution, seeds))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
