"""The answer of a server whose session store fails: 503, or its like on a WebSocket."""

from __future__ import annotations

from starlette.types import Scope, Send

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


async def answer_unavailable(scope: Scope, send: Send, *, accepted: bool = False) -> None:
    """Send the whole answer.

    Args:
        accepted: the WebSocket was accepted already, so that only a close code can tell.
    """
    if scope["type"] == "websocket":
        if accepted or "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": TRY_AGAIN_LATER})
            return
        kind = "websocket.http.response"
    else:
        kind = "http.response"
    await send({"type": f"{kind}.start", "status": 503, "headers": list(_HEADERS)})
    await send({"type": f"{kind}.body", "body": b"" if scope.get("method") == "HEAD" else _BODY})
