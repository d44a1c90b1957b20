"""Serve the explorer on this machine alone: a port, a token, the page, and a stream of what is computed for it."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from augscope.support.extras import needs_extra
from augscope.support.values import check

HOST = "127.0.0.1"
FIRST_PORT, NUM_TRIES = 2720, 20
LOOK_SECONDS = 0.1  # between two looks whether there is something new to show
MOST_VISITS = 32  # kept for downloads and grey curves
FILES = {"front.css": "text/css", "front.js": "text/javascript"}


def listen(port: int | None) -> socket.socket:
    """Return a listening socket on 127.0.0.1: at the port, or at the first free one from 2720 on.

    Raises:
        ValueError: if `port` is not valid, or is in use.
    """
    if port is None:
        for candidate in range(FIRST_PORT, FIRST_PORT + NUM_TRIES):
            with suppress(OSError):
                return socket.create_server((HOST, candidate))
        return socket.create_server((HOST, 0))
    check(1 <= port <= 65_535, f"`port` must be from 1 to 65535, got {port}")
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise ValueError(f"`port` must be free, got {port}: {reason}; leave it out for a free one") from None


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
        """Serve until Ctrl-C, which ends the process: trainings go with it, and nothing of theirs is kept.

        Args:
            browser: open the address in the user's browser.
        """
        import uvicorn

        threading.Thread(target=_room, args=("page",), daemon=True).start()  # ready when the browser is
        config = uvicorn.Config(
            self.application,
            log_level="error",
            lifespan="off",
            ws="none",  # whatever else is installed
            timeout_graceful_shutdown=1,
        )
        if browser:
            webbrowser.open(self.address)
        with self.listening, suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[self.listening])
        sys.stdout.flush()
        os._exit(0)  # `sys.exit` would wait for trainings


def prepare(*, port: int | None = None, with_token: bool = True) -> Explorer:
    """Check everything and listen; nothing is loaded or trained yet.

    Args:
        port: where to listen, or None for a free one.
        with_token: refuse whoever does not have the token that is part of the address.

    Raises:
        ValueError: if the extra is not installed, or the port is not free.
    """
    with needs_extra("`explore`", "explorer"):
        from starlette.applications import Starlette
        from starlette.routing import Route

        import_module("uvicorn")
    from augscope.explorer.access import WithToken, local_only

    listening = listen(port)
    number = listening.getsockname()[1]
    token = secrets.token_urlsafe(16) if with_token else ""
    visits = Visits()
    routes = [
        Route("/", _front),
        *(Route(f"/{name}", _file) for name in FILES),
        Route("/schematic.svg", _schematic),
        Route("/events", visits.events),
        Route("/stop", visits.stop, methods=["POST"]),
        Route("/download/{name}", visits.download),
    ]
    application = local_only(WithToken(Starlette(routes=routes), token, f"augscope-{number}"))
    query = "?" + urlencode({"access_token": token}) if token else ""
    return Explorer(f"http://{HOST}:{number}/{query}", application, listening)


@cache
def _room(name: str) -> Any:
    """A module of the explorer that computes, loaded with JAX when it is first needed."""
    from augscope.model.jax_setup import set_up_jax

    set_up_jax()
    return import_module(f"augscope.explorer.{name}")


def _response(content: Any, kind: str, **more: Any) -> Any:
    from starlette.responses import Response, StreamingResponse

    from augscope.explorer.access import HEADERS

    answer: Any = Response if isinstance(content, (str, bytes)) else StreamingResponse
    return answer(content, media_type=kind, headers={**HEADERS, **more.pop("headers", {})}, **more)


def _read(request: Any) -> tuple[Any, list[str], tuple[str, str]]:
    """The settings of an address, what of it could not be used, and the map's axes."""
    query = {name: value for name, value in request.query_params.items() if name not in ("access_token", "earlier")}
    axes = _room("page").read_axes(query)
    return *_room("settings").Settings.from_query(query), axes


def _front(request: Any) -> Any:
    return _response(_room("page").page_html(*_read(request)), "text/html")


def _file(request: Any) -> Any:
    name = request.url.path[1:]
    return _response(Path(__file__).with_name(name).read_bytes(), FILES[name])


def _schematic(request: Any) -> Any:
    return _response(_room("page").drawn_model(request.query_params.get("num_patches", "")), "image/svg+xml")


class Visits:
    """The latest choices of settings, by a name that only their page knows."""

    def __init__(self) -> None:
        self._visits: dict[str, Any] = {}
        self._planes: dict[Any, Any] = {}
        self._lock = threading.Lock()

    def _begin(self, settings: Any, axes: tuple[str, str], earlier: str) -> tuple[str, Any]:
        """Start what is computed for settings that fit together."""
        before = self._visits.get(earlier)
        runs = () if before is None or before.settings == settings else before.limit.latest.runs
        without = (*axes, "seed", "init_std")  # a map is the same whatever these are
        key = (
            axes,
            settings.mixup,
            tuple((name, value) for name, value in settings.controls.items() if name not in without),
        )
        with self._lock:
            plane = self._planes.pop(key, None) or _room("plane").Plane(settings, *axes)
            self._planes[key] = plane  # the newest last
            visit, name = _room("runs").Visit(settings, plane, runs), secrets.token_urlsafe(8)
            self._visits[name] = visit
            for kept in (self._visits, self._planes):
                while len(kept) > MOST_VISITS:
                    kept.pop(next(iter(kept)))
        visit.start()
        return name, visit

    async def events(self, request: Any) -> Any:
        """Answer with a stream: what is said of the settings, and all that changes on the page until everything is computed."""
        settings, _, axes = await asyncio.to_thread(_read, request)
        state = await asyncio.to_thread(_room("page").form_state, settings)
        begin = partial(self._begin, settings, axes, request.query_params.get("earlier", ""))
        return _response(self._stream(request, state, begin), "text/event-stream")

    async def _stream(self, request: Any, state: dict[str, Any], begin: Any) -> AsyncIterator[str]:
        if state["wrong"]:
            yield _event("settings", state)
            yield _event("end", {})
            return
        name, visit = await asyncio.to_thread(begin)
        yield _event("settings", {**state, "visit": name})
        page, shown, rows = _room("page"), None, None
        try:
            while not await request.is_disconnected():
                is_over = visit.is_over  # asked first: what is drawn after it is the end
                frames, version, pieces = (visit.limit.latest, visit.sample.latest), visit.plane.version, {}
                if frames != shown:
                    pieces |= await asyncio.to_thread(page.curves_pieces, visit)
                if version != rows:
                    pieces |= await asyncio.to_thread(page.map_pieces, visit)
                if pieces:
                    yield _event("show", pieces)
                shown, rows = frames, version
                if is_over:
                    yield _event("end", {})
                    return
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            visit.leave()

    async def stop(self, request: Any) -> Any:
        """Stop a training."""
        visit = self._visits.get(request.query_params.get("visit", ""))
        if visit is not None:
            visit.stop()
        return _response("", "text/plain", status_code=404 if visit is None else 200)

    def download(self, request: Any) -> Any:
        """Answer with one of a choice's files."""
        page, name = _room("page"), request.path_params["name"]
        visit = self._visits.get(request.query_params.get("visit", ""))
        if visit is None or name not in page.DOWNLOADS:
            return _response("There is no such file any more.\n", "text/plain", status_code=404)
        attachment = {"content-disposition": f'attachment; filename="{name}"'}
        return _response(page.download(visit, name), page.DOWNLOADS[name][1], headers=attachment)


def _event(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
