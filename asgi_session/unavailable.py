"""The answer of a server whose session store fails: 503, or its like on a WebSocket."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import ClientDisconnect
from starlette.types import Message, Scope, Send
from starlette.websockets import WebSocketDisconnect

RETRY_AFTER = 5
"""Seconds after which the client may try again (Retry-After, RFC 9110, 10.2.3)."""

TRY_AGAIN_LATER = 1013
"""The WebSocket close code for it (IANA registry)."""

_BODY = b"Service Unavailable"
_HEADERS = [
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", str(len(_BODY)).encode()),
    (b"retry-after", str(RETRY_AFTER).encode()),
    (b"cache-control", b"no-store"),
]


class Answered(OSError):
    """Nobody hears what the app sends, for 503 went out instead: raised as servers do when the client is gone."""


async def answer_unavailable(scope: Scope, send: Send, *, accepted: bool, cookies: Sequence[str | None]) -> None:
    """Send the whole answer.

    Args:
        accepted: the WebSocket was accepted already, so that only a close code can tell.
        cookies: Set-Cookie headers to go with it; None stands for none.
    """
    if scope["type"] == "websocket":
        if accepted or "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": TRY_AGAIN_LATER})
            return
        kind = "websocket.http.response"
    else:
        kind = "http.response"
    set_cookies = [(b"set-cookie", cookie.encode("ascii")) for cookie in cookies if cookie is not None]
    await send({"type": f"{kind}.start", "status": 503, "headers": [*_HEADERS, *set_cookies]})
    await send({"type": f"{kind}.body", "body": b"" if scope.get("method") == "HEAD" else _BODY})


async def send_to_nobody(message: Message) -> None:
    """Take what the app still sends after that.

    Raises:
        Answered: there may be more to come, perhaps without end (ASGI 2.4: `send` to nobody raises an OSError).
    """
    if message["type"] == "websocket.send" or message.get("more_body"):
        raise Answered("the response was replaced by 503")


def came_of_being_answered(error: BaseException) -> bool:
    """Whether an exception is `Answered`, or what Starlette makes of it."""
    cause = error.__context__ if isinstance(error, WebSocketDisconnect | ClientDisconnect) else error
    return isinstance(cause, Answered)
