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


def test_every_picture_is_described(built):
    pages = [(page.name, page.read_text(encoding="utf-8")) for page in built.glob("*.html")]
    pictures = [
        (name, re.search(r'alt="([^"]*)"', image)) for name, text in pages for image in re.findall(r"<img[^>]*>", text)
    ]
    assert len(pictures) > 10
    for name, description in pictures:
        assert description is not None, name
        assert description[1], name
        assert ".png" not in description[1], name  # the file's name, where no description is given
