"""The command line for tests: in this process, which takes milliseconds, or as installed, which loads JAX anew."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from augscope.cli import main

COMMAND = Path(sys.executable).with_name("augscope")
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
}  # beside other tests, more threads only wait for each other

# The options of a run of one seed that takes no time.
QUICK = (
    "--preset",
    "theorem",
    "--num-steps",
    "4",
    "--num-samples",
    "6",
    "--dim",
    "20",
    "--methods",
    "erm",
    "--seeds",
    "1",
)


def run_here(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in this process; return what it printed and its exit status."""
    out, err = io.StringIO(), io.StringIO()
    folder = contextlib.chdir(cwd) if cwd is not None else contextlib.nullcontext()
    with folder, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(list(map(str, arguments)))
        except SystemExit as ended:
            status = int(ended.code or 0)
    return subprocess.CompletedProcess(list(arguments), status, out.getvalue(), err.getvalue())


def thinned(values: Iterable[Any], quick: Callable[[Any], bool]) -> list[Any]:
    """Return the values (tuples, where several are given at once) of a parametrised test: the quick ones for every run, the others marked slow."""
    return [
        value
        if quick(value)
        else pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.slow)
        for value in values
    ]


def run_code(code: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own, where nothing is loaded yet."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def run_installed(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the installed command in a process of its own, without a terminal."""
    command = [COMMAND, *map(str, arguments)]
    environment = {**os.environ, **ONE_THREAD}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=cwd)
