"""What an audit trains, as one value. Needs no PyTorch."""

from __future__ import annotations

from pydantic import field_validator

from augscope.images.plan import METHODS, TrainingOptions, TrainingPlan
from augscope.support.values import check

REFERENCE = "erm"  # what the other methods are compared with


class Settings(TrainingOptions):
    """What an audit trains: a network with each method from each seed."""

    methods: tuple[str, ...] = tuple(METHODS)
    "erm, and any of cutout-patch, cutout-box, cutmix-patch, cutmix-box."
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    "Of each method's trainings; at least two."

    @field_validator("methods")
    @classmethod
    def _check_methods(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        for name in methods:
            check(name in METHODS, f"`methods` must be of {', '.join(METHODS)}, got {name!r}")
        check(len(set(methods)) == len(methods), f"`methods` must differ, got {', '.join(methods)}")
        enough = REFERENCE in methods and len(methods) >= 2
        check(
            enough, f"`methods` must hold erm, which the others are held against, and another, got {', '.join(methods)}"
        )
        return tuple(sorted(methods, key=list(METHODS).index))

    @field_validator("seeds")
    @classmethod
    def _check_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        check(len(set(seeds)) == len(seeds), f"`seeds` must differ, got {seeds}")
        check(len(seeds) >= 2, f"`seeds` must be at least two: one training says nothing of the next, got {seeds}")
        check(all(seed >= 0 for seed in seeds), f"`seeds` must be at least 0, got {seeds}")
        return seeds

    def plans(self) -> list[TrainingPlan]:
        """Return the plan of every training: all methods of a seed before the next seed."""
        return [self.plan(method, seed) for seed in self.seeds for method in self.methods]
