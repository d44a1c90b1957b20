"""When is each feature learned? ERM, Cutout, CutMix and Mixup in the limit, at both presets; and what a Mixup step costs.

Prints, of each method, from which step on (and until which, where that is before the end) each feature is learned in the
population (accuracy 1 on it), and the milliseconds of a step of one sample. About five minutes on two idle cores.
"""

from __future__ import annotations

import argparse

import jax
import numpy as np

import augscope as ag
from augscope.training.coefficients import geometry
from augscope.training.descent import time_problem
from augscope.training.problem import Problem

METHODS = (
    ag.Erm(),
    ag.Cutout(),
    ag.CutMix(),
    ag.Mixup(),
    ag.Mixup(law=0.25),
    ag.Mixup(law=(1.0, 1.0), nodes=16),
    ag.Mixup(law=(0.2, 0.2), nodes=16),
)


def windows(experiment: ag.Experiment, method: ag.Method, num_steps: int) -> str:
    """From which step until which each feature is learned, in words."""
    population = ag.population(experiment.distribution, experiment.num_samples)
    steps = ag.default_record_steps(num_steps, 600)
    run = ag.train(population, experiment.network, method, step_size=1.0, num_steps=num_steps, record_at=steps)
    accuracies, parts = np.asarray(run.history.accuracy_per_feature), []
    accuracies = accuracies if accuracies.ndim == 2 else accuracies.mean(axis=1)
    for k in range(accuracies.shape[1]):
        learned = accuracies[:, k] == 1
        if not learned.any():
            parts.append(f"feature {k + 1}: never")
            continue
        changes = np.flatnonzero(np.diff(learned.astype(int)))
        parts.append(
            f"feature {k + 1}: "
            + ", ".join(
                [f"from {steps[np.argmax(learned)]:,}"]
                + [
                    f"{'from' if learned[at + 1] else 'until'} {steps[at + 1]:,}"
                    for at in changes
                    if at >= np.argmax(learned)
                ]
            )
        )
    return f"{'; '.join(parts)}; accuracy {run.history.accuracy[-1]:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-steps", type=int, default=10_000)
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    for preset in ag.presets._fields:
        experiment = getattr(ag.presets, preset)
        data = geometry(experiment.sample(0))
        for method in METHODS:
            seconds = time_problem(Problem(data, experiment.network, (method,), 0.0))
            words = windows(experiment, method, options.num_steps)
            print(f"{preset:8} {method.title:22} {1e3 * seconds:8.3f} ms a step; {words}", flush=True)


if __name__ == "__main__":
    main()
