"""Do the theorems survive how people train? Exact losses against drawn augmentations, batches and momentum, at both presets.

Prints a row a preset, training and method: features learned, exact test accuracy, and in how many samples the method's theorem
holds. `--seeds 8` (the default) takes about ten minutes on two idle cores; `--training` asks for some rows alone.
"""

from __future__ import annotations

import argparse

import jax
import numpy as np

import augscope as ag

TRAININGS = {  # with the step size: momentum β makes steps 1/(1 − β) times as long
    "exact": (None, 1.0),
    "all points, one draw each": (ag.Sampling(), 1.0),
    "batches of 32": (ag.Sampling(batch_size=32), 1.0),
    "batches of 32, momentum 0.9": (ag.Sampling(batch_size=32, momentum=0.9), 0.1),
    "batches of 4": (ag.Sampling(batch_size=4), 1.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--num-steps", type=int, default=10_000)
    parser.add_argument("--preset", choices=ag.presets._fields, nargs="*", default=ag.presets._fields)
    parser.add_argument("--training", choices=TRAININGS, nargs="*", default=TRAININGS)
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    for preset in options.preset:
        for name in options.training:
            sampling, step_size = TRAININGS[name]
            base = getattr(ag.presets, preset).replace(num_steps=options.num_steps)
            verdict = ag.verify(base.replace(sampling=sampling, step_size=step_size), range(options.seeds))
            for one in verdict.theorems:
                ends = [run.history for run in verdict.runs if run.method == one.method]
                learned = np.mean([ag.features_learned(end.feature_scores[-1]).sum() for end in ends])
                accuracies = np.array([end.accuracy[-1] for end in ends])
                holds = sum(sample.verdict == "holds" for sample in one.samples)
                print(
                    f"{preset:8} {name:28} {one.method.title:7} learned {learned:.2f} of 3, accuracy {accuracies.mean():.4f} "
                    f"± {accuracies.std():.4f}, theorem holds in {holds} of {options.seeds}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
