"""What a person waits for before a command says anything: its help, in a fresh process each time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from harness import Figure, figure, seconds

COMMAND = Path(sys.executable).with_name("augscope")


def figures() -> list[Figure]:
    """The help of the whole, and of the command that has most to load once it runs."""
    return [
        figure(f"augscope {' '.join(words)}", seconds(lambda words=words: _say(words)), "s", at_most=0.5)
        for words in (["--help"], ["explore", "--help"])
    ]


def _say(words: list[str]) -> None:
    subprocess.run([COMMAND, *words], stdout=subprocess.DEVNULL, check=True)
