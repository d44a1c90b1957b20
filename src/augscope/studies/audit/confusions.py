"""Which class a subgroup's test images are taken for."""

from __future__ import annotations

import numpy as np

from augscope.studies.audit.design import Design, Runs

Confusions = tuple[tuple[int, ...], ...]  # by subgroup, then class: how many answers, over all networks and test images
SHOWN = 2  # other classes a subgroup and method, on the page


def confusions(design: Design, runs: Runs, method: str) -> Confusions:
    """Count a method's answers by subgroup and predicted class; without attributes, summed over seeds, the confusion matrix."""
    data, num_classes = design.data, len(design.data.classes)
    counts = np.zeros(len(data.groups) * num_classes, int)
    for seed in design.seeds:
        cells = data.test.groups * num_classes + runs[method, seed].test
        counts += np.bincount(cells, minlength=len(counts))
    return tuple(map(tuple, counts.reshape(-1, num_classes).tolist()))


def mistakes_text(design: Design, counts: Confusions, group: int) -> str:
    """Return the classes that a subgroup is most often mistaken for, with their shares of all answers: “pullover” 31.0 %."""
    data, row = design.data, counts[group]
    others = [i for i in range(len(row)) if data.classes[i] != data.groups[group].label and row[i]]
    largest = sorted(others, key=lambda i: -row[i])[:SHOWN]
    return ", ".join(f"“{data.classes[i]}” {100 * row[i] / sum(row):.1f} %" for i in largest) or "–"
