"""The explorer in a real browser: Debian's Chromium, headless, driven by Playwright."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from page_checks import violations_on

import augscope as ag
from augscope.explorer.settings import PRESETS

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(
    BROWSER is None,
    reason="no Chromium on this machine: apt install chromium; test_explorer.py covers all but the page itself",
)
pytestmark = [
    needs_browser,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of Playwright's own event loop
]
COMMAND = Path(sys.executable).with_name("augscope")
SMALL = "num_samples=40&num_steps=60&dim=2000"
SMALL_DEFAULT = """
from augscope.cli import main
from augscope.explorer.settings import DEFAULT, PRESETS

PRESETS[DEFAULT] = PRESETS[DEFAULT].replace(num_samples=40, num_steps=60, dim=2000)
main(["explore", "--no-browser"])
"""
COVER = "#opening"
WAIT = 60_000  # milliseconds: a machine that is shared by other tests
CHART = "[role=graphics-document]"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A running explorer's address, token included."""
    yield from served([COMMAND, "explore", "--no-browser"])


@pytest.fixture(scope="module")
def small_address() -> Iterator[str]:
    """The same where the default is a small problem, for a start that takes seconds less."""
    yield from served([sys.executable, "-c", SMALL_DEFAULT])


def served(command: list) -> Iterator[str]:
    """Start a command, yield the address that it prints, and end it."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.terminate()
        server.wait(timeout=20)


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """One browser's visit: what it asked for, and what its console said."""

    def __init__(self, chromium, address: str, query: str = "", width: int = 1280, scheme: str = "light") -> None:
        self.context = chromium.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.goto(f"{address}&{query}" if query else address)

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_) -> None:
        self.context.close()

    def wait_for(self, text: str) -> None:
        self.page.get_by_text(text).first.wait_for(timeout=WAIT, state="attached")

    def wait_for_chart(self) -> None:
        self.page.locator(CHART).first.wait_for(timeout=WAIT)
        self.page.locator(COVER).wait_for(state="detached", timeout=WAIT)

    def wait_until_over(self) -> None:
        self.page.locator(COVER).wait_for(state="detached", timeout=WAIT)  # it shows another training's end
        self.page.wait_for_function(
            "document.body.innerText.match(/completed [0-9,]+ steps|interrupted at step|diverged/g)?.length >= 3",
            timeout=WAIT,
        )

    def settle(self) -> None:
        """Wait until names and styles stand that are given a moment after a change."""
        self.page.wait_for_timeout(1_000)

    @property
    def knobs(self) -> list[str]:
        """What the sliders' labels say (once: a narrow page's menu has them too)."""
        said = self.page.locator(".knob strong").all_inner_texts()
        return said[: len(said) // 2]

    @property
    def charts(self) -> list[str]:
        """What the pictures say to those who cannot see them."""
        return [chart.get_attribute("aria-label") or "" for chart in self.page.locator(CHART).all()]

    @property
    def accuracies(self) -> dict[str, tuple[float, float]]:
        """By method: measured, and what the theorem expects."""
        rows = self.page.locator("tr").all_inner_texts()
        found = [re.split(r"\s+", row.strip()) for row in rows if re.match(r"(ERM|Cutout|CutMix)\s", row)]
        return {row[0]: (float(row[1]), float(row[2])) for row in found}

    def check_cover(self, *, has_picture: bool) -> None:
        """Something of ours stands before anything of marimo's does."""
        self.page.locator(f"{COVER} h1").wait_for(timeout=WAIT)
        assert self.page.locator(f"{COVER} img").count() == has_picture
        assert self.page.evaluate("document.getElementById('root').inert")

    def check_quiet(self) -> None:
        """No error on the console, no request to another host."""
        assert self.errors == []
        hosts = {urlsplit(url).hostname for url in self.requests if not url.startswith(("data:", "blob:"))}
        assert hosts == {"127.0.0.1"}


def test_it_opens_with_a_picture_trains_and_talks_to_nobody_else(chromium, small_address):
    with Visit(chromium, small_address) as visit:
        visit.check_cover(has_picture=True)
        visit.wait_for_chart()
        assert visit.page.locator("img[alt^='Feature scores']").count() == 0
        assert "n = 40" in visit.knobs
        opened = visit.accuracies
        assert opened.keys() == {"ERM", "Cutout", "CutMix"}
        visit.page.get_by_role("button", name="Train again").click()
        visit.page.wait_for_function("!/completed/.test(document.body.innerText)", timeout=WAIT)
        visit.wait_until_over()
        assert any(said.startswith("CutMix: feature scores") for said in visit.charts)
        assert visit.accuracies == opened
        visit.check_quiet()


@pytest.mark.slow
class TestPage:
    def test_the_preset_reproduces_the_theorems_values(self, chromium, address):
        with Visit(chromium, address, SMALL) as visit:
            visit.wait_until_over()
            visit.page.get_by_label("Start from a preset").first.select_option("theorem")
            visit.wait_for("completed 10,000 steps")
            visit.wait_until_over()
            for method, value in (("ERM", 0.9), ("Cutout", 0.975), ("CutMix", 1.0)):
                measured, expected = visit.accuracies[method]
                assert expected == value
                assert abs(measured - expected) <= 0.005
            visit.check_quiet()

    def test_a_slider_changes_the_curves_and_the_address(self, chromium, address):
        with Visit(chromium, address, SMALL) as visit:
            visit.wait_until_over()
            before, place = visit.charts, [label.partition(" =")[0] for label in visit.knobs].index("σ_d")
            visit.page.get_by_role("slider").nth(place).focus()
            for _ in range(4):
                visit.page.keyboard.press("ArrowRight")
            visit.wait_for("σ_d = 0.07")
            visit.page.wait_for_function("location.search.includes('dominant_noise_std=0.07')", timeout=WAIT)
            visit.wait_until_over()
            assert visit.charts != before
            visit.check_quiet()

    def test_a_link_restores_the_settings_in_another_browser(self, chromium, address):
        with Visit(chromium, address, SMALL + "&seed=17&feature_noise=0.123") as visit:
            visit.wait_until_over()
            visit.page.wait_for_function("location.search.includes('background_noise_std')", timeout=WAIT)
            knobs, results, query = visit.knobs, visit.accuracies, urlsplit(visit.page.url).query
        assert "seed = 17" in knobs
        assert "α = 0.123" in knobs
        with Visit(chromium, address, query) as again:
            again.wait_until_over()
            assert again.knobs == knobs
            assert again.accuracies == results

    def test_stop_ends_it_and_keeps_what_there_is(self, chromium, address):
        with Visit(chromium, address, "num_samples=300&num_steps=100000") as visit:
            visit.wait_for_chart()
            visit.page.get_by_role("button", name="Stop").click()
            begun = time.monotonic()
            visit.page.wait_for_function(
                "document.body.innerText.match(/interrupted at step/g)?.length >= 3", timeout=WAIT
            )
            assert time.monotonic() - begun < 20  # a chunk lasts a second, on a machine of our own
            assert len(visit.charts) == 4
            visit.check_quiet()

    def test_a_new_problem_replaces_the_one_that_is_trained(self, chromium, address):
        with Visit(chromium, address, "num_samples=300&num_steps=100000") as visit:
            visit.wait_for_chart()
            visit.page.get_by_label("Start from a preset").first.select_option("figure")
            visit.wait_for("d = 2,000")
            visit.wait_until_over()
            assert "completed 10,000 steps" in visit.page.inner_text("body")

    def test_bad_combinations_and_addresses_are_explained(self, chromium, address):
        query = "num_cut=5&dim=many&<script>window.harmed=1</script>=1"
        with Visit(chromium, address, query) as visit:
            visit.wait_for("must be in [1, P), got 5 with P = 3")
            visit.wait_for("must be a whole number from 2 to 1e+12, got 'many'")
            visit.wait_for("These settings do not fit together")
            assert visit.page.locator(CHART).count() == 0
            assert visit.page.evaluate("window.harmed") is None
            place = [label.partition(" =")[0] for label in visit.knobs].index("P")
            slider = visit.page.get_by_role("slider").nth(place)
            slider.focus()
            for key in ("End", "Home"):  # 8 patches, of which 5 can be cut; 2, of which they cannot
                visit.page.keyboard.press(key)
                visit.wait_for("P = 8" if key == "End" else "got 5 with P = 2")
            visit.check_quiet()

    def test_two_browsers_at_once_each_have_their_own(self, chromium, address):
        with Visit(chromium, address, SMALL + "&seed=5") as one, Visit(chromium, address, SMALL + "&seed=6") as two:
            one.wait_until_over()
            two.wait_until_over()
            assert "seed = 5" in one.knobs
            assert "seed = 6" in two.knobs
            assert one.accuracies != two.accuracies

    def test_the_data_can_be_downloaded(self, chromium, address, tmp_path):
        with Visit(chromium, address, SMALL) as visit:
            visit.wait_until_over()
            with visit.page.expect_download(timeout=WAIT) as caught:
                visit.page.get_by_text("Data (CSV)").first.click()
            caught.value.save_as(tmp_path / "data.csv")
            measured = visit.accuracies
        rows = list(csv.DictReader((tmp_path / "data.csv").open()))
        last = {row["method"]: float(row["accuracy"]) for row in rows}
        assert {name: round(value, 4) for name, value in last.items()} == {
            name: pair[0] for name, pair in measured.items()
        }

    @pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 400), ("dark", 400)])
    def test_it_keeps_the_accessibility_rules(self, chromium, address, scheme, width):
        with Visit(chromium, address, SMALL, width, scheme) as visit:
            visit.check_cover(has_picture=False)
            assert violations_on(visit.page) == []
            visit.wait_until_over()
            visit.settle()
            assert violations_on(visit.page) == []

    def test_each_slider_has_its_own_name_and_says_its_value(self, chromium, address):
        with Visit(chromium, address, SMALL) as visit:
            visit.wait_until_over()
            visit.settle()
            sliders = visit.page.get_by_role("slider")
            names = [slider.get_attribute("aria-label") for slider in sliders.all()]
            assert len(set(names)) == len(names) == len(visit.knobs)
            dim = visit.page.get_by_role("slider", name="d, dimension of a patch")
            assert dim.get_attribute("aria-valuetext") == "2,000"
            dim.focus()
            visit.page.keyboard.press("ArrowRight")
            visit.wait_for("d = 5,000")
            visit.settle()
            assert dim.get_attribute("aria-valuetext") == "5,000"

    def test_pictures_stay_dark_on_white_in_the_dark(self, chromium, address):
        with Visit(chromium, address, SMALL, scheme="dark") as visit:
            visit.wait_until_over()
            visit.settle()
            assert "dark" in (visit.page.locator("body").get_attribute("class") or "")
            # Of the title's part of the first chart: the lightest and the darkest pixel.
            lightest, darkest = visit.page.locator(f"{CHART} canvas").first.evaluate(
                """canvas => {
                  const all = canvas.getContext("2d").getImageData(0, 0, canvas.width, 22).data;
                  const red = all.filter((_, place) => place % 4 === 0);
                  return [Math.max(...red), Math.min(...red)];
                }"""
            )
            assert lightest == 255
            assert darkest < 80

    def test_on_a_telephone_nothing_is_wider_than_the_screen(self, chromium, address):
        with Visit(chromium, address, SMALL, width=400) as visit:
            visit.wait_until_over()
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= 400
            widest = visit.page.evaluate(
                "Math.max(...[...document.querySelectorAll('canvas')].map(e => e.offsetWidth))"
            )
            assert widest <= 400

    def test_without_the_token_nobody_comes_in(self, chromium, address):
        with Visit(chromium, address.partition("?")[0]) as visit:
            visit.page.wait_for_load_state()
            assert "/auth/login" in visit.page.url
            assert visit.page.locator(CHART).count() == 0

    def test_a_link_to_another_problem_never_shows_the_defaults_picture(self, chromium, address):
        assert PRESETS["theorem"].experiment() == ag.presets.theorem
        with Visit(chromium, address) as visit:
            visit.check_cover(has_picture=True)
            assert "0.9754" in visit.page.locator(COVER).inner_text()  # Cutout's accuracy
        with Visit(chromium, address, "seed=4") as visit:
            visit.check_cover(has_picture=False)
            assert "Predicted regime of each feature" in visit.page.locator(COVER).inner_text()
            visit.wait_for_chart()
            visit.check_quiet()
