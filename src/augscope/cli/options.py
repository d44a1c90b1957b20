"""Options made from the fields of the value that they fill; and those that `verify` and `train` share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import Parameter

from augscope.cli.kinds import Flag, Json, Whole
from augscope.support.command_line import parse_list, parse_names, parse_pair, read_toml
from augscope.support.fields import FieldText
from augscope.training.configuration import PARAMETERS, read_experiment

if TYPE_CHECKING:
    from augscope.training.experiment import Experiment

Options = TypeVar("Options")


STEPS = ("--num-steps", "--steps")  # of every command that trains, whatever its field is called


def options_for(
    table: Mapping[str, FieldText], meanings: Mapping[str, str] | None = None, *, defaults: bool = True
) -> Callable[[type[Options]], type[Options]]:
    """Make a class decorator that adds an option for each field of a value, with the field's meaning for its help.

    Whole numbers, numbers, flags and paths are read as such, everything else as text: `given_values` makes of it what the field
    takes. The class becomes a frozen dataclass whose options stand on the command line by themselves.

    Args:
        table: fields by the name of their option, as from `fields_of`.
        meanings: the help of options that take something else than their field does.
        defaults: whether options have their fields' defaults, where those are literals; otherwise None: not given.
    """

    def decorate(cls: type[Options]) -> type[Options]:
        for name, field in table.items():
            kind = {"int": Whole, "float": float, "bool": Flag, "Path": Path}.get(field.kind, str)
            meaning = (meanings or {}).get(name) or _sentence(field)
            default = _as_option(field.default) if defaults else None
            names = STEPS if name in ("steps", "num_steps") else None
            option = Parameter(name=names, help=meaning)
            cls.__annotations__[name] = Annotated[kind | None if default is None else kind, option]
            setattr(cls, name, default)
        return Parameter(name="*")(dataclass(frozen=True)(cls))

    return decorate


def _sentence(field: FieldText) -> str:
    """A field's meaning as help: it begins as a sentence does, unless with a symbol or a list, and says how one is typed."""
    text = re.sub(r"^[a-z]{2,} ", lambda word: word[0].capitalize(), field.meaning)
    text = text.replace('"', "`")
    if field.kind.startswith("tuple[int, int]"):
        return f"{text} Such as 4, or 4x6."
    return f"{text} Comma-separated." if field.kind.startswith("tuple") else text


def _as_option(default: Any) -> Any:
    return (",".join(map(str, default)) or None) if isinstance(default, tuple) else default


def given_values(options: Any, table: Mapping[str, FieldText]) -> dict[str, Any]:
    """Return the values of the options that were given or have a default, as their fields take them, by option.

    Raises:
        ValueError: naming the option, if a list or a pair cannot be read.
    """
    given = {name: value for name in table if (value := getattr(options, name)) is not None}
    return {name: _read(name, value, table[name].kind) for name, value in given.items()}


def _read(name: str, value: Any, kind: str) -> Any:
    if not isinstance(value, str) or not kind.startswith("tuple"):
        return value
    if kind.startswith("tuple[int, int]"):
        return parse_pair(name, value)
    numbers = {"tuple[int": int, "tuple[float": float}.get(kind.partition(",")[0])
    return parse_names(name, value) if numbers is None else parse_list(name, value, numbers)


def changed_options(options: Any) -> dict[str, Any]:
    """Return the options that are not at their defaults, by name: what `command_line` says again."""
    changed = {field: getattr(options, field.name) for field in fields(options)}
    names = {"steps": "num_steps"}  # see `STEPS`
    return {names.get(field.name, field.name): value for field, value in changed.items() if value != field.default}


_EXPERIMENT = {name: parameter.field for name, parameter in PARAMETERS.items()}
_MEANINGS = {  # where the option takes less than the field, or more
    "rarity": "Comma-separated common, rare, extremely_rare; or `derive`, by training the population.",
    "algorithm": "How CutMix sums over pairs: `interpolate`, or `enumerate` (small sizes only).",
}


@options_for(_EXPERIMENT, _MEANINGS, defaults=False)
class ExperimentOptions:
    """What to run. Options given by name go before the file, and the file before the preset."""

    preset: str | None = None
    "`theorem` (the default without --config: the asymptotics have set in) or `figure` (the scale of the paper's numbers)."
    config: Path | None = None
    "A TOML file with the fields of an experiment, and `preset` to start from one."
    network: str | None = None
    "module:Name or file.py:Name of an activation of your own (its parameters: in a --config file)."
    methods: str | None = None
    "Comma-separated erm, cutout, cutmix, mixup, or module:Name or file.py:Name of your own (its parameters: in a --config file)."
    keep_energies: Flag = False
    "With --dim: keep the noise energies σ²(d − 2K), and so what is learned, rather than the standard deviations."

    def experiment(self) -> Experiment:
        """Return the configured experiment. Raises ValueError with a sentence, before any work."""
        table = {} if self.config is None else read_toml("config", self.config)
        preset = table.pop("preset", None)
        preset = self.preset or preset or (None if self.config else "theorem")
        values = given_values(self, _EXPERIMENT)
        if self.network is not None:
            values["network"] = self.network
        if self.methods is not None:
            values["methods"] = parse_names("methods", self.methods)
        if not self.keep_energies:
            return read_experiment(preset, table, values)
        dim = values.pop("dim", None)
        if dim is None:
            raise ValueError("`keep_energies` goes with `dim`, the dimension to go to: give both, or neither")
        experiment = read_experiment(preset, table, values)
        return experiment.replace(distribution=experiment.distribution.at_dim(dim))


@Parameter(name="*")
@dataclass(frozen=True)
class OutputOptions:
    """Where results go."""

    out: Path | None = None
    "Folder for report.html, pictures, record.json and config.toml; nothing is written without it."
    overwrite: Flag = False
    "Replace another configuration's run in that folder."
    checkpoint: Path | None = None
    "Folder in which to keep runs as they finish and descents under way; what it holds is not computed again (a flow under way is)."
    yes: Flag = False
    "Start although it will take over an hour."
    json: Json = False
    "Print the result as JSON on stdout, everything else on stderr."
