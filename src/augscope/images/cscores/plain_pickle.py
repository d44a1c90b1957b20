"""Pickled data read without running anything: opcodes are taken for what they say, and nothing is imported or called.

`pickle` imports what a file names and calls it. Here a name stays a `Name` and a call a `Call`, both mere records, and
every name but those with which NumPy arrays are written is refused.
"""

from __future__ import annotations

import math
import pickletools
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from augscope.values import check

ENCODE = ("_codecs", "encode")  # how Python 3 writes bytes for Python 2
RECONSTRUCT = {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")}
DATATYPE = ("numpy", "dtype")
ALLOWED = {ENCODE, DATATYPE, ("numpy", "ndarray"), *RECONSTRUCT}
VALUES = frozenset(
    [
        "BININT",
        "BININT1",
        "BININT2",
        "INT",
        "LONG",
        "LONG1",
        "LONG4",
        "FLOAT",
        "BINFLOAT",
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "UNICODE",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
        "BINBYTES",
        "SHORT_BINBYTES",
        "BINBYTES8",
    ]
)
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(frozen=True)
class Name:
    """Something that the file would have imported."""

    module: str
    name: str


@dataclass(eq=False)
class Call:
    """Something that the file would have called, and the state that it would have set."""

    name: Name
    arguments: Any
    state: Any = None


@dataclass(eq=False)
class _Machine:
    """The stack and the memo of a pickle; a mark is kept as the stack below it."""

    stack: list[Any] = field(default_factory=list)
    below: list[list[Any]] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def to_mark(self) -> list[Any]:
        found, self.stack = self.stack, self.below.pop()
        return found

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        check(type(target) is dict and len(items) % 2 == 0, "it is damaged")
        keys = items[::2]
        check(
            all(isinstance(key, str | bytes) for key in keys), "its keys are not text"
        )  # others could be slow to hash
        target.update(zip(keys, items[1::2], strict=True))

    def append(self, items: list[Any]) -> None:
        check(type(self.stack[-1]) is list, "it is damaged")
        self.stack[-1].extend(items)

    def name(self, module: Any, name: Any) -> None:
        check(isinstance(module, str) and isinstance(name, str), "it is damaged")
        check((module, name) in ALLOWED, f"it names {f'{module}.{name}'[:80]!r}, which no data file needs")
        self.push(Name(module, name))

    def call(self) -> None:
        arguments, target = self.stack.pop(), self.stack.pop()
        check(isinstance(target, Name), "it calls something that is no name")
        encoded = (target.module, target.name) == ENCODE
        self.push(_encoded(arguments) if encoded else Call(target, arguments))

    def build(self) -> None:
        state = self.stack.pop()
        check(isinstance(self.stack[-1], Call), "it sets the state of something that is no array")
        self.stack[-1].state = state


def _encoded(arguments: Any) -> bytes:
    """Bytes that were written as text of one character a byte."""
    good = isinstance(arguments, tuple) and len(arguments) == 2 and isinstance(arguments[0], str)
    check(good and arguments[1] == "latin1", "its bytes are encoded in an unknown way")
    return arguments[0].encode("latin-1")  # beyond latin-1: a UnicodeError, which is a ValueError


def read_plain_pickle(content: bytes) -> Any:
    """Return what a pickle of plain values and NumPy arrays says, arrays as `Call`s for `array_of`.

    Args:
        content: the file. Text that Python 2 wrote comes as str, one character a byte.

    Raises:
        ValueError: if it is damaged, or holds anything but None, numbers, text, lists, tuples, dictionaries and arrays.
            The sentence begins with "it".

    Cost: a pass over the opcodes, some 0.1 s for a CIFAR-10 batch.
    """
    machine = _Machine()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # what `pickletools` gives for a wrong escape in text
            for opcode, argument, _ in pickletools.genops(content):
                if opcode.name == "STOP":
                    return machine.stack.pop()
                _step(machine, opcode.name, argument)
    # A stack or memo that does not hold what the opcode takes, a number too large, a wrong escape.
    except (IndexError, KeyError, OverflowError, DeprecationWarning):
        raise ValueError("it is damaged") from None
    raise ValueError("it is damaged")


def _step(machine: _Machine, opcode: str, argument: Any) -> None:
    """Do what one opcode says, with records in place of deeds."""
    if opcode in VALUES:
        machine.push(argument)
    elif opcode in CONSTANTS:
        machine.push(CONSTANTS[opcode])
    elif opcode in TUPLES:
        parts = [machine.stack.pop() for _ in range(TUPLES[opcode])]
        machine.push(tuple(reversed(parts)))
    elif opcode in _STACK:
        _STACK[opcode](machine, argument)
    else:
        check(opcode in ("PROTO", "FRAME"), f"it holds the instruction {opcode}, which no data file needs")


def _pair(machine: _Machine) -> list[Any]:
    value, key = machine.stack.pop(), machine.stack.pop()
    return [key, value]


def _mark(machine: _Machine) -> None:
    machine.below.append(machine.stack)
    machine.stack = []


def _new_dict(machine: _Machine) -> None:
    items = machine.to_mark()
    machine.push({})
    machine.set_items(items)


def _stack_global(machine: _Machine) -> None:
    module, name = _pair(machine)
    machine.name(module, name)


_STACK = {
    "MARK": lambda machine, _: _mark(machine),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "DICT": lambda machine, _: _new_dict(machine),
    "LIST": lambda machine, _: machine.push(machine.to_mark()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.to_mark())),
    "APPEND": lambda machine, _: machine.append([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.to_mark()),
    "SETITEM": lambda machine, _: machine.set_items(_pair(machine)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.to_mark()),
    "GLOBAL": lambda machine, argument: machine.name(*argument.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: _stack_global(machine),
    "REDUCE": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.build(),
    "MEMOIZE": lambda machine, _: machine.memo.__setitem__(len(machine.memo), machine.stack[-1]),
    **dict.fromkeys(
        ("PUT", "BINPUT", "LONG_BINPUT"), lambda machine, index: machine.memo.__setitem__(index, machine.stack[-1])
    ),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda machine, index: machine.push(machine.memo[index])),
}


def array_of(value: Any) -> np.ndarray:
    """Return the array of bytes that a file spoke of: uint8, of any shape, in C order.

    Raises:
        ValueError: if the value is no such array, or its bytes are not as many as its shape asks for.
    """
    known = isinstance(value, Call) and (value.name.module, value.name.name) in RECONSTRUCT
    state = value.state if known else None
    if not (isinstance(state, tuple) and len(state) == 5):
        raise ValueError("its images are no NumPy array")
    _, shape, datatype, fortran, raw = state
    plain = isinstance(datatype, Call) and (datatype.name.module, datatype.name.name) == DATATYPE
    plain = plain and isinstance(datatype.arguments, tuple) and datatype.arguments[:1] in (("u1",), (b"u1",))
    check(plain and not fortran, "its images are no array of bytes in C order")
    check(isinstance(raw, str | bytes), "its images are no bytes")
    content = raw if isinstance(raw, bytes) else raw.encode("latin-1")  # Python 2 wrote bytes as text
    whole = isinstance(shape, tuple) and all(type(size) is int and size >= 0 for size in shape)
    check(whole and math.prod(shape) == len(content), "its images are not as many bytes as their shape asks for")
    return np.frombuffer(content, np.uint8).reshape(shape)
