"""Records in SQL, as frames and arrays; phase diagrams, boundaries, refinement and pictures, on made-up measures."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from commands import run_here
from matplotlib.figure import Figure
from sweep_cases import here, tiny

import augscope as ag
from augscope.support.rendering import to_bytes
from augscope.sweep import run as run_module
from augscope.sweep.cells import failed_row
from augscope.sweep.folder import SweepFolder
from augscope.sweep.phase_boundaries import Boundary, Learned, named_boundary
from augscope.sweep.phase_figures import phase_figure
from augscope.sweep.phase_limits import ExactBoundary
from augscope.sweep.phase_page import write_phase
from augscope.sweep.refinement import refine, refined
from augscope.sweep.schema import SCHEMA
from augscope.training.regimes import Setting, regimes

RHO, SPEED = (0.1, 0.2, 0.4), (0.02, 0.08, 0.32, 1.28)


def made(folder: Path, **changes) -> SweepFolder:
    """A folder of records whose accuracy is 1 where speed < ρ, else 0.5, with 0.01 a seed on top for Cutout; nothing is trained."""
    axes = {"rho": list(RHO), "speed": list(SPEED)}
    sweep = tiny(**{"methods": ["erm", "cutout"], "seeds": 3, "axes": axes, "title": "made up", **changes})
    target, cells, rows = SweepFolder(folder), sweep.cells(), []
    for cell in cells:
        accuracy = 1.0 if cell.point.get("speed", 0.0) < cell.point.get("rho", 1.0) else 0.5
        row = failed_row(cell, "made up") | {"status": "completed"}
        bonus = 0.01 * cell.seed if row["method"] == "cutout" else 0.0
        history = {part.name: [] for part in SCHEMA.field("history").type}
        history |= {"steps": [0.0, 8.0], "loss": [1.0, 0.5], "accuracy": [0.5, accuracy]}
        rows.append(row | {"accuracy": accuracy + bonus, "feature_accuracy": [1.0, accuracy], "history": history})
    with target.claimed():
        target.save_grid(sweep, cells)
        target.parts.write(pa.Table.from_pylist(rows, SCHEMA))
    return target


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return made(tmp_path_factory.mktemp("made") / "out").path


@pytest.fixture(scope="module")
def records(folder) -> ag.Records:
    return ag.Records(folder)


@pytest.fixture(scope="module")
def written(records, tmp_path_factory) -> Path:
    """A folder with the diagram's files."""
    folder = tmp_path_factory.mktemp("written")
    paths = write_phase(diagram(records), folder)
    assert [path.name for path in paths] == ["phase.png", "phase.svg", "phase.csv", "phase.json", "phase.html"]
    return folder


def diagram(records, **changes):
    return ag.phase_diagram(records, **{"x": "rho", "y": "speed", "panels": "method", "level": 0.75, **changes})


class TestRecords:
    def test_sql(self, records):
        counts = records.query("SELECT rho, count(*) AS n FROM records WHERE method = 'erm' GROUP BY rho ORDER BY rho")
        assert counts.to_pylist() == [{"rho": rho, "n": 12} for rho in RHO]
        steps = records.query("SELECT step, accuracy FROM trajectories WHERE seed = 0 AND method = 'erm' LIMIT 2")
        assert steps.to_pylist() == [{"step": 0.0, "accuracy": 0.5}, {"step": 8.0, "accuracy": 1.0}]

    def test_columns_say_what_they_mean(self, records):
        assert records.columns["rho"] == "free parameter of a grid"
        assert records.columns["noise_ratio"] == "κ, model.md identity 10"
        assert set(records.columns) == set(records.query("SELECT * FROM records LIMIT 1").column_names)

    def test_data_frames(self, records):
        frame = records.to_pandas()
        assert len(frame) == 72
        assert "history" not in frame
        assert frame.groupby("method").accuracy.max().to_dict() == {"cutout": 1.02, "erm": 1.0}

    def test_arrays(self, records):
        arrays = records.to_xarray("method", "rho", "speed", "seed")
        assert dict(arrays.sizes) == {"method": 2, "rho": 3, "speed": 4, "seed": 3}
        assert float(arrays.accuracy.sel({"method": "cutout", "rho": 0.4, "speed": 0.02, "seed": 2})) == 1.02
        with pytest.raises(ValueError, match="`dims` must tell records apart: several have rho, speed = "):
            records.to_xarray("rho", "speed")
        with pytest.raises(ValueError, match="`dims` must be columns of `records`, got rhos"):
            records.to_xarray("rhos")

    @pytest.mark.parametrize(
        ("sql", "sentence"),
        [
            ("SELECT nothing FROM records", "`sql` must be a valid query: Binder Error"),
            ("SELEC 1", "`sql` must be a valid query: Parser Error"),
            ("DROP VIEW records", "`sql` must be one SELECT statement"),
            ("SELECT 1; SELECT 2", "`sql` must be one SELECT statement"),
            ("COPY (SELECT 1) TO 'x.csv'", "`sql` must be one SELECT statement"),
            ("", "`sql` must be one SELECT statement"),
            ("SELECT '\udce9'", "`sql` must be text in UTF-8"),
        ],
    )
    def test_bad_queries(self, records, sql, sentence):
        with pytest.raises(ValueError, match=sentence):
            records.query(sql)

    def test_a_folder_that_is_no_sweeps(self, tmp_path):
        with pytest.raises(ValueError, match="`folder` must be a sweep's"):
            ag.Records(tmp_path)

    def test_nothing_recorded_yet(self, tmp_path):
        with SweepFolder(tmp_path / "out").claimed():
            pass
        empty = ag.Records(tmp_path / "out")
        assert empty.query("SELECT count(*) AS n FROM records").to_pylist() == [{"n": 0}]
        with pytest.raises(ValueError, match="nothing to draw"):
            ag.phase_diagram(empty, x="dim", y="num_samples")


class TestDiagram:
    def test_means_and_spread_over_seeds(self, records):
        cutout = diagram(records).panels[1]
        assert (cutout.name, len(cutout.x), set(cutout.count.tolist())) == ("cutout", 12, {3})
        at = int(np.flatnonzero((cutout.x == 0.4) & (cutout.y == 0.32))[0])
        assert cutout.mean[at] == pytest.approx(1.01, rel=1e-14)
        assert (cutout.smallest[at], cutout.largest[at]) == (1.0, 1.02)
        # Student's t with 2 degrees of freedom: 4.302653 standard errors, 0.01/√3 each.
        assert cutout.high[at] - cutout.mean[at] == pytest.approx(4.302653 * 0.01 / 3**0.5, rel=1e-6)

    def test_the_contour_lies_between_places_in_log_y(self, records):
        erm = diagram(records).panels[0]
        assert erm.crossings(0.75) == pytest.approx({0.1: 0.16, 0.2: 0.16, 0.4: 0.64}, rel=1e-12)

    def test_a_quantitys_boundary_is_where_the_formula_says(self, records):
        erm, _ = diagram(records, boundaries=["dominant_ratio[2] = 0.7"]).panels
        for x, y in erm.crossings(1, "dominant_ratio[2]  = 0.7").items():
            assert y == pytest.approx(x / 0.7, rel=1e-9)  # R = ρ/(σ_d² d/n), a power law: exact between places

    def test_kappa_is_noise_ratio(self, records):
        rows = records.query(f"SELECT {named_boundary('kappa').quantity} AS ours, noise_ratio FROM records").to_pylist()
        for row in rows:
            assert row["ours"] == pytest.approx(row["noise_ratio"], rel=1e-13)

    def test_expressions_differences_and_conditions(self, records):
        plain = diagram(
            records, x="frequencies[2]", y="power(dominant_noise_std, 2) * dim / num_samples", where="seed = 0"
        )
        assert sorted(set(plain.panels[0].x)) == list(RHO)
        assert sorted(set(plain.panels[0].y)) == pytest.approx(SPEED, rel=1e-10)
        assert np.isnan(plain.panels[0].low).all()  # one seed has no interval
        difference = diagram(records, minus="method = 'erm'", where="method = 'cutout'", panels=None).panels[0]
        np.testing.assert_allclose(difference.mean, 0.01, rtol=0, atol=1e-15)
        assert difference.name == ""

    def test_failed_records_are_left_out(self, tmp_path):
        target = made(tmp_path / "out")
        cell = tiny(seeds=[9], axes={"rho": [0.1], "speed": [0.02]}).cells()[0]
        with target.claimed():
            target.parts.write(pa.Table.from_pylist([failed_row(cell, "reason")], SCHEMA))
        assert set(diagram(ag.Records(target.path)).panels[0].count.tolist()) == {3}

    def test_boundaries_by_name(self, records):
        for name, level in {"kappa": 0.5, "kappa=1": 1, "dim = 3e3": 3000}.items():
            line = named_boundary(name)
            assert isinstance(line, Boundary)
            assert line.level == level
            assert len(diagram(records, boundaries=[name]).panels[0].boundaries) == 1
        assert named_boundary("kappa").name == "κ = 0.5, accuracy 0.977"  # Φ(2)
        for name, index in {"erm": -1, "cutout:1": 0, "cutmix:12": 11}.items():
            line = named_boundary(name)
            assert isinstance(line, Learned)
            assert line.index == index

    @pytest.mark.parametrize("name", ["nothing", "erm:x", "erm:0", "=3", "dim = -1", "dim = many"])
    def test_bad_boundaries(self, name):
        with pytest.raises(ValueError, match="`boundary` must be erm, cutout or cutmix"):
            named_boundary(name)

    def test_panels_come_in_order(self, records):
        names = [panel.name for panel in diagram(records, panels="'n = ' || CAST(100 * rho AS INT)").panels]
        assert names == ["n = 10", "n = 20", "n = 40"]

    def test_data_behind_the_picture(self, records, written):
        lines = (written / "phase.csv").read_text().splitlines()
        columns = "ERM learns the rarest feature (limit),Cutout learns the rarest feature (limit)"
        assert lines[0] == f"panel,rho,speed,count,mean,low,high,smallest,largest,{columns}"
        assert (lines[1].split(",")[-2:], lines[-1].split(",")[-2:]) == (["False", ""], ["", "True"])
        assert len(lines) == 1 + 24
        data = json.loads((written / "phase.json").read_text())
        assert data["panels"][0]["crossings"]["0.1"] == pytest.approx(0.16)
        exact = data["panels"][0]["exact"]["ERM learns the rarest feature (limit)"]
        assert exact["edges"] == [[0, 4], [1, 5], [2, 6], [3, 7]]
        shown = str(diagram(records, boundaries=["dominant_ratio[2] = 0.7"]))
        assert "rho = 0.1: crosses 0.75 at speed = 0.16; predicted: dominant_ratio[2]  = 0.7 at 0.143" in shown


def trained(num_steps: int) -> dict:
    """Fields of an experiment with so many steps."""
    return {"num_samples": 300, "num_steps": num_steps, "distribution": {"rarity": "derive"}}


def boundary_of(folder: Path, y: str, name: str) -> tuple[ag.PhaseDiagram, dict]:
    """The diagram of ρ or α and y with one exact boundary, and that boundary's changes by x, in the panel of ERM."""
    shown = ag.phase_diagram(ag.Records(folder), x="rho" if y != "num_steps" else "feature_noise", y=y,
                             panels="method", level=0.75, boundaries=[name])  # fmt: skip
    assert not shown.notes
    (crossings,) = shown.panels[0].predicted_crossings.values()
    return shown, crossings


class TestExactBoundaries:
    def test_is_where_a_dense_scan_changes(self, tmp_path):
        alphas = [0.02, 0.05, 0.125, 0.3]
        axes = {"rho": [0.1, 0.2], "feature_noise": alphas}
        derived = {"frequencies": ["1 - rho", "rho"]}
        folder = made(tmp_path / "out", axes=axes, derived=derived, experiment=trained(60), seeds=1).path
        _, crossings = boundary_of(folder, "feature_noise", "erm:2")
        base = ag.presets.theorem.distribution
        assert set(crossings) == {0.1, 0.2}
        for rho, changes in crossings.items():
            scan = np.geomspace(alphas[0], alphas[-1], 400)
            settings = [
                Setting(base.replace(frequencies=(1 - rho, rho), rarity=None, feature_noise=alpha), 300, num_steps=60)
                for alpha in scan
            ]
            learned = np.array([regime.learned[1] for regime in regimes(settings, ag.Erm())])
            jumps = np.flatnonzero(learned[1:] != learned[:-1])
            widths = np.log(np.array(alphas[1:]) / alphas[:-1])
            assert len(jumps) == len(changes)
            for jump, change in zip(jumps, changes, strict=True):
                # Half of the last bracket, and a step of the scan.
                allowed = widths.max() / 128 + np.log(scan[1] / scan[0])
                assert abs(np.log(change / np.sqrt(scan[jump] * scan[jump + 1]))) < allowed

    def test_what_is_learned_again_has_boundaries_of_its_own(self, tmp_path):
        """model.md §8.4: at α = 0.1 Cutout has learned feature 2 on steps 1–17, not on 18–71, and again from 72 on."""
        axes = {"feature_noise": [0.1, 0.11], "num_steps": [4, 40, 400]}
        experiment = {"distribution": {"rarity": "derive"}}
        folder = made(tmp_path / "out", axes=axes, derived={}, experiment=experiment, seeds=1, methods=["erm"]).path
        shown, crossings = boundary_of(folder, "num_steps", "cutout:2")
        first, second = crossings[0.1]
        assert first == pytest.approx(17.5, abs=0.51)  # steps are whole
        assert second == pytest.approx(71.5, abs=1.5)
        panel = shown.panels[0]
        (boundary,) = panel.exact.values()
        assert boundary.learned.tolist() == [True, False, True] * 2
        assert sorted(len(line) for line in boundary.lines(panel.places)) == [2, 2]

    def test_a_line_around_a_place_is_closed(self):
        places = np.array([(x, y) for x in range(3) for y in range(3)], float)
        edges = np.array([(1, 4), (4, 7), (3, 4), (4, 5)])
        around = ExactBoundary(np.arange(9) == 4, np.array([0.5, 1.5, 1, 1]), np.array([1, 1, 0.5, 1.5]), edges)
        (line,) = around.lines(places)
        assert len(line) == 5
        assert line[0] == line[-1]
        assert set(map(frozenset, pairwise(line))) == {frozenset(pair) for pair in ((0, 2), (2, 1), (1, 3), (3, 0))}
        assert around.crossings(places) == {1.0: [0.5, 1.5]}

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"x": "dim", "y": "speed"}, "x and y must be axes of one grid, got dim and speed"),
            ({"boundaries": ["erm:3"]}, "there must be a feature 3, got 2"),
            ({"x": "rho", "y": "rho"}, "x and y must be axes of one grid, got rho and rho"),
        ],
    )
    def test_where_there_is_none_a_sentence_says_why(self, records, changes, sentence):
        shown = diagram(records, **changes)
        assert shown.notes == (f"no exact boundary: {sentence}",)
        assert sentence in str(shown)

    def test_places_of_several_problems_have_none(self, tmp_path):
        axes = {"rho": [0.1, 0.2], "speed": [0.02, 0.08], "feature_noise": [0.1, 0.2]}
        records = ag.Records(made(tmp_path / "out", axes=axes, seeds=1).path)
        assert "of one problem" in diagram(records).notes[0]
        assert not diagram(records, where="feature_noise = 0.2").notes


class TestPicture:
    def test_lines_and_heat_lie_where_the_data_say(self, records):
        figure = phase_figure(diagram(records, boundaries=["erm", "dominant_ratio[2] = 0.7"]))
        axis = figure.axes[0]
        drawn = {line.get_label(): np.array(line.get_data()) for line in axis.lines}
        x, y = drawn["predicted: dominant_ratio[2]  = 0.7"]
        np.testing.assert_allclose(y, x / 0.7, rtol=1e-9)
        x, y = drawn["predicted: ERM learns the rarest feature (limit)"]
        assert sorted(y.tolist()) == list(SPEED)
        assert ((x > 0.1) & (x < 0.2)).all()
        heat = axis.collections[0].get_array()
        np.testing.assert_allclose(heat, [[1, 1, 1], [1, 1, 1], [0.5, 0.5, 1], [0.5, 0.5, 0.5]])  # rows go up in speed
        assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log")
        assert [part.get_title() for part in figure.axes[:2]] == ["ERM", "Cutout"]

    def test_a_difference_is_drawn_about_0_and_called_one(self, records):
        shown = diagram(records, minus="method = 'erm'", where="method = 'cutout'", panels=None, level=0.1)
        low, high = phase_figure(shown).axes[0].collections[0].get_clim()
        assert -low == high > 0
        assert "accuracy − that where method = 'erm' from" in str(shown)

    def test_equal_diagrams_give_equal_bytes(self, records, written, tmp_path):
        for path in write_phase(diagram(records), tmp_path):
            assert path.read_bytes() == (written / path.name).read_bytes()

    def test_it_is_drawn_on_given_axes(self, records):
        shown = diagram(records, boundaries=["erm"])
        given = Figure().subplots(2, 2)
        assert [*shown.plot(given).flat] == [*given.flat]
        whole = phase_figure(shown)
        heats = [figure.axes[0].collections[0].get_array() for figure in (whole, given[0, 0].figure)]
        np.testing.assert_array_equal(*heats)
        assert given[0, 0].get_legend() is not None
        assert repr(shown).startswith("PhaseDiagram: ")
        assert len(repr(shown)) < 1000
        with pytest.raises(ValueError, match="`axes` must be 2 × 2"):
            shown.plot(given[0])

    @pytest.mark.parametrize("changes", [{"x": "rho", "y": "rho"}, {"where": "rho = 0.1"}, {"where": "speed < rho"}])
    def test_degenerate_diagrams_are_drawn(self, records, changes):
        assert len(to_bytes(phase_figure(diagram(records, **changes)), "png")) > 10_000


class TestRefinement:
    def test_new_places_lie_half_way_where_the_value_jumps(self, folder, records):
        grid = SweepFolder(folder).grids()[0]
        cells = refined(grid, diagram(records, where="method = 'erm'", panels=None), 5).cells()
        places = {(cell.point["rho"], cell.point["speed"]) for cell in cells}
        jumps = {(0.1, 0.16), (0.2, 0.16), (0.4, 0.64)}  # up in speed
        jumps |= {(0.282842712475, 0.32)}  # across in ρ: the one jump there is
        assert places == jumps  # and no fifth, for nothing else changes
        assert len(cells) == 4 * 2 * 3
        assert not {cell.identity for cell in cells} & {cell.identity for cell in grid.cells()}

    def test_fewer_are_chosen_by_the_size_of_the_jump(self, folder, records):
        grid = SweepFolder(folder).grids()[0]
        assert len({tuple(cell.point.values()) for cell in refined(grid, diagram(records), 2).cells()}) == 2

    def test_bad_refinements(self, folder, records):
        grid = SweepFolder(folder).grids()[0]
        with pytest.raises(ValueError, match="`refine` must be from 1 to 10,000, got 0"):
            refined(grid, diagram(records), 0)
        with pytest.raises(ValueError, match="`refine` needs axes of the grid, not zipped: rho, speed, got 'dim'"):
            refined(grid, diagram(records, x="dim"), 1)
        with pytest.raises(ValueError, match="got the same num_samples everywhere"):
            refined(grid, diagram(records, value="num_samples"), 1)

    def test_refined_cells_are_run_and_drawn(self, tmp_path, monkeypatch):
        target = made(tmp_path / "out")
        monkeypatch.setattr(run_module, "engine", here)
        shown = diagram(ag.Records(target.path), panels=None)
        outcome = refine(target.path, shown, 2)
        assert (outcome.progress.computed, outcome.progress.total) == (12, 12)
        again = diagram(ag.Records(target.path), panels=None)
        assert len(again.panels[0].x) == 14
        assert phase_figure(again).axes[0].collections[0].get_array().shape == (240, 240)  # nearest place a pixel
        assert len(target.grids()) == 2
        with pytest.raises(
            ValueError, match="not zipped: rho, speed, got 'dim'"
        ):  # the grid is named, not its refinement
            refine(target.path, diagram(ag.Records(target.path), x="dim"), 1)


def test_the_commands(folder, tmp_path):
    counted = run_here("query", folder, "SELECT count(*) AS n, max(accuracy) AS best FROM records", "--json")
    assert (counted.returncode, json.loads(counted.stdout), counted.stderr) == (0, [{"n": 72, "best": 1.02}], "")
    sql = "SELECT rho, learned, frequencies FROM records ORDER BY ALL LIMIT 1"
    csv = run_here("query", folder, sql, "--csv")
    text = 'rho,learned,frequencies\n0.1,,"[0.9, 0.1]"\n'
    assert (csv.returncode, csv.stdout, csv.stderr) == (0, text, "")
    assert "κ, model.md identity 10" in run_here("query", folder).stdout
    table = run_here("query", folder, "SELECT rho, accuracy FROM records ORDER BY ALL LIMIT 1").stdout.splitlines()
    assert [line.split() for line in table] == [["rho", "accuracy"], ["0.1", "0.5"]]
    axes = ("--x", "rho", "--y", "speed")
    drawn = run_here("phase", folder, *axes, "--panels", "method", "--out", tmp_path, "--json")
    assert drawn.returncode == 0
    assert [panel["name"] for panel in json.loads(drawn.stdout)["panels"]] == ["erm", "cutout"]
    files = {"phase.png", "phase.svg", "phase.csv", "phase.json", "phase.html"}
    assert {path.name for path in tmp_path.iterdir()} == files
    refused = run_here("phase", folder, "--x", "rhos", "--y", "speed")
    assert (refused.returncode, refused.stdout, len(refused.stderr.splitlines())) == (2, "", 1)
    assert "`sql` must be a valid query" in refused.stderr


def test_a_damaged_part_is_named_and_left_out(tmp_path):
    folder = made(tmp_path / "out").path
    (folder / "records" / "notes.parquet").write_text("not mine")
    done = run_here("query", folder, "SELECT count(*) AS n FROM records", "--json")
    assert json.loads(done.stdout) == [{"n": 72}]
    assert done.stderr == "augscope: records/notes.parquet is truncated or is no Parquet file: left out\n"
