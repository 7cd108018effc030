"""One request on a store that fails, on an event loop of imagined time."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, NamedTuple

from starlette.types import Message, Receive, Scope, Send

from asgi_session import Cookie, Record, SessionDestroyed, SessionMiddleware
from asgi_session.signing import CookieSigner
from tests.clients import SECRET, http_scope
from tests.concurrency.model import Data, put_queue, queue_of, without
from tests.concurrency.operations import OPERATIONS, Failure, Program
from tests.event_loop import turns
from tests.faults.faulty_store import FaultyStore

SID = "old"
AGE = 3600
COOKIE = [(b"cookie", b"connect.sid=" + CookieSigner([SECRET.encode()]).sign(SID).encode())]


class Response(NamedTuple):
    """What the client got."""

    status: int
    headers: dict[str, str]
    seconds: float


async def start(store: FaultyStore, data: dict[str, Any]) -> None:
    """Store the session that requests come with."""
    cookie = {"originalMaxAge": AGE * 1000, "expires": "2100-01-01T00:00:00.000Z"}
    payload = json.dumps({"cookie": cookie, **data}, separators=(",", ":"))
    await store.inner.create(SID, Record(payload, time.time() + AGE))


def data_of(record: Record | None) -> Data | None:
    """A record's data without the cookie; None for no record."""
    if record is None:
        return None
    data: Data = json.loads(record.payload)
    del data["cookie"]
    return data


def given_back(data: Data, start: Data) -> Data:
    """Data with the first messages in front again."""
    first = queue_of(start)
    data = dict(data)
    put_queue(data, first + without(queue_of(data), first))
    return data


class App:
    """An app on a store, whose requests run programs."""

    def __init__(self, store: FaultyStore, **options: Any) -> None:
        self._app = SessionMiddleware(self._serve, secret=SECRET, store=store, cookie=Cookie(max_age=AGE), **options)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope["state"]
        status = 200
        try:
            for operation in scope["program"]:
                if operation == "wait":
                    await asyncio.Event().wait()
                await OPERATIONS[operation](state["session"], state["flash"], scope["name"], scope["seen"])
        except (Failure, SessionDestroyed):
            status = 500
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ask(self, program: Program, *, name: str = "me", seen: list[Any] | None = None) -> Response:
        """Send one request, with the cookie of `SID`."""
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        loop = asyncio.get_running_loop()
        begin = loop.time()
        scope = http_scope(headers=COOKIE, program=program, name=name, seen=[] if seen is None else seen)
        await self._app(scope, _receive, send)
        headers = {key.decode(): value.decode() for key, value in sent[0]["headers"]}
        return Response(sent[0]["status"], headers, loop.time() - begin)


async def _receive() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def settle(store: FaultyStore) -> None:
    """Repair the store and let every call that hung come to its end."""
    store.repair()
    await turns(20)
