"""README and docs show only what runs: every Python block, every command line, every public name."""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import augscope as ag

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
BLOCK = re.compile(r"^```(\{code-cell\} )?(python|console|sh)\n(.*?)^```(?:\s*^```text\n(.*?)^```)?", re.S | re.M)

# What is not run as it stands, by a part of it, and why.
NOT_RUN = {
    "RandomCutMixV2": "needs the extra `compare`; `make compare-laws` runs it",
    "import keras": "needs the extra `compare`; `make compare-laws` runs it",
    "SLURMCluster": "needs a Slurm cluster",
    "KubeCluster": "needs a Kubernetes cluster",
}
# What takes over some ten seconds, and what to run in its place by default (None: nothing).
LONG_PAGES = {
    "theorems.md": "18 descents of 3,000 steps, half a minute",
    "gallery.md": "four figures, half a minute",
    "tutorial.md": "three descents of 3,000 steps",
}
MAKE = "make "  # whose targets must exist


def _blocks(page: Path, *kinds: str) -> list[tuple[str, str, str | None]]:
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [(kind, body, shown or None) for _, kind, body, shown in found if kind in kinds]


def _python(page: Path) -> list[tuple[str, str | None]]:
    return [
        (re.sub(r"^:tags:.*\n", "", body), shown)
        for _, body, shown in _blocks(page, "python")
        if not any(word in body for word in NOT_RUN)
    ]


def _lines(page: Path) -> list[str]:
    lines = [line for _, body, _ in _blocks(page, "console", "sh") for line in body.splitlines() if line.strip()]
    return [line.removeprefix("$ ") for line in lines]


WITH_CODE = [page for page in PAGES if _python(page)]
COMMANDS = [(page.name, line) for page in PAGES for line in _lines(page)]


def _run_page(page: Path, where: Path) -> None:
    """Run a page's Python from top to bottom in one namespace; printed text that the page shows must be what is printed."""
    namespace: dict[str, object] = {"__name__": "__docs__"}
    for code, shown in _python(page):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, page.name, "exec"), namespace)
        assert shown is None or printed.getvalue() == shown


@pytest.mark.parametrize(
    "page", [page for page in WITH_CODE if page.name not in LONG_PAGES], ids=lambda page: page.name
)
def test_python_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _run_page(page, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in WITH_CODE if page.name in LONG_PAGES], ids=lambda page: page.name)
def test_long_pages_run(page, monkeypatch, tmp_path):
    import matplotlib as mpl

    mpl.use("agg")
    monkeypatch.chdir(DOCS if page.name == "gallery.md" else tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    _run_page(page, tmp_path)
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def test_python_that_does_not_run_here_is_at_least_python():
    bodies = [body for page in PAGES for _, body, _ in _blocks(page, "python")]
    for word in NOT_RUN:
        (body,) = [body for body in bodies if word in body]
        compile(body, word, "exec")


# Command lines that train for long or need what only an earlier one makes: they must be understood; the slow suite runs the others.
UNDERSTOOD = {
    "augscope verify --preset theorem --seeds 20 --out reports/verify": "a minute; `make verify` in the README",
    "augscope verify --preset figure --seeds 8 --out reports/figure": "half a minute",
    "augscope verify --frequencies 0.7,0.2,0.1 --rarity derive --num-steps 2000 --seeds 3,5,8": "half a minute",
    "augscope verify --until 1e12 --seeds 10 --out reports/windows": "minutes",
    "augscope verify --seeds 100 --checkpoint reports/kept": "minutes",
    "augscope sweep examples/sweeps/rarity-noise.toml": "six minutes; the two after it look at its records",
    "augscope sweep --status sweeps/rarity-noise": "of that sweep",
    "augscope query sweeps/rarity-noise": "of that sweep",
    "augscope phase sweeps/rarity-noise": "of that sweep",
    "augscope explore": "serves until it is stopped; its own tests open it in a browser",
    "augscope law check albumentations": "needs the extra `compare`",
    "augscope law check kornia": "needs the extra `compare`",
    "augscope law check 'kornia": "needs the extra `compare`",
    "augscope law check 'keras": "needs the extra `compare`",
    "augscope law check timm": "needs timm",
}


def _only_understood(line: str) -> bool:
    return any(line.startswith(known) for known in UNDERSTOOD)


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_every_command_line_is_one_of_ours_and_parses(page, line):
    if line.startswith(MAKE):
        targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
        assert line.split()[1] in targets
        return
    if line.startswith("cd "):
        assert (ROOT / line.split()[1]).is_dir()
        return
    assert line.startswith("augscope "), f"{page} shows a command that no test knows how to run: {line}"
    from augscope.cli import app

    if line.endswith("--help"):
        return
    app.parse_args(shlex.split(line)[1:], exit_on_error=False, print_error=False)


FILES = {"your-own-problem.md": {"mine.toml": r"```toml\n(preset.*?)```"}}  # what a page's text says to write first
QUICK = ("augscope law ", "augscope images ")  # seconds each
RUN_BY_DEFAULT = {"README.md"}


def _runnable(page: Path) -> list[str]:
    return [line for line in _lines(page) if not line.startswith(MAKE) and not _only_understood(line)]


def _run_lines(page: Path, lines: list[str], where: Path) -> None:
    """Run command lines in order, in a folder that stands for the repository's root."""
    for name in ("examples",):
        if not (where / name).exists():
            (where / name).symlink_to(ROOT / name)
    text = page.read_text(encoding="utf-8")
    for name, pattern in FILES.get(page.name, {}).items():
        (where / name).write_text(re.search(pattern, text, re.S).group(1), encoding="utf-8")
    script = Path(sys.executable).with_name("augscope")
    folder = where
    for line in lines:
        words = shlex.split(line)
        if words[0] == "cd":
            folder = where / words[1]
            continue
        environment = {**os.environ, "PATH": f"{script.parent}{os.pathsep}{os.environ['PATH']}"}
        words = [word.replace("../reports", str(where / "reports")) for word in words]
        found = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert found.returncode in (0, 1, 3), f"{line}\n{found.stderr}"  # 1 and 3 are verdicts
        assert found.stdout or found.stderr


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if _runnable(page)], ids=lambda page: page.name)
def test_command_lines_run(page, tmp_path):
    _run_lines(page, _runnable(page), tmp_path)


@pytest.mark.parametrize("page", ["your-own-problem.md"])
def test_the_first_how_to_runs(page, tmp_path):
    _run_lines(DOCS / page, _runnable(DOCS / page), tmp_path)


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
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("script", sorted((DOCS / "gallery").glob("*.py")), ids=lambda path: path.stem)
def test_every_figure_of_the_gallery_is_shown_with_its_script(script):
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    assert f"gallery/{script.name}" in text
    assert f"{script.stem}.draw()" in text
    assert callable(runpy.run_path(str(script))["draw"])


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning_and_asks_no_other_host(tmp_path):
    pytest.importorskip("sphinx", reason="needs the extra `docs`")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-b",
        "html",
        str(DOCS),
        str(tmp_path / "html"),
    ]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    for page in (tmp_path / "html").glob("*.html"):
        text = page.read_text(encoding="utf-8")
        fetched = re.findall(r"<(?:script|img|link|iframe|source)\b[^>]*\b(?:src|href)=\"(?:https?:)?//[^\"]*", text)
        assert fetched == [], page.name
