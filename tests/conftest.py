"""Strict numerics for every test: float64, warnings are errors (pyproject.toml), and fixed random examples."""

from __future__ import annotations

import os
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import settings

import augscope as ag
from augscope.model.jax_setup import CACHE_VARIABLE, set_up_jax
from augscope.training import measures

# Compiled programs are shared by the test processes and the commands that tests run, and kept for the next run.
os.environ.setdefault(CACHE_VARIABLE, str(Path(__file__).parents[1] / ".pytest_cache" / "programs"))
set_up_jax()
jax.config.update("jax_numpy_rank_promotion", "raise")

# The same examples at every run: a failure is reproduced by running the test again.
settings.register_profile("fixed", derandomize=True, deadline=None, max_examples=40)
settings.load_profile("fixed")


@pytest.fixture(scope="session")
def distribution() -> ag.FeatureNoise:
    """A small 𝒟 with every part present: two frequencies, feature noise, unequal noise. Use `.replace` to vary it."""
    return ag.FeatureNoise(
        dim=20,
        num_patches=3,
        frequencies=(0.7, 0.3),
        feature_noise=0.2,
        dominant_noise_std=0.3,
        background_noise_std=0.15,
    )


@pytest.fixture(scope="session")
def network() -> ag.Network:
    """A network whose smoothing is not 1, so that a forgotten r shows."""
    return ag.Network(negative_slope=0.1, smoothing=0.7)


@pytest.fixture
def without_accuracy(monkeypatch) -> None:
    """Test accuracy is by far the dearest measure, and has tests of its own (test_measures, test_accuracy)."""

    def nothing(projections, gram, distribution, network) -> ag.TestAccuracy:
        unknown = np.full((2, distribution.num_features), np.nan)
        return ag.TestAccuracy(unknown, np.nan, np.nan, unknown)

    monkeypatch.setattr(measures, "accuracy_from_projections", nothing)
