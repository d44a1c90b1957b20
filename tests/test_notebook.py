"""The notebook in examples/ runs from top to bottom, and prints what stands in it."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

NOTEBOOK = Path(__file__).parents[1] / "examples" / "features.ipynb"


def test_every_cell_runs_and_prints_what_it_shows(tmp_path, monkeypatch):
    mpl.use("agg")
    monkeypatch.chdir(tmp_path)
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    names: dict = {}
    for number, cell in enumerate(cells):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
        shown = ["".join(output["text"]) for output in cell["outputs"] if output["output_type"] == "stream"]
        assert printed.getvalue() == "".join(shown)
    plt.close("all")
    assert len(cells) >= 8
    assert (tmp_path / "report" / "report.html").exists()
