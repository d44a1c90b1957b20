"""Grids: formulas that are arithmetic and nothing else, axes, cells and their identities, and what is refused."""

from __future__ import annotations

import hashlib
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import augscope as ag
from augscope.sweep.axes import Axis, points
from augscope.sweep.formula import Formula

ROOT = Path(__file__).parents[1]
SHIPPED = sorted((ROOT / "examples" / "sweeps").glob("*.toml"))
POPULATION = {"coordinates": "population"}


def sweep(**given) -> ag.Sweep:
    return ag.Sweep.from_dict({"preset": "theorem", "methods": ["erm"], **given})


class TestFormula:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("sqrt(0.4 * n / d)", math.sqrt(0.4 * 300 / 2000)),
            ("-n + d ** 0.5 - +3", -300 + 2000**0.5 - 3),
            ("max(n, d, 1) / min(n, d) - abs(-2) * exp(log(3))", 2000 / 300 - 6),
            ("2 ** 3 ** 2", 512),
            (" 1e3 ", 1000),
        ],
    )
    def test_arithmetic(self, text, value):
        assert Formula.read("x", text).evaluate("x", {"n": 300, "d": 2000}) == pytest.approx(value, rel=1e-15)

    @given(st.tuples(*[st.floats(0.1, 10)] * 3), st.sampled_from("+-*/"), st.sampled_from("+-*/"))
    def test_agrees_with_python(self, values, first, second):
        a, b, c = values
        text = f"a {first} (b {second} c)"
        try:
            expected = eval(text, {}, {"a": a, "b": b, "c": c})
        except ZeroDivisionError:
            return
        assert Formula.read("x", text).evaluate("x", {"a": a, "b": b, "c": c}) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "__import__('os')",
            "n.real",
            "[1]",
            "n if d else 1",
            "n < d",
            "lambda: 1",
            "sqrt()",
            "sqrt(x=1)",
            "'text'",
            "True",
            "1j",
            "n; d",
            "",
            "n +",
            "pow(2, 3)",
            "n := 3",
            "n @ d",
            3,
        ],
    )
    def test_anything_else_is_refused(self, text):
        with pytest.raises(ValueError, match=r"`field` must be derived by"):
            Formula.read("field", text)

    @pytest.mark.parametrize(
        "text", ["1 / (n - 300)", "log(-n)", "n ** 1e9", "exp(n ** 2)", "(-n) ** 0.5", "abs((-n) ** 0.5)", "sqrt(n, d)"]
    )
    def test_no_value_is_a_sentence(self, text):
        with pytest.raises(ValueError, match=r"`field` = .* must be a finite number at .*n = 300"):
            Formula.read("field", text).evaluate("field", {"n": 300, "d": 2000})

    def test_a_name_that_is_no_number(self):
        with pytest.raises(ValueError, match="derived from `q`, which must be a number, got None"):
            Formula.read("field", "q + 1").evaluate("field", {"n": 1})


class TestAxes:
    def test_ranges_meet_in_the_same_numbers(self):
        few = Axis.read("x", {"from": 0.01, "to": 1, "count": 5, "scale": "log"}).values
        many = Axis.read("x", {"from": 0.01, "to": 1, "count": 9, "scale": "log"}).values
        assert set(few) <= set(many)
        assert [value for (value,) in few] == [0.01, 0.0316227766017, 0.1, 0.316227766017, 1.0]

    def test_a_product_with_the_last_axis_fastest(self):
        axes = [Axis.read("a", [1, 2]), Axis.read_zip({"b": [3, 4], "c": [5, 5]})]
        assert list(points(axes)) == [{"a": a, "b": b, "c": 5} for a in (1, 2) for b in (3, 4)]

    @pytest.mark.parametrize(
        ("given", "sentence"),
        [
            ([], "axis `x` must hold at least one value, got none"),
            ("abc", "axis `x` must be a list or a range"),
            ([1, 1], "axis `x` must hold each value once"),
            ({"from": 1, "to": 2}, "axis `x` is a range without `count`"),
            ({"from": 1, "to": 2, "count": 0}, "axis `x` must have a count from 1 to 100,000, got 0"),
            ({"from": 0, "to": 2, "count": 3, "scale": "log"}, "axis `x` must lie above 0 to be log"),
            ({"from": 1, "to": 2, "count": 3, "scale": "cubic"}, "must have the scale linear or log, got 'cubic'"),
            ({"from": 1, "to": 1, "count": 3}, "must go from one number to another"),
            ({"from": "1", "to": 2, "count": 3}, "axis `x` must go `from` a number, got '1'"),
            ({"from": 1, "to": 2, "count": 3, "step": 1}, "axis `x` has no `step`"),
        ],
    )
    def test_bad_axes(self, given, sentence):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            Axis.read("x", given)


class TestCells:
    def test_derived_fields_and_whole_numbers(self):
        cells = sweep(
            axes={"speed": [0.4], "dim": {"from": 2000, "to": 200000, "count": 4, "scale": "log"}},
            derived={"dominant_noise_std": "sqrt(speed * num_samples / dim)", "num_samples": "dim / 100 + 0.4"},
        ).cells()
        assert [cell.experiment.distribution.dim for cell in cells] == [2000, 9283, 43089, 200000]
        for cell in cells:
            at = cell.experiment
            assert at.num_samples == round(at.distribution.dim / 100 + 0.4)
            # σ_d² d / n = 0.4, with σ_d rounded to 12 digits
            assert at.distribution.dominant_noise_std**2 * at.distribution.dim / at.num_samples == pytest.approx(
                0.4, rel=1e-11
            )

    def test_the_identity_is_a_hash_of_configuration_and_seed_alone(self):
        cell = sweep(axes={"dim": [2000]}, seeds=[7]).cells()[0]
        plain = ag.presets.theorem
        experiment = plain.replace(distribution=plain.distribution.replace(dim=2000), methods=(ag.Erm(),))
        text = f'{{"configuration":{experiment.canonical},"seed":7}}'
        assert cell.identity == hashlib.sha256(text.encode()).hexdigest()
        assert cell.identity == sweep(seeds=[7], axes={"q": [2000]}, derived={"dim": "q"}).cells()[0].identity
        assert cell.identity != sweep(axes={"dim": [2000]}, seeds=[8]).cells()[0].identity

    def test_grids_share_cells_and_can_be_extended(self):
        small = {cell.identity for cell in sweep(axes={"dim": [2000, 3000]}, seeds=2).cells()}
        large = {cell.identity for cell in sweep(axes={"dim": [2000, 3000, 4000]}, seeds=3).cells()}
        assert len(small) == 4
        assert len(large) == 9
        assert small < large

    def test_an_axis_of_one_method_leaves_the_others_alone(self):
        cells = sweep(methods=["erm", "cutout"], axes={"num_cut": [1, 2]}).cells()
        assert sorted(cell.experiment.methods[0].title for cell in cells) == ["Cutout", "Cutout (C = 2)", "ERM"]

    def test_settings_are_laid_over(self):
        given = {
            "preset": "theorem",
            "seeds": 9,
            "axes": {"dim": {"from": 2000, "to": 4000, "count": 3}, "step_size": [1, 2]},
            "settings": {"small": {"seeds": 1, "axes": {"dim": [2000]}, "experiment": {"num_steps": 5}}},
        }
        small = ag.Sweep.from_dict(given, "small").cells()
        assert len(small) == 6
        assert {cell.experiment.num_steps for cell in small} == {5}
        assert len(ag.Sweep.from_dict(given).cells()) == 9 * 3 * 3 * 2
        with pytest.raises(ValueError, match="`setting` must be one of small, got 'tiny'"):
            ag.Sweep.from_dict(given, "tiny")

    def test_a_read_source_reads_back(self):
        first = sweep(
            axes={"rho": [0.1, 0.2]},
            derived={"frequencies": ["1 - rho", "rho"]},
            experiment={"distribution": {"rarity": "derive"}},
        )
        again = ag.Sweep.from_dict(first.source)
        assert [cell.identity for cell in again.cells()] == [cell.identity for cell in first.cells()]
        assert again.parameters == ("rho",)

    @pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
    def test_the_shipped_grids_are_valid_and_small_is_smaller(self, path):
        small, full = ag.Sweep.from_toml(path, "small").cells(), ag.Sweep.from_toml(path).cells()
        assert 0 < len(small) < len(full)

    def test_five_ship(self):
        assert [path.stem for path in SHIPPED] == ["cutout-size", "limit", "onset", "rarity-noise", "window"]


class TestLimits:
    def test_a_population_is_one_cell_a_configuration(self):
        cells = sweep(axes={"dim": [2000, 3000]}, methods=["erm", "cutout"], experiment=POPULATION).cells()
        assert [cell.seed for cell in cells] == [None] * 4
        text = f'{{"configuration":{cells[0].experiment.canonical},"seed":null}}'
        assert cells[0].identity == hashlib.sha256(text.encode()).hexdigest()

    def test_seeds_are_of_what_is_drawn(self):
        cells = sweep(axes={"coordinates": ["reduced", "limit", "population"]}, seeds=2).cells()
        at = [(cell.experiment.coordinates, cell.seed, cell.experiment.init_std) for cell in cells]
        drawn = [(kind, seed, std) for kind, std in (("reduced", 0.001), ("limit", 0.0)) for seed in (0, 1)]
        assert at == [*drawn, ("population", None, 0.0)]

    def test_cells_that_run_the_same_programs(self):
        """No array of a limit has a side of length d, nor one of a population a side of length n."""
        axes = {"num_samples": [20, 30], "dim": [2000, 30], "step_size": [1, 2]}
        programs = {"population": 1, "limit": 2, "reduced": 4, "dense": 4}  # d = 30 is less than the noise vectors span
        for kind, count in programs.items():
            cells = sweep(axes=axes, experiment={"coordinates": kind}).cells()
            assert len({cell.program for cell in cells}) == count


BAD = {
    "unknown axis": (
        {"axes": {"dims": [1]}},
        "axis `dims` is not known: it is no field of distribution, network, method",
    ),
    "empty axis": ({"axes": {"dim": []}}, "axis `dim` must hold at least one value, got none"),
    "unknown key": ({"axis": {}}, "`axis` is not known in a grid"),
    "unknown derived": ({"derived": {"dims": "1"}}, "derived `dims` is no field"),
    "named twice": ({"axes": {"dim": [2000]}, "derived": {"dim": "3"}}, "`dim` must come once"),
    "circle": ({"derived": {"dim": "num_samples", "num_samples": "dim"}}, "must not depend on each other in a circle"),
    "zip lengths": (
        {"zip": [{"dim": [2000, 3000], "num_samples": [1]}]},
        "zipped axes must be lists of one length, got dim 2, num_samples 1",
    ),
    "zip text": ({"zip": [{"dim": "ab"}]}, "zipped axis `dim` must be a list"),
    "no seeds": ({"seeds": 0}, "`seeds` must be at least one"),
    "same seed": ({"seeds": [1, 1]}, "`seeds` must differ from each other"),
    "no methods": ({"methods": []}, "`methods` must be a list of at least one"),
    "unknown method": (
        {"methods": ["hinge"]},
        "`methods` must be among erm, cutout, cutmix, mixup, label_smoothing, or module:Name or file.py:Name of your own, got 'hinge'",
    ),
    "axis of an absent method": ({"axes": {"num_cut": [1]}}, "axis `num_cut` needs cutout among the methods"),
    "unknown preset": ({"preset": "nothing"}, "`preset` must be one of figure, theorem"),
    "unknown field": ({"experiment": {"bogus": 1}}, "`bogus` is not a known field"),
    "invalid cell": (
        {"axes": {"dim": [2000, 5, 4]}},
        "the cell at dim = 5 is not valid: `dim` must be at least 2K = 6 to hold the features of both labels, got 5 (and 1 more points are not valid)",
    ),
    "text for a number": ({"axes": {"dim": ["2000"]}}, "must hold numbers, got the text '2000'"),
    "half a dimension": ({"axes": {"dim": [2000.5]}}, "`dim` is not valid"),
    "too many cells": (
        {"seeds": 1000000, "axes": {"dim": list(range(2000, 2020))}},
        "a grid must have at most 10,000,000 cells, got 20,000,000",
    ),
    "too large": ({"axes": {"dim": [10**9]}, "experiment": {"coordinates": "dense"}}, "bytes"),
    "seeds of a population": (
        {"seeds": 2, "experiment": POPULATION},
        "`seeds` must be left out with `coordinates` = 'population': nothing is drawn there",
    ),
    "seeds of populations on an axis": (
        {"seeds": [0], "axes": {"coordinates": ["population"], "dim": [2000, 3000]}},
        "`seeds` must be left out with `coordinates` = 'population': nothing is drawn there",
    ),
    "a start beside a limit": (
        {"experiment": {**POPULATION, "init_std": 0.01}},
        "`init_std` must be 0 with `coordinates` = 'population', where training starts at 0; got 0.01",
    ),
    "a start beside an axis of limits": (
        {"experiment": {"init_std": 0.01}, "axes": {"coordinates": ["reduced", "limit"]}},
        "the cell at coordinates = limit is not valid: `init_std` must be 0 with `coordinates` = 'limit'",
    ),
    "an axis of starts in a limit": (
        {"experiment": POPULATION, "axes": {"init_std": [0, 0.01]}},
        "the cell at init_std = 0.01 is not valid: `init_std` must be 0 with `coordinates` = 'population'",
    ),
    "preset is no text": ({"experiment": {"distribution": 5}}, "`distribution` must be a table, got 5"),
}


@pytest.mark.parametrize(("given", "sentence"), BAD.values(), ids=BAD.keys())
def test_bad_grids_are_refused_before_anything_runs(given, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        sweep(**given).cells()


def test_bad_files(tmp_path):
    with pytest.raises(ValueError, match="`grid` must be a readable file"):
        ag.Sweep.from_toml(tmp_path / "nowhere.toml")
    (tmp_path / "bad.toml").write_text("axes = = 1")
    with pytest.raises(ValueError, match="`grid` must be valid TOML"):
        ag.Sweep.from_toml(tmp_path / "bad.toml")
