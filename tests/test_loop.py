"""One loop for every training: all ways through it agree with each other and with brute force; what it promises on its way."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest

import augscope as ag
from augscope.explorer.runs import Training
from augscope.training.batch import train_many
from augscope.training.coefficients import geometry
from augscope.training.descent import Descent, compiled_steps, start
from augscope.training.loop import Loop
from augscope.training.problem import Problem

METHODS = (ag.Erm(), ag.Cutout(), ag.CutMix())
NETWORK = ag.Network(negative_slope=0.1, smoothing=0.7)
RECORDS = (0, 3, 10, 12)


@pytest.fixture(scope="module")
def experiment(distribution) -> ag.Experiment:
    return ag.Experiment(
        distribution=distribution,
        network=NETWORK,
        methods=METHODS,
        num_samples=5,
        init_std=0.1,
        step_size=0.5,
        num_steps=RECORDS[-1],
        record_at=RECORDS,
        coordinates="dense",
    )


def assert_same_bits(one: ag.History, other: ag.History) -> None:
    for field in fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), err_msg=field.name)


def interrupted(experiment: ag.Experiment, method: ag.Method, dataset: ag.Dataset, path) -> ag.Run:
    """A run that is stopped at each step that its host hears of, and each time goes on from its checkpoint."""
    stops = set()

    def stop(step: int, _: float) -> None:
        if step not in stops:
            stops.add(step)
            raise KeyboardInterrupt

    while (run := experiment.run(method, dataset, stop, path)).status == "interrupted":
        pass
    assert len(stops) > len(RECORDS)
    return run


@pytest.mark.usefixtures("without_accuracy")
def test_all_ways_through_the_loop_agree(experiment, tmp_path):
    seed = 4
    dataset = experiment.sample(seed)
    watched = {run.method: run for run in Training(experiment, seed).run().runs}
    for method in METHODS:
        options = {"step_size": experiment.step_size, "num_steps": experiment.num_steps, "record_at": RECORDS}
        run = ag.train(dataset, experiment.network, method, **options)
        weights, losses, norms = oracle.descend(
            np.asarray(dataset.initial_weights),
            np.asarray(dataset.patches),
            np.asarray(dataset.labels),
            NETWORK.negative_slope,
            NETWORK.smoothing,
            oracle.of(method),
            experiment.step_size,
            experiment.num_steps,
        )
        # Twelve steps that round by some 1e-16 each; 1e-12 leaves room for the sums.
        np.testing.assert_allclose(run.weights, weights, rtol=0, atol=1e-12)
        np.testing.assert_allclose(run.history.loss, np.array(losses)[list(RECORDS)], rtol=0, atol=1e-12)
        np.testing.assert_allclose(run.history.gradient_norm, np.array(norms)[list(RECORDS)], rtol=0, atol=1e-12)
        assert_same_bits(watched[method].history, run.history)
        again = interrupted(experiment, method, dataset, tmp_path / f"{method.title}.npz")
        assert_same_bits(again.history, run.history)
        np.testing.assert_array_equal(again.weights, run.weights)
        batched, _ = train_many([dataset, experiment.sample(5)], experiment.network, method, **options)
        np.testing.assert_allclose(batched.weights, weights, rtol=0, atol=1e-12)
        assert [one.message for one in (run, again, batched, watched[method])] == ["completed 12 steps"] * 4


class Points(NamedTuple):
    """A geometry of one's own: two coordinates a patch, three filters, that move along the axes."""

    labels: Any
    patches: Any  # (n, P, 2)
    outputs: Any  # (3,)

    def start(self) -> Any:
        return jnp.zeros((3, 2))

    def scores(self, coefficients: Any, network: Any) -> tuple[Any, Any]:
        projections = jnp.einsum("hd,npd->hnp", 0.5 + coefficients, self.patches)
        return jnp.einsum("h,hnp->np", self.outputs, network.activation(projections)), projections

    def gradient(self, by_score: Any, projections: Any, network: Any) -> Any:
        along = self.outputs[:, None, None] * network.activation_slope(projections) * by_score[None]
        return jnp.einsum("hnp,npd->hd", along, self.patches)

    def norm(self, coefficients: Any) -> Any:
        return jnp.linalg.norm(coefficients)


def test_another_geometry_descends_by_the_gradient_of_its_scores(network):
    rng = np.random.default_rng(0)
    labels = jnp.asarray([1.0, -1.0, 1.0, -1.0])
    points = Points(labels, jnp.asarray(rng.normal(size=(4, 3, 2))), jnp.asarray([1.0, -1.0, 0.5]))
    method = ag.Cutout()

    def loss(coefficients: Any) -> Any:
        return method.raw_loss_and_gradient(points.scores(coefficients, network)[0], labels)[0]

    problem = Problem(points, network, (method,), 0.3)
    state, coefficients = start(points), points.start()
    for step in range(4):
        state = compiled_steps(problem, state, 1)
        assert int(state.step) == step
        np.testing.assert_allclose(state.point.coefficients, coefficients, rtol=0, atol=1e-14)
        np.testing.assert_allclose(state.point.gradient, jax.grad(loss)(coefficients), rtol=0, atol=1e-14)
        coefficients = coefficients - 0.3 * jax.grad(loss)(coefficients)


class TestOnItsWay:
    @pytest.fixture
    def descent(self, experiment) -> Descent:
        data = geometry(experiment.sample(1))
        problem = Problem(data, experiment.network, experiment.methods, experiment.step_size)
        return Descent(problem.only(ag.Erm()), experiment.num_steps)

    @pytest.mark.usefixtures("without_accuracy")
    def test_a_run_can_be_seen_at_every_record(self, experiment, descent):
        loop = Loop(descent, [experiment.sample(1)], RECORDS)
        seen = []
        for step in loop.moments():
            run = loop.run()
            seen.append((step, run.status, run.message))
            assert run.history.steps.tolist() == [record for record in RECORDS if record <= step]
        running = [(step, "running", f"at step {step} of 12") for step in RECORDS[:-1]]
        assert seen == [*running, (12, "completed", "completed 12 steps")]

    @pytest.mark.usefixtures("without_accuracy")
    def test_stopped_before_anything_was_evaluated_it_measures_the_start(self, experiment, descent, monkeypatch):
        def stop(_: float) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(descent, "advance", stop)
        (run,) = Loop(descent, [experiment.sample(1)], RECORDS).finish()
        assert (run.status, run.num_steps, run.history.steps.tolist()) == ("interrupted", 0, [0])
        np.testing.assert_array_equal(run.weights, experiment.sample(1).initial_weights)

    def test_without_datasets_it_only_goes_to_the_end(self, descent):
        heard = []
        assert Loop(descent, (), (12,), lambda step, loss: heard.append(step)).finish() == []
        assert (heard[0], heard[-1], descent.place) == (0, 12, 12)

    def test_steps_are_taken_with_one_method(self, experiment):
        data = geometry(experiment.sample(1))
        with pytest.raises(ValueError, match="`methods` must be one to train with, got 3"):
            compiled_steps(Problem(data, experiment.network, METHODS, 1.0), start(data), 1)
