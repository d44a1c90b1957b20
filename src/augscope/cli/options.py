"""The options that `verify` and `train` share: a preset or a file, every parameter by name, seeds, output."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from augscope.experiment import Experiment

_DISTRIBUTION = (
    "dim",
    "num_patches",
    "frequencies",
    "feature_noise",
    "dominant_noise_std",
    "background_noise_std",
    "rarity",
)
_NETWORK = ("negative_slope", "smoothing")
_METHODS = {"num_cut": "cutout", "algorithm": "cutmix", "interpolation_tolerance": "cutmix"}  # option → whose it is
_METHOD_NAMES = ("erm", "cutout", "cutmix")
_DESCENT = ("num_samples", "init_std", "step_size", "num_steps", "record_at", "until", "coordinates", "frame")

MAX_SEEDS = 1_000_000  # a count above this is a slip of the hand


def _whole(kind: Any, tokens: Any) -> int:
    """A whole number as typed: 2000 or 2e3, but not 2.5, which would have to be rounded."""
    text = tokens[0].value
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = None
    # 10^30 is beyond any field; int() of a number such as 1e999999999 would not end.
    if value is None or not value.is_finite() or value.adjusted() > 30 or value != int(value):
        raise ValueError(f"it must be a whole number, got {text!r}")
    return int(value)


Whole = Annotated[int, Parameter(converter=_whole)]


@Parameter(name="*")
@dataclass(frozen=True)
class ExperimentOptions:
    """What to run. Options given by name go before the file, and the file before the preset."""

    preset: str | None = None
    "`theorem` (the default without --config: the asymptotics have set in) or `figure` (the scale of the paper's numbers)."
    config: Path | None = None
    "A TOML file with the fields of an experiment, and `preset` to start from one."
    dim: Whole | None = None
    "d, the dimension of a patch; at least 2K."
    num_patches: Whole | None = None
    "P, patches per point; at least 2."
    frequencies: str | None = None
    "ρ: comma-separated, decreasing, summing to 1, such as 0.8,0.15,0.05."
    rarity: str | None = None
    "Comma-separated common, rare, extremely_rare; or `derive`, from the learning speeds."
    feature_noise: float | None = None
    "α ≥ 0."
    dominant_noise_std: float | None = None
    "σ_d > 0."
    background_noise_std: float | None = None
    "σ_b > 0."
    negative_slope: float | None = None
    "β in (0, 1]."
    smoothing: float | None = None
    "r > 0."
    network: str | None = None
    "module:Name of an activation of your own (its parameters: in a --config file)."
    methods: str | None = None
    "Comma-separated erm, cutout, cutmix, or module:Name of your own (its parameters: in a --config file)."
    num_cut: Whole | None = None
    "C, the patches that Cutout removes."
    algorithm: str | None = None
    "How CutMix sums over pairs: `interpolate`, or `enumerate` (small sizes only)."
    interpolation_tolerance: float | None = None
    "Bound on the interpolation's relative error, 1e-14 to 1e-3."
    num_samples: Whole | None = None
    "n, training points."
    init_std: float | None = None
    "σ_0 ≥ 0."
    step_size: float | None = None
    "η > 0."
    num_steps: Whole | None = None
    "T, gradient steps."
    record_at: str | None = None
    "Comma-separated steps to measure at; by default 40, log-spaced."
    until: float | None = None
    "Follow the gradient flow to this time, such as 1e12 (t = η × steps), and tell from when to when accuracies hold."
    coordinates: str | None = None
    "`reduced` (any d at the same cost) or `dense`."
    frame: str | None = None
    "`standard` or `random` features (dense coordinates only)."

    def experiment(self) -> Experiment:
        """Return the configured experiment. Raises ValueError with a sentence, before any work."""
        from augscope.experiment import Experiment

        return Experiment(**self._fields())

    def _fields(self) -> dict[str, Any]:
        """The experiment's fields from preset, file and options, as nested dictionaries."""
        given = {} if self.config is None else read_toml(self.config)
        preset = self.preset or given.pop("preset", None) or (None if self.config else "theorem")
        given.pop("preset", None)
        fields = _merge(_preset_fields(preset), given)
        if self.network is not None:
            fields["network"] = {"name": self.network}
        for section, names in (("distribution", _DISTRIBUTION), ("network", _NETWORK)):
            table: Any = fields.setdefault(section, {})
            if not isinstance(table, dict):
                raise ValueError(f"`{section}` must be a table, got {table!r}")
            _merge(table, self._named(names))
            if table.get("rarity") == "derive":  # for files: TOML has no null
                table["rarity"] = None
        fields.update(self._named(_DESCENT))
        fields["methods"] = self._methods(fields.get("methods", list(_METHOD_NAMES)))
        return fields

    def _methods(self, known: Any) -> Any:
        """The methods' fields: those asked for by name keep what preset and file say of them; then their own options."""
        if not isinstance(known, list):
            return known  # refused in a sentence by `Experiment`
        methods: list[Any] = [{"name": method} if isinstance(method, str) else method for method in known]
        if self.methods is not None:
            said = {method["name"]: method for method in methods if isinstance(method, dict) and "name" in method}
            names = [name.strip() for name in self.methods.split(",") if name.strip()]
            methods = [said.get(name, {"name": name}) for name in names]
        for option, name in _METHODS.items():
            value = getattr(self, option)
            mine = [method for method in methods if isinstance(method, dict) and method.get("name") == name]
            if value is not None and not mine:
                raise ValueError(f"`{option}` needs {name} among the methods, got {value}")
            for method in mine if value is not None else ():
                method["tolerance" if option == "interpolation_tolerance" else option] = value
        return methods

    def _named(self, names: Iterable[str]) -> dict[str, Any]:
        """Those of the options that were given, lists parsed."""
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        if "frequencies" in given:
            given["frequencies"] = parse_list("frequencies", given["frequencies"], float)
        if "record_at" in given:
            given["record_at"] = parse_list("record_at", given["record_at"], int)
        if "rarity" in given:
            text = given["rarity"]
            given["rarity"] = None if text == "derive" else [name.strip() for name in text.split(",")]
        return given


@Parameter(name="*")
@dataclass(frozen=True)
class OutputOptions:
    """Where results go."""

    out: Path | None = None
    "Folder for report.html, pictures, record.json and config.toml; nothing is written without it."
    overwrite: Annotated[bool, Parameter(negative="")] = False
    "Replace another configuration's run in that folder."
    checkpoint: Path | None = None
    "Folder in which to keep runs as they finish and descents under way; what it holds is not computed again (a flow under way is)."
    yes: Annotated[bool, Parameter(negative="")] = False
    "Start although it will take over an hour."
    json: Annotated[bool, Parameter(name="--json", negative="")] = False
    "Print the result as JSON on stdout, everything else on stderr."


def parse_seeds(text: str) -> tuple[int, ...]:
    """Return 0 … 19 for "20", and the listed seeds for "3,5,8" (or "7," for one). Raises ValueError."""
    seeds = parse_list("seeds", text, int)
    if "," not in text:
        if not 1 <= seeds[0] <= MAX_SEEDS:
            raise ValueError(f"`seeds` must be at least one and at most {MAX_SEEDS:,}, got {text}")
        return tuple(range(seeds[0]))
    return seeds


def parse_list(name: str, text: str, kind: type) -> tuple[Any, ...]:
    """Return comma-separated numbers as a tuple. Raises ValueError naming the option."""
    try:
        values = tuple(kind(part) for part in text.split(",") if part.strip())
    except ValueError:
        values = ()
    if not values:
        word = "whole numbers" if kind is int else "numbers"
        raise ValueError(f"`{name}` must be comma-separated {word}, got {text!r}")
    return values


def read_toml(path: Path) -> dict[str, Any]:
    """Return a TOML file's content. Raises ValueError with the file's name if it cannot be read or parsed."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"`config` must be a readable file, got {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"`config` must be valid TOML, got {path}: {error}") from None


def _preset_fields(name: str | None) -> dict[str, Any]:
    from augscope.experiment import presets

    if name is None:
        return {}
    if name not in presets._fields:
        raise ValueError(f"`preset` must be one of {', '.join(presets._fields)}, got {name!r}")
    return getattr(presets, name).model_dump(mode="json")


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Lay nested dictionaries over each other, in place; what has a name replaces what was there whole. Return the base."""
    for name, value in over.items():
        if isinstance(value, dict) and "name" not in value and isinstance(base.get(name), dict):
            _merge(base[name], value)
        else:
            base[name] = value
    return base
