"""The training losses: each maps patch scores and labels to a loss and its exact gradient, and knows nothing else."""

from augscope.model.methods.base import Method
from augscope.model.methods.custom import FunctionMethod, SubsetMethod
from augscope.model.methods.cutmix import CutMix, cutmix_plateau
from augscope.model.methods.cutout import Cutout
from augscope.model.methods.erm import Erm
from augscope.model.methods.mixup import Mixup
from augscope.model.methods.reading import METHOD_NAMES, read_method
from augscope.model.methods.smoothing import LabelSmoothing

__all__ = [
    "METHOD_NAMES",
    "CutMix",
    "Cutout",
    "Erm",
    "FunctionMethod",
    "LabelSmoothing",
    "Method",
    "Mixup",
    "SubsetMethod",
    "cutmix_plateau",
    "read_method",
]
