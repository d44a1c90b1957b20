"""README and docs show only what runs: every Python block, every command line, every public name.

A page's blocks run from top to bottom in a folder that stands for the repository's root: Python in one namespace, command
lines as typed, and the text block that follows must be what is printed. By default the quick blocks of two pages run, and
every command line is understood; `-m slow` runs all blocks of all pages.
"""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path
from typing import NamedTuple

import pytest
import tomli_w
from commands import COMMAND, run_code, run_here

import augscope as ag
from augscope.sweep.grid import Sweep

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
GRIDS = [*sorted((EXAMPLES / "sweeps").glob("*.toml")), EXAMPLES / "custom.toml"]  # their comments show commands too
_outputs = runpy.run_path(str(DOCS / "outputs.py"))
BLOCK, printed = _outputs["BLOCK"], _outputs["printed"]
SAVED = re.compile(r'savefig\("([^"]+)"\)')
IN_A_TABLE = re.compile(r"^\| `(augscope [^`]+)` \|", re.M)
IN_A_COMMENT = re.compile(r"^#   ((?:augscope|cd) .*)$", re.M)

# Which blocks run by default, by the words they begin with: 15 s on one core.
QUICK = {"README.md": ("import jax",)}
# What is not run as it stands, and why.
NOT_RUN = {
    "from dask_jobqueue": "needs a Slurm cluster",
    "make test": "runs this test",
    "make install": "installs what this test already has",
    "source .venv": "says where the commands are",
    "augscope verify --preset theorem --seeds 20": "what `make verify` of the README runs",
}
ELSEWHERE = {  # pages with a test of their own
    "audit.md": "test_audit_docs.py",
    "cscores.md": "test_cscores.py",
    "fashion.md": "test_fashion.py",
}
SHORTER = {"--seeds 30": "--seeds 2"}  # minutes each, as shown
EXTRAS = (
    "kornia",
    "keras",
    "torchvision",
    "timm.",
    "albumentations",
    "monai",
)  # of `make compare-laws`: what names one of them runs where it is installed
FILES = {  # what a page says to write first
    "your-own-problem.md": {"mine.toml": r"```toml\n(preset.*?)```"},
    "augmentation-laws.md": {
        "my_file.py": r"```python\n(import numpy as np\nimport torch\n\n\ndef mix\(.*?)```",
        "mix.py": r"```python\n(import numpy as np\nimport torch\n[^`]*?def flat.*?)```",
    },
}


class Piece(NamedTuple):
    """A block of Python or one command line, and the text shown as its output."""

    kind: str
    text: str
    shown: str | None = None


def _pieces(page: Path) -> list[Piece]:
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".toml":
        return [Piece("console", line) for line in IN_A_COMMENT.findall(text)]
    found = []
    for kind, body, shown in BLOCK.findall(text):
        if kind == "python":
            found.append(Piece(kind, body, shown or None))
        else:
            found += [Piece(kind, line) for line in body.splitlines() if line.strip()]
    return found + [Piece("console", line) for line in IN_A_TABLE.findall(text)]


def _begins(piece: Piece, words) -> bool:
    return any(piece.text.startswith(word) for word in words)


def _lines(page: Path) -> list[str]:
    return [piece.text for piece in _pieces(page) if piece.kind == "console"]


def _missing(piece: Piece) -> bool:
    return any(name in piece.text and importlib.util.find_spec(name.strip(".")) is None for name in EXTRAS)


WITH_LINES = [page for page in [*PAGES, *GRIDS] if _lines(page)]
WITH_CODE = [page for page in [*PAGES, *GRIDS] if _pieces(page) and page.name not in ELSEWHERE]


def _prepare(page: Path, where: Path) -> None:
    """Lay out what a page's commands find in the repository; shipped grids are cut down to some cells of some steps."""
    shutil.copytree(EXAMPLES, where / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(DOCS / "gallery", where / "gallery", ignore=shutil.ignore_patterns("__pycache__"))
    for path in (where / "examples" / "sweeps").glob("*.toml"):
        path.write_text(tomli_w.dumps(_cut_down(tomllib.loads(path.read_text(encoding="utf-8")))), encoding="utf-8")
    for name, pattern in FILES.get(page.name, {}).items():
        (body,) = re.findall(pattern, page.read_text(encoding="utf-8"), re.S)
        (where / name).write_text(body, encoding="utf-8")


def _cut_down(grid: dict) -> dict:
    """The same grid with a setting `small` of at most one seed, few points, and the first two values of each axis."""
    axes = {**grid["axes"], **grid["settings"]["small"].get("axes", {})}
    few = {name: axis[:2] if isinstance(axis, list) else {**axis, "count": 2} for name, axis in axes.items()}
    steps = {} if "until" in grid.get("experiment", {}) else {"num_steps": 20}
    seeds = {"seeds": 1} if "seeds" in grid else {}  # a population has none
    small = {**seeds, "experiment": {"num_samples": 20, **steps}, "axes": few}
    return {**grid, "settings": {"small": small}}


def _run(page: Path, pieces: list[Piece], where: Path, monkeypatch) -> None:
    """Run a page's pieces in order; what a piece prints must be what the page shows."""
    monkeypatch.chdir(where)
    monkeypatch.setattr(sys, "path", [*sys.path])
    namespace: dict[str, object] = {"__name__": "__docs__"}
    for piece in pieces:
        if _begins(piece, NOT_RUN) or _missing(piece):
            continue
        if piece.kind == "console":
            _run_line(page, piece.text, where)
            continue
        output = printed(piece.text, namespace)
        assert piece.shown is None or output == piece.shown
        for name in SAVED.findall(piece.text):
            assert (where / name).stat().st_size > 0
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def _run_line(page: Path, line: str, where: Path) -> None:
    """Run one line as typed, but for SHORTER, in the folder that the `cd`s before it lead to."""
    for part, shorter in SHORTER.items():
        line = line.replace(part, shorter)
    words = shlex.split(line)
    if words[0] == "cd":
        os.chdir(words[1])
        return
    if words[0] == "make":
        words = shlex.split(_recipe(words[1]))
    if words[:2] == ["augscope", "explore"]:
        _serve(words)
        return
    found = run_here(*words[1:])
    verdicts = (0, 1, 3) if words[1] in ("verify", "law") else (0,)
    assert found.returncode in verdicts, f"{page.name}: {line}\n{found.stderr}"
    assert found.stdout or found.stderr
    if line == "make verify" and page.name == "commands.md":
        (table,) = re.findall(r"^```text\n(Each data point .*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)
        assert _without_blanks(table) in _without_blanks(found.stdout)


def _without_blanks(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def _recipe(target: str) -> str:
    """The `augscope` line of a target of the Makefile, with the variables' defaults."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    (line,) = re.findall(rf"^{target}:.*\n\t\$\(BIN\)/(augscope .*)$", text, re.M)
    return re.sub(r"\$\((\w+)\)", lambda found: re.search(rf"^{found[1]} \?= (.*)$", text, re.M)[1], line)


def _serve(words: list[str]) -> None:
    """Start a command that serves until it is stopped, fetch the page from the address that it prints, and stop it."""
    command = [COMMAND, *words[1:], "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            address = server.stdout.readline().strip()
            with urllib.request.urlopen(address, timeout=60) as answer:
                assert answer.status == 200
                assert b"<html" in answer.read()
        finally:
            server.terminate()
            server.wait(timeout=20)


@pytest.mark.parametrize("name", QUICK)
def test_the_quick_blocks_run(name, tmp_path, monkeypatch):
    (page,) = [page for page in PAGES if page.name == name]
    pieces = [piece for piece in _pieces(page) if _begins(piece, QUICK[name])]
    assert len(pieces) >= len(QUICK[name])
    _prepare(page, tmp_path)
    _run(page, pieces, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.name)
def test_every_block_of_a_page_runs(page, tmp_path, monkeypatch):
    import matplotlib as mpl

    mpl.use("agg")
    _prepare(page, tmp_path)
    _run(page, _pieces(page), tmp_path, monkeypatch)


@pytest.mark.parametrize("page", WITH_LINES, ids=lambda page: page.name)
def test_every_command_line_is_understood(page, tmp_path, monkeypatch, capsys):
    """It parses; `verify` and `train` come as far as their first descent, a sweep as far as its first cell."""
    from augscope.cli import app

    _prepare(page, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for line in _lines(page):
        words = shlex.split(line)
        if words[0] == "cd":
            os.chdir(words[1])
        elif words[0] == "make":
            assert words[1] in _targets()
        elif line.startswith("source .venv"):
            continue
        elif words[0] == "python":
            assert (ROOT / words[1]).is_file(), f"{page.name}: {line}"
        elif words[-1] == "--help":
            assert app.parse_args(words[1:-1], exit_on_error=False, print_error=False)[1] is not None
        else:
            assert words[0] == "augscope", f"{page.name} shows a command that no test knows how to run: {line}"
            _, bound, _ = app.parse_args(words[1:], exit_on_error=False, print_error=False)
            if words[1] in ("verify", "train") and "--patches" not in words:  # that file the page's Python writes
                _stop_at_the_first_descent(words, monkeypatch, capsys)
            if "grid" in bound.arguments and words[1] == "sweep":
                assert Sweep.from_toml(bound.arguments["grid"], bound.arguments.get("setting")).cells()


def _stop_at_the_first_descent(words: list[str], monkeypatch, capsys) -> None:
    from augscope.cli import main

    def stop(*_, **__):
        raise ValueError("enough")

    monkeypatch.setattr("augscope.training.preparation.measure_cost", stop)  # all is checked, nothing is trained
    with pytest.raises(SystemExit):
        main(words[1:])
    assert "enough" in capsys.readouterr().err


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))


def test_make_targets_that_the_text_names_exist():
    shown = {
        name for page in PAGES for name in re.findall(r"`make ([a-z-]+)[` ]", page.read_text(encoding="utf-8"))
    } | {words[1] for page in PAGES for line in _lines(page) if (words := line.split())[0] == "make"}
    assert {"verify", "test"} <= shown <= _targets()


def test_shipped_grids_have_cells_in_full_and_small():
    for path in GRIDS:
        assert len(Sweep.from_toml(path).cells()) > len(Sweep.from_toml(path, "small").cells()) > 0


def test_what_does_not_run_here_is_at_least_python():
    pieces = [piece for page in PAGES for piece in _pieces(page)]
    for word in NOT_RUN:
        assert [piece for piece in pieces if piece.text.startswith(word)], f"nothing begins with {word}"
    for piece in pieces:
        if piece.kind == "python":
            compile(piece.text, piece.text[:40], "exec")


def test_pages_that_others_hold_are_held():
    for name, test in ELSEWHERE.items():
        assert f'"{name}"' in (Path(__file__).parent / test).read_text(encoding="utf-8")


def test_pictures_and_links_exist():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not target.startswith("mailto:"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_public_name_is_in_the_api():
    from augscope import images, laws

    text = (DOCS / "api.md").read_text(encoding="utf-8")
    for module in (ag, laws, images):
        documented = set(re.findall(rf":: {re.escape(module.__name__)}\.(\w+)$", text, re.M))
        assert documented == set(module.__all__)


def test_every_command_is_shown():
    from augscope.cli import app

    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    names = [name for name in app if not name.startswith("-")]
    assert len(names) >= 7
    assert [name for name in names if not re.search(rf"augscope {name}\b", text)] == []


def test_help_loads_nothing_heavy():
    code = (
        "import sys, augscope.cli\n"
        "try: augscope.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'jax', 'torch', 'matplotlib', 'pyarrow', 'duckdb', 'scipy', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    found = run_code(code)
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("script", sorted((DOCS / "gallery").glob("*.py")), ids=lambda path: path.stem)
def test_every_figure_of_the_gallery_is_shown_with_its_script(script):
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    assert f"](gallery/{script.stem}.svg)" in text
    assert f"](gallery/{script.name})" in text
    assert callable(runpy.run_path(str(script))["draw"])


def test_examples_that_a_page_shows_are_shown_as_they_are():
    text = (DOCS / "your-own-method.md").read_text(encoding="utf-8")
    for name in ("custom_method.py", "custom_activation.py"):
        assert f"`examples/{name}`:\n\n```python\n{(EXAMPLES / name).read_text(encoding='utf-8')}```" in text


def test_every_promise_of_safety_names_tests_that_exist():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    names = re.findall(r"`(tests/\w+\.py|…)::([\w:]+)`", text)
    assert len(names) >= 10
    file = ""
    for place, name in names:
        file = file if place == "…" else (ROOT / place).read_text(encoding="utf-8")
        for part in name.split("::"):
            assert re.search(rf"(class|def) {part}\b", file), (place, name)
