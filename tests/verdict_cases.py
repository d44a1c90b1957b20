"""Made-up runs for verdicts: histories of a few records whose measures are what a test says."""

from __future__ import annotations

import numpy as np

import augscope as ag
from augscope.theorems.statements import Terms
from augscope.training.measures import History
from augscope.training.seed_run import SeedRun

STEPS = (0, 10, 50, 75, 100)  # of which those from 50 on are judged for T = 100
EXPERIMENT = ag.presets.theorem.replace(num_steps=100)
TERMS = Terms(EXPERIMENT)
ERM, CUTOUT, CUTMIX = EXPERIMENT.methods
CLAIMED = {
    ag.Erm: (1, 0.5, 0.5),
    ag.Cutout: (1, 1, 0.5),
    ag.CutMix: (1, 1, 1),
}  # accuracy on each feature, by the theorems
OVERALL = {ag.Erm: 0.9, ag.Cutout: 0.975, ag.CutMix: 1.0}


def made_run(method=ERM, seed=0, *, status="completed", oscillating=False, counts=((9, 9, 9), (9, 9, 9)), **measures):
    """A run whose theorem holds at every record, but for the measures given: a value for all records, or one a record."""
    steps = np.array(measures.pop("steps", STEPS))
    given = {
        "margin": 1.0,
        "augmented_margin": 1.0,
        "gradient_norm": [1.0] + [1e-5 if method == CUTMIX else 0.5] * (len(steps) - 1),
        "accuracy": OVERALL[type(method)],
        "accuracy_error": 0.0,
        "accuracy_per_feature": CLAIMED[type(method)],
        "feature_scores": np.array(CLAIMED[type(method)]) > 0.5,
        **measures,
    }
    history = {name: np.full(len(steps), np.nan) for name in History.__dataclass_fields__} | {"steps": steps}
    for name, value in given.items():
        array = np.array(value, float)
        if name in (
            "accuracy_per_feature",
            "feature_scores",
        ):  # (K,), (R, K) or (R, 2, K), mostly equal for both labels
            array = array if array.ndim == 3 else np.stack([array, array], axis=-2)
            history[name] = np.broadcast_to(array, (len(steps), 2, array.shape[-1]))
        else:
            history[name] = np.broadcast_to(array, len(steps))
    message = f"{status}: a word"
    return SeedRun(seed, method, History(**history), status, message, oscillating, counts, 0.0, np.full(2, np.nan))
