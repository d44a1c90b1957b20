"""What stands between the browser and marimo's server: who may come in, and files that never change served at once."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from starlette.datastructures import Headers
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL = ("127.0.0.1", "localhost")
FOREVER = "public, max-age=31536000, immutable"


class Assets:
    """Serves a folder's files under /assets/ from memory, to be kept by the browser; passes everything else on.

    A page of marimo's loads some 300 of them, and this takes a tenth of the time that its own server takes. Their names hold
    a digest of their content.

    Args:
        application: what answers everything else (ASGI).
        folder: the files, without subfolders.
    """

    def __init__(self, application: ASGIApp, folder: Path) -> None:
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
        response = Response(self._content(path), media_type=kind, headers={"cache-control": FOREVER})
        await response(scope, receive, send)


class Covered:
    """Puts HTML at the end of the page's body, where the page was given out; a refusal or a redirection passes unchanged.

    Args:
        application: what answers (ASGI).
        cover: the HTML, from the address's query.
    """

    def __init__(self, application: ASGIApp, cover: Callable[[str], str]) -> None:
        self._application, self._cover = application, cover

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope.get("path") != "/":
            await self._application(scope, receive, send)
            return
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self._application(scope, receive, keep)
        start, *parts = messages
        body = b"".join(part.get("body", b"") for part in parts)
        kind = dict(start["headers"]).get(b"content-type", b"")
        if start["status"] == 200 and kind.startswith(b"text/html"):
            cover = self._cover(scope["query_string"].decode("latin-1"))
            before, end, after = body.rpartition(b"</body>")
            body = before + cover.encode() + end + after
        headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
        await send({**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
        await send({"type": "http.response.body", "body": body})


def local_only(application: ASGIApp) -> ASGIApp:
    """Return the application, refusing requests that name another host (400) or come from another site's page (403).

    A page on the internet can make its reader's browser talk to 127.0.0.1; such requests name that page as their origin, or its
    host name.
    """
    return TrustedHostMiddleware(SameOrigin(application), LOCAL)


class SameOrigin:
    """Refuses requests whose origin is not the host that they name.

    Starlette's CORS middleware does not do this: it refuses no request, it tells the browser whether a page may read the
    answer, and it lets every websocket through.

    Args:
        application: what answers the others (ASGI).
    """

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            own = f"http://{headers.get('host')}"
            if headers.get("origin", own) != own:
                refusal = PlainTextResponse("This page is for this machine's browser alone.\n", 403)
                await refusal(scope, receive, send)
                return
        await self._application(scope, receive, send)
