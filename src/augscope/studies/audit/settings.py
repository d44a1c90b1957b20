"""How an audit reads its images and what it trains, each as one value. Needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import field_validator, model_validator

from augscope.images.plan import TrainingOptions, TrainingPlan, check_method
from augscope.studies.audit.design import method_order, read_pairs
from augscope.support.values import check

REFERENCE = "erm"  # what the other methods are compared with
SMALLEST, LARGEST = 8, 1024  # allowed sides of the images, in pixels


@dataclass(frozen=True)
class Reading:
    """How the images are read. Raises ValueError if the size is out of range."""

    root: Path | None = None
    "Folder that the CSV's file names are relative to; by default its own."
    attributes: tuple[str, ...] | None = None
    "The columns of a CSV or Parquet to form subgroups by; by default all further ones but id."
    size: int | None = None
    "Side in pixels to which every image is scaled; by default its own up to 64."
    test_share: float = 0.25
    "Share of every subgroup that is drawn for testing where the data has no splits."
    split_seed: int = 0
    "Of that draw."

    def __post_init__(self) -> None:
        allowed = self.size is None or SMALLEST <= self.size <= LARGEST
        check(allowed, f"`size` must be in [{SMALLEST}, {LARGEST}], got {self.size}")
        check(self.split_seed >= 0, f"`split_seed` must be at least 0, got {self.split_seed}")


class Settings(TrainingOptions):
    """What an audit trains: a network with each method from each seed."""

    methods: tuple[str, ...] = ("erm", "cutout-patch", "cutout-box", "cutmix-patch", "cutmix-box")
    """erm, and any of cutout-patch, cutout-box, cutmix-patch, cutmix-box, mixup, or an augmentation of anybody's,
    as `package.module:Class(arguments)` or `file.py:function`."""
    pairs: tuple[str, ...] = ()
    "What else is compared than every method with erm, such as `mixup vs cutmix-box`."
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    "Of each method's trainings; at least two."

    @field_validator("methods")
    @classmethod
    def _check_methods(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        names = ", ".join(methods)
        for method in methods:
            check_method("methods", method)
        check(len(set(methods)) == len(methods), f"`methods` must differ, got {names}")
        enough = REFERENCE in methods and len(methods) >= 2
        check(enough, f"`methods` must hold erm, which the others are compared with, and another, got {names}")
        return tuple(sorted(methods, key=method_order))

    @field_validator("seeds")
    @classmethod
    def _check_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        check(len(set(seeds)) == len(seeds), f"`seeds` must differ, got {seeds}")
        check(len(seeds) >= 2, f"`seeds` must be at least two: one training says nothing of the next, got {seeds}")
        check(all(seed >= 0 for seed in seeds), f"`seeds` must be at least 0, got {seeds}")
        return seeds

    @model_validator(mode="after")
    def _check_pairs(self) -> Settings:
        read_pairs(self.pairs, self.methods, REFERENCE)
        return self

    def plans(self) -> list[TrainingPlan]:
        """Return the plan of every training: all methods of a seed before the next seed."""
        return [self.plan(method, seed) for seed in self.seeds for method in self.methods]
