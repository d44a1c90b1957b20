"""Trained runs kept as they finish, what is left to train and how long that takes, and the trainings themselves."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from augscope.durations import in_words
from augscope.images.audit.dataset import ImageData
from augscope.images.audit.study import Runs, Settings, Trained, time_steps, train_one
from augscope.images.training import METHODS
from augscope.kept_file import KeptFile
from augscope.values import check

OWNER = "audit.npz"


def versions(device: str) -> dict[str, str]:
    """What decides the bits of a training apart from its configuration."""
    found = {name: version(name) for name in ("augscope", "numpy", "pillow", "torch")}
    place = (
        torch.cuda.get_device_name(device) if device.startswith("cuda") else f"cpu, {torch.get_num_threads()} threads"
    )
    return {"python": platform.python_version(), **found, "device": place}


class KeptTrainings:
    """A folder with a file for each finished training; an audit with more seeds or methods goes on from it.

    Args:
        folder: made when something is kept.
        data, settings, model_digest: whose runs these are; the folder of another audit, or of another version, is refused.
        device: where it trains.
        replace: remove another audit's runs instead of refusing them.

    Raises:
        ValueError: in that case, or if the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        data: ImageData,
        settings: Settings,
        model_digest: str,
        device: str,
        *,
        replace: bool = False,
    ) -> None:
        check(not folder.exists() or folder.is_dir(), f"`checkpoint` must be a folder, got the file {folder}")
        self.folder, self._versions = folder, versions(device)
        self._configuration = {"settings": settings.training(), "data": data.digest, "model": model_digest}
        owner = KeptFile(folder / OWNER, self._configuration, self._versions)
        if replace:
            self._remove_others(owner)
        owner.own_folder("this audit's")

    def _remove_others(self, owner: KeptFile) -> None:
        """Remove the runs of another audit, if the folder is another's."""
        try:
            owner.load()
            return
        except ValueError:
            pass
        try:
            for path in (*self.folder.glob("seed-*.npz"), owner.path):  # the owner last: stopped here, it is done again
                path.unlink()
        except OSError as error:
            raise ValueError(f"`checkpoint` could not be emptied, got {self.folder}: {error.strerror}") from None

    def load(self, method: str, seed: int) -> Trained | None:
        """Return a training that was finished, or None. Raises ValueError if its file is not whole, or another's."""
        arrays = self._file(method, seed).load()
        return None if arrays is None else Trained(**arrays)

    def save(self, method: str, seed: int, run: Trained) -> None:
        """Keep a finished training. Raises ValueError if it cannot be written."""
        self._file(method, seed).save({"train": run.train, "test": run.test, "test_confidence": run.test_confidence})

    def _file(self, method: str, seed: int) -> KeptFile:
        configuration = {**self._configuration, "method": method, "seed": seed}
        return KeptFile(self.folder / f"seed-{seed}-{method}.npz", configuration, self._versions)


@dataclass(frozen=True)
class Plan:
    """What is left to train, and how long it will take. `print` it for a sentence.

    Attributes:
        kept: trainings that are there.
        left: (method, seed) of those that are to be made; all methods of a seed before the next seed.
        step_seconds: of each method that is left, measured.
        steps: of each training.
        device: where.
    """

    kept: Runs
    left: tuple[tuple[str, int], ...]
    step_seconds: dict[str, float]
    steps: int
    device: str

    @property
    def seconds(self) -> float:
        """Expected time of what is left."""
        return sum(self.step_seconds[method] for method, _ in self.left) * self.steps

    def __str__(self) -> str:
        kept = f" ({len(self.kept)} more are kept)" if self.kept else ""
        if not self.left:
            return f"Nothing is left to train{kept}."
        each = ", ".join(f"{METHODS[name]} {seconds * 1e3:.0f} ms" for name, seconds in self.step_seconds.items())
        return (
            f"A step: {each} ({self.device}). {len(self.left)} trainings of {self.steps:,} steps{kept}: "
            f"about {in_words(self.seconds)}."
        )


def plan(data: ImageData, settings: Settings, kept: KeptTrainings | None, device: str) -> Plan:
    """Look for what is kept, and time a few steps of each method that is left."""
    pairs = [(method, seed) for seed in settings.seeds for method in settings.methods]
    there = {} if kept is None else {pair: run for pair in pairs if (run := kept.load(*pair)) is not None}
    left = tuple(pair for pair in pairs if pair not in there)
    methods = dict.fromkeys(method for method, _ in left)
    times = {method: time_steps(data, settings, method, device) for method in methods}
    return Plan(there, left, times, settings.steps, device)


def train_all(
    data: ImageData,
    settings: Settings,
    planned: Plan,
    kept: KeptTrainings | None,
    progress: Callable[[str, float], None],
) -> Runs:
    """Make the trainings that are left, keeping each as it finishes; return all, in the order of methods and seeds.

    Args:
        progress: told what is running, with the time left, and the share of all steps that is done.
    """
    runs, begun, total = dict(planned.kept), time.perf_counter(), max(1, len(planned.left) * settings.steps)
    for number, (method, seed) in enumerate(planned.left):
        done = number * settings.steps
        left = planned.seconds if not done else (time.perf_counter() - begun) * (total - done) / done
        what = (
            f"{METHODS[method]}, seed {seed}: {number + 1} of {len(planned.left)}, about {in_words(max(1, left))} left"
        )
        progress(what, done / total)
        run = train_one(
            data,
            settings,
            method,
            seed,
            planned.device,
            lambda step, done=done, what=what: progress(what, (done + step) / total),
        )
        if kept is not None:
            kept.save(method, seed, run)
        runs[method, seed] = run
    return {(method, seed): runs[method, seed] for method in settings.methods for seed in settings.seeds}
