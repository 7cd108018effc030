"""Clients that call an app in this process: a browser with a cookie jar, and bare ASGI for what HTTP clients hide."""

from __future__ import annotations

import base64
import hashlib
import hmac
import inspect
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from contextvars import ContextVar
from typing import Any
from urllib.parse import quote

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi_session import SessionMiddleware

SECRET = "a secret for tests, long enough for no warning"

Handler = Callable[[Request], Any]
"""An endpoint, `def` or `async def`: returns a Response, or anything else for a JSON response of it."""

_handler: ContextVar[Handler] = ContextVar("_handler")


async def serve(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive, send)
    answer = _handler.get()(request)
    if inspect.isawaitable(answer):
        answer = await answer
    response = answer if isinstance(answer, Response) else JSONResponse(answer)
    await response(scope, receive, send)


class Browser:
    """A client with a cookie jar, of a Starlette app with the session middleware. Each visit brings its own endpoint.

    Args:
        https: the scheme.
        app: an app of the test's own instead; it calls `serve` where the visit's endpoint belongs.
        options: of the middleware; `secret` has a default.
    """

    serve = staticmethod(serve)

    def __init__(self, *, https: bool = False, app: ASGIApp | None = None, **options: Any) -> None:
        self.app = session_app(**options) if app is None else app
        self.base_url = "https://testserver" if https else "http://testserver"
        self.cookies = httpx.Cookies()
        self.raise_errors = True

    def tab(self) -> Browser:
        """Another client with the cookies that this one has now."""
        other = Browser(app=self.app)
        other.base_url = self.base_url
        other.cookies.update(self.cookies)
        return other

    async def visit(
        self,
        handler: Handler = lambda request: None,
        path: str = "/",
        *,
        method: str = "GET",
        headers: Sequence[tuple[str, str]] = (),
        root_path: str = "",
    ) -> httpx.Response:
        """Send one request, answered by `handler`. An exception of the app comes out, unless `raise_errors` is off."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=self.raise_errors, root_path=root_path)
        token = _handler.set(handler)
        try:
            async with httpx.AsyncClient(
                transport=transport, base_url=self.base_url, cookies=self.cookies, headers=list(headers)
            ) as client:
                response = await client.request(method, path)
        finally:
            _handler.reset(token)
        self.cookies.extract_cookies(response)
        return response

    async def read(self, path: str = "/", **options: Any) -> Any:
        """The session's data as a new request sees it."""
        return (await self.visit(lambda request: dict(request.session), path, **options)).json()


def session_app(app: ASGIApp = serve, **options: Any) -> ASGIApp:
    """A Starlette app, its error handling included, with the middleware around `app`."""
    starlette = Starlette(middleware=[Middleware(SessionMiddleware, **{"secret": SECRET, **options})])
    starlette.mount("/", app)
    return starlette


def put(**data: Any) -> Handler:
    """An endpoint that puts data into the session."""
    return lambda request: request.session.update(data)


def set_cookies(response: httpx.Response, name: str = "connect.sid") -> list[str]:
    """The Set-Cookie headers of one name."""
    return [header for header in response.headers.get_list("set-cookie") if header.startswith(f"{name}=")]


def set_cookie(response: httpx.Response, name: str = "connect.sid") -> str | None:
    """The one Set-Cookie header of a name, or None."""
    headers = set_cookies(response, name)
    assert len(headers) <= 1
    return headers[0] if headers else None


def attributes(header: str | None) -> dict[str, str]:
    """A Set-Cookie header's attributes, names in lower case; the value stands under ""."""
    assert header is not None
    first, *rest = header.split("; ")
    pairs = [part.partition("=") for part in rest]
    return {"": first.partition("=")[2], **{name.lower(): value for name, _, value in pairs}}


def http_scope(path: str = "/", *, headers: Iterable[tuple[bytes, bytes]] = (), **more: Any) -> Scope:
    """The scope of a GET request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": list(headers),
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 1234),
        **more,
    }


def websocket_scope(path: str = "/", **more: Any) -> Scope:
    """The scope of a WebSocket handshake."""
    return http_scope(path, **{"type": "websocket", "scheme": "ws", "subprotocols": [], **more})


async def call(
    app: Callable[[Scope, Receive, Send], Awaitable[None]],
    scope: Scope,
    *,
    received: Sequence[Message] = (),
    on_send: Callable[[Message], None] = lambda message: None,
) -> list[MutableMapping[str, Any]]:
    """Run an app on a scope and return the messages that it sent.

    Args:
        received: what the client sends; by default an empty body, or a WebSocket's connect and disconnect.
        on_send: told of each message when it is sent.
    """
    if not received and scope["type"] == "websocket":
        received = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]
    waiting = list(received or [{"type": "http.request", "body": b"", "more_body": False}])
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> Message:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        on_send(message)
        sent.append(message)

    await app(scope, receive, send)
    return sent


def signature(sid: bytes, secret: bytes = SECRET.encode()) -> bytes:
    """What Express's cookie-signature puts behind an id."""
    return base64.b64encode(hmac.digest(secret, sid, hashlib.sha256)).rstrip(b"=")


def signed(sid: str | bytes, secret: bytes = SECRET.encode()) -> bytes:
    """A cookie value as Express would make it; `sid` may be bytes that no text stands for."""
    raw = sid if isinstance(sid, bytes) else sid.encode("utf-8", "surrogatepass")
    return quote(b"s:" + raw + b"." + signature(raw, secret), safe="-_.!~*'()").encode()


def cookie_header(cookies: httpx.Cookies) -> list[tuple[bytes, bytes]]:
    """The Cookie header of a jar, for a scope."""
    return [(b"cookie", "; ".join(f"{name}={value}" for name, value in cookies.items()).encode())]
