"""The explorer without a browser: settings, predictions, the training that is watched, the server's door."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import signal
import socket
import subprocess
import sys
import threading
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlencode
from urllib.request import urlopen

import numpy as np
import pytest
from commands import run_here
from hypothesis import given
from hypothesis import strategies as st

import augscope as ag
from augscope.cli.options import ExperimentOptions
from augscope.explorer import controls, fragments, page, panels
from augscope.explorer.access import Assets, SmallBodies, local_only
from augscope.explorer.regimes import BORDERLINE, COIN_FLIP, LEARNED, outlook
from augscope.explorer.server import Explorer, listen, prepare
from augscope.explorer.session import Frame, TrainingSession
from augscope.explorer.settings import DEFAULT, KNOBS, PRESETS, Settings

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
    return Settings(frequencies=(round(1 - sum(rarer), 12), *rarer), stated_rarity=draw(st.booleans()), **numbers)


class TestSettings:
    @given(some_settings())
    def test_an_address_restores_them_exactly(self, chosen):
        address = parse_qs(urlencode(chosen.query()), strict_parsing=True)
        assert Settings.from_query(address) == (chosen, [])

    @given(some_settings())
    def test_so_do_the_sliders(self, chosen):
        values = {slider.name: slider.value for slider in controls.sliders(chosen)}
        assert controls.read_sliders(values, chosen.stated_rarity) == chosen
        assert all(slider.value in slider.marks for slider in controls.sliders(chosen))

    @pytest.mark.parametrize("name", PRESETS)
    @pytest.mark.parametrize("stated", [True, False])
    def test_the_command_line_runs_the_same_experiment(self, name, stated, monkeypatch):
        import augscope.theorems.verification as verification
        from augscope.cli import main

        chosen, prepared = PRESETS[name].replace(stated_rarity=stated), []

        def stop(experiment, seeds, *_, **__):
            prepared.append((experiment.identity, tuple(seeds)))
            raise ValueError("enough")

        monkeypatch.setattr(verification, "prepare", stop)
        with pytest.raises(SystemExit):
            main(chosen.command().split()[1:])
        assert prepared == [(chosen.experiment().identity, (chosen.seed,))]

    @pytest.mark.parametrize("stated", [True, False])
    def test_so_does_the_configuration(self, stated, tmp_path):
        chosen = THEOREM.replace(num_cut=2, num_patches=5, stated_rarity=stated)
        (tmp_path / "explored.toml").write_bytes(page.configuration(chosen))
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
            ({"frequencies": "inf"}, "finite"),
            ({"frequencies": ""}, "`frequencies` must be comma-separated numbers"),
            ({"frequencies": "0.2,0.2,0.2,0.2,0.2"}, "`frequencies` must hold 1 to 4 features, got 5"),
            ({"rarity": "often"}, "`rarity` must be stated or derive"),
            ({"preset": "none"}, "`preset` must be one of theorem, figure"),
            ({"<script>alert(1)</script>": "1"}, "is not a setting: it is left out"),
        ],
    )
    def test_what_an_address_says_wrongly_is_named_and_the_rest_stands(self, part, sentence):
        settings, (problem,) = Settings.from_query({**part, "num_patches": "5"})
        assert sentence in problem
        assert settings == PRESETS[DEFAULT].replace(num_patches=5)
        assert "<script" not in fragments.heading_html([problem])

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
        assert (page.Choice.of(chosen).session() is None) == refused
        beside = controls.RHO[0] if control == "frequencies" else control
        assert controls.sentences_beside(problems, beside) == problems[control]

    @pytest.mark.parametrize("end", [0, -1])
    @pytest.mark.parametrize("name", [slider.name for slider in controls.sliders(THEOREM)])
    def test_at_its_ends_a_slider_is_safe(self, name, end):
        marks = {
            slider.name: slider.marks[end] if slider.name == name else slider.value
            for slider in controls.sliders(THEOREM)
        }
        chosen = controls.read_sliders(marks, True)
        expected = page.Choice.of(chosen).outlook
        if expected is None:
            assert all(sentences for sentences in chosen.errors().values())
        else:
            assert all(0 <= row.low <= row.high <= 1 for row in expected.predictions)
            assert "<table>" in fragments.outlook_html(expected)

    def test_presets_are_the_shipped_ones(self):
        assert THEOREM.experiment() == ag.presets.theorem
        assert PRESETS["figure"].experiment() == ag.presets.figure


class TestOutlook:
    def test_stated_rarities_give_the_theorems_values(self):
        expected = outlook(ag.presets.theorem)
        assert [row.low for row in expected.predictions] == pytest.approx([0.9, 0.975, 1.0], abs=1e-12)
        assert [row.low for row in expected.predictions] == [row.high for row in expected.predictions]
        assert expected.plateau == pytest.approx(1.39540, abs=1e-5)

    def test_without_them_the_population_decides_and_what_changes_near_by_is_a_range(self):
        expected = outlook(THEOREM.replace(stated_rarity=False).experiment())
        assert [row.erm for row in expected.features] == [LEARNED, COIN_FLIP, COIN_FLIP]
        assert [row.cutout for row in expected.features] == [LEARNED, LEARNED, COIN_FLIP]
        assert [row.low for row in expected.predictions] == pytest.approx([0.9, 0.975, 1], abs=1e-12)
        # Cutout learns the rare feature from step 323 on; with background noise of 1.5 times the energy later.
        near = outlook(THEOREM.replace(stated_rarity=False, num_steps=400).experiment())
        assert near.features[1].cutout == BORDERLINE
        assert [near.predictions[1].low, near.predictions[1].high] == pytest.approx([0.9, 0.975], abs=1e-12)

    def test_without_feature_noise_every_feature_is_learned(self):
        expected = outlook(PRESETS["no feature noise"].experiment())
        assert [row.erm for row in expected.features] == [LEARNED] * 3

    def test_two_patches_have_no_plateau_and_say_so(self):
        expected = outlook(THEOREM.replace(num_patches=2).experiment())
        assert np.isnan(expected.plateau)
        assert "no finite plateau" in " ".join(expected.sentences)


@pytest.fixture(scope="module")
def session() -> TrainingSession:
    return TrainingSession(SMALL.experiment(), SMALL.seed)


@pytest.fixture(scope="module")
def frames(session) -> list[Frame]:
    """What a watcher sees of the session, from its start to its end."""
    worker = threading.Thread(target=session.run)
    worker.start()
    frames = list(session.frames(every=0.0))
    worker.join()
    return frames


@pytest.fixture(scope="module")
def finished(session, frames) -> TrainingSession:
    assert frames[-1].is_over
    return session


class TestSession:
    def test_it_is_watched_frame_by_frame_and_after_its_end(self, finished, frames):
        versions = [frame.version for frame in frames]
        assert versions == sorted(set(versions))
        assert [frame.is_over for frame in frames] == [False] * (len(frames) - 1) + [True]
        assert list(finished.frames()) == [frames[-1]]

    def test_it_measures_what_train_does_bit_for_bit(self, finished):
        experiment = finished.experiment
        dataset = experiment.sample(finished.seed)
        for run, method in zip(finished.latest.runs, experiment.methods, strict=True):
            assert run.status == "completed"
            assert run.history.to_dict() == experiment.run(method, dataset).history.to_dict()

    def test_it_can_be_stopped_and_keeps_what_it_has(self):
        session = TrainingSession(LONG.experiment(), 1)
        worker = threading.Thread(target=session.run)
        worker.start()
        for frame in session.frames(every=0.0):
            if len(frame.runs) == 3:
                session.stop()
        worker.join(timeout=WAIT)
        assert not worker.is_alive()
        assert {run.status for run in frame.runs} == {"interrupted"}
        assert all(0 < run.history.steps[-1] < LONG.num_steps for run in frame.runs)
        assert "interrupted at step" in fragments.standing_html(frame, outlook(LONG.experiment()), LONG.num_steps)

    def test_it_ends_when_nobody_wants_it_any_more(self):
        session = TrainingSession(LONG.experiment(), 1)
        frame = session.run(is_unwanted=lambda: True)
        assert frame.is_over
        assert all(run.status == "interrupted" for run in frame.runs)
        assert list(session.frames(is_unwanted=lambda: True)) == []

    def test_divergence_is_shown(self):
        chosen = SMALL.replace(step_size=1e8, num_steps=150)
        frame = TrainingSession(chosen.experiment().replace(record_at=(0, 1)), 1).run()
        expected = outlook(chosen.experiment())
        assert "diverged" in fragments.standing_html(frame, expected, chosen.num_steps)
        drawn = [chart.to_dict() for chart in page.charts_of(frame, chosen.experiment(), expected)]
        assert len(drawn) == 4


class TestPictures:
    def test_the_charts_hold_what_was_measured(self, finished):
        run = finished.latest.runs[2]
        chart = panels.method_chart(run, finished.experiment, outlook(finished.experiment).predictions[2]).to_dict()
        drawn = chart["vconcat"][0]["layer"][0]["data"]["values"]
        shown = [row["value"] for row in drawn if row["what"].startswith("3: ")]
        assert shown == run.history.feature_scores.mean(axis=1)[:, 2].tolist()
        assert "expected 1" in chart["description"]
        assert not chart["usermeta"]["embedOptions"]["actions"]["editor"]

    def test_evenness_stands_beside_its_predicted_plateau(self, finished):
        spec = json.dumps(panels.evenness_chart(finished.latest.runs, finished.experiment).to_dict())
        plateau = finished.latest.runs[2].predicted_plateau
        assert all(f"{value:.4f}" in spec for value in plateau)

    def test_the_data_is_every_number(self, finished):
        rows = list(csv.DictReader(io.StringIO(panels.to_csv(finished.latest.runs))))
        run = finished.latest.runs[1]
        mine = [row for row in rows if row["method"] == run.method.title]
        assert [float(row["accuracy"]) for row in mine] == run.history.accuracy.tolist()
        assert [float(row["score_2_minus"]) for row in mine] == run.history.feature_scores[:, 1, 1].tolist()
        assert panels.to_csv([]).startswith("method,")

    def test_downloads_are_made_on_request(self, finished):
        make = {name: function for name, _, function in page.downloads(finished, SMALL)}
        assert make["explored.svg"]().startswith(b"<?xml")
        assert make["explored.csv"]().decode() == panels.to_csv(finished.latest.runs)
        assert make["explored.sh"]().decode().strip() == SMALL.command()

    def test_before_anything_is_measured_there_is_an_empty_figure_and_no_chart(self):
        session = TrainingSession(SMALL.experiment(), SMALL.seed)
        assert page.figure(session, "png").startswith(b"\x89PNG")
        assert page.charts_of(session.latest, session.experiment, outlook(session.experiment)) == []


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
                assert b"<html" in urlopen(address, timeout=60).read()
            else:  # answered, so that Ctrl-C comes after the start
                with pytest.raises(HTTPError):
                    urlopen(address.partition("?")[0] + "nowhere", timeout=60)
            served.send_signal(signal.SIGINT)
            _, said = served.communicate(timeout=300)
        assert served.returncode == 0
        assert "Traceback" not in said

    def test_without_the_extra_it_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "marimo", None)
        with pytest.raises(ValueError, match=r"needs marimo: pip install 'augscope\[explorer\]'"):
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
    def test_only_this_machines_browser_comes_in(self, headers, status, tmp_path):
        (tmp_path / "a.js").write_text("1")
        sent = answer(local_only(Assets(None, tmp_path)), headers, "/assets/a.js")
        assert sent[0]["status"] == status
        assert (sent[1]["body"] == b"1") == (status == 200)

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"host": "evil.example"}, 400),
            ({"host": "127.0.0.1:99", "origin": "http://evil.example"}, 403),
        ],
    )
    def test_so_it_is_with_websockets(self, headers, status):
        start, _ = answer(local_only(None), headers, "/ws", "websocket")
        assert (start["type"], start["status"]) == ("websocket.http.response.start", status)

    @pytest.mark.parametrize(
        ("headers", "with_token", "status"),
        [
            ({"content-length": "300000000"}, True, 413),
            ({"content-length": "300000000", "cookie": "session=x"}, True, 413),
            ({"content-length": "9" * 400}, False, 413),
            ({"transfer-encoding": "chunked", "cookie": "session=x"}, True, 413),
            ({"content-length": "-1"}, True, 413),
            ({"content-length": "20"}, True, 401),
            ({"content-length": "20", "cookie": "session=x"}, True, 200),
            ({"content-length": "20"}, False, 200),
            ({}, True, 200),
        ],
    )
    def test_no_large_body_and_none_without_a_token_is_read(self, headers, with_token, status):
        async def page(scope, receive, send):
            await send({"type": "http.response.start", "status": 200})

        sent = answer(
            SmallBodies(page, with_token=with_token), headers, "/api/kernel/run"
        )  # `receive` is None: not called
        assert sent[0]["status"] == status

    def test_files_outside_the_assets_are_not_served(self, tmp_path):
        (tmp_path / "assets").mkdir()
        (tmp_path / "secret").write_text("1")

        async def nobody(scope, receive, send):
            await send({"type": "passed on"})

        assert answer(Assets(nobody, tmp_path / "assets"), {}, "/assets/../secret") == [{"type": "passed on"}]


def answer(application, headers, path, kind="http") -> list:
    """What an ASGI application sends to a GET, or to the opening of a websocket."""
    sent: list = []

    async def send(message):
        sent.append(message)

    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": kind, "method": "GET", "path": path, "query_string": b"n=1", "headers": encoded}
    asyncio.run(application(scope, None, send))
    return sent
