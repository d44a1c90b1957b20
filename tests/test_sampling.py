"""Training sets: the law of every part, exact geometry, edge cases, and reduced coordinates with the same law as dense.

Statistics use fixed keys. `PASS` bounds the chance that one test of a correct sampler fails on a new key; with the some
170 p-values of this file, changing every key would raise a false alarm once in 60 times.
"""

from __future__ import annotations

import re
from functools import partial

import jax
import mpmath
import numpy as np
import pytest
from commands import thinned
from scipy import stats

import augscope as ag
from augscope.model import draws, sampling
from augscope.training.coefficients import geometry

PASS = 1e-4
KEY = jax.random.key(2024)
KINDS = [("dense", "standard"), ("dense", "random"), ("reduced", "standard")]
each_kind = pytest.mark.parametrize(("coordinates", "frame"), KINDS, ids=["standard", "random", "reduced"])
sample = partial(ag.sample_dataset, init_std=0.1)


def uniform_p(values, categories) -> float:
    """Chi-square p-value of values being uniform on the categories."""
    return stats.chisquare([(np.asarray(values) == category).sum() for category in categories]).pvalue


def independence_p(left, right) -> float:
    """Chi-square p-value of two discrete columns being independent."""
    table = stats.contingency.crosstab(np.asarray(left), np.asarray(right)).count
    return stats.chi2_contingency(table).pvalue


def flat_features(dataset: ag.Dataset) -> np.ndarray:
    return np.asarray(dataset.features).reshape(-1, dataset.patches.shape[-1])


def noise_rows(dataset: ag.Dataset) -> np.ndarray:
    return np.asarray(dataset.noise).reshape(-1, dataset.patches.shape[-1])


def chi_probability(freedom: int, quantile: float) -> float:
    """P(χ_f ≤ quantile) by the series x^a e^{−x}/Γ(a + 1) Σ_n x^n/((a + 1) … (a + n)), a = f/2, x = quantile²/2."""
    with mpmath.workdps(40):
        a, x = mpmath.mpf(freedom) / 2, mpmath.mpf(quantile) ** 2 / 2
        factor = mpmath.exp(a * mpmath.log(x) - x - mpmath.loggamma(a + 1))
        # Past 20 √a terms they are below e^{−50}; 10⁶ roundings of 1e-16 leave 1e-10.
        ratios = float(x) / (freedom / 2 + np.arange(1, 20 * freedom**0.5 + 200))
        return float(factor * (1 + np.cumprod(ratios).sum()))


@pytest.fixture(scope="module")
def dataset() -> ag.Dataset:
    """One large sample, d small."""
    distribution = ag.FeatureNoise(
        dim=10,
        num_patches=4,
        frequencies=(0.6, 0.3, 0.1),
        feature_noise=0.2,
        dominant_noise_std=0.3,
        background_noise_std=0.15,
    )
    return sample(KEY, distribution, num_samples=20_000, frame="random")


class TestLaw:
    """20,000 points show a deviation of 2 % in any probability."""

    def test_discrete_parts_are_uniform(self, dataset):
        assert uniform_p(dataset.labels, (1, -1)) > PASS
        assert uniform_p(dataset.feature_position, range(4)) > PASS
        assert uniform_p(dataset.dominant_position, range(4)) > PASS
        assert uniform_p(dataset.feature_noise_label, (1, -1)) > PASS

    @pytest.mark.parametrize("label", [1, -1])
    def test_features_occur_with_their_frequencies_given_the_label(self, dataset, label):
        indices = np.asarray(dataset.feature_index)[np.asarray(dataset.labels) == label]
        assert (
            stats.chisquare(np.bincount(indices, minlength=3), len(indices) * np.array([0.6, 0.3, 0.1])).pvalue > PASS
        )

    def test_the_dominant_patch_is_uniform_on_the_other_positions(self, dataset):
        shift = (np.asarray(dataset.dominant_position) - np.asarray(dataset.feature_position)) % 4
        assert uniform_p(shift, (1, 2, 3)) > PASS
        assert (shift > 0).all()
        assert independence_p(shift, dataset.feature_position) > PASS

    def test_parts_are_independent(self, dataset):
        names = ("labels", "feature_index", "feature_position", "feature_noise_label")
        columns = [np.asarray(getattr(dataset, name)) for name in names]
        for i, left in enumerate(columns):
            for right in columns[i + 1 :]:
                assert independence_p(left, right) > PASS

    def test_noise_is_gaussian_with_the_stated_variances(self, dataset):
        noise = np.asarray(dataset.noise)
        # ‖ξ‖²/σ² is χ² with d − 2K = 4 degrees of freedom; background patches at each position alike.
        for slot, std in enumerate((0.3, 0.15, 0.15)):
            assert stats.kstest((noise[:, slot] ** 2).sum(axis=1) / std**2, stats.chi2(4).cdf).pvalue > PASS

    def test_noise_covers_every_direction_orthogonal_to_the_features(self, dataset):
        # The sample covariance of 20,000 rows errs by σ²/√20000 = 0.7 % an entry; five standard errors over 100 entries
        # (the diagonal's are √2 larger): false alarm 5e-5.
        covariance = np.einsum("nd,ne->de", dataset.noise[:, 1], dataset.noise[:, 1]) / 20_000 / 0.15**2
        features = flat_features(dataset)
        np.testing.assert_allclose(covariance, np.eye(10) - features.T @ features, rtol=0, atol=5 * (2 / 20_000) ** 0.5)

    def test_patches_of_a_point_are_independent(self, dataset):
        first, second, third = np.moveaxis(np.asarray(dataset.noise)[:, :, 0], 1, 0)
        for left, right in ((first, second), (first, third), (second, third)):
            assert stats.pearsonr(left, right).pvalue > PASS


class TestGeometry:
    @each_kind
    @pytest.mark.parametrize("key", range(3))
    def test_every_patch_is_what_it_claims(self, distribution, coordinates, frame, key):
        dataset = sample(jax.random.key(key), distribution, num_samples=9, coordinates=coordinates, frame=frame)
        features, patches = flat_features(dataset), np.asarray(dataset.patches)
        # Orthonormal by Householder QR in 20 dimensions: a few 1e-16.
        np.testing.assert_allclose(features @ features.T, np.eye(4), rtol=0, atol=1e-14)
        assert np.abs(noise_rows(dataset) @ features.T).max() < 1e-12 * distribution.background_noise_std
        for i in range(9):
            own = np.asarray(dataset.features)[0 if dataset.labels[i] == 1 else 1, dataset.feature_index[i]]
            np.testing.assert_array_equal(patches[i, dataset.feature_position[i]], own)
            hidden = np.asarray(dataset.features)[0 if dataset.feature_noise_label[i] == 1 else 1, 0]
            dominant = patches[i, dataset.dominant_position[i]]
            np.testing.assert_allclose(
                dominant @ features.T, 0.2 * features @ hidden, rtol=0, atol=1e-15
            )  # α on u alone
            np.testing.assert_allclose(np.asarray(dataset.noise)[i, 0], dominant - 0.2 * hidden, rtol=0, atol=1e-15)
            (rest,) = {0, 1, 2} - {int(dataset.feature_position[i]), int(dataset.dominant_position[i])}
            np.testing.assert_array_equal(patches[i, rest], np.asarray(dataset.noise)[i, 1])

    def test_slots_order_patches_by_kind(self, distribution):
        dataset = sample(KEY, distribution.replace(num_patches=5), num_samples=50)
        assert (np.sort(dataset.slots, axis=1) == np.arange(5)).all()
        assert (dataset.slots[:, 0] == dataset.feature_position).all()
        assert (dataset.slots[:, 1] == dataset.dominant_position).all()
        assert (np.diff(dataset.slots[:, 2:], axis=1) > 0).all()

    def test_counts_and_printing(self, distribution):
        dataset = sample(KEY, distribution, num_samples=40)
        counts = [[((dataset.labels == y) & (dataset.feature_index == k)).sum() for k in range(2)] for y in (1, -1)]
        assert dataset.feature_counts.tolist() == np.array(counts).tolist()
        text = f"points per feature +1: {counts[0][0]}/{counts[0][1]}, -1: {counts[1][0]}/{counts[1][1]}"
        assert str(dataset) == f"Dataset: 40×3×20 dense patches; {text}"

    def test_a_key_fixes_everything_and_the_discrete_part_is_shared(self, distribution):
        twice = [sample(KEY, distribution, num_samples=30) for _ in range(2)]
        np.testing.assert_array_equal(*(dataset.patches for dataset in twice))
        np.testing.assert_array_equal(*(dataset.initial_weights for dataset in twice))
        for coordinates, frame in KINDS:
            other = sample(KEY, distribution, num_samples=30, coordinates=coordinates, frame=frame)
            for name in ("labels", "feature_index", "feature_position", "dominant_position", "feature_noise_label"):
                np.testing.assert_array_equal(getattr(other, name), getattr(twice[0], name))
        other = sample(jax.random.key(1), distribution, num_samples=30)
        assert (other.labels != twice[0].labels).any()

    def test_the_random_frame_is_uniform(self, distribution):
        # The first coordinate of a uniform unit vector in d dimensions: x² ~ Beta(1/2, (d − 1)/2). Sign included, it is
        # symmetric. 1,000 frames in 5 dimensions.
        small = distribution.replace(dim=5)
        keys = jax.random.split(KEY, 1000)
        frames = np.asarray(jax.vmap(lambda key: draws.draw_frame(key, small, "random", "float64"))(keys))
        for label in (0, 1):
            entries = frames[:, label, 1, 0]
            assert stats.kstest(entries**2, stats.beta(0.5, 2).cdf).pvalue > PASS
            assert stats.binomtest(int((entries > 0).sum()), 1000).pvalue > PASS


EDGES = {
    "more noise vectors than dimensions": ({}, 15),
    "as many noise vectors as dimensions": ({}, 8),
    "two patches": ({"num_patches": 2}, 6),
    "no room for noise": ({"dim": 4}, 6),
    "one dimension for noise": ({"dim": 5}, 6),
    "one feature": ({"frequencies": (1.0,)}, 6),
    "one point": ({}, 1),
    "one point of two patches, one feature, no noise": ({"num_patches": 2, "frequencies": (1.0,), "dim": 2}, 1),
    "no feature noise": ({"feature_noise": 0.0}, 6),
}
# The frame plays no part in most edges, and every new shape compiles for a second: random frames where they might matter.
EDGE_CASES = [
    pytest.param(*edge, *kind, id=f"{name}, {kind[0]} {kind[1]}")
    for name, edge in EDGES.items()
    for kind in KINDS
    if kind[1] == "standard" or name in ("more noise vectors than dimensions", "no room for noise")
]
SLOW_EDGES = [  # each shape compiles for two seconds
    pytest.param(*case.values, id=case.id, marks=pytest.mark.slow if at % 3 else ())
    for at, case in enumerate(EDGE_CASES)
]
some_edges = pytest.mark.parametrize(("changes", "num_samples", "coordinates", "frame"), SLOW_EDGES)
each_edge = pytest.mark.parametrize(("changes", "num_samples", "coordinates", "frame"), EDGE_CASES)


class TestEdges:
    @each_edge
    def test_shapes(self, distribution, changes, num_samples, coordinates, frame):
        distribution = distribution.replace(**changes)
        dataset = sample(KEY, distribution, num_samples=num_samples, coordinates=coordinates, frame=frame)
        num_noise = num_samples * (distribution.num_patches - 1)
        span = 2 * distribution.num_features + min(num_noise, distribution.noise_dim)
        dim = distribution.dim if coordinates == "dense" else span
        assert dataset.patches.shape == (num_samples, distribution.num_patches, dim)
        assert dataset.initial_weights.shape == (2, dim)
        assert (dataset.coordinates, dataset.num_samples) == (coordinates, num_samples)
        assert np.isfinite(dataset.patches).all()
        residual = np.asarray(dataset.residual_gram)
        assert (np.linalg.eigvalsh(residual) >= -1e-17).all()  # a Gram matrix of size 0.01 · d, up to its rounding
        assert (residual == 0).all() == (coordinates == "dense" or span == distribution.dim)

    @some_edges
    def test_reduce_preserves_every_inner_product(self, distribution, changes, num_samples, coordinates, frame):
        dataset = sample(
            KEY, distribution.replace(**changes), num_samples=num_samples, coordinates=coordinates, frame=frame
        )
        reduced = dataset.reduce()
        assert reduced.coordinates == "reduced"
        assert reduced.patches.shape[-1] == sampling.reduced_dim(dataset.distribution, num_samples)
        before, after = (
            [np.asarray(d.initial_weights), np.asarray(d.patches).reshape(-1, d.patches.shape[-1])]
            for d in (dataset, reduced)
        )
        # Rotations by Householder QR: rounding of a few 1e-15 relative to the patches' norms (at most about 1.3).
        np.testing.assert_allclose(after[1] @ after[1].T, before[1] @ before[1].T, rtol=0, atol=1e-12)
        np.testing.assert_allclose(after[0] @ after[1].T, before[0] @ before[1].T, rtol=0, atol=1e-12)
        full = [w @ w.T + np.asarray(d.residual_gram) for (w, _), d in ((before, dataset), (after, reduced))]
        np.testing.assert_allclose(full[1], full[0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(
            reduced.features.reshape(-1, after[1].shape[1]), np.eye(*flat_features(reduced).shape), atol=0
        )

    def test_a_billion_dimensions(self, distribution):
        dataset = sample(KEY, distribution.replace(dim=10**9), num_samples=50, coordinates="reduced")
        assert dataset.patches.shape == (50, 3, 104)
        # ‖ξ‖²/(σ² (d − 2K)) = 1 ± √(2/10⁹) and residual/(σ_0² d) the same: five standard errors of 4.5e-5.
        squares = np.asarray((dataset.noise**2).sum(axis=-1)) / (np.array([0.3, 0.15]) ** 2 * 1e9)
        np.testing.assert_allclose(squares, 1, rtol=0, atol=5 * 4.5e-5)
        residual = np.asarray(dataset.residual_gram) / (0.1**2 * 1e9)
        np.testing.assert_allclose(residual, np.eye(2), rtol=0, atol=5 * 4.5e-5)

    def test_float32(self, distribution):
        # Dense float32, in a process without float64, is trained in test_methods.
        dataset = sample(KEY, distribution, num_samples=5, coordinates="reduced", dtype="float32")
        for name in ("patches", "features", "initial_weights", "residual_gram"):
            assert getattr(dataset, name).dtype == np.float32


class TestBadInput:
    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"num_samples": 0}, "`num_samples` must be at least 1, got 0"),
            ({"init_std": -0.1}, "`init_std` must be at least 0, got -0.1"),
            ({"init_std": float("nan")}, "`init_std` must be at least 0, got nan"),
            ({"coordinates": "sparse"}, "`coordinates` must be 'dense' or 'reduced', got 'sparse'"),
            ({"frame": "tilted"}, "`frame` must be 'standard' or 'random', got 'tilted'"),
            (
                {"coordinates": "reduced", "frame": "random"},
                "`frame` = 'random' needs `coordinates` = 'dense', got 'reduced'",
            ),
            ({"key": 7}, "`key` must be a JAX random key such as jax.random.key(0), got 7"),
        ],
    )
    def test_bad_arguments_are_refused(self, distribution, changes, sentence):
        arguments = {"key": KEY, "distribution": distribution, "num_samples": 5, "init_std": 0.1, **changes}
        with pytest.raises(ValueError, match=re.escape(sentence)):
            ag.sample_dataset(**arguments)

    def test_an_infinite_init_std_is_refused(self, distribution):
        with pytest.raises(ValueError, match="`init_std`"):
            ag.sample_dataset(KEY, distribution, num_samples=5, init_std=float("inf"))

    def test_what_does_not_fit_is_refused_with_the_bytes(self, distribution):
        huge = distribution.replace(dim=10**12)
        with pytest.raises(
            ValueError,
            match=r"needs [\d,]+ bytes in dense coordinates, [\d,]+ are free: no sample would fit, or use coordinates='reduced'",
        ):
            sample(KEY, huge, num_samples=5)
        with pytest.raises(
            ValueError,
            match=r"needs [\d,]+ bytes in reduced coordinates, [\d,]+ are free: num_samples = [\d,]+ would fit$",
        ):
            sample(KEY, huge, num_samples=10**7, coordinates="reduced")


def gram_entries(noise) -> np.ndarray:
    """The distinct inner products of each dataset's noise vectors: (datasets, N(N+1)/2)."""
    flat = np.asarray(noise).reshape(len(noise), -1, noise.shape[-1])
    grams = flat @ flat.transpose(0, 2, 1)
    return grams[:, *np.tril_indices(grams.shape[1])]


def samples(distribution: ag.FeatureNoise, num_samples: int, count: int) -> tuple[list[ag.Dataset], list[ag.Dataset]]:
    """`count` dense and `count` reduced datasets, each with a key of its own."""
    keys = jax.random.split(KEY, (2, count))
    return tuple(
        [sample(key, distribution, num_samples=num_samples, coordinates=kind) for key in mine]
        for mine, kind in zip(keys, ("dense", "reduced"), strict=True)
    )


@pytest.fixture(scope="module")
def pairs(distribution):
    """200 of each kind at n = 3, P = 3, d = 13, so that W(0) has 3 coordinates outside the span."""
    return samples(distribution.replace(dim=13), num_samples=3, count=200)


@pytest.fixture(scope="module")
def seeds(distribution):
    """40 of each kind at n = 30, P = 3, d = 200."""
    return samples(distribution.replace(dim=200), num_samples=30, count=40)


class TestReducedHasTheLawOfDense:
    """Identity 6.5. Two-sample Kolmogorov–Smirnov tests; each p-value above PASS."""

    @pytest.mark.parametrize("num_samples", [3, 4, 6], ids=["N < d − 2K", "N = d − 2K", "N > d − 2K"])
    def test_gram_matrix_of_the_noise(self, distribution, num_samples):
        distribution = distribution.replace(dim=12)  # 8 dimensions for noise, 6, 8 or 12 noise vectors
        features = draws.standard_features(2, 12, "float64")

        def dense(key):
            return draws.dense_noise(key, distribution, num_samples, features, "standard", "float64")

        def reduced(key):
            return draws.reduced_noise(key, distribution, num_samples, "float64")

        keys = jax.random.split(KEY, 2000)
        grams = [
            gram_entries(np.stack([draw(key) for key in half]))
            for draw, half in ((dense, keys[:1000]), (reduced, keys[1000:]))
        ]
        for left, right in zip(*(gram.T for gram in grams), strict=True):
            assert stats.ks_2samp(left, right).pvalue > PASS
        # Joint law: the largest eigenvalue sees all entries together.
        size = round((2 * grams[0].shape[1]) ** 0.5 - 0.5)
        largest = []
        for gram in grams:
            matrices = np.zeros((1000, size, size))
            matrices[:, *np.tril_indices(size)] = gram
            largest.append(np.linalg.eigvalsh(matrices)[:, -1])  # reads the lower triangle
        assert stats.ks_2samp(*largest).pvalue > PASS

    @pytest.mark.parametrize("freedom", [1, 2, 5])
    def test_residual_is_wishart(self, freedom):
        keys = jax.random.split(KEY, 2000)
        ours = np.stack([draws.wishart(key, freedom) for key in keys])
        vectors = np.asarray(jax.random.normal(KEY, (2000, 2, freedom)))
        direct = vectors @ vectors.transpose(0, 2, 1)
        for row, column in ((0, 0), (0, 1), (1, 1)):
            assert stats.ks_2samp(ours[:, row, column], direct[:, row, column]).pvalue > PASS
        # Determinant: 0 for one degree of freedom, up to the rounding of a difference of squares of size ≤ 200.
        determinants = np.linalg.det(ours), np.linalg.det(direct)
        if freedom == 1:
            assert np.abs(determinants[0]).max() < 1e-12
        else:
            assert stats.ks_2samp(*determinants).pvalue > PASS

    @pytest.mark.parametrize("freedom", [9, 199_994, 10**6 - 1, 10**6, 10**9])
    def test_chi_quantiles_to_the_tails(self, freedom):
        # 1e-6 of a probability of 1e-15 is 1e-7 standard deviations there.
        for uniform in (2.0**-52, 1e-6, 0.5, 1 - 2.0**-20):
            quantile = float(draws.chi_quantiles(np.array([freedom]), np.array([uniform]))[0])
            assert chi_probability(freedom, quantile) == pytest.approx(uniform, rel=1e-6)

    def test_initial_weights_against_noise_and_features(self, pairs):
        def projections(dataset):
            vectors = np.concatenate([noise_rows(dataset), flat_features(dataset)])
            return (np.asarray(dataset.initial_weights) @ vectors.T).ravel()

        dense, reduced = (np.array([projections(dataset) for dataset in kind]) for kind in pairs)
        assert dense.shape == (200, 20)
        for left, right in zip(dense.T, reduced.T, strict=True):
            assert stats.ks_2samp(left, right).pvalue > PASS

    def test_gram_matrix_of_the_weights(self, pairs):
        def noise_gram(dataset):
            data = geometry(dataset)
            return np.asarray(data.noise.test_gram(data.start().noise))

        dense, reduced = (np.array([noise_gram(dataset) for dataset in kind]) for kind in pairs)
        for row, column in ((0, 0), (0, 1), (1, 1)):
            assert stats.ks_2samp(dense[:, row, column], reduced[:, row, column]).pvalue > PASS
        # Wishart with d − 2K = 9 degrees of freedom, in closed form.
        assert stats.kstest(reduced[:, 0, 0] / 0.1**2, stats.chi2(9).cdf).pvalue > PASS

    @pytest.mark.parametrize(
        "method",
        thinned([ag.Erm(), ag.Cutout(), ag.CutMix()], lambda method: method == ag.CutMix()),
        ids=lambda method: method.title,
    )
    def test_trained_networks(self, seeds, network, method):
        # 7 numbers after 200 steps on 40 seeds of each kind: false alarm 7e-4 a method on a new set of keys.
        def trained(dataset: ag.Dataset) -> np.ndarray:
            history = ag.train(dataset, network, method, step_size=1.0, num_steps=200, record_at=()).history
            return np.concatenate(
                [a[-1].ravel() for a in (history.feature_scores, history.accuracy, history.noise_gram[:, :, 0])]
            )

        dense, reduced = (np.array([trained(dataset) for dataset in kind]) for kind in seeds)
        assert dense.shape == (40, 7)
        for left, right in zip(dense.T, reduced.T, strict=True):
            assert stats.ks_2samp(left, right).pvalue > PASS
