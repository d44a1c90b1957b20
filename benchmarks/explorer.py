"""How long the explorer takes: to its address, its first picture, a slider's effect, the map; in a browser, at the default settings.

Needs `augscope[test,explorer]` and Chromium: `python benchmarks/explorer.py`. One visit that loads (and, at first, compiles), and
as many more as `--visits` says; each moves a slider and fills a map that nobody has seen.
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
from playwright.sync_api import Page, sync_playwright

COMMAND = Path(sys.executable).with_name("augscope")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WAIT = 300_000  # milliseconds
PICTURE = "document.querySelector('#columns polyline.limit')"
LIMIT_IS_OVER = "!document.querySelector('#state').textContent.match(/opening|computing/)"
MAP_IS_FULL = """document.querySelector('#map-legend').textContent.includes('click')
    && !document.querySelector('#map-legend').textContent.includes('filling')"""
# Of the settings after a move: all methods' limits drawn to a thousandth of the axis's length from their third decade on.
PREVIEW = """(() => {
    const curves = [...document.querySelectorAll('#columns polyline.limit.overall')];
    const ends = curves.map((curve) => curve.points[curve.points.length - 1]?.x ?? 0);
    return document.querySelector('#legend').textContent.includes('seed %d') && ends.length === 3 && Math.min(...ends) > 250;
})()"""


def figures(visits: int) -> list[Figure]:
    """Return the start of the server, and what visits take."""
    start = time.perf_counter()
    command = [COMMAND, "explore", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        seconds = time.perf_counter() - start
        first, *others = [visit(address, number) for number in range(1 + visits)]
        server.terminate()
    pictures, previews, exacts, maps, alone, ends = zip(*others, strict=True)
    return [
        figure("explore: from the command to the address", [seconds], "s", at_most=3),
        figure("explore: to the first picture, first visit", [first[0]], "s"),
        figure("explore: to the first picture, later visits", pictures, "s", at_most=1.5),
        figure("explore: slider to the limit's first three decades", previews, "s", at_most=0.3),
        figure("explore: slider to the whole limit", exacts, "s", at_most=1.5),
        figure("explore: map of 24 × 24, a sample being trained beside it", maps, "s", at_most=10),
        figure("explore: map of 24 × 24, the training stopped", alone, "s", at_most=10),
        figure("explore: to the end of the exact training", ends, "s"),
    ]


def visit(address: str, number: int) -> tuple[float, ...]:
    """Return the seconds to the first picture, from a slider to preview and whole limit, to a full map beside a training and alone, and to the end."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 1400, "height": 900}, bypass_csp=True).new_page()
        start = time.perf_counter()
        page.goto(f"{address}&feature_noise={0.1 + number / 1000}", wait_until="domcontentloaded")
        picture = until(page, PICTURE, start)
        map_seconds = until(page, MAP_IS_FULL, start)
        page.wait_for_function("document.querySelector('#state').textContent.startsWith('trained')", timeout=WAIT)
        end = time.perf_counter() - start
        seed = 1_000 + number  # so that the page says when it shows the new settings
        page.locator("#seed").fill(str(seed))
        moved = time.perf_counter()
        preview = until(page, PREVIEW % seed, moved)
        exact = until(page, LIMIT_IS_OVER, moved)
        start = time.perf_counter()
        page.goto(f"{address}&feature_noise={0.3 + number / 1000}", wait_until="domcontentloaded")
        until(page, LIMIT_IS_OVER, start)
        page.locator("#stop").click()  # no sample is trained beside the map
        alone = until(page, MAP_IS_FULL, start)
        browser.close()
    return picture, preview, exact, map_seconds, alone, end


def until(page: Page, condition: str, start: float) -> float:
    """Return the seconds from `start` until the page shows something."""
    page.wait_for_function(condition, timeout=WAIT, polling=20)
    return time.perf_counter() - start


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
