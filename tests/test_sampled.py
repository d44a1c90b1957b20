"""Training by drawn steps: unbiased, reproducible, measured of the exact loss, and refused where it makes no sense."""

from __future__ import annotations

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commands import run_here

import augscope as ag
from augscope.training.checkpoint import DescentCheckpoint
from augscope.training.coefficients import geometry
from augscope.training.problem import Problem, evaluate
from augscope.training.sampled import sampled_gradient, sampled_start, sampled_steps

SMALL = ag.presets.theorem.replace(num_samples=9, num_steps=60)


class Pairs(ag.SubsetMethod):
    """Two of the three patches stay, the others come from a partner; the label weight is 2/3."""

    def probabilities(self, members):
        return (members.sum(axis=1) == 2) / 3

    def label_weights(self, members):
        return np.full(len(members), 2 / 3)


METHODS = [ag.Erm(), ag.Cutout(), ag.CutMix(), Pairs()]


def problem_of(method, *, seed=0):
    return Problem(geometry(SMALL.sample(seed)), SMALL.network, (method,), 1.0)


def somewhere(problem):
    """Coefficients that are not zero."""
    leaves, form = jax.tree.flatten(problem.data.start())
    keys = jax.random.split(jax.random.key(5), len(leaves))
    return form.unflatten([0.5 * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)])


@pytest.mark.parametrize(
    ("method", "size", "count"),
    [
        *((method, 7, 10_000) for method in METHODS),
        *(pytest.param(method, size, 100_000, marks=pytest.mark.slow) for method in METHODS for size in (1, 7, 9)),
    ],
    ids=lambda value: value.title if isinstance(value, ag.Method) else str(value),
)
def test_the_mean_of_drawn_gradients_is_the_exact_one(method, size, count):
    """Entries within 5 standard errors: false alarm below 3e-5 for the 48 entries of a case; keys fixed."""
    problem = problem_of(method)
    at = somewhere(problem)

    def gradient(key):
        key_batch, key_draws = jax.random.split(key)
        batch = None if size == 9 else jax.random.permutation(key_batch, 9)[:size]
        return sampled_gradient(problem, ag.Sampling(), key_draws, at, batch)

    def add(sums, key):
        drawn = jax.vmap(gradient)(jax.random.split(key, 1_000))
        means = jax.tree.map(lambda one, all: one + all.sum(axis=0), sums[0], drawn)
        return (means, jax.tree.map(lambda one, all: one + (all**2).sum(axis=0), sums[1], drawn)), None

    zeros = problem.data.start()
    keys = jax.random.split(jax.random.key(size), count // 1_000)
    sums, squares = jax.jit(lambda: jax.lax.scan(add, (zeros, zeros), keys)[0])()
    exact = evaluate(problem, at).gradient
    for total, square, wanted in zip(*map(jax.tree.leaves, (sums, squares, exact)), strict=True):
        mean = total / count
        error = np.sqrt(np.maximum(square / count - mean**2, 0) / count)
        assert (np.abs(mean - wanted) <= 5 * error + 1e-12).all()


def test_whole_batches_of_erm_have_the_bits_of_the_exact_descent():
    dataset = SMALL.sample(1)
    train = partial(ag.train, dataset, SMALL.network, ag.Erm(), step_size=1.0, num_steps=60)
    exact, drawn = train(), train(sampling=ag.Sampling())
    np.testing.assert_array_equal(drawn.weights, exact.weights)
    np.testing.assert_array_equal(drawn.history.loss, exact.history.loss)
    np.testing.assert_array_equal(drawn.history.accuracy, exact.history.accuracy)


def test_momentum_follows_its_recursion():
    dataset = SMALL.sample(1)
    train = partial(ag.train, dataset, SMALL.network, ag.Erm(), num_steps=2)
    plain = [ag.train(dataset, SMALL.network, ag.Erm(), step_size=0.1, num_steps=steps).weights for steps in (1, 2)]
    moved = train(step_size=0.1, sampling=ag.Sampling(momentum=0.5)).weights
    np.testing.assert_allclose(moved, plain[1] + 0.5 * (plain[0] - dataset.initial_weights), rtol=0, atol=1e-14)


def plain_sgd(dataset, network, *, step_size, num_steps, momentum, weight_decay):
    """W(T) of ERM by gradients of the loss in the weights themselves, with PyTorch's rule of momentum and decay."""
    patches, labels = jnp.asarray(dataset.patches), jnp.asarray(dataset.labels)

    def loss(weights):
        active = network.activation(jnp.einsum("hd,npd->hnp", weights, patches))
        return jax.nn.softplus(-labels * (active[0] - active[1]).sum(axis=1)).mean()

    weights, velocity = dataset.initial_weights, 0.0
    for _ in range(num_steps):
        velocity = momentum * velocity + jax.grad(loss)(weights) + weight_decay * weights
        weights = weights - step_size * velocity
    return weights, loss(weights)


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_weight_decay_is_that_of_sgd(momentum):
    experiment = ag.presets.figure.replace(num_samples=9, coordinates="dense", init_std=0.05)
    dataset, rule = experiment.sample(0), {"momentum": momentum, "weight_decay": 0.05}
    wanted, loss = plain_sgd(dataset, experiment.network, step_size=0.5, num_steps=30, **rule)
    train = partial(ag.train, network=experiment.network, method=ag.Erm(), step_size=0.5, num_steps=30)
    run = train(dataset, sampling=ag.Sampling(**rule))
    np.testing.assert_allclose(run.weights, wanted, rtol=0, atol=1e-14)
    np.testing.assert_allclose(run.history.loss[-1], loss, rtol=1e-13)  # without the penalty
    accuracy = ag.test_accuracy(wanted, dataset, experiment.network)
    assert abs(run.history.accuracy[-1] - accuracy.overall) <= 2 * accuracy.error_bound
    # In fewer coordinates W(0) is known by its Gram matrix alone, and that shrinks with it.
    reduced = train(dataset.reduce(), sampling=ag.Sampling(**rule)).history
    np.testing.assert_allclose(reduced.noise_gram, run.history.noise_gram, rtol=1e-10)
    np.testing.assert_allclose(reduced.loss, run.history.loss, rtol=1e-12)


def test_weight_decay_on_own_patches_is_that_of_sgd():
    own = np.random.default_rng(0)
    data = ag.dataset_from_patches(own.normal(size=(8, 3, 5)), np.tile([1, -1], 4), init_std=0.3)
    rule, network = {"momentum": 0.5, "weight_decay": 0.1}, ag.Network()
    run = ag.train(data, network, ag.Erm(), step_size=0.2, num_steps=20, sampling=ag.Sampling(**rule))
    wanted, _ = plain_sgd(data, network, step_size=0.2, num_steps=20, **rule)
    np.testing.assert_allclose(run.weights, wanted, rtol=0, atol=1e-14)


def test_an_epoch_meets_every_point_once():
    problem, sampling = problem_of(ag.Erm()), ag.Sampling(batch_size=2)  # 4 batches an epoch, one point left over
    state, met = sampled_start(problem), []
    for _ in range(12):
        before = state.at.coefficients.noise
        state = sampled_steps(problem, sampling, jax.random.key(2), state, 1)
        moved = np.abs(np.asarray(state.at.coefficients.noise - before)).reshape(2, 9, -1).sum(axis=(0, 2)) > 0
        met.append(set(np.flatnonzero(moved).tolist()))
    epochs = [met[first : first + 4] for first in (0, 4, 8)]
    assert all(sum(map(len, epoch)) == len(set.union(*epoch)) == 8 for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_key_gives_its_bits_in_chunks_of_any_length_and_from_a_checkpoint(tmp_path):
    problem, sampling, key = problem_of(ag.CutMix()), ag.Sampling(batch_size=4, momentum=0.9), jax.random.key(3)
    whole = sampled_steps(problem, sampling, key, sampled_start(problem), 150)
    parts = sampled_start(problem)
    for count in (1, 30, 119):
        parts = sampled_steps(problem, sampling, key, parts, count)
    jax.tree.map(np.testing.assert_array_equal, whole, parts)
    dataset, file = SMALL.sample(0), tmp_path / "descent.npz"

    def stop(step, _):
        if step > 3:
            raise KeyboardInterrupt

    train = partial(ag.train, dataset, SMALL.network, ag.CutMix(), step_size=1.0, num_steps=150, sampling=sampling)
    begun = train(checkpoint=file, progress=stop, key=key)
    assert begun.status == "interrupted"
    ended, other = train(checkpoint=file, key=key), train(key=jax.random.key(4))
    np.testing.assert_array_equal(ended.weights, problem.data.weights(whole.at.coefficients))
    assert not np.array_equal(ended.weights, other.weights)
    with pytest.raises(ValueError, match="another"):
        train(checkpoint=file, key=jax.random.key(4))


def test_a_descent_kept_before_weight_decay_is_called_another_versions(tmp_path):
    file = tmp_path / "descent.npz"
    DescentCheckpoint(file, {}).save({"state.step": np.array(3), "state.coefficients.noise": np.zeros(2)})
    with pytest.raises(ValueError, match="must be of this version"):
        DescentCheckpoint(file, {})


def test_what_is_measured_is_the_exact_loss():
    dataset = SMALL.sample(0)
    run = ag.train(dataset, SMALL.network, ag.CutMix(), step_size=1.0, num_steps=60, sampling=ag.Sampling(batch_size=2))
    problem = problem_of(ag.CutMix())
    state = sampled_steps(problem, ag.Sampling(batch_size=2), jax.random.key(0), sampled_start(problem), 60)
    np.testing.assert_allclose(run.history.loss[-1], evaluate(problem, state.at.coefficients).loss, rtol=1e-12)
    assert run.status == "completed"
    assert not run.oscillating


def test_divergence_is_judged_by_the_exact_loss():
    dataset = SMALL.sample(0)
    run = ag.train(dataset, SMALL.network, ag.CutMix(), step_size=1e5, num_steps=900, sampling=ag.Sampling())
    assert run.status == "diverged"
    assert run.num_steps in (100, 200)
    assert f"at step {run.num_steps}" in run.message


def test_smaller_steps_come_closer_to_the_flow():
    """Ten keys each. Draws alone leave η^½, batches without replacement cancel over an epoch: between the two, 0.96 was measured."""
    dataset, until = SMALL.sample(0), 16.0
    end = ag.flow(dataset, SMALL.network, ag.CutMix(), until=until).weights
    distances = []
    for step_size in (1 / 4, 1 / 64):
        runs = [
            ag.train(
                dataset, SMALL.network, ag.CutMix(), step_size=step_size, num_steps=int(until / step_size),
                record_at=(0,), sampling=ag.Sampling(batch_size=3), key=jax.random.key(seed),
            )
            for seed in range(10)
        ]  # fmt: skip
        distances.append(np.sqrt(np.mean([float(jnp.sum((run.weights - end) ** 2)) for run in runs])))
    exponent = np.log(distances[0] / distances[1]) / np.log(16)
    assert 0.5 < exponent < 1.1


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"batch_size": 0}, "`batch_size` must be at least 1, got 0"),
        ({"draws": 0}, "`draws` must be from 1 to 1,000, got 0"),
        ({"momentum": 1.0}, r"`momentum` must be in \[0, 1\), got 1.0"),
        ({"momentum": -0.1}, r"`momentum` must be in \[0, 1\), got -0.1"),
        ({"weight_decay": -0.1}, "`weight_decay` must be at least 0, got -0.1"),
    ],
)
def test_bad_sampling_is_refused(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        ag.Sampling(**fields)


def loss_of_scores(scores, labels):
    """A loss that says nothing of how it would be drawn."""
    return (scores**2).mean() + labels.mean()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sampling": {"batch_size": 10}}, "`batch_size` must be at most n = 9, got 10"),
        ({"sampling": {}, "coordinates": "limit"}, "`sampling` must be left out with `coordinates` = 'limit'"),
        ({"sampling": {"weight_decay": 1.0}}, "`weight_decay` times `step_size` must be below 1, got 1"),
        ({"sampling": {}, "until": 10.0}, "`sampling` must be left out with `until`"),
        ({"sampling": {}, "methods": (ag.FunctionMethod(function=loss_of_scores),)}, "defines no `draw`"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_any_work(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        SMALL.replace(**changes)


def test_a_limit_is_refused():
    with pytest.raises(ValueError, match="of a limit, whose rows are types"):
        ag.train(SMALL.sample(0).limit(), SMALL.network, ag.Erm(), step_size=1.0, num_steps=2, sampling=ag.Sampling())


def test_an_experiment_without_it_keeps_its_name():
    assert "sampling" not in SMALL.canonical
    drawn = SMALL.replace(sampling={"draws": 2})
    assert drawn.identity != SMALL.identity
    assert "weight_decay" not in drawn.canonical
    decayed = SMALL.replace(sampling={"draws": 2, "weight_decay": 0.01})
    assert decayed.identity != drawn.identity
    assert ag.Sampling(**json.loads(decayed.canonical)["sampling"]) == decayed.sampling


def test_the_commands_take_it(tmp_path):
    options = ["--num-samples", "12", "--num-steps", "20", "--methods", "cutmix"]
    drawn = run_here("train", *options, "--batch-size", "4", "--momentum", "0.5", "--weight-decay", "0.01", "--json")
    assert drawn.returncode == 0, drawn.stderr
    assert '"batch_size": 4' in drawn.stdout
    assert '"weight_decay": 0.01' in drawn.stdout
    verified = run_here("verify", *options, "--draws", "2", "--seeds", "2", "--out", tmp_path / "report")
    assert verified.returncode in (0, 1, 3), verified.stderr
    page = (tmp_path / "report" / "report.html").read_text()
    assert "2 augmentations drawn of every point in each step" in page
