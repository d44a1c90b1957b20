"""Trainings that the user made, compared by subgroup as an audit compares its own. Needs the extra `augscope[images]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from augscope.studies.audit.calibration import calibrations
from augscope.studies.audit.predictions import Predictions, read_predictions
from augscope.studies.audit.recommendation import put_in_words
from augscope.studies.audit.result import Result, calibration_rows, common_record
from augscope.studies.audit.subgroups import measure
from augscope.support.values import check
from augscope.support.wording import versions


def compare(
    table: Any,
    *,
    reference: str | None = None,
    attributes: Sequence[str] | None = None,
    pairs: Sequence[str] = (),
) -> Result:
    """Compare trainings that you made, by subgroup, from a table of their predictions; nothing is trained.

    Accuracies, intervals, tests and words are those of `augscope images audit`, computed by the same functions. With one seed,
    intervals are over test images alone, and no difference between methods is claimed.

    Args:
        table: path of a CSV or Parquet file, columns by name, or a data frame: a row for each image and training, with the columns
            method, seed, image, y (the true label), split (train, val, test, or 0, 1, 2; val is left out), and either predicted (a
            label) or a column a class named by its label (prob_0, prob_1, … or logit_0, logit_1, …), from which calibration is
            measured too. Further columns are attributes: a subgroup is a label with a value of each.
        reference: the method that all others are compared with; by default erm.
        attributes: the columns to form subgroups by; by default all further ones but id.
        pairs: what else is compared, such as "mixup vs cutmix".

    Returns:
        The accuracies, differences, confusions, calibration and words; `.plot()` draws it, and `print` says it.

    Raises:
        ValueError: with everything that is wrong with the table, before any work.

    Cost: O(rows × (columns + subgroups)); memory for some 3 copies of the table.

    Example:
        >>> import augscope as ag, numpy as np
        >>> trainings = np.meshgrid(["erm", "mixup"], range(3), range(80), indexing="ij")
        >>> method, seed, image = (column.ravel() for column in trainings)
        >>> label = image % 2
        >>> predicted = np.where((method == "mixup") | (image >= 20), label, 0)
        >>> table = {"method": method, "seed": seed, "image": image, "y": label, "predicted": predicted}
        >>> table["split"] = ["test"] * len(image)
        >>> print(ag.compare(table).words.headline)
        Mixup predicts “1” better than ERM.
    """
    for name, names in (("attributes", attributes), ("pairs", pairs)):
        check(not isinstance(names, str), f"`{name}` must be a sequence of texts, got one text: {names!r}")
    chosen = None if attributes is None else tuple(attributes)
    return conclude_predictions(read_predictions(table, chosen, reference, pairs))


def conclude_predictions(predictions: Predictions) -> Result:
    """Measure what a table holds and put the result in words."""
    design, runs = predictions.design, predictions.runs
    measured = measure(design, runs)
    measured_probabilities = calibrations(design, predictions.probabilities)
    words = put_in_words(design, measured)
    return Result(
        design, runs, measured, measured_probabilities, words, versions(("augscope", "numpy", "scipy", "pyarrow"))
    )


def comparison_record(result: Result, identity: str) -> dict[str, Any]:
    """Return the result ready for JSON."""
    design = result.design
    return {
        "command": "images compare",
        "identity": identity,
        **common_record(result),
        "methods": list(design.methods),
        "seeds": list(design.seeds),
        "reference": design.reference,
        "intervals_over": design.sampled,
        "calibration": calibration_rows(result),
        "versions": result.versions,
    }
