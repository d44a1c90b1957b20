"""How steps are drawn, where a training does not descend the expected loss itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import model_serializer, model_validator

from augscope.model.methods import Method
from augscope.support.values import Value, check


class Sampling(Value):
    """How steps are drawn, where a training does not descend the expected loss itself.

    Each step takes the next points of a random order (a new order each epoch, in which no point comes twice; what is left
    over at its end is dropped), draws augmentations of each anew, with a partner out of all points where the method mixes,
    and moves by the gradient of their mean loss: an unbiased estimate of the exact one. With momentum β and weight decay λ,
    v ← β v + gradient + λ W, W ← W − η v, as in PyTorch's SGD. What is measured stays the loss without the decay's penalty.
    Decay shrinks W(0) too, also what lies outside the coordinates of a reduced dataset: take a run's accuracy from its history,
    as `dataset.residual_gram` belongs to W(0). With momentum and λη > (1 − √β)², W(0)'s share swings through 0.

    Args:
        batch_size: points a step, from 1 to n; by default all.
        draws: augmentations of each point in a step, from 1 to 1,000; by default 1.
        momentum: β in [0, 1); by default 0.
        weight_decay: λ ≥ 0 of W ← W − η (… + λ W); by default 0. λ η must be below 1.
    """

    batch_size: int | None = None
    draws: int = 1
    momentum: float = 0.0
    weight_decay: float = 0.0

    @model_serializer(mode="wrap")
    def _as_before_decay(self, fields: Any) -> dict[str, Any]:
        """The fields; without decay those that there were before it, so that what was kept then is found."""
        written = fields(self)
        if not self.weight_decay:
            del written["weight_decay"]
        return written

    @model_validator(mode="after")
    def _check_each(self) -> Sampling:
        size = self.batch_size
        check(size is None or size >= 1, f"`batch_size` must be at least 1, got {size}")
        check(1 <= self.draws <= 1_000, f"`draws` must be from 1 to 1,000, got {self.draws}")
        check(0 <= self.momentum < 1, f"`momentum` must be in [0, 1), got {self.momentum}")
        check(self.weight_decay >= 0, f"`weight_decay` must be at least 0, got {self.weight_decay}")
        return self

    def __str__(self) -> str:
        drawn = "an augmentation" if self.draws == 1 else f"{self.draws:,} augmentations"
        points = "every point" if self.batch_size is None else f"each of {self.batch_size:,} points"
        momentum = f", momentum {self.momentum:g}" * (self.momentum > 0)
        decay = f", weight decay {self.weight_decay:g}" * (self.weight_decay > 0)
        return f"{drawn} drawn of {points} in each step{momentum}{decay}"

    def check_fits(self, num_samples: int, methods: Iterable[Method], step_size: float) -> None:
        """Raise ValueError unless so many points make a batch, every method's augmentation can be drawn, and decay leaves something of the filters in a step."""
        size = self.batch_size
        check(size is None or size <= num_samples, f"`batch_size` must be at most n = {num_samples}, got {size}")
        for method in methods:
            known = method.can_draw
            check(known, f"`sampling` needs methods whose augmentation can be drawn: {method.title} defines no `draw`")
        shrinking = self.weight_decay * step_size
        check(shrinking < 1, f"`weight_decay` times `step_size` must be below 1, got {shrinking:g}")
