"""Models by name or import path, and trainings: same seed same bits, same batches for every method, bad input, what is kept."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from torch import nn

from augscope.images import KeptTrainings, TrainedNetwork, TrainingOptions, TrainingPlan, train_network
from augscope.images.augmentation import augmentation
from augscope.images.kept import training_versions
from augscope.images.models import build_model
from augscope.images.plan import METHODS
from augscope.images.training import Diverged, Scaling, batches, rate, seconds_per_step

torch.set_num_threads(1)  # small batches in parallel test processes: more threads only wait for each other

MINE = """
import torch
from torch import nn

class Wide(nn.Module):
    def __init__(self, width, num_classes, in_channels, image_size):
        super().__init__()
        self.inner = nn.Linear(in_channels * image_size**2, width)
        self.outer = nn.Linear(width, num_classes)
        self.drop = nn.Dropout(0.5)
    def forward(self, images):
        return self.outer(self.drop(torch.relu(self.inner(images.flatten(1)))))

class Weighted(nn.Module):
    def __init__(self):
        super().__init__()
        self.unused = nn.Linear(1, 1)

class OneLogit(Weighted):
    def forward(self, images):
        return images.mean(dim=(2, 3))[:, :1]

class Fails(Weighted):
    def forward(self, images):
        raise RuntimeError("no such size")

class NotANumber(Weighted):
    def forward(self, images):
        return images.mean(dim=(2, 3))[:, :2] * float("nan")

class Recorder(Wide):
    seen = []  # the batches of all its trainings
    def forward(self, images):
        if self.training:
            self.seen.append(images.clone())
        return super().forward(images)

def number(): return 3
made = OneLogit()
"""


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "mine.py"
    path.write_text(MINE)
    return str(path)


def problem(count: int = 48, size: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """Bytes of noise, brighter above for label 1."""
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(0, 120, (count, 2, size, size), dtype=torch.uint8, generator=generator)
    labels = torch.arange(count) % 2
    images[labels == 1, :, : size // 2] += 100
    return images, labels


def trained(model: str, method: str = "erm", **changes) -> TrainedNetwork:
    images, labels = problem()
    options = {"steps": 6, "batch_size": 16, "learning_rate": 3e-3, "seed": 1, **changes}
    return train_network(TrainingPlan(model=model, method=method, **options), images, labels, num_classes=2)


def build(name: str, seed: int = 0) -> nn.Module:
    return build_model(name, channels=2, size=8, num_classes=2, seed=seed)


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


class TestModels:
    @pytest.mark.parametrize("name", ["small", "resnet"])
    @pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 20)])
    def test_any_channels_and_size(self, name, channels, size):
        model = build_model(name, channels=channels, size=size, num_classes=5, seed=0)
        assert model(torch.zeros(3, channels, size, size)).shape == (3, 5)

    def test_a_seed_alone_decides_the_initialisation(self):
        torch.manual_seed(5)
        state = torch.get_rng_state()
        assert same(build("small"), build("small"))
        assert not same(build("small"), build("small", seed=1))
        assert torch.equal(torch.get_rng_state(), state)

    def test_ones_own_model_gets_what_it_has_parameters_for(self, mine):
        model = build(f"{mine}:Wide(5)")
        assert model.inner.weight.shape == (5, 2 * 8 * 8)
        assert same(model, build(f"{mine}:Wide(width=5)"))

    @pytest.mark.parametrize(
        ("name", "sentence"),
        [
            ("large", "`model` must be small, resnet or an import path package.module:Class, got 'large'"),
            (":number", "`model` must be a torch.nn.Module, got .* which is a int"),
            (":made", "`model` must be a class or a function that makes a model"),
            (":Nothing", "`model` could not be imported, got .* has no 'Nothing'"),
            (":Wide", r"`model` could not be made, got .*TypeError: .*'width'"),
            (":Wide(open('x'))", "`model` must be a name, or a name with literal arguments"),
            (":OneLogit", r"`model` must return logits of shape \(N, 2\) for N images, got .* returned \(2, 1\)"),
            (":Fails", r"`model` must take images of shape \(2, 2, 8, 8\), got .* raised RuntimeError: no such size"),
            (":NotANumber", "`model` must return finite logits"),
        ],
    )
    def test_what_is_no_classifier_is_refused(self, name, sentence, mine):
        with pytest.raises(ValueError, match=sentence):
            build(f"{mine}{name}" if name.startswith(":") else name)

    def test_images_that_are_too_small(self):
        with pytest.raises(ValueError, match="`size` must be at least 8 pixels for a built-in model, got 7"):
            build_model("small", channels=1, size=7, num_classes=2, seed=0)


class TestTraining:
    @pytest.mark.parametrize("method", METHODS)
    def test_the_same_seed_gives_the_same_bits(self, method, mine):
        one, again, other = (trained(f"{mine}:Wide(9)", method, seed=seed) for seed in (1, 1, 2))
        assert same(one.model, again.model)
        assert not same(one.model, other.model)

    def test_every_method_sees_the_same_batches(self, mine):
        """A model keeps what it sees. With p = 0 an augmentation makes all its draws and changes nothing."""
        seen = {}
        for method in METHODS:
            network = trained(f"{mine}:Recorder(9)", method, p=0.0, seed=7)
            seen[method] = torch.cat(network.model.seen[-6:])
        assert all(torch.equal(images, seen["erm"]) for images in seen.values())
        assert not torch.equal(torch.cat(trained(f"{mine}:Recorder(9)", seed=8).model.seen[-6:]), seen["erm"])

    def test_an_epoch_is_a_fresh_order_of_all_images(self):
        chosen = torch.cat(list(batches(10, 4, 5, seed=0)))
        epochs = chosen.view(2, 10)
        assert all(sorted(epoch.tolist()) == list(range(10)) for epoch in epochs)
        assert not torch.equal(*epochs)
        longer = torch.cat(list(batches(10, 4, 7, seed=0)))
        assert torch.equal(longer[:20], chosen)  # a longer budget begins alike

    @pytest.mark.parametrize("method", METHODS)
    def test_every_method_learns_what_is_easy(self, method):
        network = trained("small", method, steps=60)
        images, labels = problem()
        logits = network.predict(images, batch_size=7)
        assert logits.shape == (48, 2)
        assert (logits.argmax(dim=1) == labels).float().mean() == 1

    def test_predictions_do_not_depend_on_their_batches(self):
        network, images = trained("resnet"), problem()[0]
        one, other = (network.predict(images, size) for size in (48, 5))
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)  # float32: kernels differ with the batch

    def test_arrays_are_taken_as_tensors_are(self):
        images, labels = (tensor.numpy() for tensor in problem())
        plan = TrainingPlan(steps=6, batch_size=16, learning_rate=3e-3, seed=1)
        assert same(train_network(plan, images, labels, num_classes=2).model, trained("small").model)

    def test_a_step_is_timed_without_training_to_the_end(self):
        images, labels = problem()
        seconds = seconds_per_step(TrainingPlan(steps=10**9, batch_size=16), images, labels, num_classes=2)
        assert 0 < seconds.low <= seconds.high

    def test_scaling_is_that_of_the_pixels(self):
        images = problem()[0]
        images[:, 1] = 7  # a channel that never varies
        scaled = Scaling.of(images)(images).double()
        np.testing.assert_allclose(scaled.mean(dim=(0, 2, 3)), 0, atol=1e-5)
        np.testing.assert_allclose(scaled[:, 0].std(correction=0), 1, rtol=1e-5)

    def test_the_rate_rises_and_falls(self):
        rates = [rate(step, 100) for step in range(100)]
        assert max(rates) == 1
        assert rates.index(1) in (4, 5)
        assert rates[0] == 0.2
        assert 0 < rates[-1] < 1e-3
        assert rate(0, 1) == 1

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"steps": 0}, "`steps` must be at least 1, got 0"),
            ({"batch_size": 2.5}, "`batch_size` must be a whole number, got 2.5"),
            ({"learning_rate": 0}, "`learning_rate` must be above 0, got 0"),
            ({"weight_decay": -1.0}, "`weight_decay` must be at least 0, got -1.0"),
            ({"num_cut": 0}, "`num_cut` must be at least 1, got 0"),
            ({"box": 0}, "`box` must be at least 1, got 0"),
            ({"alpha": 0}, "`alpha` must be above 0, got 0"),
            ({"p": 1.5}, "`p` must be in [0, 1], got 1.5"),
            ({"seed": -1}, "`seed` must be at least 0, got -1"),
            (
                {"method": "puzzle"},
                "`method` must be of erm, cutout-patch, cutout-box, cutmix-patch, cutmix-box, mixup or an import path",
            ),
            ({"rate": 1}, "`rate` is not a known field, got 1"),
        ],
    )
    def test_bad_plans(self, changes, sentence):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            TrainingPlan(**changes)

    @pytest.mark.parametrize(
        ("images", "labels", "sentence"),
        [
            ((48, 2, 8, 8), torch.arange(48) % 3, "`labels` must be in [0, 2), got 2"),
            ((48, 2, 8, 8), torch.arange(40) % 2, "`labels` must be class indices of shape (48,), got (40,)"),
            ((48, 2, 8, 9), torch.arange(48) % 2, "`images` must have shape (n, C, S, S), none of them 0"),
        ],
    )
    def test_images_and_labels_that_do_not_fit(self, images, labels, sentence):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            train_network(TrainingPlan(steps=1), torch.zeros(images), labels, num_classes=2)

    def test_a_loss_that_is_not_finite_is_said(self, mine):
        sentence = "CutMix .box., seed 1: the loss is nan at step 25: a lower `learning_rate` may help"
        with pytest.raises(Diverged, match=sentence):
            trained(f"{mine}:Wide(9)", "cutmix-box", steps=50, learning_rate=1e30)

    def test_grids_that_do_not_fit(self):
        with pytest.raises(ValueError, match="`grid` must be at least 2 and divide `size`, got 3 for 8 pixels"):
            augmentation(TrainingPlan(method="cutmix-patch", grid=3), num_classes=2, shape=(2, 8, 8))


class TestPlans:
    def test_a_plan_is_its_options_with_a_method_and_a_seed(self):
        options = TrainingOptions(steps=7, alpha=0.5)
        plan = options.plan("cutmix-box", 3)
        assert plan == TrainingPlan(steps=7, alpha=0.5, method="cutmix-box", seed=3)
        assert plan.shared == options.shared == options.model_dump(mode="json")
        assert plan.title == "CutMix (box), seed 3"


def kept_before(folder, plan: dict, arrays: dict) -> None:
    """Files of an audit's finished trainings as augscope wrote them before there was `KeptTrainings`."""
    settings = {"model": "small", "steps": 7, "batch_size": 64, "learning_rate": 0.002, "weight_decay": 0.0005}
    settings |= {"grid": 4, "num_cut": None, "box": None, "alpha": 1.0, "p": 1.0}
    owned = {"settings": settings, "data": "d", "model": "m"}
    name = "seed-{seed}-{method}.npz".format(**plan)
    for path, configuration, kept in (("audit.npz", owned, {}), (name, {**owned, **plan}, arrays)):
        about = {"format": 1, "configuration": configuration, "versions": training_versions("cpu")}
        np.savez(folder / path, about=np.array(json.dumps({**about, "names": sorted(kept)})), **kept)


class TestKept:
    OPTIONS, DATA = TrainingOptions(steps=7), {"data": "d", "model": "m"}

    def test_files_written_before_are_read(self, tmp_path):
        arrays = {"train": np.arange(3), "test": np.arange(2), "test_confidence": np.ones(2, np.float32)}
        kept_before(tmp_path, {"method": "cutmix-box", "seed": 4}, arrays)
        kept = KeptTrainings(tmp_path, "audit", self.OPTIONS, self.DATA)
        loaded = kept.load(self.OPTIONS.plan("cutmix-box", 4))
        assert sorted(loaded) == sorted(arrays)
        assert all(np.array_equal(loaded[name], arrays[name]) for name in arrays)
        assert kept.load(self.OPTIONS.plan("erm", 4)) is None
        with pytest.raises(ValueError, match=r"got .* with settings\.steps = 7, not 8"):
            KeptTrainings(tmp_path, "audit", TrainingOptions(steps=8), self.DATA)

    def test_a_plan_of_other_options_is_not_taken_for_these(self, tmp_path):
        kept = KeptTrainings(tmp_path, "study", self.OPTIONS, self.DATA)
        kept.save(self.OPTIONS.plan("erm", 0), {"train": np.arange(3)})
        with pytest.raises(ValueError, match=r"with settings\.steps = 7, not 9"):
            kept.load(self.OPTIONS.replace(steps=9).plan("erm", 0))
