"""What the docs and the shipped grids show can be run: commands are understood, pictures exist, columns are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from augscope.cli import app
from augscope.sweep.grid import Sweep

ROOT = Path(__file__).parents[1]
DOCS = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")
GRIDS = sorted((ROOT / "examples" / "sweeps").glob("*.toml"))
SHOWN = [line for block in re.findall(r"```console\n(.*?)```", DOCS, re.S) for line in block.splitlines()]
SHOWN += [
    line.lstrip("# ")
    for path in GRIDS
    for line in path.read_text(encoding="utf-8").splitlines()
    if line.startswith("#   augscope")
]


def test_there_is_something_to_check():
    assert len(SHOWN) == 4 + 2 * len(GRIDS)


@pytest.mark.parametrize("line", SHOWN)
def test_the_shown_commands_are_understood(line):
    _, bound, _ = app.parse_args(shlex.split(line)[1:], exit_on_error=False, print_error=False)
    for path in re.findall(r"examples/\S+\.toml", line):
        assert (ROOT / path).exists()
    if "setting" in bound.arguments:
        assert Sweep.from_toml(ROOT / bound.arguments["grid"], bound.arguments["setting"]).cells()


def test_pictures_and_python_are_sound():
    for target in re.findall(r"\]\(([^)h][^)]*)\)", DOCS):
        assert (ROOT / "docs" / target).exists(), target
    for block in re.findall(r"```python\n(.*?)```", DOCS, re.S):
        compile(block, "docs", "exec")
