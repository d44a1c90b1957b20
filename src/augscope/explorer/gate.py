"""What stands between the browser and marimo's server: who may come in, and files that never change served at once."""

from __future__ import annotations

import mimetypes
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

LOCAL = frozenset({"127.0.0.1", "localhost"})
FOREVER = b"public, max-age=31536000, immutable"
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Scope = dict[str, Any]


async def respond(send: Send, status: int, kind: str, body: bytes, cache: bytes = b"no-store") -> None:
    """Send a whole HTTP response."""
    headers = [
        (b"content-type", kind.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", cache),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Assets:
    """Serves a folder's files under /assets/ from memory, to be kept by the browser; passes everything else on.

    A page of marimo's loads some 300 of them, and this takes a tenth of the time that its own server takes. Their names hold
    a digest of their content.

    Args:
        application: what answers everything else (ASGI).
        folder: the files, without subfolders.
    """

    def __init__(self, application: Any, folder: Path) -> None:
        self._application = application
        self._files = {f"/assets/{path.name}": path for path in folder.iterdir() if path.is_file()}
        self._content = lru_cache(maxsize=None)(lambda path: self._files[path].read_bytes())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        path = scope.get("path", "")
        if scope["type"] != "http" or scope["method"] != "GET" or path not in self._files:
            await self._application(scope, receive, send)
            return
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        await respond(send, 200, kind, self._content(path), FOREVER)


class Covered:
    """Puts HTML at the end of the page's body, where the page was given out; a refusal or a redirection passes unchanged.

    Args:
        application: what answers (ASGI).
        cover: the HTML, from the address's query.
    """

    def __init__(self, application: Any, cover: Callable[[str], str]) -> None:
        self._application, self._cover = application, cover

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope.get("path") != "/":
            await self._application(scope, receive, send)
            return
        told: list[dict[str, Any]] = []

        async def keep(message: dict[str, Any]) -> None:
            told.append(message)

        await self._application(scope, receive, keep)
        start, body = told[0], b"".join(message.get("body", b"") for message in told[1:])
        kind = dict(start["headers"]).get(b"content-type", b"")
        if start["status"] == 200 and kind.startswith(b"text/html"):
            cover = self._cover(scope["query_string"].decode("latin-1"))
            before, end, after = body.rpartition(b"</body>")
            body = before + cover.encode() + end + after
        headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
        await send({**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
        await send({"type": "http.response.body", "body": body})


class LocalOnly:
    """Refuses requests that were meant for another host or come from another site's page.

    A page on the internet can make its reader's browser talk to 127.0.0.1; such requests name that page as their origin, or its
    host name.

    Args:
        application: what answers the others (ASGI).
        port: ours.
    """

    def __init__(self, application: Any, port: int) -> None:
        self._application, self._port = application, port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] not in ("http", "websocket") or self._is_ours(dict(scope["headers"])):
            await self._application(scope, receive, send)
        elif scope["type"] == "http":
            await respond(send, 403, "text/plain", b"This page is for this machine's browser alone.\n")
        else:
            await receive()
            await send({"type": "websocket.close", "code": 4403})

    def _is_ours(self, headers: dict[bytes, bytes]) -> bool:
        hosts = {f"{name}:{self._port}" for name in LOCAL}
        origin = headers.get(b"origin", b"").decode("latin-1")
        return headers.get(b"host", b"").decode("latin-1") in hosts and (
            not origin or origin in {f"http://{host}" for host in hosts}
        )
