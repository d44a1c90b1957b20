"""Files are written whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial

import pytest

from augscope.support.files import OutputFolder, check_file, check_folder, claim, write_whole
from augscope.support.kept_file import KeptFile
from augscope.support.kept_folder import KeptFolder


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "part"
    write_whole(path, b"old")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["part"]


def test_a_failure_leaves_what_was_there_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "part"
    write_whole(path, b"old")

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["part"]


FILES = {"record.json": b'{"command": "train", "identity": "x"}', "a.svg": b"new a", "b.csv": b"new b"}
KILLED = """
import os, signal, sys
from pathlib import Path
from augscope.support.files import OutputFolder
calls = {call: 0 for call in sys.argv[2:3]}

def killing(name, original):
    def call(*arguments, **keywords):
        if name == sys.argv[2]:
            calls[name] += 1
            if calls[name] > int(sys.argv[3]):
                os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **keywords)
    return call

for name in ("replace", "rename", "fsync", "unlink", "rmdir"):
    setattr(os, name, killing(name, getattr(os, name)))
OutputFolder(Path(sys.argv[1])).write({"record.json": b'{"command": "train", "identity": "x"}', "a.svg": b"new a", "b.csv": b"new b"})
"""
POINTS = [*(("replace", n) for n in range(3)), *(("fsync", n) for n in range(3)), ("rename", 0), ("rmdir", 0)]


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


class TestOutputFolder:
    @pytest.mark.parametrize(("call", "number"), [*POINTS, ("unlink", 0)])
    @pytest.mark.parametrize("identity", ["x", "other", None])
    def test_killed_at_any_call_the_same_run_may_write_again(self, call, number, identity, tmp_path):
        """Over nothing, over the same run, and over another's whose files were to be replaced."""
        old = {"record.json": json.dumps({"command": "train", "identity": identity}).encode(), "a.svg": b"old a"}
        for name, content in ({} if identity is None else old).items():
            (tmp_path / name).write_bytes(content)
        before = contents(tmp_path)
        subprocess.run([sys.executable, "-c", KILLED, tmp_path, call, str(number)], check=False)
        folder = claim(tmp_path, "train", "x", overwrite=identity == "other", names=tuple(FILES))
        whole = call in ("replace", "unlink", "rmdir")  # the files were all written: they are put in their places
        assert contents(tmp_path) == (FILES if whole else before)
        folder.write(FILES)
        assert contents(tmp_path) == FILES
        assert sorted(os.listdir(tmp_path)) == sorted(FILES)

    @pytest.mark.parametrize("number", range(3))
    def test_a_disk_full_between_two_renames(self, number, tmp_path, monkeypatch):
        original, calls = os.replace, []

        def refuse(*paths):
            calls.append(paths)
            if len(calls) > number:
                raise OSError(28, "No space left on device")
            original(*paths)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", refuse)
            with pytest.raises(ValueError, match="could not be written"):
                OutputFolder(tmp_path).write(FILES)
        claim(tmp_path, "train", "x", overwrite=False, names=tuple(FILES))
        assert contents(tmp_path) == FILES

    def test_another_runs_files_are_left_alone_while_it_writes(self, tmp_path):
        (tmp_path / ".writing-x").mkdir()
        code = "import fcntl, os, sys\nfcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)\nprint(flush=True)\ninput()"
        writer = subprocess.Popen(
            [sys.executable, "-c", code, tmp_path / ".writing-x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        claim(tmp_path, "train", "x", overwrite=False, names=tuple(FILES))
        assert os.listdir(tmp_path) == [".writing-x"]
        writer.communicate(b"\n")
        claim(tmp_path, "train", "x", overwrite=False, names=tuple(FILES))
        assert os.listdir(tmp_path) == []


class TestPlacesThatCannotBeWritten:
    """Each is refused before any work, and leaves nothing."""

    @pytest.mark.parametrize(
        "place", ["/proc/x", "n" * 300, "link", "link/below", "file", "file/below", "m" * 250 + "/" + "n" * 300]
    )
    def test_for_a_folder(self, place, tmp_path):
        (tmp_path / "link").symlink_to(tmp_path / "nowhere")
        (tmp_path / "file").write_text("mine")
        before = sorted(os.listdir(tmp_path))
        with pytest.raises(ValueError, match="`out` must be a folder"):
            check_folder(tmp_path / place)
        assert sorted(os.listdir(tmp_path)) == before

    @pytest.mark.parametrize(
        "place", ["/proc/x.png", "n" * 300 + ".png", "folder", "pipe", "nowhere/x.png", "file/x.png"]
    )
    def test_for_a_file(self, place, tmp_path):
        (tmp_path / "folder").mkdir()
        (tmp_path / "file").write_text("mine")
        os.mkfifo(tmp_path / "pipe")
        before = sorted(os.listdir(tmp_path))
        with pytest.raises(ValueError, match="`out` must be a file"):
            check_file(tmp_path / place)
        assert sorted(os.listdir(tmp_path)) == before

    def test_others_are_not(self, tmp_path):
        check_folder(tmp_path / "a" / "b")
        check_file(tmp_path / "x.png")
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize(
        "opened", [check_file, lambda path: KeptFolder(path.parent, "study", {}, partial(KeptFile, versions={}))]
    )
    def test_what_a_killed_writer_left_is_removed(self, opened, tmp_path):
        killed = subprocess.Popen([sys.executable, "-c", ""])
        killed.wait()
        left, living = tmp_path / f".x.png-{killed.pid}-0123abcd", tmp_path / f".x.png-{os.getpid()}-0123abcd"
        for path in (left, living):
            path.touch()
        opened(tmp_path / "x.png")
        assert sorted({*os.listdir(tmp_path)} - {"study.npz"}) == [living.name]
