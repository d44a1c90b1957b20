"""Models by name or import path, and one training: same seed same bits, same batches for every method, bad input."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import nn

from augscope.images.models import build_model
from augscope.images.training import (
    METHODS,
    Diverged,
    Scaling,
    batches,
    fit,
    make_transform,
    predict,
    rate,
    transform_generator,
)

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


def trained(model: nn.Module, method: str = "erm", **changes) -> nn.Module:
    images, labels = problem()
    transform = make_transform(method, num_classes=2, size=8, generator=transform_generator(1), grid=4)
    options = {"steps": 6, "batch_size": 16, "learning_rate": 3e-3, "seed": 1, "device": "cpu", **changes}
    fit(model, images, labels, num_classes=2, transform=transform, scaling=Scaling.of(images), **options)
    return model


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
        one, again = trained(build(f"{mine}:Wide(9)"), method), trained(build(f"{mine}:Wide(9)"), method)
        assert same(one, again)
        assert not same(one, trained(build(f"{mine}:Wide(9)"), method, seed=2))

    def test_every_method_sees_the_same_batches(self, monkeypatch):
        images, labels = problem()
        seen = {"erm": [], "mixed": []}

        def spy(name):
            def look(batch, target):
                seen[name].append(target.tolist())
                return (batch + torch.rand(1) if name == "mixed" else batch), target

            return look

        for name in seen:
            fit(
                build("small"),
                images,
                labels,
                num_classes=2,
                transform=spy(name),
                steps=4,
                batch_size=16,
                learning_rate=1e-3,
                seed=7,
                device="cpu",
            )
        assert seen["erm"] == seen["mixed"]

    def test_an_epoch_is_a_fresh_order_of_all_images(self):
        chosen = torch.cat(list(batches(10, 4, 5, seed=0)))
        epochs = chosen.view(2, 10)
        assert all(sorted(epoch.tolist()) == list(range(10)) for epoch in epochs)
        assert not torch.equal(*epochs)
        longer = torch.cat(list(batches(10, 4, 7, seed=0)))
        assert torch.equal(longer[:20], chosen)  # a longer budget begins alike

    @pytest.mark.parametrize("method", METHODS)
    def test_every_method_learns_what_is_easy(self, method):
        model = trained(build("small"), method, steps=60)
        images, labels = problem()
        logits = predict(model, images, batch_size=7, scaling=Scaling.of(images))
        assert logits.shape == (48, 2)
        assert (logits.argmax(dim=1) == labels).float().mean() == 1

    def test_predictions_do_not_depend_on_their_batches(self):
        model, images = trained(build("resnet")), problem()[0]
        scaling = Scaling.of(images)
        one, other = (predict(model, images, size, scaling=scaling) for size in (48, 5))
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)  # float32: kernels differ with the batch

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
        ],
    )
    def test_bad_arguments(self, changes, sentence):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            trained(build("small"), **changes)
        with pytest.raises(ValueError, match=r"`labels` must be in \[0, 2\), got 2"):
            fit(
                build("small"),
                problem()[0],
                torch.arange(48) % 3,
                num_classes=2,
                transform=None,
                steps=1,
                batch_size=4,
                learning_rate=1e-3,
                seed=0,
                device="cpu",
            )

    def test_a_loss_that_is_not_finite_is_said(self, mine):
        with pytest.raises(Diverged, match="the loss is nan at step 25: a lower `learning_rate` may help"):
            trained(build(f"{mine}:Wide(9)"), steps=50, learning_rate=1e30)

    def test_bad_methods_and_grids(self):
        generator = torch.Generator()
        with pytest.raises(ValueError, match=r"`methods` must be of erm, cutout-patch, .*, got 'mixup'"):
            make_transform("mixup", num_classes=2, size=8, generator=generator)
        with pytest.raises(ValueError, match="`grid` must be at least 2 and divide `size`, got 3 for 8 pixels"):
            make_transform("cutmix-patch", num_classes=2, size=8, generator=generator, grid=3)
