"""The page's text: the form, what is said of settings and results, and the files that can be taken away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import escape

from augscope.explorer import charts
from augscope.explorer.plane import AXES
from augscope.explorer.runs import Training, Visit
from augscope.explorer.settings import CONTROLS, GROUPS, MAX_FEATURES, PRESETS, Knob, Settings
from augscope.model.distribution import learning_ratios
from augscope.model.schematic import SHOWN, schematic_svg
from augscope.theorems.assumptions import LARGEST_NOISE_RATIO, noise_ratio, setting_assumptions
from augscope.theorems.statements import theorem_for
from augscope.training.seed_run import SeedRun

DEFAULT_AXES = ("rho_2", "dominant_noise_std")
DOWNLOADS = {
    "explored.svg": ("Figure (SVG)", "image/svg+xml"),
    "explored.png": ("Figure (PNG)", "image/png"),
    "explored.csv": ("Data (CSV)", "text/csv"),
    "explored.toml": ("Configuration (TOML)", "text/plain"),
    "explored.sh": ("Command line", "text/plain"),
}
WORDS = {0.0: "wrong", 0.5: "coin flip", 1.0: "learned"}
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
)


def page_html(settings: Settings, address_problems: list[str], axes: tuple[str, str]) -> str:
    """Return the page as it is opened: everything but what is computed."""
    presets = {name: {**preset.controls, **preset.choices} for name, preset in PRESETS.items()}
    return _TEMPLATES.get_template("front.html").render(
        groups=GROUPS,
        values={name: _number(value) for name, value in settings.controls.items()},
        choices=settings.choices,
        name_of=name_of,
        presets=presets,
        axes={name: name_of(CONTROLS[name]) for name in AXES},
        chosen_axes=axes,
        downloads={name: label for name, (label, _) in DOWNLOADS.items()},
        problems=address_problems,
        num_features=MAX_FEATURES,
        schematic=SHOWN,
    )


def drawn_model(num_patches: str) -> bytes:
    """Return the picture of a data point of so many patches as SVG; of the fewest where that is no number."""
    return schematic_svg(int(num_patches) if num_patches.isdecimal() and len(num_patches) < 9 else 0)


def name_of(knob: Knob) -> str:
    """Return a control's name in words, with its symbol where that needs no subscript letter: "share of feature 2 ρ₂"."""
    return knob.meaning if "_" in knob.symbol or knob.symbol == knob.name else f"{knob.meaning} {knob.symbol}"


def _number(value: float) -> str:
    """A number as a box shows it: all its digits, but no ".0"."""
    return str(int(value)) if value == int(value) else str(value)


def read_axes(query: dict[str, str]) -> tuple[str, str]:
    """Take the map's two axes out of an address; where they are none, the default ones."""
    axes = query.pop("x", DEFAULT_AXES[0]), query.pop("y", DEFAULT_AXES[1])
    return axes if set(axes) <= set(AXES) and axes[0] != axes[1] else DEFAULT_AXES


def form_state(settings: Settings) -> dict[str, Any]:
    """Return what the form shows beside its controls, and the address that restores the settings."""
    errors = settings.errors()
    beside = {"frequencies": "rho_2"}
    problems = {beside.get(name, name): sentences for name, sentences in settings.problems().items()}
    return {
        "query": settings.query(),
        "values": {**settings.controls, **settings.choices},
        "problems": problems,
        "wrong": bool(errors),
        "preset": settings.preset,
        "first": f"{settings.frequencies[0]:g}",
    }


def curves_pieces(visit: Visit) -> dict[str, str]:
    """Return what shows the trainings, by the id of its element."""
    titles = [method.title for method in visit.experiment.methods]
    limit, sample = visit.limit.latest, visit.sample.latest
    columns = charts.curves(limit, sample, visit.earlier, titles, visit.experiment.num_steps)
    return {
        "columns": _render("columns", columns=columns),
        "legend": _render(
            "legend", settings=visit.settings, experiment=visit.experiment, has_earlier=bool(visit.earlier)
        ),
        "state": str(escape(_state(visit))),
        "standing": _render("standing", rows=_standing(visit)),
        "features": _render("features", rows=_features(visit), titles=titles, sentences=_sentences(visit)),
    }


def map_pieces(visit: Visit) -> dict[str, str]:
    """Return the maps, by the id of their element."""
    plane = visit.plane
    names = name_of(CONTROLS[plane.x]), name_of(CONTROLS[plane.y])
    titles = [method.title for method in visit.experiment.methods]
    drawn = charts.maps(plane, titles, names, visit.settings)
    counts = range(len(visit.settings.frequencies) + 1)
    return {"maps": _render("maps", columns=drawn), "map-legend": _render("map_legend", counts=counts, plane=plane)}


def _render(block: str, **values: Any) -> str:
    """One macro of the page's pieces."""
    return str(getattr(_TEMPLATES.get_template("front_pieces.html").module, block)(**values))


def _state(visit: Visit) -> str:
    """Where everything stands, in a few words."""
    limit, sample = visit.limit.latest, visit.sample.latest
    if sample.error:
        return f"Not trained: {sample.error}"
    if not limit.is_over:
        return "computing the limit"
    if not sample.is_over:
        steps = ", ".join(f"{name} {step:,}" for name, step in sample.steps.items())
        return f"training, of {visit.experiment.num_steps:,} steps: {steps}" if steps else "training begins"
    stopped = any(run.status == "interrupted" for run in sample.runs)
    return f"{'stopped' if stopped else 'trained'} after {sample.seconds:.1f} s"


def _standing(visit: Visit) -> list[tuple[str, ...]]:
    """A row a method: accuracy trained exactly, in the limit and by its theorem, and how far the training is."""
    limit, sample = _by_title(visit.limit), _by_title(visit.sample)
    rows = []
    for method in visit.experiment.methods:
        run, population = sample.get(method.title), limit.get(method.title)
        step = visit.sample.latest.steps.get(method.title, 0)
        state = "waits" if run is None else f"running, step {step:,}" if run.status == "running" else run.message
        rows.append((method.title, _accuracy(run), _accuracy(population), _theorem(visit, method), state))
    return rows


def _by_title(training: Training) -> dict[str, SeedRun]:
    return {run.method.title: run for run in training.latest.runs}


def _accuracy(run: SeedRun | None) -> str:
    return "…" if run is None else f"{run.history.accuracy[-1]:.4f}"


def _theorem(visit: Visit, method: Any) -> str:
    """What the theorem expects at the stated rarities; derived ones are those of the limit."""
    theorem, distribution = theorem_for(method), visit.experiment.distribution
    if theorem is None:
        return "–"
    if distribution.rarity is None:
        return "as in the limit"
    if any(not row.met and not row.at_this_size for row in setting_assumptions(method, visit.experiment)):
        return f"– ({theorem.number} does not apply)"
    return f"{theorem.accuracy.predicted(distribution, distribution.rarity):.4g} ({theorem.number})"


def _features(visit: Visit) -> list[tuple[str, ...]]:
    """A row a feature: its share, stated rarity, ratios, and what each method makes of it in the limit."""
    distribution, limit = visit.experiment.distribution, _by_title(visit.limit)
    ratios = learning_ratios(distribution, visit.experiment.num_samples)
    rarities = distribution.rarity or ["from the limit"] * len(distribution.frequencies)
    rows = []
    for k, (frequency, rarity) in enumerate(zip(distribution.frequencies, rarities, strict=True)):
        accuracies = [run.history.accuracy_per_feature[-1, :, k].min() for run in limit.values()]
        words = [WORDS.get(round(float(value), 9), f"{value:.3g}") for value in accuracies]
        numbers = f"{ratios[0, k]:.3g}", f"{ratios[1, k]:.3g}"
        rows.append((str(k + 1), f"{frequency:g}", str(rarity).replace("_", " "), *numbers, *words))
    return rows


def _sentences(visit: Visit) -> list[str]:
    """κ and the plateau in words, and the patch scores that were measured."""
    kappa = noise_ratio(visit.experiment.distribution, visit.experiment.num_samples)
    small = kappa <= LARGEST_NOISE_RATIO
    sentences = [
        f"κ = {kappa:.3g}, the test noise of an even CutMix solution over its plateau, is "
        + ("small, as Theorem 3.3 (3) needs." if small else f"above {LARGEST_NOISE_RATIO}: CutMix loses accuracy.")
    ]
    for run in visit.sample.latest.runs:
        if np.isfinite(run.predicted_plateau).all():
            now, expected = (
                ", ".join(f"{value:.4f}" for value in values)
                for values in (run.history.plateau[-1], run.predicted_plateau)
            )
            uneven = f"spread over mean {run.history.unevenness[-1]:.2g}"
            sentences.append(
                f"{run.method.title}: patches of labels +1, −1 score {now} ({uneven}); predicted {expected}."
            )
    return sentences


def download(visit: Visit, name: str) -> bytes:
    """Return one of `DOWNLOADS`, of what has been measured so far."""
    from augscope.support.rendering import to_bytes  # loading matplotlib would hold up the page
    from augscope.theorems.figures import features_figure
    from augscope.theorems.record import Results, trajectories_csv
    from augscope.theorems.report import configuration_toml

    settings, experiment, kind = visit.settings, visit.experiment, name.rpartition(".")[2]
    if kind == "sh":
        return f"{settings.command()}\n".encode()
    if kind == "toml":
        line = f"# augscope verify --config explored.toml --seeds {settings.seed},\n"
        return (line + configuration_toml(experiment)).encode()
    runs, population = visit.sample.latest.runs, visit.limit.latest.runs
    results = Results("train", experiment, (settings.seed,), runs, None, "", population)
    if kind == "csv":
        return trajectories_csv(results).encode()
    return to_bytes(features_figure(results), kind)
