"""What a session adds to a response's headers, without touching what others put there."""

from __future__ import annotations

from starlette.types import Message


def with_session_headers(message: Message, set_cookie: str | None, vary: bool) -> Message:
    """A response's start with the session's headers. The app's own message, which it may send again, stays as it is.

    Args:
        set_cookie: a Set-Cookie header to append, the only one of its name. With it goes ``Cache-Control: no-store``
            unless the app has a rule.
        vary: say that the response depends on the cookie, once, merged into a Vary header that is there.
    """
    headers: list[tuple[bytes, bytes]] = [*(message.get("headers") or ())]
    varies = caches = sets = False
    for name, _ in headers:
        lower = name.lower()
        if lower == b"vary":
            varies = True
        elif lower == b"cache-control":
            caches = True
        elif lower == b"set-cookie":
            sets = True
    if set_cookie is not None:
        cookie = set_cookie.encode("ascii")
        if sets:
            headers = _without(headers, cookie[: cookie.index(b"=") + 1])
        headers.append((b"set-cookie", cookie))
        if not caches:
            headers.append((b"cache-control", b"no-store"))
    if vary and varies:
        _vary_by_cookie(headers)
    elif vary:
        headers.append((b"vary", b"Cookie"))
    return {**message, "headers": headers}


def _without(headers: list[tuple[bytes, bytes]], name: bytes) -> list[tuple[bytes, bytes]]:
    """The headers without those by which the app itself has set or deleted the cookie of this name (``name=``)."""
    return [
        header for header in headers if header[0].lower() != b"set-cookie" or not header[1].lstrip().startswith(name)
    ]


def _vary_by_cookie(headers: list[tuple[bytes, bytes]]) -> None:
    """Have the first Vary header that says anything say so, too; there is at least one."""
    place = None
    for index, (name, value) in enumerate(headers):
        if name.lower() == b"vary":
            if {field.strip().lower() for field in bytes(value).split(b",")} & {b"cookie", b"*"}:
                return
            if place is None or not headers[place][1].strip():
                place = index
    assert place is not None
    name, value = headers[place]
    headers[place] = (name, value + b", Cookie" if value.strip() else b"Cookie")
