"""Gradient flow to t = 10¹² at `presets.theorem`: seconds and gradients, each method."""

from __future__ import annotations

from harness import Figure, figure

import augscope as ag


def figures() -> list[Figure]:
    """Follow the flow from three seeds; the first of each method also compiles, and is not counted."""
    found, preset = [], ag.presets.theorem.replace(until=1e12)
    for method in preset.methods:
        preset.replace(until=1.0).run(method, preset.sample(0))
        runs = [preset.run(method, preset.sample(seed)) for seed in range(3)]
        assert all(run.status == "completed" for run in runs), [run.message for run in runs]
        found += [
            figure(f"{method.title} flow to t = 10¹², three seeds", [run.seconds for run in runs], "s"),
            figure(f"{method.title} gradients", [run.num_evaluations for run in runs]),
        ]
    return found
