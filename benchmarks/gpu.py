"""One and many seeds of a CutMix step as one batched program on JAX's device, float64 and float32, against its bandwidth.

Meant for a GPU; runs on any device. `python benchmarks/gpu.py [--seeds 1000] [--json FILE]`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import jax
from harness import Figure, conditions, figure, print_figures, scaled, seconds, write_json

import augscope as ag
from augscope.training.batch import stacked, steps_of_all
from augscope.training.coefficients import geometry
from augscope.training.descent import start
from augscope.training.problem import Problem

STEPS = 50


def bandwidth(size: int, dtype: str) -> float:
    """Bytes a second at which the device reads an array of this size: the sum of its entries."""
    array = jax.numpy.ones(size // jax.numpy.dtype(dtype).itemsize, dtype)
    total = jax.jit(lambda a: a.sum())
    return array.nbytes / min(seconds(lambda: jax.block_until_ready(total(array)), 5, 5))


def batch(num_seeds: int, dtype: str) -> list[Figure]:
    """A step of `presets.figure` from many seeds at once."""
    preset = ag.presets.figure
    datas = []
    for seed in range(num_seeds):
        dataset = ag.sample_dataset(
            jax.random.key(seed), preset.distribution, num_samples=preset.num_samples, init_std=preset.init_std,
            coordinates="reduced", dtype=dtype,
        )  # fmt: skip
        datas.append(geometry(dataset))
    data = stacked(datas)
    state = stacked([start(one) for one in datas])
    method = ag.CutMix(tolerance=1e-12 if dtype == "float64" else 1e-6)
    problem = Problem(data, preset.network, (method,), preset.step_size)

    def run() -> None:
        jax.block_until_ready(steps_of_all(problem, state, STEPS))

    begun = time.perf_counter()
    run()
    compiled = time.perf_counter() - begun
    times = scaled(seconds(run, 5), 1 / STEPS)
    stored = data.gram.nbytes
    limit = stored / bandwidth(max(stored, 2**20), dtype)
    name = f"{num_seeds:,} seed{'s' * (num_seeds != 1)}, {dtype}"
    return [
        figure(f"{name}: a step", scaled(times, 1e6), "us"),
        figure(f"{name}: a step and seed", scaled(times, 1e6 / num_seeds), "us"),
        figure(f"{name}: over the time to read the Gram matrices", scaled(times, 1 / limit)),
        figure(f"{name}: compilation and first chunk", [compiled], "s"),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    before = conditions()
    found = [one for dtype in ("float64", "float32") for count in (1, arguments.seeds) for one in batch(count, dtype)]
    print_figures(found)
    if arguments.json:
        write_json(arguments.json, {"gpu": found}, before)


if __name__ == "__main__":
    main()
