"""What docs/audit.md shows runs as it is shown."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
import torch

import augscope as ag
from augscope.cli import app

torch.set_num_threads(1)  # small batches in parallel test processes: more threads only wait for each other

DOCS = (Path(__file__).parents[1] / "docs" / "audit.md").read_text(encoding="utf-8")


def test_the_code_and_the_commands_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_as_timm()
    for kind, body in re.findall(r"```(python|console)\n(.*?)```", DOCS, re.S):
        if kind == "python":
            if (
                "torchvision" in body or "lightning" in body
            ):  # 170 MB of images; not among what tests need: at least it is Python
                ast.parse(body)
            else:
                exec(body, {})
            continue
        for line in body.splitlines():
            assert app(shlex.split(line)[1:], exit_on_error=False, print_error=False) == 0
    assert (tmp_path / "from-folder" / "report.html").exists()
    result = ag.compare("timm.parquet")
    assert [cell.test.estimate for cell in result.measured.accuracies.values()] == [1, 1, 0, 0]
    assert r'"3 \u00b7 thin"' in capsys.readouterr().out


def write_as_timm() -> None:
    """Files of the columns that timm's `inference.py` writes with the options on the page: one method right, one wrong."""
    Path("results").mkdir()
    for method, sign in (("erm", 1), ("cutmix", -1)):
        for seed in (0, 1):
            rows = [f"cat/{i}.png,{sign},{-sign}\ndog/{i}.png,{-sign},{sign}" for i in range(12)]
            Path("results", f"{method}-{seed}.csv").write_text("\n".join(["filename,logit_0,logit_1", *rows]))


@pytest.mark.slow
def test_lightnings_predictions_can_be_compared(tmp_path, monkeypatch):
    """Where Lightning is installed."""
    pytest.importorskip("lightning")
    monkeypatch.chdir(tmp_path)
    (body,) = [body for body in re.findall(r"```python\n(.*?)```", DOCS, re.S) if "lightning" in body]
    exec(body, {})
    assert ag.compare("predictions.csv").design.methods == ("erm", "noise")


def test_samples_go_to_a_new_folder_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert app(["images", "samples", "here"], exit_on_error=False, print_error=False) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here"]
    assert len(list((tmp_path / "here").rglob("*.png"))) == 357
    with pytest.raises(ValueError, match="`folder` must be a new one, got here"):
        app(["images", "samples", "here"], exit_on_error=False, print_error=False)
