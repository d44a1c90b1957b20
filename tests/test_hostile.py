"""The script that damages files, gives hostile options and lets writes fail: a little of it always, all of it as a slow test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("hostile.py")


def ended(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["files", "options", "writes"])
def test_all_of_it(part):
    done = ended("--only", part)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    assert "\n0 faults" in done.stdout
