"""The script that damages files, gives hostile options and lets writes fail: a little of it always, all of it as a slow test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import hostile
import pytest

QUICK = ("configuration", "grid", "claims", "image")


def test_a_few_damaged_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hostile.make_plain()
    monkeypatch.setattr(hostile, "READERS", {kind: hostile.READERS[kind] for kind in QUICK})
    tally = hostile.Tally()
    hostile.files(tally, 0, 200)
    assert tally.faults == []
    assert sum(count["refused"] for count in tally.counts.values()) > 50


def test_every_command_has_a_quick_line():
    assert set(hostile.COMMANDS) == {name for name, _ in hostile.leaves()}
    assert len(hostile.parameters()) > 150


@pytest.mark.slow
@pytest.mark.parametrize("part", ["files", "options", "writes"])
def test_all_of_it(part):
    script = Path(hostile.__file__)
    done = subprocess.run([sys.executable, script, "--only", part], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    assert "\n0 faults" in done.stdout
