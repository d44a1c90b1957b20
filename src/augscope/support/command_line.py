"""Texts of the command line: lists, pairs, seeds and files in options, and the line that runs something again."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from augscope.support.files import read_text

MAX_SEEDS = 1_000_000  # a larger count is a typing error


def parse_list(name: str, text: str, kind: type) -> tuple[Any, ...]:
    """Return comma-separated numbers as a tuple; a comma at the end is allowed. Raises ValueError naming the option."""
    try:
        values = tuple(kind(part) for part in text.split(",") if part.strip())
    except ValueError:
        values = ()
    if not values:
        word = "whole numbers" if kind is int else "numbers"
        raise ValueError(f"`{name}` must be comma-separated {word}, got {_quoted(text)}")
    return values


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")


def parse_names(name: str, text: str) -> tuple[str, ...]:
    """Return comma-separated names as a tuple; a comma at the end is allowed, and those in brackets part nothing.

    Raises:
        ValueError: naming the option, if there is none.

    Example:
        >>> parse_names("methods", "erm,my.py:Cut(size=(2, 3), fill=0),")
        ('erm', 'my.py:Cut(size=(2, 3), fill=0)')
    """
    parts = re.findall(r"(?:[^,(]|\((?:[^()]|\([^()]*\))*\)|\()+", text)
    names = tuple(part.strip() for part in parts if part.strip())
    if not names:
        raise ValueError(f"`{name}` must be comma-separated names, got {_quoted(text)}")
    return names


def parse_pair(name: str, text: str) -> tuple[int, int]:
    """Return (4, 6) for "4x6" and (4, 4) for "4". Raises ValueError naming the option."""
    parts = text.lower().replace("×", "x").split("x")
    if not (1 <= len(parts) <= 2 and all(part.strip().isdigit() and int(part) > 0 for part in parts)):
        raise ValueError(f"`{name}` must be a whole number or two such as 16x24, got {text!r}")
    numbers = [int(part) for part in parts]
    return numbers[0], numbers[-1]


def read_seeds(given: str | int | Iterable[int]) -> tuple[int, ...]:
    """Return the seeds that an option, a file or a call gives.

    Args:
        given: a count or its text (20 and "20" mean 0 … 19), or a list or its text ("3,5,8"; "7," for one).

    Raises:
        ValueError: on any other text, a count that is not from 1 to 1,000,000, or seeds that are negative or given twice.

    Example:
        >>> read_seeds("3"), read_seeds("3,"), read_seeds([3, 5])
        ((0, 1, 2), (3,), (3, 5))
    """
    from augscope.support.values import checked_seeds  # here: it loads pydantic, which no help needs

    seeds = given
    if isinstance(seeds, str):
        numbers = parse_list("seeds", seeds, int)
        seeds = numbers if "," in seeds else numbers[0]
    if type(seeds) is not int:
        return checked_seeds(seeds)  # type: ignore[arg-type]
    if not 1 <= seeds <= MAX_SEEDS:
        raise ValueError(f"`seeds` must be at least one and at most {MAX_SEEDS:,}, got {given}")
    return tuple(range(seeds))


def seeds_text(seeds: tuple[int, ...]) -> str:
    """Return the text that `read_seeds` reads back: a count where they are 0, 1, 2, …, else the list."""
    if seeds == tuple(range(len(seeds))):
        return str(len(seeds))
    return ",".join(map(str, seeds)) + ("," if len(seeds) == 1 else "")  # 7 alone would be seven seeds


def read_toml(option: str, path: Path | str) -> dict[str, Any]:
    """Return a TOML file's content. Raises ValueError, naming option and file, if it cannot be read or parsed."""
    try:
        text = read_text(Path(path))
        content = tomllib.loads(text)
        _check_integers(content)
        return content
    except OSError as error:
        raise ValueError(f"`{option}` must be a readable file, got {path}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"`{option}` must be valid TOML, got {path}: {error}") from None
    except RecursionError:
        raise ValueError(f"`{option}` must be valid TOML, got {path}, which is nested too deep") from None


def _check_integers(value: Any) -> None:
    """Raise ValueError unless all whole numbers have 64 bits, as TOML asks for."""
    if isinstance(value, int):
        shown = str(value)[:24]
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"whole numbers must have 64 bits, got {shown}…")
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_integers(part)


class NextStep(NamedTuple):
    """A command to try next, and the question that it answers."""

    question: str
    command: str

    def __str__(self) -> str:
        return f"{self.question} {self.command}"


def command_line(command: str, *arguments: Any, options: Mapping[str, Any]) -> str:
    """Return the line that runs a command, quoted for a shell.

    Args:
        command: such as "images audit".
        arguments: positional ones.
        options: values by name. None and False are left out, True is a flag, a tuple is comma-separated, a list repeats
            the option.

    Example:
        >>> command_line("phase", "runs", options={"x": "dim", "minus": None, "boundary": ["erm", "kappa"], "seeds": (3, 5)})
        'augscope phase runs --x dim --boundary erm --boundary kappa --seeds 3,5'
    """
    words = ["augscope", *command.split(), *map(str, arguments)]
    for name, value in options.items():
        for part in value if isinstance(value, list) else [value]:
            if part is None or part is False:
                continue
            words.append(f"--{name.replace('_', '-')}")
            if part is not True:
                words.append(",".join(map(str, part)) if isinstance(part, tuple) else str(part))
    return shlex.join(words)
