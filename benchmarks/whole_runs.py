"""Whole runs: all of `presets.figure`, `verify` with 100 seeds, and what a fresh shape costs to compile."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import Figure, figure

import augscope as ag

COMMAND = Path(sys.executable).with_name("augscope")
FRESH = """
import sys, time
from augscope.model.jax_setup import set_up_jax
set_up_jax()
import augscope as ag
experiment = ag.presets.figure.replace(num_samples=int(sys.argv[1]), num_steps=1, record_at=(0,))
experiment.replace(num_samples=60).run(ag.Erm(), experiment.replace(num_samples=60).sample(0))  # JAX itself warms up
for part in (lambda: experiment.sample(0), *(lambda m=m: experiment.run(m, dataset) for m in experiment.methods)):
    begun = time.perf_counter()
    result = part()
    first = time.perf_counter() - begun
    if not isinstance(result, ag.Run):
        dataset = result
    begun = time.perf_counter()
    part()
    print(first - (time.perf_counter() - begun))
"""


def all_of_figure() -> list[Figure]:
    """The three methods, 10,000 exact steps each, compiled before."""
    preset = ag.presets.figure.replace(record_at=(0,))
    dataset = preset.sample(0)
    for method in preset.methods:
        preset.replace(num_steps=10).run(method, dataset)
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        for method in preset.methods:
            preset.run(method, dataset)
        times.append(time.perf_counter() - begun)
    return [figure("presets.figure: three methods, 10,000 steps each", times, "s", at_most=6)]


def hundred_seeds() -> list[Figure]:
    """`augscope verify --seeds 100`, as a person would type it: wall time and peak memory of the process."""
    process = subprocess.Popen(
        [COMMAND, "verify", "--preset", "theorem", "--seeds", "100", "--json"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    begun = time.perf_counter()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begun
    assert os.waitstatus_to_exitcode(status) == 0, "a theorem did not hold, or the command failed"
    return [
        figure("verify, presets.theorem, 100 seeds", [wall / 60], "min", at_most=5),
        figure("its peak memory, GB", [usage.ru_maxrss * 1024 / 1e9], at_most=4),
    ]


def compilation() -> list[Figure]:
    """Seconds beyond running that a new n costs, in a fresh process: sampling and each method; then with a warm cache."""
    found = []
    with tempfile.TemporaryDirectory() as cache:
        for label, bar in (("fresh shape", 2.0), ("kept from an earlier run", None)):
            environment = {**os.environ, "AUGSCOPE_CACHE": cache}
            done = subprocess.run(
                [sys.executable, "-c", FRESH, "211"], env=environment, check=True, capture_output=True, text=True
            )
            for part, value in zip(("sampling", "ERM", "Cutout", "CutMix"), done.stdout.split(), strict=True):
                found.append(figure(f"compile {part}, {label}", [float(value)], "s", at_most=bar))
    return found


def figures() -> list[Figure]:
    """Everything above."""
    return all_of_figure() + compilation() + hundred_seeds()
