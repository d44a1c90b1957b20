"""A grid of experiments: axes over any field, derived fields, methods and seeds; every cell validated before the first runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from augscope.model.network import Network
from augscope.support.command_line import read_seeds, read_toml
from augscope.support.values import check
from augscope.sweep.axes import Axis, points, rounded
from augscope.sweep.cells import Cell
from augscope.sweep.formula import Formula
from augscope.training.configuration import PARAMETERS, lay_over, read_tables, with_values
from augscope.training.experiment import Experiment

KEYS = ("title", "preset", "methods", "seeds", "experiment", "axes", "zip", "derived", "labels", "settings")
MAX_CELLS = 10_000_000


@dataclass(frozen=True)
class Sweep:
    """A grid of cells: one method, one configuration and one seed each. Read one with `from_toml` or `from_dict`.

    Where `coordinates` is "population" nothing is drawn: there a configuration is one cell, without a seed.

    ```toml
    preset = "theorem"                      # values of all fields that the grid does not set
    methods = ["erm", { name = "cutout", num_cut = 2 }]
    seeds = 4                               # 0 … 3; or a list
    [experiment]                            # fields of `Experiment`, over the preset
    num_steps = 2000
    distribution.rarity = "derive"
    [axes]                                  # fields by name, or free parameters that a derived field uses
    rho = [0.05, 0.1, 0.2]
    speed = { from = 0.02, to = 1.0, count = 9, scale = "log" }
    [[zip]]                                 # fields that change together
    dim = [2000, 200000]
    num_samples = [100, 300]
    [derived]                               # formulas of fields and parameters: + - * / ** sqrt exp log min max abs
    frequencies = ["1 - rho", "rho"]
    dominant_noise_std = "sqrt(speed * num_samples / dim)"
    [labels]                                # for pictures
    rho = "frequency ρ"
    [settings.small]                        # changes to all of the above, chosen by name
    seeds = 1
    ```

    Computed values are rounded to 12 significant digits, and to whole numbers where a field asks for those.

    Attributes:
        base: the fields of `Experiment` that no axis changes.
        methods: one cell per method at each point; at least one.
        seeds: one cell per seed, of configurations that have any; None: not stated, which means 0 alone.
        axes: in order; the last changes fastest.
        derived: formulas by field name, one or a list.
        title: for pictures. labels: names of axes and values there.
        source: the grid as plain data, as it was read.

    Example:
        >>> import augscope as ag
        >>> sweep = ag.Sweep.from_dict({"preset": "theorem", "methods": ["erm"], "seeds": 2,
        ...     "axes": {"dim": [2000, 20000], "speed": {"from": 0.1, "to": 0.4, "count": 3, "scale": "log"}},
        ...     "derived": {"dominant_noise_std": "sqrt(speed * num_samples / dim)"}})
        >>> cells = sweep.cells()
        >>> len(cells), cells[0].experiment.distribution.dominant_noise_std, len(cells[0].identity)
        (12, 0.122474487139, 64)
    """

    base: dict[str, Any]
    methods: tuple[Any, ...]
    seeds: tuple[int, ...] | None
    axes: tuple[Axis, ...]
    derived: dict[str, Formula | tuple[Formula, ...]]
    title: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict, compare=False)

    @classmethod
    def from_toml(cls, path: Path | str, setting: str | None = None) -> Sweep:
        """Read a grid from a file, changed by one of its settings. Raises ValueError naming file and rule."""
        return cls.from_dict(read_toml("grid", path), setting)

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any], setting: str | None = None) -> Sweep:
        """Read a grid from nested dictionaries such as a TOML file holds.

        Raises:
            ValueError: in a sentence, on an unknown key, axis or setting, an empty axis, or a formula that is not arithmetic.
        """
        source = _with_setting(dict(tables), setting)
        unknown = sorted(set(source) - set(KEYS))
        check(not unknown, f"`{', '.join(unknown)}` is not known in a grid: it has {', '.join(KEYS)}")
        for key in ("experiment", "axes", "derived"):
            check(isinstance(source.get(key, {}), Mapping), f"`{key}` must be a table, got {source.get(key)!r}")
        methods = {"methods": source["methods"]} if "methods" in source else {}
        base = read_tables(source.get("preset"), {**source.get("experiment", {}), **methods})
        methods = base.pop("methods")
        is_list = isinstance(methods, list) and len(methods) >= 1
        check(is_list, f"`methods` must be a list of at least one, got {methods!r}")
        title, labels = source.get("title", ""), source.get("labels", {})
        check(isinstance(title, str), f"`title` must be text, got {title!r}")
        texts = isinstance(labels, Mapping) and all(isinstance(label, str) for label in labels.values())
        check(texts, f"`labels` must be a table of texts, got {labels!r}")
        sweep = cls(
            base=base,
            methods=tuple(methods),
            seeds=read_seeds(source["seeds"]) if "seeds" in source else None,
            axes=_read_axes(source),
            derived={name: _read_derived(name, text) for name, text in source.get("derived", {}).items()},
            title=title,
            labels=dict(labels),
            source=source,
        )
        sweep._check_names()
        return sweep

    def _check_names(self) -> None:
        """Check that every axis is a field or is used by a formula, and that no name comes twice."""
        names = list(chain(self.axis_names, self.derived))
        twice = sorted({name for name in names if names.count(name) > 1})
        check(not twice, f"`{', '.join(twice)}` must come once, as an axis or derived")
        used = frozenset().union(*map(_names, self.derived.values()))
        fields = "no field of distribution, network, method or descent"
        for name in names:
            known = name in PARAMETERS or name in used
            sentence = f"axis `{name}` is not known: it is {fields}, and no derived field uses it"
            check(known or name in self.derived, sentence)
            check(known, f"derived `{name}` is {fields}")
        present = {method.get("name") for method in self.methods if isinstance(method, dict)}
        for name in names:
            parameter = PARAMETERS.get(name)
            absent = parameter is not None and parameter.of_method and parameter.owner not in present
            check(not absent, f"axis `{name}` needs {parameter and parameter.owner} among the methods")

    @property
    def axis_names(self) -> tuple[str, ...]:
        """Every name that an axis changes, in order."""
        return tuple(name for axis in self.axes for name in axis.names)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The free parameters: axes that are no fields themselves but are used by derived ones."""
        return tuple(name for name in self.axis_names if name not in PARAMETERS)

    def cells(self) -> list[Cell]:
        """Return every cell, each configuration validated and each cell once.

        Raises:
            ValueError: naming the first point whose configuration is not valid, and how many more there are; or a sample that
                does not fit into memory; or seeds where every configuration is a population.

        Cost: about 0.3 ms a configuration.
        """
        size = len(self.seeds or (0,)) * len(self.methods) * math.prod(len(axis.values) for axis in self.axes)
        check(size <= MAX_CELLS, f"a grid must have at most {MAX_CELLS:,} cells, got {size:,}")
        cells: dict[str, Cell] = {}
        failures: list[str] = []
        shapes = set()  # whose memory was checked
        for point in points(self.axes):
            try:
                for experiment in self.experiments(point):
                    if (shape := _shape(experiment)) not in shapes:
                        shapes.add(shape)
                        experiment.check_memory()
                    for cell in self._cells(experiment, point):
                        cells.setdefault(cell.identity, cell)
            except ValueError as error:
                failures.append(f"the cell at {_in_words(point)} is not valid: {error}" if point else str(error))
        if failures:
            more = f" (and {len(failures) - 1:,} more points are not valid)" if len(failures) > 1 else ""
            raise ValueError(f"{failures[0]}{more}")
        distinct = list(cells.values())
        if self.seeds is not None and all(cell.experiment.is_population for cell in distinct):
            distinct[0].experiment.checked_seeds(self.seeds)  # which refuses them
        return distinct

    def _cells(self, experiment: Experiment, point: dict[str, Any]) -> Iterator[Cell]:
        """The cells of a configuration, one a seed; one of a population."""
        configuration = experiment.canonical
        rule = "`methods` and `network` must name a module that can be imported there, got __main__"
        check('"__main__:' not in configuration, f"a sweep's cells run in processes of their own: {rule}")
        for seed in (None,) if experiment.is_population else self.seeds or (0,):
            yield Cell(experiment, configuration, seed, point)

    def experiments(self, point: dict[str, Any]) -> Iterator[Experiment]:
        """Yield the configurations of a point, a value for each axis by name, one a method. Raises ValueError if it is not valid."""
        # Of the base that is stated: in a limit it is refused like an axis of that name, while a preset's is dropped.
        start = {name: value for name, value in self.source.get("experiment", {}).items() if name == "init_std"}
        values = {**start, **{name: value for name, value in self._derive(point).items() if name in PARAMETERS}}
        tables = with_values({**self.base, "methods": list(self.methods)}, values)
        for method in tables["methods"]:
            yield Experiment(**{**tables, "methods": (method,)})

    def _derive(self, point: dict[str, Any]) -> dict[str, Any]:
        """The point's axis values and derived fields; formulas use fields of the base and other derived fields."""
        computed = {name for axis in self.axes if axis.computed for name in axis.names}
        values = {name: _whole(name, value) if name in computed else value for name, value in point.items()}
        known = {**_flat(self.base), **values}
        waiting = dict(self.derived)
        while waiting:
            ready = [name for name in waiting if not _names(waiting[name]) & set(waiting)]
            check(bool(ready), f"derived fields must not depend on each other in a circle, got {', '.join(waiting)}")
            for name in ready:
                formula = waiting.pop(name)
                parts = tuple(_whole(name, rounded(part.evaluate(name, known))) for part in _as_tuple(formula))
                known[name] = values[name] = parts if isinstance(formula, tuple) else parts[0]
        return values


def _shape(experiment: Experiment) -> tuple[Any, ...]:
    """What the memory that a run takes depends on."""
    distribution = experiment.distribution
    size = distribution.dim, distribution.num_patches, distribution.num_features, experiment.num_samples
    return *size, experiment.coordinates, experiment.frame


def _with_setting(tables: dict[str, Any], setting: str | None) -> dict[str, Any]:
    """A grid changed by a setting: tables entry by entry, everything else whole."""
    settings = tables.pop("settings", {})
    check(isinstance(settings, Mapping), f"`settings` must be a table of tables, got {settings!r}")
    if setting is None:
        return tables
    check(setting in settings, f"`setting` must be one of {', '.join(settings) or 'none'}, got {setting!r}")
    return lay_over(tables, settings[setting])


def _read_axes(source: Mapping[str, Any]) -> tuple[Axis, ...]:
    """The axes in their order, zipped ones last."""
    tables = source.get("zip", [])
    check(isinstance(tables, list), f"`zip` must be tables, written [[zip]], got {tables!r}")
    single = tuple(Axis.read(name, values) for name, values in source.get("axes", {}).items())
    return single + tuple(Axis.read_zip(table) for table in tables)


def _read_derived(name: str, text: Any) -> Formula | tuple[Formula, ...]:
    if not isinstance(text, list):
        return Formula.read(name, text)
    check(len(text) >= 1, f"derived `{name}` must hold at least one formula, got none")
    return tuple(Formula.read(name, part) for part in text)


def _as_tuple(formula: Formula | tuple[Formula, ...]) -> tuple[Formula, ...]:
    return formula if isinstance(formula, tuple) else (formula,)


def _names(formula: Formula | tuple[Formula, ...]) -> frozenset[str]:
    return frozenset().union(*(part.names for part in _as_tuple(formula)))


def _flat(base: Mapping[str, Any]) -> dict[str, Any]:
    """Fields by name, without their sections; defaults where the base has none."""
    defaults = {name: part.default for model in (Network, Experiment) for name, part in model.model_fields.items()}
    return {**defaults, **base, **base.get("network", {}), **base.get("distribution", {})}


def _whole(name: str, value: Any) -> Any:
    """A computed value as its field takes it: rounded where that is a whole number."""
    whole = name in PARAMETERS and PARAMETERS[name].is_whole
    return round(value) if whole and isinstance(value, float) else value


def _in_words(point: Mapping[str, Any]) -> str:
    texts = {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in point.items()}
    return ", ".join(f"{name} = {text}" for name, text in texts.items())
