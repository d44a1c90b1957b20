"""Formulas of derived fields, such as "sqrt(speed * num_samples / dim)": arithmetic on names, and nothing else."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from augscope.support.values import check

_Function = Callable[[Mapping[str, Any]], float]
_OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: math.pow,  # of real numbers alone: a root of a negative number is an error, not a complex number
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
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
    """A formula that is arithmetic and nothing else; `evaluate` gives its value at a point.

    Attributes:
        text: as written.
        names: that the formula uses.
    """

    text: str
    names: frozenset[str]
    _value: _Function = field(repr=False, compare=False)

    @classmethod
    def read(cls, name: str, text: Any) -> Formula:
        """Parse the formula of a field. Raises ValueError, naming the field, on anything but arithmetic."""
        check(isinstance(text, str), f"`{name}` must be derived by a formula in quotes, got {text!r}")
        names: set[str] = set()
        try:
            value = _function(ast.parse(text.strip(), mode="eval").body, names)
        except (SyntaxError, _NotArithmetic, RecursionError):
            raise ValueError(f"`{name}` must be derived by {_KNOWN}, got {text!r}") from None
        return cls(text, frozenset(names), value)

    def evaluate(self, name: str, values: Mapping[str, Any]) -> float:
        """Return the value at a point. Raises ValueError, naming the field and the point, where there is none."""
        for used in sorted(self.names):
            value = values.get(used)
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            check(is_number, f"`{name}` is derived from `{used}`, which must be a number, got {value!r}")
        try:
            value = self._value(values)
            reason = f"it is {value}"
        except (ArithmeticError, ValueError) as error:
            value, reason = math.nan, str(error)
        point = ", ".join(f"{used} = {values[used]:g}" for used in sorted(self.names))
        at = f" at {point}" if point else ""
        check(math.isfinite(value), f"`{name}` = {self.text!r} must be a finite number{at}: {reason}")
        return value


class _NotArithmetic(Exception):
    """A formula holds something else than arithmetic."""


def _function(node: ast.AST, names: set[str]) -> _Function:
    """The value of a tree as a function of the names in it, which it adds to `names`. Raises _NotArithmetic.

    Every number is made a float, so that no power grows without end.
    """
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return lambda _: float(value)
        case ast.Name(id=name):
            names.add(name)
            return lambda values: float(values[name])
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            apply, arguments = _OPERATORS[type(op)], [left, right]
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            apply, arguments = _OPERATORS[type(op)], [operand]
        case ast.Call(func=ast.Name(id=name), args=[_, *_] as arguments, keywords=[]) if name in _FUNCTIONS:
            apply = _FUNCTIONS[name]
        case _:
            raise _NotArithmetic
    parts = [_function(argument, names) for argument in arguments]

    def value_at(values: Mapping[str, Any]) -> float:
        try:
            return apply(*(part(values) for part in parts))
        except TypeError:
            raise ValueError(f"{apply.__name__} does not take {len(parts)} numbers") from None

    return value_at
