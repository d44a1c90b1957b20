"""The columns of a sweep's Parquet parts, with type and meaning: a row is a cell."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import pyarrow as pa

from augscope.support.wording import VERSIONED
from augscope.training.measure_table import Measure, measures_of
from augscope.training.measures import History

FORMAT = 2  # of the records, in each part's metadata; raised when a column changes its meaning
OLDER_FORMATS = (1,)  # that are read too: they derived `predicted_accuracy` from R(σ) ≥ 0.7
UNREPEATABLE = ("seconds", "sample_seconds", "finished", "machine")  # all else is equal in every run of a cell

_text, _whole, _real, _flag = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_reals = pa.list_(_real)

_IDENTITY = (
    ("cell", _text, "SHA-256 of configuration and seed"),
    ("experiment", _text, "SHA-256 of the configuration without the method: compare methods where it is equal"),
    ("seed", _whole, "seed; the key is jax.random.key(seed); null of a population"),
    ("method", _text, "erm, cutout, cutmix, or module:Name of your own"),
    ("method_title", _text, "the method with its parameters, as people write it"),
    ("status", _text, "completed, diverged, unfinished (a flow that ended early) or failed (no measures: see message)"),
    ("message", _text, "one sentence on how the run ended"),
)
_CONFIGURATION = (
    ("dim", _whole, "d"),
    ("num_patches", _whole, "P"),
    ("num_features", _whole, "K"),
    ("frequencies", _reals, "ρ (K)"),
    ("rarity", pa.list_(_text), "stated rarity (K), or null"),
    ("feature_noise", _real, "α"),
    ("dominant_noise_std", _real, "σ_d"),
    ("background_noise_std", _real, "σ_b"),
    ("negative_slope", _real, "β; null for an activation of your own"),
    ("smoothing", _real, "r; likewise"),
    ("num_cut", _whole, "C; null unless Cutout"),
    ("algorithm", _text, "how the method's expectation is computed; null for ERM"),
    ("num_samples", _whole, "n"),
    ("init_std", _real, "σ_0; 0 in a limit"),
    ("step_size", _real, "η"),
    ("num_steps", _whole, "T"),
    ("until", _real, "end of the gradient flow; null for a descent"),
    ("coordinates", _text, "reduced, dense, limit (d → ∞), or population (n → ∞ too: one row a configuration)"),
    ("frame", _text, "standard or random"),
    ("configuration", _text, "all of it: the canonical JSON of `Experiment` with this method alone"),
)
_PREDICTION = (
    ("dominant_ratio", _reals, "R(σ_d) = ρ n/(σ_d² d) (K), model.md identity 9"),
    ("background_ratio", _reals, "R(σ_b) = ρ n/(σ_b² d) (K)"),
    ("noise_ratio", _real, "κ, model.md identity 10"),
    (
        "predicted_accuracy",
        _real,
        "of the method's theorem, by the stated rarity or the derived one, where a borderline feature counts as learned; derived "
        "by what ERM and Cutout learn in the population (`derive_rarity`), in parts of format 1 by R(σ) ≥ 0.7",
    ),
)


def numbers_of(measures: Sequence[Measure]) -> dict[str, str]:
    """Return the meaning, by name, of the measures that are one number a step: each has a column with its last value."""
    return {row.name: row.meaning for row in measures[1:] if row.shape == ("R",)}  # the first are the steps


def _at_the_end(name: str, when: str = "") -> tuple[str, pa.DataType, str]:
    return name, _real, numbers_of(measures_of(History))[name] + when


_MEASURES = (
    ("last_step", _real, "last recorded step, or time of a flow"),
    ("oscillating", _flag, "the loss rose in over a quarter of the last 1,000 steps"),
    ("feature_counts", pa.list_(pa.list_(_whole)), "points per feature (2, K), label +1 first; null of a population"),
    _at_the_end("accuracy", " at the end, as are all below without a word on when"),
    _at_the_end("accuracy_error", " at the end"),
    ("best_accuracy", _real, "largest accuracy over all recorded steps"),
    _at_the_end("tie_probability"),
    ("feature_accuracy", _reals, "accuracy given the feature, mean of both labels (K)"),
    ("feature_score", _reals, "smaller of both labels' signed scores (K)"),
    ("learned", pa.list_(_flag), "whether the feature is learned (K), model.md §5"),
    ("num_learned", _whole, "number of features learned"),
    *map(_at_the_end, ("loss", "gradient_norm", "margin", "augmented_margin", "unevenness", "excess_loss")),
    ("plateau", _reals, "mean y a over patches (2), label +1 first"),
    ("predicted_plateau", _reals, "where the method settles (2); NaN where that is not known"),
    ("window_opens", _real, "T_m: start of the longest window of accuracy = predicted_accuracy ± 0.01, or null"),
    ("window_closes", _real, "T_end: its end; null if it still holds at the last step, or there is none"),
    ("window_until", _real, "the same, but the last step if it still holds then"),
)
_CIRCUMSTANCES = (
    ("seconds", _real, "wall time of training and measuring"),
    ("sample_seconds", _real, "wall time of drawing the sample"),
    ("finished", pa.timestamp("us", tz="UTC"), "when"),
    ("machine", _text, "kind of machine, and its name"),
    ("versions", pa.struct([(name, _text) for name in ("python", *VERSIONED)]), "of packages that decide the numbers"),
)


def schema_of(measures: Sequence[Measure]) -> pa.Schema:
    """Return the schema for a table of measures (see `measures_of`). A row is a cell.

    Null means: does not apply, or (status failed) not measured.
    """
    names = [name for name, *_ in _MEASURES]
    newer = [(name, _real, meaning) for name, meaning in numbers_of(measures).items() if name not in names]
    groups = (_IDENTITY, _CONFIGURATION, _PREDICTION, _MEASURES, newer, [_history(measures)], _CIRCUMSTANCES)
    fields = [_field(*row) for group in groups for row in group]
    return pa.schema(fields, metadata={"augscope.format": str(FORMAT)})


def _history(measures: Sequence[Measure]) -> tuple[str, pa.DataType, str]:
    """The column of all measures at all steps: a list each, nested as deep as its shape."""
    steps, *others = measures
    parts = [_field(steps.name, _reals, f"{steps.meaning} {steps.axes}")]
    for row in others:
        parts.append(_field(row.name, reduce(lambda inner, _: pa.list_(inner), row.shape, _real), row.axes))
    return "history", pa.struct(parts), "every measure at every recorded step: see `History`"


def _field(name: str, kind: pa.DataType, description: str) -> pa.Field:
    return pa.field(name, kind, metadata={"description": description})


SCHEMA = schema_of(measures_of(History))
