"""A finished audit as one value, and as a record for JSON (CSV: `csv_files`)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from augscope.images.plan import METHODS
from augscope.studies.audit.dataset import ImageData
from augscope.studies.audit.explanations import size_warning
from augscope.studies.audit.exposure import Exposure, exposure
from augscope.studies.audit.recommendation import Words, put_in_words
from augscope.studies.audit.study import Runs, Study
from augscope.studies.audit.subgroups import Comparison, GroupAccuracy, Measured, measure
from augscope.support.shown import Shown


@dataclass(frozen=True, repr=False)
class Audit(Shown):
    """Everything that an audit shows.

    Attributes:
        study, runs: what was trained, and what each network predicts.
        measured: accuracies and comparisons.
        exposures: by method.
        words: the result in sentences.
        versions: of what computed it.
    """

    study: Study
    runs: Runs
    measured: Measured
    exposures: dict[str, Exposure]
    words: Words
    versions: dict[str, str]

    @property
    def warnings(self) -> list[str]:
        """Sentences on subgroups with few images: on those that are too small, then on those known only coarsely."""
        return [*filter(None, [size_warning(self.study.data)]), *self.measured.warnings]

    def __str__(self) -> str:
        words = self.words
        return "\n".join(["Audit: " + words.headline, words.recommendation, *words.findings])

    def _table(self) -> list[list[str]]:
        methods, measured = self.study.settings.methods, self.measured
        rows = [
            [group.name, *(f"{measured.accuracies[method, index].test.estimate:.3f}" for method in methods)]
            for index, group in enumerate(self.study.data.groups)
        ]
        return [["test accuracy", *(METHODS[method] for method in methods)], *rows]

    def plot(self, axis: Any = None) -> Any:
        """Draw the test accuracy of every subgroup under every method, with intervals, as the report does.

        Args:
            axis: one of matplotlib's axes; by default that of a new figure.

        Returns:
            The axis.
        """
        from augscope.studies.audit.figure import draw_accuracies, figure_size
        from augscope.support.rendering import axes_grid

        axis = axes_grid(axis, 1, 1, figure_size(self.study))[0, 0]
        draw_accuracies(axis, self.study, self.measured)
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=8, frameon=False)
        return axis


def conclude(study: Study, runs: Runs, versions: dict[str, str]) -> Audit:
    """Measure finished trainings and put the result in words."""
    measured = measure(study, runs)
    shown = {method: exposure(study, method) for method in study.settings.methods}
    return Audit(study, runs, measured, shown, put_in_words(study, measured), versions)


def record(audit: Audit) -> dict[str, Any]:
    """The result ready for JSON."""
    data, measured = audit.study.data, audit.measured
    return {
        "command": "images audit",
        "identity": audit.study.identity,
        "headline": audit.words.headline,
        "recommendation": audit.words.recommendation,
        "findings": list(audit.words.findings),
        "collapsed": [network._asdict() for network in measured.collapsed],
        "warnings": audit.warnings,
        "notes": list(data.notes),
        "subgroups": _subgroups(data),
        "accuracies": [accuracy_row(data, cell) for cell in measured.accuracies.values()],
        "overall": [accuracy_row(data, cell) for cell in measured.overall.values()],
        "worst": {method: data.groups[measured.worst(method).group].name for method in audit.study.settings.methods},
        "comparisons": [comparison_row(data, comparison) for comparison in measured.comparisons],
        "exposure": {method: _exposure(shares) for method, shares in audit.exposures.items()},
        "settings": audit.study.settings.model_dump(mode="json"),
        "versions": audit.versions,
    }


def _subgroups(data: ImageData) -> list[dict[str, Any]]:
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


def accuracy_row(data: ImageData, cell: GroupAccuracy) -> dict[str, Any]:
    """Return the accuracy of one method on one subgroup, training and test, by name."""
    return {
        "method": cell.method,
        "subgroup": "all images" if cell.group < 0 else data.groups[cell.group].name,
        "status": cell.status,
        "test": cell.test._asdict(),
        "train": None if cell.train is None else cell.train._asdict(),
    }


def comparison_row(data: ImageData, comparison: Comparison) -> dict[str, Any]:
    """Return a method's difference to ERM on one subgroup, with interval and p-values, by name."""
    return {
        "method": comparison.method,
        "subgroup": data.groups[comparison.group].name,
        **comparison.difference._asdict(),
        "adjusted_p_value": comparison.adjusted,
        "claimed": comparison.claimed,
    }


def _exposure(shares: Exposure) -> dict[str, Any]:
    return {name: np.round(values, 6).tolist() for name, values in asdict(shares).items()}
