"""Every form in which transforms take and return batches is read without an option, as docs/augmentation-laws.md has them; and what
a transform may not do ends in a sentence."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from commands import run_here
from mutants import MutantCutMix

from augscope.cli import law
from augscope.images import BoxCutout, Mixup
from augscope.laws import Claims, certify

torch.set_num_threads(1)  # small batches in parallel test processes: more threads only wait for each other

PAGE = (Path(__file__).parents[1] / "docs" / "augmentation-laws.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Your own code")[2].partition("\n## ")[0]
LINES = re.findall(r"`augscope (law check mix\.py:.*?)`", SECTION)
CALLED_WITH = {
    "flat": "(images, labels)",
    "nested": "(images, labels)",
    "each": "(images, labels)",
    "soft": "(images, labels)",
    "rows": "(images, labels)",
    "pair": "one tuple of images and labels",
    "collate": "a list of (image, label)",
    "batch": "a dict of a batch",
    "erase": "one image",
    "erase_labelled": "one image and its label",
    "erase_sample": "a dict of a sample",
    "erase_all": "a batch of images",
    "mix_arrays": "(images, labels)",
    "erase_levels": "one image",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the page's program."""
    path = tmp_path_factory.mktemp("forms")
    (path / "mix.py").write_text(SECTION.partition("```python\n")[2].partition("```")[0], encoding="utf-8")
    return path


class TestThePage:
    @pytest.mark.parametrize("line", LINES, ids=[line.split(":")[1].split()[0] for line in LINES])
    def test_each_line_gives_an_answer(self, line, folder):
        done = run_here(*line.split(), "--num-calls", "64", "--json", cwd=folder)
        certificate = json.loads(done.stdout)
        assert done.returncode == 0, certificate["checks"]
        name = line.split(":")[1].split()[0]
        assert certificate["coding"].startswith(f"Called with {CALLED_WITH[name]}. ")
        assert ("uint8 levels" in certificate["coding"]) == (name == "erase_levels")
        assert ("10 classes" in certificate["coding"]) == (name in ("soft", "batch"))

    def test_has_a_line_for_every_form(self):
        assert {line.split(":")[1].split()[0] for line in LINES} == set(CALLED_WITH)
        source = (Path(__file__).parents[1] / "benchmarks" / "law_forms.md").read_text(encoding="utf-8")
        assert source.rstrip() in PAGE


def cutmix(images, labels):
    """NumPy and channels last, as its author wrote it for nothing else."""
    count, height, width, _ = images.shape
    side = np.sqrt(np.random.rand())  # noqa: NPY002 - as people write it
    high, wide = int(height * side), int(width * side)
    y, x = np.random.randint(height - high + 1), np.random.randint(width - wide + 1)  # noqa: NPY002
    order, mixed = np.random.permutation(count), images.copy()  # noqa: NPY002
    mixed[:, y : y + high, x : x + wide] = images[order, y : y + high, x : x + wide]
    return mixed, labels, labels[order], 1 - high * wide / (height * width)


def anywhere(images):
    """Runs on one image as on a batch."""
    y, x = int(torch.randint(9, ())), int(torch.randint(17, ()))
    images = images.clone()
    images[..., y : y + 8, x : x + 8] = 0
    return images


def with_names(image_name, label_name):
    """CutMix of a batch in a dict with these names."""
    mutant = MutantCutMix("")

    def mix(batch):
        images, labels = mutant(batch[image_name], batch[label_name])
        return {image_name: images, label_name: labels}

    return mix


class TestTrials:
    def test_mistaken_axes_are_seen(self):
        certificate = certify(cutmix, num_calls=64)
        assert certificate.holds, certificate
        assert "numpy arrays, channels last" in certificate.coding

        def box(x):  # of one image (H, W, C), which a batch (N, H, W, C) and an image (C, H, W) let pass
            height, width = x.shape[:2]
            y, left = np.random.randint(height), np.random.randint(width)  # noqa: NPY002
            x = x.copy()
            x[max(y - 4, 0) : y + 4, max(left - 4, 0) : left + 4] = 0
            return x

        certificate = certify(box, claims=Claims(kind="cutout", size=(8, 8), boxes="clipped"), num_calls=64)
        assert certificate.holds, certificate
        assert certificate.coding.startswith("Called with one image. ")
        assert "numpy arrays, channels last" in certificate.coding

    def test_what_runs_in_two_forms_is_read_as_the_form_that_is_given(self):
        claims = Claims(kind="cutout", size=(8, 8), boxes="unclipped")
        batch = certify(anywhere, claims=claims, num_calls=64)
        assert batch.coding.startswith("Called with a batch of images. ")
        assert batch.defects == ("one draw for the whole batch",)
        assert "--per batch" in batch.hints[0]
        assert "--form) image" in batch.hints[0]
        single = certify(anywhere, claims=claims, form="image", num_calls=64)
        assert single.coding.startswith("Called with one image. ")
        assert (single.holds, single.hints) == (True, ())

    @pytest.mark.parametrize("names", [("image", "label"), ("pixel_values", "labels"), ("x", "y")])
    def test_dicts_go_by_several_names(self, names):
        certificate = certify(with_names(*names), num_calls=64)
        assert certificate.holds, certificate
        assert certificate.coding.startswith("Called with a dict of a batch. ")

    @pytest.mark.parametrize("wrap", ["tuple", "collate", "batch_dict"])
    def test_a_wrong_weight_is_seen_in_every_form(self, wrap):
        mutant = MutantCutMix("complement")
        forms = {
            "tuple": lambda batch: mutant(*batch),
            "collate": lambda samples: mutant(*torch.utils.data.default_collate(samples)),
            "batch_dict": lambda batch: mutant(batch["images"], batch["labels"]),
        }
        assert certify(forms[wrap], num_calls=64).defects == ("pasted share in place of its complement",)

    def test_class_indices_of_a_cutout_are_no_defect(self):
        certificate = certify(lambda images, labels: (anywhere(images), labels), num_calls=64)
        assert certificate.holds, certificate

    def test_a_form_and_what_goes_in_can_be_given(self):
        certificate = certify(cutmix, form="pair", arrays="numpy", layout="channels_last", dtype="uint8", num_calls=64)
        assert "uint8 levels" in certificate.coding
        with pytest.raises(ValueError, match="`form` is not valid"):
            certify(cutmix, form="sideways")
        with pytest.raises(ValueError, match=r"`labels` belong to a form that gives them \(pair, .*\), got image"):
            certify(cutmix, form="image", labels="one_hot")

    def test_parameters_that_nobody_gives_are_named(self):
        sentence = r"it takes \(images, labels, alpha\), .* parameters beyond these need defaults"
        with pytest.raises(ValueError, match=sentence):
            certify(lambda images, labels, alpha: images)

    def test_a_number_of_classes_that_is_wanted_is_hinted_at(self):
        mutant = MutantCutMix("")

        def few(images, labels):
            mixed, soft = mutant(images, labels)
            return mixed, soft[:, :10]

        assert "--num-classes" in certify(few, num_calls=64).hints[0]
        assert certify(few, num_classes=10, num_calls=64).holds


def in_place(images, labels):
    """Partners come from images that may have been mixed already."""
    order = torch.randperm(len(labels))
    for i, j in enumerate(order):
        images[i, :, :8] = images[j, :, :8]
    return images, labels, labels[order], 1 - 8 / images.shape[2]


class TestConduct:
    @pytest.mark.skipif(sys.platform == "win32", reason="no timer")
    def test_a_hang_is_interrupted_and_nothing_is_left_behind(self):
        def hangs(images, labels):
            while True:
                try:
                    time.sleep(60)
                except Exception:  # it does not stop at errors
                    continue

        threads = threading.active_count()
        with pytest.raises(
            ValueError, match=r"with \(images, labels\) it gave no answer within 0\.05 s\. `time_limit`"
        ):
            certify(hangs, time_limit=0.05)
        assert threading.active_count() == threads

    @pytest.mark.skipif(sys.platform == "win32", reason="no timer")
    def test_a_batch_size_at_which_it_hangs_is_named(self):
        mutant = MutantCutMix("")

        def hangs(images, labels):
            if len(images) == 7:
                time.sleep(600)
            return mutant(images, labels)

        certificate = certify(hangs, time_limit=1, num_calls=64)  # other calls take milliseconds
        assert certificate["other batch sizes"].evidence.startswith(
            "batches of 7: raises TimeLimit: no answer within 1 s"
        )

    @pytest.mark.parametrize("seconds", [0, -1, 1e9])
    def test_a_time_limit_is_a_time(self, seconds):
        with pytest.raises(ValueError, match="`time_limit` must be"):
            certify(cutmix, time_limit=seconds)

    def test_prints_are_counted_and_left_out(self, tmp_path):
        file = tmp_path / "loud.py"
        file.write_text('print("{")\ndef erase(image):\n    print("noise")\n    return image\n')
        done = run_here("law", "check", f"{file}:erase", "--num-calls", "64", "--json")
        certificate = json.loads(done.stdout)
        prints = next(check for check in certificate["checks"] if check["name"] == "prints")
        assert re.fullmatch(r"[\d,]+ lines, left out here", prints["evidence"])
        assert "noise" not in done.stdout + done.stderr

    def test_views_of_the_input_are_named(self):
        certificate = certify(lambda images, labels: (images, torch.eye(16)[labels]), num_calls=64)
        calls = int(certificate.measured["num_calls"])
        assert certificate["memory"].evidence.startswith(
            f"in {calls} of {calls} calls the images that come back are, or"
        )
        assert certificate["memory"].verdict == "reported"

    def test_one_array_for_all_that_comes_back(self):
        mix, kept = Mixup(num_classes=16), {}

        def reuse(images, labels):
            mixed, soft = mix(images, labels)
            place = kept.setdefault(len(images), torch.empty_like(images))
            place.copy_(mixed)
            return place, soft

        certificate = certify(reuse, claims=Claims(kind="mixup"), num_calls=64)
        assert certificate.holds, certificate

    def test_a_number_of_classes_that_changes_fails(self):
        def transform(images, labels):
            return images, torch.eye(16 + int(torch.randint(2, ())))[labels]

        certificate = certify(transform, num_calls=64)
        assert certificate["soft labels"].evidence.startswith(
            "the number of classes changes: 16 and 17 classes come back"
        )

    @pytest.mark.parametrize("library", ["PyTorch", "NumPy", "Python"])
    def test_seeded_global_generators_are_named(self, library):
        import random

        seed = {"PyTorch": torch.manual_seed, "NumPy": np.random.seed, "Python": random.seed}[library]
        mix = Mixup(num_classes=16)

        def transform(images, labels):
            seed(3)
            return mix(images, labels)

        certificate = certify(transform, claims=Claims(kind="mixup"), num_calls=64)
        assert certificate.defects[0] == "seeds a global generator"
        assert certificate["global generators"].evidence.startswith(
            f"the transform seeds the global generator of {library}:"
        )

    def test_a_gpu_that_is_not_there(self):
        if torch.cuda.is_available():
            pytest.skip("a GPU is there")
        with pytest.raises(
            ValueError, match=r"it raised \w+: .*It needs a GPU, and none is here: let it use the device"
        ):
            certify(lambda images, labels: (images.cuda(), labels))

    def test_partners_that_are_mixed_in_place(self):
        certificate = certify(in_place, num_calls=64)
        assert "input changed in place" in certificate.defects
        assert certificate.hints[-1].startswith("Partners are mixed in place during the batch")


class TestTime:
    def test_is_reported_after_every_call(self):
        reports = []
        certificate = certify(MutantCutMix(""), num_calls=64, progress=lambda *report: reports.append(report))
        shares = [share for _, share in reports]
        assert shares == sorted(shares)
        assert (len(reports), shares[-1]) == (certificate.measured["num_calls"], 1)
        assert all(seconds > 0 for seconds, _ in reports)

    def test_is_stated_first_where_it_is_long(self, folder, monkeypatch):
        monkeypatch.setattr(law, "LONG", 0.0)
        done = run_here("law", "check", "mix.py:flat", "--num-calls", "64", "--json", cwd=folder)
        assert re.match(r"It will take about [\d.]+ (s|ms|min)\.\n +\d+%  \d+ % of its calls\n", done.stderr)
        assert json.loads(done.stdout)["holds"]


def test_our_transforms_keep_the_kind_of_a_tensor(monkeypatch):
    class TVTensor(torch.Tensor):
        """As torchvision's: operations give plain tensors."""

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            made = super().__torch_function__(func, types, args, kwargs)
            return made.as_subclass(torch.Tensor) if isinstance(made, TVTensor) else made

    def wrap(made, *, like):
        return made.as_subclass(type(like))

    class Image(TVTensor):
        pass

    fake = SimpleNamespace(TVTensor=TVTensor, wrap=wrap)
    monkeypatch.setitem(sys.modules, "torchvision.tv_tensors", fake)  # torchvision itself is not needed for tests
    images = torch.rand(4, 3, 16, 16).as_subclass(Image)
    for transform in (BoxCutout(4, num_classes=4), Mixup(num_classes=4)):
        mixed, soft = transform(images, torch.arange(4))
        assert (type(mixed), type(soft)) == (Image, torch.Tensor)


class SeededByMethod:
    """A box of noise between an image's least and largest value, from a generator of its own, as in MONAI."""

    def __init__(self):
        self.state = np.random.RandomState()

    def set_random_state(self, seed):
        self.state = np.random.RandomState(seed)

    def __call__(self, image):
        image = image.clone()
        top, left = self.state.randint(0, 9), self.state.randint(0, 17)
        box = image[:, top : top + 8, left : left + 8]
        noise = self.state.uniform(float(image.min()), float(image.max()), box.shape)
        box.copy_(torch.from_numpy(noise) if self.state.uniform() < 0.5 else box.clone())
        return image


def test_noise_within_an_image_s_range_shows_and_a_state_of_its_own_is_seeded():
    claims = Claims(kind="cutout", size=8, boxes="unclipped", p=0.5)
    certificate = certify(SeededByMethod(), claims=claims, form="image", num_calls=64)
    assert certificate.holds, certificate


def test_a_switch_is_given_no_labels():
    def erase(image, randomize=True):
        image = image.clone()
        top, left = (int(torch.randint(side - 7, ())) for side in image.shape[-2:])
        if randomize:
            image[..., top : top + 8, left : left + 8] = 0
        return image

    certificate = certify(erase, claims=Claims(kind="cutout", size=8, boxes="unclipped"), num_calls=64)
    assert certificate.holds, certificate
    assert "Called with one image." in certificate.coding


def test_what_takes_no_labels_says_what_it_did_with_them():
    def mix(images, labels=None):
        if labels is not None and labels.ndim < 4:
            raise ValueError("unexpected number of dimensions")
        return (images + images.flip(0)) / 2

    certificate = certify(mix, num_calls=64)
    assert certificate.defects == ("labels are not mixed",)
    sentence = "given labels too, it raised ValueError: unexpected number of dimensions."
    assert certificate.hints == (f"It was called with images alone, so its labels stay: {sentence}",)


@pytest.mark.parametrize(
    ("labels", "weight", "sentence"),
    [
        (lambda labels: labels[1:], 0.5, "where y_a and y_b differ in shape"),
        (lambda labels: labels, np.full(8, 0.5), "where λ has 8 numbers for 16 labels"),
        (lambda labels: labels + 9, 0.5, "y_b of 9 to 24, which are no indices of 16 classes (`num_classes`)"),
    ],
)
def test_labels_that_do_not_fit_are_named(labels, weight, sentence):
    with pytest.raises(ValueError, match=r"^`target` cannot be checked") as refused:
        certify(lambda images, given: (images, given, labels(given), weight), form="pair", labels="indices")
    assert sentence in str(refused.value)


def test_a_box_that_does_not_fit_says_its_size_and_the_image_s():
    with pytest.raises(ValueError, match="got a box of 20×8 in an image of 16×24 pixels"):
        certify(BoxCutout(8), claims=Claims(kind="cutout", size=(20, 8), boxes="unclipped"), image_size=(16, 24))
