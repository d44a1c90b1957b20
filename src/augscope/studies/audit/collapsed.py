"""Trainings of an audit that failed: the network guesses, while others of the same method have learned."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from augscope.images.plan import title
from augscope.studies.audit.design import Design
from augscope.support.statistics import clopper_pearson


class Collapsed(NamedTuple):
    """A network whose training failed.

    Attributes:
        method, seed: which.
        accuracy: on all test images.
        answer: the most frequent class of the test images.
        guessing: the accuracy of always giving that answer.
        best: the largest accuracy of the method's networks.
    """

    method: str
    seed: int
    accuracy: float
    answer: str
    guessing: float
    best: float

    @property
    def sentence(self) -> str:
        """What to tell of it."""
        return (
            f"The training of {title(self.method)} from seed {self.seed} failed: the network is right on "
            f"{100 * self.accuracy:.1f} % of the test images, where always answering “{self.answer}” is right on "
            f"{100 * self.guessing:.1f} % and the method's best network on {100 * self.best:.1f} %. A failed training is not "
            "noise: no interval here says how often it happens, and the method's figures mix both kinds."
        )


def collapsed_networks(design: Design, right: dict[str, np.ndarray]) -> tuple[Collapsed, ...]:
    """Return the networks that are not shown to beat guessing while at least half of their method's others clearly do.

    Guessing is always giving the most frequent class of the test images. By the exact 95 % intervals of the accuracies on all
    test images: that of a collapsed network does not lie above guessing; those of the others lie above both. With one seed there are
    no others, and none is returned.

    Args:
        design: what was trained.
        right: which test images each network predicts rightly, (S, n) by method.
    """
    if design.one_seed:
        return ()
    data = design.data
    counts, size = np.bincount(data.test.labels), len(data.test)
    answer, guessing = data.classes[counts.argmax()], float(counts.max() / size)
    networks = []
    for method in design.methods:
        shares = right[method].mean(axis=1).tolist()
        intervals = [clopper_pearson(int(number), size) for number in right[method].sum(axis=1)]
        for seed, share, (low, high) in zip(design.seeds, shares, intervals, strict=True):
            better = sum(other > max(guessing, high) for other, _ in intervals)
            if low <= guessing and 2 * better >= len(design.seeds) - 1:
                networks.append(Collapsed(method, seed, share, answer, guessing, max(shares)))
    return tuple(networks)
