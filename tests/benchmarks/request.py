"""The request that every contender gets: a browser's, with some other site cookies beside the session's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.types import Message

OTHER_COOKIES = "_ga=GA1.1.1181736551.1763633345; theme=dark; "

_HEADERS = [
    (b"host", b"shop.example.com"),
    (b"connection", b"keep-alive"),
    (b"sec-ch-ua", b'"Chromium";v="142", "Not_A Brand";v="99"'),
    (b"sec-ch-ua-mobile", b"?0"),
    (b"sec-ch-ua-platform", b'"Linux"'),
    (
        b"user-agent",
        b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    ),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    (b"sec-fetch-site", b"same-origin"),
    (b"sec-fetch-mode", b"navigate"),
    (b"sec-fetch-dest", b"document"),
    (b"referer", b"https://shop.example.com/"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"accept-language", b"en-GB,en;q=0.9,de;q=0.8"),
]


def make_scope(cookie: str | None) -> dict[str, Any]:
    """A GET as uvicorn presents it, without ``state``, which is fresh each time. `cookie`: ``name=value`` or None."""
    headers = list(_HEADERS)
    if cookie is not None:
        headers.append((b"cookie", (OTHER_COOKIES + cookie).encode()))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 51782),
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": "/cart",
        "raw_path": b"/cart",
        "query_string": b"",
        "headers": headers,
    }


async def receive() -> Message:
    """The empty body of a GET."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def discard(message: Message) -> None:
    """A client that reads nothing, for the timed calls."""


def cookies_set(messages: Iterable[Message]) -> list[str]:
    """The ``name=value`` parts of the Set-Cookie headers in a response."""
    pairs: list[tuple[bytes, bytes]] = [pair for message in messages for pair in message.get("headers", [])]
    return [value.split(b";")[0].decode() for name, value in pairs if name.lower() == b"set-cookie"]


def forge(cookie: str, number: int = 0) -> str:
    """The same cookie with four characters changed near its end, where signatures stand, and no escape broken."""
    place = len(cookie) - 10
    while "%" in cookie[place - 2 : place + 4]:
        place -= 1
    return f"{cookie[:place]}{number:04d}{cookie[place + 4 :]}"


def plain(value: Any) -> Any:
    """A deep copy in bare dicts and lists."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value
