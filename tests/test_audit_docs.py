"""What docs/audit.md shows runs as it is shown."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
import torch

from augscope.cli import app

torch.set_num_threads(1)  # small batches in parallel test processes: more threads only wait for each other

DOCS = (Path(__file__).parents[1] / "docs" / "audit.md").read_text(encoding="utf-8")


def test_the_code_and_the_commands_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for kind, body in re.findall(r"```(python|console)\n(.*?)```", DOCS, re.S):
        if kind == "python":
            if "torchvision" in body:  # it would load 170 MB: at least it is Python
                ast.parse(body)
            else:
                exec(body, {})
            continue
        for line in body.splitlines():
            assert app(shlex.split(line)[1:], exit_on_error=False, print_error=False) == 0
    assert (tmp_path / "from-folder" / "report.html").exists()
    assert r'"3 \u00b7 thin"' in capsys.readouterr().out


def test_samples_go_to_a_new_folder_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert app(["images", "samples", "here"], exit_on_error=False, print_error=False) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here"]
    assert len(list((tmp_path / "here").rglob("*.png"))) == 357
    with pytest.raises(ValueError, match="`folder` must be a new one, got here"):
        app(["images", "samples", "here"], exit_on_error=False, print_error=False)
