"""The README shows only what runs."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```console\n(.*?)```", README, re.S) for line in block.splitlines()]


def test_the_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    shown = {line.split()[1] for line in COMMANDS if line.startswith("make ")} | set(
        re.findall(r"`make ([a-z-]+)`", README)
    )
    assert {"verify", "test"} <= shown <= targets


WINGS = ("augscope law ", "augscope images ")  # quick enough to run as they are
SERVES = "augscope explore"  # until it is stopped; its own tests open it in a browser


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith(WINGS)])
def test_the_quick_commands_run(command, monkeypatch, tmp_path):
    from augscope.cli import main

    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(command)[1:])
    assert ended.value.code == 0


@pytest.mark.parametrize(
    "command",
    [line for line in COMMANDS if line.startswith("augscope ") and not line.startswith((*WINGS, SERVES))],
)
def test_the_shown_commands_are_understood(command, monkeypatch, capsys):
    """Each parses and configures a valid experiment; training itself is cut short."""
    import augscope.seeds as seeds_module
    import augscope.verification as verification
    from augscope.cli import main

    called = []

    def stop(experiment, seeds, *_, **__):
        called.append(experiment)
        raise ValueError("enough")

    monkeypatch.setattr(verification, "verify", stop)
    monkeypatch.setattr(seeds_module, "run_seeds", stop)
    with pytest.raises(SystemExit) as ended:
        main(command.split()[1:])
    assert (ended.value.code == 0) == command.endswith("--help")
    assert len(called) == (not command.endswith("--help"))
    assert command.endswith("--help") or "enough" in capsys.readouterr().err


def test_the_python_example_prints_what_it_shows():
    code, shown = re.search(r"```python\n(.*?)```\s*```text\n(.*?)```", README, re.S).groups()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    assert printed.getvalue() == shown


def test_the_picture_and_links_exist():
    for target in re.findall(r"\]\(([^)h][^)]*)\)", README):
        assert (ROOT / target).exists(), target
