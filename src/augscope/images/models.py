"""Image classifiers by name: two small ones that train on a CPU, or any `nn.Module` by import path."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from augscope.support.naming import Named, import_named
from augscope.support.values import check

BUILT_IN = ("small", "resnet")
SMALLEST = 8  # pixels: three halvings leave one


class Small(nn.Module):
    """Three 3 × 3 convolutions with batch normalisation and pooling, averaged over positions, then a linear layer.

    About 94,000 weights for three channels; any size from 8 × 8.
    """

    def __init__(self, channels: int, num_classes: int, width: int = 32) -> None:
        super().__init__()
        widths = [channels, width, 2 * width, 4 * width]
        layers: list[nn.Module] = []
        for entering, leaving in pairwise(widths):
            layers += [_convolution(entering, leaving), nn.BatchNorm2d(leaving), nn.ReLU(), nn.MaxPool2d(2)]
        self.features, self.classify = nn.Sequential(*layers), nn.Linear(widths[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, K)."""
        return self.classify(self.features(images).mean(dim=(2, 3)))


class Block(nn.Module):
    """Two 3 × 3 convolutions and the way around them (He et al. 2016, the basic block)."""

    def __init__(self, entering: int, leaving: int, stride: int) -> None:
        super().__init__()
        self.first, self.first_norm = _convolution(entering, leaving, stride), nn.BatchNorm2d(leaving)
        self.second, self.second_norm = _convolution(leaving, leaving), nn.BatchNorm2d(leaving)
        self.around = nn.Sequential()  # the identity
        if stride != 1 or entering != leaving:
            self.around.extend([nn.Conv2d(entering, leaving, 1, stride, bias=False), nn.BatchNorm2d(leaving)])

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H / stride, W / stride)."""
        inner = torch.relu(self.first_norm(self.first(images)))
        return torch.relu(self.second_norm(self.second(inner)) + self.around(images))


class ResNet(nn.Module):
    """A small residual network: a convolution, a basic block for each of three widths, the mean over positions, a linear layer.

    About 308,000 weights for three channels; any size from 8 × 8.
    """

    def __init__(self, channels: int, num_classes: int, width: int = 32) -> None:
        super().__init__()
        self.stem, self.stem_norm = _convolution(channels, width), nn.BatchNorm2d(width)
        self.blocks = nn.Sequential(Block(width, width, 1), Block(width, 2 * width, 2), Block(2 * width, 4 * width, 2))
        self.classify = nn.Linear(4 * width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, K)."""
        entered = torch.relu(self.stem_norm(self.stem(images)))
        return self.classify(self.blocks(entered).mean(dim=(2, 3)))


def _convolution(entering: int, leaving: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(entering, leaving, 3, stride, padding=1, bias=False)  # normalisation follows, and has a bias


def build_model(name_or_path: str, *, channels: int, size: int, num_classes: int, seed: int) -> nn.Module:
    """Return a freshly initialised classifier, on the CPU.

    Args:
        name_or_path: "small", "resnet", or an import path such as `package.module:Class(width=8)` or `file.py:function`.
            Where what it names has parameters `num_classes`, `channels` (or `in_channels`) or `size` (or `image_size`)
            that the path does not give, they are filled in.
        channels, size: of the images, (channels, size, size).
        num_classes: how many there are, K.
        seed: of the initialisation: every random number that making the model takes from PyTorch's CPU generator.
            The state of that generator outside is left as it was.

    Raises:
        ValueError: if it cannot be imported or made, is no `nn.Module`, has no weights to train, or does not map images (N, channels, size, size)
            to logits (N, K), floating-point and finite, in training and in evaluation mode.
    """
    check(num_classes >= 2, f"`num_classes` must be at least 2, got {num_classes}")
    with torch.random.fork_rng(devices=[]):
        named = None if name_or_path in BUILT_IN else _named(name_or_path)  # a file may draw where it is first run
        torch.manual_seed(seed)
        if named is None:
            check(size >= SMALLEST, f"`size` must be at least {SMALLEST} pixels for a built-in model, got {size}")
            model = Small(channels, num_classes) if name_or_path == "small" else ResNet(channels, num_classes)
        else:
            sizes = {"channels": channels, "in_channels": channels, "size": size, "image_size": size}
            model = _made(named, name_or_path, {"num_classes": num_classes, **sizes})
        trainable = any(weight.requires_grad for weight in model.parameters())
        check(trainable, f"`model` must have weights to train, got {name_or_path!r}")
        _check_output(model, name_or_path, (2, channels, size, size), num_classes)
    return model


def _named(path: str) -> Named:
    check(":" in path, f"`model` must be {', '.join(BUILT_IN)} or an import path package.module:Class, got {path!r}")
    return import_named("model", path)


def _made(named: Named, path: str, known: dict[str, int]) -> nn.Module:
    exists = isinstance(named.value, nn.Module)
    made = named.value if exists else named.make(known)
    kind = type(made).__name__
    check(isinstance(made, nn.Module), f"`model` must be a torch.nn.Module, got {path!r}, which is a {kind}")
    check(
        not exists,
        f"`model` must be a class or a function that makes a model, got {path!r}, a model that exists: "
        "every training begins with a fresh one",
    )
    return made


def _check_output(model: nn.Module, name: str, shape: tuple[int, ...], num_classes: int) -> None:
    """Feed two images of noise, in evaluation and in training mode, and leave the model's statistics as they were."""
    before = {key: value.clone() for key, value in model.state_dict().items()}
    for training in (False, True):
        model.train(training)
        try:
            with torch.no_grad():
                logits = model(torch.randn(shape))
        except Exception as error:  # whatever a foreign model raises becomes a sentence
            reason = f"{type(error).__name__}: {error}"
            raise ValueError(
                f"`model` must take images of shape {shape}, got {name!r}, which raised {reason}"
            ) from None
        good = isinstance(logits, Tensor) and logits.shape == (shape[0], num_classes) and logits.is_floating_point()
        kind = f"{tuple(logits.shape)} of {logits.dtype}" if isinstance(logits, Tensor) else type(logits).__name__
        check(
            good,
            f"`model` must return logits of shape (N, {num_classes}) for N images, got {name!r}, "
            f"which returned {kind} for N = {shape[0]}",
        )
        finite = bool(torch.isfinite(logits).all())
        check(finite, f"`model` must return finite logits, got {name!r} with NaN or infinity")
    model.load_state_dict(before)
