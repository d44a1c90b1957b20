"""augscope as a Python library: what a reader of a notebook expects of its values."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from commands import run_code, run_here
from verdict_cases import CUTOUT, ERM, TERMS, made_run

import augscope as ag
from augscope.support.kept_file import KeptFile
from augscope.theorems.statements import Terms
from augscope.theorems.verification import judge_runs
from augscope.training.seed_run import SeedRun


def test_the_practice_is_loaded_on_first_use():
    code = (
        "import sys, augscope as ag\n"
        "assert not {'jax', 'torch', 'numpy', 'augscope.laws', 'augscope.images'} & set(sys.modules)\n"
        "assert ag.laws.BoxLaw and ag.images.__name__ == 'augscope.images'\n"
        "assert 'torch' not in sys.modules and {'images', 'laws'} <= set(dir(ag))"
    )
    done = run_code(code)
    assert done.returncode == 0, done.stderr


def test_cutout_takes_its_one_number_by_position():
    assert ag.Cutout(2) == ag.Cutout(num_cut=2)
    assert ag.Cutout(2).replace(num_cut=1) == ag.Cutout()
    with pytest.raises(ValueError, match="`num_cut` must be in"):
        ag.Cutout(0)


@pytest.mark.parametrize(("name", "value", "part"), [("dim", 400, "distribution"), ("smoothing", 0.5, "network")])
def test_replacing_a_field_of_a_part_says_where_it_lives(name, value, part):
    experiment = ag.presets.theorem
    with pytest.raises(ValueError, match=f"`{name}` is a field of the {part}") as refused:
        experiment.replace(**{name: value})
    changed = eval(str(refused.value).partition(": ")[2])  # what the sentence says to write works
    assert getattr(getattr(changed, part), name) == value


@pytest.fixture(scope="module")
def experiment() -> ag.Experiment:
    theorem = ag.presets.theorem
    two_features = theorem.distribution.replace(frequencies=(0.6, 0.4), rarity=("common", "rare"))
    return theorem.replace(distribution=two_features, num_samples=24, num_steps=4, methods=(ag.Erm(), ag.Cutout()))


@pytest.fixture(scope="module")
def run(experiment) -> ag.Run:
    return experiment.run(ag.Erm(), experiment.sample(0))


@pytest.fixture(scope="module")
def verdict() -> ag.Verdict:
    runs = [made_run(method, seed) for seed in range(2) for method in (ERM, CUTOUT)]
    return judge_runs(TERMS, (0, 1), runs, interrupted=False, seconds=0.0)


def test_results_show_themselves_in_a_few_lines(run, verdict):
    for value in (run, run.history, run.dataset, verdict, verdict.runs, verdict.theorems):
        assert len(repr(value)) < 1500
        assert "array(" not in repr(value)
    assert repr(run).startswith("Run: ERM, ")
    assert "Theorem 3.1: inconclusive, true in 2 of 2 samples" in repr(verdict)
    assert repr(as_flow(run)).startswith("FlowRun: ERM, ")


def test_notebooks_show_tables(run, verdict):
    assert "<td>feature_scores</td>" in run._repr_html_()
    assert "<td>3.1 ERM learns the common features only</td>" in verdict._repr_html_()
    assert "&lt;w_s" not in run._repr_html_()  # twelve numbers a record are too many for a cell


def test_a_history_as_a_data_frame(run):
    history, frame = run.history, run.history.to_pandas()
    assert frame.index.tolist() == history.steps.tolist()
    np.testing.assert_array_equal(frame["loss"], history.loss)
    np.testing.assert_array_equal(frame["feature_scores[1, 0]"], history.feature_scores[:, 1, 0])
    np.testing.assert_array_equal(frame["noise_memorised[0, 1, 1]"], history.noise_memorised[:, 0, 1, 1])


def test_a_verdict_as_a_data_frame(verdict):
    frame = verdict.to_pandas()
    assert set(frame["seed"]) == {0, 1}
    assert {"Theorem 3.1", "Theorem 3.2"} <= set(frame["claim"])
    (line,) = [line for line in verdict.theorems[0].lines if line.text == "overall"]
    overall = frame[(frame["claim"] == "Theorem 3.1") & (frame["condition"] == "test accuracy overall")]
    assert overall["value"].mean() == pytest.approx(line.measured, rel=1e-15)


def test_a_missing_pandas_is_a_sentence(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ValueError, match="pip install pandas"):
        run.history.to_pandas()


@pytest.fixture
def plt():
    """Matplotlib's pyplot without a screen; its figures are closed after the test."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


def test_plots_take_axes_and_return_them(run, verdict, plt):
    given = plt.figure().subplots(2, 1)
    assert [*run.plot(given).flat] == [*given]
    curve = given[0].lines[0].get_ydata()
    np.testing.assert_array_equal(curve, run.history.feature_scores[:, :, 0].mean(axis=1))
    made = verdict.plot()
    assert made.shape == (2, 2)
    assert [axis.get_title() for axis in made[0]] == ["ERM", "Cutout"]
    with pytest.raises(ValueError, match=r"`axes` must be 2 × 2 of matplotlib's axes, got 2"):
        verdict.plot(given)


def test_a_run_without_a_stated_rarity_names_its_features(run, plt):
    unstated = run.dataset.distribution.replace(rarity=None)
    axes = replace(run, dataset=replace(run.dataset, distribution=unstated)).plot()
    assert axes[0, 0].get_legend_handles_labels()[1] == ["feature 1, ρ = 0.6", "feature 2, ρ = 0.4"]


def test_many_seeds_and_their_report(experiment, tmp_path, plt):
    erm = experiment.replace(methods=(ag.Erm(),))
    results = ag.train_seeds(erm, seeds=[3, 5])
    assert [run.seed for run in results.runs] == [3, 5]
    assert repr(results).startswith("Results of 2 runs\n  SeedRun: ERM, seed 3, ")
    assert results.plot().shape == (2, 1)
    paths = ag.write_report(results, tmp_path / "out")
    assert {path.name for path in paths} == {path.name for path in (tmp_path / "out").iterdir()}
    assert "augscope train --config config.toml --seeds 3,5" in (tmp_path / "out" / "report.html").read_text()
    with pytest.raises(ValueError, match="another configuration's run"):
        ag.write_report(replace(results, experiment=erm.replace(step_size=0.5)), tmp_path / "out")


def test_a_verdict_has_the_commands_report(experiment, run, tmp_path):
    erm = experiment.replace(methods=(ag.Erm(),))
    verdict = judge_runs(Terms(erm), (0,), [SeedRun.of(0, run)], interrupted=False, seconds=0.0)
    ag.write_report(verdict, tmp_path)
    again = "augscope verify --config config.toml --seeds 1 --tolerance 0.01 --rarity-tolerance 0.1"
    assert again in (tmp_path / "report.html").read_text()
    assert run_here("report", tmp_path).returncode == verdict.exit_status


def as_flow(run: ag.Run) -> ag.FlowRun:
    return ag.FlowRun(**vars(run), until=4.0, reached=4.0, num_evaluations=9, stationary_from=None)


@pytest.mark.parametrize("kind", ["run", "flow", "limit"])
def test_a_saved_run_comes_back_whole(kind, run, tmp_path):
    saved = {"run": run, "flow": as_flow(run), "limit": replace(run, dataset=run.dataset.limit())}[kind]
    if kind == "limit":
        saved = replace(saved, weights=saved.dataset.initial_weights)
    saved.save(tmp_path / "run.npz")
    read = ag.load(tmp_path / "run.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]
    assert type(read) is type(saved)
    for name in ("method", "network", "status", "message", "seconds", "step_size", "num_steps", "oscillating"):
        assert getattr(read, name) == getattr(saved, name)
    for whole in ("history", "dataset"):
        for name, value in vars(getattr(saved, whole)).items():
            np.testing.assert_array_equal(getattr(getattr(read, whole), name), value)
    np.testing.assert_array_equal(read.weights, saved.weights)
    if kind == "run":
        again = ag.train(read.dataset, read.network, read.method, step_size=read.step_size, num_steps=read.num_steps)
        np.testing.assert_array_equal(again.weights, read.weights)


def test_bad_files_are_a_sentence(run, tmp_path):
    file = tmp_path / "run.npz"
    run.save(file)
    whole = file.read_bytes()
    for content in (b"", b"no archive", whole[:-200], whole[: len(whole) // 2]):
        file.write_bytes(content)
        with pytest.raises(ValueError, match="`path` must be a whole checkpoint file, got"):
            ag.load(file)
    with pytest.raises(ValueError, match="`path` must be a file that `save` wrote, got"):
        ag.load(tmp_path / "nowhere.npz")
    with pytest.raises(ValueError, match="`folder` must hold a run's record"):
        ag.load(tmp_path)
    KeptFile(file, {"experiment": 1}, {}).save({"weights": np.zeros(2)})
    with pytest.raises(ValueError, match="a checkpoint of something else"):
        ag.load(file)
    with pytest.raises(ValueError, match="`path` could not be written"):
        run.save(tmp_path / "run.npz" / "below.npz")


def test_a_files_own_pieces_are_imported_on_trust_alone(run, tmp_path):
    class Exponential(ag.Method):
        pass

    Exponential.__qualname__, Exponential.__module__ = "Exponential", "nowhere"
    replace(run, method=Exponential()).save(tmp_path / "run.npz")
    with pytest.raises(ValueError, match="names nowhere:Exponential to import, which runs code: `trust` must be given"):
        ag.load(tmp_path / "run.npz")
