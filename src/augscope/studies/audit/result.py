"""A finished audit as one value, and as a record for JSON (CSV: `csv_files`)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from augscope.images.plan import METHODS, title
from augscope.studies.audit.calibration import Calibration
from augscope.studies.audit.certificates import LawOfMethod
from augscope.studies.audit.design import Design, GroupedImages, Runs
from augscope.studies.audit.explanations import size_warning
from augscope.studies.audit.exposure import Exposure, exposure
from augscope.studies.audit.recommendation import Words, put_in_words
from augscope.studies.audit.study import Study, TrainedRuns
from augscope.studies.audit.subgroups import Comparison, GroupAccuracy, Measured, measure
from augscope.support.shown import Shown


@dataclass(frozen=True, repr=False)
class Result(Shown):
    """What a comparison of trainings shows: an audit's, or of trainings that the user made.

    Attributes:
        design: what was compared with what.
        runs: what each network answers.
        measured: accuracies and comparisons.
        calibrations: by method and subgroup, −1 for all images; empty where no probabilities are known.
        words: the result in sentences.
        versions: of what computed it.
    """

    design: Design
    runs: Runs
    measured: Measured
    calibrations: dict[tuple[str, int], Calibration]
    words: Words
    versions: dict[str, str]

    @property
    def warnings(self) -> list[str]:
        """Sentences on subgroups with few images: on those that are too small, then on those known only coarsely."""
        return [*filter(None, [size_warning(self.design.data)]), *self.measured.warnings]

    def __str__(self) -> str:
        words = self.words
        return "\n".join([f"{type(self).__name__}: {words.headline}", words.recommendation, *words.findings])

    def _table(self) -> list[list[str]]:
        methods, measured = self.design.methods, self.measured
        rows = [
            [group.name, *(f"{measured.accuracies[method, index].test.estimate:.3f}" for method in methods)]
            for index, group in enumerate(self.design.data.groups)
        ]
        return [["test accuracy", *map(title, methods)], *rows]

    def plot(self, axis: Any = None) -> Any:
        """Draw the test accuracy of every subgroup under every method, with intervals, as the report does.

        Args:
            axis: one of matplotlib's axes; by default that of a new figure.

        Returns:
            The axis.
        """
        from augscope.studies.audit.figure import draw_accuracies, figure_size
        from augscope.support.rendering import axes_grid

        axis = axes_grid(axis, 1, 1, figure_size(self.design))[0, 0]
        draw_accuracies(axis, self.design, self.measured)
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=8, frameon=False)
        return axis


@dataclass(frozen=True, repr=False)
class Audit(Result):
    """Everything that an audit shows.

    Attributes:
        runs: what each network predicts.
        study: what was trained.
        laws: of the methods that are import paths.
        exposures: by method, of those that have a name here: what others show is not known without their law.
    """

    runs: TrainedRuns
    study: Study
    laws: dict[str, LawOfMethod]
    exposures: dict[str, Exposure]


def conclude(
    study: Study, runs: TrainedRuns, versions: dict[str, str], laws: dict[str, LawOfMethod] | None = None
) -> Audit:
    """Measure finished trainings and put the result in words."""
    measured = measure(study.design, runs)
    shown = {method: exposure(study, method) for method in study.settings.methods if method in METHODS}
    words = put_in_words(study.design, measured)
    return Audit(study.design, runs, measured, {}, words, versions, study, laws or {}, shown)


def record(audit: Audit) -> dict[str, Any]:
    """The result ready for JSON."""
    return {
        "command": "images audit",
        "identity": audit.study.identity,
        **common_record(audit),
        "laws": {method: asdict(law) for method, law in audit.laws.items()},
        "exposure": {method: _exposure(shares) for method, shares in audit.exposures.items()},
        "settings": audit.study.settings.model_dump(mode="json"),
        "versions": audit.versions,
    }


def common_record(result: Result) -> dict[str, Any]:
    """What the record of an audit and of other trainings have in common."""
    design, measured = result.design, result.measured
    data = design.data
    return {
        "headline": result.words.headline,
        "recommendation": result.words.recommendation,
        "findings": list(result.words.findings),
        "collapsed": [network._asdict() for network in measured.collapsed],
        "warnings": result.warnings,
        "notes": list(data.notes),
        "subgroups": _subgroups(data),
        "accuracies": [accuracy_row(data, cell) for cell in measured.accuracies.values()],
        "overall": [accuracy_row(data, cell) for cell in measured.overall.values()],
        "worst": {m: [data.groups[cell.group].name for cell in measured.worst(m)] for m in design.methods},
        "comparisons": [comparison_row(data, comparison) for comparison in measured.comparisons],
        "classes": list(data.classes),
        "confusions": {method: [list(row) for row in counts] for method, counts in measured.confusions.items()},
    }


def _subgroups(data: GroupedImages) -> list[dict[str, Any]]:
    train, test = data.train.counts(len(data.groups)), data.test.counts(len(data.groups))
    return [
        {
            "name": group.name,
            "label": group.label,
            **dict(zip(data.attributes, group.attributes, strict=True)),
            "train_images": int(train[index]),
            "test_images": int(test[index]),
        }
        for index, group in enumerate(data.groups)
    ]


def calibration_rows(result: Result) -> list[dict[str, Any]]:
    """Return the calibration of every method on every subgroup, by name."""
    return [
        {
            "method": method,
            "subgroup": group_name(result.design.data, group),
            **calibration._asdict(),
            "brier": calibration.brier._asdict(),
        }
        for (method, group), calibration in result.calibrations.items()
    ]


def group_name(data: GroupedImages, group: int) -> str:
    """Return the name of a subgroup, where −1 is all images."""
    return "all images" if group < 0 else data.groups[group].name


def accuracy_row(data: GroupedImages, cell: GroupAccuracy) -> dict[str, Any]:
    """Return the accuracy of one method on one subgroup, training and test, by name."""
    return {
        "method": cell.method,
        "subgroup": group_name(data, cell.group),
        "status": cell.status,
        "test": cell.test._asdict(),
        "train": None if cell.train is None else cell.train._asdict(),
    }


def comparison_row(data: GroupedImages, comparison: Comparison) -> dict[str, Any]:
    """Return a method's difference to the reference on one subgroup, with interval and p-values, by name."""
    return {
        "method": comparison.method,
        "baseline": comparison.baseline,
        "subgroup": data.groups[comparison.group].name,
        **comparison.difference._asdict(),
        "adjusted_p_value": comparison.adjusted,
        "claimed": comparison.claimed,
    }


def _exposure(shares: Exposure) -> dict[str, Any]:
    return {name: np.round(values, 6).tolist() for name, values in asdict(shares).items()}
