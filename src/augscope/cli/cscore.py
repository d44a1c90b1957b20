"""`augscope images cscore`: how hard are the points that each method misclassifies?"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from augscope.cli.options import Whole
from augscope.cli.show import console, progress_bar
from augscope.command_line import parse_list, read_seeds

if TYPE_CHECKING:
    from augscope.images.cscores.kept import KeptTrainings
    from augscope.images.cscores.results import StudyResult
    from augscope.images.cscores.study import Study

EPOCHS = 30  # of the study's training points, unless `--steps` is given
STOPPED = 3


def cscore(
    *,
    data: str,
    scores: Path | None = None,
    methods: str = "erm,cutout-box,cutmix-box",
    seeds: str = "5",
    hold_out: float = 0.2,
    model: str = "small",
    steps: Whole | None = None,
    batch_size: Whole = 64,
    learning_rate: float = 3e-3,
    grid: Whole = 4,
    num_cut: Whole | None = None,
    box: Whole | None = None,
    alpha: float = 1.0,
    fractions: str = "0.1,0.3,0.5,0.7,0.9",
    trainings: Whole = 20,
    scored_by: str = "erm",
    device: str | None = None,
    out: Path | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    yes: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Compare ERM, Cutout and CutMix by the C-scores of the held-out points that they misclassify.

    Exit status: 0 when done, 2 for bad usage, 3 if it was interrupted.

    Parameters
    ----------
    data
        Folder with CIFAR-10's training batches, binary or python version; or `digits`, which scikit-learn carries.
    scores
        The published C-scores, an .npz with labels and scores. Without: estimated here by repeated hold-out training.
    methods
        Comma-separated erm, cutout-patch, cutout-box, cutmix-patch, cutmix-box.
    seeds
        20 means 0 … 19; 3,5,8 those.
    hold_out
        Share of every class that is held out, drawn anew by each seed.
    model
        small, resnet, or an import path such as package.module:Class(width=8).
    steps
        Of each training; by default 30 epochs of the points that are not held out.
    batch_size
        Images a step.
    learning_rate
        The highest one, of AdamW.
    grid
        Rows and columns of patches of the patch methods.
    num_cut
        Patches that cutout-patch removes; by default a quarter.
    box
        Side of cutout-box in pixels; by default half the image's.
    alpha
        α of cutmix-box.
    fractions
        Shares of the points that the estimate of C-scores trains on.
    trainings
        Trainings of the estimate at each fraction.
    scored_by
        Method of those trainings.
    device
        cpu or cuda; by default a GPU if there is one.
    out
        Folder for report.html, pictures and tables; keeps each training as it finishes, and goes on where it stood.
    overwrite
        Replace another study's results in that folder.
    yes
        Start although it will take over an hour.
    json
        Print the result as JSON on stdout, everything else on stderr.
    """
    wanted = {"model": model, "steps": steps, "batch_size": batch_size, "learning_rate": learning_rate}
    wanted |= {"grid": grid, "num_cut": num_cut, "box": box, "alpha": alpha}
    study = _study(
        data,
        scores,
        {name: value for name, value in wanted.items() if value is not None},
        methods=tuple(name.strip() for name in methods.split(",")),
        seeds=read_seeds(seeds),
        hold_out=hold_out,
        fractions=parse_list("fractions", fractions, float),
        trainings=trainings,
        scored_by=scored_by,
        device=device,
    )
    return _run(study, _again(study, data, scores), out, overwrite, yes, json)


def _study(data: str, scores: Path | None, training: dict[str, Any], *, device: str | None, **settings: Any) -> Study:
    """The study, checked. Raises ValueError, before any training, if anything does not fit."""
    try:
        from augscope.images.cscores.data import num_kept, read_data
        from augscope.images.cscores.published import read_scores
        from augscope.images.cscores.study import Study, StudySettings
        from augscope.images.cscores.trainings import TrainingSettings
        from augscope.images.training import best_device
    except ModuleNotFoundError as error:
        raise ValueError(f"`images cscore` needs {error.name}: pip install 'augscope[images]'") from None
    images = read_data(data)
    given = None if scores is None else read_scores(scores, images.labels)
    size = training["batch_size"]
    steps = max(1, EPOCHS * num_kept(images.labels, settings["hold_out"]) // max(1, size))
    chosen = StudySettings(training=TrainingSettings(**{"steps": steps, **training}), **settings)
    return Study(chosen, images, given, device or best_device())


def _again(study: Study, data: str, scores: Path | None) -> str:
    """The command line that makes the same study again, every default spelled out."""
    from augscope.images.cscores.study import ESTIMATE_FIELDS

    told = study.settings.model_dump(mode="json")
    told = {**told.pop("training"), **told, "device": study.trainer.device}
    if scores is not None:
        told = {name: value for name, value in told.items() if name not in ESTIMATE_FIELDS}
    words = ["augscope", "images", "cscore", "--data", data, *([] if scores is None else ["--scores", str(scores)])]
    for name, value in told.items():
        if value is not None:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            text += "," if name == "seeds" and len(value) == 1 else ""  # 7 alone would be seven seeds
            words += [f"--{name.replace('_', '-')}", text]
    return shlex.join(words)


def _run(study: Study, again: str, out: Path | None, overwrite: bool, yes: bool, as_json: bool) -> int:
    """State the time, train, print, write."""
    from augscope.images.cscores.kept import KeptTrainings
    from augscope.images.cscores.page import FILES, files
    from augscope.images.cscores.results import summarise
    from augscope.store import claim

    folder = None if out is None else claim(out, "images cscore", study.identity, overwrite=overwrite, names=FILES)
    kept = None if out is None else KeptTrainings(out / "trainings", study.trainer)
    _state_cost(study, kept, yes)
    try:
        with progress_bar() as progress:
            result = summarise(study.run(kept, progress))
    except KeyboardInterrupt:
        where = "nothing is kept without --out" if kept is None else f"what finished is kept in {kept.folder}"
        print(f"augscope: interrupted; {where}: run it again to go on", file=sys.stderr)
        return STOPPED
    _show(result, as_json)
    if folder is not None:
        written = folder.write(files(result, again))
        print(f"Written to {folder.path}: {', '.join(path.name for path in written)}", file=sys.stderr)
    return 0


def _state_cost(study: Study, kept: KeptTrainings | None, yes: bool) -> None:
    """Say what it will take, on stderr; refuse what takes over an hour unless `--yes` is given."""
    from augscope.durations import check_asked_for, in_words

    plans = study.all_plans()
    left = [plan for plan in plans if kept is None or kept.load(plan) is None]
    seconds = study.trainer.seconds(left)
    already = f" ({len(plans) - len(left):,} more are kept)" if len(left) < len(plans) else ""
    sentence = (
        f"{len(left):,} trainings of {study.settings.training.steps:,} steps{already}: about {in_words(seconds)} "
        f"on {study.trainer.device}, measured on a few steps."
    )
    check_asked_for(seconds, sentence, yes)
    print(sentence, file=sys.stderr)


def _show(result: StudyResult, as_json: bool) -> None:
    """The paper's table, the differences, and what may be said; JSON alone on stdout."""
    from rich.table import Table

    from augscope.images.cscores.tables import COLUMNS, as_dict, pair_rows, rows, scores_sentence, sentences

    screen = console(to_stderr=as_json)
    for title, first, columns, lines in (
        (
            "C-scores of misclassified held-out points, means over seeds [95 % interval]",
            "method",
            COLUMNS,
            rows(result),
        ),
        ("Differences of the mean, paired by seed", "pair", ("difference", "p (Holm)", "seeds"), pair_rows(result)),
    ):
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        table.add_column(first)
        for name in columns:
            table.add_column(name, justify="right")
        for line in lines:
            table.add_row(line["name"], *(str(value) for value in line["values"]))
        if lines:
            screen.print(table, markup=False)
    for sentence in (*sentences(result), scores_sentence(result)):
        screen.print(sentence, markup=False)
    if as_json:
        from json import dumps

        print(dumps(as_dict(result), allow_nan=False))
