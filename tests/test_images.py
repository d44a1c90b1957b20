"""Batch transforms: conventions, dtypes, shapes, bad input, and that sampled losses are the exact ones of the lab."""

from __future__ import annotations

import os
import pickle
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from commands import run_code
from PIL import Image

import augscope as ag
from augscope.images import BoxCutMix, BoxCutout, Mixup, PatchCutMix, PatchCutout
from augscope.images.gallery import draw_panels, gallery
from augscope.images.reading import Picture, bundled_pictures, read_pictures

torch.set_num_threads(1)  # small batches in parallel test processes: more threads only wait for each other

TRANSFORMS = {
    "PatchCutMix": lambda **given: PatchCutMix((2, 3), **given),
    "PatchCutout": lambda **given: PatchCutout(2, (2, 3), **given),
    "BoxCutMix": lambda **given: BoxCutMix(**given),
    "unclipped": lambda **given: BoxCutMix(0.7, "unclipped", **given),
    "BoxCutout": lambda **given: BoxCutout((3, 4), **given),
    "Mixup": lambda **given: Mixup(**given),
}
each_transform = pytest.mark.parametrize("make", TRANSFORMS.values(), ids=TRANSFORMS)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class TestConventions:
    @each_transform
    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.float16, torch.float32, torch.float64])
    @pytest.mark.parametrize("count", [1, 2, 7])
    def test_shapes_and_dtypes_are_kept(self, make, dtype, count):
        images = torch.randint(0, 200, (count, 2, 8, 12)).to(dtype)
        labels = torch.arange(count) % 5
        before = images.clone(), labels.clone()
        mixed, soft = make(num_classes=5, generator=seeded())(images, labels)
        assert (mixed.shape, mixed.dtype) == (images.shape, dtype)
        assert (soft.shape, soft.dtype) == ((count, 5), torch.float32)
        torch.testing.assert_close(soft.sum(dim=1), torch.ones(count))
        assert torch.equal(images, before[0])
        assert torch.equal(labels, before[1])

    @each_transform
    def test_a_generator_alone_decides(self, make):
        images, labels = torch.rand(6, 3, 8, 12), torch.arange(6)
        torch.manual_seed(1)
        one = make(num_classes=6, generator=seeded())(images, labels)
        torch.manual_seed(2)
        again = make(num_classes=6, generator=seeded())(images, labels)
        other = make(num_classes=6, generator=seeded(1))(images, labels)
        assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
        assert not torch.equal(one[0], other[0])

    @each_transform
    def test_p_zero_changes_nothing(self, make):
        images, labels = torch.rand(6, 3, 8, 12), torch.arange(6)
        mixed, soft = make(num_classes=6, p=0)(images, labels)
        assert torch.equal(mixed, images)
        assert torch.equal(soft, torch.eye(6))

    def test_soft_labels_go_in_too(self):
        images, soft = torch.rand(6, 3, 8, 12), torch.eye(6, dtype=torch.float64)
        mixed, labels = BoxCutMix(generator=seeded())(*PatchCutMix(2, generator=seeded())(images, soft))
        assert labels.dtype == torch.float64
        assert labels.shape == (6, 6)
        assert mixed.shape == images.shape

    def test_as_a_collate_function_of_a_loader(self):
        from torch.utils.data import DataLoader, default_collate

        mix = PatchCutMix(2, num_classes=4, generator=seeded())
        data = [(torch.full((1, 4, 4), float(i)), i % 4) for i in range(10)]
        loader = DataLoader(data, batch_size=4, collate_fn=lambda batch: mix(*default_collate(batch)))
        assert [labels.shape for _, labels in loader] == [(4, 4), (4, 4), (2, 4)]

    def test_label_weight_is_the_share_of_pixels_in_integers(self):
        images = torch.arange(16).view(16, 1, 1, 1).expand(16, 1, 9, 13).clone()
        for make in (BoxCutMix(num_classes=16), BoxCutMix(boxes="unclipped", num_classes=16)):
            mixed, soft = make(images, torch.arange(16))
            shares = torch.stack([(mixed == i).sum(dim=(1, 2, 3)) / 117 for i in range(16)], dim=1)
            torch.testing.assert_close(soft, shares)  # rounding to float32 once

    def test_mixup_of_integers_rounds(self):
        images = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 1, 2, 2)
        mixed, soft = Mixup(num_classes=2, generator=seeded(3))(images, torch.arange(2))
        np.testing.assert_allclose(mixed[:, 0, 0, 0].numpy(), 255 * soft[:, 1].numpy(), atol=0.5)


BAD = [
    (lambda: BoxCutMix(num_classes=0), "`num_classes` must be ≥ 1, got 0"),
    (lambda: BoxCutMix(p=1.5), "`p` must be in [0, 1], got 1.5"),
    (lambda: BoxCutMix(0), "`alpha` must be a number above 0, got 0"),
    (lambda: BoxCutMix(boxes="round"), "`boxes` must be 'clipped' or 'unclipped', got 'round'"),
    (lambda: BoxCutMix(generator=3), "`generator` must be a torch.Generator, got 3"),
    (lambda: PatchCutMix(0), "`grid` must be a whole number ≥ 1 or two of them, got 0"),
    (lambda: PatchCutout(16, 4), "`num_cut` must be in [1, P), got 16 with P = 16"),
    (
        lambda: PatchCutMix(5, num_classes=2)(torch.rand(2, 3, 8, 8), torch.arange(2)),
        "`grid` must divide the image's height",
    ),
    (
        lambda: BoxCutMix()(torch.rand(2, 3, 8, 8), torch.arange(2)),
        "`num_classes` is required where labels are class indices",
    ),
    (lambda: BoxCutMix(num_classes=2)(torch.rand(2, 8, 8), torch.arange(2)), "`images` must have shape (N, C, H, W)"),
    (lambda: BoxCutMix(num_classes=2)(torch.rand(0, 3, 8, 8), torch.arange(0)), "none of them 0, got (0, 3, 8, 8)"),
    (
        lambda: BoxCutMix(num_classes=2)(torch.rand(2, 3, 8, 8), torch.arange(3)),
        "`labels` must have shape (2,) or (2, K), got (3,)",
    ),
    (
        lambda: BoxCutMix(num_classes=2)(torch.rand(2, 3, 8, 8), torch.tensor([0, 2])),
        "`labels` must be in [0, 2), got 2",
    ),
    (
        lambda: BoxCutMix(num_classes=2)(torch.rand(2, 3, 8, 8), torch.rand(2)),
        "must be class indices, got torch.float32",
    ),
    (
        lambda: BoxCutout(9, "unclipped", num_classes=2)(torch.rand(2, 3, 8, 8), torch.arange(2)),
        "`size` must fit into the image",
    ),
    (
        lambda: BoxCutMix(num_classes=2)(np.zeros((2, 3, 8, 8)), torch.arange(2)),
        "`images` must be a tensor, got ndarray",
    ),
]


@pytest.mark.parametrize(("call", "sentence"), BAD, ids=[sentence[:40] for _, sentence in BAD])
def test_bad_input_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        call()


class TestKinds:
    """What comes out is of the kind that went in."""

    @pytest.mark.parametrize("name", TRANSFORMS)
    def test_memory_format_stays(self, name):
        images = torch.rand(4, 3, 12, 12).contiguous(memory_format=torch.channels_last)
        made, _ = TRANSFORMS[name](num_classes=4, generator=seeded(0))(images, torch.arange(4))
        assert made.is_contiguous(memory_format=torch.channels_last)
        plain, _ = TRANSFORMS[name](num_classes=4, generator=seeded(0))(images.contiguous(), torch.arange(4))
        assert plain.is_contiguous()
        assert torch.equal(made, plain)

    def test_fill_by_channel(self):
        cut = BoxCutout(12, "unclipped", fill=(0.1, 0.2, 0.3), num_classes=4)
        made, _ = cut(torch.rand(4, 3, 12, 12), torch.arange(4))
        assert torch.equal(made, torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1).expand(4, 3, 12, 12))

    @pytest.mark.parametrize("fill", [0.5, -1, 256, (0, 0.5, 0)])
    def test_a_fill_that_integers_cannot_hold_is_refused(self, fill):
        with pytest.raises(ValueError, match=r"`fill` must be whole and in \[0, 255\] for torch.uint8"):
            BoxCutout(3, fill=fill, num_classes=4)(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.arange(4))

    @pytest.mark.parametrize("size", [1, 2, 7])
    def test_a_whole_box_erases_its_size(self, size):
        made, _ = BoxCutout(size, num_classes=2, generator=seeded(0))(
            torch.ones(500, 1, 16, 16), torch.zeros(500).long()
        )
        erased = (made == 0).sum(dim=(1, 2, 3))
        assert erased.max() == size**2

    @pytest.mark.parametrize(
        "name",
        ["BoxCutMix", *(pytest.param(name, marks=pytest.mark.slow) for name in TRANSFORMS if name != "BoxCutMix")],
    )
    def test_compiled_at_any_batch_size(self, name):
        torch.compiler.reset()
        compiled = torch.compile(TRANSFORMS[name](num_classes=4, generator=None), backend="eager")
        for count in (4, 6, 3):
            made, soft = compiled(torch.rand(count, 3, 12, 12), torch.arange(count) % 4)
            assert made.shape == (count, 3, 12, 12)
            assert torch.allclose(soft.sum(dim=1), torch.ones(count))


class TestLoaders:
    def test_a_copy_goes_on_as_the_transform_would(self):
        mix = BoxCutMix(num_classes=4, generator=seeded(5))
        mix(torch.rand(4, 3, 8, 8), torch.arange(4))
        copy, images = pickle.loads(pickle.dumps(mix)), torch.rand(4, 3, 8, 8)
        assert torch.equal(copy(images, torch.arange(4))[0], mix(images, torch.arange(4))[0])

    def test_each_worker_draws_from_a_generator_of_its_own(self, monkeypatch):
        cut, images = BoxCutout(8, num_classes=8, generator=seeded(3)), torch.ones(8, 1, 16, 16)
        made = []
        for seed in (None, 7, 8, 7):  # of the loader's worker; None: the main process
            worker = None if seed is None else SimpleNamespace(seed=seed)
            monkeypatch.setattr("augscope.images.transforms.get_worker_info", lambda worker=worker: worker)
            made.append(pickle.loads(pickle.dumps(cut))(images, torch.arange(8))[0].numpy().tobytes())
        assert len(set(made[:3])) == 3
        assert made[1] == made[3]

    @pytest.mark.slow
    def test_workers_and_epochs_draw_anew_and_again_with_the_same_seeds(self):
        images = torch.ones(8, 1, 16, 16)
        data = torch.utils.data.TensorDataset(images, torch.arange(8))

        def epochs(seed: int) -> list[list[bytes]]:
            cut = BoxCutout(8, num_classes=8, generator=seeded(3))
            loader = torch.utils.data.DataLoader(
                data,
                batch_size=4,
                num_workers=2,
                collate_fn=cut.collate,
                generator=seeded(seed),
                multiprocessing_context="spawn",
            )
            return [[made.numpy().tobytes() for made, _ in loader] for _ in range(2)]

        first = epochs(0)
        assert len({batch for epoch in first for batch in epoch}) == 4
        assert epochs(0) == first


class TestBridge:
    """On additive scores, a picture whose patch p of point i has value a_{i,p}: f is the sum over patches."""

    @pytest.mark.parametrize(
        ("transform", "method"),
        [
            (PatchCutMix((3, 4), num_classes=2, generator=seeded(11)), ag.CutMix()),
            (PatchCutout(5, (3, 4), num_classes=2, generator=seeded(12)), ag.Cutout(num_cut=5)),
        ],
        ids=["CutMix", "Cutout"],
    )
    def test_sampled_losses_are_the_exact_ones(self, transform, method):
        # A million draws in 100 batches, each of 5 points 2,000 times; standard error from the batches. 4 of these: 6e-5.
        scores, labels = np.random.default_rng(5).normal(0, 1, (5, 12)), np.array([1, -1, 1, 1, -1])
        images = torch.from_numpy(scores).view(5, 1, 3, 4).repeat(2_000, 1, 1, 1)
        classes = torch.from_numpy((labels + 1) // 2).repeat(2_000)
        losses = []
        for _ in range(100):
            mixed, soft = transform(images, classes)
            outputs = mixed.sum(dim=(1, 2, 3))
            ell = torch.nn.functional.softplus
            losses.append(float((soft[:, 1] * ell(-outputs) + soft[:, 0] * ell(outputs)).mean()))
        error = np.std(losses, ddof=1) / 10
        exact = float(method.loss(scores, labels))
        assert abs(np.mean(losses) - exact) <= 4 * error
        assert 0 < error < 2e-3 * exact


class TestPictures:
    def test_bundled_pictures_make_a_picture(self):
        rows = draw_panels(bundled_pictures(64), grid=4, num_cut=6, seed=0)
        assert [panel.title for panel in rows[0]] == [
            "original",
            "Cutout, patches",
            "Cutout, box",
            "CutMix, patches",
            "CutMix, box",
        ]
        for row in rows:
            assert all(sum(panel.labels.values()) == pytest.approx(1) for panel in row)
            assert all(0.2 <= panel.labels[row[0].name] <= 0.8 for panel in row[3:])
        assert gallery(rows, "png").startswith(b"\x89PNG")

    def test_names_that_the_font_lacks_make_a_picture_too(self):
        pictures = [Picture(name, picture.pixels) for name, picture in zip("日$", bundled_pictures(32), strict=True)]
        assert gallery(draw_panels(pictures, grid=4, num_cut=6, seed=0), "png").startswith(b"\x89PNG")

    def test_what_cannot_be_read_is_named_and_the_rest_goes_on(self, tmp_path):
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "good.png")
        Image.fromarray(noise).resize((640, 40)).save(tmp_path / "long.png")
        Image.fromarray(noise).resize((9, 9)).save(tmp_path / "tiny.png")
        (tmp_path / "text.jpg").write_text("hello")
        (tmp_path / "empty.png").touch()
        Image.fromarray(noise).save(tmp_path / "whole.jpg")
        (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:800])
        names = ["good.png", "long.png", "tiny.png", "text.jpg", "empty.png", "cut.jpg", "nowhere.png"]
        pictures, refused, notes = read_pictures([tmp_path / name for name in names], 32)
        assert [picture.name for picture in pictures] == ["good", "long", "tiny"]
        assert all(picture.pixels.shape == (32, 32, 3) for picture in pictures)
        reasons = [
            "it is none of PNG, JPEG, GIF",
            "the file is empty",
            "image file is truncated",
            "no such file or directory",
        ]
        for sentence, name, reason in zip(refused, names[3:], reasons, strict=True):
            assert sentence.startswith(f"{tmp_path / name} cannot be shown: {reason}")
        assert [note.split(" is ", 1)[1] for note in notes] == [
            "640×40 pixels: only its middle square is shown",
            "9×9 pixels, and is enlarged",
        ]

    def test_an_image_of_another_kind_starts_no_program(self, tmp_path, monkeypatch):
        """Pillow gives PostScript, whatever the file is called, to the first `gs` on the path."""
        (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
        (tmp_path / "gs").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        postscript = tmp_path / "holiday.jpg"
        postscript.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n%%EOF\n")
        for kind in ("avif", "ico", "jp2", "tga"):
            Image.new("RGB", (64, 64)).save(tmp_path / f"image.{kind}")
        others = [postscript, *sorted(tmp_path.glob("image.*"))]
        pictures, refused, _ = read_pictures(others, 32)
        assert pictures == []
        assert len(refused) == len(others) == 5
        assert all("it is none of PNG, JPEG, GIF, BMP, WEBP, TIFF, PPM" in sentence for sentence in refused)
        assert not (tmp_path / "started").exists()

    def test_a_pipe_is_no_file(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.png")
        assert "it is no file" in read_pictures([tmp_path / "pipe.png"], 32)[1][0]

    @pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "bmp", "webp", "tiff", "ppm"])
    def test_damage_anywhere_is_a_sentence_or_without_effect(self, kind, tmp_path):
        exif, noise = Image.Exif(), np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
        exif[0x0112] = 6
        Image.fromarray(noise).save(tmp_path / f"whole.{kind}", exif=exif)
        content, draws = (tmp_path / f"whole.{kind}").read_bytes(), np.random.default_rng(1)
        for _ in range(60):
            damaged = bytearray(content[: draws.integers(1, len(content))] if draws.random() < 0.3 else content)
            for place in draws.integers(min(len(damaged), 400), size=3):
                damaged[place] = draws.integers(256)
            (tmp_path / "damaged").write_bytes(damaged)
            pictures, refused, _ = read_pictures([tmp_path / "damaged"], 32)
            assert len(pictures) + len(refused) == 1


def test_importing_augscope_loads_no_torch():
    code = "import sys, augscope, augscope.images, augscope.laws, augscope.cli; assert not {'torch', 'jax'} & set(sys.modules)"
    assert run_code(code).returncode == 0
