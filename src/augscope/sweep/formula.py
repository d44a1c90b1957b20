"""Formulas of derived fields, such as "sqrt(speed * num_samples / dim)": arithmetic on names, and nothing else."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from augscope.validation import check

_OPERATORS: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_SIGNS: dict[type, Callable[[float], float]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "min": min,
    "max": max,
    "abs": abs,
}
_KNOWN = "numbers, names, + - * / **, parentheses, " + ", ".join(_FUNCTIONS)


@dataclass(frozen=True)
class Formula:
    """A formula that was read and found to be arithmetic; `evaluate` gives its value at a point.

    Attributes:
        text: as written.
        names: what it is a formula of.
    """

    text: str
    names: frozenset[str]

    @classmethod
    def read(cls, field: str, text: Any) -> Formula:
        """Parse a formula for a field. Raises ValueError, naming the field, on anything but arithmetic."""
        check(isinstance(text, str), f"`{field}` must be derived by a formula in quotes, got {text!r}")
        try:
            tree = ast.parse(text.strip(), mode="eval").body
            names = frozenset(_names(tree))
        except (SyntaxError, _NotArithmetic, RecursionError):
            raise ValueError(f"`{field}` must be derived by {_KNOWN}, got {text!r}") from None
        return cls(text, names)

    def evaluate(self, field: str, values: Mapping[str, Any]) -> float:
        """Return the value at a point. Raises ValueError, naming the field and the point, where there is none."""
        for name in sorted(self.names):
            known = isinstance(values.get(name), (int, float)) and not isinstance(values.get(name), bool)
            check(known, f"`{field}` is derived from `{name}`, which must be a number, got {values.get(name)!r}")
        try:
            value = _value(ast.parse(self.text.strip(), mode="eval").body, values)
        except (ArithmeticError, ValueError) as error:
            value, reason = math.nan, str(error)
        else:
            reason = f"it is {value}"
        if isinstance(value, complex) or not math.isfinite(value):
            at = ", ".join(f"{name} = {values[name]:g}" for name in sorted(self.names))
            raise ValueError(f"`{field}` = {self.text!r} must be a finite number at {at}: {reason}")
        return value


class _NotArithmetic(Exception):
    """Something else than arithmetic stands in a formula."""


def _names(node: ast.AST) -> Iterator[str]:
    """The names in a formula; raises _NotArithmetic where the tree holds anything that `_value` does not know."""
    match node:
        case ast.Constant(value=value) if type(value) in (int, float):
            return
        case ast.Name(id=name):
            yield name
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            yield from _names(left)
            yield from _names(right)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _SIGNS:
            yield from _names(operand)
        case ast.Call(func=ast.Name(id=function), args=[_, *_] as args, keywords=[]) if function in _FUNCTIONS:
            for argument in args:
                yield from _names(argument)
        case _:
            raise _NotArithmetic


def _value(node: Any, values: Mapping[str, Any]) -> float:
    """The value of a tree that `_names` has accepted. Everything is a float, so that no power grows without end."""
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Name(id=name):
            return float(values[name])
        case ast.BinOp(left=left, op=op, right=right):
            return _OPERATORS[type(op)](_value(left, values), _value(right, values))
        case ast.UnaryOp(op=op, operand=operand):
            return _SIGNS[type(op)](_value(operand, values))
    try:
        return _FUNCTIONS[node.func.id](*(_value(argument, values) for argument in node.args))
    except TypeError:  # the wrong number of arguments
        raise ValueError(f"{node.func.id} does not take {len(node.args)} numbers") from None
