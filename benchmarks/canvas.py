"""How long `augscope images canvas` takes at its defaults: 30 seeds of four methods, in under 2 minutes on 2 cores.

`python benchmarks/canvas.py` prints the whole study, and before it drawing and each method's training for one seed by itself,
compilation left out; --preset and --noise choose another study.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

import jax

from augscope.model.jax_setup import set_up_jax
from augscope.studies.canvas.canvases import draw_canvases
from augscope.studies.canvas.settings import CanvasSettings
from augscope.studies.canvas.study import run_study
from augscope.studies.canvas.training import methods_of, spans_of, train
from augscope.support.files import write_whole

BAR_SECONDS = 120


def seconds_of_parts(settings: CanvasSettings) -> dict[str, float]:
    """Return how long drawing and each method's training take for seed 0."""
    begin = time.perf_counter()
    training, _ = spans_of(settings, 0, draw_canvases(settings, 0))
    seconds = {"drawing": time.perf_counter() - begin}
    for title in methods_of(settings):
        train(settings.replace(num_steps=1), training, title)  # compiles
        begin = time.perf_counter()
        train(settings, training, title)
        seconds[title] = time.perf_counter() - begin
    return seconds


def main() -> None:
    """Time the parts and the study, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="template")
    parser.add_argument("--noise", default="gaussian")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    set_up_jax()
    settings = CanvasSettings(preset=arguments.preset, noise=arguments.noise)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, JAX {jax.__version__}"
    load = os.getloadavg()[0]
    print(f"{machine}; load before {load:.1f}; {arguments.preset}, {arguments.noise}, {arguments.seeds} seeds")
    seconds = seconds_of_parts(settings)
    for name, value in seconds.items():
        print(f"{'one seed, ' + name:24} {value:7.2f} s")
    start, busy = time.perf_counter(), time.process_time()
    run_study(settings, range(arguments.seeds))
    total, busy = time.perf_counter() - start, time.process_time() - busy
    verdict = "met" if total <= BAR_SECONDS else "NOT MET"
    print(f"{'all':24} {total:7.1f} s, {busy:.1f} s of CPU  (bar {BAR_SECONDS} s: {verdict})")
    if arguments.json:
        write_whole(arguments.json, json.dumps({"machine": machine, "seconds": seconds, "total": total}).encode())


if __name__ == "__main__":
    main()
