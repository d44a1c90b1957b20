"""The fields of a value as its source states them: name, type, default, meaning.

A command's options are made from the fields that they fill. Its help must load neither JAX nor PyTorch, which take
seconds: so the classes are read, not imported.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Any

_ENTRY = re.compile(r"    (\w+(?:, \w+)*): +(.*)")  # of a docstring's `Args:`, one name or several


@dataclass(frozen=True)
class FieldText:
    """A field of a class, or a keyword of a function, as written in the source.

    Attributes:
        name: of the field.
        kind: its type as written, without `| None`: "int", "tuple[float, ...]".
        default: where it is a literal; None otherwise, or where there is none.
        meaning: the text below it, or what `Args:` or `Attributes:` of the docstring says of it.
    """

    name: str
    kind: str
    default: Any
    meaning: str


@cache
def fields_of(path: str) -> dict[str, FieldText]:
    """Return the public fields of a class of augscope, or a function's keywords, in their order, by name.

    Inherited fields are not among them: merge what is read of both classes.

    Args:
        path: where it is defined, `augscope.module:Name`.

    Example:
        >>> from augscope.support.fields import fields_of
        >>> fields_of("augscope.model.network:Network")["smoothing"]
        FieldText(name='smoothing', kind='float', default=1.0, meaning='r > 0, the width of the quadratic piece.')
    """
    module, _, name = path.partition(":")
    package, *folders, file = module.split(".")
    source = resources.files(package).joinpath(*folders, f"{file}.py").read_text(encoding="utf-8")
    node = next(node for node in ast.parse(source).body if getattr(node, "name", "") == name)
    assert isinstance(node, (ast.ClassDef, ast.FunctionDef))
    meanings = _meanings(ast.get_docstring(node) or "")
    if isinstance(node, ast.ClassDef):
        meanings |= _texts_below(node)
    parts = _class_fields(node) if isinstance(node, ast.ClassDef) else _keywords(node)
    return {
        name: FieldText(name, kind.removesuffix(" | None"), default, meanings.get(name, ""))
        for name, kind, default in parts
        if not name.startswith("_")
    }


def _class_fields(node: ast.ClassDef) -> Iterator[tuple[str, str, Any]]:
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            yield line.target.id, ast.unparse(line.annotation), _literal(line.value)


def _texts_below(node: ast.ClassDef) -> dict[str, str]:
    """The texts that stand below fields, by field."""
    return {
        field.target.id: inspect.cleandoc(str(text.value.value))
        for field, text in pairwise(node.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    }


def _keywords(node: ast.FunctionDef) -> Iterator[tuple[str, str, Any]]:
    for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        if argument.annotation is not None:
            yield argument.arg, ast.unparse(argument.annotation), _literal(default)


def _literal(node: ast.expr | None) -> Any:
    try:
        return None if node is None else ast.literal_eval(node)
    except ValueError:
        return None


def _meanings(docstring: str) -> dict[str, str]:
    """What a docstring says of each argument; lines that are indented further go on from the one before."""
    meanings: dict[str, str] = {}
    names: list[str] = []
    inside = False
    for line in inspect.cleandoc(docstring).splitlines():
        if line.strip() and not line.startswith(" "):
            inside, names = line in ("Args:", "Attributes:"), []
        elif inside and (entry := _ENTRY.fullmatch(line)):
            names = entry[1].split(", ")
            meanings |= dict.fromkeys(names, entry[2])
        elif inside and line.startswith("        "):
            meanings |= {name: f"{meanings[name]} {line.strip()}" for name in names}
    return meanings
