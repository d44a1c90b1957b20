"""One reading of a configuration: a preset, a file's tables over it, and over both what is set by name.

Commands, grids and the explorer read experiments here. What can be set by name follows from the fields of the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from augscope.support.fields import FieldText, fields_of

if TYPE_CHECKING:
    from augscope.training.experiment import Experiment

TABLES = ("distribution", "network")
SAMPLING = "sampling"  # a table that an experiment has only where something of it is set
_CLASSES = {  # whose fields are set by name, by table or method; None: the experiment's own
    "distribution": "augscope.model.distribution:FeatureNoise",
    "network": "augscope.model.network:Network",
    "sampling": "augscope.training.sampling:Sampling",
    "cutout": "augscope.model.methods.cutout:Cutout",
    "cutmix": "augscope.model.methods.cutmix:CutMix",
    None: "augscope.training.experiment:Experiment",
}
_UNNAMED = {
    (None, "sampling"),
    (None, "distribution"),
    (None, "network"),
    (None, "methods"),
    ("cutout", "algorithm"),
}  # set in files only
_RENAMED = {("cutmix", "tolerance"): "interpolation_tolerance"}  # `verify` has a tolerance of its own


@dataclass(frozen=True)
class Parameter:
    """A field of an experiment that is set by name: by an option, an axis of a grid, a slider.

    Attributes:
        owner: the table or the method that it belongs to; None where it is the experiment's own.
        field: as its class states it.
    """

    owner: str | None
    field: FieldText

    @property
    def of_method(self) -> bool:
        """Whether it is a method's."""
        return self.owner is not None and self.owner not in (*TABLES, SAMPLING)

    @property
    def is_whole(self) -> bool:
        """Whether it is a whole number."""
        return self.field.kind == "int"


PARAMETERS = {  # by the names under which they are set
    _RENAMED.get((owner, name), name): Parameter(owner, field)
    for owner, path in _CLASSES.items()
    for name, field in fields_of(path).items()
    if name != "name" and (owner, name) not in _UNNAMED
}


def read_experiment(
    preset: str | None = None, given: Mapping[str, Any] | None = None, values: Mapping[str, Any] | None = None
) -> Experiment:
    """Return an experiment from a preset, tables laid over it, and values by name laid over both.

    Args:
        preset: a name in `presets`, or None for none.
        given: fields of `Experiment` as nested tables, such as a TOML file holds.
        values: by the names in `PARAMETERS`; also `network`, the import path of one's own, and `methods`, names that keep
            what preset and tables say of them.

    Raises:
        ValueError: in a sentence, if a table is none, a value belongs to a method that is not among the methods, or the
            experiment is not valid.

    Example:
        >>> from augscope.training.configuration import read_experiment
        >>> read_experiment("figure", {"num_steps": 7}, {"num_cut": 2, "methods": ["cutout"]}).methods
        (Cutout(name='cutout', num_cut=2, algorithm='enumerate'),)
    """
    from augscope.training.experiment import Experiment

    tables, values = read_tables(preset, given or {}), dict(values or {})
    network, names = values.pop("network", None), values.pop("methods", None)
    if network is not None:
        tables["network"] = {"name": network}
    if names is not None and isinstance(tables["methods"], list):
        known = {one["name"]: one for one in tables["methods"] if isinstance(one, dict) and "name" in one}
        tables["methods"] = [known.get(name, {"name": name}) for name in names]
    return Experiment(**with_values(tables, values))


def read_tables(preset: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `Experiment` as nested tables: a preset's, with the given ones laid over them.

    Methods are named tables; all built-in ones where neither says. Raises ValueError in a sentence.
    """
    from augscope.model.methods import METHOD_NAMES
    from augscope.training.experiment import presets

    if preset is not None and preset not in presets._fields:
        raise ValueError(f"`preset` must be one of {', '.join(presets._fields)}, got {preset!r}")
    for name in TABLES:
        if not isinstance(given.get(name, {}), Mapping):
            raise ValueError(f"`{name}` must be a table, got {given[name]!r}")
    base = {} if preset is None else getattr(presets, preset).model_dump(mode="json")
    tables = lay_over({"methods": list(METHOD_NAMES), **_without_start(base, given)}, given)
    if isinstance(tables["methods"], list):  # anything else is refused by `Experiment`
        tables["methods"] = [{"name": one} if isinstance(one, str) else one for one in tables["methods"]]
    return tables


def with_values(tables: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return an experiment's tables with values set by the names in `PARAMETERS`; "derive" for a rarity states none.

    Raises:
        ValueError: if a value belongs to a method that is not among the methods.
    """
    filled = {**_without_start(tables, values), **{name: dict(tables.get(name, {})) for name in TABLES}}
    methods = tables["methods"]
    if isinstance(methods, list):
        filled["methods"] = methods = [dict(one) if isinstance(one, dict) else one for one in methods]
    for name, value in values.items():
        parameter = PARAMETERS[name]
        if parameter.owner is None:
            filled[name] = value
        elif parameter.owner in TABLES:
            filled[parameter.owner][name] = value
        elif parameter.owner == SAMPLING:
            filled[SAMPLING] = {**(filled.get(SAMPLING) or {}), name: value}
        elif isinstance(methods, list):
            owners = [one for one in methods if isinstance(one, dict) and one.get("name") == parameter.owner]
            if not owners:
                raise ValueError(f"`{name}` needs {parameter.owner} among the methods, got {value}")
            for one in owners:
                one[parameter.field.name] = value
    if filled["distribution"].get("rarity") in ("derive", ("derive",)):  # TOML has no null, and an option is a list
        filled["distribution"]["rarity"] = None
    return filled


def _without_start(tables: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return tables without their `init_std` where what is laid over them asks for a limit, in which training starts at 0."""
    from augscope.model.dataset import LIMITS

    in_limit = over.get("coordinates") in LIMITS
    return {name: value for name, value in tables.items() if not (in_limit and name == "init_std")}


def lay_over(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested tables laid over each other; a range, or what has a name, replaces what was there whole."""
    merged = dict(base)
    for name, value in over.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        whole = nested and bool({"from", "name"} & set(value))
        merged[name] = lay_over(merged[name], value) if nested and not whole else value
    return merged
