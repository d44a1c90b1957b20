"""Rarities that the predictions of a sweep's cells need, derived before any cell runs: once a configuration, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from augscope.sweep.cells import Cell
from augscope.theorems.statements import cut_of, theorem_for
from augscope.training.regimes import Setting, derive_rarities


def with_rarities(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells, those with the derived rarity whose theorem needs it and whose distribution states none.

    Cost: see `derive_rarity`, for each configuration whatever the number of its seeds.
    """
    settings: dict[int, dict[Setting, None]] = {}
    for cell in filter(_needs_rarity, cells):
        settings.setdefault(cut_of(cell.experiment), {})[Setting.of(cell.experiment)] = None
    known = {
        (cut, setting): rarity
        for cut, group in settings.items()
        for setting, rarity in zip(group, derive_rarities(list(group), cut), strict=True)
    }
    return [replace(cell, rarity=known.get((cut_of(cell.experiment), Setting.of(cell.experiment)))) for cell in cells]


def _needs_rarity(cell: Cell) -> bool:
    theorem = theorem_for(cell.experiment.methods[0])
    return theorem is not None and bool(theorem.accuracy.unlearned) and cell.experiment.distribution.rarity is None
