"""How long `augscope explore` takes to show a picture, from the start of the navigation, in a browser started anew each time.

Needs `augscope[test,explorer]` and Chromium: `python benchmarks/explorer.py`, five visits.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from harness import Figure, conditions, figure, print_figures, write_json
from playwright.sync_api import sync_playwright

COMMAND = Path(sys.executable).with_name("augscope")
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
WAIT = 60_000  # milliseconds
# When the browser has painted the picture, by its own word: milliseconds since the navigation began, redirection included.
WATCH = """new PerformanceObserver((seen) => {
  for (const one of seen.getEntries()) if (one.identifier === "picture") window.painted = one.renderTime;
}).observe({type: "element", buffered: true})"""


def figures(visits: int) -> list[Figure]:
    """Return the start of the server, and both pictures' times at the default settings."""
    begun = time.perf_counter()
    command = [COMMAND, "explore", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        started = time.perf_counter() - begun
        seen = [visit(address) for _ in range(visits)]
        server.terminate()
    pictures, pages = zip(*seen, strict=True)
    return [
        figure("explore: first picture, from the start of the navigation", pictures, "s", at_most=3.0),
        figure("explore: the page itself, with sliders and its first chart", pages, "s"),
        figure("explore: from the command to the address", [started], "s"),
    ]


def visit(address: str) -> tuple[float, float]:
    """Return the seconds until the first picture is painted, and until the page's own chart stands, in a fresh browser."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page: Any = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.add_init_script(WATCH)
        begun = time.perf_counter()
        page.goto(address, wait_until="domcontentloaded")
        page.wait_for_function("window.painted > 0", timeout=WAIT)
        painted = page.evaluate("window.painted") / 1000
        page.locator("#opening").wait_for(state="detached", timeout=WAIT)
        whole = time.perf_counter() - begun
        browser.close()
    return painted, whole


def main() -> None:
    """Measure, print and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=5)
    parser.add_argument("--json", type=Path, default=Path("reports/bench-explorer.json"))
    arguments = parser.parse_args()
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    before, found = conditions(), figures(arguments.visits)
    print(f"load before: {before['load_before']:.2f}, after: {os.getloadavg()[0]:.2f}")
    print_figures(found)
    write_json(arguments.json, {"explorer": found}, before)


if __name__ == "__main__":
    main()
