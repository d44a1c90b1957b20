"""One import path per name; every public name documented; examples in docstrings run."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest
from commands import run_code

import augscope as ag

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(ag.__path__, "augscope.")
    if not module.name.startswith("augscope.cli")
)


def test_the_public_names_are_pinned():
    assert " ".join(sorted(ag.__all__)) == (
        "AugmentedPoint CustomNetwork CutMix Cutout Dataset Erm Estimate Experiment FeatureNoise FlowRun FunctionMethod FunctionNetwork History LabelSmoothing Method Mixup Network PatchData PatchHistory PhaseDiagram PhaseOptions Rarity Records Results Run Sampling SubsetMethod Sweep SweepOutcome THEOREMS TestAccuracy "
        "Verdict audit compare cutmix_plateau cutmix_point cutout_point dataset_from_patches default_record_steps derive_rarity estimate feature_scores features_learned flow learning_ratios load "
        "noise_memorised noise_ratio phase_diagram population presets run_sweep sample_dataset schematic test_accuracy train train_seeds unevenness verify write_report"
    )


@pytest.mark.parametrize("name", ag.__all__)
def test_every_public_name_exists_and_is_documented(name):
    value = getattr(ag, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert len(inspect.getdoc(value) or "") > 40


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ag.nothing  # noqa: B018


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    result = doctest.testmod(importlib.import_module(name), verbose=False)
    assert result.failed == 0


def test_importing_sets_nothing_in_jax():
    code = "import augscope, jax; augscope.presets; assert not jax.config.read('jax_enable_x64')"
    assert run_code(code).returncode == 0
