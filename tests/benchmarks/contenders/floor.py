"""The least that a signed, stored session can cost in plain Python: no checks, no options, the standard library's JSON.

It is told what the handler is about to do, which no real middleware can know, and does only what that needs: find the
cookie, HMAC-SHA256, look the session up; one decode where data is used; one encode and one header where it changes.
"""

from __future__ import annotations

import hmac
import json
import os
from binascii import b2a_base64
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.benchmarks.contenders.base import SECRET, Contender

_NAME = b"connect.sid=s%3A"
_KEY = SECRET.encode()
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False).encode
_decode = json.JSONDecoder().decode


def _signature(sid: bytes) -> bytes:
    mac = b2a_base64(hmac.digest(_KEY, sid, "sha256"), newline=False).rstrip(b"=")
    return mac.replace(b"+", b"%2B").replace(b"/", b"%2F")


class Floor(Contender):
    name = "floor"

    def __init__(self, data: dict[str, Any]) -> None:
        super().__init__(data)
        self._stored: dict[bytes, str] = {}

    async def forget(self) -> None:
        self._stored.clear()

    def wrap(self, app: ASGIApp) -> ASGIApp:
        async def floor(scope: Scope, receive: Receive, send: Send) -> None:
            sid = signed = None
            for name, value in scope["headers"]:
                if name == b"cookie":
                    start = value.find(_NAME)
                    if start >= 0:
                        presented = value[start + len(_NAME) :].partition(b";")[0]
                        key, _, signature = presented.partition(b".")
                        if hmac.compare_digest(signature, _signature(key)) and key in self._stored:
                            sid, signed = key, presented
                    break
            scope["sid"] = sid
            if scope["use"] not in self._changing:
                await app(scope, receive, send)
                return

            async def commit(message: Message) -> None:
                if message["type"] == "http.response.start":
                    kept, shown = sid, signed
                    if kept is None or shown is None:
                        kept = b2a_base64(os.urandom(24), newline=False).translate(_URL_SAFE)
                        shown = kept + b"." + _signature(kept)
                    self._stored[kept] = _encode(scope["session"])
                    message["headers"].append((b"set-cookie", _NAME + shown + b"; Path=/; HttpOnly; SameSite=lax"))
                await send(message)

            await app(scope, receive, commit)

        self._changing = {self.write, self.fill, self.flash_set, self.flash_read}
        return floor

    async def session(self, scope: Scope) -> MutableMapping[str, Any]:
        sid = scope["sid"]
        session: dict[str, Any] = {} if sid is None else _decode(self._stored[sid])
        scope["session"] = session
        return session
