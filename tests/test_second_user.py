"""Another user of this machine, who has no token, tries: a sweep and an explorer let nobody in, and refusals are sentences.

Where these tests run as root, that user is a process that has dropped it, for nobody; elsewhere a process of the same user.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from commands import QUICK, run_here
from sweep_cases import TINY_TOML, tiny

import augscope as ag
from augscope.explorer.server import prepare

IS_ROOT = os.geteuid() == 0
RUN = (*QUICK, "--record-at", "0,4")

# What the other user needs is loaded before root is dropped: its Python may lie where nobody else may read.
DROP = """
import encodings.idna, http.client, json, os, socket, sys
given = json.loads(sys.argv[1])
def drop():
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
def tried(action):
    try:
        return f"reached: {action()!r}"
    except (OSError, ValueError) as error:
        return type(error).__name__
"""

LISTENING = """
drop()
def connect(kind, address):
    with socket.socket(kind, socket.SOCK_STREAM) as client:
        client.settimeout(10)
        client.connect(address)
        return address
sockets = {}
for name in ("tcp", "tcp6"):
    for line in open(f"/proc/net/{name}").read().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A":  # listens
            port = int(fields[1].rpartition(":")[2], 16)
            sockets[fields[9]] = tried(lambda: connect(socket.AF_INET, ("127.0.0.1", port))) if fields[9] in given["ours"] else ""
for line in open("/proc/net/unix").read().splitlines()[1:]:
    fields = line.split(maxsplit=7)
    if len(fields) == 8:  # has a name
        name = fields[7].replace("@", "\\0", 1)
        sockets[fields[6]] = tried(lambda: connect(socket.AF_UNIX, name)) if fields[6] in given["ours"] else ""
process = {
    f"{number} {what}": tried(action)
    for number in given["processes"]
    for what, action in {
        "signal": lambda: os.kill(number, 0),
        "memory": lambda: open(f"/proc/{number}/mem", "rb"),
        "environment": lambda: open(f"/proc/{number}/environ", "rb").read(),
        "files": lambda: os.listdir(f"/proc/{number}/fd"),
    }.items()
}
print(json.dumps({"sockets": sockets, "process": process}))
"""

READING = """
drop()
print(json.dumps([tried(lambda: os.listdir(given["folder"])), *(tried(lambda: open(path, "rb")) for path in given["files"])]))
"""

KNOCKING = """
drop()
def knock(method, path, headers):
    connection = http.client.HTTPConnection("127.0.0.1", given["port"], timeout=10)
    connection.request(method, path, headers=headers, body="{}" if method == "POST" else None)
    answer = connection.getresponse()
    text = answer.read(4_000).decode() if answer.status == 200 else ""
    connection.close()
    return [answer.status, text]
upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
ways = {"plain": {}, "wrong": {"Authorization": "Bearer x"}, "cookie": {"Cookie": f"augscope-{given['port']}=x; access_token=x"}, "socket": upgrade}
print(json.dumps([
    [method, path, way, knock(method, path + ("?access_token=x" if way == "wrong" else ""), headers)]
    for path in given["paths"] for way, headers in ways.items() for method in ("GET", "POST")
    if way != "socket" or method == "GET"
]))
"""

COMMANDS = """
sys.path.insert(0, given["tests"])
from commands import run_here
for line in given["before"]:
    assert run_here(*line).returncode != 2, line
drop()
done = [run_here(*line) for line in given["lines"]]
print(json.dumps([[one.returncode, one.stdout, one.stderr] for one in done]))
"""


def other_user(code: str, **given: Any) -> Any:
    """What the other user's process finds."""
    command = [sys.executable, "-c", DROP + code, json.dumps(given)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def public():
    """A folder that everybody may enter and read, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def inodes(*processes: int) -> set[str]:
    """The sockets that processes hold."""
    links = []
    for place in [path for process in processes for path in Path(f"/proc/{process}/fd").glob("*")]:
        with suppress(OSError):  # it is closed by now
            links.append(os.readlink(place))
    return {link[len("socket:[") : -1] for link in links if link.startswith("socket:")}


@pytest.mark.slow  # a sweep with two workers that listens nowhere is in test_sweep_processes.py
def test_of_a_sweep_with_two_workers_nothing_can_be_reached(tmp_path):
    found, before, seen = {}, inodes(os.getpid()), []

    def look(progress):
        workers = [child.pid for child in psutil.Process().children(recursive=True)]
        if len(workers) >= 2 and not found:
            held = inodes(os.getpid(), *workers) - before
            seen.extend(held)
            found.update(other_user(LISTENING, ours=sorted(held), processes=workers))

    ag.run_sweep(tiny(), tmp_path / "out", workers=2, progress=look)
    assert seen  # the pipes, which have no name
    assert set(found["sockets"]) & set(seen) == set()
    if IS_ROOT:
        assert {word.partition(":")[0] for word in found["process"].values()} == {"PermissionError"}


def test_a_socket_that_listens_would_have_been_reached():
    with socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX) as named:
        named.bind("\0augscope-test")
        named.listen()
        ours = inodes(os.getpid())
        found = other_user(LISTENING, ours=sorted(ours), processes=[])["sockets"]
    assert sum(found[inode].startswith("reached") for inode in ours & set(found)) >= 2


@pytest.mark.skipif(not IS_ROOT, reason="the other user is the same one")
def test_kept_runs_that_are_private_stay_so(public):
    kept = public / "kept"
    assert run_here("train", *RUN, "--checkpoint", kept).returncode == 0
    files = sorted(map(str, kept.iterdir()))
    assert len(files) >= 2
    kept.chmod(0o700)
    assert set(other_user(READING, folder=str(kept), files=files)) == {"PermissionError"}
    kept.chmod(0o755)
    assert all(word.startswith("reached") for word in other_user(READING, folder=str(kept), files=files))


def test_of_an_explorer_nothing_can_be_reached_without_the_token():
    explorer = prepare()
    explorer.listening.close()
    inner = explorer.application
    while not hasattr(inner, "routes"):
        inner = getattr(inner, "app", None) or inner._application
    paths = sorted({"/nothing", *(route.path.replace("{name}", "explored.csv") for route in inner.routes)})
    assert len(paths) == 8
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from augscope.cli import main; main()"
    )
    command = [sys.executable, "-c", program, "explore", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as served:
        assert served.stdout is not None
        port = int(served.stdout.readline().partition("?")[0].strip("/\n").rpartition(":")[2])
        try:
            answers = other_user(KNOCKING, port=port, paths=paths)
        finally:
            served.kill()
    let_in = [(method, path, way, status) for method, path, way, (status, _) in answers if status != 401]
    assert let_in == []
    assert len(answers) > 30


@pytest.mark.slow
def test_what_may_not_be_read_or_written_is_a_sentence(public, monkeypatch):
    monkeypatch.chdir(public)
    for name, line in {
        "run": ["train", *RUN, "--out", "run", "--checkpoint", "kept"],
        "image.png": ["images", "show", "--out", "image.png", "--size", "32", "--grid", "2", "--num-cut", "1"],
    }.items():
        assert run_here(*line).returncode == 0, name
    Path("grid.toml").write_text(TINY_TOML)
    Path("config.toml").write_text("num_steps = 4")
    before = [
        ["train", *RUN, "--out", "run"],
        ["train", *RUN, "--checkpoint", "kept"],
        ["report", "run"],
        ["images", "show", "image.png", "--out", "other.png", "--size", "32", "--grid", "2", "--num-cut", "1"],
        ["sweep", "grid.toml", "--out", "swept"],
        ["query", "swept", "SELECT 1"],
        ["phase", "swept", "--x", "rho", "--y", "speed", "--value", "accuracy", "--out", "drawn"],
    ]
    other_user(COMMANDS, before=before, lines=[], tests=str(Path(__file__).parent))
    Path("unwritable").mkdir()
    shutil.copy("run/record.json", "unwritable")
    for name in ("run", "kept", "swept", "config.toml", "grid.toml", "image.png"):
        Path(name).chmod(0)
    for name in ("unwritable", "."):
        Path(name).chmod(0o555)
    lines = [
        ["report", "run"],
        ["report", "unwritable"],
        ["train", *RUN, "--out", "run"],
        ["train", *RUN, "--out", "new"],
        ["train", *RUN, "--checkpoint", "kept"],
        ["train", *RUN, "--checkpoint", "new"],
        ["train", *RUN, "--config", "config.toml"],
        ["images", "show", "image.png", "--out", "/tmp/other.png"],
        ["images", "show", "--out", "other.png"],
        ["sweep", "grid.toml", "--out", "new"],
        ["sweep", "--status", "swept"],
        ["query", "swept", "SELECT 1"],
        ["phase", "swept", "--x", "rho", "--y", "speed", "--value", "accuracy"],
    ]
    ended = other_user(COMMANDS, before=before, lines=lines, tests=str(Path(__file__).parent))
    Path(".").chmod(0o755)
    for line, (status, out, err) in zip(lines, ended, strict=True):
        assert (status, out) == (2, ""), (line, err)
        assert err.startswith("augscope: "), (line, err)
        assert "permission denied" in err.lower(), (line, err)
        assert len(err.splitlines()) <= 2, (line, err)
