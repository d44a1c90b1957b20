"""The training losses: each maps patch scores and labels to a loss and its exact gradient, and knows nothing else."""

from augscope.methods.base import Method
from augscope.methods.custom import FunctionMethod, SubsetMethod
from augscope.methods.cutmix import CutMix, cutmix_plateau
from augscope.methods.cutout import Cutout
from augscope.methods.erm import Erm
from augscope.methods.reading import METHOD_NAMES, read_method

__all__ = [
    "METHOD_NAMES",
    "CutMix",
    "Cutout",
    "Erm",
    "FunctionMethod",
    "Method",
    "SubsetMethod",
    "cutmix_plateau",
    "read_method",
]
