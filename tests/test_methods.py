"""The losses: exact values and gradients against the oracle, invariances, the interpolation's error bound, bad input."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import partial
from itertools import product
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from commands import thinned
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit

import augscope as ag
from augscope.model.methods import cutmix, pair_sums
from augscope.model.methods.subsets import all_subsets, half_subsets, kept_patches

METHODS = (
    ag.Erm(),
    *(ag.Cutout(num_cut=num_cut) for num_cut in (1, 2, 3, 4)),
    ag.CutMix(),
    ag.CutMix(algorithm="enumerate"),
)
FEW_METHODS = (ag.Erm(), ag.Cutout(), ag.CutMix())
TOLERANCE = 1e-12


def method_id(method: ag.Method) -> str:
    return method.title + (" enumerated" if getattr(method, "algorithm", "") == "enumerate" else "")


each_method = pytest.mark.parametrize("method", FEW_METHODS, ids=method_id)


def fits(method: ag.Method, num_patches: int) -> bool:
    return getattr(method, "num_cut", 0) < num_patches


def evaluate(method: ag.Method, scores, labels) -> tuple[float, np.ndarray]:
    value, gradient = method.loss_and_gradient(scores, labels)
    return float(value), np.asarray(gradient)


def assert_close(found, expected, scores: np.ndarray) -> None:
    """The bar of the project: 1e-12 (1 + max|z|) for the loss, 1e-12/n for gradient entries.

    z is the largest score of any (mixed) point: at most the sum of each position's largest. Rounding stays well below:
    a sum of P ≤ 5 scores up to 20 errs by some 1e-14, and ℓ and ℓ' pass that on at slope ≤ 1 and ≤ 1/4. The
    interpolation is allowed 1e-12 times the largest value, which is at most 1 + |z| for ℓ and 1 for ℓ'.
    """
    largest = np.abs(scores).max(axis=0).sum()
    assert abs(found[0] - expected[0]) <= TOLERANCE * (1 + largest)
    np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=TOLERANCE / len(scores))


def draws(num_samples: int, num_patches: int):
    """Scores up to ±20 with labels: spread, tied, all equal, fitted with a large margin; unbalanced labels."""
    rng = np.random.default_rng([num_samples, num_patches])
    spread = rng.uniform(-20, 20, (num_samples, num_patches))
    random_labels = rng.choice([1, -1], num_samples)
    one_negative = np.where(np.arange(num_samples) == 0, -1, 1)  # as unbalanced as can be; single-label at n = 1
    yield spread, random_labels
    yield spread.round(-1), one_negative  # multiples of 10: many ties
    yield np.full_like(spread, -3.0), random_labels
    yield np.abs(spread) * one_negative[:, None], one_negative


def half_length(scores: np.ndarray) -> float:
    """h of model.md, identity 6.3: half the largest spread of A over the subsets that are summed."""
    return np.ptp(half_subsets(scores.shape[1])[0].astype(float) @ scores.T, axis=1).max() / 2


def rungs(num_samples: int) -> list[int | None]:
    """The node counts open to n points, ending with the direct sum."""
    return [*(count for count in pair_sums.NODE_COUNTS if count < num_samples), None]


def scores_for_rung(num_samples: int, num_patches: int, rung: int, seed: int = 0) -> np.ndarray:
    """Scores whose spread is the most that the rung allows (the last rung, the direct sum: just beyond the ladder)."""
    counts = rungs(num_samples)
    scores = np.random.default_rng([seed, num_samples, num_patches]).normal(size=(num_samples, num_patches))
    limit = pair_sums.half_length_limit(counts[rung] or counts[-2], TOLERANCE)
    return scores * (limit * (0.999 if counts[rung] else 1.001) / half_length(scores))


# Every n ≤ 7 and every P ≤ 5; the sizes between compile for a minute more and are left to the slow tests.
SMALL_SIZES = [
    pytest.param(
        n,
        num_patches,
        marks=() if (n, num_patches) in ((1, 1), (1, 3), (2, 3), (7, 2), (7, 5)) else pytest.mark.slow,
    )
    for n, num_patches in product(range(1, 8), range(1, 6))
]
LADDER = [(n, rung) for n in (40, 90, 300) for rung in range(len(rungs(n)))]


class TestAgainstTheOracle:
    @pytest.mark.parametrize(("num_samples", "num_patches"), SMALL_SIZES)
    def test_every_method_at_every_small_size(self, num_samples, num_patches):
        for scores, labels in draws(num_samples, num_patches):
            for method in METHODS:
                if fits(method, num_patches):
                    assert_close(evaluate(method, scores, labels), oracle.of(method)(scores, labels), scores)

    @pytest.mark.parametrize("method", METHODS, ids=method_id)
    @pytest.mark.parametrize("label", [1, -1])
    def test_relative_accuracy_when_one_label_is_fitted(self, method, label):
        # Margins up to 60, losses down to e^{−60}: nothing may cancel. A margin of 60 is rounded to 1e-14, and so is its
        # exponential, relatively: 1e-12 leaves two digits.
        scores = label * np.random.default_rng(3).uniform(1, 20, (7, 5))
        labels = np.full(7, label)
        found, expected = evaluate(method, scores, labels), oracle.of(method)(scores, labels)
        assert abs(found[0] - expected[0]) <= TOLERANCE * expected[0]
        np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=TOLERANCE * np.abs(expected[1]).max())

    def test_relative_accuracy_of_interpolation_on_one_label(self):
        # Each interpolated function errs by 1e-12 of its largest value on the interval, which an end point attains, so a
        # sum over n points errs by at most n · 1e-12 relative; measured errors are far below the proved bound.
        scores = 10 + scores_for_rung(90, 3, 1)
        labels = np.ones(90)
        found, expected = (evaluate(ag.CutMix(algorithm=name), scores, labels) for name in ("interpolate", "enumerate"))
        assert abs(found[0] - expected[0]) <= TOLERANCE * expected[0]
        np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=TOLERANCE * np.abs(expected[1]).max())

    def test_logistic_agrees_with_the_oracle_to_full_relative_accuracy(self):
        margins = np.concatenate([np.linspace(-40, 40, 4001), [0.0, 1e-300, -1e-300, 1e-9, 700.0, -700.0]])
        losses, slopes = cutmix.logistic(jnp.asarray(margins))
        # exp, the quotient and the 17-term series round a few times each: 1e-15 is 4 to 5 units in the last place.
        np.testing.assert_allclose(losses, [oracle.logistic(z) for z in margins], rtol=1e-15)
        np.testing.assert_allclose(slopes, [oracle.logistic_slope(z) for z in margins], rtol=1e-15)


class TestPairSums:
    @pytest.mark.parametrize("num_patches", thinned([2, 3, 4], lambda num_patches: num_patches == 3))
    @pytest.mark.parametrize(("num_samples", "rung"), thinned(LADDER, lambda size: size[0] == 90 or size == LADDER[-1]))
    def test_every_rung_agrees_with_enumeration(self, num_samples, num_patches, rung):
        # The worst scores that a rung accepts; the enumeration is itself tested against the oracle.
        scores = scores_for_rung(num_samples, num_patches, rung)
        labels = np.where(np.arange(num_samples) % 3 == 0, -1, 1)
        found, expected = (evaluate(ag.CutMix(algorithm=name), scores, labels) for name in ("interpolate", "enumerate"))
        assert_close(found, expected, scores)

    @pytest.mark.parametrize(("num_samples", "rung"), LADDER)
    def test_the_spread_chooses_the_rung(self, monkeypatch, num_samples, rung):
        name_the_rungs(monkeypatch)
        scores = jnp.asarray(scores_for_rung(num_samples, 3, rung))
        assert chosen_rung(scores) == (rungs(num_samples)[rung] or -1.0)

    def test_no_rung_is_open_where_nodes_would_not_be_fewer_than_points(self, monkeypatch):
        offered = name_the_rungs(monkeypatch)
        for num_samples in (1, 24, 25):
            chosen_rung(jnp.zeros((num_samples, 3)))
        assert [set(counts) for counts in (offered[:1], offered[1:2], offered[2:])] == [{-1}, {-1}, {24, -1}]

    @pytest.mark.parametrize(
        ("rung", "subsets_at_once"), thinned([(0, 1), (1, 3), (3, 3)], lambda sizes: sizes == (1, 3))
    )
    def test_chunking_over_subsets_changes_only_the_order_of_sums(self, monkeypatch, rung, subsets_at_once):
        # P = 4 has 7 subsets: 7 chunks of 1, or 3 chunks of 3 with 2 empty subsets as padding. `raw_loss_and_gradient` is
        # called directly, since compiled programs are kept by shape and would not see the smaller chunk.
        scores = scores_for_rung(90, 4, rung)
        labels = np.where(np.arange(90) % 3 == 0, -1.0, 1.0)
        arguments = jnp.asarray(scores), jnp.asarray(labels)
        whole = ag.CutMix().raw_loss_and_gradient(*arguments)
        monkeypatch.setattr(pair_sums, "ENTRIES_AT_ONCE", subsets_at_once * 90)
        parts = ag.CutMix().raw_loss_and_gradient(*arguments)
        # A chunk whose subsets spread less goes to a smaller rung, which errs by up to 1e-12 of its terms, too.
        assert_close((float(parts[0]), np.asarray(parts[1])), (float(whole[0]), np.asarray(whole[1])), scores)

    @pytest.mark.parametrize("points_at_once", thinned([7, 40], lambda count: count == 7))
    def test_chunking_over_points_changes_only_the_order_of_sums(self, monkeypatch, points_at_once):
        # 90 points: 13 chunks of 7 and 3 of 30, the last of the 13 with one point of padding.
        scores, labels = (
            jnp.asarray(scores_for_rung(90, 3, 1)),
            jnp.asarray(np.where(np.arange(90) % 3 == 0, -1.0, 1.0)),
        )
        whole = ag.CutMix().raw_loss_and_gradient(scores, labels)
        monkeypatch.setattr(pair_sums, "MOST_POINTS_AT_ONCE", 89)
        monkeypatch.setattr(pair_sums, "POINTS_AT_ONCE", points_at_once)
        parts = ag.CutMix().raw_loss_and_gradient(scores, labels)
        # Ninety terms added in another order: a few units in the last place of the loss, and of the largest terms.
        assert float(parts[0]) == pytest.approx(float(whole[0]), rel=1e-14)
        np.testing.assert_allclose(parts[1], whole[1], rtol=0, atol=1e-15)

    @pytest.mark.parametrize("num_samples", [1000, pytest.param(3000, marks=pytest.mark.slow)])
    def test_many_points_agree_with_enumeration(self, num_samples):
        scores = np.random.default_rng(num_samples).normal(size=(num_samples, 3))
        labels = np.where(np.arange(num_samples) % 3 == 0, -1, 1)
        found = evaluate(ag.CutMix(), scores, labels)
        assert_close(found, enumerated_in_rows(scores, labels), scores)

    @pytest.mark.parametrize("tolerance", [1e-12, 1e-8, 1e-5])
    @pytest.mark.parametrize("num_nodes", pair_sums.NODE_COUNTS)
    def test_the_error_bound_is_honest(self, num_nodes, tolerance):
        limit = pair_sums.half_length_limit(num_nodes, tolerance)
        rng = np.random.default_rng([num_nodes, int(-np.log10(tolerance))])
        for half in limit * rng.uniform(0.05, 1, 20):
            assert worst_interpolation_error(num_nodes, half, rng) <= tolerance
        assert worst_interpolation_error(num_nodes, limit, rng) <= tolerance
        # … and the measure can fail: on three times the interval the error is larger than the tolerance.
        assert worst_interpolation_error(num_nodes, 3 * limit, rng) > tolerance

    def test_more_nodes_and_looser_tolerances_reach_further(self):
        limits = np.array(
            [[pair_sums.half_length_limit(m, eps) for eps in (1e-12, 1e-8, 1e-5)] for m in pair_sums.NODE_COUNTS]
        )
        assert (np.diff(limits, axis=0) > 0).all()
        assert (np.diff(limits, axis=1) > 0).all()

    @pytest.mark.parametrize("tolerance", thinned([1e-12, 1e-6, 1e-3], lambda tolerance: tolerance == 1e-6))
    def test_the_tolerance_asked_for_is_kept(self, tolerance):
        scores = np.random.default_rng(8).normal(0, 2, (90, 3))
        labels = np.where(np.arange(90) % 2 == 0, -1, 1)
        loose, exact = (evaluate(ag.CutMix(tolerance=t), scores, labels) for t in (tolerance, 1e-14))
        largest = np.abs(scores).max(axis=0).sum()
        assert abs(loose[0] - exact[0]) <= tolerance * (1 + largest)
        np.testing.assert_allclose(loose[1], exact[1], rtol=0, atol=tolerance / 90)

    def test_the_tolerance_excludes_rounding(self):
        # Scores of ± 1e8 cancel in every mixed point: some of their digits are lost, whatever the tolerance.
        scores = np.random.default_rng(0).normal(size=(40, 3)) + 1e8 * np.array([1.0, -1.0, 0.0])
        labels = np.where(np.arange(40) % 3 == 0, -1, 1)
        found = evaluate(ag.CutMix(tolerance=1e-14), scores, labels)
        expected = enumerated_in_rows(scores.astype(np.longdouble), labels)
        # A mixed score is a sum of a few numbers of 1e8, each rounded by half a spacing; ℓ has slope at most 1.
        assert 1e-12 < abs(found[0] - expected[0]) <= 4 * np.spacing(1e8)


def name_the_rungs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replace every rung by one whose value is its number of nodes (−1: direct); return those that were compiled."""
    compiled: list[int] = []

    def name_only(count, rows):
        compiled.append(count)
        return jnp.full(len(rows), float(count)), jnp.zeros_like(rows), jnp.zeros_like(rows)

    monkeypatch.setattr(pair_sums, "interpolated_sums", lambda count, pairs: name_only(count, pairs.rows))
    monkeypatch.setattr(pair_sums, "direct_sums", lambda rows, *_: name_only(-1, rows))
    return compiled


def chosen_rung(scores) -> float:
    """The rung of `name_the_rungs` that pair sums at P = 3 choose."""
    rows, columns = (inside @ scores.T for inside in (jnp.eye(3), 1 - jnp.eye(3)))
    value, _, _ = pair_sums.sums_over_pairs(TOLERANCE)(rows, columns, jnp.ones((1, len(scores))), None)
    return float(value[0])


def enumerated_in_rows(scores: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """The definition of CutMix with every ordered pair, a few points i at a time: O(2^P n²) in NumPy."""
    num_samples, num_patches = scores.shape
    value, gradient = 0.0, np.zeros_like(scores)
    for inside, probability in zip(*all_subsets(num_patches), strict=True):
        share = inside.mean()
        for some in np.array_split(np.arange(num_samples), 1 + num_samples // 250):
            mixed = scores[some][:, inside].sum(axis=1)[:, None] + scores[:, ~inside].sum(axis=1)[None, :]
            own, other = labels[some][:, None], labels[None, :]
            losses = share * np.logaddexp(0, -own * mixed) + (1 - share) * np.logaddexp(0, -other * mixed)
            slopes = -share * own * expit(-own * mixed) - (1 - share) * other * expit(-other * mixed)
            value += probability * losses.sum()
            gradient[some] += probability * slopes.sum(axis=1)[:, None] * inside
            gradient += probability * slopes.sum(axis=0)[:, None] * ~inside
    return value / num_samples**2, gradient / num_samples**2


def worst_interpolation_error(num_nodes: int, half: float, rng: np.random.Generator) -> float:
    """The largest error of interpolated ℓ'(x + b), and of the mean of ℓ(x + b), on an interval over the largest value."""
    points = np.concatenate([[-half, half], np.linspace(-half, half, 400), rng.uniform(-half, half, 100)])
    shifts = np.array([0.0, *rng.uniform(-40, 40, 10)])[:, None]
    margins, worst = points + shifts, 0.0
    losses, slopes = np.logaddexp(0, -margins), expit(-margins)
    for sign in (1.0, -1.0):  # every point meets the same column b, so sums are n times what a pair gives
        columns, signs = np.broadcast_to(sign * shifts, margins.shape), np.full((1, len(points)), sign)
        rows = np.broadcast_to(sign * points, margins.shape)
        value, row_sums, _ = interpolated(num_nodes, rows, columns, signs)
        slope_errors = np.abs(sign * row_sums / len(points) - slopes).max(axis=1) / slopes.max(axis=1)
        loss_errors = np.abs(value / len(points) ** 2 - losses.mean(axis=1)) / losses.max(axis=1)
        worst = max(worst, float(slope_errors.max()), float(loss_errors.max()))
    return worst


@partial(jax.jit, static_argnums=0)
def interpolated(num_nodes, rows, columns, signs):
    return pair_sums.interpolated_sums(num_nodes, pair_sums.prepare_pairs(rows, columns, signs))


class TestGradients:
    @pytest.mark.parametrize("method", METHODS, ids=method_id)
    def test_central_differences(self, method):
        scores = np.random.default_rng(5).normal(0, 2, (4, 5))
        labels = np.array([1, -1, 1, 1])
        step = 1e-5
        estimate = np.zeros_like(scores)
        for index in np.ndindex(*scores.shape):
            moved = np.zeros_like(scores)
            moved[index] = step
            estimate[index] = float(method.loss(scores + moved, labels) - method.loss(scores - moved, labels)) / (
                2 * step
            )
        # Truncation step²/6 · |L'''| ≤ 2e-12; rounding: 2 · 4e-16 · L (≤ 5) / (2 · step) = 2e-10. The bar is five times that.
        np.testing.assert_allclose(evaluate(method, scores, labels)[1], estimate, rtol=0, atol=1e-9)

    @each_method
    def test_automatic_differentiation(self, method):
        scores = jnp.asarray(np.random.default_rng(6).uniform(-20, 20, (40, 3)))
        labels = jnp.asarray(np.where(np.arange(40) % 3 == 0, -1.0, 1.0))
        loss = (
            cutmix.enumerated_loss
            if isinstance(method, ag.CutMix)
            else lambda *args: method.raw_loss_and_gradient(*args)[0]
        )
        np.testing.assert_allclose(
            method.loss_and_gradient(scores, labels)[1], jax.grad(loss)(scores, labels), rtol=0, atol=TOLERANCE / 40
        )


class Kept(ag.SubsetMethod):
    """Each patch is kept with probability 0.7; the others come from a second point if `mixed`."""

    mixed: bool = False

    def probabilities(self, members):
        return np.where(members, 0.7, 0.3).prod(axis=1)

    def label_weights(self, members):
        return members.mean(axis=1) if self.mixed else None


def exponential(scores, labels):
    return jnp.exp(-labels * scores.sum(axis=1) / 100).mean()


EVERY_KIND = (
    *METHODS[:3],
    *METHODS[-2:],
    ag.Cutout(num_cut=2, algorithm="frequencies"),
    Kept(),
    Kept(mixed=True),
    ag.FunctionMethod(function=exponential),
)
every_kind = pytest.mark.parametrize(
    "method",
    thinned(EVERY_KIND, lambda method: method in (EVERY_KIND[0], EVERY_KIND[3], EVERY_KIND[7])),
    ids=lambda method: f"{method.title} {getattr(method, 'algorithm', '')}".strip(),
)


class TestDifferentiation:
    """JAX through `raw_loss_and_gradient`: the loss in both modes, the gradient forward."""

    @every_kind
    def test_agrees_with_the_gradient_and_with_differences(self, method):
        scores, labels, direction = some_evaluation(1)
        value, gradient, reverse, forward, change = derivatives(method, scores, labels, direction)
        found = evaluate(method, scores, labels)
        assert float(value) == pytest.approx(found[0], rel=1e-14)  # another order of sums, at most
        np.testing.assert_allclose(gradient, found[1], rtol=0, atol=1e-15)
        np.testing.assert_allclose(reverse, gradient, rtol=0, atol=TOLERANCE / 26)
        assert float(forward) == pytest.approx(float((gradient * direction).sum()), abs=TOLERANCE)
        after, before = (evaluate(method, scores + step * direction, labels)[1] for step in (1e-5, -1e-5))
        # Truncation 1e-10/6 of the third derivative; rounding 1e-16/1e-5 of gradient entries of at most 1/26.
        np.testing.assert_allclose(change, (after - before) / 2e-5, rtol=0, atol=1e-10)

    @every_kind
    def test_many_problems_at_once(self, method):
        problems = [some_evaluation(seed)[:2] for seed in range(3)]
        scores, labels = (jnp.stack(arrays) for arrays in zip(*problems, strict=True))
        found = jax.jit(jax.vmap(jax.grad(lambda *one: method.raw_loss_and_gradient(*one)[0])))(scores, labels)
        for gradient, problem in zip(found, problems, strict=True):
            # A batch takes the rung of the problem that asks most: each of them errs by its tolerance at most.
            np.testing.assert_allclose(gradient, evaluate(method, *problem)[1], rtol=0, atol=2 * TOLERANCE / 26)


@partial(jax.jit, static_argnums=0)
def derivatives(method, scores, labels, direction):
    """The loss and its gradient; the loss in reverse and forward mode, the gradient forward."""

    def loss(scores):
        return method.raw_loss_and_gradient(scores, labels)[0]

    value, gradient = method.raw_loss_and_gradient(scores, labels)
    forward = jax.jvp(loss, (scores,), (direction,))[1]
    change = jax.jvp(lambda moved: method.raw_loss_and_gradient(moved, labels)[1], (scores,), (direction,))[1]
    return value, gradient, jax.grad(loss)(scores), forward, change


def some_evaluation(seed: int):
    """Scores and labels of 26 points (one rung, and the direct sum) of 3 patches, and a direction in the scores."""
    scores, direction = np.random.default_rng(seed).normal(0, 0.3, (2, 26, 3))
    return jnp.asarray(scores), jnp.where(np.arange(26) % 3 == 0, -1.0, 1.0), jnp.asarray(direction)


class TestFloat32:
    """Single precision where float64 is enabled: whatever is asked for comes back, as exact as its rounding."""

    # The series' own bound is 45 units in the last place; ten times as many are ample for sums.
    BOUND = 450 * float(np.finfo(np.float32).eps)

    @every_kind
    def test_agrees_with_float64(self, method):
        for largest in (1.0, 20.0, 60.0):
            self.check(method, 26, largest, self.BOUND, partial(evaluate, method))

    @pytest.mark.parametrize("largest", thinned([5.0, 20.0, 60.0], lambda largest: largest == 60.0))
    def test_loose_tolerances_do_not_reach_where_exponentials_overflow(self, largest):
        self.check(ag.CutMix(tolerance=1e-3), 450, largest, 1e-3, enumerated_in_rows)

    def check(self, method, num_samples, largest, bound, exact):
        rng = np.random.default_rng(num_samples)
        scores, labels = np.float32(rng.uniform(-largest, largest, (num_samples, 3))), rng.choice([1, -1], num_samples)
        value, gradient = method.loss_and_gradient(scores, labels)
        assert (value.dtype, gradient.dtype) == (np.float32, np.float32)
        expected = exact(scores.astype(float), labels)
        assert abs(float(value) - expected[0]) <= bound * (1 + 3 * largest)
        np.testing.assert_allclose(gradient, expected[1], rtol=0, atol=bound / num_samples)


# Fixed shapes, so that each compiles once.
some_scores = arrays(np.float64, (4, 3), elements=st.floats(-20, 20))
some_labels = arrays(np.int64, 4, elements=st.sampled_from([1, -1]))
some_order = st.permutations(range(3))


class TestInvariances:
    # Reordering terms of a sum: the same bar as against the oracle.
    @each_method
    @given(scores=some_scores, labels=some_labels, order=st.permutations(range(4)))
    def test_points_can_be_reordered(self, method, scores, labels, order):
        value, gradient = evaluate(method, scores, labels)
        assert_close(evaluate(method, scores[order], labels[order]), (value, gradient[order]), scores)

    @pytest.mark.parametrize("method", [ag.Erm(), ag.Cutout(), ag.Cutout(num_cut=2)], ids=method_id)
    @given(scores=some_scores, labels=some_labels, orders=st.lists(some_order, min_size=4, max_size=4))
    def test_erm_and_cutout_ignore_the_order_within_each_point(self, method, scores, labels, orders):
        value, gradient = evaluate(method, scores, labels)
        moved, moved_gradient = (np.take_along_axis(array, np.array(orders), axis=1) for array in (scores, gradient))
        assert_close(evaluate(method, moved, labels), (value, moved_gradient), scores)

    @given(scores=some_scores, labels=some_labels, order=some_order)
    def test_cutmix_ignores_the_order_of_positions(self, scores, labels, order):
        value, gradient = evaluate(ag.CutMix(), scores, labels)
        assert_close(evaluate(ag.CutMix(), scores[:, order], labels), (value, gradient[:, order]), scores)

    def test_cutmix_sees_an_order_within_one_point(self):
        # The invariance that CutMix does not have: otherwise the test above could not fail.
        scores, labels = np.array([[3.0, 0.0, -1.0], [2.0, 5.0, -4.0]]), np.array([1, -1])
        moved = np.array([[0.0, 3.0, -1.0], [2.0, 5.0, -4.0]])
        assert abs(ag.CutMix().loss(scores, labels) - ag.CutMix().loss(moved, labels)) > 0.01

    @each_method
    @given(scores=some_scores, labels=some_labels)
    def test_flipping_every_sign_changes_nothing(self, method, scores, labels):
        value, gradient = evaluate(method, scores, labels)
        assert_close(evaluate(method, -scores, -labels), (value, -gradient), scores)

    @given(scores=some_scores, labels=some_labels.filter(lambda labels: abs(labels.sum()) < 4))
    def test_no_scores_beat_the_cutmix_plateau(self, scores, labels):
        least = ag.cutmix_plateau(3, float((labels == 1).mean()))[2]
        # Even the plateau's own neighbourhood: shrink the scores towards it, where the loss is within rounding of the least.
        for size in (1.0, 1e-3, 1e-8):
            even = (
                np.where(labels == 1, 1, -1)[:, None]
                * np.where(labels == 1, *ag.cutmix_plateau(3, float((labels == 1).mean()))[:2])[:, None]
            )
            assert float(ag.CutMix().loss(even + size * scores, labels)) >= least - TOLERANCE


class TestSubsets:
    @pytest.mark.parametrize("num_patches", range(1, 7))
    def test_the_law_of_cutmix(self, num_patches):
        members, law = all_subsets(num_patches)
        assert {tuple(np.flatnonzero(row)) for row in members} == set(oracle.subsets(num_patches))
        # |S| uniform on 0 … P. Sums of at most 20 equal numbers: exact up to a few 1e-17.
        np.testing.assert_allclose(np.bincount(members.sum(axis=1), law), 1 / (num_patches + 1), rtol=1e-14)

    @pytest.mark.parametrize("num_patches", range(1, 7))
    def test_half_of_the_subsets_stand_for_all(self, num_patches):
        members, law = half_subsets(num_patches)
        both = {tuple(row) for row in np.concatenate([members, ~members]).tolist()}
        assert len(both) == 2 * len(members) == 2**num_patches - 2
        assert law.sum() == pytest.approx(1 - 2 / (num_patches + 1), rel=1e-14)

    def test_kept_patches(self):
        assert kept_patches(3, 2).astype(int).tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]


LABELS = np.array([1, -1])
GOOD = np.zeros((2, 3))
BAD_INPUT = [
    (ag.Erm(), GOOD, [1, 2], "`labels` must be +1 or -1, got [1, 2]"),
    (ag.Erm(), GOOD, [1, 0], "`labels` must be +1 or -1, got [0, 1]"),
    (ag.Erm(), GOOD, [1, np.nan], "`labels` must be +1 or -1, got [1.0, nan]"),
    (ag.Erm(), GOOD, [1, -1, 1], "`labels` must have shape (2,) to match `scores`, got (3,)"),
    (ag.Cutout(), GOOD, [[1], [-1]], "`labels` must have shape (2,) to match `scores`, got (2, 1)"),
    (ag.CutMix(), GOOD[0], LABELS, "`scores` must have shape (n, P), got (3,)"),
    (ag.CutMix(), np.zeros((0, 3)), np.zeros(0), "`scores` must have shape (n, P), got (0, 3)"),
    (ag.Erm(), np.zeros((2, 0)), LABELS, "`scores` must have shape (n, P), got (2, 0)"),
    (ag.Erm(), np.where([[1, 0, 0], [0, 0, 1]], np.nan, 0.0), LABELS, "`scores` must be finite, got 2 entries that are NaN or infinite"),
    (ag.CutMix(), np.where([[1, 0, 0], [0, 0, 0]], np.inf, 0.0), LABELS, "`scores` must be finite, got 1 entries"),
    (ag.Cutout(num_cut=3), GOOD, LABELS, "`num_cut` must be in [1, P), got 3 with P = 3"),
    (ag.Cutout(num_cut=10), np.zeros((2, 25)), LABELS, "`num_cut` = 10 of P = 25 patches makes 3,268,760 subsets, more than the 100,000"),
    (ag.CutMix(), np.zeros((2, 17)), LABELS, "`num_patches` must be at most 16 for exact CutMix, got 17: use `augscope.estimate`, which takes any number"),
    (ag.CutMix(algorithm="enumerate"), np.zeros((2, 17)), LABELS, "`num_patches` must be at most 16 for exact CutMix, got 17"),
    (ag.CutMix(algorithm="enumerate"), np.zeros((3000, 3)), np.ones(3000), "`algorithm` = enumerate would hold 72,000,000 mixed points (576,000,000 bytes an array)"),
]  # fmt: skip

BAD_SETTINGS = [
    (ag.Cutout, {"num_cut": 0}, "`num_cut` must be in [1, P), got 0"),
    (ag.Cutout, {"num_cut": -1}, "`num_cut` must be in [1, P), got -1"),
    (ag.Cutout, {"cut": 1}, "`cut` is not a known field, got 1"),
    (ag.Cutout, {"num_cut": 1.5}, "`num_cut` is not valid: input should be a valid integer, got a number with a fractional part, got 1.5"),
    (ag.CutMix, {"algorithm": "fast"}, "`algorithm` is not valid: input should be 'interpolate' or 'enumerate', got 'fast'"),
    (ag.CutMix, {"tolerance": 1e-15}, "`tolerance` must be in [1e-14, 1e-3], got 1e-15"),
    (ag.CutMix, {"tolerance": 0.1}, "`tolerance` must be in [1e-14, 1e-3], got 0.1"),
]  # fmt: skip


class TestBadInput:
    @pytest.mark.parametrize(
        ("method", "scores", "labels", "sentence"), BAD_INPUT, ids=[case[-1][:60] for case in BAD_INPUT]
    )
    def test_bad_arrays_are_refused_in_a_sentence(self, method, scores, labels, sentence):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            method.loss_and_gradient(scores, np.asarray(labels))

    @pytest.mark.parametrize(
        ("kind", "settings", "sentence"), BAD_SETTINGS, ids=[case[-1][:60] for case in BAD_SETTINGS]
    )
    def test_bad_settings_are_refused_in_a_sentence(self, kind, settings, sentence):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            kind(**settings)

    @pytest.mark.parametrize("num_patches", [12, 13, 16])
    def test_sixteen_patches_are_allowed(self, num_patches):
        scores, labels = np.ones((2, num_patches)), np.array([1, 1])
        # All scores equal: every mixed point has f = P.
        exact = oracle.logistic(float(num_patches))
        assert float(ag.CutMix().loss(scores, labels)) == pytest.approx(exact, rel=TOLERANCE)

    def test_what_a_descent_cannot_handle_is_refused_in_a_sentence(self):
        ag.CutMix().check_num_patches(12)
        sentence = "`num_patches` must be at most 12 for exact CutMix, got 13"
        with pytest.raises(ValueError, match=re.escape(sentence) + ".*`augscope.estimate` gives single losses"):
            ag.CutMix().check_num_patches(13)

    def test_titles(self):
        titles = [method.title for method in (ag.Erm(), ag.Cutout(), ag.Cutout(num_cut=2), ag.CutMix())]
        assert titles == ["ERM", "Cutout", "Cutout (C = 2)", "CutMix"]

    @each_method
    def test_integers_lists_and_jax_arrays_give_the_same(self, method):
        scores, labels = np.array([[1.0, 2.0, -3.0], [0.0, 4.0, 1.0]]), LABELS
        expected = evaluate(method, scores, labels)
        for given_scores, given_labels in [
            (scores.astype(int), labels),
            (scores.tolist(), labels.tolist()),
            (jnp.asarray(scores), jnp.asarray(labels, float)),
        ]:
            found = evaluate(method, given_scores, given_labels)
            assert found[0] == expected[0]
            np.testing.assert_array_equal(found[1], expected[1])


WITHOUT_FLOAT64 = """
import jax, numpy as np, augscope as ag
from functools import partial
distribution = ag.FeatureNoise(dim=20, num_patches=3, frequencies=(0.7, 0.3), feature_noise=0.1,
                               dominant_noise_std=0.3, background_noise_std=0.15)
key, network = jax.random.key(0), ag.Network()
sample = partial(ag.sample_dataset, key, distribution, num_samples=30, init_std=0.01)
scores, labels = np.random.default_rng(0).normal(size=(30, 3)), np.where(np.arange(30) % 3, 1, -1)
for refused in (lambda: ag.CutMix().loss(scores, labels), lambda: ag.Erm().loss(scores.tolist(), labels), sample,
                lambda: network.initial_weights(key, 5, 0.1), lambda: network.scores(np.zeros((2, 3)), np.zeros((1, 2, 3)))):
    try:
        refused()
        print("accepted")
    except ValueError as error:
        print("refused:", error)
for method in (ag.Erm(), ag.Cutout(), ag.CutMix()):
    value, gradient = method.loss_and_gradient(np.float32(scores), labels)
    print(value.dtype, gradient.dtype, float(value))
run = ag.train(sample(dtype="float32"), network, ag.CutMix(), step_size=1.0, num_steps=3)
print(run.weights.dtype, run.status)
"""


def test_float64_must_be_enabled_or_float32_asked_for():
    # In a process of its own, since this one has float64 enabled; warnings are errors there too.
    program = [sys.executable, "-W", "error", "-c", WITHOUT_FLOAT64]
    source = str(Path(ag.__file__).parents[1])
    done = subprocess.run(
        program, capture_output=True, text=True, env={"PYTHONPATH": source, "JAX_PLATFORMS": "cpu"}, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    refusal = 'refused: float64 is not enabled in JAX: run jax.config.update("jax_enable_x64", True) first, or ask for float32 by name'
    assert lines[:5] == [refusal] * 5
    scores, labels = np.random.default_rng(0).normal(size=(30, 3)), np.where(np.arange(30) % 3, 1, -1)
    for line, method in zip(lines[5:8], FEW_METHODS, strict=True):
        *dtypes, value = line.split()
        assert dtypes == ["float32", "float32"]
        # float32 rounds to 6e-8; a mean of a few hundred terms of order 1 keeps five digits.
        assert float(value) == pytest.approx(float(method.loss(scores, labels)), rel=1e-5)
    assert lines[8:] == ["float32 completed"]
