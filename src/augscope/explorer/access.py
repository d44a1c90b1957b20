"""Who may come in: this machine's browser, with the token of the address; everybody else is refused before anything is read."""

from __future__ import annotations

from secrets import compare_digest
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL = ("127.0.0.1", "localhost")
HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; form-action 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",  # the address may hold the token
    "cache-control": "no-store",
}


class SameOrigin:
    """Refuses requests whose origin is not the host that they name, and websockets, of which there are none.

    Starlette's CORS middleware does not do this: it refuses no request, it only tells the browser whether a page may read the
    answer.

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
            if scope["type"] == "websocket" or headers.get("origin", own) != own:
                refusal = PlainTextResponse("This page is for this machine's browser alone.\n", 403)
                await refusal(scope, receive, send)
                return
        await self._application(scope, receive, send)


class WithToken:
    """Refuses (401) whoever shows no token, in the address or, once that was opened, in a cookie; no body is ever read.

    Args:
        application: what answers the others (ASGI).
        token: what they must show; "" lets everybody in.
        cookie: its name. Cookies know no ports, so that two servers need two names.
    """

    def __init__(self, application: ASGIApp, token: str, cookie: str) -> None:
        self._application, self._token, self._cookie = application, token.encode(), cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] == "lifespan" or not self._token:
            await self._application(scope, receive, send)
            return
        shown = parse_qs(scope["query_string"].decode("latin-1")).get("access_token", [""])[-1]
        kept = cookie_parser(Headers(scope=scope).get("cookie", "")).get(self._cookie, "")

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start" and self._is_right(shown):
                cookie = f"{self._cookie}={shown}; HttpOnly; SameSite=Strict; Path=/"
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        if self._is_right(shown) or self._is_right(kept):
            await self._application(scope, receive, send_with_cookie)
            return
        refusal = PlainTextResponse("Open the address that `augscope explore` printed: it holds the token.\n", 401)
        await refusal(scope, receive, send)

    def _is_right(self, token: str) -> bool:
        return compare_digest(token.encode(), self._token)


def local_only(application: ASGIApp) -> ASGIApp:
    """Return the application, refusing requests that name another host (400) or come from another site's page (403).

    A page on the internet can make its reader's browser talk to 127.0.0.1; such requests name that page as their origin, or its
    host name.
    """
    return TrustedHostMiddleware(SameOrigin(application), LOCAL)
