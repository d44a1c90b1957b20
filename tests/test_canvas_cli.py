"""`augscope images canvas`: bad usage before any work, results on stdout, files."""

from __future__ import annotations

import json
import sys

import grimp
import pytest
from commands import run_code

from augscope.cli import main

QUICK = ["--side", "12", "--counts", "6,3,1", "--width", "6", "--num-steps", "20", "--num-tests", "5", "--seeds", "2"]


def canvas(*arguments) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["images", "canvas", *map(str, arguments)])
    return int(ended.value.code or 0)


def test_it_prints_a_record_and_writes_files(tmp_path, capsys):
    assert canvas(*QUICK, "--cut", "1", "--out", tmp_path / "study", "--json") == 0
    printed = capsys.readouterr()
    record = json.loads(printed.out)
    assert record == json.loads((tmp_path / "study" / "record.json").read_text(encoding="utf-8"))
    assert record["configuration"]["num_cut"] == [1]
    assert "Test accuracy in %" in printed.err
    assert printed.err.startswith("A step: ERM ")
    assert "6 runs of 20 steps: about" in printed.err
    # Another study is not written over this one, and this one again is.
    assert canvas(*QUICK, "--out", tmp_path / "study") == 2
    assert "must not hold another configuration's run" in capsys.readouterr().err
    assert canvas(*QUICK, "--cut", "1", "--out", tmp_path / "study") == 0
    # Nor are fewer seeds.
    assert canvas(*QUICK[:-1], "1", "--cut", "1", "--out", tmp_path / "study") == 2
    assert "give --overwrite" in capsys.readouterr().err


def test_no_cutout_at_all(capsys):
    assert canvas(*QUICK, "--cut", "none") == 0
    assert "Cutout C =" not in capsys.readouterr().out


def test_mixup_beside_the_others(tmp_path, capsys):
    assert canvas(*QUICK, "--methods", "erm,cutout,mixup,cutmix", "--cut", "1", "--json") == 0
    printed = capsys.readouterr()
    record = json.loads(printed.out)
    assert list(record["methods"]) == ["ERM", "Cutout C = 1", "Mixup", "CutMix"]
    assert "--methods erm,cutout,mixup,cutmix" in record["again"]
    assert "Mixup blends two canvases in halves; the theory says nothing of it." in " ".join(printed.err.split())


BAD = [
    (["--counts", "0,0,0"], "`counts` must be at least 1 each"),
    (["--counts", "70,8,2", "--preset", "homogeneous"], "`counts` must leave 20 digits"),
    (["--num-patches", "2"], "`num_patches` must be in [3, 8]"),
    (["--seeds", "0"], "`seeds` must be at least one"),
    (["--seeds", "1,1"], "`seeds` must differ"),
    (["--seeds", "x"], "`seeds` must be comma-separated whole numbers"),
    (["--preset", "mixed"], "`preset` is not valid"),
    (["--cut", "3"], "`num_cut` must be in [1, P)"),
    (["--out", "/proc/nowhere"], "`out` must be a folder that can be written"),
]


@pytest.mark.parametrize(("arguments", "sentence"), BAD, ids=[sentence[:30] for _, sentence in BAD])
def test_bad_usage_is_one_sentence_before_any_work(arguments, sentence, capsys, monkeypatch):
    def never(*_, **__):
        raise AssertionError("work was begun")

    monkeypatch.setattr("augscope.studies.canvas.study.run_study", never)
    assert canvas(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert sentence in printed.err
    assert len(printed.err.splitlines()) == 1


def test_divergence_is_a_sentence_and_status_1(tmp_path, capsys):
    assert canvas(*QUICK, "--step-size", "1e200", "--out", tmp_path / "study") == 1
    assert "augscope: ERM diverged" in capsys.readouterr().err
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(("module", "package"), [("sklearn", "scikit-learn"), ("PIL", "Pillow")])
def test_a_missing_package_is_named(module, package, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    assert canvas() == 2
    assert capsys.readouterr().err == f"augscope: `images canvas` needs {package}: pip install 'augscope[canvas]'\n"


def test_help_loads_neither_jax_nor_sklearn():
    code = "import sys; from augscope.cli import app; app(['images', 'canvas', '--help'], result_action='return_value'); assert not {'torch', 'sklearn', 'jax', 'matplotlib'} & set(sys.modules)"
    completed = run_code(code)
    assert completed.returncode == 0, completed.stderr
    assert "template" in completed.stdout


def test_the_study_needs_no_torch():
    graph = grimp.build_graph("augscope", include_external_packages=True, cache_dir=None)
    for package in ("jax", "sklearn"):  # so that a chain of imports would be seen
        assert graph.find_shortest_chain("augscope.studies.canvas.record", package) is not None
    assert graph.find_shortest_chain("augscope.studies.canvas.record", "torch") is None
