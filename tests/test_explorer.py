"""The explorer without a browser: settings, predictions, the training that is watched, the server's door."""

from __future__ import annotations

import asyncio
import csv
import io
import re
import signal
import socket
import subprocess
import sys
import threading
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlencode
from urllib.request import Request, urlopen

import numpy as np
import pytest
from commands import run_here
from hypothesis import given
from hypothesis import strategies as st
from page_checks import check_syntax
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import augscope as ag
from augscope.cli.options import ExperimentOptions
from augscope.explorer import charts, page
from augscope.explorer.access import WithToken, local_only
from augscope.explorer.plane import AXES, IMPOSSIBLE, SIZE, UNKNOWN, Plane
from augscope.explorer.runs import Frame, Training, Visit
from augscope.explorer.server import Explorer, listen, prepare
from augscope.explorer.settings import CONTROLS, DEFAULT, KNOBS, PRESETS, Settings
from augscope.training.regimes import Setting, regimes

THEOREM = PRESETS["theorem"]
SMALL = THEOREM.replace(num_samples=24, num_steps=20, dim=2_000)
WAIT = 600  # seconds, however busy the machine is
LONG = THEOREM.replace(num_samples=24, num_steps=100_000, dim=2_000)


@st.composite
def some_settings(draw) -> Settings:
    numbers = {
        name: draw(
            st.integers(int(knob.low), int(min(knob.high, 2**40)))
            if knob.is_whole
            else st.floats(max(knob.low, 1e-9), knob.high)
        )
        for name, knob in KNOBS.items()
    }
    rarer = draw(st.sampled_from([(), (0.3,), (0.2, 0.123456789), (0.1, 0.1, 0.05)]))
    chosen = {"stated_rarity": draw(st.booleans()), "mixup": draw(st.booleans())}
    return Settings(frequencies=(round(1 - sum(rarer), 12), *rarer), **chosen, **numbers)


class TestSettings:
    @given(some_settings())
    def test_an_address_restores_them_exactly(self, chosen):
        address = dict(parse_qsl(urlencode(chosen.query()), strict_parsing=True))
        assert Settings.from_query(address) == (chosen, [])

    @given(some_settings())
    def test_so_do_the_controls(self, chosen):
        assert chosen.moved(chosen.controls) == chosen
        form = {name: str(value) for name, value in chosen.controls.items()}
        assert Settings.from_query({**form, **chosen.choices}) == (chosen, [])

    @pytest.mark.parametrize("name", PRESETS)
    @pytest.mark.parametrize("stated", [True, False])
    def test_the_command_line_runs_the_same_experiment(self, name, stated, monkeypatch):
        import augscope.theorems.verification as verification
        from augscope.cli import main

        chosen, prepared = PRESETS[name].replace(stated_rarity=stated, mixup=name == "figure"), []

        def stop(experiment, seeds, *_, **__):
            prepared.append((experiment.identity, tuple(seeds)))
            raise ValueError("enough")

        monkeypatch.setattr(verification, "prepare", stop)
        with pytest.raises(SystemExit):
            main(chosen.command().split()[1:])
        assert prepared == [(chosen.experiment().identity, (chosen.seed,))]

    @pytest.mark.parametrize("stated", [True, False])
    def test_so_does_the_configuration(self, stated, tmp_path):
        chosen = THEOREM.replace(num_cut=2, num_patches=5, stated_rarity=stated, mixup=stated)
        visit = Visit(chosen, Plane(chosen, "dim", "step_size"))
        (tmp_path / "explored.toml").write_bytes(page.download(visit, "explored.toml"))
        assert ExperimentOptions(config=tmp_path / "explored.toml").experiment() == chosen.experiment()

    @pytest.mark.parametrize(
        ("part", "sentence"),
        [
            ({"dim": "abc"}, "`dim` must be a whole number from 2 to 1e+12, got 'abc'"),
            ({"dim": "2.5"}, "`dim` must be a whole number"),
            ({"seed": "-1"}, "`seed` must be a whole number from 0"),
            ({"step_size": "nan"}, "`step_size` must be a number from"),
            ({"num_samples": "1e9"}, "`num_samples` must be a whole number from 1 to 1000"),
            ({"frequencies": "0.5,0.6"}, "`frequencies` must sum to 1"),
            ({"frequencies": "inf"}, "`frequencies` must sum to 1"),
            ({"frequencies": ""}, "`frequencies` must be comma-separated numbers"),
            ({"frequencies": "0.2,0.2,0.2,0.2,0.2"}, "`frequencies` must hold 1 to 4 features, got 5"),
            ({"rarity": "often"}, "`rarity` must be stated or derive"),
            ({"mixup": "perhaps"}, "`mixup` must be with or without"),
            ({"preset": "none"}, "`preset` must be one of theorem, figure"),
            ({"<script>alert(1)</script>": "1"}, "is not a setting: it is left out"),
        ],
    )
    def test_what_an_address_says_wrongly_is_named_and_the_rest_stands(self, part, sentence):
        settings, (problem,) = Settings.from_query({**part, "num_patches": "5"})
        assert sentence in problem
        assert settings == PRESETS[DEFAULT].replace(num_patches=5)
        assert "<script>alert" not in page.page_html(settings, [problem], page.DEFAULT_AXES)

    @pytest.mark.parametrize(
        ("changes", "control", "sentence", "refused"),
        [
            ({"num_cut": 3}, "num_cut", "`num_cut` must be in [1, P), got 3 with P = 3", True),
            ({"frequencies": (0.4, 0.6)}, "frequencies", "`frequencies` must be decreasing", True),
            ({"frequencies": (0.0, 0.5, 0.5)}, "frequencies", "`frequencies` must be above 0, got 0.0", True),
            ({"dim": 4}, "dim", "`dim` must be at least 2K = 6", True),
            ({"num_cut": 2}, "num_cut", "Theorem 3.2 does not apply: C = 2, needs < P/2 = 1.5.", False),
            ({"background_noise_std": 0.1}, "dominant_noise_std", "do not apply: σ_d/σ_b = 0.25, needs > 1", False),
            ({"dim": 100}, "dim", "Theorems 3.1, 3.2, 3.3 do not apply: n(P−1) = 600, needs ≤ d − 2K = 94", False),
            ({"num_patches": 2}, "num_patches", "Theorems 3.1, 3.2, 3.3 do not apply: P = 2, needs ≥ 3", False),
        ],
    )
    def test_a_bad_combination_is_explained_beside_its_slider(self, changes, control, sentence, refused):
        chosen = THEOREM.replace(**changes)
        problems = chosen.problems()
        assert any(sentence in problem for problem in problems[control])
        assert bool(chosen.errors()) == refused
        said = page.form_state(chosen)
        assert said["wrong"] == refused
        assert said["problems"]["rho_2" if control == "frequencies" else control] == problems[control]

    @pytest.mark.parametrize("end", [0, -1])
    @pytest.mark.parametrize("name", CONTROLS)
    def test_at_its_ends_a_slider_is_safe(self, name, end):
        said = page.form_state(THEOREM.moved({name: CONTROLS[name].marks[end]}))
        assert said["wrong"] <= any(said["problems"].values())
        assert said["preset"] in ("", "theorem", "no feature noise")

    def test_a_presets_name_is_known_while_its_settings_stand(self):
        assert [settings.preset for settings in PRESETS.values()] == list(PRESETS)
        assert THEOREM.replace(seed=4).preset == ""

    def test_presets_are_the_shipped_ones(self):
        assert THEOREM.experiment() == ag.presets.theorem
        assert PRESETS["figure"].experiment() == ag.presets.figure


def trained(training: Training, every: float = 0.01) -> list[Frame]:
    """What somebody who looks again and again sees of a training, from its start to its end."""
    worker = threading.Thread(target=training.run)
    worker.start()
    frames = [training.latest]
    while not frames[-1].is_over:
        if training.latest is not frames[-1]:
            frames.append(training.latest)
        worker.join(every)
    worker.join()
    return frames


@pytest.fixture(scope="module")
def visit() -> Visit:
    """A choice whose limit and sample are trained."""
    visit = Visit(SMALL, Plane(SMALL, *page.DEFAULT_AXES))
    visit.limit.run()
    return visit


@pytest.fixture(scope="module")
def frames(visit) -> list[Frame]:
    return trained(visit.sample)


@pytest.fixture(scope="module")
def finished(visit, frames) -> Visit:
    assert frames[-1].is_over
    return visit


class TestTraining:
    def test_it_is_seen_frame_by_frame(self, frames):
        counts = [sum(len(run.history.steps) for run in frame.runs) for frame in frames]
        assert counts == sorted(counts)
        assert [frame.is_over for frame in frames] == [False] * (len(frames) - 1) + [True]

    def test_it_measures_what_train_does_bit_for_bit(self, finished):
        experiment = finished.experiment
        dataset = experiment.sample(SMALL.seed)
        for run, method in zip(finished.sample.latest.runs, experiment.methods, strict=True):
            assert run.status == "completed"
            assert run.history.to_dict() == experiment.run(method, dataset).history.to_dict()

    def test_the_limit_is_the_population(self, finished):
        population = ag.population(finished.experiment.distribution, SMALL.num_samples)
        for run, method in zip(finished.limit.latest.runs, finished.experiment.methods, strict=True):
            whole = ag.train(population, finished.experiment.network, method, step_size=1.0, num_steps=SMALL.num_steps)
            assert run.method == method
            np.testing.assert_allclose(run.history.feature_scores, whole.history.feature_scores, rtol=0, atol=1e-12)
            assert run.history.accuracy.tolist() == whole.history.accuracy.tolist()

    def test_it_can_be_stopped_and_keeps_what_it_has(self):
        training = Training(LONG.experiment(), 1)
        worker = threading.Thread(target=training.run)
        worker.start()
        while len(training.latest.runs) < 3:
            worker.join(0.05)
        training.stop()
        worker.join(timeout=WAIT)
        assert not worker.is_alive()
        assert {run.status for run in training.latest.runs} == {"interrupted"}
        assert all(0 < run.history.steps[-1] < LONG.num_steps for run in training.latest.runs)

    def test_a_sample_that_does_not_fit_is_a_sentence(self, monkeypatch):
        def refuse(*_):
            raise ValueError("no room")

        monkeypatch.setattr("augscope.training.experiment.sample_dataset", refuse)
        training = Training(SMALL.replace(seed=99).experiment(), 99)
        monkeypatch.setattr(type(training.experiment), "sample", refuse)
        assert (training.run().error, training.latest.is_over) == ("no room", True)

    def test_divergence_is_shown(self):
        chosen = SMALL.replace(step_size=1e8, num_steps=150)
        visit = Visit(chosen, Plane(chosen, *page.DEFAULT_AXES))
        visit.sample = Training(visit.experiment.replace(record_at=(0, 1)), 1)
        visit.sample.run()
        pieces = page.curves_pieces(visit)
        assert "diverged" in pieces["standing"]
        assert pieces["columns"].count("<svg") == 6

    def test_mixup_has_a_column_where_it_is_chosen(self):
        chosen = SMALL.replace(mixup=True, num_steps=3)
        visit = Visit(chosen, Plane(chosen, *page.DEFAULT_AXES))
        visit.limit.run()
        visit.sample.run()
        pieces = page.curves_pieces(visit)
        assert re.findall(r"<h2>(\w+)", pieces["columns"]) == ["ERM", "Cutout", "Mixup", "CutMix"]
        assert pieces["columns"].count("<svg") == 8
        dataset = visit.experiment.sample(chosen.seed)
        run = visit.sample.latest.runs[2]
        assert run.history.to_dict() == visit.experiment.run(ag.Mixup(), dataset).history.to_dict()


class TestPictures:
    def test_a_row_shares_its_axis_and_curves_end_where_they_were_measured(self, finished):
        shown = page.curves_pieces(finished)["columns"]
        scores = finished.sample.latest.runs[2].history.feature_scores[-1].mean(axis=0)
        assert f"Exactly: {', '.join(f'{score:.4g}' for score in scores)}" in shown
        axes = re.findall(r'<g class="axes">.*?</g>', shown)
        assert len(axes) == 6
        assert len(set(axes[::2])) == len(set(axes[1::2])) == 1

    def test_a_curve_keeps_every_finite_record(self):
        axes = charts.Axes(100, 0.0, 2.0)
        drawn = axes.line(np.array([0, 1, 10, 100]), np.array([0.0, 1.0, np.nan, 2.0]), "exact f1")
        assert len(re.findall(r"[\d.]+,[\d.]+", drawn)) == 3
        assert axes.x(0) < axes.x(1) < axes.x(100)
        assert axes.y(0.0) > axes.y(1.0) > axes.y(2.0)

    def test_the_settings_before_are_grey(self, finished):
        again = Visit(SMALL.replace(seed=4), finished.plane, finished.limit.latest.runs)
        pieces = page.curves_pieces(again)
        assert pieces["columns"].count('class="before') == 3 * (3 + 1)
        assert "before the last change" in pieces["legend"]

    def test_the_data_is_every_number(self, finished):
        rows = list(csv.DictReader(io.StringIO(page.download(finished, "explored.csv").decode())))
        run = finished.sample.latest.runs[1]
        mine = [row for row in rows if (row["method"], row["seed"]) == (run.method.title, str(SMALL.seed))]
        accuracies, scores = ([float(row[name]) for row in mine] for name in ("accuracy", "feature_score[2]"))
        np.testing.assert_allclose(accuracies, run.history.accuracy, rtol=1e-9)  # ten digits
        np.testing.assert_allclose(scores, run.history.feature_scores[:, :, 1].mean(axis=1), rtol=1e-9)
        assert sum(row["seed"] == "" for row in rows) == 3 * len(run.history.steps)

    def test_downloads_are_made_at_any_time(self, finished):
        before = Visit(SMALL, finished.plane)
        assert page.download(before, "explored.csv").startswith(b"method,")
        assert page.download(before, "explored.png").startswith(b"\x89PNG")
        assert page.download(finished, "explored.svg").startswith(b"<?xml")
        assert page.download(finished, "explored.sh").decode().strip() == SMALL.command()

    def test_the_page_and_its_pieces_are_valid_html(self, finished):
        whole = page.page_html(SMALL, [], page.DEFAULT_AXES)
        pieces = {**page.curves_pieces(finished), **page.map_pieces(finished)}
        for name, text in pieces.items():
            whole = re.sub(rf'(<\w+ id="{name}"[^>]*>)', lambda match, text=text: match[1] + text, whole)
        check_syntax(whole)
        assert whole.count("<svg") == 9


class TestMap:
    def test_it_fills_row_by_row_as_exact_regimes_decide(self):
        plane = Plane(SMALL, "rho_2", "dominant_noise_std")
        plane.fill(lambda: plane.version == 2)
        rows = np.flatnonzero(plane.learned[0, :, 0] != UNKNOWN)
        assert (len(rows), plane.is_full) == (2, False)
        for index, method in enumerate(plane.methods):
            places = [
                Setting.of(SMALL.moved({"rho_2": x, "dominant_noise_std": plane.ys[rows[1]]}).experiment())
                for x in plane.xs
            ]
            exact = np.array([regime.learned.sum() for regime in regimes(places, method)])
            assert np.mean(exact == plane.learned[index, rows[1]]) >= 0.9  # a preview may err beside a boundary

    def test_where_there_is_no_problem_it_is_empty_and_known_rows_stay(self):
        plane = Plane(SMALL.replace(num_steps=1), "rho_2", "rho_3")
        plane.fill(lambda: plane.version == 1)
        first = plane.learned.copy()
        plane.fill(lambda: plane.version == 2)
        assert plane.version == 2
        assert (plane.learned[first != UNKNOWN] == first[first != UNKNOWN]).all()
        assert set(plane.learned[:, 0, :].ravel()) <= {IMPOSSIBLE, 0, 1, 2, 3}

    @pytest.mark.parametrize("name", AXES)
    def test_every_axis_holds_places_that_may_be_chosen(self, name):
        other = "dim" if name != "dim" else "step_size"
        chosen = THEOREM.moved({"rho_4": 0.01})
        plane = Plane(chosen, name, other)
        assert len(plane.xs) == SIZE
        assert plane.xs == sorted(plane.xs)
        for value in (plane.xs[0], plane.xs[-1]):
            assert chosen.moved({name: value}).errors() == {}

    def test_addresses_choose_the_axes(self):
        assert page.read_axes({"x": "dim", "y": "rho_3"}) == ("dim", "rho_3")
        for wrong in ({}, {"x": "dim", "y": "dim"}, {"x": "<b>", "y": "dim"}, {"x": "num_patches", "y": "dim"}):
            assert page.read_axes(dict(wrong)) == page.DEFAULT_AXES


class TestDoor:
    def test_a_port_in_use_is_a_sentence_or_another_is_found(self):
        with listen(None) as first, listen(None) as second:
            taken = first.getsockname()[1]
            assert first.getsockname()[0] == "127.0.0.1"
            assert second.getsockname()[1] != taken
            with pytest.raises(ValueError, match=f"`port` must be free, got {taken}: Address already in use"):
                listen(taken)
        with pytest.raises(ValueError, match="`port` must be from 1 to 65535, got 70000"):
            listen(70_000)

    def test_the_command_refuses_in_one_line(self):
        with socket.create_server(("127.0.0.1", 0)) as held:
            ended = run_here("explore", "--no-browser", "--port", held.getsockname()[1])
        assert ended.returncode == 2
        assert "must be free" in ended.stderr
        assert len(ended.stderr.strip().splitlines()) == 1

    @pytest.mark.parametrize("is_open", [True, False], ids=["page", "no page"])
    def test_ctrl_c_ends_it_also_once_a_page_was_open(self, is_open):
        # A shell's background jobs ignore SIGINT, and so would what they start.
        program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from augscope.cli import main; main()"
        command = [sys.executable, "-c", program, "explore", "--no-browser"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as served:
            assert served.stdout is not None
            address = served.stdout.readline().strip()
            if is_open:
                opened = urlopen(address, timeout=WAIT)
                assert b"<html" in opened.read()
                cookie = opened.headers["set-cookie"].partition(";")[0]
                events = Request(address.partition("?")[0] + "events", headers={"cookie": cookie})
                assert b"event: settings" in urlopen(events, timeout=WAIT).readline()
            else:  # answered, so that Ctrl-C comes after the start
                with pytest.raises(HTTPError):
                    urlopen(address.partition("?")[0] + "nowhere", timeout=WAIT)
            served.send_signal(signal.SIGINT)
            _, said = served.communicate(timeout=300)
        assert served.returncode == 0
        assert "Traceback" not in said

    def test_without_the_extra_it_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "uvicorn", None)
        with pytest.raises(ValueError, match=r"needs uvicorn: pip install 'augscope\[explorer\]'"):
            prepare()

    def test_the_command_prints_an_address_whose_token_is_new_each_time(self, monkeypatch):
        monkeypatch.setattr(Explorer, "run", lambda explorer, browser: explorer.listening.close())
        printed = [run_here("explore", "--no-browser", *more).stdout for more in ([], [], ["--no-token"])]
        addresses, _, tokens = zip(*(text.strip().partition("?access_token=") for text in printed), strict=True)
        assert all(address.startswith("http://127.0.0.1:") for address in addresses)
        assert len(tokens[0]) >= 20
        assert tokens[0] != tokens[1]
        assert tokens[2] == ""

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"host": "127.0.0.1:99"}, 200),
            ({"host": "localhost:99", "origin": "http://localhost:99"}, 200),
            ({"host": "evil.example"}, 400),
            ({"host": "evil.example", "origin": "http://evil.example"}, 400),
            ({}, 400),
            ({"host": "127.0.0.1:99", "origin": "http://evil.example"}, 403),
            ({"host": "127.0.0.1:99", "origin": "http://127.0.0.1:98"}, 403),
            ({"host": "127.0.0.1:99", "origin": "null"}, 403),
        ],
    )
    def test_only_this_machines_browser_comes_in(self, headers, status):
        sent = answer(local_only(HELLO), headers)
        assert sent[0]["status"] == status
        assert (sent[1]["body"] == b"hello") == (status == 200)

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"host": "evil.example"}, 400),
            ({"host": "127.0.0.1:99", "origin": "http://evil.example"}, 403),
            ({"host": "127.0.0.1:99"}, 403),
        ],
    )
    def test_no_websocket_is_opened(self, headers, status):
        start, _ = answer(local_only(HELLO), headers, kind="websocket")
        assert (start["type"], start["status"]) == ("websocket.http.response.start", status)

    @pytest.mark.parametrize(
        ("query", "headers", "status"),
        [
            ("", {}, 401),
            ("access_token=", {}, 401),
            ("access_token=wrong", {}, 401),
            ("access_token=secret", {}, 200),
            ("access_token=secret&access_token=wrong", {}, 401),
            ("", {"cookie": "augscope-99=wrong"}, 401),
            ("", {"cookie": "augscope-98=secret"}, 401),
            ("", {"cookie": "other=1; augscope-99=secret"}, 200),
            ("", {"authorization": "Bearer secret"}, 401),
            ("access_token=%ff%ff", {"cookie": "augscope-99=\xff"}, 401),
        ],
    )
    def test_a_token_is_asked_for_before_anything_is_read(self, query, headers, status):
        sent = answer(WithToken(HELLO, "secret", "augscope-99"), headers, query=query)  # `receive` is None: not called
        assert sent[0]["status"] == status
        cookies = [value for name, value in sent[0]["headers"] if name == b"set-cookie"]
        right = b"augscope-99=secret; HttpOnly; SameSite=Strict; Path=/"
        assert cookies == ([right] if query == "access_token=secret" else [])

    def test_without_a_token_all_of_this_machine_come_in(self):
        assert answer(WithToken(HELLO, "", "augscope-99"), {})[0]["status"] == 200

    @pytest.mark.parametrize(("count", "drawn"), [("5", 5), ("2", 3), ("40", 8), ("", 3), ("-1", 3), ("9" * 30, 3)])
    def test_the_model_is_drawn_with_as_many_patches_as_fit(self, count, drawn):
        assert page.drawn_model(count) == page.drawn_model(str(drawn))
        assert page.drawn_model(count).count(b"<image") == 4 * drawn

    @pytest.mark.parametrize(
        "path", ["/page.py", "/front.html", "/../server.py", "/download/explored.csv", "/stop", "/events/1"]
    )
    def test_nothing_else_is_served(self, path):
        explorer = prepare(with_token=False)
        explorer.listening.close()
        assert answer(explorer.application, {"host": "localhost:1"}, path)[0]["status"] in (404, 405)


HELLO = Starlette(routes=[Route("/", lambda request: PlainTextResponse("hello"))])


def answer(application, headers, path="/", kind="http", query="") -> list:
    """What an ASGI application sends to a GET, or to the opening of a websocket."""
    sent: list = []

    async def send(message):
        sent.append(message)

    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": kind, "method": "GET", "path": path, "query_string": query.encode(), "headers": encoded}
    asyncio.run(application(scope, None, send))
    return sent
