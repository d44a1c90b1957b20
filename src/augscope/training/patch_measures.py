"""What is measured of own patches: all that needs no feature of the paper's data, and the test points."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from augscope.training.measure_table import MeasureTable, documented, measure
from augscope.training.measures import History, Recorder, Snapshot
from augscope.training.patch_geometry import PatchObservation


@dataclass(frozen=True, kw_only=True, eq=False)
class PatchSnapshot(Snapshot):
    """A network at a recorded step, as measures of own patches read it."""

    test_scores: Float[np.ndarray, "m P"]


_AS_DRAWN = {row.name: row for row in fields(History)}


def _as_drawn(name: str) -> Any:
    """A measure that own patches share with drawn ones."""
    return measure(**_AS_DRAWN[name].metadata)


# ruff: noqa: RUF009  (`measure` makes a field, as `dataclasses.field` does)
@documented
@dataclass(frozen=True, repr=False)
class PatchHistory(MeasureTable):
    """Every measure of own patches at every recorded step: all of `History` that needs no feature, and what test points show."""

    steps: Int[np.ndarray, " R"] = _as_drawn("steps")
    loss: Float[np.ndarray, " R"] = _as_drawn("loss")
    gradient_norm: Float[np.ndarray, " R"] = _as_drawn("gradient_norm")
    unevenness: Float[np.ndarray, " R"] = _as_drawn("unevenness")
    plateau: Float[np.ndarray, "R 2"] = _as_drawn("plateau")
    excess_loss: Float[np.ndarray, " R"] = _as_drawn("excess_loss")
    margin: Float[np.ndarray, " R"] = _as_drawn("margin")
    augmented_margin: Float[np.ndarray, " R"] = _as_drawn("augmented_margin")
    accuracy: Float[np.ndarray, " R"] = measure(
        "share", "of the test points predicted rightly; NaN without any", lambda at: _test_accuracy(at).mean()
    )
    accuracy_per_label: Float[np.ndarray, "R 2"] = measure(
        "share",
        "the same among those with label +1, and with label −1",
        lambda at: [_test_accuracy(at, label).mean() for label in (1, -1)],
    )


def _test_accuracy(at: PatchSnapshot, label: int | None = None) -> Float[np.ndarray, " m"]:
    """Whether each test point (of a label) is predicted rightly; one NaN if there are none."""
    truth = np.asarray(at.dataset.test_labels)
    chosen = np.full(len(truth), True) if label is None else truth == label
    right = truth[chosen] * at.test_scores[chosen].sum(axis=1) > 0
    return right.astype(float) if chosen.any() else np.array([np.nan])


class PatchRecorder(Recorder):
    """Turns observations of own patches into a `PatchHistory`."""

    history_type = PatchHistory

    def snapshot(self, observation: PatchObservation, common: dict[str, Any]) -> PatchSnapshot:
        """Return what the measures read."""
        return PatchSnapshot(**common, test_scores=np.asarray(observation.test_scores, np.float64))
