"""Files are written whole or not at all."""

from __future__ import annotations

import os

import pytest

from augscope.support.files import write_whole


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
