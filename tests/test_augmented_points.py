"""Single augmented points: their losses, averaged over everything that may be drawn, are the losses that are trained."""

from __future__ import annotations

from itertools import chain, combinations, product
from math import comb

import jax
import numpy as np
import pytest

import augscope as ag

P, N = 3, 4


@pytest.fixture(scope="module")
def dataset(distribution) -> ag.Dataset:
    return ag.sample_dataset(jax.random.key(0), distribution, num_samples=N, init_std=0.5)


def loss(point, dataset, network) -> float:
    first, second = (
        np.asarray(network.activation(point.patches @ filter_)).sum() for filter_ in dataset.initial_weights
    )
    margins = np.array(point.labels) * (first - second)
    return float(np.array(point.weights) @ np.logaddexp(0, -margins))


def scores(dataset, network):
    active = network.activation(np.einsum("npd,hd->hnp", dataset.patches, dataset.initial_weights))
    return active[0] - active[1]


@pytest.mark.parametrize("num_cut", [1, 2])
def test_cutout_is_the_mean_over_its_points(num_cut, dataset, network):
    cuts = list(combinations(range(P), num_cut))
    losses = [loss(ag.cutout_point(dataset, i, cut), dataset, network) for i in range(N) for cut in cuts]
    whole = ag.Cutout(num_cut).loss(scores(dataset, network), dataset.labels)
    assert np.mean(losses) == pytest.approx(float(whole), rel=1e-12)


def test_cutmix_is_the_mean_over_its_points(dataset, network):
    subsets = list(chain.from_iterable(combinations(range(P), size) for size in range(P + 1)))
    total = 0.0
    for i, j, subset in product(range(N), range(N), subsets):
        probability = 1 / (P + 1) / comb(P, len(subset)) / N**2
        total += probability * loss(ag.cutmix_point(dataset, i, j, subset), dataset, network)
    whole = ag.CutMix().loss(scores(dataset, network), dataset.labels)
    assert total == pytest.approx(float(whole), rel=1e-11)  # its own interpolation is right to 1e-12


def test_bad_points_are_refused_in_a_sentence(dataset):
    with pytest.raises(ValueError, match=r"`i` must be in 0 … 3, got 4"):
        ag.cutout_point(dataset, 4, [0])
    with pytest.raises(ValueError, match=r"`cut` must hold 1 to 2 positions, got 3"):
        ag.cutout_point(dataset, 0, [0, 1, 2])
    with pytest.raises(ValueError, match=r"`subset` must hold distinct positions in 0 … 2, got \[1, 1\]"):
        ag.cutmix_point(dataset, 0, 1, [1, 1])
    with pytest.raises(ValueError, match="`patches` are not written down in a limit"):
        ag.cutmix_point(dataset.limit(), 0, 0, [0])
