"""Gradient flow: against descent with shrinking steps, against itself, against exact solutions, and every way it can end."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from math import expm1

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commands import thinned

import augscope as ag
from augscope.training import chebyshev_steps, loop
from augscope.training import flow as gradient_flow

METHODS = (ag.Erm(), ag.Cutout(), ag.CutMix())
each_method = pytest.mark.parametrize(
    "method", thinned(METHODS, lambda method: method == ag.CutMix()), ids=lambda method: method.title
)


pytestmark = pytest.mark.usefixtures("without_accuracy")


@pytest.fixture(scope="module")
def dataset(distribution) -> ag.Dataset:
    """Twelve points whose 24 noise vectors are independent, so that CutMix reaches its plateau; both labels, all features."""
    return ag.sample_dataset(
        jax.random.key(3), distribution.replace(dim=60), num_samples=12, init_std=0.1, coordinates="reduced"
    )


class TestSteps:
    """The integrator alone, on equations that can be solved by hand."""

    @staticmethod
    def step(rates, step: float, num_stages: int, position):
        """One step of dy/dt = −rates · y."""
        stages = chebyshev_steps.stages_of(num_stages)
        return chebyshev_steps.advance(
            lambda time, y: (-rates * y, time), (0.0, step), stages, position, -rates * position
        )

    @pytest.mark.parametrize("num_stages", [2, 3, 7, 40])
    def test_stable_where_promised(self, num_stages):
        # Every rate up to the limit that `stages_needed` allows for m stages; unstable ones grow by far more than 1.
        limit = ((num_stages - 1) ** 2 - 1) / 1.54
        assert chebyshev_steps.stages_needed(limit * 0.999) <= num_stages
        rates = jnp.linspace(0.0, limit, 500)
        end, there, _ = self.step(rates, 1.0, num_stages, jnp.ones(500))
        assert np.abs(end).max() <= 1 + 1e-12  # rate 0 stays at 1, up to rounding that grows like m²
        np.testing.assert_allclose(there, -rates * end, rtol=1e-14)

    def test_beyond_the_limit_it_is_not_stable(self):
        end, _, _ = self.step(jnp.asarray([80.0]), 1.0, 5, jnp.ones(1))  # 0.65 (5² − 1) = 15.7
        assert abs(float(end[0])) > 10

    @pytest.mark.parametrize("num_stages", [2, 5, 20])
    def test_second_order_and_its_error_estimate(self, num_stages):
        """y' = −y + t has y(t) = t − 1 + 2 e^{−t} from y(0) = 1: one step's error falls like h³."""

        def velocity(time, y):
            return -y + time, ()

        errors, estimates = [], []
        stages = chebyshev_steps.stages_of(num_stages)
        for step in (0.1, 0.05, 0.025):
            before = (jnp.ones(()), -jnp.ones(()))
            end, there, _ = chebyshev_steps.advance(velocity, (0.0, step), stages, *before)
            errors.append(float(end) - (step - 1 + 2 * np.exp(-step)))
            estimates.append(float(chebyshev_steps.error_estimate(step, before, (end, there))))
        # Halving the step divides the error by 8, up to terms of relative size h ≤ 0.1.
        ratios = np.array(errors[:-1]) / errors[1:]
        np.testing.assert_allclose(ratios, 8, rtol=0.1)
        # The estimate is of the same order, and not below the error; it was built to be 1 to some 4 times as large.
        assert ((np.abs(estimates) > 0.9 * np.abs(errors)) & (np.abs(estimates) < 10 * np.abs(errors))).all()

    def test_interpolation_is_exact_on_cubics(self):
        times = np.array([0.0, 0.3, 1.0])
        values, slopes = times**3 - 2 * times + 1, 3 * times**2 - 2
        before, after = ((values[k], slopes[k]) for k in (0, 2))
        assert chebyshev_steps.interpolate(0.3, 1.0, before, after) == pytest.approx(values[1], abs=1e-15)

    def test_step_sizes_follow_errors(self):
        assert chebyshev_steps.next_step(1.0, 0.125, None) == pytest.approx(1.6)  # 0.8 · (1/8)^(−1/3)
        assert chebyshev_steps.next_step(1.0, 8.0, (1.0, 1.0)) == pytest.approx(0.4)  # rejected
        assert chebyshev_steps.next_step(1.0, 0.0, None) == 10.0
        assert chebyshev_steps.next_step(1.0, 1e9, None) == 0.1
        # Errors grew by 8 at equal steps: they are expected to do so again.
        assert chebyshev_steps.next_step(1.0, 1.0, (1.0, 0.125)) == pytest.approx(0.4)


class TestAgainstDescent:
    @each_method
    def test_descent_approaches_the_flow_linearly_in_its_step_size(self, dataset, network, method):
        until = 16.0
        flow = ag.flow(
            dataset, network, method, until=until, record_at=(), relative_tolerance=1e-7, absolute_tolerance=1e-8
        )
        sizes = np.array([1 / 8, 1 / 16, 1 / 32])
        distances = np.array(
            [
                np.linalg.norm(
                    ag.train(
                        dataset, network, method, step_size=float(size), num_steps=int(until / size), record_at=()
                    ).weights
                    - flow.weights
                )
                for size in sizes
            ]
        )
        # Euler's error is c η + O(η²), so halving η halves it; measured: ratios of 1.9996 to 2.0039, where the flow's own error,
        # 4e-6 by comparison with a tenfold tolerance, makes up the rest. A wrong flow would leave distances that stop falling.
        ratios = distances[:-1] / distances[1:]
        assert distances[-1] > 4e-4
        np.testing.assert_allclose(ratios, 2, rtol=0.01)
        moved = np.linalg.norm(flow.weights - np.asarray(dataset.initial_weights))
        assert distances[-1] < 0.01 * moved

    @each_method
    def test_richardson_extrapolated_descent_is_the_flow(self, dataset, network, method):
        until = 8.0
        flow = ag.flow(
            dataset, network, method, until=until, record_at=(), relative_tolerance=1e-7, absolute_tolerance=1e-8
        )
        coarse, fine = (
            ag.train(dataset, network, method, step_size=size, num_steps=int(until / size), record_at=()).weights
            for size in (1 / 256, 1 / 512)
        )
        # Twice the fine minus the coarse cancels the error's first order: some (1/256)² · (0.1 … 1) is left.
        np.testing.assert_allclose(2 * fine - coarse, flow.weights, rtol=0, atol=2e-5)
        assert np.abs(fine - flow.weights).max() > 2e-5  # the cancellation is what made it so


class TestItself:
    @each_method
    def test_two_tolerances_agree(self, dataset, network, method):
        times = np.geomspace(0.1, 1e8, 30)
        loose, tight = (
            ag.flow(
                dataset,
                network,
                method,
                until=1e8,
                record_at=times,
                relative_tolerance=tolerance,
                absolute_tolerance=0.1 * tolerance,
            ).history
            for tolerance in (1e-5, 1e-7)
        )
        # The loose one takes about 600 steps with errors of at most 1e-5; along the flow they do not grow, so some 1e-4 to 1e-3
        # is the most that can add up.
        np.testing.assert_allclose(loose.feature_projections, tight.feature_projections, rtol=0, atol=1e-3)
        np.testing.assert_allclose(loose.margin, tight.margin, rtol=0, atol=1e-3)
        np.testing.assert_allclose(loose.loss, tight.loss, rtol=1e-3)

    @each_method
    def test_recording_does_not_disturb(self, dataset, network, method):
        often, once = (
            ag.flow(dataset, network, method, until=1e3, record_at=times) for times in (np.linspace(0, 1e3, 21), ())
        )
        np.testing.assert_array_equal(often.weights, once.weights)
        assert often.history.loss[-1] == once.history.loss[-1]
        assert (often.history.steps.tolist(), once.history.steps.tolist()) == (np.linspace(0, 1e3, 21).tolist(), [1e3])

    @each_method
    def test_records_between_steps_lie_on_the_flow(self, dataset, network, method):
        # A flow that ends at t has its last step end there; a longer one interpolates.
        times = (0.7, 5.0, 31.0)
        tolerances = {"relative_tolerance": 1e-7, "absolute_tolerance": 1e-8}
        through = ag.flow(dataset, network, method, until=100.0, record_at=times, **tolerances).history
        for index, time in enumerate(times):
            ending = ag.flow(dataset, network, method, until=time, record_at=(), **tolerances).history
            np.testing.assert_allclose(through.feature_projections[index], ending.feature_projections[-1], atol=1e-5)
            np.testing.assert_allclose(through.gradient_norm[index], ending.gradient_norm[-1], rtol=1e-4)

    @each_method
    def test_the_loss_falls_by_the_squared_gradient_norm(self, dataset, network, method):
        """d loss/dt = −‖∇L‖², integrated over each interval between records by Simpson's rule."""
        times = np.geomspace(0.05, 50.0, 1201)
        history = ag.flow(
            dataset, network, method, until=50.0, record_at=times, relative_tolerance=1e-7, absolute_tolerance=1e-8
        ).history
        # In s = log t, dL/ds = −t ‖∇L‖². Intervals pair up around a middle record, h = 0.006 wide in s. Where a patch crosses a
        # bend of φ the integrand has a kink, and Simpson's rule errs by up to h²/6 times the change of slope: 6e-6 was seen at
        # h = 0.017, so 7e-7 is expected here; smooth intervals err by far less. 1e-5 of the total fall (0.5) is above both.
        power = history.steps * history.gradient_norm**2
        width = np.log(times[1] / times[0])
        falls = width / 3 * (power[:-2:2] + 4 * power[1:-1:2] + power[2::2])
        np.testing.assert_allclose(
            history.loss[:-2:2] - history.loss[2::2], falls, rtol=0, atol=1e-5 * (history.loss[0] - history.loss[-1])
        )
        assert (np.diff(history.loss) < 0).all()


class TestVeryLongTimes:
    @pytest.mark.parametrize("method", METHODS[:2], ids=lambda method: method.title)
    def test_separable_losses_fall_like_one_over_t(self, dataset, network, method):
        run = ag.flow(dataset, network, method, until=1e12, record_at=(1e8, 1e10))
        assert (run.status, run.stationary_from, run.reached) == ("completed", None, 1e12)
        assert re.fullmatch(r"completed, to t = 1e\+12 in [\d,]+ solver steps", run.message)
        # Margins grow by log 100 per factor 100 of time where φ is linear, so t × loss settles, slowly: measured within 0.6 %
        # over the last factor 100, while it was still 28 % off for Cutout at 1e8.
        times_loss = run.history.steps * run.history.loss
        np.testing.assert_allclose(times_loss[1] / times_loss[2], 1, rtol=0.02)
        assert 0.001 < run.history.loss[-1] * 1e12 < 1000
        assert run.num_evaluations < 30_000  # not stiff: measured at 5,000 to 10,000

    def test_cutmix_is_held_where_it_is_stationary(self, dataset, network):
        run = ag.flow(dataset, network, ag.CutMix(), until=1e12)
        assert run.status == "completed"
        assert run.stationary_from is not None
        assert run.message.startswith(f"stationary from t = {run.stationary_from:.4g} on and held until 1e+12")
        history = run.history
        held = history.steps >= run.stationary_from
        assert 10 < held.sum() < len(held)
        assert (np.ptp(history.feature_projections[held], axis=0) == 0).all()
        # At the least loss that any scores can have, so no saddle point, and at the predicted plateau. The bound on what
        # could still move is 1e-9 in the weights; scores multiply it by vectors of length about 2.
        assert abs(history.excess_loss[-1]) < 1e-12
        np.testing.assert_allclose(history.plateau[-1], run.predicted_plateau, atol=1e-7)
        # Descent, continued from the held weights, agrees that nothing moves any more.
        after = ag.train(
            replace(dataset, initial_weights=run.weights), network, ag.CutMix(), step_size=1.0, num_steps=5000
        )
        assert np.abs(after.weights - run.weights).max() < 1e-8
        assert run.num_evaluations < 60_000


class TestEndings:
    def test_the_run_remembers_what_it_was(self, dataset, network):
        run = ag.flow(dataset, network, ag.Cutout(num_cut=2), until=3.0)
        assert (run.dataset, run.network, run.method) == (dataset, network, ag.Cutout(num_cut=2))
        assert (run.step_size, run.until, run.reached, run.oscillating) == (0.0, 3.0, 3.0, False)
        assert run.seconds > 0
        assert 0 < run.num_steps < run.num_evaluations
        assert run.history.steps.tolist() == list(gradient_flow.default_record_times(3.0))

    @pytest.mark.parametrize("until", [1e-3, 0.1, 0.11, 1.0, 1e12])
    def test_default_times(self, until):
        times = np.array(gradient_flow.default_record_times(until))
        assert (times[0], times[-1]) == (0, until)
        assert (np.diff(times) > 0).all()
        if len(times) > 3:
            np.testing.assert_allclose(times[2:] / times[1:-1], 10 ** (1 / 8), rtol=0.1)

    def test_progress_is_told_of_times_and_losses(self, monkeypatch, dataset, network):
        monkeypatch.setattr(loop, "CHUNK_SECONDS", 0.0)
        heard: list[tuple[float, float]] = []
        run = ag.flow(dataset, network, ag.Erm(), until=5.0, progress=lambda *told: heard.append(told))
        times, losses = np.array(heard).T
        assert len(times) == run.num_steps
        assert (np.diff(times) > 0).all()
        assert (np.diff(losses) < 0).all()
        assert times[-1] == pytest.approx(5.0)

    def test_interruption_keeps_what_was_recorded(self, monkeypatch, dataset, network):
        monkeypatch.setattr(loop, "CHUNK_SECONDS", 0.0)

        def interrupt(time, loss):
            if time > 2.0:
                raise KeyboardInterrupt

        run = ag.flow(dataset, network, ag.Erm(), until=1e6, record_at=(0.0, 1.0, 10.0), progress=interrupt)
        assert run.status == "interrupted"
        assert run.message.startswith(f"interrupted at t = {run.reached:.4g} of 1e+06")
        assert run.history.steps.tolist() == [0.0, 1.0, run.reached]
        assert 2.0 < run.reached < 10.0
        again = ag.flow(dataset, network, ag.Erm(), until=run.reached, record_at=())
        np.testing.assert_allclose(run.weights, again.weights, atol=1e-5)

    def test_a_spent_budget_is_a_result(self, dataset, network):
        run = ag.flow(dataset, network, ag.Erm(), until=1e6, record_at=(0.0, 1e5), max_evaluations=500)
        assert run.status == "unfinished"
        assert run.num_evaluations <= 530  # records may evaluate a few more
        assert run.message == (
            f"unfinished: the solver stopped at t = {run.reached:.4g} of 1e+06 "
            f"after {run.num_evaluations:,} of at most 500 gradients"
        )
        assert run.history.steps.tolist() == [0.0, run.reached]
        assert run.reached < 1e5

    def test_steps_that_shrink_to_nothing_are_a_result(self, monkeypatch, distribution, network):
        # An error that no step size mends, as rounding would be: the real estimate, plus a constant. No other test has this
        # size, so that the step is traced with it, and by nobody else.
        dataset = ag.sample_dataset(jax.random.key(3), distribution, num_samples=11, init_std=0.1)
        real = chebyshev_steps.error_estimate
        monkeypatch.setattr(
            chebyshev_steps, "error_estimate", lambda *told: jax.tree.map(lambda error: error + 1.0, real(*told))
        )
        run = ag.flow(dataset, network, ag.Erm(), until=1.0)
        assert run.status == "unfinished"
        assert run.message.endswith("the tolerances cannot be met")
        assert run.num_evaluations < 200

    @each_method
    def test_what_is_not_finite_diverges_at_once(self, dataset, network, method):
        broken = replace(dataset, initial_weights=jnp.full_like(dataset.initial_weights, jnp.nan))
        run = ag.flow(broken, network, method, until=10.0)
        assert (run.status, run.message) == ("diverged", "diverged: the loss was nan at t = 0")
        assert run.history.steps.tolist() == [0.0]


class TestBadInput:
    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"until": 0.0}, "`until` must be above 0, got 0.0"),
            ({"until": -1.0}, "`until` must be above 0, got -1.0"),
            ({"until": float("nan")}, "`until` must be above 0, got nan"),
            ({"until": float("inf")}, "`until` must be above 0, got inf"),
            ({"relative_tolerance": 0.0}, "`relative_tolerance` must be in [1e-9, 1e-2], got 0.0"),
            ({"relative_tolerance": 1e-12}, "`relative_tolerance` must be in [1e-9, 1e-2], got 1e-12"),
            ({"relative_tolerance": float("nan")}, "`relative_tolerance` must be in [1e-9, 1e-2], got nan"),
            ({"absolute_tolerance": 0.0}, "`absolute_tolerance` must be above 0, got 0.0"),
            ({"absolute_tolerance": float("nan")}, "`absolute_tolerance` must be above 0, got nan"),
            ({"max_evaluations": 0}, "`max_evaluations` must be at least 1, got 0"),
            ({"record_at": (3, 2)}, "`record_at` must increase within 0 … until = 10, got (3.0, 2.0)"),
            ({"record_at": (2, 2)}, "`record_at` must increase within 0 … until = 10, got (2.0, 2.0)"),
            ({"record_at": (-1,)}, "`record_at` must increase within 0 … until = 10, got (-1.0,)"),
            ({"record_at": (11,)}, "`record_at` must increase within 0 … until = 10, got (11.0,)"),
            ({"record_at": (float("nan"),)}, "`record_at` must increase within 0 … until = 10, got (nan,)"),
            ({"method": ag.Cutout(num_cut=3)}, "`num_cut` must be in [1, P), got 3 with P = 3"),
        ],
    )
    def test_bad_arguments_are_refused_before_any_work(self, dataset, network, changes, sentence):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            ag.flow(dataset, network, **{"method": ag.Erm(), "until": 10.0, **changes})

    def test_float32_is_refused(self, dataset, network):
        single = replace(
            dataset, **{field.name: single_precision(getattr(dataset, field.name)) for field in fields(dataset)}
        )
        with pytest.raises(ValueError, match="`dataset` must be in float64 for a flow, got float32"):
            ag.flow(single, network, ag.Erm(), until=1.0)


def single_precision(value):
    return value.astype("float32") if getattr(value, "dtype", None) == np.float64 else value


def test_the_module_does_not_hide_the_function():
    assert ag.flow is gradient_flow.flow
    assert callable(ag.flow)
    assert expm1(np.log1p(1e12)) == pytest.approx(1e12, rel=1e-13)  # times survive the change of variable
