"""What a sweep records of a cell: the columns of its Parquet parts, typed and described."""

from __future__ import annotations

import pyarrow as pa

FORMAT = 1  # of the records; raised when a column changes its meaning
VERSIONED = ("python", "augscope", "jax", "jaxlib", "numpy", "scipy")
UNREPEATABLE = ("seconds", "sample_seconds", "finished", "machine")  # all else is the same whenever a cell is run

_text, _whole, _real, _flag = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_reals, _table = pa.list_(_real), pa.list_(pa.list_(_real))

_IDENTITY = (
    ("cell", _text, "SHA-256 of configuration and seed"),
    (
        "experiment",
        _text,
        "SHA-256 of the configuration but for the method: with the seed, what methods are compared by",
    ),
    ("seed", _whole, "seed; the key is jax.random.key(seed)"),
    ("method", _text, "erm, cutout, cutmix, or module:Name of your own"),
    ("method_title", _text, "the method with its parameters, as people write it"),
    (
        "status",
        _text,
        "completed, diverged, unfinished (a flow whose solver gave up) or failed (no measures: see message)",
    ),
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
    ("init_std", _real, "σ_0"),
    ("step_size", _real, "η"),
    ("num_steps", _whole, "T"),
    ("until", _real, "end of the gradient flow; null for a descent"),
    ("coordinates", _text, "reduced or dense"),
    ("frame", _text, "standard or random"),
    ("configuration", _text, "all of it: the canonical JSON of `Experiment` with this method alone"),
)
_PREDICTION = (
    ("dominant_ratio", _reals, "R(σ_d) = ρ n/(σ_d² d) (K), model.md identity 9"),
    ("background_ratio", _reals, "R(σ_b) = ρ n/(σ_b² d) (K)"),
    ("noise_ratio", _real, "κ, model.md identity 10"),
    ("predicted_accuracy", _real, "of the method's theorem, by the stated or derived rarity"),
)
_MEASURES = (
    ("last_step", _real, "last recorded step, or time of a flow"),
    ("oscillating", _flag, "the loss rose in over a quarter of the last 1,000 steps"),
    ("feature_counts", pa.list_(pa.list_(_whole)), "points per feature (2, K), row 0 for label +1"),
    ("accuracy", _real, "exact P[y f(X) > 0] at the end, as are all below without a word on when"),
    ("accuracy_error", _real, "bound on the error of every accuracy at the end"),
    ("best_accuracy", _real, "largest accuracy over all recorded steps"),
    ("tie_probability", _real, "P[f(X) = 0]"),
    ("feature_accuracy", _reals, "accuracy given the feature, mean of both labels (K)"),
    ("feature_score", _reals, "smaller of both labels' signed scores (K)"),
    ("learned", pa.list_(_flag), "whether the feature is learned (K), model.md §5"),
    ("num_learned", _whole, "how many are"),
    ("loss", _real, "training loss"),
    ("gradient_norm", _real, "its gradient's norm"),
    ("margin", _real, "smallest y f(X) over the training points"),
    ("augmented_margin", _real, "smallest y f over augmented points; NaN for CutMix"),
    ("unevenness", _real, "spread of the patch scores over their mean"),
    ("excess_loss", _real, "CutMix loss above its minimum; else NaN"),
    ("plateau", _reals, "mean y a over patches (2), label +1 first"),
    ("predicted_plateau", _reals, "where CutMix settles (2); else NaN"),
    (
        "window_opens",
        _real,
        "T_m: from when the accuracy stays within 0.01 of predicted_accuracy, longest window; null if never",
    ),
    ("window_closes", _real, "T*: until when; null if it still holds at the end, or never did"),
    ("window_until", _real, "the same, but the last step if it still holds then"),
)
_HISTORY = (
    ("steps", _reals, "steps, or times of a flow (R)"),
    ("loss", _reals, "(R)"),
    ("gradient_norm", _reals, "(R)"),
    ("feature_scores", pa.list_(_table), "(R, 2, K)"),
    ("noise_memorised", pa.list_(pa.list_(_table)), "(R, 2, 2, K)"),
    ("unevenness", _reals, "(R)"),
    ("plateau", _table, "(R, 2)"),
    ("excess_loss", _reals, "(R)"),
    ("margin", _reals, "(R)"),
    ("augmented_margin", _reals, "(R)"),
    ("feature_projections", pa.list_(pa.list_(_table)), "(R, 2, 2, K)"),
    ("noise_gram", pa.list_(_table), "(R, 2, 2)"),
    ("accuracy", _reals, "(R)"),
    ("accuracy_per_feature", pa.list_(_table), "(R, 2, K)"),
    ("accuracy_error", _reals, "(R)"),
    ("tie_probability", _reals, "(R)"),
)
_CIRCUMSTANCES = (
    ("seconds", _real, "wall time of training and measuring"),
    ("sample_seconds", _real, "wall time of drawing the sample"),
    ("finished", pa.timestamp("us", tz="UTC"), "when"),
    ("machine", _text, "kind of machine, and its name"),
    ("versions", pa.struct([(name, _text) for name in VERSIONED]), "of what decides the numbers"),
)


def _field(name: str, kind: pa.DataType, description: str) -> pa.Field:
    return pa.field(name, kind, metadata={"description": description})


SCHEMA = pa.schema(
    [
        *(_field(*row) for group in (_IDENTITY, _CONFIGURATION, _PREDICTION, _MEASURES) for row in group),
        _field(
            "history",
            pa.struct([_field(*row) for row in _HISTORY]),
            "every measure at every recorded step: see `History`",
        ),
        *(_field(*row) for row in _CIRCUMSTANCES),
    ],
    metadata={"augscope.format": str(FORMAT)},
)
"""A row is a cell. Null means: does not apply, or (status failed) not measured."""
