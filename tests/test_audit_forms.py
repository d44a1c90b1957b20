"""The same images as a folder, a CSV, Parquet and arrays: one value, the same splits and trainings; and what is wrong with tables of them."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

import augscope as ag
from augscope.images.reading import png_bytes
from augscope.studies.audit.dataset import read_data
from augscope.studies.audit.from_arrays import Arrays
from augscope.studies.audit.problems import DataError
from augscope.studies.audit.settings import Reading

torch.set_num_threads(1)  # small batches in parallel test processes: more threads only wait for each other

COUNT = 48
TINY = {"methods": ("erm", "mixup"), "seeds": 2, "steps": 3, "batch_size": 8, "device": "cpu"}


def pictures(shape=(8, 8), seed: int = 0) -> tuple[np.ndarray, list[str], list[str], list[str]]:
    """Pixels, and a label, an attribute and a split of each."""
    pixels = np.random.default_rng(seed).integers(0, 256, (COUNT, *shape), dtype=np.uint8)
    labels = [("cat", "dog")[i % 2] for i in range(COUNT)]
    kinds = [("big", "small")[i // 2 % 2] for i in range(COUNT)]
    return pixels, labels, kinds, ["test" if i >= COUNT // 2 else "train" for i in range(COUNT)]


def as_folder(root, pixels, labels, kinds, splits) -> list[str]:
    """Write the images; return their names in the order of the rows."""
    names = []
    for i, (label, kind) in enumerate(zip(labels, kinds, strict=True)):
        path = root / (splits[i] if splits else "") / label / kind / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png_bytes(Image.fromarray(pixels[i])))
        names.append(str(path.relative_to(root)))
    return names


def as_parquet(path, pixels, columns, names=None) -> None:
    images = [
        {"bytes": png_bytes(Image.fromarray(p)), "path": n}
        for p, n in zip(pixels, names or [None] * len(pixels), strict=True)
    ]
    parquet.write_table(pa.table({"image": images, **columns}), path)


def in_all_forms(root, shape=(8, 8)) -> list[tuple]:
    """The arguments of `ag.audit` for the same images as a folder, a CSV, Parquet and arrays."""
    pixels, labels, kinds, splits = pictures(shape)
    names = as_folder(root / "folder", pixels, labels, kinds, splits)
    with (root / "list.csv").open("w", newline="") as stream:
        rows = zip([f"folder/{name}" for name in names], labels, splits, kinds, strict=True)
        csv.writer(stream).writerows([("filename", "y", "split", "kind"), *rows])
    as_parquet(root / "images.parquet", pixels, {"label": labels, "split": splits, "kind": kinds}, names)
    order = np.argsort(names)  # arrays keep the order that they have
    arrays = pixels[order], np.array(labels)[order], np.array(splits)[order], {"kind": np.array(kinds)[order]}
    return [(root / "folder",), (root / "list.csv",), (root / "images.parquet",), arrays]


class TestOneValue:
    @pytest.mark.parametrize("shape", [(8, 8), (12, 9, 3)])
    def test_equal_hashes_and_splits(self, shape, tmp_path):
        *paths, arrays = in_all_forms(tmp_path, shape)
        data = [read_data(path) for (path,) in paths]
        assert len({one.digest for one in (*data, read_data(Arrays(*arrays)))}) == 1
        assert data[0].train.names == data[2].train.names

    def test_bit_equal_trainings(self, tmp_path):
        first, *others = (ag.audit(*form, **TINY) for form in in_all_forms(tmp_path))
        for audit in others:
            for pair, run in first.runs.items():
                for name, values in vars(run).items():
                    np.testing.assert_array_equal(getattr(audit.runs[pair], name), values)

    def test_equal_drawn_splits(self, tmp_path):
        pixels, labels, kinds, _ = pictures()
        names = as_folder(tmp_path / "folder", pixels, labels, kinds, None)
        as_parquet(tmp_path / "images.parquet", pixels, {"label": labels, "kind": kinds}, names)
        order = np.argsort(names)
        columns = np.array(labels)[order], None, {"kind": np.array(kinds)[order]}
        data = [
            read_data(form)
            for form in (tmp_path / "folder", tmp_path / "images.parquet", Arrays(pixels[order], *columns))
        ]
        assert len({one.digest for one in data}) == 1
        assert data[0].drawn

    @pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 3, 1, 2)])
    def test_channels_last_or_first_and_tensors(self, axes):
        pixels, labels, _, splits = pictures((8, 8, 3))
        usual = read_data(Arrays(pixels, labels, splits)).digest
        assert read_data(Arrays(torch.from_numpy(pixels.transpose(axes).copy()), labels, splits)).digest == usual
        assert (
            read_data(Arrays(pixels[..., :1], labels, splits)).digest
            == read_data(Arrays(pixels[..., 0], labels, splits)).digest
        )

    def test_as_hugging_face_keeps_it(self, tmp_path):
        """A folder of files by split, labels by number with their names beside them, and rows without a label."""
        pixels, _, kinds, _ = pictures()
        labels = [i % 2 for i in range(COUNT)]
        features = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
        for name, rows in (
            ("train-00000-of-00002", range(12)),
            ("train-00001-of-00002", range(12, 24)),
            ("test", range(24, 48)),
        ):
            as_parquet(
                tmp_path / f"{name}.parquet",
                pixels[rows],
                {"label": [labels[i] for i in rows], "kind": [kinds[i] for i in rows]},
            )
            table = parquet.read_table(tmp_path / f"{name}.parquet")
            parquet.write_table(
                table.replace_schema_metadata({"huggingface": json.dumps(features)}), tmp_path / f"{name}.parquet"
            )
        data = read_data(tmp_path)
        assert (len(data.train), len(data.test), data.classes) == (24, 24, ("cat", "dog"))
        assert data.train.names[:2] == ("train-00000-of-00002:00", "train-00000-of-00002:01")
        table = parquet.read_table(tmp_path / "test.parquet")
        unknown = table.set_column(table.column_names.index("label"), "label", [[-1] * 3 + labels[3:24]])
        parquet.write_table(unknown, tmp_path / "test.parquet")
        with pytest.raises(DataError, match=r"with 3 problems:\n  images without a label:\n    test:00\n    test:01"):
            read_data(tmp_path)


class TestIngest:
    def test_what_was_read_is_said(self, tmp_path):
        pixels, labels, _, splits = pictures()
        pixels[25], pixels[30], pixels[3] = pixels[1], pixels[1], pixels[5]  # image 30 has another label than 1
        data = read_data(Arrays(pixels, labels, splits))
        assert data.stored == "48 images: 8×8 pixels; mode L"
        assert "2 test images are in the training split too, pixel for pixel: 25 = 01 among them" in data.notes
        assert "1 images are equal to one with another label, pixel for pixel: 30 = 01 among them" in data.notes
        audit = ag.audit(pixels, labels, splits, out=tmp_path / "out", **TINY)
        page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
        assert "Read from 48 images: 8×8 pixels; mode L." in page
        assert page.count('alt="Images of ') == 2
        assert "To run it again" not in page
        before = (tmp_path / "out" / "record.json").read_bytes()
        again = ag.audit(pixels, labels, splits, out=tmp_path / "out", **TINY)  # from what is kept
        assert again.words == audit.words
        assert (tmp_path / "out" / "record.json").read_bytes() == before

    def test_from_python_as_by_the_command(self, tmp_path):
        """Progress with the time first; another audit's folder is refused, or replaced."""
        pixels, labels, _, splits = pictures()
        calls = []
        ag.audit(pixels, labels, splits, out=tmp_path, progress=lambda *call: calls.append(call), **TINY)
        assert calls[0][0] == "reading 48 images"
        assert any(text.startswith("A step: ERM ") and share == 0 for text, share in calls)
        assert calls[-1][1] == 1
        other = {**TINY, "steps": TINY["steps"] + 1}
        with pytest.raises(ValueError, match="`out` must not hold another configuration's run"):
            ag.audit(pixels, labels, splits, out=tmp_path, **other)
        replaced = ag.audit(pixels, labels, splits, out=tmp_path, overwrite=True, **other)
        assert replaced.study.settings.steps == other["steps"]
        for workers, sentence in ((0, "at least 1, got 0"), (1.5, "a whole number, got 1.5")):
            with pytest.raises(ValueError, match=f"`workers` must be {sentence}"):
                ag.audit(pixels, labels, splits, workers=workers, **TINY)


class TestBadTables:
    def test_arrays(self):
        pixels, labels, kinds, splits = pictures()
        splits[7], labels[9] = "maybe", ""
        with pytest.raises(DataError) as refused:
            read_data(Arrays(pixels, labels, splits, {"kind": kinds}))
        assert "splits that are not train, val, test, 0, 1 or 2:\n    07: maybe" in str(refused.value)
        assert "images without a label:\n    09" in str(refused.value)
        with pytest.raises(DataError) as refused:
            read_data(Arrays(pixels, labels[1:], splits, {"kind": [{}] * COUNT, "place": ["x"]}))
        message = str(refused.value)
        assert all(
            part in message
            for part in ("labels: shape (47,), for 48 images", "kind: it must hold", "place: shape (1,)")
        )

    @pytest.mark.parametrize(
        "images", [np.zeros((4, 8, 8)), np.zeros((4, 64), np.uint8), np.zeros((4, 8, 8, 4), np.uint8), []]
    )
    def test_arrays_that_are_no_images(self, images):
        with pytest.raises(ValueError, match=r"`images` must be of shape \(n, H, W\), .* got .* of "):
            read_data(Arrays(images, [0, 1, 0, 1]))

    def test_parquet(self, tmp_path):
        pixels, labels, _, splits = pictures()
        splits[0] = "nowhere"
        rows = [{"bytes": png_bytes(Image.fromarray(image)), "path": "a.png"} for image in pixels]
        rows[1], rows[2] = {"bytes": None, "path": "b.png"}, {"bytes": b"no image", "path": "c.png"}
        parquet.write_table(pa.table({"image": rows, "label": labels, "split": splits}), tmp_path / "bad.parquet")
        with pytest.raises(DataError) as refused:
            read_data(tmp_path / "bad.parquet")
        for part in (
            "with 3 problems",
            "images without bytes (a path alone is not followed):\n    bad:01",
            "splits that are not train, val, test, 0, 1 or 2:\n    bad:00: nowhere",
            "files that cannot be read as images:\n    bad:02: it is none of PNG",
        ):
            assert part in str(refused.value)

    @pytest.mark.parametrize(
        ("columns", "sentence"),
        [
            (
                {"image": ["http://x/1.png"], "label": [0]},
                "with image: string, label: int64; image holds links or names, and no images",
            ),
            ({"pixels": [[1, 2]], "label": [0]}, "with pixels: list<element: int64>, label: int64"),
            ({"image": [{"bytes": b"x", "path": "x"}], "target": [0]}, "and label, got"),
        ],
    )
    def test_another_schema_is_said(self, columns, sentence, tmp_path):
        parquet.write_table(pa.table(columns), tmp_path / "other.parquet")
        with pytest.raises(
            ValueError, match="one column of images, a struct of bytes and path as Hugging Face writes it"
        ) as refused:
            read_data(tmp_path / "other.parquet")
        assert sentence in re.sub("element|item", "element", str(refused.value))

    def test_what_is_no_parquet(self, tmp_path):
        (tmp_path / "x.parquet").write_bytes(b"no")
        with pytest.raises(ValueError, match="`data` must be a Parquet file that can be read, got"):
            read_data(tmp_path / "x.parquet")
        with pytest.raises(ValueError, match=r"`root` is for a CSV, got .*x\.parquet"):
            read_data(tmp_path / "x.parquet", Reading(root=tmp_path))
