"""A method from what stands in a file: the name of a built-in one, or the import path of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from augscope.model.methods.base import Method
from augscope.model.methods.custom import FunctionMethod
from augscope.model.methods.cutmix import CutMix
from augscope.model.methods.cutout import Cutout
from augscope.model.methods.erm import Erm
from augscope.model.methods.mixup import Mixup
from augscope.model.methods.smoothing import LabelSmoothing
from augscope.support.naming import make_piece

METHOD_NAMES = ("erm", "cutout", "cutmix")  # those that have a theorem, compared where nothing else is said
_BUILT_IN: dict[str, type[Method]] = {
    "erm": Erm,
    "cutout": Cutout,
    "cutmix": CutMix,
    "mixup": Mixup,
    "label_smoothing": LabelSmoothing,
}


def read_method(given: Any) -> Method:
    """Return a method from itself, a name, or a table of its name and fields.

    Args:
        given: a `Method`; "erm", "cutout", "cutmix", "mixup", "label_smoothing" or `module:Name` of a subclass of `Method` or a function of scores
            and labels; or a mapping with such a `name` and the method's fields.

    Raises:
        ValueError: in a sentence, if it is none of these.

    Example:
        >>> from augscope.model.methods import read_method
        >>> read_method({"name": "cutout", "num_cut": 2})
        Cutout(name='cutout', num_cut=2, algorithm='enumerate')
    """
    if isinstance(given, Method):
        return given
    fields = dict(given) if isinstance(given, Mapping) else {"name": given}
    name = fields.get("name")
    if isinstance(name, str) and name in _BUILT_IN:
        inner = {"method": read_method(fields["method"])} if "method" in fields else {}
        return _BUILT_IN[name](**fields | inner)
    if not isinstance(name, str) or ":" not in name:
        known = ", ".join(_BUILT_IN)
        raise ValueError(f"`methods` must be among {known}, or module:Name or file.py:Name of your own, got {name!r}")
    return make_piece("methods", given, Method, lambda function: FunctionMethod(function=function))
