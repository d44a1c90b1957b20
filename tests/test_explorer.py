"""The explorer without a browser: settings, predictions, the training that is watched, the server's door."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import socket
import sys
import threading
from urllib.parse import parse_qs

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import augscope as ag
from augscope.cli.options import ExperimentOptions
from augscope.explorer import charts, controls, page, parts
from augscope.explorer.gate import Assets, Covered, local_only
from augscope.explorer.opening import Opening
from augscope.explorer.regimes import BETTER, BORDERLINE, COIN_FLIP, LEARNED, outlook
from augscope.explorer.server import listen, prepare
from augscope.explorer.session import TrainingSession
from augscope.explorer.settings import DEFAULT, KNOBS, PRESETS, Settings

THEOREM = PRESETS["theorem"]
SMALL = THEOREM.replace(num_samples=24, num_steps=20, dim=2_000)
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
        address = parse_qs(chosen.address.removeprefix("?"), strict_parsing=True)
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

        chosen, found = PRESETS[name].replace(stated_rarity=stated), []

        def stop(experiment, seeds, *_, **__):
            found.append((experiment.identity, tuple(seeds)))
            raise ValueError("enough")

        monkeypatch.setattr(verification, "prepare", stop)
        with pytest.raises(SystemExit):
            main(chosen.command().split()[1:])
        assert found == [(chosen.experiment().identity, (chosen.seed,))]

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
    def test_what_an_address_says_wrongly_is_told_and_the_rest_stands(self, part, sentence):
        found, (told,) = Settings.from_query({**part, "num_patches": "5"})
        assert sentence in told
        assert found == PRESETS[DEFAULT].replace(num_patches=5)
        assert "<script" not in parts.heading_html([told])

    @pytest.mark.parametrize(
        ("changes", "control", "sentence", "refused"),
        [
            ({"num_cut": 3}, "num_cut", "`num_cut` must be in [1, P), got 3 with P = 3", True),
            ({"frequencies": (0.4, 0.6)}, "frequencies", "`frequencies` must be decreasing", True),
            ({"frequencies": (0.0, 0.5, 0.5)}, "frequencies", "`frequencies` must be above 0, got 0.0", True),
            ({"dim": 4}, "dim", "`dim` must be at least 2K = 6", True),
            ({"num_cut": 2}, "num_cut", "Theorem 3.2 assumes C = 2 < P/2 = 1.5: it does not hold.", False),
            ({"background_noise_std": 0.1}, "dominant_noise_std", "assume σ_d/σ_b = 0.25 > 1", False),
            ({"dim": 100}, "dim", "Theorems 3.1, 3.2, 3.3 assume n(P−1) = 600 ≤ d − 2K = 94", False),
            ({"num_patches": 2}, "num_patches", "Theorems 3.1, 3.2, 3.3 assume P = 2 ≥ 3", False),
        ],
    )
    def test_a_bad_combination_is_explained_beside_its_slider(self, changes, control, sentence, refused):
        chosen = THEOREM.replace(**changes)
        problems = chosen.problems()
        assert any(sentence in told for told in problems[control])
        assert bool(chosen.errors()) == refused
        assert (page.session_of(chosen) is None) == refused
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
        if chosen.errors():
            assert page.outlook_of(chosen) is None
            assert all(sentences for sentences in chosen.errors().values())
        else:
            expected = page.outlook_of(chosen)
            assert all(0 <= row.low <= row.high <= 1 for row in expected.predictions)
            assert "<table>" in parts.outlook_html(expected)

    def test_presets_are_the_shipped_ones(self):
        assert THEOREM.experiment() == ag.presets.theorem
        assert PRESETS["figure"].experiment() == ag.presets.figure


class TestOutlook:
    def test_stated_rarities_give_the_theorems_values(self):
        found = outlook(ag.presets.theorem)
        assert [row.low for row in found.predictions] == pytest.approx([0.9, 0.975, 1.0], abs=1e-12)
        assert [row.low for row in found.predictions] == [row.high for row in found.predictions]
        assert found.plateau == pytest.approx(1.39540, abs=1e-5)

    def test_without_them_the_learning_speeds_decide_and_what_they_leave_open_is_a_range(self):
        found = outlook(THEOREM.replace(stated_rarity=False).experiment())
        # R(σ_d) = 1.92, 0.36, 0.12 and R(σ_b) = 5.33, 1, 0.33 against 0.7, borderline within a factor 1.5.
        assert [row.erm for row in found.features] == [LEARNED, COIN_FLIP, COIN_FLIP]
        assert [row.cutout for row in found.features] == [LEARNED, BORDERLINE, COIN_FLIP]
        assert [(round(row.low, 12), round(row.high, 12)) for row in found.predictions] == [
            (0.9, 0.9),
            (0.9, 0.975),
            (1, 1),
        ]

    def test_without_feature_noise_an_unlearned_feature_may_beat_a_coin(self):
        found = outlook(PRESETS["no feature noise"].experiment())
        # Above 5.2 √(n/d) = 0.20 in R_k, what test noise hides: 0.36 is, 0.12 is not.
        assert [row.erm for row in found.features] == [LEARNED, BETTER, COIN_FLIP]

    def test_two_patches_have_no_plateau_and_say_so(self):
        found = outlook(THEOREM.replace(num_patches=2).experiment())
        assert np.isnan(found.plateau)
        assert "no finite plateau" in " ".join(found.sentences)


class TestSession:
    def test_it_measures_what_train_does_bit_for_bit(self):
        experiment = SMALL.experiment()
        session = TrainingSession(experiment, SMALL.seed)
        watched = []
        threading.Thread(target=session.run).start()
        for frame in session.frames(every=0.0):
            watched.append(frame.version)
        assert frame.is_over
        assert watched == sorted(set(watched))
        dataset = experiment.sample(SMALL.seed)
        for run, method in zip(frame.runs, experiment.methods, strict=True):
            expected = experiment.run(method, dataset)
            assert run.status == "completed"
            assert run.history.to_dict() == expected.history.to_dict()

    def test_it_can_be_stopped_and_keeps_what_it_has(self):
        session = TrainingSession(LONG.experiment(), 1)
        worker = threading.Thread(target=session.run)
        worker.start()
        for frame in session.frames(every=0.0):
            if len(frame.runs) == 3:
                session.stop()
        worker.join(timeout=30)
        assert not worker.is_alive()
        assert {run.status for run in frame.runs} == {"interrupted"}
        assert all(0 < run.history.steps[-1] < LONG.num_steps for run in frame.runs)
        assert "interrupted at step" in parts.standing_html(frame, outlook(LONG.experiment()), LONG.num_steps)

    def test_it_ends_when_nobody_wants_it_any_more(self):
        session = TrainingSession(LONG.experiment(), 1)
        frame = session.run(is_unwanted=lambda: True)
        assert frame.is_over
        assert all(run.status == "interrupted" for run in frame.runs)
        assert list(session.frames(is_unwanted=lambda: True)) == []

    def test_divergence_is_told(self):
        chosen = SMALL.replace(step_size=1e8, num_steps=150)
        frame = TrainingSession(chosen.experiment().replace(record_at=(0, 1)), 1).run()
        html = parts.standing_html(frame, outlook(chosen.experiment()), chosen.num_steps)
        assert "diverged" in html
        for run, prediction in page.pairs(frame, outlook(chosen.experiment())):
            charts.method_chart(run, chosen.experiment(), prediction).to_dict()


@pytest.fixture(scope="module")
def finished() -> TrainingSession:
    session = TrainingSession(SMALL.experiment(), SMALL.seed)
    session.run()
    return session


class TestPictures:
    def test_the_charts_hold_what_was_measured(self, finished):
        run = finished.latest.runs[2]
        chart = charts.method_chart(run, finished.experiment, outlook(finished.experiment).predictions[2]).to_dict()
        drawn = chart["vconcat"][0]["layer"][0]["data"]["values"]
        shown = [row["value"] for row in drawn if row["what"].startswith("3: ")]
        assert shown == run.history.feature_scores.mean(axis=1)[:, 2].tolist()
        assert "expected 1" in chart["description"]
        assert not chart["usermeta"]["embedOptions"]["actions"]["editor"]

    def test_evenness_stands_beside_its_predicted_plateau(self, finished):
        spec = json.dumps(charts.evenness_chart(finished.latest.runs, finished.experiment).to_dict())
        plateau = finished.latest.runs[2].predicted_plateau
        assert all(f"{value:.4f}" in spec for value in plateau)

    def test_the_data_is_every_number(self, finished):
        rows = list(csv.DictReader(io.StringIO(charts.to_csv(finished.latest.runs))))
        run = finished.latest.runs[1]
        mine = [row for row in rows if row["method"] == run.method.title]
        assert [float(row["accuracy"]) for row in mine] == run.history.accuracy.tolist()
        assert [float(row["score_2_minus"]) for row in mine] == run.history.feature_scores[:, 1, 1].tolist()
        assert charts.to_csv([]).startswith("method,")

    def test_downloads_are_made_when_asked_for(self, finished):
        made = {name: make() for name, _, make in page.downloads(finished, SMALL)}
        assert made["explored.svg"].startswith(b"<?xml")
        assert made["explored.png"].startswith(b"\x89PNG")
        assert made["explored.sh"].decode().strip() == SMALL.command()


@pytest.fixture(scope="module")
def opening() -> Opening:
    return Opening.of(SMALL)


class TestOpening:
    def test_its_picture_stands_at_its_own_settings_alone(self, opening):
        mine = opening.cover(SMALL.address.removeprefix("?"))
        assert "data:image/svg+xml;base64," in mine
        for run in opening.session.latest.runs:
            assert f"{run.method.title} {run.history.accuracy[-1]:.4f}" in mine
        other = opening.cover(SMALL.replace(seed=SMALL.seed + 1).address.removeprefix("?"))
        assert "<img" not in other
        assert "Predicted regime of each feature" in other

    @pytest.mark.parametrize(
        ("query", "sentence"),
        [
            ("num_cut=5", "do not fit together"),
            ("seed=x", "`seed` must be a whole number"),
            ("%3Cscript%3Ealert(1)%3C%2Fscript%3E=1&dim=%FF%00", "&lt;script&gt;alert(1)"),
            ("&&=&;%", "Predicted regime"),
        ],
    )
    def test_whatever_an_address_holds_is_told_and_escaped(self, opening, query, sentence):
        html = opening.cover(query)
        assert sentence in html
        assert "<script>alert" not in html

    def test_what_is_over_is_not_trained_again(self, opening):
        before = opening.session.latest
        assert opening.session.run() == before
        assert before.seconds == opening.session.latest.seconds

    def test_the_page_begins_with_what_was_kept_and_trains_anew_when_asked(self, opening, monkeypatch):
        monkeypatch.setattr(page, "_kept", {})
        page.keep(opening.settings, opening.session)
        assert page.session_of(SMALL) is opening.session
        assert page.session_of(SMALL, anew=True) is not opening.session
        assert page.session_of(SMALL.replace(seed=9)) is not opening.session


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

    def test_the_command_refuses_in_one_line(self, capsys):
        from augscope.cli import main

        with socket.create_server(("127.0.0.1", 0)) as held:
            port = str(held.getsockname()[1])
            with pytest.raises(SystemExit) as ended:
                main(["explore", "--no-browser", "--port", port])
        message = capsys.readouterr().err.strip()
        assert ended.value.code == 2
        assert "must be free" in message
        assert len(message.splitlines()) == 1

    def test_without_the_extra_it_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "marimo", None)
        with pytest.raises(ValueError, match=r"needs marimo: pip install 'augscope\[explorer\]'"):
            prepare()

    def test_the_token_is_new_each_time_and_part_of_the_address(self):
        first, second, open_to_all = prepare(), prepare(), prepare(with_token=False)
        for explorer in (first, second, open_to_all):
            explorer.listening.close()
        tokens = [explorer.address.partition("access_token=")[2] for explorer in (first, second, open_to_all)]
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

    def test_files_outside_the_assets_are_not_served(self, tmp_path):
        (tmp_path / "assets").mkdir()
        (tmp_path / "secret").write_text("1")

        async def nobody(scope, receive, send):
            await send({"type": "passed on"})

        assert answer(Assets(nobody, tmp_path / "assets"), {}, "/assets/../secret") == [{"type": "passed on"}]


class TestCover:
    """The HTML that is put into the page which marimo gives out, and into nothing else."""

    @pytest.mark.parametrize(
        ("status", "kind", "path", "is_covered"),
        [
            (200, b"text/html; charset=utf-8", "/", True),
            (303, b"text/html", "/", False),
            (200, b"application/json", "/", False),
            (200, b"text/html", "/auth/login", False),
        ],
    )
    def test_it_lies_over_the_page_alone(self, status, kind, path, is_covered):
        pieces = [b"<body><p>", b"page</p></body></html>"]

        async def page_of_two_pieces(scope, receive, send):
            headers = [(b"content-type", kind), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            for place, piece in enumerate(pieces):
                await send({"type": "http.response.body", "body": piece, "more_body": place == 0})

        start, *rest = answer(Covered(page_of_two_pieces, lambda query: f"<b>{query}</b>"), {}, path)
        body = b"".join(message["body"] for message in rest)
        assert body == b"<body><p>page</p>" + b"<b>n=1</b>" * is_covered + b"</body></html>"
        assert [value for name, value in start["headers"] if name == b"set-cookie"] == [b"a=1", b"b=2"]
        told = dict(start["headers"]).get(b"content-length")
        assert told is None or int(told) == len(body)


def answer(application, headers, path, kind="http") -> list:
    """What an ASGI application sends to a GET, or to the opening of a websocket."""
    sent: list = []

    async def send(message):
        sent.append(message)

    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": kind, "method": "GET", "path": path, "query_string": b"n=1", "headers": encoded}
    asyncio.run(application(scope, None, send))
    return sent
