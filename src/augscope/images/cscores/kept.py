"""Finished trainings kept in a folder, so that a study that was stopped goes on where it stood."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from augscope.images.cscores.trainings import Plan, Trainer, Training
from augscope.kept_file import KeptFile
from augscope.values import check


class KeptTrainings:
    """A folder with a file for each finished training, named by what decides its bits, and saying so inside.

    A study with more seeds, methods or fractions finds what an earlier one has made.

    Args:
        folder: made when something is kept.
        trainer: whose trainings these are.
    """

    def __init__(self, folder: Path, trainer: Trainer) -> None:
        check(not folder.exists() or folder.is_dir(), f"`out` must hold a folder of trainings, got the file {folder}")
        self.folder, self._trainer = folder, trainer

    def load(self, plan: Plan) -> Training | None:
        """Return a training that was finished, or None. Raises ValueError if its file is not whole or another's."""
        file = self._file(plan)
        arrays = file.load()
        if arrays is None:
            return None
        predicted, fitted = arrays.get("predicted"), arrays.get("fitted")
        if predicted is None or fitted is None or predicted.shape != plan.held_out.shape or fitted.shape != ():
            raise ValueError(f"`out` must hold trainings of this study, got {file.path}, which is none: remove it")
        return Training(predicted, float(fitted))

    def save(self, plan: Plan, training: Training) -> None:
        """Keep a finished training. Raises ValueError if it cannot be written."""
        self._file(plan).save({"predicted": training.predicted, "fitted": np.array(training.fitted)})

    def _file(self, plan: Plan) -> KeptFile:
        configuration, versions = self._trainer.identity(plan), self._trainer.versions()
        named = hashlib.sha256(json.dumps([configuration, versions], sort_keys=True).encode()).hexdigest()
        return KeptFile(self.folder / f"training-{named[:32]}.npz", configuration, versions)
