"""`augscope train --patches`: the methods on points of the user's own."""

from __future__ import annotations

import hashlib
import json as json_text
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from augscope.cli import show
from augscope.cli.options import ExperimentOptions, OutputOptions
from augscope.cli.terminal import console
from augscope.support.values import check

if TYPE_CHECKING:
    from augscope.model.patches import PatchData
    from augscope.training.experiment import Experiment
    from augscope.training.loop import Run

FILES = ("record.json", "curves.svg", "curves.png", "history.csv")
ARRAYS = ("patches", "labels", "test_patches", "test_labels")
COLUMNS = ("method", "seed", "loss", "margin", "test accuracy", "label +1", "label −1", "status")


def train_patches(path: Path, options: ExperimentOptions, output: OutputOptions, seeds: Sequence[int]) -> int:
    """Train every method from every seed's W(0); print what was learned, and write it. Returns the exit status."""
    from augscope.support.files import claim

    arrays = _read(path)
    experiment = _experiment(options, arrays)
    check(output.checkpoint is None, "`checkpoint` keeps runs on the paper's data; with `patches` leave it out")
    datasets = {seed: _dataset(arrays, experiment, seed) for seed in seeds}
    identity = _identity(experiment, datasets)
    folder = None
    if output.out is not None:
        folder = claim(output.out, "train --patches", identity, overwrite=output.overwrite, names=FILES)
    _state_cost(experiment, datasets, output.yes)
    runs, interrupted = _train(experiment, datasets)
    screen = console(to_stderr=output.json)
    rows = [[cell if isinstance(cell, str) else f"{cell:.4g}" for cell in _row(*one)] for one in runs]
    screen.print(show.table(COLUMNS, rows, title=f"{next(iter(datasets.values()))}; at the last record"))
    record = _record(identity, path, experiment, runs)
    if output.json:
        print(json_text.dumps(record, allow_nan=False, indent=2))
    if folder is not None and runs and not interrupted:
        folder.write({"record.json": json_text.dumps(record, allow_nan=False).encode(), **_files(runs)})
        screen.print(f"Written to {folder.path}: {', '.join(FILES)}", soft_wrap=True)
    if interrupted:
        return 3
    return 1 if any(run.status == "diverged" for _, run in runs) else 0


def _read(path: Path) -> dict[str, Any]:
    """The arrays of the file. Raises ValueError with a sentence."""
    from augscope.support.kept_file import damage_in_words, read_npz

    with damage_in_words(path, "patches"):
        arrays = read_npz(path)
    unknown = sorted(set(arrays) - set(ARRAYS))
    rule = f"`patches` must be an .npz with the arrays patches and labels, and test_patches and test_labels where there are any, got {path}"
    check(not unknown and {"patches", "labels"} <= set(arrays), f"{rule} with {', '.join(sorted(arrays)) or 'nothing'}")
    return arrays


def _experiment(options: ExperimentOptions, arrays: dict[str, Any]) -> Experiment:
    """Methods, network and training by the options; what describes the paper's data must not be among them."""
    from augscope.training.configuration import PARAMETERS

    of_data = [name for name, parameter in PARAMETERS.items() if parameter.owner == "distribution"]
    of_data += ["num_samples", "coordinates", "frame", "until"]
    given = [name for name in of_data if getattr(options, name) is not None]
    check(not given, f"`{(given or [''])[0]}` describes the paper's data or its limits: with `patches` leave it out")
    shape = arrays["patches"].shape
    check(len(shape) == 3, f"`patches` must be of shape (n, P, d), got {shape}")
    given_shape: Any = options  # a dataclass, by its decorator
    return replace(given_shape, num_samples=max(1, shape[0]), num_patches=max(2, shape[1])).experiment()


def _dataset(arrays: dict[str, Any], experiment: Experiment, seed: int) -> PatchData:
    import jax

    from augscope.model.patches import dataset_from_patches

    return dataset_from_patches(**arrays, init_std=experiment.init_std, key=jax.random.key(seed))


def _identity(experiment: Experiment, datasets: dict[int, PatchData]) -> str:
    """SHA-256 of all that decides the result."""
    from augscope.training.checkpoint import dataset_digest

    digests = [dataset_digest(data) for data in datasets.values()]
    return hashlib.sha256(json_text.dumps([experiment.identity, digests]).encode()).hexdigest()


def _state_cost(experiment: Experiment, datasets: dict[int, PatchData], yes: bool) -> None:
    """Say how long it takes, by some full steps of each method; refuse what takes over an hour unless it was asked for."""
    from augscope.support.wording import check_asked_for, in_words
    from augscope.training.descent import time_step

    data = next(iter(datasets.values()))
    step = sum(time_step(data, experiment.network, method) for method in experiment.methods)
    seconds = step * experiment.num_steps * len(datasets)
    sentence = f"{len(experiment.methods) * len(datasets)} descents of {experiment.num_steps:,} steps: about {in_words(max(1, seconds))}."
    check_asked_for(seconds, sentence, yes)
    print(sentence, file=sys.stderr)


def _train(experiment: Experiment, datasets: dict[int, PatchData]) -> tuple[list[tuple[int, Run]], bool]:
    """The runs in order of seed and method, and whether Ctrl-C ended them."""
    import jax

    from augscope.training.train import train

    runs: list[tuple[int, Run]] = []
    count = len(datasets) * len(experiment.methods)
    with show.progress_bar() as progress:
        for seed, data in datasets.items():
            for method in experiment.methods:
                title, done = f"{method.title}, seed {seed}", len(runs)

                def advance(step: int, _: float, title: str = title, done: int = done) -> None:
                    progress(title, (done + step / experiment.num_steps) / count)

                run = train(
                    data,
                    experiment.network,
                    method,
                    step_size=experiment.step_size,
                    num_steps=experiment.num_steps,
                    record_at=experiment.record_at or None,
                    progress=advance,
                    sampling=experiment.sampling,
                    key=jax.random.key(seed),
                )
                runs.append((seed, run))
                if run.status == "interrupted":
                    return runs, True
    return runs, False


def _row(seed: int, run: Run) -> tuple[Any, ...]:
    """A run at its last record, by `COLUMNS`."""
    history: Any = run.history
    numbers = (history.loss[-1], history.margin[-1], history.accuracy[-1], *history.accuracy_per_label[-1])
    return run.method.title, str(seed), *map(float, numbers), run.message


def _record(identity: str, path: Path, experiment: Experiment, runs: Sequence[tuple[int, Run]]) -> dict[str, Any]:
    """What was run and what came out, ready for JSON."""
    from augscope.support.plain_data import plain

    rows = [dict(zip(COLUMNS, plain(list(_row(*one))), strict=True)) for one in runs]
    training = {name: getattr(experiment, name) for name in ("step_size", "num_steps", "init_std")}
    methods = [method.model_dump(mode="json") for method in experiment.methods]
    about = {
        "patches": str(path),
        "network": experiment.network.model_dump(mode="json"),
        "methods": methods,
        **training,
    }
    return {"command": "train --patches", "identity": identity, "configuration": about, "runs": rows}


def _files(runs: Sequence[tuple[int, Run]]) -> dict[str, bytes]:
    """The picture of the first seed's runs, and every record of all runs."""
    from matplotlib.figure import Figure

    from augscope.support.plain_data import csv_text
    from augscope.support.rendering import lay_out, to_bytes

    first = [run for seed, run in runs if seed == runs[0][0]]
    figure = Figure(figsize=(4 * len(first), 6), layout="constrained")
    axes = figure.subplots(2, len(first), sharex=True, sharey="row", squeeze=False)
    for column, run in zip(axes.T, first, strict=True):
        run.plot(column)
    for axis in axes.flat:
        axis.label_outer()
    lay_out(figure)
    lines = []
    for seed, run in runs:
        records = zip(run.history.steps, *run.history.columns().values(), strict=True)
        lines += [[run.method.title, seed, *map(float, record)] for record in records]
    csv = csv_text(["method", "seed", "steps", *runs[0][1].history.columns()], lines).encode()
    return {"curves.svg": to_bytes(figure, "svg"), "curves.png": to_bytes(figure, "png"), "history.csv": csv}
