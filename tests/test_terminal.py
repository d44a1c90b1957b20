"""What commands print: no text of a file is obeyed by a terminal, and nobody reading is no reason to lose what was computed."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import IO

import pyarrow as pa
import pytest
from commands import COMMAND, ONE_THREAD, run_here
from sweep_cases import TINY_TOML, tiny

from augscope.cli.show import table
from augscope.cli.terminal import console, words
from augscope.support.plain_data import csv_text
from augscope.support.wording import printable
from augscope.sweep.cells import failed_row
from augscope.sweep.folder import SweepFolder
from augscope.sweep.schema import SCHEMA
from augscope.theorems.reporting import FILES

ESCAPES = "\x1b]0;title\x07\x1b[2J\x9b31m\r\x7f\u202etxt"
RUN = ("train", "--num-steps", "4", "--num-samples", "12", "--record-at", "0,4", "--dim", "2000", "--seeds", "2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A sweep's folder whose records say what they should not."""
    labels = {"rho": '<img src="http://127.0.0.1:9/x.png">', "accuracy": "<script>alert(1)</script>"}
    target, sweep = SweepFolder(tmp_path_factory.mktemp("foreign") / "out"), tiny(labels=labels)
    cells = sweep.cells()
    rows = [
        failed_row(cell, f"[red]{ESCAPES}") | {"accuracy": i / 7, "status": "completed"} for i, cell in enumerate(cells)
    ]
    with target.claimed():
        target.save_grid(sweep, cells)
        target.parts.write(pa.Table.from_pylist(rows, SCHEMA))
    (target.path / "records" / f"{ESCAPES}.parquet").write_text("foreign")
    return target.path


def controls(text: str) -> set[str]:
    return {character for character in text if character != "\n" and character != printable(character)}


class TestTexts:
    @pytest.mark.parametrize("form", [(), ("--csv",), ("--json",)])
    def test_of_records_and_names_of_files_are_not_obeyed(self, folder, form):
        done = run_here("query", folder, "SELECT message, '[/red]' AS \"[bold]\" FROM records LIMIT 1", *form)
        assert done.returncode == 0
        assert not controls(done.stdout + done.stderr)
        assert "[red]" in done.stdout
        assert "[/red]" in done.stdout
        assert "[bold]" in done.stdout
        assert "\\u001b[2J" in done.stderr  # the file's name
        if form == ("--json",):
            assert json.loads(done.stdout) == [{"message": f"[red]{ESCAPES}", "[bold]": "[/red]"}]

    def test_of_errors_are_not_obeyed(self, tmp_path):
        refused = run_here("query", tmp_path / "a\x1b[31m\udce9", "SELECT 1")
        assert refused.returncode == 2
        assert not controls(refused.stderr)

    def test_on_a_terminal_styles_are_ours_alone(self, monkeypatch, capsys):
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
        with words():
            screen = console(to_stderr=False)
            screen.print(table(("a\x1b[5m", "b"), [("\x1b[5mc", "[bold]d")], title="[red]\x1b[5m"), style="bold")
            screen.print("\x1b[5m[bold]e")
        printed = capsys.readouterr().out
        assert "\x1b[1m" in printed
        assert "\x1b[5m" not in printed
        assert printed.count("\\u001b[5m") >= 2

    def test_lists_of_words_are_no_markup(self, folder):
        done = run_here("query", folder, "SELECT ['common', 'rare'] AS rarity, '[/red]' AS word")
        assert "[common, rare]" in done.stdout
        assert "[/red]" in done.stdout

    def test_labels_are_text_on_a_page(self, folder, tmp_path):
        done = run_here("phase", folder, "--x", "rho", "--y", "speed", "--value", "accuracy", "--out", tmp_path)
        assert done.returncode == 0
        for name in ("phase.html", "phase.svg"):
            text = (tmp_path / name).read_text()
            assert "<img src" not in text
            assert "<script>alert" not in text

    def test_csv_holds_no_formulas(self):
        names = ["=1+1.png", "+x", "-x", "@x", "\t=x", "plain.png", "-1.5", "a=b"]
        cells = list(csv.reader(csv_text(["=name"], [[name] for name in names]).splitlines()))
        assert [row[0] for row in cells] == [
            *("'=name", "'=1+1.png", "'+x", "'-x", "'@x", "'\t=x", "plain.png", "-1.5", "a=b")
        ]


def run(*arguments: object, stdout: int | IO[str], encoding: str = "utf-8") -> tuple[int, str]:
    """Exit status and stderr of the installed command, with this for its output."""
    environment = {**os.environ, **ONE_THREAD, "PYTHONIOENCODING": encoding}
    command = [COMMAND, *map(str, arguments)]
    done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, env=environment, check=False)
    return done.returncode, done.stderr.decode(encoding)


class TestPipes:
    @pytest.fixture
    def unread(self):
        """A pipe whose reader has left."""
        reader, writer = os.pipe()
        os.close(reader)
        yield writer
        os.close(writer)

    @pytest.mark.parametrize("form", ["--csv", "--json"])
    def test_a_query_whose_reader_has_left_ends_quietly(self, folder, unread, form):
        status, error = run("query", folder, "SELECT range FROM range(50000)", form, stdout=unread)
        assert status == 0
        assert len(error.splitlines()) == 1  # the foreign file

    def test_a_sweep_whose_reader_has_left_is_finished(self, tmp_path, unread):
        (tmp_path / "grid.toml").write_text(TINY_TOML)
        status, error = run("sweep", tmp_path / "grid.toml", "--out", tmp_path / "out", stdout=unread)
        assert (status, "Error" in error) == (0, False)
        assert SweepFolder(tmp_path / "out").read_progress().state == "finished"

    def test_files_are_written_for_nobody(self, tmp_path, unread):
        status, error = run(*RUN, "--out", tmp_path / "out", stdout=unread)
        assert (status, "Error" in error) == (0, False)
        assert set(FILES) <= set(os.listdir(tmp_path / "out"))

    def test_files_are_written_before_the_words(self, tmp_path):
        with Path("/dev/full").open("w") as full:
            status, error = run(*RUN, "--out", tmp_path / "out", stdout=full, encoding="ascii")
        assert status == 2
        assert error.splitlines()[-1] == "augscope: the output could not be written: No space left on device"
        assert "Traceback" not in error
        assert set(FILES) <= set(os.listdir(tmp_path / "out"))

    def test_letters_that_the_encoding_lacks_are_written_out(self, folder, tmp_path):
        with (tmp_path / "words").open("w") as words_file:
            status, error = run("query", folder, stdout=words_file, encoding="ascii")
        assert (status, "Traceback" in error) == (0, False)
        assert "\\u03c1" in (tmp_path / "words").read_text(encoding="ascii")


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_head_ends_a_query_quietly(folder):
    line = f"{COMMAND} query {folder} 'SELECT range FROM range(200000)' --csv | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, env={**os.environ, **ONE_THREAD}
    )
    assert done.stdout.split() == ["range", "0"]
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("line", [["train", "--num-steps", "1"], ["images", "show"]])
def test_a_name_that_is_no_utf8_is_refused_before_any_work(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused = run_here(*line, "--out", "\udce9.png")
    assert refused.returncode == 2
    assert "`out` must be a name in UTF-8, got '\\udce9.png'" in refused.stderr
    assert not list(tmp_path.iterdir())
