"""Finished trainings kept in a folder, so that a study that was stopped goes on where it stood."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

from augscope.images.cscores.trainings import Plan, Trainer, Training
from augscope.store import write_whole
from augscope.values import check


class KeptTrainings:
    """A folder with a file for each finished training, named by what decides its bits, and saying so inside.

    A study with more seeds, methods or fractions finds what an earlier one has made.

    Args:
        folder: made when something is kept.
        trainer: whose trainings these are.
    """

    def __init__(self, folder: Path, trainer: Trainer) -> None:
        self.folder, self._trainer = folder, trainer

    def load(self, plan: Plan) -> Training | None:
        """Return a training that was finished, or None. Raises ValueError if its file is not whole or another's."""
        identity, path = self._identity(plan), self._path(plan)
        if not path.exists():
            return None
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as kept:
                owner, predicted, fitted = str(kept["identity"]), kept["predicted"], float(kept["fitted"])
        except OSError as error:
            raise ValueError(f"`out` must have readable trainings, got {path}: {error.strerror}") from None
        # What a damaged archive can raise: zipfile also for versions, methods and passwords that it does not know.
        except (ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, zlib.error, zipfile.BadZipFile):
            raise ValueError(f"`out` must have whole trainings, got {path}, which is damaged: remove it") from None
        good = owner == identity and predicted.shape == plan.held_out.shape and predicted.dtype == np.int16
        check(good, f"`out` must have trainings of this study, got {path} of another one: remove it")
        return Training(predicted, fitted)

    def save(self, plan: Plan, training: Training) -> None:
        """Keep a finished training. Raises ValueError if it cannot be written."""
        buffer, path = io.BytesIO(), self._path(plan)
        identity = np.array(self._identity(plan))
        np.savez(buffer, identity=identity, predicted=training.predicted, fitted=np.array(training.fitted))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, buffer.getvalue())
        except OSError as error:
            raise ValueError(f"`out` could not be written, got {path}: {error.strerror}") from None

    def _identity(self, plan: Plan) -> str:
        return json.dumps(self._trainer.identity(plan), sort_keys=True)

    def _path(self, plan: Plan) -> Path:
        return self.folder / f"training-{hashlib.sha256(self._identity(plan).encode()).hexdigest()[:32]}.npz"
