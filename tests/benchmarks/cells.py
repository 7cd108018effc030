"""The situations that are measured, and the proof that a contender really does in each what it is timed for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.benchmarks.contenders.bare import Bare
from tests.benchmarks.contenders.base import Contender
from tests.benchmarks.request import cookies_set, discard, forge, make_scope, receive

Use = Callable[[Scope], Awaitable[None]]

CELLS = [
    "no cookie",
    "untouched",
    "read",
    "read nested",
    "write",
    "new",
    "forged",
    "forged anew",
    "flash pair",
]

_FORGERIES = 3000  # more than anybody remembers


async def small_app(scope: Scope, receive: Receive, send: Send) -> None:
    """The app inside: does with the session what ``scope["use"]`` says, then answers in two messages."""
    await scope["use"](scope)
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


class Browser:
    """A client that keeps the last session cookie, for everything that is not timed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.cookie: str | None = None

    async def visit(self, use: Use) -> Any:
        """One request; returns what the handler left in ``scope["seen"]``."""
        sent: list[Message] = []

        async def keep(message: Message) -> None:
            sent.append(message)

        scope = make_scope(self.cookie) | {"state": {}, "use": use}
        await self._app(scope, receive, keep)
        assert sent[0]["status"] == 200, sent[0]
        for cookie in cookies_set(sent):
            self.cookie = cookie
        return scope.get("seen")


@dataclass
class Cell:
    """One situation of one contender, ready to be timed: its requests, of which one or two make up a turn."""

    app: ASGIApp
    scopes: Iterator[dict[str, Any]]  # without end
    requests_per_turn: int
    contender: Contender
    grows: bool

    async def run(self, turns: int) -> None:
        """Send the requests of so many turns in one task, so that only who really suspends pays for the event loop."""
        app = self.app
        for template in islice(self.scopes, turns * self.requests_per_turn):
            scope = template.copy()
            scope["state"] = {}
            await app(scope, receive, discard)


async def prepare(kind: type[Contender], name: str, data: dict[str, Any]) -> Cell:
    """Set cell `name` up for a contender whose session holds `data`, and check that it does its work.

    Raises:
        AssertionError: a contender does not do what the cell is about.
    """
    contender = kind(data)
    app = contender.wrap(small_app)
    browser = Browser(app)
    await browser.visit(contender.fill)
    assert await browser.visit(contender.snapshot) == data or kind is Bare
    cookie = browser.cookie
    assert (cookie is None) is (kind is Bare)
    forgeries = [
        forge(cookie, number) if cookie else None for number in range(_FORGERIES if name == "forged anew" else 1)
    ]
    before, uses, after = {
        "no cookie": (None, [contender.nothing], None),
        "untouched": (cookie, [contender.nothing], None),
        "read": (cookie, [contender.read], None),
        "read nested": (cookie, [contender.read_nested], None),
        "write": (cookie, [contender.write], None),
        "new": (None, [contender.fill], None),
        "forged": (forgeries[0], [contender.nothing], None),
        "forged anew": (forgeries[0], [contender.nothing], None),
        "flash pair": (cookie, [contender.flash_set, contender.flash_read], None),
    }[name]
    if kind is not Bare:
        after = await _prove(contender, app, name, data, before)
    cookies = forgeries if name == "forged anew" else [before, after or before][: len(uses)]
    scopes = cycle([make_scope(cookie) | {"use": use} for use, cookie in zip(cycle(uses), cookies)])
    return Cell(app, scopes, len(uses), contender, grows=name == "new")


async def _prove(contender: Contender, app: ASGIApp, name: str, data: dict[str, Any], cookie: str | None) -> str | None:
    """Go through the cell once with a browser and look at the effect; returns the cookie for its second request."""
    browser = Browser(app)
    browser.cookie = cookie
    second = None
    if name == "write":
        await browser.visit(contender.write)
        await browser.visit(contender.write)
        assert (await browser.visit(contender.snapshot))["count"] == data["count"] + 2
    elif name == "new":
        await browser.visit(contender.fill)
        assert browser.cookie is not None
        assert await browser.visit(contender.snapshot) == data
    elif name == "flash pair":
        await browser.visit(contender.flash_set)
        second = browser.cookie
        assert await browser.visit(contender.flash_read) == ["Saved your changes"]
        assert await browser.visit(contender.flash_read) == []
        assert (await browser.visit(contender.snapshot)).get("count") == data["count"]
    elif name in ("forged", "forged anew"):
        assert await browser.visit(contender.snapshot) == {}
    elif name in ("read", "read nested", "untouched"):
        assert (await browser.visit(contender.snapshot)) == data
    return second
