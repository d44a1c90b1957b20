"""Derived rarities against trained networks: random problems at d = 2·10⁷ with 400 points or more of the rarest feature."""

from __future__ import annotations

import argparse

import numpy as np

import augscope as ag
from augscope.model.jax_setup import set_up_jax

DIM, POINTS, STEPS = 2 * 10**7, 400, 300


def problem(seed: int) -> ag.Experiment:
    """Return a random problem: one or two features, energies from where all is learned to where nothing is."""
    random = np.random.default_rng(seed)
    share = random.uniform(0.15, 0.25)  # from 0.3 on nearly all are common; below, n and its Gram matrix grow
    frequencies = (1.0,) if random.random() < 0.1 else (1 - share, share)
    num_samples = int(np.ceil(POINTS / min(frequencies)))
    dominant = num_samples * 10 ** random.uniform(-1.5, 0.7)
    background = dominant * 10 ** random.uniform(-2.0, -0.1)
    noise_dim = DIM - 2 * len(frequencies)
    distribution = ag.FeatureNoise(
        dim=DIM,
        num_patches=3,
        frequencies=frequencies,
        feature_noise=random.uniform(0.1, 0.5),
        dominant_noise_std=(dominant / noise_dim) ** 0.5,
        background_noise_std=(background / noise_dim) ** 0.5,
    )
    methods = (ag.Erm(), ag.Cutout())
    return ag.Experiment(
        distribution=distribution, methods=methods, num_samples=num_samples, init_std=1e-4, num_steps=STEPS
    )


def rarity_by_training(experiment: ag.Experiment, seed: int) -> tuple[list[str], list[list[float]]]:
    """Return the rarity of each feature as trained networks show it, and the smaller accuracy of both labels by method."""
    sample = experiment.sample(seed)
    accuracies = [
        experiment.replace(record_at=(STEPS,)).run(method, sample).history.accuracy_per_feature[-1].min(axis=0)
        for method in experiment.methods
    ]
    erm, cutout = (values > 0.75 for values in accuracies)  # exactly ½ and 1 in the limit
    names = [
        "common" if first else "rare" if second else "extremely_rare" for first, second in zip(erm, cutout, strict=True)
    ]
    return names, [values.round(4).tolist() for values in accuracies]


def main() -> None:
    """Compare problem by problem; a problem is right where each feature that is not borderline is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=50, help="that are not borderline in every feature")
    wanted = parser.parse_args().problems
    set_up_jax()
    right = counted = seed = 0
    seen: dict[str, int] = {}
    while counted < wanted:
        experiment = problem(seed)
        derived = ag.derive_rarity(experiment.distribution, experiment.num_samples, num_steps=STEPS)
        decided = [k for k, name in enumerate(derived) if name is not ag.Rarity.BORDERLINE]
        if decided:
            names, accuracies = rarity_by_training(experiment, seed)
            agrees = all(names[k] == str(derived[k]) for k in decided)
            counted, right = counted + 1, right + agrees
            for k in decided:
                seen[str(derived[k])] = seen.get(str(derived[k]), 0) + 1
            if not agrees:
                print(
                    f"problem {seed}: derived {[str(name) for name in derived]}, trained {names}, accuracies {accuracies}"
                )
        seed += 1
    print(f"{right} of {counted} right, {seed - counted} more are borderline; features {seen}")


if __name__ == "__main__":
    main()
