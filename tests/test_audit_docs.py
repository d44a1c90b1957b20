"""What docs/audit.md shows runs as it is shown."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import torch

from augscope.cli import app

torch.set_num_threads(1)  # small batches in parallel test processes: more threads only wait for each other

DOCS = (Path(__file__).parents[1] / "docs" / "audit.md").read_text(encoding="utf-8")


def test_the_code_and_the_commands_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", DOCS, re.S)
    (block,) = re.findall(r"```console\n(.*?)```", DOCS, re.S)
    exec(code, {})
    for line in block.splitlines():
        assert app(shlex.split(line)[1:], exit_on_error=False, print_error=False) == 0
    assert (tmp_path / "from-folder" / "report.html").exists()
    assert r'"3 \u00b7 thin"' in capsys.readouterr().out
