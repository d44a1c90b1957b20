"""The measurement of plain digits: what it draws, and that it learns."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def plain_digits(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    import plain_digits

    yield plain_digits
    sys.modules.pop("plain_digits")


def test_training_and_test_are_disjoint_and_balanced(plain_digits):
    images, labels, test_images, test_labels, rarity = plain_digits.draw(3)
    assert labels.bincount().tolist() == [124, 124]
    assert test_labels.bincount().tolist() == [210, 210]
    assert np.bincount(rarity).tolist() == [140] * 3
    # The 1,797 images are all different, so a shared image would show as equal pixels.
    distances = torch.cdist(images.flatten(1), test_images.flatten(1), compute_mode="donot_use_mm_for_euclid_dist")
    assert distances.min() > 0


@pytest.mark.slow  # trains on pictures
def test_methods_of_a_seed_begin_alike_and_learn_the_common(plain_digits):
    one, other = (plain_digits.network(5).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
    for method in plain_digits.METHODS:
        accuracy, fitted = plain_digits.accuracies(method, 5, steps=120)
        again, _ = plain_digits.accuracies(method, 5, steps=120)
        np.testing.assert_array_equal(accuracy, again)
        # A coin would reach 0.85 of 140 points with probability below 1e-15.
        assert accuracy[0] > 0.85
        assert fitted > 0.85
