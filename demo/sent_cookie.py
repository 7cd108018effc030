"""The visitor's own cookie taken apart, for display only: whether to believe it is the middleware's business."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote

from starlette.datastructures import Headers

NAME = "connect.sid"


class SentCookie(NamedTuple):
    """What the browser sent: the id, and the signature that proves that the server made it."""

    sid: str
    signature: str


def sent_cookie(headers: Headers, sid: str) -> SentCookie | None:
    """The session cookie that carries the id `sid`; browsers may send several of one name."""
    for header in headers.getlist("cookie"):
        for pair in header.split(";"):
            name, _, value = pair.strip().partition("=")
            found, _, signature = unquote(value).removeprefix("s:").rpartition(".")
            if name == NAME and found == sid:
                return SentCookie(found, signature)
    return None
