"""The plan of a training on images: everything that decides it apart from the images, as one value. Needs no PyTorch."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, ValidationInfo, field_validator, model_validator

from augscope.support.values import Value, check, check_count, check_positive

METHODS = {
    "erm": "ERM",
    "cutout-patch": "Cutout (patches)",
    "cutout-box": "Cutout (box)",
    "cutmix-patch": "CutMix (patches)",
    "cutmix-box": "CutMix (box)",
    "mixup": "Mixup",
}


def title(method: str) -> str:
    """Return a method's name as people read it: its own, unless it is one of ours."""
    return METHODS.get(method, method)


def check_method(option: str, method: str) -> None:
    """Raise ValueError, naming the option, unless a method is one of ours or may be an import path."""
    known = f"{', '.join(METHODS)} or an import path package.module:Class(arguments)"
    check(method in METHODS or ":" in method, f"`{option}` must be of {known}, got {method!r}")


class TrainingOptions(Value):
    """What the trainings of a study have in common; `plan` gives each its method and its seed.

    Raises:
        ValueError: with a sentence naming the field, the rule and the value.
    """

    model_config = ConfigDict(use_attribute_docstrings=True)  # the descriptions are the command line's help texts too

    model: str = "small"
    """small, resnet, or your own, which maps images to logits,
    as `package.module:Class(arguments)` or `file.py:Class`."""
    steps: int = 1000
    "Updates in each training."
    batch_size: int = 64
    "Images an update; every epoch is a fresh random order, and no batch is short."
    learning_rate: float = 2e-3
    "Of AdamW, at its highest; it rises over the first 5 % of the steps, then falls as a cosine."
    weight_decay: float = 5e-4
    "Of AdamW."
    grid: int = 4
    "Rows and columns of patches; they must divide the size."
    num_cut: int | None = None
    "Patches that Cutout removes; by default a quarter of them."
    box: int | None = None
    "Side in pixels of Cutout's box; by default half the image's."
    alpha: float = 1.0
    "α of CutMix's box law and of Mixup's."
    p: float = 1.0
    "Probability that an image is transformed, by a method that is no import path."

    @field_validator("steps", "batch_size", "grid", "num_cut", "box", mode="before")
    @classmethod
    def _check_counts(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None:
            check_count(str(info.field_name), value)
        return value

    @field_validator("learning_rate", "alpha", mode="before")
    @classmethod
    def _check_positive_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        check_positive(str(info.field_name), value)
        return value

    @model_validator(mode="after")
    def _check_ranges(self) -> TrainingOptions:
        check(self.weight_decay >= 0, f"`weight_decay` must be at least 0, got {self.weight_decay}")
        check(0 <= self.p <= 1, f"`p` must be in [0, 1], got {self.p}")
        return self

    @property
    def shared(self) -> dict[str, Any]:
        """The fields that all trainings share, ready for JSON: what a folder of finished trainings belongs to."""
        return {name: getattr(self, name) for name in TrainingOptions.model_fields}

    def plan(self, method: str, seed: int) -> TrainingPlan:
        """Return the plan of one training. Raises ValueError as `TrainingPlan` does."""
        return TrainingPlan(**self.shared, method=method, seed=seed)


class TrainingPlan(TrainingOptions):
    """One training on images: with which augmentation, from which seed, for how long.

    Trainings whose plans differ in the method alone begin with the same weights and see the same batches in the same
    order, so that a difference between them is the augmentation's.

    Raises:
        ValueError: with a sentence naming the field, the rule and the value.
    """

    method: str = "erm"
    """erm, cutout-patch, cutout-box, cutmix-patch, cutmix-box, mixup, or an augmentation of anybody's,
    as `package.module:Class(arguments)` or `file.py:function`."""
    seed: int = 0
    "Of the first weights, the order of the images, and what augmentation and model draw."

    @model_validator(mode="after")
    def _check_method_and_seed(self) -> TrainingPlan:
        check_method("method", self.method)
        check(self.seed >= 0, f"`seed` must be at least 0, got {self.seed}")
        return self

    @property
    def title(self) -> str:
        """As people read it, such as "CutMix (box), seed 3"."""
        return f"{title(self.method)}, seed {self.seed}"
