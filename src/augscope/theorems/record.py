"""A finished `verify` or `train`, and its record as plain data, for files, JSON and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from augscope.model.methods import Method
from augscope.support.files import read_json
from augscope.support.naming import named_pieces
from augscope.support.plain_data import csv_text, plain
from augscope.support.shown import Shown
from augscope.support.values import check
from augscope.support.wording import versions
from augscope.theorems.limit import LimitVerdict
from augscope.theorems.samples import SampleVerdict
from augscope.theorems.statements import RARITY_TOLERANCE, Terms, resolve_rarity
from augscope.theorems.verdicts import Finding, TheoremVerdict
from augscope.theorems.verification import Verdict, judge_runs
from augscope.training.experiment import Experiment
from augscope.training.measures import History, features_learned
from augscope.training.seed_run import SeedRun, drawn_seeds, runs_by_method

COMMANDS = ("verify", "train")
MOST_SHOWN = 12  # runs in a `repr`
FORMAT = 1  # of the record; raised when a field changes its meaning


@dataclass(frozen=True, repr=False)
class Results(Shown):
    """Finished runs of an experiment, as `train_seeds` and the commands make them.

    Attributes:
        command: "verify" or "train".
        experiment, seeds: of the runs.
        runs: one per seed and method, in order.
        verdict: the theorems' verdicts, or None for "train".
        again: the command line that runs it again.
        population: the run of each method in the population (model.md §8.3), as far as there is one.
    """

    command: str
    experiment: Experiment
    seeds: tuple[int | None, ...]
    runs: tuple[SeedRun, ...]
    verdict: Verdict | None
    again: str
    population: tuple[SeedRun, ...] = ()

    def __str__(self) -> str:
        return "\n".join(
            [f"Results of {len(self.runs)} runs", *(f"  {run}" for run in self.runs[:MOST_SHOWN]), *self._more]
        )

    @property
    def _more(self) -> list[str]:
        more = len(self.runs) - MOST_SHOWN
        return [f"  and {more:,} more"] if more > 0 else []

    def _table(self) -> list[list[Any]]:
        """A row a run."""
        rows = []
        for run in (run for run in self.runs if len(run.history.steps)):
            learned, accuracy = features_learned(run.history.feature_scores[-1]).sum(), run.history.accuracy[-1]
            seed = "none" if run.seed is None else run.seed
            rows.append([run.method.title, seed, run.message, int(learned), f"{accuracy:.4f}"])
        return [["method", "seed", "training", "features learned", "accuracy"], *rows]

    def plot(self, axes: Any = None) -> Any:
        """Draw a column a method, as `Verdict.plot` does; arguments and result as there."""
        from augscope.support.rendering import axes_grid
        from augscope.training.figures import draw_methods, looks

        if self.verdict is not None:
            return self.verdict.plot(axes)
        grid, experiment = axes_grid(axes, 2, len(self.shown)), self.experiment
        features = looks(experiment.distribution, resolve_rarity(experiment))
        draw_methods(grid, self.shown, features, {}, runs_by_method(experiment.methods, self.population))
        return grid

    @property
    def drawn_seeds(self) -> tuple[int, ...]:
        """The seeds from which samples were drawn; none of a population, or of the limit alone."""
        return drawn_seeds(self.seeds)

    @property
    def shown(self) -> dict[Method, list[SeedRun]]:
        """The runs for means and pictures, by method; without seeds, the population's."""
        return runs_by_method(self.experiment.methods, self.runs if self.seeds else self.population)


def time_name(experiment: Experiment) -> str:
    """Return "step" for a descent and "time" for a flow: the name of what its records are numbered by."""
    return "step" if experiment.until is None else "time"


def to_record(results: Results) -> dict[str, Any]:
    """Return the results as nested dictionaries and lists for JSON; numbers that are not finite become null."""
    verdict = results.verdict
    return {
        "format": FORMAT,
        "command": results.command,
        "identity": results.experiment.identity,
        "configuration": results.experiment.model_dump(mode="json"),
        "seeds": list(results.seeds),
        "again": results.again,
        "versions": versions(),
        "verdict": None if verdict is None else _verdict_record(verdict),
        "runs": [_run_record(run) for run in results.runs],
        "population": [_run_record(run) for run in results.population],
        "own_limits": [] if verdict is None else [_run_record(run) for run in verdict.own_limits],
    }


def read_results(folder: Path, *, trust: bool = False) -> Results:
    """Return the results in a folder's record.json, judged again: the inverse of `to_record`.

    Args:
        folder: that holds record.json.
        trust: import the methods and activations that it names by import path, which runs code.

    Raises:
        ValueError: if there is no such record, it is another program's, another format's or not whole, or it names
            pieces to import and is not trusted.
    """
    path = folder / "record.json"
    try:
        record = read_json(path)
    except OSError as error:
        raise ValueError(f"`folder` must hold a run's record.json, got {folder}: {error.strerror}") from None
    except ValueError:
        raise ValueError(f"`folder` must hold a run's record.json, got {path}, which is no JSON") from None
    command = record.get("command") if isinstance(record, dict) else None
    check(command in COMMANDS, f"`folder` must hold a run of {' or '.join(COMMANDS)}, got {path} of {command!r}")
    check(record.get("format") == FORMAT, f"{path} has format {record.get('format')!r}; this version reads {FORMAT}")
    try:
        own = named_pieces(record["configuration"])
        rule = "which runs code: `trust` must be given for that"
        check(trust or not own, f"{path} names {', '.join(own)} to import, {rule}")
        experiment, seeds = Experiment(**record["configuration"]), tuple(record["seeds"])
        # Before there was the limit, a record had neither.
        runs, population, own_limits = (
            tuple(_read_run(row, experiment) for row in record.get(name, ()))
            for name in ("runs", "population", "own_limits")
        )
        verdict = record["verdict"]
        if verdict is not None:
            seconds = sum(run.seconds for run in runs)
            # Before accuracy by rarity was judged, a record did not state its tolerance.
            terms = Terms(experiment, verdict["tolerance"], verdict.get("rarity_tolerance", RARITY_TOLERANCE))
            limits = _read_limits(verdict, population)
            verdict = judge_runs(
                terms, seeds, runs, verdict["interrupted"], seconds, limits=limits, own_limits=own_limits
            )
        return Results(str(command), experiment, seeds, runs, verdict, record["again"], population)
    except (LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"{path} is not whole: {type(error).__name__} {error}") from None


def _read_run(row: dict[str, Any], experiment: Experiment) -> SeedRun:
    matching = [one for one in experiment.methods if one.model_dump(mode="json") == row["method"]]
    if not matching:
        raise KeyError(f"method {row['method']}")
    (method,) = matching
    fields = {name: row[name] for name in ("seed", "status", "message", "oscillating", "seconds")}
    counts = row["feature_counts"]
    fields["feature_counts"] = None if counts is None else tuple(tuple(one) for one in counts)
    fields["predicted_plateau"] = np.array(row["history"]["predicted_plateau"], np.float64)
    return SeedRun(method=method, history=History.from_dict(row["history"]), **fields).checked()


def _read_limits(verdict: dict[str, Any], population: Sequence[SeedRun]) -> dict[Method, tuple[LimitVerdict, SeedRun]]:
    """What holds in the limit, as `_theorem_record` wrote it down, by method."""
    limits = {row["method"]: row.get("limit") for row in verdict["theorems"]}
    return {
        run.method: (LimitVerdict.from_dict(limits[run.method.title]), run)
        for run in population
        if limits.get(run.method.title) is not None
    }


def trajectories_csv(results: Results) -> str:
    """Return the data behind the picture: a row a method, seed and record; scores and accuracies of a feature are means over labels."""
    features = range(1, results.experiment.distribution.num_features + 1)
    scores, accuracies = ([f"{name}[{k}]" for k in features] for name in ("feature_score", "feature_accuracy"))
    columns = ["method", "seed", time_name(results.experiment), "loss", *scores, *accuracies, "accuracy"]
    rows = []
    for run in (*results.runs, *results.population):  # a population has no seed
        history = run.history
        measures = [history.steps[:, None], history.loss[:, None], history.feature_scores.mean(axis=1)]
        measures += [history.accuracy_per_feature.mean(axis=1), history.accuracy[:, None]]
        for row in np.concatenate(measures, axis=1).tolist():
            rows.append([run.method.title, run.seed, *(f"{value:.10g}" for value in row)])
    return csv_text(columns, rows)


def summary_record(results: Results) -> dict[str, Any]:
    """Return the record for `--json`: each run with its last measures in place of its history."""
    record = to_record(results)
    own_limits = () if results.verdict is None else results.verdict.own_limits
    for name, runs in (("runs", results.runs), ("population", results.population), ("own_limits", own_limits)):
        for row, run in zip(record[name], runs, strict=True):
            del row["history"]
            row["last"] = _last_record(run)
    return record


def _last_record(run: SeedRun) -> dict[str, Any]:
    history, recorded = run.history, len(run.history.steps) > 0
    last = {name: plain(array[-1]) if recorded else None for name, array in vars(history).items()}
    last["predicted_plateau"] = plain(run.predicted_plateau)
    return {**last, "features_learned": plain(features_learned(history.feature_scores[-1]))} if recorded else last


def _run_record(run: SeedRun) -> dict[str, Any]:
    return {
        "seed": run.seed,
        "method": run.method.model_dump(mode="json"),
        "status": run.status,
        "message": run.message,
        "oscillating": run.oscillating,
        "feature_counts": plain(run.feature_counts),
        "seconds": round(run.seconds, 3),
        "history": {**run.history.to_dict(), "predicted_plateau": plain(run.predicted_plateau)},
    }


def _verdict_record(verdict: Verdict) -> dict[str, Any]:
    return {
        "tolerance": verdict.terms.tolerance,
        "rarity_tolerance": verdict.terms.rarity_tolerance,
        "rarity": [str(name) for name in verdict.terms.rarity],
        "rarity_derived": verdict.rarity_derived,
        "noise_ratio": verdict.noise_ratio,
        "interrupted": verdict.interrupted,
        "exit_status": verdict.exit_status,
        "summary": list(verdict.summary),
        "theorems": [_theorem_record(theorem) for theorem in verdict.theorems],
        "orders": [{"order": order.title, **_finding_record(order)} for order in verdict.orders],
        "windows": [
            {**vars(window), "windows": [vars(one) for one in window.windows], "sentence": str(window)}
            for window in verdict.windows
        ],
    }


def _theorem_record(verdict: TheoremVerdict) -> dict[str, Any]:
    return {
        "theorem": verdict.theorem.number,
        "title": verdict.theorem.title,
        "method": verdict.method.title,
        **_finding_record(verdict),
        "limit": None if verdict.limit is None else verdict.limit.to_dict(),
        "own_limits": [{"seed": one.seed, "verdict": one.verdict} for one in verdict.own_limits],
        "onset": verdict.onset,
        "largest_change": None if verdict.largest_change is None else plain(verdict.largest_change._asdict()),
    }


def _finding_record(finding: Finding) -> dict[str, Any]:
    return {
        "verdict": finding.verdict,
        "samples_holding": finding.samples_holding,
        "samples_failing": finding.samples_failing,
        "samples_undecided": finding.samples_undecided,
        "share_of_decided": list(finding.tally.interval),
        "sentence": str(finding),
        "assumptions": [{"text": row.text, "met": row.met} for row in finding.assumptions],
        "lines": [plain(vars(line)) for line in finding.lines],
        "samples": [_sample_record(sample) for sample in finding.samples],
    }


def _sample_record(sample: SampleVerdict) -> dict[str, Any]:
    fields = {name: getattr(sample, name) for name in ("seed", "verdict", "missing", "reason", "onset")}
    measured = [[one.values[sample.at] for one in row] for row in sample.conditions]
    return {**fields, "measured": plain(measured)}
