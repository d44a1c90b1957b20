"""The explorer in a real browser: Debian's Chromium, headless, driven by Playwright."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from commands import COMMAND, ONE_THREAD
from page_checks import violations_on

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
WAIT = 300_000  # milliseconds, however busy the machine is
CHART = "[role=graphics-document]"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A running explorer's address, token included."""
    command = [COMMAND, "explore", "--no-browser"]
    environment = {**os.environ, **ONE_THREAD}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.terminate()


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """One browser's visit: the addresses that it requests, and the errors on its console."""

    def __init__(self, chromium, address: str, query: str = "", width: int = 1280, scheme: str = "light") -> None:
        self.context = chromium.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._keep_error)
        self.page.goto(f"{address}&{query}" if query else address)

    def _keep_error(self, message) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_) -> None:
        self.context.close()

    def wait_for(self, text: str) -> None:
        self.page.get_by_text(text).first.wait_for(timeout=WAIT, state="attached")

    def wait_for_chart(self) -> None:
        self.page.locator(CHART).first.wait_for(timeout=WAIT)

    def wait_until_over(self) -> None:
        self.page.wait_for_function(
            "document.body.innerText.match(/completed [0-9,]+ steps|interrupted at step|diverged/g)?.length >= 3",
            timeout=WAIT,
        )

    def wait_for_names(self) -> None:
        """Wait until every control has the name that the page's script gives it."""
        from playwright.sync_api import expect

        buttons = self.page.locator("button:not([aria-label]):not([title])").filter(has_not_text=re.compile(r"\S"))
        sliders = self.page.locator("[role=slider]:not([aria-valuetext])")
        for unnamed in (buttons, sliders, self.page.locator(".vega-embed summary:not([aria-label])")):
            expect(unnamed).to_have_count(0, timeout=WAIT)

    @property
    def knobs(self) -> list[str]:
        """The sliders' labels (once: a narrow page's menu has them too)."""
        labels = self.page.locator(".knob strong").all_inner_texts()
        return labels[: len(labels) // 2]

    def slider(self, symbol: str):
        """The slider of this symbol."""
        return self.page.get_by_role("slider").nth([label.partition(" =")[0] for label in self.knobs].index(symbol))

    @property
    def charts(self) -> list[str]:
        """What the pictures say to those who cannot see them."""
        return [chart.get_attribute("aria-label") or "" for chart in self.page.locator(CHART).all()]

    @property
    def accuracies(self) -> dict[str, tuple[float, float]]:
        """By method: measured, and what the theorem expects."""
        rows = self.page.locator("tr").all_inner_texts()
        cells = [re.split(r"\s+", row.strip()) for row in rows if re.match(r"(ERM|Cutout|CutMix)\s", row)]
        return {row[0]: (float(row[1]), float(row[2])) for row in cells}

    def check_quiet(self) -> None:
        """No error on the console, no request to another host."""
        assert self.errors == []
        hosts = {urlsplit(url).hostname for url in self.requests if not url.startswith(("data:", "blob:"))}
        assert hosts == {"127.0.0.1"}


def test_it_opens_trains_and_talks_to_nobody_else(chromium, address):
    with Visit(chromium, address, SMALL) as visit:
        visit.wait_until_over()
        visit.wait_for_chart()
        assert "n = 24" in visit.knobs
        assert visit.accuracies.keys() == {"ERM", "Cutout", "CutMix"}
        assert any(label.startswith("CutMix: feature scores") for label in visit.charts)
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
            before = visit.charts
            visit.slider("σ_d").focus()
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

    def test_stop_ends_it_and_keeps_what_there_is_and_again_starts_anew(self, chromium, address):
        with Visit(chromium, address, "num_samples=300&num_steps=100000") as visit:
            visit.wait_for_chart()
            visit.page.get_by_role("button", name="Stop").click()
            visit.wait_until_over()
            assert visit.page.inner_text("body").count("interrupted at step") >= 3
            assert len(visit.charts) == 4
            visit.page.get_by_role("button", name="Train again").click()
            visit.wait_for("running, step")
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
            visit.slider("P").focus()
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
            visit.wait_until_over()
            visit.wait_for_names()
            assert violations_on(visit.page) == []

    def test_each_slider_has_its_own_name_and_says_its_value(self, chromium, address):
        from playwright.sync_api import expect

        with Visit(chromium, address, SMALL) as visit:
            visit.wait_until_over()
            visit.wait_for_names()
            sliders = visit.page.get_by_role("slider")
            names = [slider.get_attribute("aria-label") for slider in sliders.all()]
            assert len(set(names)) == len(names) == len(visit.knobs)
            dim = visit.page.get_by_role("slider", name="d, dimension of a patch")
            assert dim.get_attribute("aria-valuetext") == "2,000"
            dim.focus()
            visit.page.keyboard.press("ArrowRight")
            expect(dim).to_have_attribute("aria-valuetext", "5,000", timeout=WAIT)

    def test_pictures_stay_dark_on_white_in_the_dark(self, chromium, address):
        from playwright.sync_api import expect

        with Visit(chromium, address, SMALL, scheme="dark") as visit:
            visit.wait_until_over()
            expect(visit.page.locator("body")).to_have_class(re.compile("dark"), timeout=WAIT)
            # Of the title's part of the first chart: the lightest and the darkest pixel.
            lightest, darkest = visit.page.locator(f"{CHART} canvas").first.evaluate(
                """canvas => {
                  const all = canvas.getContext("2d").getImageData(0, 0, canvas.width, 22).data;
                  const red = all.filter((_, index) => index % 4 === 0);
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
