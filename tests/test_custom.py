"""Methods and activations of one's own: exact against brute force, and usable wherever the built-in ones are."""

from __future__ import annotations

import json
import math
import runpy
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from commands import run_here
from scipy.special import ndtr

import augscope as ag
from augscope.accuracy.exact import accuracy_from_projections
from augscope.model.methods import read_method
from augscope.model.network import read_network
from augscope.support.naming import import_named
from augscope.sweep.grid import Sweep
from augscope.training.seeds import run_seeds

EXAMPLES = Path(__file__).parents[1] / "examples"
SCORES = np.random.default_rng(0).normal(size=(6, 3))
TINY_RUN = ("--num-steps", "2", "--num-samples", "6", "--dim", "20")
LABELS = np.array([1, -1, -1, 1, 1, -1])


class Mixed(ag.SubsetMethod):
    """A lopsided law and label weights that are not |S|/P: which patch it is matters."""

    def probabilities(self, members):
        return np.where(members, [0.2, 0.5, 0.9], [0.8, 0.5, 0.1]).prod(axis=1)

    def label_weights(self, members):
        return (members @ np.array([1.0, 2.0, 4.0]) / 7) ** 2


class Cut(Mixed):
    """The same law without mixing."""

    def label_weights(self, members):
        return None


class CutMixAgain(ag.SubsetMethod):
    """CutMix, said as a law."""

    def probabilities(self, members):
        num_patches = members.shape[1]
        return np.array([1 / ((num_patches + 1) * math.comb(num_patches, size)) for size in members.sum(axis=1)])

    def label_weights(self, members):
        return members.mean(axis=1)


class Wrong(ag.SubsetMethod):
    """A law that sums to 2, or weights above 1."""

    what: str = "law"

    def probabilities(self, members):
        return np.full(len(members), (2 if self.what == "law" else 1) / len(members))

    def label_weights(self, members):
        return np.full(len(members), 1.5)


class Leaky(ag.CustomNetwork):
    """The built-in φ, said as one's own."""

    beta: float = 0.1
    r: float = 0.7

    def activation(self, z):
        bent = jnp.clip(z, 0, self.r)
        return self.beta * z + (1 - self.beta) * (bent**2 / (2 * self.r) + jnp.maximum(z - self.r, 0))


def squared(scores, labels):
    return ((1 - labels * scores.sum(axis=1)) ** 2).mean()


def soft(z):
    return 0.1 * z + 0.9 * (jnp.logaddexp(z, 0.0) - jnp.log(2.0))


def _brute_force(mixing: bool) -> tuple[float, np.ndarray]:
    n, terms = len(SCORES), []
    for chosen in oracle.subsets(3):
        probability = math.prod(p if k in chosen else 1 - p for k, p in enumerate((0.2, 0.5, 0.9)))
        weight = (sum((1, 2, 4)[k] for k in chosen) / 7) ** 2
        for i in range(n):
            if not mixing:
                terms.append((probability / n, LABELS[i], [(i, p) for p in chosen]))
                continue
            for j in range(n):
                mixed = [(i if p in chosen else j, p) for p in range(3)]
                terms.append((probability * weight / n**2, LABELS[i], mixed))
                terms.append((probability * (1 - weight) / n**2, LABELS[j], mixed))
    return oracle.loss_and_gradient(SCORES, terms)


@pytest.mark.parametrize("method", [Mixed(), Cut()], ids=["mixed", "cut"])
def test_a_subset_law_agrees_with_brute_force(method):
    value, gradient = method.loss_and_gradient(SCORES, LABELS)
    expected, slopes = _brute_force(mixing=isinstance(method, Mixed) and not isinstance(method, Cut))
    assert float(value) == pytest.approx(expected, rel=1e-12)  # a sum of some 600 terms in float64
    np.testing.assert_allclose(gradient, slopes, atol=1e-13)


def test_the_law_of_cutmix_is_cutmix_with_interpolated_pairs():
    rng = np.random.default_rng(1)
    scores, labels = rng.normal(size=(90, 4)), rng.choice([-1, 1], 90)  # 90 points: interpolated, not summed one by one
    ours, theirs = CutMixAgain().loss_and_gradient(scores, labels), ag.CutMix().loss_and_gradient(scores, labels)
    assert float(ours[0]) == pytest.approx(float(theirs[0]), rel=1e-11)  # each is within 1e-12 of the sum
    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-12)


def test_augmented_margins_are_the_least_over_subsets_that_occur():
    expected = [min(LABELS[i] * sum(SCORES[i, list(s)]) for s in oracle.subsets(3)) for i in range(6)]
    np.testing.assert_allclose(Cut().augmented_margins(SCORES, LABELS), expected, atol=1e-14)
    assert np.isnan(Mixed().augmented_margins(SCORES, LABELS)).all()


def test_a_plateau_of_ones_own_is_measured_against(distribution, network):
    class Square(ag.Method):
        def raw_loss(self, scores, labels):
            return ((labels[:, None] * scores - 2) ** 2).mean() + 3

        def plateau(self, num_patches, positive_share):
            return 2.0, 2.0, 3.0

    dataset = ag.sample_dataset(jax.random.key(0), distribution, num_samples=5, init_std=0.1)
    for method, plateau, least in ((Square(), 2, 3), (ag.FunctionMethod(function=squared), np.nan, np.nan)):
        run = ag.train(dataset, network, method, step_size=0.1, num_steps=2)
        np.testing.assert_array_equal(run.predicted_plateau, [plateau, plateau])
        np.testing.assert_array_equal(run.history.excess_loss, run.history.loss - least)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Wrong().loss(SCORES, LABELS), "`probabilities` of Wrong must be at least 0 and sum to 1"),
        (lambda: Wrong(what="weights").loss(SCORES, LABELS), r"`label_weights` of Wrong must be in \[0, 1\]"),
        (lambda: Mixed().check_num_patches(13), "`num_patches` must be at most 12 for a descent over subsets, got 13"),
        (lambda: ag.FunctionMethod(function=lambda a, y: a).loss(SCORES, LABELS), "must return a scalar"),
        (
            lambda: read_method("hinge"),
            "`methods` must be among erm, cutout, cutmix, mixup, label_smoothing, or module:Name or file.py:Name",
        ),
        (lambda: read_method("json:nothing"), "`methods` could not be imported, got 'json:nothing'"),
        (lambda: read_method("no_such_module:f"), "`methods` could not be imported, got 'no_such_module:f'"),
        (lambda: read_method("json:JSONDecoder"), "`methods` must name a subclass of augscope.Method"),
        (lambda: read_network("json:JSONDecoder"), "`network` must name a subclass of augscope.CustomNetwork"),
        (lambda: read_network("json"), "`network` must read module:Name or file.py:Name, got 'json'"),
        (lambda: ag.FunctionNetwork(function=lambda z: z + 1), "must be 0 at 0"),
        (lambda: ag.FunctionNetwork(function=lambda z: z * z), "must increase everywhere"),
        (
            lambda: ag.presets.theorem.replace(methods=(ag.FunctionMethod(function=lambda a, y: 0.0),)).identity,
            "`function` must be at the top level of a module",
        ),
    ],
)
def test_bad_pieces_are_refused_in_a_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_pieces_survive_writing_down():
    methods = (Mixed(), ag.FunctionMethod(function=squared), ag.Cutout(num_cut=1))
    experiment = ag.presets.theorem.replace(methods=methods, network=Leaky(beta=0.2))
    again = ag.Experiment(**json.loads(experiment.canonical))
    assert again == experiment
    assert again.identity == experiment.identity != experiment.replace(network=Leaky(beta=0.3)).identity
    assert '"network":{"beta":0.2,"name":"test_custom:Leaky","r":0.7}' in experiment.canonical
    assert [method["name"] for method in json.loads(experiment.canonical)["methods"]] == [
        "test_custom:Mixed",
        "test_custom:squared",
        "cutout",
    ]


def test_identities_of_built_in_pieces_are_as_they_were_before_there_were_others():
    assert '{"algorithm":"enumerate","name":"cutout","num_cut":1}' in ag.presets.theorem.canonical
    assert '"network":{"negative_slope":0.1,"smoothing":1.0}' in ag.presets.theorem.canonical


CASES = {"general": None, "opposite": -1.0, "parallel": 0.7, "none": 0.0}


@pytest.mark.parametrize("num_patches", [2, 4])
@pytest.mark.parametrize("case", CASES)
def test_exact_accuracy_of_an_activation_of_ones_own(case, num_patches):
    """The built-in φ, tabulated, has the accuracy that its formulas give, within both stated bounds."""
    rng = np.random.default_rng(3)
    weights, projections = rng.normal(size=(2, 4)), rng.normal(size=(2, 2, 2))
    if CASES[case] is not None:
        weights[1] = CASES[case] * weights[0]
    distribution = ag.FeatureNoise(
        dim=50,
        num_patches=num_patches,
        frequencies=(0.7, 0.3),
        feature_noise=0.2,
        dominant_noise_std=0.5,
        background_noise_std=0.3,
    )
    known = accuracy_from_projections(projections, weights @ weights.T, distribution, ag.Network(smoothing=0.7))
    found = accuracy_from_projections(projections, weights @ weights.T, distribution, Leaky())
    assert np.abs(found.per_feature - known.per_feature).max() <= found.error_estimate + known.error_estimate
    assert found.error_bound == math.inf
    # Set by the bend at r, which the table rounds off; and on a line by the score's turning points, where the density is infinite.
    assert found.error_estimate < (1e-3 if case == "parallel" else 1e-5)


def test_exact_accuracy_of_a_smooth_activation_against_samples():
    """A million draws: 5 standard errors, exceeded with probability 6e-7 in each of 4 entries."""
    network = ag.FunctionNetwork(function=soft)
    rng = np.random.default_rng(4)
    weights, projections = rng.normal(size=(2, 4)), rng.normal(size=(2, 2, 2))
    distribution = ag.FeatureNoise(
        dim=50,
        num_patches=3,
        frequencies=(0.7, 0.3),
        feature_noise=0.3,
        dominant_noise_std=0.8,
        background_noise_std=0.4,
    )
    found = accuracy_from_projections(projections, weights @ weights.T, distribution, network)
    assert found.error_estimate < 1e-8
    draws = 1_000_000
    noise = weights @ rng.normal(size=(2, 4, draws))  # (patch, filter, draws)
    hidden = 0.3 * projections[:, :, 0][:, rng.integers(2, size=draws)]
    patches = np.stack([hidden + 0.8 * noise[0], 0.4 * noise[1]])
    values = np.asarray(soft(patches))
    total = (values[:, 0] - values[:, 1]).sum(axis=0)
    for label in (0, 1):
        for feature in (0, 1):
            own = np.asarray(soft(projections[:, label, feature]))
            share = ((own[0] - own[1] + total > 0) == (label == 0)).mean()
            exact = found.per_feature[label, feature]
            assert abs(share - exact) < 5 * math.sqrt(exact * (1 - exact) / draws) + 1e-9


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_a_kink_that_the_network_names_costs_nothing(share):
    """A kink anywhere in a cell of the table: with its place given, the accuracy is that of the built-in φ with the same kink."""

    class Kinked(ag.CustomNetwork):
        kink: float

        def activation(self, z):
            return jnp.where(z > self.kink, z - 0.9 * self.kink, 0.1 * z)

        def kinks(self):
            return (self.kink,)

    distribution = ag.FeatureNoise(dim=50, num_patches=2, frequencies=(1.0,), feature_noise=0.0, dominant_noise_std=0.5,
                                   background_noise_std=0.3)  # fmt: skip
    kink = 14 * 0.5 / 4096 * (100 + share)
    answer = accuracy_from_projections(
        np.array([[[0.4], [0.0]], [[0.0], [0.3]]]), np.eye(2), distribution, Kinked(kink=kink)
    )
    # Given the second coordinate b, φ(a) − φ(b) > −φ(0.4) is a condition on a: a normal cdf, summed over b on a fine grid.
    z, step = np.linspace(-4.5, 4.5, 2_000_001, retstep=True)
    value = np.where(z > kink, z - 0.9 * kink, 0.1 * z) - (0.4 - 0.9 * kink)
    threshold = np.where(value > 0.1 * kink, value + 0.9 * kink, value / 0.1)
    exact = (np.exp(-(z**2) / 0.5) / np.sqrt(np.pi / 2) * ndtr(-threshold / 0.5)).sum() * step
    assert answer.per_feature[0, 0] == pytest.approx(exact, abs=1e-9 + answer.error_estimate)  # 1e-9: kinks on the grid
    assert answer.error_estimate < 1e-7


def test_training_with_the_built_in_activation_said_again():
    experiment = ag.presets.theorem.replace(num_samples=40, num_steps=30, record_at=(), methods=("cutmix",))
    again = experiment.replace(network=Leaky(r=1.0), methods=(CutMixAgain(),))
    known, found = (each.run(each.methods[0], each.sample(0)).history for each in (experiment, again))
    np.testing.assert_allclose(found.loss, known.loss, rtol=1e-11)
    np.testing.assert_allclose(found.feature_scores, known.feature_scores, atol=1e-10)
    np.testing.assert_allclose(found.accuracy, known.accuracy, atol=1e-5)


def test_verify_and_many_seeds_take_them():
    methods = (ag.Erm(), Mixed(), ag.FunctionMethod(function=squared))
    experiment = ag.presets.theorem.replace(num_samples=40, num_steps=5, record_at=(), methods=methods)
    verdict = ag.verify(experiment, seeds=[0])
    assert [theorem.method.title for theorem in verdict.theorems] == ["ERM"]  # no theorem speaks of the others
    assert "Mixed" in verdict.summary[0]
    assert run_seeds(experiment, [0])[0][2].status == "completed"


@pytest.mark.slow  # test_docs.py lists its cells
def test_the_shipped_grid_runs(tmp_path, monkeypatch):
    """Both examples, in worker processes, each cell with its measures and its name."""
    monkeypatch.chdir(EXAMPLES)
    outcome = ag.run_sweep(Sweep.from_toml("custom.toml", "small"), tmp_path / "sweep")
    assert (outcome.progress.done, outcome.progress.failed) == (4, 0)
    rows = (
        ag.Records(tmp_path / "sweep")
        .query(
            "SELECT method, method_title, smoothing, accuracy BETWEEN 0.5 AND 1 AS sound, configuration FROM records"
        )
        .to_pylist()
    )
    assert all(row["sound"] and row["smoothing"] is None for row in rows)
    text = str(rows)
    for name in ("cutmix", "SharpMix (sharpness = 3.0)", "custom_method:squared", "custom_activation:SoftLeaky"):
        assert name in text


def test_a_sweep_refuses_what_only_a_script_knows():
    given = {"preset": "theorem", "methods": ["__main__:f"]}
    main = sys.modules["__main__"]
    main.f = squared  # pyright: ignore[reportAttributeAccessIssue]
    squared_module, squared.__module__ = squared.__module__, "__main__"
    try:
        with pytest.raises(ValueError, match="must name a module that can be imported there"):
            ag.Sweep.from_dict({**given, "methods": ["__main__:f"]}).cells()
    finally:
        squared.__module__ = squared_module
        del main.f  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    "line",
    [
        "train --coordinates population",
        "verify --coordinates limit",
        "verify --seeds none",
        "sweep grid.toml --out out",
    ],
)
def test_a_loss_without_probabilities_is_refused_in_a_limit(line, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    words = line.split()
    if words[0] == "sweep":
        grid = 'preset = "theorem"\nmethods = ["custom_method:squared"]\nexperiment.coordinates = "population"'
        (tmp_path / "grid.toml").write_text(grid)
    else:
        words += ["--methods", "erm,custom_method:squared"]
    done = run_here(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert "`method` must take `probabilities` for a weighted sample, got squared" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_command_line_takes_import_paths(tmp_path, monkeypatch, capsys):
    from augscope.cli import main

    monkeypatch.chdir(EXAMPLES)
    line = "train --methods erm,custom_method:SharpMix --network custom_activation:leaky --num-samples 40 --num-steps 5"
    with pytest.raises(SystemExit) as ended:
        main([*line.split(), "--record-at", "5", "--json", "--out", str(tmp_path / "out")])
    assert ended.value.code == 0
    configuration = json.loads(capsys.readouterr().out)["configuration"]
    assert configuration["network"] == {"name": "custom_activation:leaky"}
    assert [method["name"] for method in configuration["methods"]] == ["erm", "custom_method:SharpMix"]
    written = (tmp_path / "out" / "config.toml").read_text()
    assert 'name = "custom_method:SharpMix"' in written
    for trust, status in (([], 2), (["--trust"], 0)):  # a record that somebody sent imports nothing unasked
        with pytest.raises(SystemExit) as ended:
            main(["report", str(tmp_path / "out"), *trust])
        assert ended.value.code == status


@pytest.mark.parametrize("name", ["custom_method", "custom_activation"])
def test_the_examples_are_short(name):
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) < 30
    assert callable(runpy.run_path(str(EXAMPLES / f"{name}.py"))["ag"].train)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["custom_method", "custom_activation"])
def test_the_examples_run_as_scripts(name):
    found = subprocess.run([sys.executable, f"{name}.py"], cwd=EXAMPLES, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout


OWN_FILE = """
import jax.numpy as jnp
from beside_it import RATE

import augscope as ag


class Exponential(ag.Method):
    def raw_loss(self, scores, labels, probabilities):
        return probabilities @ jnp.exp(-RATE * labels * scores.sum(axis=1))
"""


def test_a_file_is_named_as_a_module_is(tmp_path, monkeypatch):
    """`file.py:Name`, with imports from the file's folder; what is written down reads back, and the file is run once."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "own_loss.py").write_text(OWN_FILE)
    (tmp_path / "code" / "beside_it.py").write_text("RATE = 2.0")
    monkeypatch.chdir(tmp_path)
    method = read_method("code/own_loss.py:Exponential")
    assert method.model_dump() == {"name": "code/own_loss.py:Exponential"}
    assert read_method(method.model_dump()) == method
    assert method.loss(np.zeros((1, 3)), np.array([1])) == 1.0
    done = run_here("train", *TINY_RUN, "--methods", "code/own_loss.py:Exponential", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert run_here("report", "out", "--trust").returncode == 0
    (tmp_path / "code" / "own_loss.py").write_text("raise OSError('later')")
    with pytest.raises(ValueError, match="`methods` could not be imported"):
        read_method("code/own_loss.py:Exponential")


def test_a_default_gives_way_to_an_argument_by_position(tmp_path):
    (tmp_path / "mix.py").write_text(
        "class Mix:\n    def __init__(self, num_classes):\n        self.count = num_classes\n"
    )
    named = [import_named("target", f"{tmp_path / 'mix.py'}:Mix{arguments}") for arguments in ("(16)", "()")]
    assert [one.make({"num_classes": 4}).count for one in named] == [16, 4]
