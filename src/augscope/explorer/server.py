"""Serve the explorer on this machine alone: a port, a token, and marimo's server in this process."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import sys
import webbrowser
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from augscope.support.values import check

HOST = "127.0.0.1"
FIRST_PORT, NUM_TRIES = 2720, 20


def listen(port: int | None) -> socket.socket:
    """Return a listening socket on 127.0.0.1: at the port, or at the first free one from 2720 on.

    Raises:
        ValueError: if `port` is not valid, or is in use.
    """
    if port is not None:
        check(1 <= port <= 65_535, f"`port` must be from 1 to 65535, got {port}")
        try:
            return _bound(port)
        except OSError as error:
            raise ValueError(
                f"`port` must be free, got {port}: {error.strerror}; leave it out for a free one"
            ) from None
    for candidate in range(FIRST_PORT, FIRST_PORT + NUM_TRIES):
        try:
            return _bound(candidate)
        except OSError:
            continue
    return _bound(0)


def _bound(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
        listening.listen()
    except OSError:
        listening.close()
        raise
    return listening


@dataclass(frozen=True)
class Explorer:
    """A server that is ready to run.

    Attributes:
        address: to open, token included.
        application: what answers (ASGI).
        listening: the socket. Browsers may connect already; they are answered once `run` is called.
    """

    address: str
    application: Any
    listening: socket.socket

    def run(self, *, browser: bool) -> None:
        """Serve until Ctrl-C, which ends the process: pages' threads may still train, and nothing of theirs is kept.

        Args:
            browser: open the address in the user's browser.
        """
        import uvicorn

        from augscope.model.jax_setup import set_up_jax

        for name in ("marimo", "uvicorn", "websockets"):
            logging.getLogger(name).setLevel(logging.ERROR)
        config = uvicorn.Config(self.application, log_level="error", timeout_graceful_shutdown=2)
        set_up_jax()  # before the page trains
        if browser:
            webbrowser.open(self.address)
        loop = _ServersLoop()
        asyncio.set_event_loop(loop)
        with self.listening, suppress(KeyboardInterrupt):
            loop.run_until_complete(uvicorn.Server(config).serve(sockets=[self.listening]))
        sys.stdout.flush()
        os._exit(0)  # `sys.exit` would wait for those threads


class _ServersLoop(asyncio.SelectorEventLoop):
    """A loop in which signals stay the server's: marimo, once a page is open, would take Ctrl-C and ask on the terminal."""

    def add_signal_handler(self, sig: int, callback: Any, *args: Any) -> None:
        """Do nothing."""

    def remove_signal_handler(self, sig: int) -> bool:
        """Do nothing."""
        return False


def prepare(*, port: int | None = None, with_token: bool = True) -> Explorer:
    """Check everything and listen; nothing is trained before a page is opened.

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
    from augscope.explorer.access import Assets, SmallBodies, local_only

    listening = listen(port)
    token = secrets.token_urlsafe(16) if with_token else ""
    page = str(Path(__file__).with_name("app.py"))
    marimo_app = marimo.create_asgi_app(token=token, quiet=True, include_code=False).with_app(path="", root=page)
    query = "?" + urlencode({"access_token": token}) if token else ""
    assets = Path(marimo.__file__).with_name("_static") / "assets"
    application = local_only(SmallBodies(Assets(marimo_app.build(), assets), with_token=with_token))
    return Explorer(f"http://{HOST}:{listening.getsockname()[1]}/{query}", application, listening)
