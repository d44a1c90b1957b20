"""Options of a command made from the fields of the value that they fill: name, type, default and help text are the field's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, make_dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from augscope.support.values import Value


@dataclass(frozen=True)
class Text:
    """A field that is typed as text, such as a list.

    Attributes:
        default: as typed.
        read: makes the field's value of what was typed; raises ValueError.
        help: in place of the field's description.
    """

    default: str
    read: Callable[[str], Any]
    help: str


def options_of(value: type[Value], texts: Mapping[str, Text]) -> type:
    """Return a frozen dataclass with an option for each field of `value`, and a method `read` that makes the value.

    Args:
        value: its fields have defaults, and are described.
        texts: the fields that are typed as text.
    """

    def read(options: Any) -> Value:
        fields = vars(options)
        return value(**{name: texts[name].read(given) if name in texts else given for name, given in fields.items()})

    options = []
    for name, known in value.model_fields.items():
        text = texts.get(name)
        kind, default = (known.annotation, known.default) if text is None else (str, text.default)
        parameter = Parameter(help=known.description if text is None else text.help)
        options.append((name, Annotated[kind, parameter], field(default=default)))
    namespace = {"read": read, "__module__": value.__module__}  # of `types`, it would not be taken for options
    made = make_dataclass(f"{value.__name__}Options", options, frozen=True, namespace=namespace)
    return Parameter(name="*")(made)
