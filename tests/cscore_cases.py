"""CIFAR-10 batches and C-score arrays of a few images, in the published formats."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np

PIXELS = 3072


def batch(count: int, seed: int) -> tuple[np.ndarray, list[int]]:
    """Images (count, 3072) and labels: every class in turn, in a random order."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(count) % 10).tolist()
    return generator.integers(0, 256, (count, PIXELS), dtype=np.uint8), labels


def binary(images: np.ndarray, labels: list[int]) -> bytes:
    """A batch of the binary version."""
    return np.column_stack([np.array(labels, np.uint8), images]).tobytes()


def pickled(images: np.ndarray, labels: list[int], protocol: int = 2) -> bytes:
    """A batch of the python version, as this Python writes it."""
    names = [f"image_{number}.png" for number in range(len(labels))]
    return pickle.dumps(
        {b"batch_label": b"training batch 1 of 5", b"labels": labels, b"data": images, b"filenames": names}, protocol
    )


def published(images: np.ndarray, labels: list[int]) -> bytes:
    """A batch of the python version, opcode by opcode as Python 2's cPickle wrote the published ones."""

    def text(word: bytes) -> bytes:
        return b"U" + bytes([len(word)]) + word

    def number(value: int) -> bytes:
        return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)

    raw = images.tobytes()
    array = b"".join(
        [
            b"cnumpy.core.multiarray\n_reconstruct\nq\x06cnumpy\nndarray\nq\x07K\x00\x85",
            text(b"b"),
            b"\x87Rq\x08(K\x01",
            number(len(labels)) + number(PIXELS) + b"\x86",
            b"cnumpy\ndtype\nq\x09" + text(b"u1") + b"K\x00K\x01\x87Rq\x0a(K\x03" + text(b"|"),
            b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
            b"\x89T" + struct.pack("<i", len(raw)) + raw + b"tb",
        ]
    )
    listed = b"]q\x04(" + b"".join(map(number, labels)) + b"e"
    label = text(b"batch_label") + b"q\x02" + text(b"training batch 1 of 5")
    files = text(b"filenames") + b"](" + b"".join(text(b"a_%d.png" % index) for index in range(len(labels))) + b"e"
    return b"\x80\x02}q\x01(" + label + text(b"labels") + listed + text(b"data") + array + files + b"u."


def write_batches(folder: Path, count: int = 20, ending: str = ".bin") -> tuple[np.ndarray, np.ndarray]:
    """Write five batches of `count` images; return all images (n, 3, 32, 32) and labels in order."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [batch(count, seed) for seed in range(5)]
    for number, (images, labels) in enumerate(parts, start=1):
        content = binary(images, labels) if ending else published(images, labels)
        (folder / f"data_batch_{number}{ending}").write_bytes(content)
    images = np.concatenate([images for images, _ in parts]).reshape(-1, 3, 32, 32)
    return images, np.concatenate([labels for _, labels in parts])


def write_scores(path: Path, own: np.ndarray, **changes: np.ndarray) -> np.ndarray:
    """Write a C-score array as published, for images with these labels; return the scores."""
    scores = np.random.default_rng(0).random(len(own)).astype(np.float32)
    np.savez(path, **{"labels": own, "scores": scores, **changes})
    return scores
