"""`augscope images audit`: which subgroups of the user's own images does each augmentation make a model learn?"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from augscope.cli.fields import Text, options_of
from augscope.studies.audit.settings import Settings
from augscope.support.command_line import read_seeds
from augscope.support.values import check

if TYPE_CHECKING:
    from augscope.images.kept import KeptTrainings
    from augscope.studies.audit.dataset import ImageData
    from augscope.studies.audit.kept import Remaining
    from augscope.studies.audit.result import Audit
    from augscope.studies.audit.study import Runs
    from augscope.support.files import OutputFolder

FILES = (
    "record.json",
    "report.html",
    "accuracies.svg",
    "accuracies.png",
    "accuracies.csv",
    "comparisons.csv",
    "exposure.csv",
    "images.csv",
)
KEPT = "trainings"  # folder of finished trainings inside `out`
STOPPED = 3


def _names(text: str) -> tuple[str, ...]:
    """Comma-separated names."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


if TYPE_CHECKING:

    class TrainingChoices:
        """What `options_of` makes, for type checkers."""

        def read(self) -> Settings: ...
else:
    TrainingChoices = options_of(
        Settings,
        {
            "methods": Text(
                ",".join(Settings().methods),
                _names,
                "Comma-separated: erm, and any of cutout-patch, cutout-box, cutmix-patch, cutmix-box.",
            ),
            "seeds": Text(
                "5", read_seeds, "How many trainings of each method, or which seeds: 5, or 3,5,8. Two at least."
            ),
        },
    )


@Parameter(name="*")
@dataclass(frozen=True)
class ReadingOptions:
    """How the images are read."""

    root: Path | None = None
    "Folder that the CSV's file names are relative to; by default its own."
    attributes: str | None = None
    "The CSV's columns to form subgroups by, comma-separated; by default all but filename, y, split and id."
    size: int | None = None
    "Side in pixels to which every image is scaled; by default its own up to 64."
    test_share: float = 0.25
    "Share of every subgroup that is drawn for testing where the data has no splits."
    split_seed: int = 0
    "Of that draw."


@Parameter(name="*")
@dataclass(frozen=True)
class AuditOutput:
    """Where results go."""

    out: Path | None = None
    "Folder for report.html, pictures, tables and record.json; finished trainings are kept in it too."
    checkpoint: Path | None = None
    "Folder to keep finished trainings in, in place of the one in `out`: what it holds is not trained again."
    overwrite: Annotated[bool, Parameter(negative="")] = False
    "Replace another audit's files in `out`, and its finished trainings where they are of no use to this one."
    yes: Annotated[bool, Parameter(negative="")] = False
    "Start although it will take over an hour."
    json: Annotated[bool, Parameter(name="--json", negative="")] = False
    "Print the result as JSON on stdout, everything else on stderr."

    @property
    def kept(self) -> Path | None:
        """The folder of finished trainings, if there is to be one."""
        return self.checkpoint or (None if self.out is None else self.out / KEPT)


def audit(
    data: Path,
    *,
    reading: ReadingOptions | None = None,
    training: TrainingChoices | None = None,
    device: str | None = None,
    output: AuditOutput | None = None,
) -> int:
    """Train one model with ERM, Cutout and CutMix on your images, and tell which subgroups each learns.

    Exit status: 0 done, 2 for bad usage or data (everything wrong with it is listed before any training), 3 if stopped.

    Parameters
    ----------
    data
        A folder that holds a folder for each class (or train and test folders that do), or a CSV with the columns filename, y,
        split (train, val, test, or 0, 1, 2) and any attributes: a subgroup is a label with a value of each attribute.
    device
        Such as cpu or cuda; by default a GPU if there is one.
    """
    try:
        from augscope.images.kept import training_versions
        from augscope.images.training import checked_device
        from augscope.studies.audit.kept import kept_trainings, remaining
        from augscope.studies.audit.result import conclude
        from augscope.studies.audit.study import check_study, identity
    except ModuleNotFoundError as error:
        raise ValueError(f"`images audit` needs {error.name}: pip install 'augscope[images]'") from None
    from augscope.cli.show import console
    from augscope.support.files import claim

    reading, output = reading or ReadingOptions(), output or AuditOutput()
    settings: Settings = (training or TrainingChoices()).read()
    place, screen = checked_device(device), console(to_stderr=True)
    images = _read(data, reading, output)
    model_digest = check_study(images, settings)
    name = identity(images, settings, model_digest)
    folder = None
    if output.out is not None:
        folder = claim(output.out, "images audit", name, overwrite=output.overwrite, names=FILES)
    for note in images.notes:
        screen.print(f"Note: {note}.", markup=False)
    kept = None
    if output.kept is not None:
        replace = output.overwrite and output.checkpoint is None
        kept = kept_trainings(output.kept, images, settings, model_digest, place, replace=replace)
    runs = _train(images, settings, remaining(images, settings, kept, place), kept, output.yes)
    if runs is None:
        return STOPPED
    result = conclude(images, settings, runs, name, training_versions(place))
    _show(result, output.json)
    if folder is not None:
        again = shlex.join(["augscope", *_arguments(data, reading, settings, device, output.out)])
        _write(result, folder, again)
        screen.print(f"Written to {folder.path}: {', '.join(FILES)}", markup=False, soft_wrap=True)
    return 0


def _read(data: Path, reading: ReadingOptions, output: AuditOutput) -> ImageData:
    """The images, checked."""
    from augscope.cli.show import progress_bar
    from augscope.studies.audit.dataset import read_data

    _check_apart(data, out=output.out, checkpoint=output.checkpoint)
    with progress_bar() as progress:
        return read_data(
            data,
            root=reading.root,
            attributes=None if reading.attributes is None else _names(reading.attributes),
            size=reading.size,
            test_share=reading.test_share,
            seed=reading.split_seed,
            progress=progress,
        )


def _train(
    images: ImageData, settings: Settings, left: Remaining, kept: KeptTrainings | None, yes: bool
) -> Runs | None:
    """State how long the trainings take, and make them; None if they were interrupted."""
    from augscope.cli.show import console, progress_bar
    from augscope.studies.audit.kept import train_all
    from augscope.support.wording import check_asked_for

    screen = console(to_stderr=True)
    check_asked_for(left.seconds, str(left), yes)
    screen.print(str(left), markup=False)
    try:
        with progress_bar() as progress:
            return train_all(images, settings, left, kept, progress)
    except KeyboardInterrupt:
        outcome = "nothing is kept"
        if kept is not None:
            outcome = f"finished trainings are in {kept.folder}: the same command goes on from them"
        screen.print(f"Stopped; {outcome}.", markup=False, soft_wrap=True)
        return None


def _check_apart(data: Path, **folders: Path | None) -> None:
    """Raise ValueError if what is written would be taken for images of a class the next time."""
    for name, folder in folders.items():
        inside = folder is not None and data.is_dir() and folder.resolve().is_relative_to(data.resolve())
        check(not inside, f"`{name}` must not be in `data`, whose folders are classes, got {folder} in {data}")


def _show(result: Audit, as_json: bool) -> None:
    """The tables and the words; JSON alone on stdout."""
    from augscope.cli.audit_table import print_audit

    print_audit(result, to_stderr=as_json)
    if as_json:
        from json import dumps

        from augscope.studies.audit.result import record

        print(dumps(record(result), indent=2, allow_nan=False))


def _write(result: Audit, folder: OutputFolder, again: str) -> None:
    from json import dumps

    from augscope.studies.audit.figure import accuracy_figure
    from augscope.studies.audit.page import html_page
    from augscope.studies.audit.result import record, tables
    from augscope.support.rendering import lay_out, to_bytes

    figure = accuracy_figure(result.data, result.settings, result.measured)
    lay_out(figure)
    svg = to_bytes(figure, "svg")
    folder.write(
        {
            "record.json": dumps(record(result), allow_nan=False).encode(),
            "accuracies.svg": svg,
            "accuracies.png": to_bytes(figure, "png"),
            **tables(result),
            "report.html": html_page(result, svg, again).encode(),
        }
    )


def _arguments(
    data: Path, reading: ReadingOptions, settings: Settings, device: str | None, out: Path | None
) -> list[str]:
    """The command's arguments apart from defaults, for the report's last line."""
    listed = {name: value for name, value in vars(reading).items() if value != getattr(ReadingOptions, name)}
    listed |= {name: value for name, value in settings.model_dump().items() if value != getattr(Settings(), name)}
    listed |= {"device": device, "out": out}
    words = ["images", "audit", str(data)]
    for name, value in listed.items():
        if value is not None:
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words += [f"--{name.replace('_', '-')}", text]
    return words
