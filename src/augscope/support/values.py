"""Frozen values and checks that refuse bad input in one sentence; no JAX."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator


class Value(BaseModel):
    """A frozen, hashable, validated value whose errors are plain `ValueError` sentences.

    Unknown fields are refused. Numbers given as strings are refused too, so a typo in a file is not guessed at.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise ValueError("; ".join(_sentence(problem) for problem in error.errors())) from None

    @model_validator(mode="before")
    @classmethod
    def _refuse_text_for_numbers(cls, fields: Any) -> Any:
        for name, value in fields.items() if isinstance(fields, dict) else ():
            for part in value if isinstance(value, (tuple, list)) else (value,):
                check(not _is_number_as_text(part), f"`{name}` must hold numbers, got the text {part!r}")
            field = cls.model_fields.get(name)
            is_number = field is not None and field.annotation in (int, float)
            check(not (is_number and isinstance(value, bool)), f"`{name}` must be a number, got {value}")
        return fields

    def replace(self, **changes: Any):
        """Return a copy with some fields changed, validated again. Raises ValueError as the constructor does."""
        return type(self)(**{**{name: getattr(self, name) for name in type(self).model_fields}, **changes})


def _is_number_as_text(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True


def _sentence(problem: Any) -> str:
    """One pydantic problem as a sentence that names the field, the rule and the value."""
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return message
    field = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"`{field}` is not a known field, got {problem['input']!r}"
    if problem["type"] == "missing":
        return f"`{field}` is required"
    return f"`{field}` is not valid: {message[0].lower()}{message[1:]}, got {problem['input']!r}"


def check(condition: bool, sentence: str) -> None:
    """Raise ValueError with the sentence unless the condition holds."""
    if not condition:
        raise ValueError(sentence)


def check_utf8(argument: str, text: str, what: str) -> None:
    """Raise ValueError for a text that is no UTF-8: bytes of the command line may be anything, and what is written holds it.

    Args:
        argument: its name. text: what was given. what: it must be, such as "a name".
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"`{argument}` must be {what} in UTF-8, got {text!r}") from None


def check_positive(name: str, value: float) -> None:
    """Raise ValueError unless `value` is a finite number above 0."""
    check(isinstance(value, Real) and not isinstance(value, bool), f"`{name}` must be a number, got {value!r}")
    check(math.isfinite(value) and value > 0, f"`{name}` must be above 0, got {value}")


def check_count(name: str, value: Any) -> None:
    """Raise ValueError unless `value` is a whole number, at least 1."""
    check(_is_whole(value), f"`{name}` must be a whole number, got {value!r}")
    check(int(value) >= 1, f"`{name}` must be at least 1, got {value}")


def checked_seeds(seeds: Iterable[int]) -> tuple[int, ...]:
    """Return the seeds as a tuple. Raises ValueError unless they are distinct integers in [0, 2⁶³), at least one."""
    check(isinstance(seeds, Iterable), f"`seeds` must be a collection of integers such as range(8), got {seeds!r}")
    seeds = tuple(seeds)
    check(len(seeds) >= 1, "`seeds` must hold at least one seed, got none")
    bad = [seed for seed in seeds if not (_is_whole(seed) and 0 <= int(seed) < 2**63)]
    check(not bad, f"`seeds` must be integers from 0 to 2^63 - 1, got {', '.join(map(repr, bad[:5]))}")
    numbers = tuple(map(int, seeds))
    twice = sorted(seed for seed, times in Counter(numbers).items() if times > 1)
    check(not twice, f"`seeds` must differ from each other, got {', '.join(map(str, twice[:5]))} more than once")
    return numbers


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
