"""How long `augscope images canvas` takes at its defaults: 30 seeds of four methods, in under 2 minutes on 2 cores.

`python benchmarks/canvas.py` prints drawing and each method's training apart; --preset and --noise choose another study.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

import torch

from augscope.studies.canvas.settings import CanvasSettings
from augscope.studies.canvas.study import run_study
from augscope.support.files import write_whole

BAR_SECONDS = 120


def main() -> None:
    """Run the study, note when each part begins, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="template")
    parser.add_argument("--noise", default="gaussian")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    settings = CanvasSettings(preset=arguments.preset, noise=arguments.noise)
    begun: dict[str, float] = {}
    load = os.getloadavg()[0]
    start, busy = time.perf_counter(), time.process_time()
    run_study(settings, range(arguments.seeds), lambda what, share: begun.setdefault(what, time.perf_counter()))
    end, busy = time.perf_counter(), time.process_time() - busy
    parts = list(begun.items())
    seconds = {name: after - at for (name, at), (_, after) in zip(parts, [*parts[1:], ("", end)], strict=True)}
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    print(f"{machine}; load before {load:.1f}; {arguments.preset}, {arguments.noise}, {arguments.seeds} seeds")
    for name, value in seconds.items():
        print(f"{name:24} {value:7.1f} s")
    total = end - start
    print(
        f"{'all':24} {total:7.1f} s, {busy:.1f} s of CPU  (bar {BAR_SECONDS} s: {'met' if total <= BAR_SECONDS else 'NOT MET'})"
    )
    if arguments.json:
        write_whole(arguments.json, json.dumps({"machine": machine, "seconds": seconds, "total": total}).encode())


if __name__ == "__main__":
    main()
