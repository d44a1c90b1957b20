"""Writes that fail: the disk is full, or the process is killed, at the n-th change of the files below a folder.

Every change is seen, whatever function makes it: Python itself reports them (`sys.addaudithook`), but for what goes into a file,
which is all on the disk, or half of it, when that is asked for (`os.fsync`). Meant for a process of its own: a hook stays.
"""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from commands import run_here
from matplotlib.figure import Figure
from sweep_cases import comparable, here

from augscope.model.jax_setup import set_up_jax
from augscope.sweep import run as run_module

MAKES, REMOVES = ("os.rename", "os.mkdir", "os.truncate", "os.link", "os.symlink"), ("os.remove", "os.rmdir")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def _full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


FAILURES: dict[str, tuple[Callable[[], None], tuple[str, ...]]] = {
    "full": (_full, MAKES),  # from then on; removing is possible on a full disk
    "kill": (_kill, MAKES + REMOVES),
}


def fail_at(folder: Path, failure: str, number: int | None) -> list[str]:
    """Let this process fail at a change of files below a folder, counted from 0; None: never.

    Returns:
        A list that grows with every change: what it is, and of which file.
    """
    fail, events = FAILURES[failure]
    changes: list[str] = []
    fsync = os.fsync

    def count(event: str, path: str) -> bool:
        """Whether this change fails."""
        if not os.path.abspath(path).startswith(f"{folder}{os.sep}"):
            return False
        changes.append(f"{event} {path}")
        return number is not None and len(changes) > number

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        is_change = event in events or (event == "open" and bool((arguments[2] or 0) & WRITING))
        if (
            is_change
            and isinstance(arguments[0], (str, bytes, os.PathLike))
            and count(event, os.fsdecode(arguments[0]))
        ):
            fail()

    def half_written(descriptor: int) -> None:
        if count("os.fsync", os.readlink(f"/proc/self/fd/{descriptor}")):
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            fail()
        fsync(descriptor)

    os.fsync = half_written
    sys.addaudithook(hook)
    return changes


def plain_picture(figure: Figure, stream: Any, **_: Any) -> None:
    """A picture that takes no time to draw, in place of `Figure.savefig`; that real ones are drawn is tested elsewhere."""
    content = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>'
    stream.write_bytes(content) if isinstance(stream, Path) else stream.write(content)


def _command(line: Sequence[str], place: Path, failure: str, number: int | None) -> None:
    """Run a command in this new process, its files in a folder; say beside that folder how it ended."""
    os.chdir(place)
    Figure.savefig = plain_picture  # type: ignore[method-assign]
    set_up_jax()
    run_module.engine = here  # type: ignore[assignment]
    run_module.WRITE_SECONDS, run_module.MAX_BATCH = 0.0, 4  # several parts, and a merge
    changes, ended = fail_at(place, failure, number), {"status": None, "err": ""}
    try:
        done = run_here(*line)
        ended = {"status": done.returncode, "err": done.stderr}
    except BaseException:
        ended["err"] = traceback.format_exc()
    place.with_name("ended.json").write_text(json.dumps({**ended, "changes": changes}))


def _run(line: Sequence[str], place: Path, failure: str = "kill", number: int | None = None) -> dict[str, Any]:
    """How a command ended in a process of its own, which has loaded everything before; its status is -9 where it was killed."""
    report = place.with_name("ended.json")
    report.unlink(missing_ok=True)
    process = _PROCESSES.Process(target=_command, args=(line, place, failure, number))
    process.start()
    process.join(PATIENCE)
    if process.is_alive():
        process.kill()
        return {"status": None, "err": "Hang", "changes": []}
    return json.loads(report.read_text()) if report.exists() else {"status": process.exitcode, "err": "", "changes": []}


PATIENCE = 120  # seconds after which a run hangs, on a machine that is busy
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    ["failing", "augscope.studies.audit.study", "augscope.theorems.report", "augscope.laws"]
)
_TIMES = re.compile(rb'"(seconds|finished)": [^,}]+')


def contents(place: Path) -> dict[str, Any]:
    """A run's files by name, but for times; a sweep's records in place of its files, and of checkpoints the names alone."""
    files: dict[str, Any] = {}
    for path in sorted(path for path in place.rglob("*") if path.is_file() and not path.is_symlink()):
        name = str(path.relative_to(place))
        if path.name not in ("digests.json", "lock", "progress.json") and path.suffix != ".parquet":
            files[name] = b"" if path.suffix == ".npz" else _TIMES.sub(b"", path.read_bytes())
    if (place / "out" / "sweep.json").exists():
        files["records"] = comparable(place / "out")
    return files


def failing_runs(folder: Path, line: Sequence[str], seed: int, cases: int) -> Iterator[tuple[str, str, str]]:
    """Let a command fail at each of its changes (at most `cases`, drawn by chance) and run it again.

    Args:
        folder: with what the command needs; it runs in a folder of links to that.
        line: the command.

    Yields:
        What failed; "accepted" if the run completed all the same or the second did, "refused" if the first ended in a sentence,
        otherwise the fault's name; and details.
    """
    with tempfile.TemporaryDirectory() as work:
        place = Path(work).resolve() / "place"
        for failure in FAILURES:
            _lay_out(place, folder)
            whole = _run(line, place, failure)
            expected = contents(place)
            shutil.rmtree(place)
            if not whole["changes"]:
                yield failure, "undisturbed run fails", str(whole)
            points = range(len(whole["changes"]))
            for number in sorted(random.Random(seed).sample(points, min(cases, len(points)))):
                _lay_out(place, folder)
                first = _run(line, place, failure, number)
                between = contents(place)
                second = _run(line, place)
                fault = _fault(whole, expected, first, between, second, contents(place))
                what = f"{failure} at {whole['changes'][number].replace(str(place), '')}"
                yield (
                    what,
                    fault or ("accepted" if first["status"] == whole["status"] else "refused"),
                    f"{first}\n{second}",
                )
                shutil.rmtree(place)


def _lay_out(place: Path, folder: Path) -> None:
    """Make a folder with links to what the command needs."""
    place.mkdir()
    for path in folder.iterdir():
        (place / path.name).symlink_to(path)


def _fault(whole: dict, expected: dict, first: dict, between: dict, second: dict, after: dict) -> str:
    """What is wrong with a run that failed and the one after it."""
    if None in (first["status"], second["status"]):
        return "hang" if "Hang" in (first["err"], second["err"]) else "traceback"
    if first["status"] == whole["status"] and between != expected:
        return _difference(expected, between)
    if second["status"] != whole["status"]:
        return "refused folder"
    return "" if after == expected else _difference(expected, after)


def _difference(expected: dict[str, Any], files: dict[str, Any]) -> str:
    """Names the files that differ."""
    names = sorted(
        name
        for name in {*expected, *files}
        if name not in expected or name not in files or expected[name] != files[name]
    )
    return f"silent difference in {', '.join(names)}"
