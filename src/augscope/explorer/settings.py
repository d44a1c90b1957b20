"""What the explorer's sliders set, as one frozen value: to and from an address, an experiment and a command line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from augscope.model.distribution import SUM_TOLERANCE, Rarity
from augscope.model.methods import Cutout
from augscope.support.command_line import command_line, parse_list
from augscope.support.values import Value, check
from augscope.theorems.assumptions import setting_assumptions
from augscope.theorems.statements import theorem_for
from augscope.training.configuration import read_experiment
from augscope.training.experiment import Experiment, presets

MAX_FEATURES = 4
DIGITS = 12  # of 1 − ρ₂ − …, so that 0.8 is 0.8
_STATED = (Rarity.COMMON, Rarity.RARE, *[Rarity.EXTREMELY_RARE] * (MAX_FEATURES - 2))
_NAMED = re.compile(r"`(\w+)`")


@dataclass(frozen=True)
class Knob:
    """One number to set: its name (that of the command-line option), how it is shown, and where it may lie.

    Attributes:
        name, symbol, meaning: `dim`, "d", "patch dimension".
        low, high: what an address may say, ends included.
        marks: the slider's values.
    """

    name: str
    symbol: str
    meaning: str
    low: float
    high: float
    marks: tuple[float, ...]

    @property
    def is_whole(self) -> bool:
        """Whether only whole numbers make sense."""
        return all(isinstance(mark, int) for mark in self.marks)

    def parse(self, text: str) -> float:
        """Return the number that a text says. Raises ValueError, naming the knob, the rule and the text."""
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        kind = "a whole number" if self.is_whole else "a number"
        fits = self.low <= value <= self.high and (not self.is_whole or value == int(value))
        check(fits, f"`{self.name}` must be {kind} from {self.low:g} to {self.high:g}, got {text[:40]!r}")
        return int(value) if self.is_whole else value


def _decades(first: int, last: int, digits: tuple[float, ...] = (1, 1.5, 2, 3, 5, 7)) -> tuple[float, ...]:
    """Round numbers from 10^first to 10^last, even in the logarithm."""
    numbers = [float(f"{digit}e{power}") for power in range(first, last) for digit in digits]
    return (*numbers, float(f"1e{last}"))


def _wholes(first: int, last: int, digits: tuple[float, ...] = (1, 1.5, 2, 3, 5, 7)) -> tuple[int, ...]:
    return tuple(int(number) for number in _decades(first, last, digits))


_STDS = _decades(-3, 0, (1, 1.5, 2, 2.5, 3, 4, 5, 7))
_SHARES = (0.0, 0.01, 0.02, 0.03, 0.05, 0.07, *(i / 20 for i in range(2, 11)))
_SAMPLES = (10, 20, 30, 50, 75, 100, 150, 200, 300, 400, 500, 700, 1_000)
WITH_MIXUP = ("erm", "cutout", "mixup", "cutmix")  # methods, in the order of the columns
CHOICES = {"rarity": ("stated_rarity", ("derive", "stated")), "mixup": ("mixup", ("without", "with"))}
"""Controls that choose one of two words: the field, and its words where that is false and true."""
RHO = tuple(f"rho_{k}" for k in range(2, MAX_FEATURES + 1))  # ρ₁ is what these leave
GROUPS: dict[str, tuple[Knob, ...]] = {
    "Features": (
        *(
            Knob(name, f"ρ{subscript}", f"share of feature {name[-1]}", 0, 1, _SHARES)
            for name, subscript in zip(RHO, "₂₃₄", strict=True)
        ),
        Knob("feature_noise", "α", "feature noise", 0, 10, (0.0, 0.005, 0.01, 0.02, 0.05, *(i / 10 for i in range(1, 11)))),
    ),
    "Noise and size": (
        Knob("dominant_noise_std", "σ_d", "dominant noise", 1e-6, 100, _STDS),
        Knob("background_noise_std", "σ_b", "background noise", 1e-6, 100, _STDS),
        Knob("num_samples", "n", "training points", 1, 1_000, _SAMPLES),
        Knob("num_patches", "P", "patches of a point", 2, 8, tuple(range(2, 9))),
        Knob("dim", "d", "patch dimension", 2, 10**12, _wholes(1, 9, (1, 2, 5))),
    ),
    "Augmentation and training": (
        Knob("num_cut", "C", "patches cut out", 1, 7, tuple(range(1, 8))),
        Knob("step_size", "η", "step size", 1e-6, 1e9, _decades(-2, 4, (1, 2, 5))),
        Knob("num_steps", "T", "gradient steps", 1, 100_000, (*_wholes(1, 4, (1, 3)), 30_000, 100_000)),
        Knob("init_std", "σ₀", "initial weights", 0, 10, (0.0, *_decades(-5, 0, (1, 3)))),
        Knob("seed", "seed", "of the sample", 0, 10**9, tuple(range(21))),
    ),
}  # fmt: skip
CONTROLS: dict[str, Knob] = {knob.name: knob for group in GROUPS.values() for knob in group}
KNOBS: dict[str, Knob] = {name: knob for name, knob in CONTROLS.items() if name not in RHO}


class Settings(Value):
    """A problem and how to train on it; whether its numbers fit together, `problems` says.

    Args:
        frequencies: ρ, 1 to 4 features.
        stated_rarity: take the paper's word (first feature common, second rare, others extremely rare) for the theorems, in
            place of the derived one.
        feature_noise, dominant_noise_std, background_noise_std, num_samples, num_patches, dim, num_cut, step_size, num_steps,
            init_std, seed: see `KNOBS`.
        mixup: train midpoint Mixup too, which no theorem speaks of.

    Example:
        >>> from augscope.explorer.settings import PRESETS
        >>> PRESETS["theorem"].replace(num_cut=2).problems()
        {'num_cut': ['Theorem 3.2 does not apply: C = 2, needs < P/2 = 1.5.']}
    """

    frequencies: tuple[float, ...]
    stated_rarity: bool
    feature_noise: float
    dominant_noise_std: float
    background_noise_std: float
    num_samples: int
    num_patches: int
    dim: int
    num_cut: int
    step_size: float
    num_steps: int
    init_std: float
    seed: int
    mixup: bool = False

    @classmethod
    def of(cls, experiment: Experiment, seed: int) -> Settings:
        """Return the settings of an experiment in terms of the sliders."""
        both = {**dict(experiment), **dict(experiment.distribution)}
        cut = next(method.num_cut for method in experiment.methods if isinstance(method, Cutout))
        fields = {name: both[name] for name in cls.model_fields if name in both}
        return cls(**fields, num_cut=cut, seed=seed, stated_rarity=experiment.distribution.rarity is not None)

    def experiment(self) -> Experiment:
        """Return what is trained. Raises ValueError, in a sentence, if the settings do not fit together."""
        experiment = read_experiment(values=self._values())
        experiment.check_memory()
        return experiment

    def _values(self) -> dict[str, Any]:
        """The experiment's parameters by name, as its options say them."""
        rarity = _STATED[: len(self.frequencies)] if self.stated_rarity else "derive"
        numbers = {name: getattr(self, name) for name in KNOBS if name != "seed"}
        methods = {"methods": WITH_MIXUP} if self.mixup else {}
        return {"frequencies": self.frequencies, "rarity": rarity, **numbers, **methods}

    def errors(self) -> dict[str, list[str]]:
        """Return why nothing can be trained, by the control that should change: empty if all fits together."""
        try:
            self.experiment()
        except ValueError as error:
            match = _NAMED.search(str(error))
            return {match[1] if match else "frequencies": [str(error)]}
        return {}

    def problems(self) -> dict[str, list[str]]:
        """Return what is wrong, by control: errors, or else what the theorems assume and these settings do not give."""
        if errors := self.errors():
            return errors
        experiment = self.replace(stated_rarity=True).experiment()  # deriving a rarity would train
        unmet: dict[str, dict[str, list[str]]] = {}  # by control and assumption, the theorems that need it
        for method in experiment.methods:
            theorem = theorem_for(method)
            if theorem is None:
                continue
            for row in setting_assumptions(method, experiment):
                if row.met or row.about is None:
                    continue
                unmet.setdefault(row.about, {}).setdefault(row.text, []).append(theorem.number)
        return {control: [_unmet(text, numbers) for text, numbers in rows.items()] for control, rows in unmet.items()}

    def query(self) -> dict[str, str]:
        """Return the settings as an address says them; `from_query` reads them back exactly."""
        numbers = {name: str(getattr(self, name)) for name in KNOBS}
        frequencies = ",".join(map(str, self.frequencies))
        chosen = {name: words[int(getattr(self, field))] for name, (field, words) in CHOICES.items()}
        return {"frequencies": frequencies, **chosen, **numbers}

    @property
    def choices(self) -> dict[str, str]:
        """What is chosen among two words, by the name of its control."""
        return {name: text for name, text in self.query().items() if name in CHOICES}

    @property
    def controls(self) -> dict[str, float]:
        """What the page's controls show, by name; a frequency of 0 is no feature."""
        others = (*self.frequencies[1:], *(0.0,) * (MAX_FEATURES - len(self.frequencies)))
        return {**dict(zip(RHO, others, strict=True)), **{name: getattr(self, name) for name in KNOBS}}

    def moved(self, values: Mapping[str, float]) -> Settings:
        """Return the settings with some controls moved; frequencies of 0 at the end are no features."""
        changes: dict[str, Any] = {name: value for name, value in values.items() if name in KNOBS}
        if set(RHO) & set(values):
            others = [{**self.controls, **values}[name] for name in RHO]
            while others and others[-1] == 0:
                others.pop()
            changes["frequencies"] = (round(1 - sum(others), DIGITS), *others)
        return self.replace(**changes)

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> tuple[Settings, list[str]]:
        """Return the settings of an address or of the page's form, and a sentence for each part that is not used.

        A preset's name under `preset` is where they start from; what is missing or wrong is taken from there.
        """
        texts, problems, moves = dict(query), [], {}
        name = texts.pop("preset", "") or DEFAULT
        if name not in PRESETS:
            problems.append(f"`preset` must be one of {', '.join(PRESETS)}, got {name[:40]!r}")
        settings = PRESETS.get(name, PRESETS[DEFAULT])
        for name, text in texts.items():
            try:
                if name in CONTROLS:  # shares change the frequencies together
                    moves[name] = CONTROLS[name].parse(text)
                else:
                    settings = settings.replace(**_parsed(name, text))
            except ValueError as error:
                problems.append(str(error))
        return settings.moved(moves), problems

    @property
    def preset(self) -> str:
        """The name of the preset that these are, or ""."""
        return next((name for name, preset in PRESETS.items() if preset == self), "")

    def command(self) -> str:
        """Return the command line that computes the same numbers."""
        return command_line("verify", options={**self._values(), "seeds": f"{self.seed},", "out": "explored"})


def _unmet(assumption: str, theorems: Sequence[str]) -> str:
    """Return the sentence on an assumption that does not hold."""
    if len(theorems) == 1:
        return f"Theorem {theorems[0]} does not apply: {assumption}."
    return f"Theorems {', '.join(theorems)} do not apply: {assumption}."


def _parsed(name: str, text: str) -> dict[str, Any]:
    """A part of an address that is no control's, as a field. Raises ValueError."""
    if name in CHOICES:
        field, words = CHOICES[name]
        check(text in words, f"`{name}` must be {' or '.join(reversed(words))}, got {text[:40]!r}")
        return {field: text == words[1]}
    check(name == "frequencies", f"`{name[:40]}` is not a setting: it is left out")
    shares = parse_list("frequencies", text, float)
    rule = f"`frequencies` must hold 1 to {MAX_FEATURES} features, got {len(shares)}"
    check(1 <= len(shares) <= MAX_FEATURES, rule)
    check(
        abs(sum(shares) - 1) <= SUM_TOLERANCE,
        f"`frequencies` must sum to 1 within {SUM_TOLERANCE}, got {sum(shares)!r}",
    )
    return {"frequencies": shares}


DEFAULT = "theorem"
PRESETS: dict[str, Settings] = {
    "theorem": Settings.of(presets.theorem, seed=3),
    "figure": Settings.of(presets.figure, seed=3),
    "no feature noise": Settings.of(presets.theorem, seed=3).replace(feature_noise=0.0),
    "strong dominant noise": Settings.of(presets.theorem, seed=3).replace(dominant_noise_std=0.25, dim=20_000),
    "more data": Settings.of(presets.theorem, seed=3).replace(num_samples=1_000, num_steps=3_000),
}
"""Where to start from: the shipped presets, and what changes when one of their numbers does."""
