"""Augmentations of image batches whose law is certified, pictures of them, and trainings with them. Needs the extra `augscope[images]`.

Names are loaded on first use: neither `import augscope` nor `augscope --help` waits for PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from augscope.support.extras import needs_extra

if TYPE_CHECKING:
    from augscope.images.kept import KeptTrainings
    from augscope.images.plan import TrainingOptions, TrainingPlan
    from augscope.images.training import Diverged, StepSeconds, TrainedNetwork, seconds_per_step, train_network
    from augscope.images.transforms import BoxCutMix, BoxCutout, Mixup, PatchCutMix, PatchCutout

_MODULES = {
    "transforms": ("BoxCutMix", "BoxCutout", "Mixup", "PatchCutMix", "PatchCutout"),
    "plan": ("TrainingOptions", "TrainingPlan"),
    "training": ("Diverged", "StepSeconds", "TrainedNetwork", "seconds_per_step", "train_network"),
    "kept": ("KeptTrainings",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "BoxCutMix",
    "BoxCutout",
    "Diverged",
    "KeptTrainings",
    "Mixup",
    "PatchCutMix",
    "PatchCutout",
    "StepSeconds",
    "TrainedNetwork",
    "TrainingOptions",
    "TrainingPlan",
    "seconds_per_step",
    "train_network",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'augscope.images' has no attribute {name!r}")
    with needs_extra(f"augscope.images.{name}", "images"):
        return getattr(import_module(f"augscope.images.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
