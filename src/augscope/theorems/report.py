"""Results in words: the verdict table, the measures table, and the HTML report, a single file, with both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tomli_w

from augscope.model.schematic import SHOWN, schematic_svg
from augscope.support.pages import Download, data_address, picture, render
from augscope.support.wording import versions
from augscope.theorems.distance import distance_sentences
from augscope.theorems.explanations import introduction, next_step, reasons
from augscope.theorems.figures import size_text
from augscope.theorems.lines import Line
from augscope.theorems.record import Results, time_name, trajectories_csv
from augscope.theorems.samples import HOLDS
from augscope.theorems.statements import rarity_text, resolve_rarity
from augscope.theorems.verdicts import VIOLATED, Finding
from augscope.training.experiment import Experiment
from augscope.training.measures import features_learned
from augscope.training.seed_run import SeedRun

PICTURE = "Line charts, one column a method: feature scores over steps above, exact test accuracy over steps below."
TIES = "probability of a tie"  # a row of the measures, left out where there are none
CAPTION = (
    "Above: the signed score of each feature, mean over labels (thick: mean over seeds; thin: single seeds). "
    "Below: exact test accuracy on each feature and overall. Short dashes: the population, in which d and n are infinite"
)


def configuration_toml(experiment: Experiment) -> str:
    """Return the configuration as TOML that `--config` reads back to an equal experiment."""
    return tomli_w.dumps(_without_none(experiment.model_dump(mode="json")))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(item) for name, item in value.items() if item is not None}
    return value


def line_cells(line: Line) -> dict[str, str]:
    """Return one line's cells as text: statement, mean, required, worst, in how many samples it is true, and since when."""
    return {
        "statement": f"({line.number[-2]}) {line.text}" if line.number else line.text,
        "mean": "" if line.measured is None else _number(line.measured, line.digits),
        "required": line.required,
        "worst": "" if line.worst is None else _number(line.worst, line.digits),
        "true in": f"{line.samples_true} of {line.num_samples}",
        "since": "" if line.onset is None else f"{line.onset:{',.0f' if line.onset >= 10 else '.3g'}}",
    }


def how_to_read(experiment: Experiment) -> str:
    """Return what the columns of the verdict table mean."""
    unit = time_name(experiment)
    return (
        f"Mean and worst: over the samples, at T (for 3.3: at the last {unit} at which all three statements are true). The worst "
        f"value is the closest to the edge of the required range, or the farthest outside it. True in: the number of samples in "
        f"which the statement is true then. From {unit}: the first {unit} from which it stays true (median of those samples)."
    )


def tone(verdict: str) -> str:
    """Return "holds", "violated" or "open": how a verdict is coloured."""
    return {HOLDS: "holds", VIOLATED: "violated"}.get(verdict, "open")


def measure_rows(results: Results) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Return the methods' titles and rows (name, one text per method) of measures at the last record, mean over seeds."""
    distribution, groups = results.experiment.distribution, results.shown
    rarity = resolve_rarity(results.experiment)
    pairs = zip(distribution.frequencies, rarity, strict=True)
    features = [f"{rarity_text(name)} (ρ = {rho:g})" for rho, name in pairs]
    tables = [_last_measures(runs, features) for runs in groups.values()]
    rows = [(cells[0][0], [text for _, text in cells]) for cells in zip(*tables, strict=True)]
    if not any(run.history.tie_probability[-1] > 0 for runs in groups.values() for run in runs):
        rows = [row for row in rows if row[0] != TIES]
    return [method.title for method in groups], rows


@np.errstate(invalid="ignore")  # a run that diverged has measures that are not finite: they are shown as –
def _last_measures(runs: Sequence[SeedRun], features: Sequence[str]) -> list[tuple[str, str]]:
    """One method's measures at the last record, mean over seeds: names and texts."""

    def mean(field: str) -> Any:
        return np.mean([getattr(run.history, field)[-1] for run in runs], axis=0)

    scores, memorised, accuracies = mean("feature_scores"), mean("noise_memorised"), mean("accuracy_per_feature")
    norms = [run.history.gradient_norm for run in runs]
    predicted_plateau = np.mean([run.predicted_plateau for run in runs], axis=0)
    distance = np.max([np.abs(run.history.plateau[-1] - run.predicted_plateau) for run in runs])
    norm_share = np.max([norm[-1] / max(norm.max(), 1e-300) for norm in norms])
    accuracy_error = np.max([run.history.accuracy_error[-1] for run in runs])
    noise = "noise memorised, {}: dominant / background"
    return [
        *((f"feature score, {name}", _number(scores[:, k].mean())) for k, name in enumerate(features)),
        ("features learned", _learned(runs)),
        *((noise.format(name), _pair(memorised[0, :, k])) for k, name in enumerate(features)),
        ("unevenness of patch scores (0: even)", _number(mean("unevenness"))),
        ("mean patch score, label +1 / −1", _pair(mean("plateau"), ".4f")),
        ("predicted plateau, label +1 / −1", _pair(predicted_plateau, ".4f")),
        ("largest distance from the predicted plateau", _number(distance, ".1e")),
        ("loss", _number(mean("loss"), ".3e")),
        ("loss above its minimum", _number(mean("excess_loss"), ".1e")),
        ("gradient norm, largest over seeds", _number(np.max([norm[-1] for norm in norms]), ".1e")),
        ("gradient norm over its largest in training", _number(norm_share, ".1e")),
        ("fewest points with one feature, over seeds", _fewest_points(runs)),
        ("training margin: data / augmented", _pair([mean("margin"), mean("augmented_margin")])),
        *((f"test accuracy, {name}", _number(accuracies[:, k].mean(), ".4f")) for k, name in enumerate(features)),
        ("test accuracy, overall", _number(mean("accuracy"), ".5f")),
        ("bound on the accuracy's error", _number(accuracy_error, ".0e")),
        (TIES, _number(mean("tie_probability"), ".4f")),
    ]


def _fewest_points(runs: Sequence[SeedRun]) -> str:
    counts = [count for run in runs for row in run.feature_counts or () for count in row]
    return str(min(counts)) if counts else "–"


def _learned(runs: Sequence[SeedRun]) -> str:
    counts = [int(features_learned(run.history.feature_scores[-1]).sum()) for run in runs]
    low, high = min(counts), max(counts)
    total = runs[0].history.feature_scores.shape[-1]
    return f"{low} of {total}" if low == high else f"{low}–{high} of {total}"


def _number(value: float, digits: str = ".3g") -> str:
    return format(float(value), digits) if np.isfinite(value) else "–"


def _pair(values: Any, digits: str = ".3g") -> str:
    texts = [_number(value, digits) for value in values]
    return "–" if set(texts) == {"–"} else " / ".join(texts)


def plateau_sentences(results: Results) -> list[str]:
    """Return what the methods say of plateaus that are not in the table of measures."""
    return [sentence for method in results.shown if (sentence := method.plateau_sentence())]


def run_notes(results: Results) -> list[str]:
    """Return a sentence for each run that diverged, oscillated or was interrupted."""
    return [
        f"{run.method.title}{'' if run.seed is None else f', seed {run.seed}'}: {run.message}"
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
        introduction=introduction(results.experiment),
        schematic={
            "address": data_address(schematic_svg(results.experiment.distribution.num_patches), "svg"),
            "alt": SHOWN,
        },
        reasons=reasons(verdict) if verdict else [],
        verdict=verdict,
        findings=[_finding_context(finding) for finding in verdict.findings] if verdict else [],
        how_to_read=how_to_read(results.experiment),
        time_name=time_name(results.experiment),
        summary=verdict.summary if verdict else [],
        windows=[*map(str, verdict.windows)] if verdict else [],
        svg=picture(svg, PICTURE, min_width=14 * len(results.shown), max_width=max(38, 24 * len(results.shown))),
        downloads=[Download("features.csv", trajectories_csv(results).encode()), Download("features.svg", svg)],
        caption=CAPTION + (", with the theorem's value dotted." if verdict else "."),
        measures={"methods": methods, "rows": [{"name": name, "values": values} for name, values in rows]},
        plateaus=plateau_sentences(results),
        notes=run_notes(results),
        configuration=configuration_toml(results.experiment),
        identity=results.experiment.identity,
        seeds=results.drawn_seeds,
        distances=distance_sentences(results),
        versions=versions(),
        again=results.again,
        next_step=next_step(results),
    )


def _finding_context(finding: Finding) -> dict[str, Any]:
    return {
        "title": finding.title,
        "name": finding.name,
        "verdict": finding.verdict,
        "observed": finding.observed,
        "tone": tone(finding.verdict),
        "lines": [{**line_cells(line), "part": line.part} for line in finding.lines],
        "sentence": str(finding),
        "assumptions": finding.assumptions,
        "others": [sample for sample in finding.samples if sample.reason],
    }


def _lead(results: Results) -> str:
    distribution = results.experiment.distribution
    size = f"P = {distribution.num_patches}, {size_text(results)}, {training(results.experiment)}."
    if results.verdict is None:
        return size
    return size + (" Interrupted: only finished runs count." if results.verdict.interrupted else "")


def training(experiment: Experiment) -> str:
    """Return how the networks were trained, in words."""
    if experiment.until is None and experiment.sampling is not None:
        return f"{experiment.num_steps:,} gradient steps, {experiment.sampling}"
    if experiment.until is None:
        return f"{experiment.num_steps:,} exact gradient steps"
    return f"gradient flow to t = {experiment.until:g}, theorems judged at t = {experiment.horizon:,g}"
