"""The training losses: each maps patch scores and labels to a loss and its exact gradient, and knows nothing else."""

from augscope.methods.base import Method
from augscope.methods.cutmix import CutMix
from augscope.methods.cutout import Cutout
from augscope.methods.erm import Erm

__all__ = ["CutMix", "Cutout", "Erm", "Method"]
