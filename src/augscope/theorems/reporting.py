"""The report of finished runs, from Python as from the command line; and trainings from many seeds, to be reported on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from augscope.support.command_line import command_line, seeds_text
from augscope.support.files import claim
from augscope.support.rendering import lay_out, to_bytes
from augscope.theorems.figures import features_figure
from augscope.theorems.record import Results, read_results, to_record, trajectories_csv
from augscope.theorems.report import configuration_toml, html_report
from augscope.theorems.verification import Verdict
from augscope.training.experiment import Experiment
from augscope.training.loading import load_run
from augscope.training.loop import Run
from augscope.training.preparation import prepare_runs
from augscope.training.seed_run import SeedRun, drawn_seeds

FILES = ("record.json", "config.toml", "features.svg", "features.png", "features.csv", "report.html")


def train_seeds(
    experiment: Experiment,
    seeds: Iterable[int] | None,
    *,
    checkpoint: str | Path | None = None,
    progress: Callable[[str, float], Any] | None = None,
) -> Results:
    """Train every method of an experiment from every seed, as `augscope train` does, and the population beside.

    On a CPU seeds go side by side in threads, the methods of each together, on a GPU the seeds of a method as one batch.

    Args:
        experiment: what to run, e.g. `presets.theorem`.
        seeds: distinct non-negative integers; None for a population, which has none.
        checkpoint: a folder for finished runs and unfinished descents; what it holds of this experiment is not computed again.
        progress: called with (name of the running piece, share done in [0, 1]).

    Returns:
        The runs, without weights and data: `results.runs`, in order of seed and method. Ctrl-C keeps what was recorded.

    Raises:
        ValueError: on bad arguments, before any work.

    Cost: seeds × methods descents.

    Example:
        >>> import jax, augscope as ag
        >>> jax.config.update("jax_enable_x64", True)
        >>> quick = ag.presets.theorem.replace(num_samples=12, num_steps=2, methods=(ag.Erm(),), coordinates="limit")
        >>> [(run.seed, run.method.title) for run in ag.train_seeds(quick, seeds=[3, 5]).runs]
        [(3, 'ERM'), (5, 'ERM')]
    """
    prepared = prepare_runs(experiment, seeds, checkpoint)
    runs, interrupted = prepared.run(progress)
    return training_results(experiment, prepared.seeds, runs, () if interrupted else prepared.population())


def load(path: str | Path, *, trust: bool = False) -> Run | Results:
    """Return what was saved: the run in a file of `Run.save`, or the results in a folder with a report.

    Args:
        path: a file, or a folder that `write_report` or a command's `--out` filled; its verdicts are judged again.
        trust: import the methods and activations of one's own that it names, which runs code.

    Raises:
        ValueError: with a sentence, if it is neither, is not whole, or names pieces to import and is not trusted.

    Example:
        >>> import jax, tempfile, augscope as ag
        >>> jax.config.update("jax_enable_x64", True)
        >>> quick = ag.presets.theorem.replace(num_samples=12, num_steps=2)
        >>> run = quick.run(ag.Erm(), quick.sample(0))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run.save(f"{folder}/run.npz")
        ...     print(ag.load(f"{folder}/run.npz").message)
        completed 2 steps
    """
    path = Path(path)
    return read_results(path, trust=trust) if path.is_dir() else load_run(path, trust=trust)


def training_results(
    experiment: Experiment,
    seeds: tuple[int | None, ...],
    runs: Sequence[SeedRun],
    population: tuple[SeedRun, ...],
) -> Results:
    """Return finished trainings as results; arguments as the attributes of `Results`."""
    drawn = drawn_seeds(seeds)
    again = command_line("train", options={"config": "config.toml", "seeds": seeds_text(drawn) if drawn else None})
    return Results("train", experiment, seeds, tuple(runs), None, again, population)


def verdict_results(verdict: Verdict, *, own_limits: bool = False) -> Results:
    """Return a verdict as results; `own_limits` says whether the limits of all samples were asked for."""
    drawn = drawn_seeds(verdict.seeds)
    tolerances = {"tolerance": verdict.terms.tolerance, "rarity-tolerance": verdict.terms.rarity_tolerance}
    options = {"config": "config.toml", "seeds": seeds_text(drawn) if drawn else "none", **tolerances}
    again = command_line("verify", options={**options, "own-limits": own_limits})
    return Results("verify", verdict.experiment, verdict.seeds, verdict.runs, verdict, again, verdict.population)


def report_files(results: Results) -> dict[str, bytes]:
    """Return what a report consists of, `FILES` by name: record, configuration, pictures, data and the page."""
    figure = features_figure(results)
    lay_out(figure)
    svg = to_bytes(figure, "svg")
    return {
        "record.json": json.dumps(to_record(results), allow_nan=False).encode(),
        "config.toml": configuration_toml(results.experiment).encode(),
        "features.svg": svg,
        "features.png": to_bytes(figure, "png"),
        "features.csv": trajectories_csv(results).encode(),
        "report.html": html_report(results, svg).encode(),
    }


def write_report(results: Results | Verdict, out: str | Path, *, overwrite: bool = False) -> list[Path]:
    """Write the report of a `verify` or a `train_seeds` to a folder, as the commands do with `--out`, and return the paths.

    Args:
        results: what `train_seeds` or `verify` returned.
        out: a folder, made where it is missing, for report.html (a single page with everything inside), the picture as SVG and PNG,
            its data as CSV, the configuration for `--config`, and record.json, which `load` and `augscope report` read.
        overwrite: replace another configuration's report there.

    Raises:
        ValueError: if the folder cannot be written, holds other files of these names, or nothing was recorded.
    """
    if isinstance(results, Verdict):
        results = verdict_results(results)
    if not results.shown:
        raise ValueError("`results` must hold a run with records, got none")
    folder = claim(Path(out), results.command, results.experiment.identity, overwrite=overwrite, names=FILES)
    return folder.write(report_files(results))
