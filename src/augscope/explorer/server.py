"""Serve the explorer on this machine alone: a port, a token, marimo's server in this process, programs compiled beforehand."""

from __future__ import annotations

import logging
import secrets
import socket
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from augscope.support.values import check

HOST = "127.0.0.1"
FIRST_PORT, TRIED = 2720, 20


def listen(port: int | None) -> socket.socket:
    """Return a listening socket on 127.0.0.1: at the port, or at the first free one from 2720 on.

    Raises:
        ValueError: if the port that was asked for is not valid, or is in use.
    """
    if port is not None:
        check(1 <= port <= 65_535, f"`port` must be from 1 to 65535, got {port}")
        try:
            return _bound(port)
        except OSError as error:
            raise ValueError(
                f"`port` must be free, got {port}: {error.strerror}; leave it out for a free one"
            ) from None
    for candidate in range(FIRST_PORT, FIRST_PORT + TRIED):
        try:
            return _bound(candidate)
        except OSError:
            continue
    return _bound(0)


def _bound(port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((HOST, port))
        found.listen()
    except OSError:
        found.close()
        raise
    return found


@dataclass(frozen=True)
class Explorer:
    """A server that is ready to run.

    Attributes:
        address: to open, token included.
        application: what answers (ASGI).
        listening: the socket.
    """

    address: str
    application: Any
    listening: socket.socket

    def run(self, *, browser: bool) -> None:
        """Serve until Ctrl-C. `browser`: open the address in the user's browser."""
        import uvicorn

        for noisy in ("marimo", "uvicorn", "websockets"):
            logging.getLogger(noisy).setLevel(logging.ERROR)
        config = uvicorn.Config(self.application, log_level="error", timeout_graceful_shutdown=2)
        if browser:
            webbrowser.open(self.address)
        with self.listening:
            uvicorn.Server(config).run(sockets=[self.listening])


def prepare(*, port: int | None = None, with_token: bool = True) -> Explorer:
    """Check everything, set JAX up and compile what the page begins with.

    Args:
        port: where to listen, or None for a free one.
        with_token: refuse whoever does not have the token that is part of the address.

    Raises:
        ValueError: if the extra is not installed, or the port is not free.
    """
    try:
        import altair  # noqa: F401
        import marimo
    except ModuleNotFoundError as error:
        raise ValueError(f"`explore` needs {error.name}: pip install 'augscope[explorer]'") from None
    from augscope.explorer.gate import Assets, Covered, local_only

    listening = listen(port)
    token = secrets.token_urlsafe(16) if with_token else ""
    page = str(Path(__file__).with_name("app.py"))
    served = marimo.create_asgi_app(token=token, quiet=True, include_code=False).with_app(path="", root=page).build()
    query = "?" + urlencode({"access_token": token}) if token else ""
    files = Path(marimo.__file__).with_name("_static") / "assets"
    application = local_only(Assets(Covered(served, _cover), files))
    return Explorer(f"http://{HOST}:{listening.getsockname()[1]}/{query}", application, listening)


def _cover(query: str) -> str:
    """What lies over the page while it loads. Here lest the settings' modules be loaded before arguments are checked."""
    from augscope.explorer.opening import opening

    return opening().cover(query)


def warm_up() -> None:
    """Set JAX up and train what the page begins with. Cost: see `Opening.of`."""
    from augscope.explorer.opening import opening
    from augscope.model.jax_setup import set_up_jax

    set_up_jax()
    opening()
