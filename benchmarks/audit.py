"""The audit of 2,000 images of 32 × 32: three methods, three seeds, the built-in small model. Prints seconds as JSON.

`python benchmarks/audit.py [images] [steps] [workers]`; what docs/audit.md says of time was measured with it.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from augscope.images.kept import training_versions
from augscope.images.training import checked_device
from augscope.studies.audit.dataset import read_data
from augscope.studies.audit.kept import remaining, train_all
from augscope.studies.audit.result import conclude
from augscope.studies.audit.settings import Settings
from augscope.studies.audit.study import prepare


def write_images(folder: Path, count: int) -> None:
    """Coloured noise of two classes, one a little brighter above."""
    generator = np.random.default_rng(0)
    for number in range(count):
        pixels = generator.integers(0, 200, (32, 32, 3))
        label = number % 2
        pixels[:16] += 30 * label
        place = folder / f"class-{label}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number:05d}.png")


def main(count: int = 2000, steps: int = 1000, workers: int | None = None) -> None:
    """Time reading, training and concluding."""
    device = checked_device(None)
    settings = Settings(methods=("erm", "cutout-box", "cutmix-box"), seeds=(0, 1, 2), steps=steps)
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), count)
        marks = [time.perf_counter()]
        data = read_data(Path(folder))
        study = prepare(data, settings)
        marks.append(time.perf_counter())
        left = remaining(study, None, device, workers)
        print(left, file=sys.stderr)
        marks.append(time.perf_counter())
        runs = train_all(study, left, None, lambda *_: None)
        marks.append(time.perf_counter())
        conclude(study, runs, training_versions(device))
        marks.append(time.perf_counter())
    seconds = dict(zip(("read", "plan", "train", "conclude"), np.diff(marks).round(2).tolist(), strict=True))
    print(json.dumps({**seconds, "total": round(marks[-1] - marks[0], 1), "workers": left.workers}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
