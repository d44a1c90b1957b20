"""The documentation as it is built: no warning, valid, accessible, asking no other host, with every picture in its place."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from page_checks import axe_violations, check_syntax

DOCS = Path(__file__).parents[1] / "docs"
LOOKS = tuple((scheme, width) for scheme in ("light", "dark") for width in (1_280, 400))
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder of the pages; as `make docs` makes them, where a warning is an error."""
    pytest.importorskip("sphinx", reason="needs the extra `docs`")
    folder = tmp_path_factory.mktemp("html")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(DOCS), str(folder)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert found.returncode == 0, found.stderr
    return folder


def test_every_page_is_valid_and_asks_no_other_host(built):
    for page in built.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        check_syntax(text)
        fetched = re.findall(r"<(?:script|img|link|iframe|source)\b[^>]*\b(?:src|href)=\"(?:https?:)?//[^\"]*", text)
        assert fetched == [], page.name


def test_every_page_is_accessible(built):
    assert axe_violations(sorted(built.glob("*.html")), LOOKS) == []


@pytest.mark.parametrize(
    ("page", "drawn"), [("gallery", r"^\w+\.draw\(\)"), ("theorems", r"^picture\("), ("tutorial", r"plt\.subplots")]
)
def test_what_cells_draw_is_shown_and_described(built, page, drawn):
    source = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    images = re.findall(r"<img[^>]*>", (built / f"{page}.html").read_text(encoding="utf-8"))
    assert len(images) == len(re.findall(drawn, source, re.M)) > 0
    for image in images:
        assert (
            ".png" not in re.search(r'alt="([^"]*)"', image)[1]
        )  # the name of the file, where no description is given
