"""Objects named by import path, with literal arguments: other people's transforms and models."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augscope.support.values import check

Arguments = tuple[list[Any], dict[str, Any]]


@dataclass(frozen=True)
class Named:
    """What an import path names.

    Attributes:
        text: the path as it was given.
        option: the argument that it was given for, as messages call it.
        place: the module or file.
        found: the object.
        arguments: positional and named, or None where the path has no parentheses.
    """

    text: str
    option: str
    place: str
    found: Any
    arguments: Arguments | None

    @property
    def root(self) -> str:
        """The name of the package, or of the file without its ending."""
        return Path(self.place).stem if self.place.endswith(".py") else self.place.split(".")[0]

    def make(self, fill: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> Any:
        """Call what was found with its arguments, the named ones after `fill`. Raises ValueError with the reason."""
        args, keywords = self.arguments or ([], {})
        try:
            return self.found(*args, **fill(keywords))
        except (Exception, SystemExit) as error:  # whatever foreign code raises is the answer, as a sentence
            raise ValueError(
                f"`{self.option}` could not be made, got {self.text!r}: {type(error).__name__}: {error}"
            ) from None


def import_named(text: str, option: str) -> Named:
    """Import `package.module:name`, `package.module:Class(literals)` or `file.py:name`. Nothing is evaluated but literals.

    Args:
        text: the path.
        option: the argument that it was given for, for messages.

    Raises:
        ValueError: if it is no such path, or cannot be imported, with the reason.
    """
    place, separator, rest = text.partition(":")
    check(
        bool(separator and place and rest),
        f"`{option}` must read package.module:Class or file.py:function, got {text!r}",
    )
    name, arguments = _parse(rest, text, option)
    module = _load(place, text, option)
    try:
        found = getattr(module, name)
    except AttributeError:
        raise ValueError(f"`{option}` could not be imported, got {text!r}: {place} has no {name!r}") from None
    except ImportError as error:
        raise ValueError(f"`{option}` could not be imported, got {text!r}: {error}") from None
    return Named(text, option, place, found, arguments)


def _load(place: str, text: str, option: str) -> Any:
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        path = Path(place)
        specification = importlib.util.spec_from_file_location(path.stem, path)
        if specification is None or specification.loader is None or not path.is_file():
            raise ValueError(f"`{option}` could not be imported, got {text!r}: no file {place}")
        module = importlib.util.module_from_spec(specification)
        sys.modules.setdefault(path.stem, module)
        specification.loader.exec_module(module)
        return module
    except ValueError:
        raise
    except (Exception, SystemExit) as error:  # foreign code again: an ImportError, a SyntaxError, anything
        raise ValueError(f"`{option}` could not be imported, got {text!r}: {type(error).__name__}: {error}") from None


def _parse(text: str, whole: str, option: str) -> tuple[str, Arguments | None]:
    """`Name` or `Name(literals)`: the name and the arguments."""
    try:
        expression = ast.parse(text, mode="eval").body
        if isinstance(expression, ast.Name):
            return expression.id, None
        if isinstance(expression, ast.Call) and isinstance(expression.func, ast.Name):
            keywords = {word.arg: ast.literal_eval(word.value) for word in expression.keywords if word.arg}
            if len(keywords) == len(expression.keywords):
                return expression.func.id, ([ast.literal_eval(value) for value in expression.args], keywords)
    except (SyntaxError, ValueError):
        pass
    raise ValueError(f"`{option}` must be a name, or a name with literal arguments such as Class(p=0.5), got {whole!r}")
