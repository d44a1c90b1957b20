"""Do Cutout, CutMix and Mixup help the rare garments of Fashion-MNIST? Ten draws of garments, images and first weights.

    apt-get install dataset-fashion-mnist
    python examples/fashion.py --draws 10 --out reports/fashion

docs/fashion.md says what was measured, and how. Needs `pip install 'augscope[images]'`.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

import augscope as ag
from augscope.images import KeptTrainings, TrainingOptions, train_network

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
METHODS = ("erm", "cutout-box", "cutout-patch", "cutmix-box", "cutmix-patch", "mixup")
ROLES = {"common": 400, "rare": 40, "extremely rare": 8}  # training images of a garment in that role
LABELS = ("A", "B")  # each of three garments


def read_idx(path: Path) -> np.ndarray:
    """The array in an idx file of bytes, compressed by gzip: two zeros, 8 for bytes, the number of axes, their lengths, the bytes."""
    with gzip.open(path) as stream:
        _, _, kind, axes = stream.read(4)
        shape = np.frombuffer(stream.read(4 * axes), ">u4")
        values = np.frombuffer(stream.read(), np.uint8)
    if kind != 8 or values.size != shape.prod():
        raise ValueError(f"`data` must hold whole idx files of bytes, got {path}")
    return values.reshape(shape)


def read_data(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images (n, 1, 28, 28) and garments (n,) of both splits."""
    files = {"train": "train", "test": "t10k"}
    return {
        split: (
            read_idx(folder / f"{name}-images-idx3-ubyte.gz")[:, None],
            read_idx(folder / f"{name}-labels-idx1-ubyte.gz"),
        )
        for split, name in files.items()
    }


def draw(garments: dict[str, np.ndarray], seed: int, tested: int) -> dict[str, list[tuple[str, str, int]]]:
    """The images of a draw by split, each with its label, its role and its place: six garments, the images of each at random."""
    generator, rows = np.random.default_rng([seed, 28]), {"train": [], "test": []}
    chosen = iter(generator.permutation(10)[: len(LABELS) * len(ROLES)].tolist())
    for label in LABELS:
        for role, count in ROLES.items():
            garment = next(chosen)
            for split, size in (("train", count), ("test", tested)):
                places = generator.permutation(np.flatnonzero(garments[split] == garment))[:size]
                rows[split] += [(label, role, place) for place in places.tolist()]
    return rows


def rows_of(
    draw_rows: dict[str, list[tuple[str, str, int]]], method: str, seed: int, predicted: dict[str, np.ndarray]
) -> list[Any]:
    """The rows of a training in a table of predictions. Images are named by their turn: those of two draws differ."""
    return [
        {
            "method": method,
            "seed": seed,
            "image": f"{split} {turn}",
            "y": label,
            "split": split,
            "role": role,
            "predicted": LABELS[answer],
        }
        for split, rows in draw_rows.items()
        for turn, ((label, role, _), answer) in enumerate(zip(rows, predicted[split].tolist(), strict=True))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DEBIAN, help="the folder with the four idx.gz files")
    parser.add_argument(
        "--draws", type=int, default=10, help="trainings of each method, each on a draw of its own; at least two"
    )
    parser.add_argument("--steps", type=int, default=500, help="of a training")
    parser.add_argument("--tested", type=int, default=200, help="test images of a garment")
    parser.add_argument(
        "--out", type=Path, default=Path("reports/fashion"), help="finished trainings and predictions.parquet"
    )
    chosen = parser.parse_args()
    data, options = read_data(chosen.data), TrainingOptions(steps=chosen.steps)
    digest = hashlib.sha256(b"".join(array.tobytes() for pair in data.values() for array in pair)).hexdigest()
    kept = KeptTrainings(
        chosen.out / "trainings", "fashion", options, {"data": digest, "roles": ROLES, "tested": chosen.tested}
    )
    garments, table = {split: labels for split, (_, labels) in data.items()}, []
    for seed in range(chosen.draws):
        rows = draw(garments, seed, chosen.tested)
        images = {split: data[split][0][[place for _, _, place in part]] for split, part in rows.items()}
        truth = np.array([LABELS.index(label) for label, _, _ in rows["train"]])
        for method in METHODS:
            plan = options.plan(method, seed)
            predicted = kept.load(plan)
            if predicted is None:
                print(f"{plan.title} of {chosen.draws} draws", file=sys.stderr)
                network = train_network(plan, images["train"], truth, num_classes=2)
                predicted = {split: network.predict(part).argmax(dim=1).numpy() for split, part in images.items()}
                kept.save(plan, predicted)
            table += rows_of(rows, method, seed, predicted)
    predictions = chosen.out / "predictions.parquet"
    parquet.write_table(pa.Table.from_pylist(table), predictions)
    print(ag.compare(predictions))
    print(f"\nThe report: augscope images compare {predictions} --out {chosen.out / 'report'}")


if __name__ == "__main__":
    main()
