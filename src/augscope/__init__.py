"""augscope shows, exactly, which features a data augmentation makes a network learn (Oh & Yun, NeurIPS 2024)."""

from __future__ import annotations

from contextlib import nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from augscope.accuracy.exact import TestAccuracy, test_accuracy
    from augscope.model.augmented_points import AugmentedPoint, cutmix_point, cutout_point
    from augscope.model.dataset import Dataset
    from augscope.model.distribution import FeatureNoise, Rarity, learning_ratios
    from augscope.model.methods import (
        CutMix,
        Cutout,
        Erm,
        FunctionMethod,
        LabelSmoothing,
        Method,
        Mixup,
        SubsetMethod,
        cutmix_plateau,
    )
    from augscope.model.methods.monte_carlo import Estimate, estimate
    from augscope.model.network import CustomNetwork, FunctionNetwork, Network
    from augscope.model.patches import PatchData, dataset_from_patches
    from augscope.model.sampling import population, sample_dataset
    from augscope.model.schematic import schematic
    from augscope.studies.audit.audit import audit
    from augscope.studies.audit.compare import compare
    from augscope.sweep.grid import Sweep
    from augscope.sweep.phase import PhaseDiagram, phase_diagram
    from augscope.sweep.phase_options import PhaseOptions
    from augscope.sweep.records import Records
    from augscope.sweep.run import SweepOutcome, run_sweep
    from augscope.theorems.assumptions import noise_ratio
    from augscope.theorems.record import Results
    from augscope.theorems.reporting import load, train_seeds, write_report
    from augscope.theorems.statements import THEOREMS
    from augscope.theorems.verification import Verdict, verify
    from augscope.training.descent import default_record_steps
    from augscope.training.experiment import Experiment, presets
    from augscope.training.flow import FlowRun, flow
    from augscope.training.loop import Run
    from augscope.training.measures import History, feature_scores, features_learned, noise_memorised, unevenness
    from augscope.training.patch_measures import PatchHistory
    from augscope.training.regimes import derive_rarity
    from augscope.training.sampling import Sampling
    from augscope.training.train import train

# Public name → module that says it. Loaded on first use, so that `augscope --help` does not wait for JAX.
_HOMES = {
    "accuracy.exact": ("TestAccuracy", "test_accuracy"),
    "model.patches": ("PatchData", "dataset_from_patches"),
    "training.descent": ("default_record_steps",),
    "training.sampling": ("Sampling",),
    "training.train": ("train",),
    "model.distribution": ("FeatureNoise", "Rarity", "learning_ratios"),
    "training.experiment": ("Experiment", "presets"),
    "training.flow": ("FlowRun", "flow"),
    "training.loop": ("Run",),
    "training.measures": ("History", "feature_scores", "features_learned", "noise_memorised", "unevenness"),
    "training.patch_measures": ("PatchHistory",),
    "training.regimes": ("derive_rarity",),
    "model.methods": (
        "CutMix",
        "Cutout",
        "Erm",
        "FunctionMethod",
        "LabelSmoothing",
        "Method",
        "Mixup",
        "SubsetMethod",
        "cutmix_plateau",
    ),
    "model.methods.monte_carlo": ("Estimate", "estimate"),
    "model.network": ("CustomNetwork", "FunctionNetwork", "Network"),
    "sweep.phase": ("PhaseDiagram", "phase_diagram"),
    "sweep.phase_options": ("PhaseOptions",),
    "sweep.records": ("Records",),
    "model.augmented_points": ("AugmentedPoint", "cutmix_point", "cutout_point"),
    "model.dataset": ("Dataset",),
    "model.sampling": ("population", "sample_dataset"),
    "model.schematic": ("schematic",),
    "studies.audit.audit": ("audit",),
    "studies.audit.compare": ("compare",),
    "sweep.grid": ("Sweep",),
    "sweep.run": ("SweepOutcome", "run_sweep"),
    "theorems.assumptions": ("noise_ratio",),
    "theorems.record": ("Results",),
    "theorems.reporting": ("load", "train_seeds", "write_report"),
    "theorems.statements": ("THEOREMS",),
    "theorems.verification": ("Verdict", "verify"),
}
_MODULES = ("images", "laws")  # the practice: loaded on first use too, so that `import augscope` needs no PyTorch
_HOME_OF = {name: f"augscope.{module}" for module, names in _HOMES.items() for name in names}

__version__ = "0.1.0"
__all__ = [
    "THEOREMS",
    "AugmentedPoint",
    "CustomNetwork",
    "CutMix",
    "Cutout",
    "Dataset",
    "Erm",
    "Estimate",
    "Experiment",
    "FeatureNoise",
    "FlowRun",
    "FunctionMethod",
    "FunctionNetwork",
    "History",
    "LabelSmoothing",
    "Method",
    "Mixup",
    "Network",
    "PatchData",
    "PatchHistory",
    "PhaseDiagram",
    "PhaseOptions",
    "Rarity",
    "Records",
    "Results",
    "Run",
    "Sampling",
    "SubsetMethod",
    "Sweep",
    "SweepOutcome",
    "TestAccuracy",
    "Verdict",
    "audit",
    "compare",
    "cutmix_plateau",
    "cutmix_point",
    "cutout_point",
    "dataset_from_patches",
    "default_record_steps",
    "derive_rarity",
    "estimate",
    "feature_scores",
    "features_learned",
    "flow",
    "learning_ratios",
    "load",
    "noise_memorised",
    "noise_ratio",
    "phase_diagram",
    "population",
    "presets",
    "run_sweep",
    "sample_dataset",
    "schematic",
    "test_accuracy",
    "train",
    "train_seeds",
    "unevenness",
    "verify",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"augscope.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'augscope' has no attribute {name!r}")
    from augscope.support.extras import needs_extra

    home = _HOME_OF[name]
    extra = {"augscope.sweep": "sweep", "augscope.studies": "images"}.get(".".join(home.split(".")[:2]))
    with nullcontext() if extra is None else needs_extra(f"augscope.{name}", extra):
        return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES, "__version__"])
