"""All three methods at `presets.figure`: 10,000 exact float64 steps each, against straightforward PyTorch in the same run.

The reference does what one would write first: patch scores from dense patches (d = 2,000), every subset and every ordered pair
of points enumerated on the scores, gradients by autograd, full batch, float64 (`reference.py`). Prints a table, and writes it
as JSON with --json FILE.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from pathlib import Path

from harness import Figure, conditions, figure, print_figures, scaled, write_json

import augscope as ag


def peak_mib() -> float:
    """Peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def whole(method: ag.Method, preset: ag.Experiment, dataset: ag.Dataset) -> tuple[float, float, float]:
    """Seconds of a method's full run with compilation and 40 records, of its steps alone once compiled, and its accuracy."""
    begun = time.perf_counter()
    run = preset.run(method, dataset)
    first = time.perf_counter() - begun
    begun = time.perf_counter()
    preset.replace(record_at=(0,)).run(method, dataset)
    return first, time.perf_counter() - begun, float(run.history.accuracy[-1])


def figures() -> list[Figure]:
    """Run everything; memory is read before PyTorch is imported."""
    preset = ag.presets.figure
    dataset = preset.sample(0)
    rows = {method: whole(method, preset, dataset) for method in preset.methods}
    peak = peak_mib()
    import reference

    dense = preset.replace(coordinates="dense").sample(0)
    found = []
    for method, (first, steps, accuracy) in rows.items():
        theirs, title = reference.step_seconds(method, dense, preset.network), method.title
        found += [
            figure(f"{title}: whole run, compilation and 40 records", [first], "s"),
            figure(f"{title}: 10,000 steps", [steps], "s"),
            figure(f"{title}: PyTorch's step", scaled(theirs, 1e3), "ms"),
            figure(f"{title}: PyTorch over ours", scaled(theirs, preset.num_steps / steps)),
            figure(f"{title}: test accuracy", [accuracy]),
        ]
    return [
        *found,
        figure("three methods, 10,000 steps each", [sum(steps for _, steps, _ in rows.values())], "s", at_most=6),
        figure("median PyTorch step of CutMix, times 10,000", [statistics.median(theirs) * 1e4], "s"),
        figure("peak memory before PyTorch, MiB", [peak], at_most=1000),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    before = conditions()
    found = figures()
    print_figures(found)
    if arguments.json:
        write_json(arguments.json, {"figure": found}, before)


if __name__ == "__main__":
    main()
