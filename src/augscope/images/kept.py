"""What finished trainings on images have given, kept in a folder: a study that was stopped goes on from them."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augscope.images.plan import METHODS, TrainingOptions, TrainingPlan
from augscope.support.kept_file import KeptFile
from augscope.support.kept_folder import KeptFolder
from augscope.support.naming import import_named


def training_versions(device: str) -> dict[str, str]:
    """Return what decides the bits of a training apart from its plan and its images."""
    packages = {name: version(name) for name in ("augscope", "numpy", "pillow", "torch")}
    hardware = (
        torch.cuda.get_device_name(device) if device.startswith("cuda") else f"cpu, {torch.get_num_threads()} threads"
    )
    return {"python": platform.python_version(), **packages, "device": hardware}


class KeptTrainings:
    """A folder with a file of arrays for each finished training; a study with more seeds or methods goes on from it.

    A training with an augmentation of anybody's is another one where the file that defines it is another.

    Args:
        folder: made at once.
        study: what the folder belongs to, in a word such as "audit".
        options: of all its trainings.
        data: what else they have in common, ready for JSON: digests of the images and of the model, say.
        device: where it trains.
        replace: remove another study's trainings instead of refusing the folder.

    Raises:
        ValueError: if the folder belongs to other options, data, versions or device, holds other files, or cannot be written.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from augscope.images import KeptTrainings, TrainingOptions
        >>> options = TrainingOptions(steps=20)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     kept = KeptTrainings(folder, "study", options, {"data": "digits"})
        ...     kept.save(options.plan("erm", 0), {"predicted": np.array([1, 0])})
        ...     kept.load(options.plan("erm", 0)), kept.load(options.plan("erm", 1))
        ({'predicted': array([1, 0])}, None)
    """

    def __init__(
        self,
        folder: str | Path,
        study: str,
        options: TrainingOptions,
        data: Mapping[str, Any],
        device: str = "cpu",
        *,
        replace: bool = False,
    ) -> None:
        self._folder = KeptFolder(
            folder,
            study,
            {"settings": options.shared, **data},
            partial(KeptFile, versions=training_versions(device)),
            replace="seed-*.npz" if replace else None,
        )

    @property
    def folder(self) -> Path:
        """The folder."""
        return self._folder.path

    def load(self, plan: TrainingPlan) -> dict[str, np.ndarray] | None:
        """Return the arrays of a training that was finished, or None. Raises ValueError if its file is not whole, or another's."""
        return self._file(plan).load()

    def save(self, plan: TrainingPlan, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep the arrays of a finished training. Raises ValueError if they cannot be written."""
        self._file(plan).save(arrays)

    def _file(self, plan: TrainingPlan) -> KeptFile:
        piece, name = {"settings": plan.shared, "method": plan.method, "seed": plan.seed}, plan.method
        if name not in METHODS:
            piece["code"] = import_named("method", name).code
            digest = hashlib.sha256(f"{name} {piece['code']}".encode()).hexdigest()
            name = f"{re.sub('[^A-Za-z0-9]+', '-', name.partition(':')[2])[:40].strip('-')}-{digest[:12]}"
        return self._folder.file(f"seed-{plan.seed}-{name}", piece)
