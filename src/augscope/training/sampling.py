"""How steps are drawn, where a training does not descend the expected loss itself."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import model_validator

from augscope.model.methods import Method
from augscope.support.values import Value, check


class Sampling(Value):
    """How steps are drawn, where a training does not descend the expected loss itself.

    Each step takes the next points of a random order (a new order each epoch, in which no point comes twice; what is left
    over at its end is dropped), draws augmentations of each anew, with a partner out of all points where the method mixes,
    and moves by the gradient of their mean loss: an unbiased estimate of the exact one. With momentum β,
    v ← β v + gradient, W ← W − η v.

    Args:
        batch_size: points a step, from 1 to n; by default all.
        draws: augmentations of each point in a step, from 1 to 1,000.
        momentum: β in [0, 1).
    """

    batch_size: int | None = None
    draws: int = 1
    momentum: float = 0.0

    @model_validator(mode="after")
    def _check_each(self) -> Sampling:
        size = self.batch_size
        check(size is None or size >= 1, f"`batch_size` must be at least 1, got {size}")
        check(1 <= self.draws <= 1_000, f"`draws` must be from 1 to 1,000, got {self.draws}")
        check(0 <= self.momentum < 1, f"`momentum` must be in [0, 1), got {self.momentum}")
        return self

    def __str__(self) -> str:
        drawn = "an augmentation" if self.draws == 1 else f"{self.draws:,} augmentations"
        points = "every point" if self.batch_size is None else f"each of {self.batch_size:,} points"
        return f"{drawn} drawn of {points} in each step" + f", momentum {self.momentum:g}" * (self.momentum > 0)

    def check_fits(self, num_samples: int, methods: Iterable[Method]) -> None:
        """Raise ValueError unless so many points make a batch and every method's augmentation can be drawn."""
        size = self.batch_size
        check(size is None or size <= num_samples, f"`batch_size` must be at most n = {num_samples}, got {size}")
        for method in methods:
            known = method.can_draw
            check(known, f"`sampling` needs methods whose augmentation can be drawn: {method.title} defines no `draw`")
