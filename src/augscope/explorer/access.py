"""What stands between the browser and marimo's server: who may come in, and files that never change served from memory."""

from __future__ import annotations

import mimetypes
from functools import cache
from pathlib import Path

from starlette.datastructures import Headers
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

LOCAL = ("127.0.0.1", "localhost")
MAX_BODY = 2**20  # bytes; what the page sends, a slider's value, has some hundreds
FOREVER = "public, max-age=31536000, immutable"


class Assets:
    """Serves a folder's files under /assets/ from memory, to be kept by the browser; passes everything else on.

    marimo's page loads some 300 of them, and this takes a tenth of the time that marimo's own server takes. Their names hold
    a digest of their content.

    Args:
        application: what answers everything else (ASGI).
        folder: the files, without subfolders.
    """

    def __init__(self, application: ASGIApp, folder: Path) -> None:
        self._application = application
        self._files = {f"/assets/{path.name}": path for path in folder.iterdir() if path.is_file()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        path = scope.get("path", "")
        if scope["type"] != "http" or scope["method"] != "GET" or path not in self._files:
            await self._application(scope, receive, send)
            return
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        response = Response(_content(self._files[path]), media_type=kind, headers={"cache-control": FOREVER})
        await response(scope, receive, send)


@cache
def _content(path: Path) -> bytes:
    return path.read_bytes()


class SameOrigin:
    """Refuses requests whose origin is not the host that they name.

    Starlette's CORS middleware does not do this: it refuses no request, it only tells the browser whether a page may read the
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


class SmallBodies:
    """Refuses requests with a large body, and with any body from whoever shows no token, before reading it.

    Whether the token is right is marimo's to say; it reads the body first.

    Args:
        application: what answers the others (ASGI).
        with_token: whether there is a token.
    """

    def __init__(self, application: ASGIApp, *, with_token: bool) -> None:
        self._application, self._with_token = application, with_token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        length = headers.get("content-length", "0")
        is_large = (
            "transfer-encoding" in headers or not length.isdecimal() or len(length) > 12 or int(length) > MAX_BODY
        )
        shows_token = b"access_token=" in scope.get("query_string", b"") or {"cookie", "authorization"} & set(headers)
        refusal = None
        if is_large:
            refusal = PlainTextResponse(f"A request's body may have {MAX_BODY:,} bytes, and must state them.\n", 413)
        elif length != "0" and self._with_token and not shows_token:
            refusal = PlainTextResponse("The address that `augscope explore` printed holds the token.\n", 401)
        await (refusal or self._application)(scope, receive, send)


def local_only(application: ASGIApp) -> ASGIApp:
    """Return the application, refusing requests that name another host (400) or come from another site's page (403).

    A page on the internet can make its reader's browser talk to 127.0.0.1; such requests name that page as their origin, or its
    host name.
    """
    return TrustedHostMiddleware(SameOrigin(application), LOCAL)
