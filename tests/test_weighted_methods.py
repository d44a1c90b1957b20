"""Losses of weighted samples: against brute force and against repeated points, on every path; methods that take no weights."""

from __future__ import annotations

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from commands import thinned
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import augscope as ag
from augscope.model.methods.base import check_method

TOLERANCE = 1e-12
NAMED = (ag.Erm(), ag.Cutout(), ag.Cutout(num_cut=2), ag.CutMix(), ag.CutMix(algorithm="enumerate"))


class Kept(ag.SubsetMethod):
    """Each patch is kept with probability 0.7; the others come from a second point if `mixed`."""

    mixed: bool = False

    def probabilities(self, members):
        return np.where(members, 0.7, 0.3).prod(axis=1)

    def label_weights(self, members):
        return members.mean(axis=1) ** 2 if self.mixed else None


def exponential(scores, labels, probabilities):
    return probabilities @ jnp.exp(-labels * scores.sum(axis=1) / 100)


EVERY_KIND = (
    *NAMED,
    ag.Cutout(num_cut=2, algorithm="frequencies"),
    Kept(),
    Kept(mixed=True),
    ag.FunctionMethod(function=exponential),
)


def method_id(method: ag.Method) -> str:
    return f"{method.title} {getattr(method, 'algorithm', '')}".strip()


named = pytest.mark.parametrize("method", NAMED, ids=method_id)
every_kind = pytest.mark.parametrize("method", EVERY_KIND, ids=method_id)
some_kinds = pytest.mark.parametrize(
    "method", thinned(EVERY_KIND, lambda method: method in (ag.Cutout(), ag.CutMix(), EVERY_KIND[-2])), ids=method_id
)


def evaluate(method: ag.Method, *arguments) -> tuple[float, np.ndarray]:
    value, gradient = method.loss_and_gradient(*arguments)
    return float(value), np.asarray(gradient)


def assert_close(evaluation, expected, scores, probabilities, tolerance: float = TOLERANCE) -> None:
    """The bar of the unweighted losses with w_i for 1/n: `tolerance` (1 + max|z|) for the loss, `tolerance` w_i for gradients."""
    largest = np.abs(scores).max(axis=0).sum()
    assert abs(evaluation[0] - expected[0]) <= tolerance * (1 + largest)
    errors = np.abs(evaluation[1] - expected[1])
    assert (errors <= tolerance * np.asarray(probabilities, float)[:, None]).all()


def some_sample(num_samples: int, num_patches: int = 3, scale: float = 1.0, seed: int = 0):
    """Scores, labels and weights that differ by a factor of up to 1,000."""
    rng = np.random.default_rng([seed, num_samples, num_patches])
    weights = 10 ** rng.uniform(-3, 0, num_samples)
    scores = scale * rng.normal(size=(num_samples, num_patches))
    return scores, np.where(np.arange(num_samples) % 3 == 1, -1, 1), weights / weights.sum()


some_scores = arrays(np.float64, (4, 3), elements=st.floats(-20, 20))
some_labels = arrays(np.int64, 4, elements=st.sampled_from([1, -1]))
some_counts = arrays(np.int64, 4, elements=st.integers(0, 5)).filter(lambda counts: counts.sum() > 0)


class TestAgainstBruteForce:
    @named
    @given(scores=some_scores, labels=some_labels, counts=some_counts)
    def test_any_small_sample(self, method, scores, labels, counts):
        weights = counts / counts.sum()
        expected = oracle.of(method)(scores, labels, weights)
        assert_close(evaluate(method, scores, labels, weights), expected, scores, weights)

    @named
    @pytest.mark.parametrize("label", [1, -1])
    def test_relative_accuracy_when_one_label_is_fitted(self, method, label):
        # Losses down to e^{−60}, as in the unweighted test: nothing may cancel, though the weights' sum is rounded.
        scores, weights = label * np.random.default_rng(3).uniform(1, 20, (7, 3)), some_sample(7)[2]
        labels = np.full(7, label)
        value, gradient = evaluate(method, scores, labels, weights)
        expected, slopes = oracle.of(method)(scores, labels, weights)
        assert abs(value - expected) <= TOLERANCE * expected
        np.testing.assert_allclose(gradient, slopes, rtol=0, atol=TOLERANCE * np.abs(slopes).max())

    @pytest.mark.parametrize("num_samples", thinned([40, 90, 700], lambda count: count != 40))  # 700 points: in chunks
    @pytest.mark.parametrize(
        "scale", thinned([0.3, 2.0, 8.0, 30.0], lambda scale: scale == 2.0)
    )  # from the first rung to direct sums
    def test_interpolated_pairs_agree_with_enumeration(self, num_samples, scale):
        sample = some_sample(num_samples, scale=scale)
        expected = evaluate(ag.CutMix(algorithm="enumerate"), *sample)
        assert_close(evaluate(ag.CutMix(), *sample), expected, sample[0], sample[2])

    def test_the_tolerance_asked_for_is_kept(self):
        sample = some_sample(90, scale=2.0)
        loose, exact = (evaluate(ag.CutMix(tolerance=tolerance), *sample) for tolerance in (1e-6, 1e-14))
        assert_close(loose, exact, sample[0], sample[2], tolerance=1e-6)


class TestWhatWeightsMean:
    @some_kinds
    @pytest.mark.parametrize(("num_samples", "scale"), [(5, 5.0), (40, 1.0)])  # summed directly, and interpolated
    def test_integer_weights_are_repeated_points(self, method, num_samples, scale):
        scores, labels, _ = some_sample(num_samples, scale=scale)
        counts = np.random.default_rng(1).integers(1, 5, num_samples)
        weights = counts / counts.sum()
        value, gradient = evaluate(method, scores.repeat(counts, axis=0), labels.repeat(counts))
        starts = np.cumsum(counts) - counts
        expected = value, np.add.reduceat(gradient, starts, axis=0)
        # Each side of the comparison is interpolated to 1e-12 of its own terms.
        assert_close(evaluate(method, scores, labels, weights), expected, scores, weights, tolerance=2 * TOLERANCE)

    @some_kinds
    def test_equal_weights_are_no_weights(self, method):
        scores, labels, _ = some_sample(40)
        weights = np.full(40, 1 / 40)
        assert_close(
            evaluate(method, scores, labels, weights), evaluate(method, scores, labels), scores, weights, 1e-14
        )

    @some_kinds
    def test_a_point_of_weight_zero_is_not_there(self, method):
        scores, labels, weights = some_sample(30)
        weights[[0, 7, 29]] = 0
        weights /= weights.sum()
        there = weights > 0
        value, gradient = evaluate(method, scores, labels, weights)
        assert (gradient[~there] == 0).all()
        alone = evaluate(method, scores[there], labels[there], weights[there])
        assert_close((value, gradient[there]), alone, scores, weights[there], tolerance=2 * TOLERANCE)

    @some_kinds
    @given(order=st.permutations(range(5)))
    def test_points_can_be_reordered(self, method, order):
        scores, labels, weights = some_sample(5)
        value, gradient = evaluate(method, scores, labels, weights)
        moved = evaluate(method, scores[order], labels[order], weights[order])
        assert_close(moved, (value, gradient[order]), scores, weights[order])

    @some_kinds
    def test_float32(self, method):
        scores, labels, weights = (np.float32(array) for array in some_sample(40))
        value, gradient = method.loss_and_gradient(scores, labels, weights)
        assert (value.dtype, gradient.dtype) == (np.float32, np.float32)
        expected = evaluate(method, scores.astype(float), labels, weights)
        # 450 units in the last place, the bar of the unweighted losses.
        bound = 450 * float(np.finfo(np.float32).eps)
        assert_close((float(value), gradient), expected, scores, weights, tolerance=bound)

    def test_other_values_compile_nothing(self):
        traces = []

        def counted(scores, labels, probabilities):
            traces.append(scores.shape)
            return exponential(scores, labels, probabilities)

        scores, labels, weights = some_sample(5)
        method = ag.FunctionMethod(function=counted)
        method.loss(scores, labels, weights)
        before = len(traces)
        method.loss(scores, labels, weights[::-1])
        assert len(traces) == before


class TestDifferentiation:
    @some_kinds
    def test_agrees_with_the_gradient_and_with_differences(self, method):
        scores, labels, weights = (jnp.asarray(array, float) for array in some_sample(26, scale=0.3))
        direction = jnp.asarray(np.random.default_rng(2).normal(size=scores.shape))
        reverse, change = derivatives(method, scores, labels, weights, direction)
        assert_close((0, reverse), (0, evaluate(method, scores, labels, weights)[1]), scores, weights)
        after, before = (evaluate(method, scores + step * direction, labels, weights)[1] for step in (1e-5, -1e-5))
        # As without weights: truncation of 1e-10 and rounding of 1e-11, of gradients of at most w_i.
        np.testing.assert_allclose(change, (after - before) / 2e-5, rtol=0, atol=1e-10)

    @some_kinds
    @pytest.mark.parametrize("shared", [True, False], ids=["one weighting", "a weighting each"])
    def test_many_problems_at_once(self, method, shared):
        samples = [some_sample(26, seed=0 if shared else seed) for seed in range(3)]
        weights = samples[0][2] if shared else np.stack([sample[2] for sample in samples])
        scores = np.stack([some_sample(26, seed=seed)[0] for seed in range(3)])
        labels = samples[0][1].astype(float)
        together = jax.vmap(lambda one, weights: losses(method, one, labels, weights), (0, None if shared else 0))
        _, gradients = jax.jit(together)(scores, weights)
        for gradient, one, (_, _, own) in zip(gradients, scores, samples, strict=True):
            # A batch takes the rung of the problem that asks most: each of them errs by its tolerance at most.
            expected = evaluate(method, one, labels, own)[1]
            assert_close((0, gradient), (0, expected), one, own, tolerance=2 * TOLERANCE)


def losses(method, scores, labels, weights):
    return method.raw_loss_and_gradient(jnp.asarray(scores), jnp.asarray(labels), jnp.asarray(weights))


@partial(jax.jit, static_argnums=0)
def derivatives(method, scores, labels, weights, direction):
    """The gradient in reverse mode, and the change of the gradient along a direction."""
    reverse = jax.grad(lambda moved: losses(method, moved, labels, weights)[0])(scores)
    return reverse, jax.jvp(lambda moved: losses(method, moved, labels, weights)[1], (scores,), (direction,))[1]


class TestEstimate:
    @pytest.mark.parametrize("method", [ag.Erm(), ag.Cutout(), ag.CutMix()], ids=method_id)
    def test_unbiased(self, method):
        scores, labels, _ = some_sample(5, scale=2.0)
        weights = np.array([0.4, 0.0, 0.3, 0.2, 0.1])
        estimate = ag.estimate(jax.random.key(1), method, scores, labels, 200_000, weights)
        value, gradient = method.loss_and_gradient(scores, labels, weights)
        # 200,000 draws, at least 20,000 a point: 13 numbers within 5 standard errors, false alarms 8e-6 a method.
        assert abs(estimate.value - float(value)) <= 5 * estimate.standard_error
        assert (np.abs(estimate.gradient - gradient) <= 5 * np.asarray(estimate.gradient_standard_error)).all()
        assert 0 < estimate.standard_error < 0.01 * float(value)
        assert (np.asarray(estimate.gradient)[1] == 0).all()  # never drawn


class Plain(ag.Method):
    """A loss that knows no weights."""

    def raw_loss(self, scores, labels):
        return jnp.exp(-labels * scores.sum(axis=1)).mean()


class PlainPair(ag.Method):
    """The same, with its gradient."""

    def raw_loss_and_gradient(self, scores, labels):
        return jax.value_and_grad(Plain().raw_loss)(scores, labels)


class Weighted(ag.Method):
    """The same of a weighted sample, with a formula of its own where nothing is weighted."""

    def raw_loss(self, scores, labels, probabilities=None):
        terms = jnp.exp(-labels * scores.sum(axis=1))
        return terms.mean() if probabilities is None else terms @ probabilities


class Needing(ag.Method):
    """The same, always by weights."""

    def raw_loss(self, scores, labels, probabilities):
        return jnp.exp(-labels * scores.sum(axis=1)) @ probabilities


def plain(scores, labels, rate=1.0):  # a third argument, and not the weights
    return jnp.exp(-rate * labels * scores.sum(axis=1)).mean()


SCORES, LABELS, WEIGHTS = some_sample(4)


class TestMethodsOfOnesOwn:
    @pytest.mark.parametrize(
        "method", [Plain(), PlainPair(), Weighted(), Needing(), ag.FunctionMethod(function=plain)], ids=method_id
    )
    def test_all_work_without_weights(self, method, distribution, network):
        value, gradient = evaluate(method, SCORES, LABELS)
        terms = np.exp(-LABELS * SCORES.sum(axis=1)) / 4
        assert value == pytest.approx(terms.sum(), rel=1e-14)
        np.testing.assert_allclose(gradient, np.outer(-LABELS * terms, np.ones(3)), rtol=1e-14)
        dataset = ag.sample_dataset(jax.random.key(0), distribution, num_samples=5, init_std=0.1)
        assert ag.train(dataset, network, method, step_size=0.1, num_steps=2).status == "completed"
        check_method(method, 2, 3)

    def test_those_with_the_argument_take_weights(self):
        results = [evaluate(method, SCORES, LABELS, WEIGHTS) for method in (Weighted(), Needing())]
        terms = np.exp(-LABELS * SCORES.sum(axis=1)) * WEIGHTS
        for value, gradient in results:
            assert value == pytest.approx(terms.sum(), rel=1e-14)
            np.testing.assert_allclose(gradient, np.outer(-LABELS * terms, np.ones(3)), rtol=1e-14)

    @every_kind
    def test_what_the_library_ships_takes_weights(self, method):
        assert method.takes_probabilities
        check_method(method, 2, 3, weighted=True)

    @pytest.mark.parametrize(
        ("method", "title", "name"),
        [
            (Plain(), "Plain", "raw_loss"),
            (PlainPair(), "PlainPair", "raw_loss_and_gradient"),
            (ag.FunctionMethod(function=plain), "plain", "plain"),
        ],
    )
    def test_those_without_refuse_them_in_a_sentence(self, method, title, name):
        assert not method.takes_probabilities
        sentence = (
            f"`method` must take `probabilities` for a weighted sample, got {title}: "
            f"give its `{name}` a third argument `probabilities`"
        )
        for refused in (
            lambda: check_method(method, 2, 3, weighted=True),
            lambda: method.loss(SCORES, LABELS, WEIGHTS),
        ):
            with pytest.raises(ValueError, match=re.escape(sentence)):
                refused()


BAD_WEIGHTS = [
    (WEIGHTS[:3], "`probabilities` must have shape (4,) to match `scores`, got (3,)"),
    (WEIGHTS[:, None], "`probabilities` must have shape (4,) to match `scores`, got (4, 1)"),
    ([0.5, np.nan, 0.5, np.inf], "`probabilities` must be finite, got 2 entries that are NaN or infinite"),
    ([0.5, -0.25, 0.5, 0.25], "`probabilities` must be at least 0, got -0.25"),
    ([0.5, 0.25, 0.5, 0.25], "`probabilities` must sum to 1, got 1.5"),
    ([0.25, 0.25, 0.25, 0.2501], "`probabilities` must sum to 1, got 1.0001"),
    (np.zeros(4), "`probabilities` must sum to 1, got 0"),
]


@pytest.mark.parametrize(("weights", "sentence"), BAD_WEIGHTS, ids=[sentence[16:60] for _, sentence in BAD_WEIGHTS])
def test_bad_weights_are_refused_in_a_sentence(weights, sentence):
    for refused in (
        lambda: ag.CutMix().loss_and_gradient(SCORES, LABELS, weights),
        lambda: ag.estimate(jax.random.key(0), ag.Erm(), SCORES, LABELS, 10, weights),
    ):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            refused()
