"""One gradient step at `presets.figure` (P = 3, n = 300, d = 2,000, float64): against PyTorch, and against the machine."""

from __future__ import annotations

import jax
from harness import Figure, figure, scaled, seconds
from limits import exponential_rate, read_bandwidth

import augscope as ag
from augscope.training import descent
from augscope.training.coefficients import geometry
from augscope.training.problem import Problem

STEPS = 10_000  # timed together: a whole training, whose early steps are the dearest of CutMix
AT_LEAST = 60  # times faster than PyTorch enumerating every pair and subset
EXPONENTIALS = {
    "ERM": 1,
    "Cutout": 3,
    "CutMix": 4,
}  # a point: one a loss term; CutMix one a subset and one for the ERM part


def ours(preset: ag.Experiment, method: ag.Method) -> list[float]:
    """Return the seconds of a step, as several chunks of a descent give them."""
    problem = Problem(geometry(preset.sample(0)), preset.network, (method,), preset.step_size)
    state = descent.start(problem.data)

    def chunk() -> None:
        jax.block_until_ready(descent.compiled_steps(problem, state, STEPS))

    return scaled(seconds(chunk), 1 / STEPS)


def figures() -> list[Figure]:
    """Measure every method against both references and both limits."""
    preset = ag.presets.figure
    steps = {method: ours(preset, method) for method in preset.methods}
    import reference  # only now: PyTorch's threads spin for a while after each of its steps, on the cores that ours would need

    dense = preset.replace(coordinates="dense").sample(0)
    noise = geometry(preset.sample(0)).noise
    stored = noise.vectors if noise.gram is None else noise.gram
    passes = 2 if noise.gram is None else 1
    rate, size = exponential_rate(), f"{stored.nbytes / 2**20:.1f} MiB"
    one, all_cores = (read_bandwidth(stored.nbytes, threads) for threads in (1, 2))
    limit = passes * stored.nbytes / one  # XLA's product of two rows with a matrix takes one thread
    found = [
        figure(f"read bandwidth, {size}, one thread, GB/s", [one / 1e9]),
        figure(f"read bandwidth, {size}, two threads, GB/s", [all_cores / 1e9]),
        figure("exponentials, 10⁹/s", [rate / 1e9]),
        figure("limit: a step's bytes at one thread's bandwidth", [limit * 1e6], "us"),
    ]
    for method in preset.methods:
        mine = steps[method]
        middle = sorted(mine)[len(mine) // 2]
        theirs = reference.step_seconds(method, dense, preset.network)
        at_least = AT_LEAST if isinstance(method, ag.CutMix) else None
        spent = EXPONENTIALS[method.title] * preset.num_samples / rate
        found += [
            figure(f"{method.title} step", scaled(mine, 1e6), "us"),
            figure(f"{method.title} step, PyTorch enumerating", scaled(theirs, 1e6), "us"),
            figure(f"{method.title}: PyTorch over ours", scaled(theirs, 1 / middle), at_least=at_least),
            figure(
                f"{method.title}: ours over the limit",
                scaled(mine, 1 / (limit + spent)),
                at_most=2 if isinstance(method, ag.Erm) else None,
            ),
            figure(
                f"{method.title}: ours over the limit of two threads",
                scaled(mine, 1 / (limit * one / all_cores + spent)),
            ),
        ]
        if isinstance(method, ag.CutMix):
            better = reference.step_seconds(method, dense, preset.network, halved=True)
            found += [
                figure("CutMix step, PyTorch with identity and symmetry", scaled(better, 1e6), "us"),
                figure("CutMix: that over ours", scaled(better, 1 / middle)),
            ]
    return found
