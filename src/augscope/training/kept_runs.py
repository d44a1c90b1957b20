"""Finished runs kept in a folder, so that many seeds that were stopped go on where they stood."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from augscope.model.methods import Method
from augscope.support.kept_file import KeptFile, check_whole, damage_in_words
from augscope.support.kept_folder import KeptFolder
from augscope.training.checkpoint import Checkpoint
from augscope.training.experiment import Experiment
from augscope.training.seed_run import SeedRun


class KeptRuns:
    """A folder with a file for each finished run, and one for each descent that is under way.

    Args:
        folder: made at once.
        experiment: whose runs these are; the folder of another one, or of another version, is refused at once.

    Raises:
        ValueError: in that case, or if the folder cannot be written.
    """

    def __init__(self, folder: str | Path, experiment: Experiment) -> None:
        self._experiment = experiment
        self._loaded: dict[tuple[int | None, Method], SeedRun] = {}  # so that nothing is read twice
        self._kept = KeptFolder(folder, "experiment", {"experiment": experiment.model_dump(mode="json")}, Checkpoint)

    def load(self, seed: int | None, method: Method) -> SeedRun | None:
        """Return a run that was finished, or None. Raises ValueError as `Checkpoint.load` does."""
        if (seed, method) in self._loaded:
            return self._loaded[seed, method]
        file = self._finished(seed, method)
        arrays = file.load()
        if arrays is None:
            return None
        with damage_in_words(file.path):
            run = self._loaded[seed, method] = SeedRun.from_arrays(seed, method, arrays)
        self.descent_file(seed, method).unlink(missing_ok=True)  # of a process that was killed before it did
        return run

    def count(self, seeds: Sequence[int | None]) -> dict[Method, int]:
        """Return how many of these seeds' runs are finished, per method. Raises ValueError if any file is not whole."""
        for seed in seeds:
            for method in self._experiment.methods:
                check_whole(self.descent_file(seed, method))
        return {
            method: sum(self.load(seed, method) is not None for seed in seeds) for method in self._experiment.methods
        }

    def save(self, run: SeedRun) -> None:
        """Keep a finished run and let go of its descent's file. Raises ValueError if that cannot be written."""
        self._finished(run.seed, run.method).save(run.to_arrays())
        self.descent_file(run.seed, run.method).unlink(missing_ok=True)

    def descent_file(self, seed: int | None, method: Method) -> Path:
        """Return the file in which `train` keeps a descent that is under way."""
        return self._kept.path / f"{self._name(seed, method)}.descent.npz"

    def _finished(self, seed: int | None, method: Method) -> KeptFile:
        return self._kept.file(self._name(seed, method), {"seed": seed, "method": method.model_dump(mode="json")})

    def _name(self, seed: int | None, method: Method) -> str:
        word = re.sub(r"\W", "", method.title.split()[0].lower())  # a title of one's own may hold anything
        place = "population" if seed is None else f"seed-{seed}"
        return f"{place}-{self._experiment.methods.index(method)}-{word}"
