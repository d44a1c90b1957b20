"""An audit in one call from Python. Needs the extra `augscope[images]`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from augscope.images.training import checked_device
from augscope.studies.audit.certificates import laws_of
from augscope.studies.audit.dataset import read_data
from augscope.studies.audit.files import FILES, report_files
from augscope.studies.audit.from_arrays import Arrays
from augscope.studies.audit.kept import KEPT, Remaining, audit_versions, kept_trainings, remaining, train_all
from augscope.studies.audit.result import Audit, conclude
from augscope.studies.audit.settings import Reading, Settings
from augscope.studies.audit.study import prepare
from augscope.studies.audit.workers import check_workers
from augscope.support.command_line import read_seeds
from augscope.support.files import claim

LONG = 60.0  # seconds from which trainings are announced unasked
Progress = Callable[[str, float], Any]

READING = {field.name for field in fields(Reading)} - {"attributes"}


def audit(
    images: Any,
    labels: Any = None,
    splits: Any = None,
    attributes: Any = None,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    device: str | None = None,
    workers: int = 1,
    progress: Progress | None = None,
    **options: Any,
) -> Audit:
    """Train one model with several augmentations on your images, and tell which subgroups each learns: `augscope images audit` from Python.

    Args:
        images: (n, H, W), (n, H, W, C) or (n, C, H, W), uint8; or the path of a folder, CSV or Parquet as the command takes it.
        labels: (n,), texts or numbers; none with a path.
        splits: (n,), train, val, test, or 0, 1, 2; by default a share of every subgroup is drawn for testing.
        attributes: (n,) each, by name: a subgroup is a label with a value of each. With a path: the columns to form subgroups by.
        out: folder for the report and the finished trainings, from which the same call goes on; nothing is written without it.
        overwrite: replace another audit's files in `out`, and its finished trainings where they are of no use to this one.
        device: such as "cpu" or "cuda"; by default a GPU if there is one.
        workers: how many trainings to make at a time, each in a process of its own; the bits are the same. Processes import the script
            that calls this: it must do so below `if __name__ == "__main__":`.
        progress: called with what is running and the share of it that is done, in [0, 1]: the reading, then, once, how long the
            trainings will take, then these.
        options: `methods`, `seeds`, `model`, `steps`, … as the command's (see docs/audit.md).

    Returns:
        Accuracies, differences and words; `.plot()` draws it, and `print` says it.

    Raises:
        ValueError: with everything that is wrong with the data, before any training.

    Cost: a training for each method and seed. How long they take is measured on some steps and, without `progress`, logged
        if it is over a minute.

    Example:
        >>> import augscope as ag, numpy as np
        >>> labels = np.arange(80) % 2
        >>> images = np.random.default_rng(0).integers(0, 80, (80, 8, 8), dtype=np.uint8)
        >>> images[labels == 1, :4] += 100  # the upper half is bright
        >>> audit = ag.audit(images, labels, methods=("erm", "mixup"), seeds=2, steps=30)
        >>> print(audit.words.headline)
        No other method is shown to change what ERM learns of any subgroup.
    """
    used = checked_device(device)
    check_workers(workers, used)
    reading = {name: options.pop(name) for name in READING & options.keys()}
    if "seeds" in options:
        options["seeds"] = read_seeds(options["seeds"])
    settings = Settings(**options)
    if isinstance(images, (str, Path)):
        chosen = None if attributes is None else tuple(attributes)
        data = read_data(Path(images), Reading(**reading, attributes=chosen), progress)
    else:
        data = read_data(Arrays(images, labels, splits, attributes), Reading(**reading), progress)
    study = prepare(data, settings)
    folder = kept = None
    if out is not None:
        folder = claim(Path(out), "images audit", study.identity, overwrite=overwrite, names=FILES)
        kept = kept_trainings(folder.path / KEPT, study, used, replace=overwrite)
    laws = laws_of(settings.methods, len(data.classes), data.train.images.shape[1:])
    left = remaining(study, kept, used, workers)
    _announce(left, progress)
    runs = train_all(study, left, kept, progress or (lambda *_: None))
    result = conclude(study, runs, audit_versions(used), laws)
    if folder is not None:
        folder.write(report_files(result))
    return result


def _announce(left: Remaining, progress: Progress | None) -> None:
    """Say how long the trainings take, where they take long or somebody listens."""
    if progress is not None:
        progress(str(left), 0.0)
    elif left.seconds.low > LONG:
        logging.getLogger(__name__).warning("%s", left)  # Python shows warnings that nobody handles on stderr
