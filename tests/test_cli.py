"""The commands as installed: what they print, write, refuse and exit with."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields
from types import SimpleNamespace

import cyclopts
import numpy as np
import pytest
from commands import run_code, run_here, run_installed
from rich.console import Console

import augscope as ag
from augscope.cli import main, show
from augscope.cli.options import ExperimentOptions, OutputOptions, given_values, options_for
from augscope.laws.claims import Claims
from augscope.studies.canvas.settings import CanvasSettings
from augscope.support.fields import fields_of
from augscope.support.files import OutputFolder
from augscope.theorems.lines import Line
from augscope.theorems.record import Results
from augscope.theorems.reporting import FILES
from augscope.training.measure_table import measures_of
from augscope.training.measures import History
from augscope.training.seed_run import SeedRun
from augscope.training.seeds import run_seeds

QUICK = ["--num-samples", "40", "--num-steps", "3", "--dim", "2000"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A quick `verify` with everything asked for, and its folder."""
    folder = tmp_path_factory.mktemp("out") / "run"
    return run_installed("verify", *QUICK, "--seeds", "2", "--json", "--out", folder), folder


def test_json_is_alone_on_stdout(finished):
    done, _ = finished
    record = json.loads(done.stdout)
    assert done.returncode == record["verdict"]["exit_status"]
    assert [row["theorem"] for row in record["verdict"]["theorems"]] == ["3.1", "3.2", "3.3"]
    assert len(record["runs"]) == 6
    assert "statement" in done.stderr  # the table
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr


def test_the_folder_holds_everything(finished):
    _, folder = finished
    names = {path.name for path in folder.iterdir()}
    assert names == set(FILES)
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "augscope verify --config config.toml --seeds 2" in report
    addresses = re.findall(r'src="(.{5})', report)
    assert addresses  # self-contained: nothing is fetched
    assert set(addresses) == {"data:"}
    assert json.loads((folder / "record.json").read_text())["identity"] in report


def test_a_report_is_drawn_again_from_the_record(finished, tmp_path):
    done, folder = finished
    again = run_here("report", folder, "--json", "--out", tmp_path / "again")
    assert again.returncode == done.returncode, again.stderr
    assert again.stdout == done.stdout
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes(), name


def test_what_is_no_record_is_refused_in_a_sentence(finished, tmp_path, capsys):
    def said(content: str | None) -> str:
        if content is not None:
            (tmp_path / "record.json").write_text(content)
        with pytest.raises(SystemExit) as ended:
            main(["report", str(tmp_path)])
        printed = capsys.readouterr()
        assert (ended.value.code, printed.out, len(printed.err.splitlines())) == (2, "", 1)
        return printed.err

    whole = json.loads((finished[1] / "record.json").read_text())
    assert "`folder` must hold a run's record.json" in said(None)
    assert "which is no JSON" in said('{"command": "ver')
    assert "must hold a run of verify or train" in said('{"command": "sweep"}')
    assert "has format 99; this version reads 1" in said(json.dumps(whole | {"format": 99}))
    del whole["runs"][0]["history"]["loss"]
    assert "is not whole: KeyError 'loss'" in said(json.dumps(whole))


def test_the_configuration_reads_back_and_the_same_run_is_replaced(finished):
    _, folder = finished
    before = json.loads((folder / "record.json").read_text())
    done = run_here("verify", "--config", folder / "config.toml", "--seeds", "2", "--out", folder)
    assert done.returncode in (1, 3), done.stderr
    after = json.loads((folder / "record.json").read_text())
    assert after["identity"] == before["identity"]
    for row in [*before["runs"], *after["runs"]]:
        row.pop("seconds")
    assert after["runs"] == before["runs"]  # same seed, same machine, same bits


def test_another_configurations_run_is_kept(finished):
    _, folder = finished
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = run_here("verify", *QUICK, "--step-size", "0.5", "--seeds", "1", "--out", folder)
    assert done.returncode == 2
    assert "another configuration's run" in done.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


BAD = {
    "frequencies that do not sum": (["--frequencies", "0.8,0.1"], "`frequencies` must sum to 1"),
    "frequencies that increase": (["--frequencies", "0.1,0.9"], "`frequencies` must be decreasing"),
    "too few dimensions": (["--dim", "5"], "`dim` must be at least 2K = 6"),
    "one patch": (["--num-patches", "1"], "`num_patches` must be at least 2"),
    "cut everything": (["--num-cut", "3"], "`num_cut` must be in [1, P), got 3 with P = 3"),
    "no noise": (["--dominant-noise-std", "0"], "`dominant_noise_std` must be above 0"),
    "negative scale": (["--init-std=-1"], "`init_std` must be at least 0"),
    "flat slope": (["--negative-slope", "0"], "`negative_slope` must be in (0, 1]"),
    "no smoothing": (["--smoothing", "0"], "`smoothing` must be above 0"),
    "backwards": (["--step-size=-1"], "`step_size` must be above 0"),
    "no steps": (["--num-steps", "0"], "`num_steps` must be at least 1"),
    "no seeds": (["--seeds", "0"], "`seeds` must be at least one"),
    "words for seeds": (["--seeds", "many"], "`seeds` must be comma-separated whole numbers"),
    "unknown preset": (["--preset", "nothing"], "`preset` must be one of figure, theorem"),
    "unknown option": (["--nonsense", "1"], "nonsense"),
    "unknown method": (
        ["--methods", "hinge"],
        "`methods` must be among erm, cutout, cutmix, mixup, label_smoothing, or module:Name or file.py:Name of your own, got 'hinge'",
    ),
    "half a dimension": (["--dim", "2000.5"], "must be a whole number, got '2000.5'"),
    "a dimension without end": (["--dim", "1e999999999"], "must be a whole number"),
    "a dimension beyond 64 bits": (["--dim", "1e30"], "`dim` must be at most 4.6e+18, got 1e+30"),
    "more seeds than anyone means": (["--seeds", "9999999999"], "`seeds` must be at least one and at most 1,000,000"),
    "the same seed twice": (["--seeds", "3,3"], "`seeds` must differ from each other, got 3 more than once"),
    "an option of a method that is not run": (
        ["--methods", "erm", "--num-cut", "1"],
        "`num_cut` needs cutout among the methods",
    ),
    "too large": (["--dim", "1000000000", "--coordinates", "dense"], "bytes"),
    "energies of which dimension": (["--keep-energies"], "`keep_energies` goes with `dim`"),
    "missing file": (["--config", "nowhere.toml"], "`config` must be a readable file"),
}


@pytest.mark.parametrize(("arguments", "sentence"), BAD.values(), ids=BAD.keys())
def test_bad_usage_ends_at_once_with_one_sentence(arguments, sentence, tmp_path):
    done = run_here("verify", *arguments, "--out", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_an_unknown_command_lists_them_all():
    done = run_here("trian")
    assert done.returncode == 2
    for name in ("verify", "train", "sweep", "report", "query", "phase", "law", "explore", "images"):
        assert name in done.stderr
    assert "did you mean train?" in done.stderr
    assert "audit, compare, canvas, show" in run_here("images", "sohw").stderr


@pytest.mark.parametrize("command", ["verify", "train", "images audit", "images canvas"])
def test_every_training_takes_its_steps_by_one_name(command):
    shown = run_here(*command.split(), "--help").stdout
    assert "--num-steps --steps INT" in " ".join(shown.split())


def test_the_package_is_the_command():
    done = subprocess.run([sys.executable, "-m", "augscope", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ag.__version__)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("bogus = 1\npreset = 'theorem'", "`bogus` is not a known field"),
        ("num_steps = = 3", "must be valid TOML"),
        ("preset = 'theorem'\nnum_steps = '3'", "`num_steps` must hold numbers, got the text '3'"),
        ("preset = 'theorem'\ndistribution = 5", "`distribution` must be a table, got 5"),
        ("preset = 'theorem'\nmethods = 5", "`methods` is not valid"),
        (
            "preset = 'theorem'\nmethods = ['hinge', 'cutout']",
            "`methods` must be among erm, cutout, cutmix, mixup, label_smoothing, or module:Name or file.py:Name of your own, got 'hinge'",
        ),
    ],
)
def test_bad_files_are_refused(text, sentence, tmp_path):
    (tmp_path / "bad.toml").write_text(text)
    done = run_here("verify", "--config", tmp_path / "bad.toml", "--dim", "2000", "--num-cut", "1")
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_options_go_before_the_file_and_the_file_before_the_preset(tmp_path):
    (tmp_path / "some.toml").write_text(
        "preset = 'figure'\nnum_steps = 7\nmethods = ['erm', {name = 'cutout', num_cut = 2}]\n"
        "[distribution]\nnum_patches = 5\nrarity = 'derive'\n"
    )
    options = ExperimentOptions(
        config=tmp_path / "some.toml", num_samples=20, methods="cutmix,cutout", algorithm="enumerate"
    )
    found = options.experiment()
    assert (found.distribution.dim, found.distribution.num_patches, found.distribution.rarity) == (2000, 5, None)
    assert (found.num_steps, found.num_samples) == (7, 20)
    # A method asked for by name keeps what the file says of it.
    assert found.methods == (ag.CutMix(algorithm="enumerate"), ag.Cutout(num_cut=2))


@pytest.mark.parametrize(
    "model", [ag.FeatureNoise, ag.Network, ag.Cutout, ag.CutMix, ag.Experiment, Claims, CanvasSettings]
)
def test_fields_read_from_the_source_are_those_of_the_class(model):
    read = fields_of(f"{model.__module__}:{model.__name__}")
    assert list(read) == list(model.model_fields)
    for name, field in model.model_fields.items():
        assert read[name].meaning or name == "name"
        assert read[name].default in (None, field.default)


def test_a_field_becomes_an_option_with_its_help(tmp_path, monkeypatch, capsys):
    (tmp_path / "package_of_values").mkdir()
    (tmp_path / "package_of_values" / "__init__.py").touch()
    (tmp_path / "package_of_values" / "values.py").write_text(
        'raise ImportError("only read")\n\nclass Noise(Value):\n    """Noise.\n\n    Args:\n        decay: how fast it decays,\n'
        '            per step.\n        sizes: of patches.\n    """\n\n    decay: float = 0.5\n    rate: float = 0.0\n    "Of decay."\n    sizes: tuple[int, int] | None = None\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    table, found = fields_of("package_of_values.values:Noise"), []
    options_class = options_for(table)(type("NoiseOptions", (), {"__annotations__": {}}))

    def show(*, options=None) -> None:
        found.append(given_values(options or options_class(), table))

    show.__annotations__["options"] = options_class | None
    app = cyclopts.App(default_command=show, result_action="return_value")
    app(["--help"])
    printed = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--decay FLOAT How fast it decays, per step. [default: 0.5]" in printed
    assert "--rate FLOAT Of decay. [default: 0.0]" in printed
    assert "--sizes STR Of patches. Such as 4, or 4x6." in printed
    app([])
    app(["--decay", "2", "--sizes", "4x6"])
    assert found == [{"decay": 0.5, "rate": 0.0}, {"decay": 2.0, "rate": 0.0, "sizes": (4, 6)}]


def test_every_field_of_an_experiment_is_an_option():
    options = {field.name for field in fields(ExperimentOptions)}
    methods = {name for method in (ag.Erm, ag.Cutout, ag.CutMix) for name in method.model_fields} - {
        "name",
        "tolerance",
    }
    of_experiment = {*ag.Experiment.model_fields} - {"distribution", "sampling"}
    tables = ag.FeatureNoise, ag.Network, ag.Sampling
    parts = {*methods, "interpolation_tolerance"}.union(*(table.model_fields for table in tables))
    assert options == of_experiment | parts | {"preset", "config", "keep_energies"}


@pytest.mark.parametrize("width", [80, 120])
def test_the_verdict_table_fits_the_terminal(width, capsys):
    numbers = {"required": "0.9750 ± 0.01", "measured": 0.97, "worst": 0.9513, "digits": ".4f"}
    line = Line("3.2 (3)", "test accuracy overall", 17, 20, 10_000.0, **numbers)
    columns = show.statement_columns(width)
    assert sum(columns.values()) + len(columns) - 1 <= width
    found = SimpleNamespace(lines=[line])
    Console(width=width).print(show.statement_table(columns, found))
    first = capsys.readouterr().out.splitlines()[0]
    assert "…" not in first
    for cell in ("(3) test accuracy overall", "0.9700", "0.9750 ± 0.01", "0.9513", "17 of 20", "10,000"):
        assert cell in first


def test_a_folder_that_fails_while_it_is_written_is_left_as_it_was(tmp_path):
    (tmp_path / "a").write_text("mine")
    with pytest.raises(ValueError, match="`out` could not be written"):
        OutputFolder(tmp_path).write({"a": b"new", "no/such/place": b"new"})
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "mine"


def test_an_interruption_before_anything_was_recorded_keeps_what_is_there(tmp_path, capsys):
    results = Results("train", ag.presets.theorem, (0,), (), None, "augscope train")
    show.finish(results, OutputOptions(out=tmp_path), OutputFolder(tmp_path))
    assert "Interrupted before anything was recorded" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_was_cut_short_does_not_replace_a_finished_one(finished, capsys):
    _, folder = finished
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    experiment = ag.presets.theorem.replace(methods=("erm",), num_samples=20, num_steps=2)
    (run,), _ = run_seeds(experiment, (0,))
    results = Results("train", experiment, (0, 1), (run,), None, "augscope train")
    show.finish(results, OutputOptions(out=folder), OutputFolder(folder))
    assert "the finished run in" in capsys.readouterr().out.replace("\n", " ")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_an_output_that_cannot_be_a_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    done = run_here("train", *QUICK, "--out", tmp_path / "file" / "run")
    assert done.returncode == 2
    assert "`out` must be a folder" in done.stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_train_prints_and_diverges_with_a_sentence():
    done = run_here(
        "train",
        "--preset",
        "figure",
        "--methods",
        "cutmix",
        "--step-size",
        "1e8",
        "--num-steps",
        "150",
        "--num-samples",
        "40",
    )
    assert done.returncode == 1
    assert "diverged: from step" in done.stdout


@pytest.mark.parametrize(
    ("command", "package"),
    [("sweep --status .", "pyarrow"), ("query .", "duckdb"), ("phase . --x rho --y speed", "duckdb")],
)
def test_without_the_extra_a_sweep_says_what_to_install(command, package):
    code = f"import sys; sys.modules[{package!r}] = None; from augscope.cli import main; main({command.split()})"
    done = run_code(code)
    assert done.returncode == 2
    assert f"needs {package}: pip install 'augscope[sweep]'" in done.stderr


def test_without_the_extra_records_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    monkeypatch.delitem(sys.modules, "augscope.sweep.records", raising=False)
    with pytest.raises(ImportError, match=r"augscope.Records needs duckdb: pip install 'augscope\[sweep\]'"):
        _ = ag.Records


def test_help_is_quick_to_import():
    # Not a timing: the help must not import JAX, which is what makes it slow.
    code = "import sys; sys.argv=['augscope','--help']\nfrom augscope.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\nassert 'jax' not in sys.modules"
    done = run_code(code)
    assert done.returncode == 0, done.stderr


def test_a_run_that_is_no_longer_finite_is_shown(tmp_path, capsys):
    runs, sizes = [], {"R": 3, "2": 2, "K": 3}
    for seed, last in enumerate((np.nan, np.inf)):
        made = {row.name: np.ones([sizes[axis] for axis in row.shape]) for row in measures_of(History)}
        for values in made.values():
            values[-1] = last
        made["steps"] = np.arange(3)
        counts, plateau = ((1, 1, 1), (1, 1, 1)), np.full(2, np.nan)
        history, message = History(**made), "diverged: a word"
        runs.append(SeedRun(seed, ag.CutMix(), history, "diverged", message, False, counts, 0.0, plateau))
    experiment = ag.presets.figure.replace(methods=("cutmix",))
    results = Results("train", experiment, (0, 1), tuple(runs), None, "augscope train")
    show.finish(results, OutputOptions(out=tmp_path, json=True), OutputFolder(tmp_path))
    assert json.loads(capsys.readouterr().out)["runs"][0]["last"]["loss"] is None
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)
