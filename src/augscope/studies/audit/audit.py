"""An audit in one call from Python. Needs the extra `augscope[images]`."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from augscope.images.kept import training_versions
from augscope.images.training import checked_device
from augscope.studies.audit.certificates import laws_of
from augscope.studies.audit.dataset import read_data
from augscope.studies.audit.files import FILES, report_files
from augscope.studies.audit.from_arrays import Arrays
from augscope.studies.audit.kept import KEPT, kept_trainings, remaining, train_all
from augscope.studies.audit.result import Audit, conclude
from augscope.studies.audit.settings import Reading, Settings
from augscope.studies.audit.study import prepare
from augscope.support.command_line import read_seeds
from augscope.support.files import claim

READING = {field.name for field in fields(Reading)} - {"attributes"}


def audit(
    images: Any,
    labels: Any = None,
    splits: Any = None,
    attributes: Any = None,
    *,
    out: str | Path | None = None,
    device: str | None = None,
    **options: Any,
) -> Audit:
    """Train one model with several augmentations on your images, and tell which subgroups each learns: `augscope images audit` from Python.

    Args:
        images: (n, H, W), (n, H, W, C) or (n, C, H, W), uint8; or the path of a folder, CSV or Parquet as the command takes it.
        labels: (n,), texts or numbers; none with a path.
        splits: (n,), train, val, test, or 0, 1, 2; by default a share of every subgroup is drawn for testing.
        attributes: (n,) each, by name: a subgroup is a label with a value of each. With a path: the columns to form subgroups by.
        out: folder for the report and the finished trainings, from which the same call goes on; nothing is written without it.
        device: such as "cpu" or "cuda"; by default a GPU if there is one.
        options: `methods`, `seeds`, `model`, `steps`, … as the command's (see docs/audit.md).

    Returns:
        Accuracies, differences and words; `.plot()` draws it, and `print` says it.

    Raises:
        ValueError: with everything that is wrong with the data, before any training.

    Cost: a training for each method and seed; how long that takes, the command says beforehand.

    Example:
        >>> import augscope as ag, numpy as np
        >>> labels = np.arange(80) % 2
        >>> images = np.random.default_rng(0).integers(0, 80, (80, 8, 8), dtype=np.uint8)
        >>> images[labels == 1, :4] += 100  # the upper half is bright
        >>> audit = ag.audit(images, labels, methods=("erm", "mixup"), seeds=2, steps=30)
        >>> print(audit.words.headline)
        No other method is shown to change what ERM learns of any subgroup.
    """
    reading = {name: options.pop(name) for name in READING & options.keys()}
    if isinstance(images, (str, Path)):
        chosen = None if attributes is None else tuple(attributes)
        data = read_data(Path(images), Reading(**reading, attributes=chosen))
    else:
        data = read_data(Arrays(images, labels, splits, attributes), Reading(**reading))
    if "seeds" in options:
        options["seeds"] = read_seeds(options["seeds"])
    settings, used = Settings(**options), checked_device(device)
    study = prepare(data, settings)
    folder = kept = None
    if out is not None:
        folder = claim(Path(out), "images audit", study.identity, overwrite=False, names=FILES)
        kept = kept_trainings(folder.path / KEPT, study, used)
    laws = laws_of(settings.methods, len(data.classes), data.train.images.shape[1:])
    runs = train_all(study, remaining(study, kept, used), kept, lambda *_: None)
    result = conclude(study, runs, training_versions(used), laws)
    if folder is not None:
        folder.write(report_files(result))
    return result
