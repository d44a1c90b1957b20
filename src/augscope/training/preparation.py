"""Runs of an experiment from several seeds, checked before they begin: what they will take, and making them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from augscope.model.arrays import check_precision
from augscope.support.values import checked_seeds
from augscope.training.cost import Cost, measure_cost
from augscope.training.experiment import Experiment
from augscope.training.kept_runs import KeptRuns
from augscope.training.seed_run import SeedRun
from augscope.training.seeds import run_seeds


@dataclass(frozen=True)
class PreparedRuns:
    """Every method of an experiment from every seed, ready to be trained; get them from `prepare_runs`.

    Attributes:
        experiment, seeds: what is to be run.
        kept: where finished runs are kept, or None.
    """

    experiment: Experiment
    seeds: tuple[int, ...]
    kept: KeptRuns | None

    @cached_property
    def cost(self) -> Cost:
        """What it will take, measured on some steps of each method. Raises ValueError if a kept run is not whole."""
        kept = None if self.kept is None else self.kept.count(self.seeds)
        return measure_cost(self.experiment, len(self.seeds), kept)

    def run(self, progress: Callable[[str, float], Any] | None = None) -> tuple[list[SeedRun], bool]:
        """Train; return the runs in order of seed and method, and whether Ctrl-C ended it early."""
        return run_seeds(self.experiment, self.seeds, progress, kept=self.kept)


def prepare_runs(experiment: Experiment, seeds: Iterable[int], checkpoint: str | Path | None = None) -> PreparedRuns:
    """Check that an experiment can be run from these seeds, without running it.

    Args:
        experiment: what to run.
        seeds: distinct integers from 0 to 2⁶³ − 1, at least one.
        checkpoint: a folder in which to keep runs as they finish, and descents under way; what it holds is not run again.

    Raises:
        ValueError: on bad seeds, float64 not enabled, a sample that does not fit into memory, or another experiment's folder.
    """
    chosen = checked_seeds(seeds)
    check_precision(np.float64)
    experiment.check_memory()
    return PreparedRuns(experiment, chosen, None if checkpoint is None else KeptRuns(checkpoint, experiment))
