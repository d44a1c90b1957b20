"""Objects that users name by import path: transforms and models of other libraries, activations and methods of their own."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from augscope.support.values import check

Arguments = tuple[list[Any], dict[str, Any]]

FOREIGN_ERRORS = (Exception, SystemExit, GeneratorExit)  # what code of others may raise; not Ctrl-C


@dataclass(frozen=True)
class Named:
    """What an import path names.

    Attributes:
        path: as it was given.
        option: the argument that it was given for, as messages call it.
        source: the module or file.
        value: the object.
        arguments: positional and named, or None where the path has no parentheses.
    """

    path: str
    option: str
    source: str
    value: Any
    arguments: Arguments | None

    @property
    def root(self) -> str:
        """The name of the package, or of the file without its ending."""
        return Path(self.source).stem if self.source.endswith(".py") else self.source.split(".")[0]

    @property
    def code(self) -> str:
        """SHA-256 of the file that it was read from; of what a module only passes on, of the file that defines it."""
        path = self.source
        if not path.endswith(".py"):
            try:
                path = inspect.getfile(self.value)
            except TypeError:  # built in, or an object
                path = sys.modules[self.source].__file__
        return "" if path is None else hashlib.sha256(Path(path).read_bytes()).hexdigest()

    def make(self, defaults: Mapping[str, Any]) -> Any:
        """Call the object with its arguments.

        Args:
            defaults: further arguments by name; the object gets those that it has a parameter for and the path does not give.

        Raises:
            ValueError: if the call fails, with the reason.
        """
        args, keywords = self.arguments or ([], {})
        try:
            signature = inspect.signature(self.value)
            free = signature.parameters.keys() - signature.bind_partial(*args, **keywords).arguments.keys()
        except (TypeError, ValueError):  # without a signature, or the call will say why
            free = set()
        extra = {name: value for name, value in defaults.items() if name in free}
        try:
            return self.value(*args, **{**extra, **keywords})
        except FOREIGN_ERRORS as error:
            reason = f"{type(error).__name__}: {error}"
            raise ValueError(f"`{self.option}` could not be made, got {self.path!r}: {reason}") from None


def import_named(option: str, path: str) -> Named:
    """Import `package.module:name`, `package.module:Class(literals)` or `file.py:name`. Nothing is evaluated but literals.

    Args:
        option: the argument that the path was given for, for messages.
        path: of the object.

    Raises:
        ValueError: if it is no such path, or cannot be imported, with the reason.
    """
    source, _, rest = path.partition(":")
    check(bool(source and rest), f"`{option}` must read package.module:Class or file.py:function, got {path!r}")
    parsed = _parse(rest)
    if parsed is None:
        raise ValueError(
            f"`{option}` must be a name, or a name with literal arguments such as Class(p=0.5), got {path!r}"
        )
    name, arguments = parsed
    return Named(path, option, source, _look_up(option, path, source, name), arguments)


def import_piece(option: str, path: str) -> Any:
    """Return what `module:Name` or `file.py:Name` names: the form in which files and records write an activation or a method.

    Raises:
        ValueError: as `import_named` does.
    """
    module, _, name = path.partition(":")
    check(bool(module) and name.isidentifier(), f"`{option}` must read module:Name or file.py:Name, got {path!r}")
    return _look_up(option, path, module, name)


def _look_up(option: str, path: str, source: str, name: str) -> Any:
    """Return an attribute of a module or a file; modules are searched on Python's path, then in the working directory, and
    by a file also in its own folder.

    Importing a module runs it: only paths that the user wrote are to be read.
    """
    try:
        module = _load_file(source) if source.endswith(".py") else _load_module(source)
        value = getattr(module, name, None)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # foreign code: an ImportError, a SyntaxError, anything
        reason = str(error) if isinstance(error, FileNotFoundError) else f"{type(error).__name__}: {error}"
        raise ValueError(f"`{option}` could not be imported, got {path!r}: {reason}") from None
    if value is None:
        raise ValueError(f"`{option}` could not be imported, got {path!r}: {source} has no {name!r}")
    return value


def _search(folder: str) -> None:
    """Let imports look in a folder too, after all others."""
    if folder not in sys.path:
        sys.path.append(folder)


def _load_module(name: str) -> ModuleType:
    _search(os.getcwd())  # an installed command has its own folder there in place of the user's
    return importlib.import_module(name)


_FILES: dict[tuple[str, Path, int], ModuleType] = {}  # by path and time of change: a file is run once, as a module is


def _load_file(source: str) -> ModuleType:
    """The module that a file makes. Its name is the path as given, so that `path_of` what it holds can be read again."""
    path = Path(source)
    specification = importlib.util.spec_from_file_location(source, path)
    if specification is None or specification.loader is None or not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    _search(os.getcwd())
    _search(str(path.resolve().parent))
    place = source, path.resolve(), path.stat().st_mtime_ns
    if place not in _FILES:
        module = sys.modules[source] = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        _FILES[place] = module
    return _FILES[place]


def _parse(text: str) -> tuple[str, Arguments | None] | None:
    """The name and the arguments in `Name` or `Name(literals)`, or None for any other text."""
    try:
        expression = ast.parse(text, mode="eval").body
        if isinstance(expression, ast.Name):
            return expression.id, None
        if not isinstance(expression, ast.Call) or not isinstance(expression.func, ast.Name):
            return None
        args = [ast.literal_eval(value) for value in expression.args]
        keywords = {word.arg: ast.literal_eval(word.value) for word in expression.keywords if word.arg}
    except (SyntaxError, ValueError):
        return None
    unpacked = len(keywords) < len(expression.keywords)  # **mapping
    return None if unpacked else (expression.func.id, (args, keywords))


def make_piece(option: str, given: Any, base: type, wrap: Callable[[Any], Any]) -> Any:
    """Return a piece that a user wrote: a subclass of `base` made with its fields, or a function, wrapped.

    Args:
        option: the argument that it was given for, for messages.
        given: its table: the import path as "name", and the fields.
        base: a class with a public name in augscope.
        wrap: makes a piece of a function.

    Raises:
        ValueError: if nothing can be imported from there, or it is neither.
    """
    fields = dict(given) if isinstance(given, Mapping) else {"name": given}
    path = fields.pop("name")
    piece = import_piece(option, path)
    if isinstance(piece, type) and issubclass(piece, base):
        return _made(option, path, lambda: piece(**fields))
    rule = f"`{option}` must name a subclass of augscope.{base.__name__} with its fields, or a function without any"
    check(callable(piece) and not isinstance(piece, type) and not fields, f"{rule}, got {given!r}")
    return _made(option, path, lambda: wrap(piece))


def _made(option: str, path: str, make: Callable[[], Any]) -> Any:
    """Call foreign code. Raises ValueError, naming the option, for whatever it raises."""
    try:
        return make()
    except ValueError:  # our own checks of it
        raise
    except FOREIGN_ERRORS as error:
        raise ValueError(f"`{option}` cannot be {path}: {type(error).__name__}: {error}") from None


def path_of(option: str, piece: Any) -> str:
    """Return the import path of a class or function. Raises ValueError, naming `option`, if it can have none."""
    module, name = getattr(piece, "__module__", None), getattr(piece, "__qualname__", "")
    check(
        bool(module) and name.isidentifier(),
        f"`{option}` must be at the top level of a module to be written down, got {name or piece!r}",
    )
    return f"{module}:{name}"


def named_pieces(configuration: Mapping[str, Any]) -> list[str]:
    """Return the import paths in a configuration's network and methods."""
    tables = [configuration.get("network"), *configuration.get("methods", ())]
    names = [table.get("name") if isinstance(table, Mapping) else table for table in tables]
    return [name for name in names if isinstance(name, str) and ":" in name]
