"""Damaged files, hostile options and failing writes, thousands of them: no traceback, no hang, nothing refused, nothing silently other.

    python tests/hostile.py [--seed 0] [--only files,options,writes] [--cases N]

Prints what it does and counts; exit status 1 if anything was wrong. Without --cases: 3,000 files, 2,000 options, every write.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jax
import numpy as np
import pyarrow as pa
import tomli_w
from audit_cases import planted
from commands import run_here
from failing import failing_runs, plain_picture
from matplotlib.figure import Figure
from PIL import Image
from pyarrow import parquet
from sweep_cases import TINY_TOML, here

import augscope as ag
from augscope.cli import app
from augscope.cli.options import ExperimentOptions
from augscope.explorer.server import Explorer
from augscope.images.reading import read_pictures, whole
from augscope.laws import read_claims
from augscope.studies.audit.dataset import read_data
from augscope.studies.audit.predictions import read_predictions
from augscope.studies.audit.settings import Reading
from augscope.support.files import claim
from augscope.sweep import run as run_module
from augscope.theorems.record import read_results
from augscope.training.kept_runs import KeptRuns

SECONDS, PATIENCE = 10, 120  # of computing, and of waiting, after which a case hangs: other programs may be busy
COUNTS = {"files": 3_000, "options": 2_000, "writes": 10**9}  # of cases, unless --cases
RUN = {
    "preset": "theorem",
    "num-steps": 4,
    "num-samples": 6,
    "dim": 20,
    "record-at": "0,4",
    "methods": "erm",
    "seeds": 1,
}
CANVAS = {"side": 12, "counts": "6,3,1", "width": 6, "num-steps": 20, "num-tests": 5, "seeds": 2}
AUDIT = {"model": "audit/patchnet.py:PatchNet()", "grid": 2, "methods": "erm,cutout-box", "steps": 2, "seeds": 2}
COMMANDS: dict[str, tuple[list[str], dict[str, Any]]] = {  # the quickest use of each: words, and options
    "verify": ([], RUN),
    "train": ([], RUN),
    "sweep": (["grid.toml"], {"out": "swept"}),
    "report": (["run"], {"out": "drawn"}),
    "query": (["cells", "SELECT rho, accuracy FROM records ORDER BY ALL"], {}),
    "phase": (["cells"], {"x": "rho", "y": "speed", "value": "accuracy", "out": "drawn"}),
    "law check": (["augscope.images:BoxCutMix()"], {"num-calls": 64}),
    "explore": ([], {"browser": "false"}),
    "images show": (["photos/image.png"], {"out": "x.png", "size": 32, "grid": 2, "num-cut": 1}),
    "images samples": (["sampled"], {}),
    "images canvas": ([], CANVAS),
    "images audit": (["audit/data.csv"], AUDIT),
    "images compare": (["audited/predictions.parquet"], {}),
}


def line_of(command: str, **changes: Any) -> list[str]:
    """A command's quickest line, with other options; None leaves one out."""
    words, options = COMMANDS[command]
    options = {name: value for name, value in {**options, **changes}.items() if value is not None}
    return [*command.split(), *words, *(f"--{name}={value}" for name, value in options.items())]


@dataclass
class Outcome:
    """How a case ended: what it printed and its status, or the traceback."""

    status: int = 0
    out: str = ""
    err: str = ""
    trace: str = ""

    @property
    def fault(self) -> str:
        """What is wrong with it, whatever it was to do."""
        if self.trace:
            return "hang" if "Hang" in self.trace else "traceback"
        is_sentence = "\naugscope: " in f"\n{self.err}" and not self.out
        return "" if self.status != 2 or is_sentence else "no sentence"


class Hang(BaseException):
    """A case takes too long."""


def outcome_of(action: Callable[[], Any]) -> Outcome:
    """Run a case: a command in this process, or a reader whose ValueError is what the command would say."""

    def ring(*_: object) -> None:
        raise Hang

    clocks = {signal.ITIMER_PROF: (signal.SIGPROF, SECONDS), signal.ITIMER_REAL: (signal.SIGALRM, PATIENCE)}
    for clock, (number, seconds) in clocks.items():
        signal.signal(number, ring)
        signal.setitimer(clock, seconds, 1)  # again, if something catches it
    try:
        done = action()
    except ValueError as error:
        return Outcome(2, "", f"augscope: {error}")
    except BaseException:
        return Outcome(trace=traceback.format_exc())
    finally:
        for clock in clocks:
            signal.setitimer(clock, 0)
    return Outcome(done.returncode, done.stdout, done.stderr) if hasattr(done, "returncode") else Outcome(0, repr(done))


@dataclass
class Tally:
    """Counts by part and by outcome, and the first faults in full."""

    counts: dict[str, Counter] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def add(self, part: str, what: str, outcome: str, details: str = "") -> None:
        """Count a case; one whose outcome is neither `accepted` nor `refused` is a fault."""
        if part not in self.counts:
            print(f"  {part}", flush=True)
        self.counts.setdefault(part, Counter())[outcome] += 1
        if outcome not in ("accepted", "refused"):
            self.faults.append(f"{outcome}: {what}\n{details.strip()[-1500:]}")
            print(f"  {self.faults[-1]}", flush=True)

    def __str__(self) -> str:
        rows = [f"{part}: {sum(count.values()):,} cases, {dict(count)}" for part, count in self.counts.items()]
        return "\n".join([*rows, f"{len(self.faults)} faults"])


# The good files.


def make_plain() -> None:
    """Write the files that take no training, here."""
    experiment = {"preset": "theorem", "num_steps": 4, "num_samples": 6, "record_at": [0, 4], "step_size": 0.5}
    experiment |= {
        "methods": ["erm", {"name": "cutout", "num_cut": 1}],
        "distribution": {"dim": 20, "rarity": "derive"},
    }
    Path("config.toml").write_text(tomli_w.dumps({**experiment, "network": {"negative_slope": 0.2}}))
    Path("grid.toml").write_text(TINY_TOML)
    Path("claims.toml").write_text('kind = "cutmix"\nalpha = 1.0\np = 0.5\nboxes = "clipped"\n')
    Path("raising.py").write_text("class Odd(BaseException): pass\nraise Odd('no')\n")
    Path("photos").mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    for kind in ("png", "jpeg", "gif", "bmp", "webp", "tiff", "ppm"):
        Image.fromarray(noise).save(f"photos/image.{kind}")
    labels = np.tile([1, -1], 4)
    np.savez(
        "own.npz",
        patches=np.eye(8, 12).reshape(8, 3, 4),
        labels=labels,
        test_patches=np.ones((8, 3, 4)),
        test_labels=labels,
    )
    images = []
    for index in range(8):
        Image.fromarray(noise ^ np.uint8(index)).save(stream := io.BytesIO(), "png")
        images.append({"bytes": stream.getvalue(), "path": None})
    columns = {"image": images, "label": ["a", "b"] * 4, "split": ["train"] * 4 + ["test"] * 4}
    parquet.write_table(pa.table(columns), "images.parquet")


def make(folder: Path) -> None:
    """Write one of each kind of file that is read, and what the commands need."""
    os.chdir(folder)
    make_plain()
    planted(Path("audit"), common=3, rare=1, test=12)
    for line in (
        line_of("verify", **{"config": "config.toml", "methods": None, "out": "run"}),
        line_of("train", **{"config": "config.toml", "methods": None, "checkpoint": "kept"}),
        line_of("images canvas", out="canvas"),
        line_of("images audit", out="audited"),
        line_of("sweep", out="cells"),
        ["query", "cells", QUERY],  # remembers digests
    ):
        done = run_here(*line)
        assert done.returncode != 2, done.stderr
    descend(stop_at=2)


def descend(stop_at: int = 10**9) -> ag.Run:
    """A descent that is kept in a file, stopped at a step."""
    distribution = ag.FeatureNoise(
        dim=8,
        num_patches=3,
        frequencies=(0.7, 0.3),
        feature_noise=0.1,
        dominant_noise_std=0.3,
        background_noise_std=0.1,
    )
    dataset = ag.sample_dataset(jax.random.key(3), distribution, num_samples=4, init_std=0.1)

    def progress(step: int, _: float) -> None:
        if step >= stop_at:
            raise KeyboardInterrupt

    options = {"step_size": 0.5, "num_steps": 6, "record_at": (0, 2, 6), "progress": progress}
    return ag.train(dataset, ag.Network(), ag.Erm(), checkpoint="descent.npz", **options)


# Files.


def pictures(path: Path) -> Any:
    """An image as `show` and `audit` read it."""
    shown, refused, _ = read_pictures([path], 32)
    if refused:
        raise ValueError(refused[0])
    return shown[0].pixels.sum(), whole(path, 16, "RGB").sum()


def kept_run(path: Path) -> Any:
    """Finished runs, as the command that goes on finds them."""
    experiment = read_results(Path("run")).experiment
    kept = KeptRuns(path.parent, experiment)
    return [run and run.to_arrays() for run in (kept.load(0, method) for method in experiment.methods)]


def owner(path: Path) -> Any:
    """A record, as the command that would write over it reads it."""
    return claim(path.parent, "images audit", "x", overwrite=True, names=("record.json",))


QUERY = "SELECT rho, accuracy, method FROM records ORDER BY ALL"
READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {  # glob of the files: how each is read
    "configuration": ("config.toml", lambda path: ExperimentOptions(config=path).experiment()),
    "grid": ("grid.toml", lambda path: len(ag.Sweep.from_toml(path).cells())),
    "claims": ("claims.toml", lambda path: read_claims(str(path))),
    "record": ("run/record.json", lambda path: run_here("report", path.parent, "--out", "drawn", "--json")),
    "record of an audit": ("audited/record.json", owner),
    "record of a canvas": ("canvas/record.json", owner),
    "kept run": ("kept/*.npz", kept_run),
    "descent": ("descent.npz", lambda _: descend().history.loss.tolist()),
    "kept training": ("audited/trainings/*.npz", lambda _: run_here(*line_of("images audit", out="audited", json="true"))),
    "part": ("cells/records/*.parquet", lambda _: run_here("query", "cells", QUERY, "--json")),
    "swept grid": ("cells/grids/*.parquet", lambda _: run_here("query", "cells", QUERY, "--json")),
    "digests": ("cells/digests.json", lambda _: run_here("query", "cells", QUERY, "--json")),
    "marker": ("cells/sweep.json", lambda _: run_here("sweep", "--status", "cells")),
    "progress": ("cells/progress.json", lambda _: run_here("sweep", "--status", "cells", "--json")),
    "predictions": ("audited/predictions.parquet", lambda path: read_predictions(path, None, None).identity),
    "list of images": ("audit/data.csv", lambda path: read_data(path, Reading(), lambda *_: None).digest),
    "images in Parquet": ("images.parquet", lambda path: read_data(path).digest),
    "own patches": ("own.npz", lambda path: run_here("train", "--patches", path, "--num-steps", "2", "--methods", "erm", "--json")),
    "image": ("photos/*", pictures),
}  # fmt: skip
# Any changed bit of these shows, by the file's own sums or by its name.
WITH_DIGEST = {"kept run", "descent", "kept training", "part", "swept grid"}
DEEP = "[" * 20_000
VALUES = [
    None, True, [], {}, "", "x", "ξ\x1b[31m\udce9", -1, 0, 3, 1.5, 1e308, float("nan"), float("inf"), 10**30, 10**400, [[1, "a"]],
    {"name": "bogus"}, [None] * 3, ["erm"], "json:loads", "9" * 500,
]  # fmt: skip


def damaged(chance: random.Random, content: bytes) -> bytes:
    """The content with a few bits or bytes changed, or cut off."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 4, 16))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    at = chance.randrange(len(changed))
    return bytes(
        chance.choice([changed, changed, changed, content[:at], content[:at] + content[at + 1 :], DEEP.encode()])
    )


def retyped(chance: random.Random, path: Path) -> bytes | None:
    """The content with a value of another type in one place; None for files that hold no such values."""
    if path.suffix == ".npz":
        with np.load(path) as archive:
            arrays = dict(archive)
        name, array = chance.choice(sorted(arrays)), chance.choice(sorted(arrays))
        others = [np.array("x"), np.array([]), np.float64("nan"), arrays[array], np.zeros((2, 2, 2)), np.array(b"\xff")]
        arrays[name] = chance.choice([*others, arrays[name].astype(str), arrays[name][None]])
        np.savez(stream := io.BytesIO(), **arrays)
        return stream.getvalue()
    if path.suffix not in (".json", ".toml"):
        return None
    tree = tomllib.loads(path.read_text()) if path.suffix == ".toml" else json.loads(path.read_text())
    place, key = chance.choice(list(_places(tree)))
    place[key] = chance.choice(VALUES)
    if path.suffix == ".json":
        return json.dumps(tree).encode()
    try:
        return tomli_w.dumps(tree).encode()
    except (TypeError, UnicodeEncodeError):  # null, say
        return f"{path.read_text()}\n{key} = {chance.choice(VALUES)!r}".encode(errors="replace")


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield tree, key
        if isinstance(value, (dict, list)):
            yield from _places(value)


@patch.object(Figure, "savefig", plain_picture)
def files(tally: Tally, seed: int, cases: int) -> None:
    """Damage the kinds of files in turn; the file is whole again after each case."""
    for number in range(cases):
        kind = list(READERS)[number % len(READERS)]
        pattern, read = READERS[kind]
        chance = random.Random(f"{seed} {number}")
        path = chance.choice(sorted(Path.cwd().glob(pattern)))
        content, expected = path.read_bytes(), _expected(kind, path)
        swapped = retyped(chance, path) if chance.random() < 0.5 else None
        path.write_bytes(damaged(chance, content) if swapped is None else swapped)
        outcome = outcome_of(lambda read=read, path=path: read(path))
        fault = outcome.fault
        is_silent = outcome.status != 2 and outcome.out != expected and path.name not in outcome.err
        if not fault and kind in WITH_DIGEST and swapped is None and is_silent:
            fault = "silent difference"
        word = fault or ("refused" if outcome.status == 2 else "accepted")
        tally.add(f"files, {kind}", f"{kind}, case {number}", word, outcome.trace or outcome.err + outcome.out)
        _restore(kind, path, content)


_KNOWN: dict[tuple[str, str], str] = {}


def _expected(kind: str, path: Path) -> str:
    """What is read of the file as it is."""
    key = kind, str(path)
    if key not in _KNOWN:
        content = path.read_bytes()
        outcome = outcome_of(lambda: READERS[kind][1](path))
        assert outcome.status != 2, outcome
        _KNOWN[key] = outcome.out
        _restore(kind, path, content)
    return _KNOWN[key]


def _restore(kind: str, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    if kind == "digests":
        path.unlink()
        READERS[kind][1](path)  # which remembers anew


# Options.

TEXTS = [
    "", " ", "-1", "0", "1", "2", "1.5", "1e30", "1e400", "9" * 400, "nan", "inf", "-inf", "true", "null", "None", "none", "x", "ξ", "\udce9",
    "\x1b[31m", "n" * 5_000, "a,b", ",", "1,1", "0,1,2,3,4,5,6,7,8,9", "1,nan", "1x1", "0x0", "9x9999999999", "/proc/x.png", "/dev/null", "nowhere",
    "photos", "photos/image.png", "grid.toml", "run", "cells", "link", "pipe", "..", "json:loads", "os:system", "../x:y", "raising.py:thing", "x:",
    ":", DEEP[:2_000], '{"a": [', "'; DROP TABLE records; --", '"', "cell", "history", "seed + 1", "1 / 0", "$\\frac$", "%s{}", "tcp://127.0.0.1:9", "@", "=1+1",
]  # fmt: skip


def leaves(command: Any = app, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its words."""
    names = [name for name in command if not name.startswith("-")]
    if not names:
        yield " ".join(words), command
    for name in names:
        yield from leaves(command[name], (*words, name))


def parameters() -> list[tuple[str, str, int | None]]:
    """Every option and argument: its command, name, and place if it has one."""
    collections = [(name, command.assemble_argument_collection()) for name, command in leaves()]
    return [(name, one.name, one.index) for name, found in collections for one in found if one.name != "*"]


def hostile_line(command: str, name: str, index: int | None, text: str) -> list[str]:
    """A command with one hostile value."""
    if index is None:
        return line_of(command, **{name.removeprefix("--"): text})
    place, line = len(command.split()) + index, line_of(command)
    line[place : place + 1] = [text]
    return line


@contextmanager
def workshop(good: Path) -> Iterator[None]:
    """A copy of the good files, to be spoilt."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(shutil.copytree(good, Path(folder) / "here"))
        (place / "link").symlink_to(place / "no" / "where")
        os.mkfifo(place / "pipe")
        os.chdir(place)
        yield
        os.chdir(good)


def options(tally: Tally, seed: int, cases: int) -> None:
    """Give every option and argument every hostile value, in an order that begins with a few for each."""
    good, chance = Path.cwd(), random.Random(seed)
    rows = parameters()
    pairs = [(row, text) for row in rows for text in chance.sample(TEXTS, len(TEXTS))]
    pairs = [pairs[place] for start in range(len(TEXTS)) for place in range(start, len(pairs), len(TEXTS))]
    for (command, name, index), text in pairs[:cases]:
        line = hostile_line(command, name, index, text)
        with workshop(good):
            outcome = outcome_of(partial(run_here, *line))
        fault = outcome.fault
        if not fault and re.search(r"[\x00-\x08\x0b-\x1f\x7f]", outcome.out + outcome.err):
            fault = "control code"
        word = fault or ("refused" if outcome.status == 2 else "accepted")
        shown = [part if len(part) < 80 else f"{part[:80]}… ({len(part)})" for part in line]
        tally.add(f"options, {command}", repr(shown), word, outcome.trace or outcome.err + outcome.out)


# Writes.

WRITERS = {  # what each command writes to, in the folder where it runs
    "verify": {"out": "out", "checkpoint": "kept"},
    "train": {"out": "out", "checkpoint": "kept"},
    "report": {"out": "out"},
    "sweep": {"out": "out"},
    "phase": {"out": "out"},
    "law check": {"out": "out"},
    "images show": {"out": "out.png"},
    "images canvas": {"out": "out"},
    "images audit": {"out": "out"},
    "images compare": {"out": "out"},
}


def writes(tally: Tally, seed: int, cases: int) -> None:
    """Let each change of files of each command fail; then the same command must complete, and its files be the undisturbed run's."""
    for command, places in WRITERS.items():
        for what, outcome, details in failing_runs(Path.cwd(), line_of(command, **places), seed, cases):
            tally.add(f"writes, {command}", f"{command}, {what}", outcome, details)


# All of it.


@contextmanager
def prepared() -> Iterator[None]:
    """A folder with the good files; cells and explorers of this process."""

    def close(explorer: Explorer, browser: bool) -> None:
        explorer.listening.close()

    before = Path.cwd()
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(run_module, "engine", here),
        patch.object(Explorer, "run", close),
    ):
        make(Path(folder))
        try:
            yield
        finally:
            os.chdir(before)


def main() -> None:
    """Run the parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="files,options,writes")
    parser.add_argument("--cases", type=int)
    given = parser.parse_args()
    parts = {"files": files, "options": options, "writes": writes}
    tally, start = Tally(), time.monotonic()
    with prepared():
        for name in given.only.split(","):
            print(f"{name} …", flush=True)
            parts[name](tally, given.seed, given.cases or COUNTS[name])
            print(f"  {time.monotonic() - start:.0f} s", flush=True)
    print(tally)
    sys.exit(1 if tally.faults else 0)


if __name__ == "__main__":
    main()
