"""docs/cscores.md shows only commands that are understood and options that fit, and files that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from augscope.cli import app
from augscope.cli import cscore as command

ROOT = Path(__file__).parents[1]
DOCS = (ROOT / "docs" / "cscores.md").read_text(encoding="utf-8")
SHOWN = [line for block in re.findall(r"```console\n(.*?)```", DOCS, re.S) for line in block.splitlines()]


def test_there_is_something_to_check():
    assert len(SHOWN) == 4


@pytest.mark.parametrize("line", SHOWN)
def test_the_shown_commands_make_a_study(line, monkeypatch, tmp_path):
    """Everything up to the first training, with small files in place of the full ones."""
    from cscore_cases import write_batches, write_scores

    monkeypatch.chdir(tmp_path)
    _, labels = write_batches(tmp_path / "cifar-10-batches-bin", 40)
    write_scores(tmp_path / "cifar10-cscores-orig-order.npz", labels)
    studies = []
    monkeypatch.setattr(command, "_run", lambda study, *rest: studies.append((study, rest)) or 0)
    assert app(shlex.split(line.replace("--device cuda", "--device cpu"))[1:], exit_on_error=False) == 0
    (study, (_, out, _, yes, _)), *more = studies
    assert not more
    assert study.all_plans()
    assert str(out) in line
    assert yes == ("--yes" in line)


def test_pictures_exist():
    targets = re.findall(r"\]\(([^)h][^)]*)\)", DOCS)
    assert targets
    for target in targets:
        assert (ROOT / "docs" / target).exists(), target
