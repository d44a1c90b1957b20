"""The rooms of the house (docs/architecture.md): which there are, who sees whom, and that no files go in a circle."""

from __future__ import annotations

import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest
from importlinter import cli as import_linter

ROOT = Path(__file__).parents[1]
HOUSE = ROOT / "src" / "augscope"
ROOMS = {
    "cli", "explorer", "studies", "sweep", "theorems", "training", "accuracy", "model", "images", "laws", "support",
}  # fmt: skip
TYPES_ONLY = {"augscope"}  # loads its public names on first use; the imports are there for type checkers


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Every module with the modules of ours that it imports, inside functions too."""
    graph = grimp.build_graph("augscope", cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def test_nothing_stands_beside_the_rooms():
    entries = {path.name for path in HOUSE.iterdir()} - {"__pycache__"}
    assert entries == ROOMS | {"__init__.py", "__main__.py", "py.typed"}


def test_the_contracts_hold(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert import_linter.lint_imports(no_cache=True) == import_linter.EXIT_STATUS_SUCCESS


def test_a_broken_contract_is_seen(tmp_path):
    (tmp_path / "augscope").mkdir()
    for room in ROOMS:
        (tmp_path / "augscope" / room).mkdir()
        (tmp_path / "augscope" / room / "__init__.py").touch()
    (tmp_path / "augscope" / "__init__.py").touch()
    (tmp_path / "augscope" / "model" / "__init__.py").write_text("def late():\n    import augscope.cli\n")
    command = [Path(sys.executable).parent / "lint-imports", "--config", ROOT / "pyproject.toml", "--no-cache"]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(tmp_path)}, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "augscope.model -> augscope.cli" in done.stdout


def test_no_circle_of_files(imports):
    try:
        TopologicalSorter({module: imports[module] for module in imports if module not in TYPES_ONLY}).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_nothing_below_the_command_line_imports_it(imports):
    users = {module for module in imports for seen in imports[module] if seen.startswith("augscope.cli")}
    assert {user for user in users if not user.startswith("augscope.cli")} == {"augscope.__main__"}


def test_the_picture_of_the_rooms_is_of_this_code():
    done = subprocess.run([sys.executable, ROOT / "docs" / "rooms.py", "--check"], check=False)
    assert done.returncode == 0, "docs/rooms.svg is of other code: run `make rooms`"
