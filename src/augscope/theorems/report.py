"""The words of a result: the verdict table, the measures table, and the self-contained HTML report made of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tomli_w

from augscope.support.pages import Download, picture, render
from augscope.support.wording import versions
from augscope.theorems.record import Results, place, trajectories_csv
from augscope.theorems.statements import resolve_rarity
from augscope.theorems.verdicts import HOLDS, NOT_MET, VIOLATED, Line, TheoremVerdict
from augscope.training.experiment import Experiment
from augscope.training.measures import features_learned
from augscope.training.seed_run import SeedRun

PICTURE = "Line charts, one column a method: feature scores over steps above, exact test accuracy over steps below."
CAPTION = (
    "Above: the signed score of each feature, mean over labels (thick: mean over seeds; thin: single seeds). "
    "Below: exact test accuracy on each feature and overall"
)


def configuration_toml(experiment: Experiment) -> str:
    """Return the configuration as TOML that `--config` reads back to an equal experiment."""
    return tomli_w.dumps(_without_none(experiment.model_dump(mode="json")))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(item) for name, item in value.items() if item is not None}
    return value


def line_cells(line: Line, *, lasting: bool) -> dict[str, str]:
    """Return one statement's cells as text: measured, predicted, tolerance, margin, seeds, step, verdict."""
    digits = {"near": ".4f", "above": ".3g", "vanishing": ".1e"}[line.kind]
    predicted = {"near": f"{line.predicted:.4f}", "above": f"> {line.predicted:g}", "vanishing": "≈ 0"}[line.kind]
    return {
        "index": line.number[-2],
        "text": line.text,
        "measured": _number(line.measured, digits),
        "predicted": predicted,
        "tolerance": "" if line.tolerance is None else f"{line.tolerance:g}",
        "margin": _number(line.margin, digits),
        "seeds": f"{line.seeds_holding}/{line.num_seeds}",
        "step": "never" if line.onset is None else f"{'from' if lasting else 'last'} {line.onset:,.0f}",
        "verdict": "not met" if line.verdict == NOT_MET else line.verdict,
        "tone": tone(line.verdict),
    }


def how_to_read(experiment: Experiment) -> str:
    """Return what the columns of the verdict table mean."""
    unit = place(experiment)
    return (
        f"Measured: mean over seeds at the end (3.3: at the last {unit} at which all statements hold). Margin: the room left "
        f"in the seed that has least. Seeds: where it holds. {unit.capitalize()}: median over those, from which it holds to "
        "the end (3.3: the last)."
    )


def tone(verdict: str) -> str:
    """Return "holds", "violated" or "open": how a verdict is coloured."""
    return {HOLDS: "holds", VIOLATED: "violated"}.get(verdict, "open")


@np.errstate(invalid="ignore")  # a run that blew up has measures that are not finite: they show as –
def measure_rows(results: Results) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Return the methods' titles and rows (name, one text per method) of measures at the last record, mean over seeds."""
    groups = {method.title: runs for method, runs in results.shown.items()}
    distribution = results.experiment.distribution
    rarity = resolve_rarity(distribution, results.experiment.num_samples)
    names = [
        f"{str(name).replace('_', ' ')} (ρ = {rho:g})"
        for rho, name in zip(distribution.frequencies, rarity, strict=True)
    ]
    rows: list[tuple[str, list[str]]] = []

    def row(name: str, value: Any) -> None:
        rows.append((name, [value(runs) for runs in groups.values()]))

    for k, name in enumerate(names):
        row(f"feature score, {name}", lambda runs, k=k: _number(_last(runs, "feature_scores")[:, k].mean()))
    row("features learned", _learned)
    for k, name in enumerate(names):
        row(
            f"noise memorised, {name}: dominant / background",
            lambda runs, k=k: _pair(_last(runs, "noise_memorised")[0, :, k]),
        )
    row("unevenness of patch scores (0: even)", lambda runs: _number(_last(runs, "unevenness")))
    row("mean patch score, label +1 / −1", lambda runs: _pair(_last(runs, "plateau"), ".4f"))
    row(
        "predicted plateau, label +1 / −1",
        lambda runs: _pair(np.mean([r.predicted_plateau for r in runs], axis=0), ".4f"),
    )
    row("largest distance from the predicted plateau", _plateau_distance)
    row("loss", lambda runs: _number(_last(runs, "loss"), ".3e"))
    row("loss above its minimum", lambda runs: _number(_last(runs, "excess_loss"), ".1e"))
    row(
        "gradient norm, largest over seeds",
        lambda runs: _number(np.max([r.history.gradient_norm[-1] for r in runs]), ".1e"),
    )
    row("gradient norm over its largest on the way", _norm_share)
    row(
        "fewest points of one feature, over seeds",
        lambda runs: str(min(min(min(c) for c in r.feature_counts) for r in runs)),
    )
    row(
        "training margin: data / augmented",
        lambda runs: _pair([_last(runs, "margin"), _last(runs, "augmented_margin")]),
    )
    for k, name in enumerate(names):
        row(
            f"test accuracy, {name}", lambda runs, k=k: _number(_last(runs, "accuracy_per_feature")[:, k].mean(), ".4f")
        )
    row("test accuracy, overall", lambda runs: _number(_last(runs, "accuracy"), ".5f"))
    row(
        "bound on the accuracy's error",
        lambda runs: _number(np.max([r.history.accuracy_error[-1] for r in runs]), ".0e"),
    )
    if any(run.history.tie_probability[-1] > 0 for runs in groups.values() for run in runs):
        row("probability of a tie", lambda runs: _number(_last(runs, "tie_probability"), ".4f"))
    return list(groups), rows


def _last(runs: list[SeedRun], field: str) -> Any:
    return np.mean([getattr(run.history, field)[-1] for run in runs], axis=0)


def _learned(runs: list[SeedRun]) -> str:
    counts = [int(features_learned(run.history.feature_scores[-1]).sum()) for run in runs]
    low, high = min(counts), max(counts)
    total = runs[0].history.feature_scores.shape[-1]
    return f"{low} of {total}" if low == high else f"{low}–{high} of {total}"


def _norm_share(runs: list[SeedRun]) -> str:
    return _number(
        np.max([run.history.gradient_norm[-1] / max(run.history.gradient_norm.max(), 1e-300) for run in runs]), ".1e"
    )


def _plateau_distance(runs: list[SeedRun]) -> str:
    return _number(np.max([np.abs(run.history.plateau[-1] - run.predicted_plateau) for run in runs]), ".1e")


def _number(value: float, digits: str = ".3g") -> str:
    return format(float(value), digits) if np.isfinite(value) else "–"


def _pair(values: Any, digits: str = ".3g") -> str:
    shown = [_number(value, digits) for value in values]
    return "–" if set(shown) == {"–"} else " / ".join(shown)


def run_notes(results: Results) -> list[str]:
    """Return a sentence for each run that diverged, oscillated or was interrupted."""
    return [
        f"{run.method.title}, seed {run.seed}: {run.message}"
        for run in results.runs
        if run.status != "completed" or run.oscillating
    ]


def html_report(results: Results, svg: bytes) -> str:
    """Return the report as one HTML page that needs no other file; every value is escaped."""
    methods, rows = measure_rows(results)
    verdict = results.verdict
    return render(
        "report.html",
        title="The three theorems against exact training" if verdict else "Exact training",
        lead=_lead(results),
        verdict=verdict,
        theorems=[_theorem_context(found) for found in verdict.theorems] if verdict else [],
        how_to_read=how_to_read(results.experiment),
        place=place(results.experiment),
        summary=[*map(str, verdict.windows), *verdict.summary] if verdict else [],
        svg=picture(svg, PICTURE, min_width=14 * len(results.shown), max_width=max(38, 24 * len(results.shown))),
        downloads=[Download("features.csv", trajectories_csv(results).encode()), Download("features.svg", svg)],
        caption=CAPTION + (", with the theorem's value dotted." if verdict else "."),
        measures={"methods": methods, "rows": [{"name": name, "values": values} for name, values in rows]},
        notes=run_notes(results),
        configuration=configuration_toml(results.experiment),
        identity=results.experiment.identity,
        seeds=results.seeds,
        versions=versions(),
        again=results.again,
    )


def _theorem_context(found: TheoremVerdict) -> dict[str, Any]:
    return {
        "heading": found.heading,
        "verdict": found.verdict,
        "tone": tone(found.verdict),
        "lines": [line_cells(line, lasting=found.theorem.lasting) for line in found.lines],
        "sentence": str(found),
        "assumptions": found.assumptions,
    }


def _lead(results: Results) -> str:
    distribution = results.experiment.distribution
    size = f"d = {distribution.dim:,}, P = {distribution.num_patches}, n = {results.experiment.num_samples:,}, "
    size += f"{training(results.experiment)}, {len(results.seeds)} seed{'s' * (len(results.seeds) != 1)}."
    if results.verdict is None:
        return size
    found = "; ".join(f"Theorem {t.theorem.number} {t.verdict}" for t in results.verdict.theorems)
    return f"{found}. {size}" + (" Interrupted: only finished runs count." if results.verdict.interrupted else "")


def training(experiment: Experiment) -> str:
    """Return how the networks were trained, in words."""
    if experiment.until is None:
        return f"{experiment.num_steps:,} exact gradient steps"
    return f"gradient flow to t = {experiment.until:g}, theorems judged at t = {experiment.horizon:,g}"
