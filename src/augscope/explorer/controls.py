"""Between sliders and settings: which sliders there are, where they stand, and what they say together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from augscope.explorer.settings import KNOBS, MAX_FEATURES, Settings

RHO_MARKS = (0.0, 0.01, 0.02, 0.03, 0.05, 0.07, *(i / 20 for i in range(2, 11)))
RHO = tuple(f"rho_{k}" for k in range(2, MAX_FEATURES + 1))  # ρ_1 is what these leave
DIGITS = 12  # of 1 − ρ_2 − …, so that 0.8 is 0.8


@dataclass(frozen=True)
class Slider:
    """One slider: its name, how it is labelled, its values in order, and the one it stands at (among them)."""

    name: str
    symbol: str
    meaning: str
    marks: tuple[float, ...]
    value: float


def sliders(settings: Settings) -> list[Slider]:
    """Return the sliders that say these settings; a value that is not on a slider's marks is put among them."""
    first, *others = settings.frequencies
    others += [0.0] * (MAX_FEATURES - len(settings.frequencies))
    result = []
    for name, value in zip(RHO, others, strict=True):
        meaning = f"frequency of feature {name[-1]}, 0 for none"
        if name == RHO[0]:
            meaning += f" (leaves ρ_1 = {first:g})"
        result.append(Slider(name, f"ρ_{name[-1]}", meaning, _with(RHO_MARKS, value), value))
    for knob in KNOBS.values():
        value = getattr(settings, knob.name)
        result.append(Slider(knob.name, knob.symbol, knob.meaning, _with(knob.marks, value), value))
    return result


def _with(marks: tuple[float, ...], value: float) -> tuple[float, ...]:
    return tuple(sorted({*marks, value}))


def read_sliders(values: Mapping[str, Any], stated_rarity: bool) -> Settings:
    """Return what the sliders say, by name; frequencies of 0 at the end are no features."""
    others = [float(values[name]) for name in RHO]
    while others and others[-1] == 0:
        others.pop()
    first = round(1 - sum(others), DIGITS)
    numbers: dict[str, Any] = {
        name: int(values[name]) if knob.is_whole else float(values[name]) for name, knob in KNOBS.items()
    }
    return Settings(frequencies=(first, *others), stated_rarity=stated_rarity, **numbers)


def sentences_beside(problems: Mapping[str, list[str]], name: str) -> list[str]:
    """Return the sentences that belong beside a slider; those on the frequencies stand beside the first of theirs."""
    return problems.get("frequencies" if name == RHO[0] else name, [])
