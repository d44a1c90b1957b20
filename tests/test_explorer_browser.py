"""The explorer in a real browser: Debian's Chromium, headless, driven by Playwright; one server for all of this module."""

from __future__ import annotations

import csv
import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from commands import COMMAND, ONE_THREAD
from page_checks import check_syntax, violations_on

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(
    BROWSER is None,
    reason="no Chromium on this machine: apt install chromium; test_explorer.py covers all but the page itself",
)
pytestmark = [
    needs_browser,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of Playwright's own event loop
]
SMALL = "num_samples=24&num_steps=20&dim=2000"  # as in test_explorer.py, so that its programs are compiled once
LONG = "num_samples=24&num_steps=100000&dim=2000"
WAIT = 300_000  # milliseconds, however busy the machine is
OVER = re.compile("^(trained|stopped) after")
LOOKS = [("light", 1400), ("dark", 1400), ("light", 400), ("dark", 400)]


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """A running explorer: its address, token included, and the file that holds what it says on stderr."""
    command, errors = [COMMAND, "explore", "--no-browser"], tmp_path_factory.mktemp("explorer") / "stderr"
    environment = {**os.environ, **ONE_THREAD}
    with errors.open("w") as file:
        pipes = {"stdout": subprocess.PIPE, "stderr": file, "text": True}
        with subprocess.Popen(command, env=environment, **pipes) as process:
            assert process.stdout is not None
            yield process.stdout.readline().strip(), errors
            process.terminate()


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=WAIT)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """One browser's visit: the addresses that it requests, the errors on its console, and those of the server."""

    def __init__(self, chromium, server, query: str = "", width: int = 1400, scheme: str = "light", **options) -> None:
        address, self.stderr = server
        look = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
        self.context = chromium.new_context(**look, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(WAIT)
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.goto(f"{address}&{query}" if query else address)

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_) -> None:
        self.context.close()

    def expect_text(self, selector: str, text: str | re.Pattern) -> None:
        from playwright.sync_api import expect

        expect(self.page.locator(selector)).to_contain_text(text)

    def expect_value(self, selector: str, value: str) -> None:
        from playwright.sync_api import expect

        expect(self.page.locator(selector)).to_have_value(value)

    def wait_until_over(self) -> None:
        self.expect_text("#state", OVER)

    def wait_for_curves(self) -> None:
        """Until something is trained exactly, by all methods."""
        from playwright.sync_api import expect

        expect(self.page.locator("polyline.exact.overall")).to_have_count(3)

    def wait_for_map(self) -> None:
        from playwright.sync_api import expect

        expect(self.page.locator("#map-legend")).to_contain_text("click on a place")
        expect(self.page.locator("#map-legend")).not_to_contain_text("filling")

    def type(self, name: str, value: str) -> None:
        self.page.locator(f"#{name}").fill(value)

    @property
    def accuracies(self) -> dict[str, list[str]]:
        """By method: measured, in the limit, and what the theorem expects."""
        rows = [row.locator("th, td").all_inner_texts() for row in self.page.locator("#standing tbody tr").all()]
        return {row[0]: row[1:4] for row in rows}

    def check_quiet(self) -> None:
        """No error on the console or of the server, no request to another host."""
        assert self.errors == []
        hosts = {urlsplit(url).hostname for url in self.requests if not url.startswith(("data:", "blob:"))}
        assert hosts == {"127.0.0.1"}
        assert "Traceback" not in self.stderr.read_text()


def moves(visit: Visit, names: tuple[str, ...], count: int) -> None:
    """Move sliders at random while the page trains, and end at a seed of which the page must then speak."""
    choose = random.Random(0)
    for _ in range(count):
        slider = visit.page.locator(f"[data-for={choose.choice(names)}]")
        slider.fill(str(choose.randrange(int(slider.get_attribute("max") or 0) + 1)))
    visit.type("seed", "77")
    visit.expect_text("#legend", "seed 77")


def test_it_streams_stops_and_is_restored_by_its_link(chromium, server):
    with Visit(chromium, server, LONG) as visit:
        visit.wait_for_curves()
        visit.page.get_by_role("button", name="Stop").click()
        visit.expect_text("#state", "stopped after")
        visit.expect_text("#standing", re.compile(r"interrupted at step [\d,]+ of 100,000"))
        moves(visit, ("feature_noise", "dominant_noise_std", "background_noise_std", "num_cut", "seed"), 12)
        visit.type("feature_noise", "0.123")
        visit.type("num_steps", "20")
        visit.expect_text("#standing", "completed 20 steps")
        visit.wait_until_over()
        visit.expect_text("#legend", "limit before the last change")
        query, accuracies = urlsplit(visit.page.url).query, visit.accuracies
        assert "access_token" not in query
        visit.check_quiet()
    with Visit(chromium, server, query) as again:
        again.wait_until_over()
        again.expect_value("#feature_noise", "0.123")
        assert (urlsplit(again.page.url).query, again.accuracies) == (query, accuracies)
        again.check_quiet()


def test_a_click_on_the_map_goes_there_and_only_the_dot_moves(chromium, server):
    with Visit(chromium, server, SMALL) as visit:
        visit.wait_for_map()
        cells = visit.page.locator("#maps rect").count()
        visit.page.locator("#maps svg").first.click(position={"x": 60, "y": 40})
        visit.expect_text("#legend", re.compile(r"feature 2, ρ = 0\.0\d"))
        visit.expect_value("#preset", "")
        visit.wait_until_over()
        assert float(visit.page.locator("#dominant_noise_std").input_value()) > 0.3
        assert visit.page.locator("#maps rect").count() == cells
        visit.check_quiet()


@pytest.mark.parametrize(("scheme", "width"), LOOKS[:3])
def test_it_keeps_the_rules_of_accessibility_and_html_in_every_look(chromium, server, scheme, width):
    with Visit(chromium, server, SMALL, width, scheme, bypass_csp=True) as visit:
        visit.wait_until_over()
        if width < 700:
            visit.page.locator("#settings > summary").click()
        assert violations_on(visit.page) == []
        check_syntax("<!DOCTYPE html>" + visit.page.locator("html").evaluate("element => element.outerHTML"))
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
        back = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", back))) < 200) == (scheme == "dark")
        if width == 1400:  # a row of panels for each measure, seen at once
            tops = [round(picture.bounding_box()["y"]) for picture in visit.page.locator("#columns svg").all()]
            assert len(set(tops[::2])) == len(set(tops[1::2])) == 1
            assert max(tops) < 500


@pytest.mark.slow
class TestPage:
    def test_the_preset_reproduces_the_theorems_values(self, chromium, server):
        with Visit(chromium, server, SMALL) as visit:
            visit.page.locator("#preset").select_option("theorem")
            visit.expect_text("#standing", "completed 10,000 steps")
            visit.wait_until_over()
            visit.expect_value("#preset", "theorem")
            for method, value in (("ERM", 0.9), ("Cutout", 0.975), ("CutMix", 1.0)):
                measured, limit, _ = visit.accuracies[method]
                assert float(limit) == value
                assert abs(float(measured) - value) <= 0.005
            visit.check_quiet()

    def test_a_hundred_moves_during_trainings(self, chromium, server):
        with Visit(chromium, server, LONG) as visit:
            visit.wait_for_curves()
            names = ("rho_2", "rho_3", "feature_noise", "dominant_noise_std", "dim", "num_cut", "step_size", "seed")
            moves(visit, names, 100)
            visit.check_quiet()

    def test_patches_limit_what_can_be_cut(self, chromium, server):
        with Visit(chromium, server, SMALL + "&num_patches=5&num_cut=4") as visit:
            visit.type("num_patches", "3")
            visit.expect_value("#num_cut", "2")
            visit.expect_text("#beside-num_cut", "Theorem 3.2 assumes C = 2 < P/2 = 1.5: it does not hold.")
            visit.check_quiet()

    def test_bad_combinations_and_addresses_are_explained(self, chromium, server):
        query = "num_patches=3&num_cut=5&dim=many&<script>window.harmed=1</script>=1"
        with Visit(chromium, server, query, bypass_csp=True) as visit:
            visit.expect_text("#beside-num_cut", "must be in [1, P), got 5 with P = 3")
            visit.expect_text("main", "must be a whole number from 2 to 1e+12, got 'many'")
            visit.expect_text("#problem", "These settings do not fit together")
            assert not visit.page.locator("#results").is_visible()
            assert visit.page.evaluate("window.harmed") is None
            visit.check_quiet()

    def test_two_browsers_at_once_each_have_their_own(self, chromium, server):
        with Visit(chromium, server, SMALL + "&seed=5") as one, Visit(chromium, server, SMALL + "&seed=6") as two:
            one.wait_until_over()
            two.wait_until_over()
            one.expect_text("#legend", "seed 5")
            two.expect_text("#legend", "seed 6")
            assert one.page.locator("#columns").inner_html() != two.page.locator("#columns").inner_html()

    def test_the_data_can_be_downloaded(self, chromium, server, tmp_path):
        with Visit(chromium, server, SMALL) as visit:
            visit.wait_until_over()
            with visit.page.expect_download() as caught:
                visit.page.get_by_text("Data (CSV)").click()
            caught.value.save_as(tmp_path / "data.csv")
            measured = visit.accuracies
        rows = list(csv.DictReader((tmp_path / "data.csv").open()))
        last = {row["method"]: float(row["accuracy"]) for row in rows if row["seed"]}
        assert {name: f"{value:.4f}" for name, value in last.items()} == {
            name: row[0] for name, row in measured.items()
        }

    def test_train_again_starts_anew(self, chromium, server):
        with Visit(chromium, server, LONG) as visit:
            visit.wait_for_curves()
            visit.page.get_by_role("button", name="Stop").click()
            visit.expect_text("#state", "stopped after")
            visit.page.get_by_role("button", name="Train again").click()
            visit.expect_text("#state", "training, of 100,000 steps")
            visit.check_quiet()

    def test_each_slider_has_its_own_name_and_says_its_value(self, chromium, server):
        from playwright.sync_api import expect

        with Visit(chromium, server, SMALL) as visit:
            names = [slider.get_attribute("aria-label") for slider in visit.page.get_by_role("slider").all()]
            assert len(set(names)) == len(names)
            assert not any("_" in str(name) for name in names)
            dim = visit.page.get_by_role("slider", name="patch dimension d")
            expect(dim).to_have_attribute("aria-valuetext", "2,000")
            dim.press("ArrowRight")
            expect(dim).to_have_attribute("aria-valuetext", "5,000")
            visit.expect_value("#dim", "5000")

    def test_without_the_token_nobody_comes_in(self, chromium, server):
        address, errors = server
        with Visit(chromium, (address.partition("?")[0], errors)) as visit:
            visit.expect_text("body", "it holds the token")
            assert visit.page.locator("form").count() == 0
