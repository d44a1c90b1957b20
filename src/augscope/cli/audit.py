"""`augscope images audit`: which subgroups of the user's own images does each augmentation make a model learn?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import Parameter

from augscope.cli.kinds import Flag, Json, Whole
from augscope.cli.options import changed_options, given_values, options_for
from augscope.support.command_line import NextStep, command_line, read_seeds
from augscope.support.extras import needs_extra
from augscope.support.fields import FieldText, fields_of

if TYPE_CHECKING:
    from augscope.images.kept import KeptTrainings
    from augscope.studies.audit.dataset import ImageData
    from augscope.studies.audit.kept import Remaining
    from augscope.studies.audit.result import Audit
    from augscope.studies.audit.settings import Reading, Settings
    from augscope.studies.audit.study import Study, TrainedRuns

STOPPED = 3


def _fields(*classes: str) -> dict[str, FieldText]:
    """The fields that become options as they are; `attributes` and `seeds` are typed in their own way."""
    fields = {name: field for path in classes for name, field in fields_of(path).items()}
    return {name: field for name, field in fields.items() if name not in ("attributes", "seeds")}


_READ = _fields("augscope.studies.audit.settings:Reading")
_TRAINED = _fields("augscope.images.plan:TrainingOptions", "augscope.studies.audit.settings:Settings")


@options_for(_READ)
class ReadingOptions:
    """How the images are read."""

    attributes: str | None = None
    "The columns of a CSV or Parquet to form subgroups by, comma-separated; by default all further ones but id."

    def reading(self) -> Reading:
        """Return the value that they make. Raises ValueError if one is out of range."""
        from augscope.studies.audit.settings import Reading

        attributes = None
        if self.attributes is not None:  # an empty text names none: labels alone make the subgroups
            attributes = tuple(name.strip() for name in self.attributes.split(",") if name.strip())
        return Reading(**given_values(self, _READ), attributes=attributes)


@options_for(_TRAINED)
class TrainingChoices:
    """What is trained."""

    seeds: str = "5"
    "How many trainings of each method, or which seeds: 5, or 3,5,8. Two at least."

    def settings(self) -> Settings:
        """Return the value that they make. Raises ValueError if one is out of range."""
        from augscope.studies.audit.settings import Settings

        return Settings(**given_values(self, _TRAINED), seeds=read_seeds(self.seeds))


@Parameter(name="*")
@dataclass(frozen=True)
class Machine:
    """What it trains on."""

    device: str | None = None
    "Such as cpu or cuda; by default a GPU if there is one."
    workers: Whole | None = None
    "How many trainings to make at a time, each by one thread; by default, on a CPU, one a core if they take over a minute. The bits are the same."

    def checked(self) -> str:
        """Return the device. Raises ValueError if it cannot be used, or not by so many workers."""
        from augscope.images.training import checked_device
        from augscope.studies.audit.workers import check_workers

        device = checked_device(self.device)
        check_workers(self.workers, device)
        return device


@Parameter(name="*")
@dataclass(frozen=True)
class AuditOutput:
    """Where results go."""

    out: Path | None = None
    "Folder for report.html, pictures, tables and record.json; finished trainings are kept in it too."
    checkpoint: Path | None = None
    "Folder to keep finished trainings in, in place of the one in `--out`: what it holds is not trained again."
    overwrite: Flag = False
    "Replace another audit's files in `--out`, and its finished trainings where they are of no use to this one."
    yes: Flag = False
    "Start although it will take over an hour."
    json: Json = False
    "Print the result as JSON on stdout, everything else on stderr."

    @property
    def kept(self) -> Path | None:
        """The folder of finished trainings, if there is to be one."""
        from augscope.studies.audit.kept import KEPT

        return self.checkpoint or (None if self.out is None else self.out / KEPT)


def audit(
    data: Path,
    *,
    reading: ReadingOptions | None = None,
    training: TrainingChoices | None = None,
    machine: Machine | None = None,
    output: AuditOutput | None = None,
) -> int:
    """Train one model with ERM, Cutout, CutMix or your own augmentation on your images, and tell which subgroups each learns.

    Exit status: 0 done, 2 for bad usage or data (everything wrong with it is listed before any training), 3 if stopped.

    Parameters
    ----------
    data
        A folder that holds a folder for each class (or train and test folders that do), or a CSV with the columns filename, y,
        split (train, val, test, or 0, 1, 2) and any attributes: a subgroup is a label with a value of each attribute. Or a Parquet file, or a
        folder of them, with an image column of bytes and path, label, and perhaps split, as Hugging Face writes them.
    """
    with needs_extra("`images audit`", "images"):
        from augscope.studies.audit.certificates import laws_of
        from augscope.studies.audit.explanations import next_options, size_warning
        from augscope.studies.audit.files import FILES, report_files
        from augscope.studies.audit.kept import audit_versions, remaining
        from augscope.studies.audit.result import conclude
        from augscope.studies.audit.study import prepare
    from augscope.cli.audit_terminal import print_data, print_laws
    from augscope.cli.terminal import console
    from augscope.support.files import claim

    reading, training, output = reading or ReadingOptions(), training or TrainingChoices(), output or AuditOutput()
    machine = machine or Machine()
    settings, device, screen = training.settings(), machine.checked(), console(to_stderr=True)
    images = _read(data, reading.reading(), output)
    study = prepare(images, settings)
    folder = None
    if output.out is not None:
        folder = claim(output.out, "images audit", study.identity, overwrite=output.overwrite, names=FILES)
    print_data(images, screen)
    if (warning := size_warning(images)) is not None:
        screen.print(f"Warning: {warning}")
    laws = laws_of(settings.methods, len(images.classes), images.train.images.shape[1:])
    print_laws(laws, screen)
    kept = _kept(study, device, output)
    runs = _train(study, remaining(study, kept, device, machine.workers), kept, output.yes)
    if runs is None:
        return STOPPED
    result = conclude(study, runs, audit_versions(device), laws)
    chosen = [changed_options(part) for part in (reading, training, machine)]
    options = {name: value for part in chosen for name, value in part.items()} | {"out": output.out}
    question, changes = next_options(images, settings, result.measured, output.out)
    step = NextStep(question, command_line("images audit", data, options=options | changes))
    try:
        if folder is not None:
            folder.write(report_files(result, command_line("images audit", data, options=options), step))
    finally:  # what was computed is shown even if it cannot be written
        _show(result, as_json=output.json)
    if folder is not None:
        screen.print(f"Written to {folder.path}: {', '.join(FILES)}", soft_wrap=True)
        screen.print(f"Next: {step}", soft_wrap=True)
    return 0


def _read(data: Path, reading: Reading, output: AuditOutput) -> ImageData:
    """The images, checked. Raises ValueError if what is written would be taken for images of a class the next time."""
    from augscope.cli.show import progress_bar
    from augscope.studies.audit.dataset import read_data

    for name, folder in (("out", output.out), ("checkpoint", output.checkpoint)):
        if folder is not None and data.is_dir() and folder.resolve().is_relative_to(data.resolve()):
            raise ValueError(f"`{name}` must not be in `data`, whose folders are classes, got {folder} in {data}")
    with progress_bar() as progress:
        return read_data(data, reading, progress)


def _kept(study: Study, device: str, output: AuditOutput) -> KeptTrainings | None:
    """The folder of finished trainings, checked; None if nothing is to be kept."""
    from augscope.studies.audit.kept import kept_trainings

    if output.kept is None:
        return None
    replace = output.overwrite and output.checkpoint is None
    return kept_trainings(output.kept, study, device, replace=replace)


def _train(study: Study, left: Remaining, kept: KeptTrainings | None, yes: bool) -> TrainedRuns | None:
    """State how long the trainings take, and make them; None if they were interrupted."""
    from augscope.cli.show import progress_bar
    from augscope.cli.terminal import console
    from augscope.studies.audit.kept import train_all
    from augscope.support.wording import check_asked_for

    screen = console(to_stderr=True)
    check_asked_for(left.seconds.low, str(left), yes)
    screen.print(str(left))
    try:
        with progress_bar() as progress:
            return train_all(study, left, kept, progress)
    except KeyboardInterrupt:
        outcome = "nothing is kept"
        if kept is not None:
            outcome = f"finished trainings are in {kept.folder}: the same command goes on from them"
        screen.print(f"Stopped; {outcome}.", soft_wrap=True)
        return None


def _show(result: Audit, *, as_json: bool) -> None:
    """The tables and the words; JSON alone on stdout."""
    from augscope.cli.audit_terminal import print_audit

    print_audit(result, to_stderr=as_json)
    if as_json:
        from json import dumps

        from augscope.studies.audit.result import record

        print(dumps(record(result), indent=2, allow_nan=False))
