"""examples/fashion.py as it is run ("fashion.md" of `test_docs.ELSEWHERE`): on made-up garments, and slowly on those that Debian packages."""

from __future__ import annotations

import gzip
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pyarrow import parquet

torch.set_num_threads(1)  # small batches in parallel test processes: more threads only wait for each other

SCRIPT = Path(__file__).parents[1] / "examples" / "fashion.py"
EXAMPLE = runpy.run_path(str(SCRIPT))
DEBIAN = EXAMPLE["DEBIAN"]


def write_idx(path: Path, values: np.ndarray) -> None:
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes() + values.tobytes())


def made_up(folder: Path) -> Path:
    """Ten garments of 8 × 8 pixels, each with its own brightness."""
    generator = np.random.default_rng(0)
    for name, count in (("train", 400), ("t10k", 12)):
        garments = np.repeat(np.arange(10, dtype=np.uint8), count)
        images = generator.integers(0, 20, (len(garments), 8, 8)) + 20 * garments[:, None, None]
        write_idx(folder / f"{name}-images-idx3-ubyte.gz", images.astype(np.uint8))
        write_idx(folder / f"{name}-labels-idx1-ubyte.gz", garments)
    return folder


def run(monkeypatch, capsys, *words) -> tuple[str, str]:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, words)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    return capsys.readouterr()


def test_made_up_garments(tmp_path, monkeypatch, capsys):
    words = ("--data", made_up(tmp_path), "--draws", 2, "--steps", 2, "--tested", 12, "--out", tmp_path / "out")
    printed, progress = run(monkeypatch, capsys, *words)
    assert "augscope images compare" in printed
    assert progress.count("\n") == 12
    table = parquet.read_table(tmp_path / "out" / "predictions.parquet")
    assert len(table) == 2 * 6 * 2 * (400 + 40 + 8 + 3 * 12)
    assert run(monkeypatch, capsys, *words) == (printed, "")  # nothing is left to train


def test_a_draw_has_its_own_garments_and_images():
    garments = {split: np.repeat(np.arange(10), 500) for split in ("train", "test")}
    first, second = (EXAMPLE["draw"](garments, seed, 200) for seed in (0, 1))
    chosen = [{int(garments["train"][place]) for _, _, place in draw["train"]} for draw in (first, second)]
    assert [len(kinds) for kinds in chosen] == [6, 6]
    assert chosen[0] != chosen[1]
    assert len({place for _, _, place in first["train"]}) == 2 * (400 + 40 + 8)
    assert EXAMPLE["draw"](garments, 0, 200) == first


def test_files_that_are_not_whole(tmp_path):
    write_idx(tmp_path / "x.gz", np.zeros((3, 4), np.uint8))
    content = gzip.decompress((tmp_path / "x.gz").read_bytes())
    (tmp_path / "x.gz").write_bytes(gzip.compress(content[:-1]))
    with pytest.raises(ValueError, match="`data` must hold whole idx files of bytes, got"):
        EXAMPLE["read_idx"](tmp_path / "x.gz")


@pytest.mark.slow
@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Fashion-MNIST is not installed: apt-get install dataset-fashion-mnist")
def test_a_small_form_of_the_study(tmp_path, monkeypatch, capsys):
    run(monkeypatch, capsys, "--draws", 2, "--steps", 60, "--out", tmp_path)
    table = parquet.read_table(tmp_path / "predictions.parquet").to_pandas()
    common = table[(table.split == "test") & (table.role == "common") & (table.method == "erm")]
    assert (common.y == common.predicted).mean() > 0.7  # half by chance: two networks on 400 images
