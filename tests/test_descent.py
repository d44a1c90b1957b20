"""Descent: against brute force on the weights, across coordinates and ways of computing, and every way it can end."""

from __future__ import annotations

import re
from dataclasses import fields

import jax
import numpy as np
import oracle
import pytest

import augscope as ag
from augscope.training import descent, loop
from augscope.training.coefficients import geometry

METHODS = (ag.Erm(), ag.Cutout(), ag.CutMix())
each_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.title)
KEY = jax.random.key(7)


@pytest.fixture
def dataset(distribution) -> ag.Dataset:
    return ag.sample_dataset(KEY, distribution, num_samples=5, init_std=0.1)


def assert_same_history(left, right, tolerance: float, names=None) -> None:
    for name in names or [field.name for field in fields(left)]:
        np.testing.assert_allclose(
            getattr(left, name), getattr(right, name), rtol=tolerance, atol=tolerance, err_msg=name
        )


@pytest.mark.usefixtures("without_accuracy")
class TestAgainstTheOracle:
    @each_method
    @pytest.mark.parametrize(
        ("coordinates", "frame"), [("dense", "standard"), ("dense", "random"), ("reduced", "standard")]
    )
    def test_thirty_steps(self, distribution, network, method, coordinates, frame):
        dataset = ag.sample_dataset(
            KEY, distribution, num_samples=5, init_std=0.1, coordinates=coordinates, frame=frame
        )
        run = ag.train(dataset, network, method, step_size=0.5, num_steps=30, record_at=range(31))
        weights, losses, norms = oracle.descend(
            np.asarray(dataset.initial_weights),
            np.asarray(dataset.patches),
            np.asarray(dataset.labels),
            network.negative_slope,
            network.smoothing,
            oracle.of(method),
            step_size=0.5,
            num_steps=30,
        )
        # Each step rounds by some 1e-16 and the slope of one step map is about 1: 30 steps leave 1e-14. 1e-10 would still
        # show one wrong term in one gradient.
        np.testing.assert_allclose(run.weights, weights, rtol=0, atol=1e-10)
        np.testing.assert_allclose(run.history.loss, losses, rtol=0, atol=1e-10)
        np.testing.assert_allclose(run.history.gradient_norm, norms, rtol=0, atol=1e-10)
        assert np.abs(weights - np.asarray(dataset.initial_weights)).max() > 0.1  # it did move

    @each_method
    def test_more_noise_vectors_than_dimensions(self, distribution, network, method):
        # Coefficients are then not unique, weights are.
        dataset = ag.sample_dataset(KEY, distribution.replace(dim=7), num_samples=5, init_std=0.1)
        run = ag.train(dataset, network, method, step_size=0.5, num_steps=10)
        arguments = (np.asarray(a) for a in (dataset.initial_weights, dataset.patches, dataset.labels))
        slope, smoothing = network.negative_slope, network.smoothing
        weights = oracle.descend(*arguments, slope, smoothing, oracle.of(method), step_size=0.5, num_steps=10)[0]
        np.testing.assert_allclose(run.weights, weights, rtol=0, atol=1e-10)


@pytest.mark.usefixtures("without_accuracy")
class TestEquivalentComputations:
    @each_method
    @pytest.mark.parametrize("frame", ["standard", "random"])
    def test_reduced_and_dense_descend_alike(self, distribution, network, method, frame):
        dataset = ag.sample_dataset(KEY, distribution.replace(dim=60), num_samples=12, init_std=0.1, frame=frame)
        dense, reduced = (
            ag.train(data, network, method, step_size=0.5, num_steps=1000) for data in (dataset, dataset.reduce())
        )
        # Every measure, since each depends on preserved inner products alone. Rounding differs by 1e-15 a step; gradient
        # descent at this step size contracts or keeps differences, so 1000 steps leave some 1e-12.
        assert_same_history(dense.history, reduced.history, 1e-9)
        assert dense.history.loss[-1] < dense.history.loss[0] - 0.1

    @each_method
    def test_with_and_without_the_stored_gram_matrix(self, distribution, network, method):
        dataset = ag.sample_dataset(KEY, distribution.replace(dim=60), num_samples=12, init_std=0.1)
        stored, streamed, chosen = (
            ag.train(dataset, network, method, step_size=0.5, num_steps=100, store_gram=store)
            for store in (True, False, None)
        )
        assert_same_history(stored.history, streamed.history, 1e-10)  # 100 steps of rounding: some 1e-14
        # 24 noise vectors in 60 dimensions: the matrix is smaller than reading the vectors twice, so it is the default.
        np.testing.assert_array_equal(stored.weights, chosen.weights)

    @each_method
    def test_chunk_lengths_change_no_bit(self, monkeypatch, dataset, network, method):
        runs, heard = [], []
        for seconds in (1e-9, 1.0, 100.0):
            monkeypatch.setattr(loop, "CHUNK_SECONDS", seconds)
            steps: list[int] = []
            runs.append(
                ag.train(
                    dataset,
                    network,
                    method,
                    step_size=1.0,
                    num_steps=300,
                    progress=lambda step, loss, to=steps: to.append(step),
                )
            )
            heard.append(len(steps))
        assert heard[0] == 301  # every step is its own chunk, and so is the evaluation at W(0)
        assert heard[2] < 150
        for run in runs[1:]:
            np.testing.assert_array_equal(run.weights, runs[0].weights)
            for field in fields(run.history):
                np.testing.assert_array_equal(getattr(run.history, field.name), getattr(runs[0].history, field.name))

    def test_recording_does_not_disturb(self, dataset, network):
        often, once = (
            ag.train(dataset, network, ag.CutMix(), step_size=1.0, num_steps=50, record_at=steps)
            for steps in (range(51), ())
        )
        np.testing.assert_array_equal(often.weights, once.weights)
        assert often.history.loss[-1] == once.history.loss[0]


@pytest.mark.usefixtures("without_accuracy")
class TestRecording:
    @pytest.mark.parametrize(
        ("record_at", "expected"),
        [
            ((), [20]),
            ((0,), [0, 20]),
            ((0, 3, 20), [0, 3, 20]),
            (range(18, 21), [18, 19, 20]),
            (np.array([4, 7]), [4, 7, 20]),
        ],
    )
    def test_the_steps_asked_for_and_the_last(self, dataset, network, record_at, expected):
        run = ag.train(dataset, network, ag.Erm(), step_size=1.0, num_steps=20, record_at=record_at)
        assert run.history.steps.tolist() == expected
        assert (run.num_steps, run.status, run.message) == (20, "completed", "completed 20 steps")
        assert all(
            getattr(run.history, name).shape[0] == len(expected) for name in ("loss", "feature_scores", "accuracy")
        )

    def test_default_steps(self):
        for num_steps in (*range(1, 100), 1000, 10_000, 10**6, 10**8):
            steps = ag.default_record_steps(num_steps)
            assert (steps[0], steps[-1]) == (0, num_steps)
            assert (np.diff(steps) > 0).all()
            assert len(steps) == min(40, num_steps + 1)
        # Log-spaced where steps are not crowded: equal ratios up to rounding to whole steps, 1/100.
        ratios = np.array(ag.default_record_steps(10**6)[-20:])
        assert np.ptp(ratios[1:] / ratios[:-1]) < 0.03 * ratios[1] / ratios[0]
        assert ag.default_record_steps(1000, count=5) == (0, 1, 10, 100, 1000)

    def test_the_run_remembers_what_it_was(self, dataset, network):
        run = ag.train(dataset, network, ag.Cutout(num_cut=2), step_size=0.25, num_steps=3)
        assert (run.dataset, run.network, run.method, run.step_size) == (dataset, network, ag.Cutout(num_cut=2), 0.25)
        assert run.seconds > 0

    def test_progress_is_told_of_steps_and_losses(self, dataset, network):
        heard: list[tuple[int, float]] = []
        run = ag.train(
            dataset,
            network,
            ag.Erm(),
            step_size=1.0,
            num_steps=40,
            record_at=range(41),
            progress=lambda *told: heard.append(told),
        )
        assert [step for step, _ in heard] == list(range(41))
        assert [loss for _, loss in heard] == run.history.loss.tolist()


class TestEndings:
    """Divergence and interruption are results. Statuses measured over η = 1 … 10⁸: ERM and Cutout complete (their losses
    fall to 0 however large the step); CutMix oscillates from η = 100, but settles at 10³, and diverges from η = 10⁶."""

    @pytest.fixture
    def sample(self) -> ag.Dataset:
        figure = ag.presets.figure
        return figure.replace(num_samples=60, distribution=figure.distribution.replace(dim=400)).sample(0)

    @pytest.mark.parametrize("method", [ag.Erm(), ag.Cutout()], ids=lambda method: method.title)
    def test_huge_steps_do_not_hurt_separable_losses(self, sample, method):
        run = ag.train(sample, ag.Network(), method, step_size=1e8, num_steps=500, record_at=())
        assert (run.status, run.oscillating, run.num_steps) == ("completed", False, 500)
        assert run.history.loss[-1] == 0

    @pytest.mark.parametrize("step_size", [1e6, 1e8])
    def test_divergence_says_when_and_stops(self, sample, step_size):
        run = ag.train(sample, ag.Network(), ag.CutMix(), step_size=step_size, num_steps=2000, record_at=(0,))
        assert run.status == "diverged"
        assert run.num_steps == 100  # above from step 1 on, 100 steps in a row
        assert run.message.startswith("diverged: from step 1 on the loss stayed above 10 times its initial value 0.69")
        assert run.history.steps[-1] == 100
        assert np.isfinite(run.history.loss).all()

    @pytest.mark.parametrize("step_size", [1e2, 1e4, 1e5])
    def test_oscillation_is_said_and_is_not_divergence(self, sample, step_size):
        # At 10² the loss goes up and down by little; at 10⁴ and 10⁵ it falls for some twenty steps, then jumps several-fold.
        run = ag.train(sample, ag.Network(), ag.CutMix(), step_size=step_size, num_steps=1500, record_at=())
        assert (run.status, run.oscillating, run.num_steps) == ("completed", True, 1500)
        said = re.fullmatch(
            r"oscillating: the loss rose in ([\d,]+) of the last 1,000 steps, by over a tenth in ([\d,]+); .*",
            run.message,
        )
        assert said
        rises, jumps = (int(number.replace(",", "")) for number in said.groups())
        assert (rises > 250) == (step_size == 1e2)
        assert (jumps > 50) == (step_size > 1e2)

    def test_a_loss_above_its_start_is_said_even_where_nothing_oscillates(self, sample):
        state = descent.start(geometry(sample))
        state = state._replace(
            step=np.array(40), initial_loss=np.array(0.5), point=state.point._replace(loss=np.array(0.6))
        )
        status, message = descent.outcome(state, 40)
        assert status == "completed"
        assert message.startswith("completed 40 steps, at last with a loss of 0.6, above its initial 0.5;")

    @pytest.mark.usefixtures("without_accuracy")
    def test_a_short_run_counts_rises_over_its_own_length(self, sample):
        run = ag.train(sample, ag.Network(), ag.CutMix(), step_size=1e4, num_steps=50, record_at=range(51))
        rises = int((np.diff(run.history.loss) > 0).sum())
        assert run.message.startswith(f"oscillating: the loss rose in {rises} of the last 50 steps")

    @pytest.mark.usefixtures("without_accuracy")
    def test_small_steps_neither_rise_nor_oscillate(self, sample):
        run = ag.train(sample, ag.Network(), ag.CutMix(), step_size=1.0, num_steps=100, record_at=range(101))
        assert not run.oscillating
        assert (np.diff(run.history.loss) < 0).all()

    @each_method
    def test_what_is_not_finite_diverges_at_its_step(self, dataset, network, method):
        # NaN where a caller put it: step 0 already has no loss. Warnings are errors here, so measures must not warn.
        broken = ag.train(
            replace_weights(dataset, np.full((2, 20), np.nan)),
            network,
            method,
            step_size=1.0,
            num_steps=50,
            record_at=(10,),
        )
        assert (broken.status, broken.message) == ("diverged", "diverged: the loss was nan at step 0")
        assert broken.num_steps == 0
        assert np.isnan(broken.history.accuracy[-1])

    @pytest.mark.usefixtures("without_accuracy")
    @pytest.mark.parametrize("record_at", [(0, 50), (50,)], ids=["after a record", "before any record"])
    def test_interruption_keeps_what_was_recorded(self, dataset, network, record_at):
        def interrupt(step, loss):
            if step >= 5:
                raise KeyboardInterrupt

        run = ag.train(
            dataset, network, ag.Erm(), step_size=1.0, num_steps=100, record_at=record_at, progress=interrupt
        )
        assert run.status == "interrupted"
        assert run.message.startswith(f"interrupted at step {run.num_steps} of 100")
        assert set(run.history.steps) <= {0, run.num_steps}
        assert len(run.history.loss) == len(run.history.steps) >= (record_at[0] == 0)
        assert (np.diff(run.history.steps) > 0).all()

    @pytest.mark.usefixtures("without_accuracy")
    def test_interruption_returns_the_weights_of_its_step(self, dataset, network):
        def interrupt(step, loss):
            if step >= 5:
                raise KeyboardInterrupt

        run = ag.train(
            dataset, network, ag.Erm(), step_size=1.0, num_steps=100, record_at=range(101), progress=interrupt
        )
        again = ag.train(dataset, network, ag.Erm(), step_size=1.0, num_steps=max(run.num_steps, 1), record_at=())
        assert run.num_steps in (4, 5)  # the last record was at 4; step 5 was taken when the interruption came
        np.testing.assert_array_equal(run.weights, again.weights)


def replace_weights(dataset: ag.Dataset, weights: np.ndarray) -> ag.Dataset:
    return type(dataset)(
        **{**{field.name: getattr(dataset, field.name) for field in fields(dataset)}, "initial_weights": weights}
    )


class TestBadInput:
    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"step_size": 0.0}, "`step_size` must be above 0, got 0.0"),
            ({"step_size": -1.0}, "`step_size` must be above 0, got -1.0"),
            ({"step_size": float("inf")}, "`step_size` must be above 0, got inf"),
            ({"step_size": float("nan")}, "`step_size` must be above 0, got nan"),
            ({"step_size": "1"}, "`step_size` must be a number, got '1'"),
            ({"num_steps": 0}, "`num_steps` must be at least 1, got 0"),
            ({"num_steps": 2.5}, "`num_steps` must be a whole number, got 2.5"),
            ({"num_steps": True}, "`num_steps` must be a whole number, got True"),
            ({"method": "erm"}, "`method` must be a method such as augscope.Erm(), got 'erm'"),
            ({"record_at": (3, 2)}, "`record_at` must increase within 0 … num_steps = 10, got (3, 2)"),
            ({"record_at": (3, 3)}, "`record_at` must increase within 0 … num_steps = 10, got (3, 3)"),
            ({"record_at": (-1, 3)}, "`record_at` must increase within 0 … num_steps = 10, got (-1, 3)"),
            ({"record_at": (0, 11)}, "`record_at` must increase within 0 … num_steps = 10, got (0, 11)"),
            ({"record_at": (0.5, 1)}, "`record_at` must hold whole steps, got (0.5, 1)"),
            ({"method": ag.Cutout(num_cut=3)}, "`num_cut` must be in [1, P), got 3 with P = 3"),
        ],
    )
    def test_bad_arguments_are_refused_before_any_work(self, dataset, network, changes, sentence):
        arguments = {"method": ag.Erm(), "step_size": 1.0, "num_steps": 10, **changes}
        told: list[int] = []
        with pytest.raises(ValueError, match=re.escape(sentence)):
            ag.train(dataset, network, progress=lambda step, loss: told.append(step), **arguments)
        assert told == []
