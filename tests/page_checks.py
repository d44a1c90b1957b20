"""Checks of every page: valid HTML, no address outside itself, and the accessibility rules of WCAG 2 A and AA."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path

import html5lib
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
LOOKS = (("light", 1_000), ("dark", 400))


def check_html(text: str) -> None:
    """Fail on the first breach of HTML's syntax, an outside address, an id used twice, or a picture without a label."""
    outside = re.findall(r'(?:src|href)="(?!data:|#)([^"]*)"', text) + re.findall(r"url\((?!#|\"#|data:)[^)]*\)", text)
    assert outside == []
    check_syntax(text)
    for tag in re.findall(r"<svg[^>]*>", text):
        assert 'aria-label="' in tag


def check_syntax(text: str) -> None:
    """Fail on the first breach of HTML's syntax, an id used twice, or an image without a description."""
    parser = html5lib.HTMLParser(strict=False)
    parser.parse(text)
    assert not parser.errors, [
        (place, name, text.splitlines()[place[0] - 1][:200]) for place, name, _ in parser.errors[:3]
    ]
    identifiers = Counter(re.findall(r'\sid="([^"]+)"', text))
    assert [name for name, times in identifiers.items() if times > 1] == []
    for tag in re.findall(r"<img[^>]*>", text):
        assert re.search(r'alt="[^"]+"', tag)


def axe_violations(paths: list[Path], looks: tuple[tuple[str, int], ...] = LOOKS) -> list[str]:
    """What axe-core finds on pages in each of `looks` (colour scheme, width in pixels); skips where there is no Chromium."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: the accessibility rules are checked where there is one")
    from playwright.sync_api import sync_playwright

    violations = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for path in paths:
            for scheme, width in looks:
                page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
                addresses = []
                page.on("request", lambda request, addresses=addresses: addresses.append(request.url))
                page.goto(path.as_uri())
                violations += [f"{path.name} ({scheme}, {width} px): {sentence}" for sentence in violations_on(page)]
                # A phone must not scroll sideways, but inside what says so.
                wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                if wide > 0:
                    violations.append(f"{path.name} ({scheme}, {width} px): {wide} px wider than the window")
                violations += [
                    f"{path.name} loads {url}" for url in addresses if not url.startswith(("file:", "data:"))
                ]
                page.close()
        browser.close()
    return violations


def violations_on(page) -> list[str]:
    """What axe-core finds on a page that a browser shows, in its shadow trees too: a sentence a rule."""
    from axe_playwright_python.sync_playwright import Axe

    violations = Axe().run(page, options={"runOnly": STANDARDS}).response["violations"]
    return [f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:160]}" for one in violations]
