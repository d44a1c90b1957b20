"""How long `augscope explore` takes to print its address, and its page to show a chart, in a browser started anew each time.

Needs `augscope[test,explorer]` and Chromium: `python benchmarks/explorer.py`, one visit that loads and compiles, and five more.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from harness import Figure, conditions, figure, print_figures, write_json
from playwright.sync_api import sync_playwright

COMMAND = Path(sys.executable).with_name("augscope")
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
WAIT = 300_000  # milliseconds
CHART = "[role=graphics-document]"
IS_OVER = "document.body.innerText.match(/completed [0-9,]+ steps/g)?.length >= 3"


def figures(visits: int) -> list[Figure]:
    """Return the start of the server, and the times to the first chart and to the end of the training, at the default settings."""
    start = time.perf_counter()
    command = [COMMAND, "explore", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        seconds = time.perf_counter() - start
        first_visit, *others = [visit(address) for _ in range(1 + visits)]
        server.terminate()
    charts, ends = zip(*others, strict=True)
    return [
        figure("explore: from the command to the address", [seconds], "s"),
        figure("explore: to the first chart, first visit of the server", [first_visit[0]], "s"),
        figure("explore: to the first chart, later visits", charts, "s"),
        figure("explore: to the end of the training, later visits", ends, "s"),
    ]


def visit(address: str) -> tuple[float, float]:
    """Return the seconds from the start of the navigation to the first chart and to the training's end, in a fresh browser."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        start = time.perf_counter()
        page.goto(address, wait_until="domcontentloaded")
        page.locator(CHART).first.wait_for(timeout=WAIT)
        first_chart = time.perf_counter() - start
        page.wait_for_function(IS_OVER, timeout=WAIT)  # so that no training runs beside the next visit
        end = time.perf_counter() - start
        browser.close()
    return first_chart, end


def main() -> None:
    """Measure, print and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=5)
    parser.add_argument("--json", type=Path, default=Path("reports/bench-explorer.json"))
    arguments = parser.parse_args()
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    before, measured = conditions(), figures(arguments.visits)
    print(f"load before: {before['load_before']:.2f}, after: {os.getloadavg()[0]:.2f}")
    print_figures(measured)
    write_json(arguments.json, {"explorer": measured}, before)


if __name__ == "__main__":
    main()
