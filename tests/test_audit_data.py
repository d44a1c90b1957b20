"""Folders and CSVs of images: what they are read as, and that everything wrong with them is listed before any training."""

from __future__ import annotations

import os
import zlib

import numpy as np
import pytest
from PIL import Image

from augscope.cli import app
from augscope.studies.audit.dataset import read_data
from augscope.studies.audit.problems import SHOWN, DataError, Problems
from augscope.studies.audit.settings import Reading, Settings


def picture(path, shade: int, size=(10, 10), mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, shade).convert(mode).save(path)


def folder_of(root, count: int = 8, **options):
    for label in ("cat", "dog"):
        for number in range(count):
            picture(root / label / f"{number}.png", 20 * number + (label == "dog"), **options)
    return root


def table(root, rows, header="filename,y,split,a"):
    root.mkdir(parents=True, exist_ok=True)
    (root / "data.csv").write_text("\n".join([header, *rows]) + "\n")
    return root / "data.csv"


def good_rows(root) -> list[str]:
    rows = []
    for split in (0, 2):
        for label in (0, 1):
            for a in ("x", "y"):
                name = f"{split}{label}{a}.png"
                picture(root / name, 10 * len(rows))
                rows.append(f"{name},{label},{split},{a}")
    return rows


class TestForms:
    def test_a_folder_gets_a_seeded_stratified_split(self, tmp_path):
        data = read_data(folder_of(tmp_path))
        assert data.classes == ("cat", "dog")
        assert data.train.counts(2).tolist() == [6, 6]
        assert data.test.counts(2).tolist() == [2, 2]
        assert data.digest == read_data(tmp_path).digest
        assert data.digest != read_data(tmp_path, Reading(split_seed=1)).digest
        assert any("4 of 16 images are drawn for testing" in note for note in data.notes)

    def test_folders_below_a_class_are_its_attribute(self, tmp_path):
        for kind in ("land", "water"):
            folder_of(tmp_path / kind)
        for label in ("cat", "dog"):
            for kind in ("land", "water"):
                (tmp_path / "all" / label).mkdir(parents=True, exist_ok=True)
                (tmp_path / kind / label).rename(tmp_path / "all" / label / kind)
        data = read_data(tmp_path / "all")
        assert [group.name for group in data.groups] == ["cat · land", "cat · water", "dog · land", "dog · water"]
        assert data.attributes == ("folder",)

    def test_a_folder_with_splits(self, tmp_path):
        for split in ("train", "val", "test"):
            folder_of(tmp_path / split, 3)
        data = read_data(tmp_path)
        assert (len(data.train), len(data.test)) == (6, 6)
        assert "the 6 images of the val split are left out: the audit chooses nothing by them" in data.notes

    def test_a_csv_as_subpopbench_has_it(self, tmp_path):
        rows = [f"{number},{row}" for number, row in enumerate(good_rows(tmp_path))]
        data = read_data(table(tmp_path, rows, header="id,filename,split_,y,split,a".replace("split_,", "")))
        assert [group.name for group in data.groups] == ["0 · x", "0 · y", "1 · x", "1 · y"]
        assert data.train.names == ("00x.png", "00y.png", "01x.png", "01y.png")
        assert data.train.images[1, 0, 0, 0] == 10
        assert data.attributes == ("a",)
        assert len(read_data(tmp_path / "data.csv", Reading(attributes=())).groups) == 2

    def test_mixed_sizes_and_modes_are_made_one_and_said(self, tmp_path):
        folder_of(tmp_path)
        picture(tmp_path / "cat" / "wide.png", 50, size=(30, 20), mode="RGBA")
        data = read_data(tmp_path, Reading(size=16))
        assert data.train.images.shape[1:] == (3, 16, 16)
        notes = "; ".join(data.notes)
        assert "the images, 10×10 to 30×20 pixels, are scaled to 16×16 (--size); 1 that are no squares" in notes
        assert "16 of mode L, 1 of mode RGBA are converted to RGB (transparency is dropped)" in notes

    def test_16_bits_become_8(self, tmp_path):
        folder_of(tmp_path)
        Image.fromarray(np.full((10, 10), 200 * 256, np.uint16)).save(tmp_path / "cat" / "deep.png")
        data = read_data(tmp_path)
        values = np.concatenate([data.train.images, data.test.images])[:, 0, 0, 0]
        assert data.channels == 1
        assert 200 in values

    def test_links_are_followed_but_not_in_circles(self, tmp_path):
        folder_of(tmp_path / "data")
        folder_of(tmp_path / "elsewhere")
        (tmp_path / "data" / "bird").symlink_to(tmp_path / "elsewhere" / "cat")
        (tmp_path / "data" / "cat" / "again").symlink_to(tmp_path / "data")
        (tmp_path / "data" / "cat" / "itself.png").symlink_to("itself.png")
        data = read_data(tmp_path / "data")
        assert [group.name for group in data.groups] == ["bird", "cat", "dog"]
        assert len(data.train) + len(data.test) == 24

    def test_names_that_are_no_utf_8_can_be_written(self, tmp_path):
        folder_of(tmp_path)
        os.rename(bytes(tmp_path / "cat" / "0.png"), bytes(tmp_path / "cat") + b"/caf\xe9.png")
        os.rename(bytes(tmp_path / "dog"), bytes(tmp_path) + b"/d\xf6g")
        data = read_data(tmp_path)
        assert data.classes == ("cat", "d\\xf6g")
        assert r"cat/caf\xe9.png" in data.train.names + data.test.names
        assert all(name.encode() for name in data.train.names + data.test.names)

    def test_a_csv_as_pandas_writes_it(self, tmp_path):
        rows = [f"{number},{row}" for number, row in enumerate(good_rows(tmp_path))]
        data = read_data(table(tmp_path, rows, header=",filename, y, split,a"))
        assert data.attributes == ("a",)
        assert len(data.groups) == 4

    @pytest.mark.parametrize(("start", "end"), [("\ufeff", "\n"), ("", "\r\n")])
    def test_byte_order_marks_and_line_endings(self, start, end, tmp_path):
        path = table(tmp_path, good_rows(tmp_path))
        path.write_bytes((start + path.read_text().replace("\n", end)).encode())
        assert [group.name for group in read_data(path).groups] == ["0 · x", "0 · y", "1 · x", "1 · y"]

    def test_images_of_many_kinds(self, tmp_path):
        folder_of(tmp_path)
        for name, mode in (("A.PNG", "L"), ("b.GIF", "P"), ("c.webp", "RGB"), ("d.jpg", "CMYK"), ("e.png", "LA")):
            picture(tmp_path / "cat" / name, 90, mode=mode)
        turned = np.zeros((10, 10), np.uint8)
        turned[:, 5:] = 255
        orientation = Image.Exif()
        orientation[0x0112] = 6  # a quarter turn to the right: what is stored on the right is shown below
        Image.fromarray(turned).convert("RGB").save(tmp_path / "cat" / "turned.png", exif=orientation)
        data = read_data(tmp_path)
        assert data.channels == 3
        images = dict(zip((*data.train.names, *data.test.names), (*data.train.images, *data.test.images), strict=True))
        np.testing.assert_array_equal(images["cat/turned.png"][0], turned.T)
        for name in ("A.PNG", "b.GIF", "c.webp", "d.jpg", "e.png"):
            np.testing.assert_allclose(images[f"cat/{name}"], 90, atol=3)  # JPEG and WEBP keep a grey to some levels

    def test_images_of_training_among_the_test_images_are_said(self, tmp_path):
        folder_of(tmp_path / "train")
        folder_of(tmp_path / "test")
        assert any(
            "16 test images are in the training split too, pixel for pixel" in n for n in read_data(tmp_path).notes
        )


class TestBadData:
    def test_everything_is_listed_at_once(self, tmp_path):
        rows = good_rows(tmp_path)
        (tmp_path / "text.png").write_text("no image")
        whole = (tmp_path / "00x.png").read_bytes()
        (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
        bad = [
            "gone.png,0,0,x",
            "text.png,1,0,y",
            "half.png,1,0,y",
            "00x.png,0,0,x",
            "a.png,0,9,x",
            ",1,0,x",
            "b.png,0",
            "00y.png,2,1,x",
            "x" * 300 + ".png,0,0,x",
        ]
        with pytest.raises(DataError) as refused:
            read_data(table(tmp_path, [*rows, *bad]))
        message = str(refused.value)
        for part in (
            "with 9 problems",
            "files that do not exist:\n    gone.png\n    xxx",
            "text.png: it is none of PNG, JPEG, GIF",
            "half.png: ",
            "file names that occur twice:\n    row 13 (00x.png)",
            "rows whose split is not train, val, test, 0, 1 or 2:\n    row 14 (a.png)",
            "rows without a file name, a label or a split:\n    row 15 (no file name)",
            "rows with more or fewer fields than the header:\n    row 16",
        ):
            assert part in message, part

    def test_long_lists_are_cut(self):
        problems = Problems("x.csv")
        for number in range(SHOWN + 5):
            problems.add("kind", f"file-{number}")
        with pytest.raises(DataError, match="… and 5 more"):
            problems.raise_if_any()

    @pytest.mark.parametrize(
        ("keep", "sentence"),
        [
            (lambda row: ",1,2," not in row, "labels missing in the test split:\n    1 (in train)"),
            (lambda row: ",1,0," not in row, "labels missing in the train split:\n    1 (in test)"),
            (
                lambda row: not row.startswith("21x"),
                "subgroups absent from the test split, where they would be measured:\n    1 · x",
            ),
            (lambda row: ",1," not in row[6:10], "one class only: there is nothing to tell apart:\n    0"),
        ],
    )
    def test_splits_that_lack_something(self, keep, sentence, tmp_path):
        rows = [row for row in good_rows(tmp_path) if keep(row)]
        with pytest.raises(DataError) as refused:
            read_data(table(tmp_path, rows))
        assert sentence in str(refused.value)

    def test_columns(self, tmp_path):
        with pytest.raises(ValueError, match=r"`data` must have the columns filename, y, split, got .* without y"):
            read_data(table(tmp_path, ["a.png,0,x"], header="filename,split,a"))
        with pytest.raises(ValueError, match="without filename, y, split; its fields must be separated by commas"):
            read_data(table(tmp_path, ["a.png;0;x"], header="filename;y;split"))
        with pytest.raises(ValueError, match=r"must have the columns filename, y, split, place, got .* without place"):
            read_data(table(tmp_path, good_rows(tmp_path)), Reading(attributes=("place",)))
        rows = [f"{n}.png,0,0,{n}" for n in range(60)]
        with pytest.raises(ValueError, match="`attributes` must have at most 50 values each, got a with 60"):
            read_data(table(tmp_path, rows))
        with pytest.raises(DataError, match="no row"):
            read_data(table(tmp_path, []))

    def test_absurd_dimensions_name_the_limit(self, tmp_path):
        folder_of(tmp_path)
        header = (60_000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])

        def chunk(kind: bytes, content: bytes) -> bytes:
            return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

        bomb = (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", header)
            + chunk(b"IDAT", zlib.compress(bytes(100)))
            + chunk(b"IEND", b"")
        )
        (tmp_path / "cat" / "bomb.png").write_bytes(bomb)
        picture(tmp_path / "dog" / "large.png", 1, size=(8000, 7000))
        with pytest.raises(DataError) as refused:
            read_data(tmp_path)
        assert "cat/bomb.png: its pixels are more than the limit of 50,000,000" in str(refused.value)
        assert "dog/large.png: 8000×7000 pixels are more than the limit of 50,000,000" in str(refused.value)

    def test_what_is_no_data(self, tmp_path):
        with pytest.raises(
            ValueError,
            match=r"`data` must be a folder, a CSV file or a Parquet file, got .*nowhere, which does not exist",
        ):
            read_data(tmp_path / "nowhere")
        with pytest.raises(DataError, match="no image in any class folder"):
            read_data(tmp_path)
        with pytest.raises(ValueError, match=r"`size` must be in \[8, 1024\], got 4"):
            Reading(size=4)

    @pytest.mark.parametrize("name", ["data.csv", "data.parquet"])
    def test_a_pipe_is_not_waited_for(self, tmp_path, name):
        os.mkfifo(tmp_path / name)
        with pytest.raises(ValueError, match=r"`data` must be a .* got .*: .*it is no file"):
            read_data(tmp_path / name)

    @pytest.mark.parametrize("name", ["data_batch_1", "batches.meta", "cifar-10-batches-py/data_batch_1"])
    def test_pickles_are_named_and_not_opened(self, tmp_path, name):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no pickle at all")
        with pytest.raises(ValueError, match=r"Python version of CIFAR, .* from the binary version or from arrays"):
            read_data(tmp_path)


@pytest.mark.parametrize(("field", "value"), [("steps", 0), ("batch_size", 0), ("learning_rate", 0), ("box", 0)])
def test_settings_out_of_range_are_refused_at_once(field, value):
    with pytest.raises(ValueError, match=f"`{field}` must be "):
        Settings(**{field: value})


def test_every_setting_is_an_option_with_its_description(capsys):
    app(["images", "audit", "--help"], exit_on_error=False)
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')} " in shown
        assert field.description
        if name == "seeds":  # typed as a count too, and described as such
            continue
        assert " ".join(field.description.replace("`", "").split()) in shown


MODEL = """
import torch
class One(torch.nn.Linear):
    def __init__(self):
        super().__init__(1, 1)
    def forward(self, images):
        return images.mean(dim=(1, 2, 3))
class Nothing(torch.nn.Module):
    def forward(self, images):
        return torch.zeros(len(images), 2)
"""


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--methods", "cutout-box"], "`methods` must hold erm"),
        (["--methods", "erm,puzzle"], "`methods` must be of erm, cutout-patch"),
        (["--seeds", "1"], "`seeds` must be at least two"),
        (["--grid", "3"], "`grid` must be at least 2 and divide `size`, got 3 for 10 pixels"),
        (["--grid", "5", "--num-cut", "25"], r"`num_cut` must be in \[1, P\), got 25 with P = 25"),
        (["--grid", "5", "--p", "1.5"], r"`p` must be in \[0, 1\], got 1.5"),
        (["--grid", "5", "--steps", "0"], "`steps` must be at least 1, got 0"),
        (["--grid", "5", "--device", "nowhere"], "`device` must be one that PyTorch can use, got 'nowhere'"),
        (["--grid", "5", "--model", "mine.py:One()"], r"`model` must return logits of shape \(N, 2\)"),
        (["--grid", "5", "--model", "mine.py:Nothing"], "`model` must have weights to train, got 'mine.py:Nothing'"),
        (["--out", "data/report"], "`out` must not be in `data`, whose folders are classes, got data/report in data"),
        (["--checkpoint", "data"], "`checkpoint` must not be in `data`, whose folders are classes, got data in data"),
        (["--grid", "5", "--steps", "100000000"], "`yes` must be given for what takes over an hour"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(options, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(folder_of(tmp_path / "data").parent)
    (tmp_path / "mine.py").write_text(MODEL)
    out = [] if "--out" in options else ["--out", "out"]
    with pytest.raises(ValueError, match=sentence):
        app(["images", "audit", "data", *out, *options], exit_on_error=False, print_error=False)
    assert not (tmp_path / "out" / "report.html").exists()
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["cat", "dog"]
