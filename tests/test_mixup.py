"""Expected Mixup against its definition in NumPy loops; label smoothing; methods of projections in training and limits."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import augscope as ag
from augscope.model.methods.base import Draws
from augscope.model.methods.mixup import blend_rule
from augscope.theorems.report import html_report
from augscope.training.coefficients import geometry
from augscope.training.problem import Problem, evaluate
from augscope.training.sampled import sampled_gradient

LAWS = [0.5, 0.3, 0.0, (1.0, 1.0), (0.2, 0.2), (2.0, 5.0)]
NETWORK = ag.Network()
SMALL = ag.presets.theorem.replace(num_samples=9, num_steps=60)


def made(num_samples=7, num_patches=3, seed=0):
    """Projections (2, n, P) around φ's bends, labels, and unequal weights."""
    random = np.random.default_rng(seed)
    labels = np.where(np.arange(num_samples) % 3 == 0, -1.0, 1.0)
    weights = random.dirichlet(np.ones(num_samples))
    return 2 * random.standard_normal((2, num_samples, num_patches)), labels, weights


def by_loops(projections, labels, law, nodes, weights):
    """The definition: every ordered pair, every node of the rule."""
    total = 0.0
    for share, mass in zip(*blend_rule(law, nodes), strict=True):
        for i, y in enumerate(labels):
            for j, other in enumerate(labels):
                blended = share * projections[:, i] + (1 - share) * projections[:, j]
                active = NETWORK.activation(blended)
                output = (active[0] - active[1]).sum()
                losses = share * np.logaddexp(0, -y * output) + (1 - share) * np.logaddexp(0, -other * output)
                total += mass * weights[i] * weights[j] * losses
    return total


@pytest.mark.parametrize("law", LAWS, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_is_its_definition(law, weighted):
    projections, labels, weights = made()
    method = ag.Mixup(law=law, nodes=8)
    loss, _ = method.loss_of_projections(projections, labels, NETWORK, weights if weighted else None)
    uniform = np.full(len(labels), 1 / len(labels))
    expected = by_loops(projections, labels, law, 8, weights if weighted else uniform)
    assert abs(loss - expected) <= 1e-12 * (1 + np.abs(projections).max())


@pytest.mark.parametrize("law", LAWS[1::4], ids=str)
def test_its_derivative_is_that_of_the_loss(law):
    projections, labels, weights = map(jnp.asarray, made())
    method = ag.Mixup(law=law, nodes=8)
    _, slopes = method.loss_of_projections(projections, labels, NETWORK, weights)

    def loss(at):
        return method.raw_loss_of_projections(at, labels, NETWORK, weights)[0]

    np.testing.assert_allclose(slopes, jax.grad(loss)(projections), rtol=0, atol=1e-13)
    direction = jnp.asarray(made(seed=1)[0])
    step = 1e-6  # central differences: φ'' jumps, so the error is of order `step`
    difference = (loss(projections + step * direction) - loss(projections - step * direction)) / (2 * step)
    np.testing.assert_allclose(jnp.vdot(slopes, direction), difference, rtol=1e-6)


def margins_by_loops(projections, labels, law, nodes):
    """Each point's smallest y f over its blends: by the label of larger weight, in halves by that of both."""
    least = np.full(len(labels), np.inf)
    for share in blend_rule(law, nodes)[0]:
        for i, y in enumerate(labels):
            for j, other in enumerate(labels):
                if share > 0.5 or (share == 0.5 and y == other):
                    active = NETWORK.activation(share * projections[:, i] + (1 - share) * projections[:, j])
                    least[i] = min(least[i], y * (active[0] - active[1]).sum())
    return least


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_margins_of_blends_are_their_definition(law):
    projections, labels, _ = made()
    margins = ag.Mixup(law=law, nodes=8).augmented_margins_of_projections(projections, labels, NETWORK)
    np.testing.assert_allclose(margins, margins_by_loops(projections, labels, law, 8), rtol=0, atol=1e-13)


def test_the_margin_of_blends_is_recorded():
    run = SMALL.run(ag.Mixup(), SMALL.sample(0))
    projections = np.einsum("sd,npd->snp", np.asarray(run.weights), np.asarray(run.dataset.patches))
    expected = margins_by_loops(projections, np.asarray(run.dataset.labels), 0.5, 2).min()
    assert run.history.augmented_margin[-1] == pytest.approx(expected, abs=1e-10)
    assert run.history.augmented_margin[-1] < run.history.margin[-1]


def test_many_points_in_blocks_are_as_in_one(monkeypatch):
    projections, labels, _ = made(23)
    whole = ag.Mixup(law=(1.0, 1.0)).loss_of_projections(projections, labels, NETWORK)
    monkeypatch.setattr("augscope.model.methods.mixup.BLOCK", 1)
    parts = ag.Mixup(law=(1.0, 1.0)).loss_of_projections(projections, labels, NETWORK)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-14, atol=1e-16), whole, parts)


def test_weights_are_repetitions():
    projections, labels, _ = made(4)
    counts = np.array([1, 2, 3, 2])
    repeated = np.repeat(projections, counts, axis=1), np.repeat(labels, counts)
    method = ag.Mixup(law=(0.5, 0.5), nodes=16)
    loss, slopes = method.loss_of_projections(projections, labels, NETWORK, counts / 8)
    whole, each = method.loss_of_projections(*repeated, NETWORK)
    np.testing.assert_allclose(loss, whole, rtol=1e-14)
    starts = np.concatenate([[0], counts.cumsum()[:-1]])
    np.testing.assert_allclose(slopes, np.add.reduceat(np.asarray(each), starts, axis=1), rtol=0, atol=1e-15)


@pytest.mark.parametrize("law", [(1.0, 1.0), (0.2, 0.2), (2.0, 5.0)], ids=str)
def test_what_the_rule_misses_is_stated(law):
    """Against 16 times the nodes: what four times the nodes change is most of it (algebraic convergence, at least 1/nodes)."""
    projections, labels, _ = made()
    method = ag.Mixup(law=law, nodes=32)
    stated = method.rule_error(jnp.asarray(projections), jnp.asarray(labels), NETWORK)
    loss, finer = (
        one.loss_of_projections(projections, labels, NETWORK)[0] for one in (method, method.replace(nodes=512))
    )
    assert 0 < abs(loss - finer) <= 2 * stated + 1e-14
    assert ag.Mixup().rule_error(projections, labels, NETWORK) == 0.0


@pytest.mark.parametrize("law", [0.5, (1.0, 1.0)], ids=str)
def test_the_mean_of_drawn_blends_is_the_exact_gradient(law):
    """10,000 draws, entries within 5 standard errors (48 entries: false alarm below 3e-5); the key is fixed."""
    problem, count = Problem(geometry(SMALL.sample(0)), NETWORK, (ag.Mixup(law=law, nodes=128),), 1.0), 10_000
    zeros = problem.data.start()
    at = jax.tree.map(lambda leaf: leaf + 0.4 * jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape), zeros)
    batch = jnp.arange(9)
    keys = jax.random.split(jax.random.key(1), count)
    drawn = jax.jit(jax.vmap(lambda key: sampled_gradient(problem, ag.Sampling(), key, at, batch)))(keys)
    exact = evaluate(problem, at).gradient
    for one, wanted in zip(jax.tree.leaves(drawn), jax.tree.leaves(exact), strict=True):
        error = np.asarray(one).std(axis=0) / np.sqrt(count)
        assert (np.abs(np.asarray(one).mean(axis=0) - wanted) <= 5 * error + 1e-12).all()


def test_it_trains_and_the_limit_of_a_sample_is_what_high_dimension_comes_to():
    """§8.5: distances fall as d^{−1/2}; between the two dimensions by a factor of 10, of which a half is asked."""
    distances = []
    for dim in (2 * 10**7, 2 * 10**9):
        experiment = SMALL.replace(num_samples=20, distribution=SMALL.distribution.at_dim(dim), init_std=0.0)
        dataset = experiment.sample(0)
        ends = [
            ag.train(data, NETWORK, ag.Mixup(), step_size=1.0, num_steps=60).history.feature_scores[-1]
            for data in (dataset, dataset.limit())
        ]
        distances.append(np.abs(ends[0] - ends[1]).max())
    assert distances[1] < distances[0] / 5


def test_a_population_learns_by_it():
    run = ag.train(
        ag.population(SMALL.distribution, 300), NETWORK, ag.Mixup(), step_size=1.0, num_steps=300, record_at=(0,)
    )
    assert run.status == "completed"
    assert ag.features_learned(run.history.feature_scores[-1])[0]


def midpoint(projections, labels, network):
    """Midpoint Mixup as one would write it."""
    blended = (projections[:, :, None] + projections[:, None]) / 2
    active = network.activation(blended)
    output = (active[0] - active[1]).sum(axis=-1)
    losses = [jnp.logaddexp(0.0, -both * output) for both in (labels[:, None], labels[None])]
    return (losses[0] + losses[1]).mean() / 2


def test_a_function_of_projections_is_a_method():
    projections, labels, _ = map(jnp.asarray, made())
    method = ag.FunctionMethod(function=midpoint)
    loss, slopes = method.loss_of_projections(projections, labels, NETWORK)
    expected, wanted = ag.Mixup().loss_of_projections(projections, labels, NETWORK)
    np.testing.assert_allclose(loss, expected, rtol=1e-14)
    np.testing.assert_allclose(slopes, wanted, rtol=0, atol=1e-15)


class Fading(ag.Method):
    """Points at half their strength: a loss of projections, drawn without a partner; it knows no weights."""

    def raw_loss_of_projections(self, projections, labels, network):
        def loss(projections):
            active = network.activation(projections / 2)
            return jnp.logaddexp(0.0, -labels * (active[0] - active[1]).sum(axis=1)).mean()

        return jax.value_and_grad(loss)(projections)

    def draw(self, key, num_draws, num_patches):
        return Draws(jnp.full((num_draws, num_patches), 0.5), None)


def test_a_loss_of_projections_needs_neither_a_partner_nor_weights():
    train = partial(ag.train, SMALL.sample(0), NETWORK, Fading(), step_size=1.0, num_steps=20)
    np.testing.assert_allclose(train(sampling=ag.Sampling()).weights, train().weights, rtol=0, atol=1e-14)


def test_it_is_a_method_of_files_and_commands():
    experiment = SMALL.replace(methods=("mixup", {"name": "mixup", "law": [0.2, 0.2]}))
    assert [method.title for method in experiment.methods] == ["Mixup", "Mixup, Beta(0.2, 0.2)"]
    assert ag.Experiment(**experiment.model_dump(mode="json")) == experiment


def test_a_report_says_that_no_plateau_is_known():
    results = ag.train_seeds(SMALL.replace(methods=(ag.Mixup(), ag.Mixup(law=0.25)), num_steps=5), range(1))
    page = html_report(results, b"<svg/>")
    assert "comes to the infimum 2π(1 − π) ln 2, π the share of points with label +1." in page
    assert "Mixup, λ = 0.25: its plateau has no closed form, and none is certified." in page
    assert np.isnan([run.predicted_plateau for run in results.runs]).all()


def test_midpoints_have_an_infimum_and_no_minimum():
    """Between labels nothing is below ln 2; within them ℓ falls to 0 as scores grow, where mixed pairs stay at 0."""
    labels = np.array([1.0, 1.0, -1.0])
    least = 2 * (2 / 3) * (1 / 3) * np.log(2)
    directions = np.stack([labels, -labels])[:, :, None]
    losses = [ag.Mixup().loss_of_projections(size * directions, labels, NETWORK)[0] for size in (1, 10, 30)]
    assert least < losses[2] < losses[1] < losses[0]
    assert losses[2] - least < 1e-12


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"law": 1.2}, r"`law` must be λ in \[0, 1\]"),
        ({"law": (0.0, 1.0)}, "the two parameters of Beta, above 0"),
        ({"law": (1.0, 1.0, 1.0)}, r"the two parameters of Beta, above 0, got \(1.0, 1.0, 1.0\)"),
        ({"law": float("nan")}, r"`law` must be λ in \[0, 1\] .* got nan"),
        ({"law": (1e6, 1e6)}, r"of 64 nodes for Beta\(1000000.0, 1000000.0\) some are not numbers"),
        ({"nodes": 1}, "`nodes` must be from 2 to 4,096"),
    ],
)
def test_bad_laws_are_refused(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        ag.Mixup(**fields)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"36,000,000,000 blends a step, at most 2,147,483,648 fit: 1,465 points"):
        ag.Mixup(law=(1.0, 1.0), nodes=1_000).check_evaluation(6_000, 3)
    with pytest.raises(ValueError, match="ask `loss_of_projections`"):
        ag.Mixup().loss(np.zeros((2, 3)), np.array([1, -1]))
    with pytest.raises(ValueError, match="give `loss` its scores"):
        ag.Erm().loss_of_projections(np.zeros((2, 2, 3)), np.array([1, -1]), NETWORK)
    with pytest.raises(ValueError, match="one of scores to be smoothed, got Mixup"):
        ag.LabelSmoothing(method=ag.Mixup())


@pytest.mark.parametrize("method", [ag.Erm(), ag.Cutout(), ag.CutMix()], ids=lambda method: method.title)
def test_smoothed_labels_weigh_both_classes(method):
    random = np.random.default_rng(3)
    scores, labels, probabilities = random.standard_normal((6, 3)), np.array([1, -1, 1, 1, -1, -1]), np.full(6, 1 / 6)
    smoothed = ag.LabelSmoothing(epsilon=0.3, method=method)
    loss, gradient = smoothed.loss_and_gradient(scores, labels, probabilities)
    parts = [method.loss_and_gradient(scores, sign * labels, probabilities) for sign in (1, -1)]
    np.testing.assert_allclose(loss, 0.85 * parts[0][0] + 0.15 * parts[1][0], rtol=1e-14)
    np.testing.assert_allclose(gradient, 0.85 * parts[0][1] + 0.15 * parts[1][1], rtol=0, atol=1e-15)
    whole = ag.LabelSmoothing(epsilon=0.0, method=method).loss(scores, labels)
    assert whole == method.loss(scores, labels)
    assert ag.Experiment(**SMALL.replace(methods=(smoothed,)).model_dump(mode="json")).methods == (smoothed,)
