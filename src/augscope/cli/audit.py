"""`augscope images audit`: which subgroups of the user's own images does each augmentation make a model learn?"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from augscope.images.audit.result import Audit
    from augscope.store import OutputFolder

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


def audit(
    data: Path,
    *,
    root: Path | None = None,
    attributes: str | None = None,
    size: int | None = None,
    test_share: float = 0.25,
    split_seed: int = 0,
    methods: str = "erm,cutout-patch,cutout-box,cutmix-patch,cutmix-box",
    model: str = "small",
    steps: int = 1000,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
    weight_decay: float = 5e-4,
    seeds: str = "5",
    grid: int = 4,
    num_cut: int | None = None,
    box: int | None = None,
    alpha: float = 1.0,
    p: float = 1.0,
    device: str | None = None,
    out: Path | None = None,
    checkpoint: Path | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    yes: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Train one model with ERM, Cutout and CutMix on your images, and tell which subgroups each learns.

    Exit status: 0 done, 2 for bad usage or data (everything wrong with it is listed before any training), 3 if stopped.

    Parameters
    ----------
    data
        A folder that holds a folder for each class (or train and test folders that do), or a CSV with the columns filename, y,
        split (train, val, test, or 0, 1, 2) and any attributes: a subgroup is a label with a value of each attribute.
    root
        Folder that the CSV's file names are relative to; by default its own.
    attributes
        The CSV's columns to form subgroups by, comma-separated; by default all but filename, y, split and id.
    size
        Side in pixels to which every image is scaled; by default its own up to 64.
    test_share
        Share of every subgroup that is drawn for testing where the data has no splits.
    split_seed
        Of that draw.
    methods
        Comma-separated: erm, and any of cutout-patch, cutout-box, cutmix-patch, cutmix-box.
    model
        small, resnet, or your own `package.module:Class(arguments)` or `file.py:Class`, which maps images to logits.
    steps
        Updates in each training.
    batch_size
        Images an update.
    learning_rate
        Of AdamW, at its highest.
    weight_decay
        Of AdamW.
    seeds
        How many trainings of each method, or which seeds: 5, or 3,5,8. Two at least.
    grid
        Rows and columns of patches; they must divide the size.
    num_cut
        Patches that Cutout removes; by default a quarter of them.
    box
        Side in pixels of Cutout's box; by default half the image's.
    alpha
        α of CutMix's box law.
    p
        Probability that an image is transformed.
    device
        Such as cpu or cuda; by default a GPU if there is one.
    out
        Folder for report.html, pictures, tables and record.json; finished trainings are kept in it too.
    checkpoint
        Folder to keep finished trainings in, in place of the one in `out`: what it holds is not trained again.
    overwrite
        Replace another audit's files in `out`, and its finished trainings where they are of no use to this one.
    yes
        Start although it will take over an hour.
    json
        Print the result as JSON on stdout, everything else on stderr.
    """
    try:
        import torch

        from augscope.images.audit.study import Settings
    except ModuleNotFoundError as error:
        raise ValueError(f"`images audit` needs {error.name}: pip install 'augscope[images]'") from None
    from augscope.command_line import read_seeds

    settings = Settings(
        methods=tuple(name.strip() for name in methods.split(",") if name.strip()),
        model=model,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        seeds=read_seeds(seeds),
        grid=grid,
        num_cut=num_cut,
        box=box,
        alpha=alpha,
        p=p,
    )
    place = _device(torch, device)
    reading = {
        "root": root,
        "attributes": None if attributes is None else tuple(a.strip() for a in attributes.split(",") if a.strip()),
        "size": size,
        "test_share": test_share,
        "seed": split_seed,
    }
    again = shlex.join(["augscope", *_arguments(data, reading, settings, device, out)])
    return _run(
        data, reading, settings, place, again, out=out, checkpoint=checkpoint, overwrite=overwrite, yes=yes, json=json
    )


def _run(
    data: Path,
    reading: dict[str, Any],
    settings: Any,
    device: str,
    again: str,
    *,
    out: Path | None,
    checkpoint: Path | None,
    overwrite: bool,
    yes: bool,
    json: bool,
) -> int:
    """Check, say how long it takes, train, conclude, write."""
    from augscope.cli.show import console, progress_bar
    from augscope.durations import check_asked_for
    from augscope.images.audit.dataset import read_data
    from augscope.images.audit.kept import KeptTrainings, plan, train_all, versions
    from augscope.images.audit.result import conclude
    from augscope.images.audit.study import check_study, identity
    from augscope.store import claim

    screen = console(to_stderr=True)
    _check_apart(data, out=out, checkpoint=checkpoint)
    with progress_bar() as progress:
        images = read_data(data, **reading, progress=progress)
    digest = check_study(images, settings)
    name = identity(images, settings, digest)
    folder = None if out is None else claim(out, "images audit", name, overwrite=overwrite, names=FILES)
    for note in images.notes:
        screen.print(f"Note: {note}.", markup=False)
    place = checkpoint or (None if out is None else out / KEPT)
    kept = (
        None
        if place is None
        else KeptTrainings(place, images, settings, digest, device, replace=overwrite and checkpoint is None)
    )
    planned = plan(images, settings, kept, device)
    check_asked_for(planned.seconds, str(planned), yes)
    screen.print(str(planned), markup=False)
    try:
        with progress_bar() as progress:
            runs = train_all(images, settings, planned, kept, progress)
    except KeyboardInterrupt:
        kept_in = (
            f"finished trainings are in {place}: the same command goes on from them" if place else "nothing is kept"
        )
        screen.print(f"Stopped; {kept_in}.", markup=False, soft_wrap=True)
        return STOPPED
    found = conclude(images, settings, runs, name, versions(device))
    _show(found, json)
    if folder is not None:
        _write(found, folder, again)
        screen.print(f"Written to {folder.path}: {', '.join(FILES)}", markup=False, soft_wrap=True)
    return 0


def _check_apart(data: Path, **folders: Path | None) -> None:
    """Raise ValueError if what is written would be taken for images of a class the next time."""
    for name, folder in folders.items():
        inside = folder is not None and data.is_dir() and folder.resolve().is_relative_to(data.resolve())
        if inside:
            raise ValueError(f"`{name}` must not be in `data`, whose folders are classes, got {folder} in {data}")


def _show(found: Audit, as_json: bool) -> None:
    """The tables and the words; JSON alone on stdout."""
    from augscope.images.audit.table import print_audit

    print_audit(found, to_stderr=as_json)
    if as_json:
        from json import dumps

        from augscope.images.audit.result import record

        print(dumps(record(found), indent=2, allow_nan=False))


def _write(found: Audit, folder: OutputFolder, again: str) -> None:
    from json import dumps

    from augscope.images.audit.figure import accuracy_figure
    from augscope.images.audit.page import html_page
    from augscope.images.audit.result import record, tables
    from augscope.rendering import lay_out, to_bytes

    figure = accuracy_figure(found.data, found.settings, found.measured)
    lay_out(figure)
    svg = to_bytes(figure, "svg")
    folder.write(
        {
            "record.json": dumps(record(found), allow_nan=False).encode(),
            "accuracies.svg": svg,
            "accuracies.png": to_bytes(figure, "png"),
            **tables(found),
            "report.html": html_page(found, svg, again).encode(),
        }
    )


def _device(torch: Any, wanted: str | None) -> str:
    """The device asked for, if PyTorch has it. Raises ValueError."""
    from augscope.images.training import best_device

    if wanted is None:
        return best_device()
    try:
        torch.zeros(1, device=wanted)
    except (RuntimeError, AssertionError) as error:  # what PyTorch raises for a device that is not there
        raise ValueError(
            f"`device` must be one that PyTorch can use, got {wanted!r}: {str(error).splitlines()[0]}"
        ) from None
    return wanted


def _arguments(data: Path, reading: dict[str, Any], settings: Any, device: str | None, out: Path | None) -> list[str]:
    """The command's arguments apart from defaults, for the report's last line."""
    listed: dict[str, Any] = {
        "root": reading["root"],
        "attributes": None if reading["attributes"] is None else ",".join(reading["attributes"]),
        "size": reading["size"],
        "test-share": reading["test_share"] if reading["test_share"] != 0.25 else None,
        "split-seed": reading["seed"] or None,
    }
    standard = type(settings)()
    for name, value in settings.model_dump().items():
        changed = value != getattr(standard, name)
        text = ",".join(map(str, value)) if isinstance(value, tuple) else value
        listed[name.replace("_", "-")] = text if changed else None
    listed |= {"device": device, "out": out}
    options = [part for name, value in listed.items() if value is not None for part in (f"--{name}", str(value))]
    return ["images", "audit", str(data), *options]
