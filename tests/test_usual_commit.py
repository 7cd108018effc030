"""The usual commit, which a store that answers at once gets, comes to the same as any other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from itertools import combinations, count
from typing import Any, Literal

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from asgi_session import Cookie, MemoryStore, Record, SessionMiddleware, SessionNotFound, StoreError
from asgi_session import exchange as exchange_module
from asgi_session.decision import CHANGED, CREATED, HAS_AGE, HELD_DATA, PRESENTED, STORED, Plan, decide
from asgi_session.stores.base import never_suspends
from tests.clients import SECRET, Browser, Handler, call, cookie_header, http_scope, put, websocket_scope
from tests.clock import START, Clock
from tests.spy_store import SpyStore

DATA = {"count": 1, "cart": {"lines": [1]}, "name": "ann"}


@pytest.fixture
def usual(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What every usual commit stored."""
    looks: list[object] = []
    original = exchange_module.store_values  # type: ignore[attr-defined]

    def noting(standing: Any, look: Any) -> Any:
        looks.append(look)
        return original(standing, look)

    monkeypatch.setattr(exchange_module, "store_values", noting)
    return looks


@pytest.mark.parametrize("age", [0, HAS_AGE])
def test_its_facts_leave_nothing_to_decide(age: int) -> None:
    facts = [STORED, HELD_DATA, PRESENTED, CREATED]
    for some in (sum(chosen) for size in range(5) for chosen in combinations(facts, size)):
        expected = Plan("replace", "send" if age else "nothing") if some & STORED else Plan("create", "send")
        assert decide(some | CHANGED | age) == expected


# The same in both ways


def does(*changes: Callable[[Any], object]) -> Handler:
    def handler(request: Request) -> None:
        for change in changes:
            change(request.session)

    return handler


def flashes(request: Request) -> Any:
    return request.state.flash("info", "Saved")


def drains(request: Request) -> Any:
    return request.state.flash("info")


def unsets(request: Request) -> None:
    request.state.session = None


def fails(request: Request) -> PlainTextResponse:
    request.session["count"] = 7
    return PlainTextResponse("", status_code=500)


async def saves(request: Request) -> None:
    request.session["count"] = 7
    await request.session.save()  # type: ignore[attr-defined]


async def saves_and_goes_on(request: Request) -> None:
    await saves(request)
    request.session["count"] = 8


USUAL: dict[str, Handler] = {
    "a value": does(lambda session: session.update(count=3)),
    "a value inside another": does(lambda session: session.setdefault("list", []).append(2)),
    "a key less": does(lambda session: session.pop("name", None), lambda session: session.update(other=1)),
    "a count": does(lambda session: session.increment("count")),
    "a message": flashes,
    "what JSON can't hold": does(lambda session: session.update(count={1, 2})),
}
OTHER: dict[str, Handler] = {
    "nothing": does(),
    "an equal value": does(lambda session: session.update(session)),
    "no key left": does(lambda session: session.clear()),
    "an age": does(lambda session: setattr(session.cookie, "max_age", 60), lambda session: session.update(count=3)),
    "a path": does(lambda session: setattr(session.cookie, "path", "/p"), lambda session: session.update(count=3)),
    "a new id": does(lambda session: session.regenerate(), lambda session: session.update(count=3)),
    "a new id for the same": does(lambda session: session.regenerate(keep=True)),
    "the end": does(lambda session: session.destroy()),
    "a touch": does(lambda session: session.touch(), lambda session: session.update(count=3)),
    "a forced write": does(lambda session: session.mark_modified()),
    "no message": drains,
    "unset": unsets,
    "a failure": fails,
    "save()": saves,
    "a change after save()": saves_and_goes_on,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "with an age": {"cookie": Cookie(max_age=600)},
    "with half a second": {"cookie": lambda connection: Cookie(max_age=timedelta(milliseconds=500))},
    "two secrets": {"secret": [SECRET[::-1], SECRET]},
    "unset destroys": {"unset": "destroy"},
    "rolling": {"rolling": True},
    "resave": {"resave": True},
    "save_uninitialized": {"save_uninitialized": True},
    "secure": {"cookie": Cookie(secure=True)},
}


async def what_comes_of(store: MemoryStore | SpyStore, visits: list[Handler], clock: Clock, **options: Any) -> Any:
    """Every response with its headers, and what is stored after it."""
    clock.now = START
    numbers = count()
    inner = store if isinstance(store, MemoryStore) else store.inner
    browser = Browser(store=store, genid=lambda connection: f"id-{next(numbers)}", **options)
    browser.raise_errors = False
    seen: list[Any] = []
    for visit in visits:
        clock.advance(1.75)
        answer = await browser.visit(visit)
        stored = sorted([sid async for sid in inner.ids()])
        seen.append((answer.status_code, answer.headers.multi_items(), [(sid, await inner.get(sid)) for sid in stored]))
    return seen


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("before", [[put(**DATA)], []], ids=["stored", "new"])
@pytest.mark.parametrize("what", [*USUAL, *OTHER])
async def test_what_is_sent_and_stored_is_the_same(
    what: str, before: list[Handler], options: dict[str, Any], clock: Clock
) -> None:
    visits = [*before, *[{**USUAL, **OTHER}[what]] * 3]
    at_once = await what_comes_of(MemoryStore(), visits, clock, **options)
    assert at_once == await what_comes_of(SpyStore(), visits, clock, **options)


@pytest.mark.parametrize("options", ["as it comes", "with an age", "unset destroys"])
@pytest.mark.parametrize("what", USUAL)
async def test_it_is_made_where_only_values_changed(what: str, options: str, usual: list[object], clock: Clock) -> None:
    await what_comes_of(MemoryStore(), [put(**DATA), USUAL[what]], clock, **OPTIONS[options])
    assert len(usual) == 2


@pytest.mark.parametrize("what", OTHER)
async def test_it_is_not_made_where_anything_else_was_done(what: str, usual: list[object], clock: Clock) -> None:
    await what_comes_of(MemoryStore(), [put(**DATA)], clock)
    usual.clear()
    await what_comes_of(MemoryStore(), [OTHER[what]], clock)
    assert len(usual) == (what == "a change after save()")


@pytest.mark.parametrize("options", ["rolling", "resave", "save_uninitialized"])
async def test_it_is_not_made_where_the_options_ask_for_more(options: str, usual: list[object], clock: Clock) -> None:
    await what_comes_of(MemoryStore(), [put(**DATA), USUAL["a value"]], clock, **OPTIONS[options])
    assert usual == []


# What turns out otherwise


async def test_somebody_who_was_faster_loses_nothing(usual: list[object]) -> None:
    browser = Browser(store=MemoryStore())
    await browser.visit(put(**DATA))

    async def overtaken(request: Request) -> None:
        request.session["mine"] = request.session["count"]
        await browser.tab().visit(put(theirs=1, count=5))

    await browser.visit(overtaken)
    assert len(usual) == 3
    assert await browser.read() == {**DATA, "mine": 1, "theirs": 1, "count": 5}


async def test_a_commit_waits_while_others_take_turns(usual: list[object]) -> None:
    browser = Browser(app=SessionMiddleware(Browser.serve, secret=SECRET))
    turns = browser.app._settings.turns  # type: ignore[attr-defined]
    sid = (await browser.visit(lambda request: request.state.session.update(DATA) or request.state.session.id)).json()
    turns.take(sid)
    waiting = asyncio.create_task(browser.visit(put(count=2)))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    turns.give_back(sid)
    await waiting
    assert len(usual) == 1
    assert await browser.read() == {**DATA, "count": 2}


async def test_a_session_that_ended_meanwhile_does_not_come_back() -> None:
    store = MemoryStore()
    browser = Browser(store=store)
    await browser.visit(put(**DATA))

    async def too_late(request: Request) -> None:
        request.session["count"] = 2
        await browser.tab().visit(lambda request: request.state.session.destroy())
        with pytest.raises(SessionNotFound):
            await request.session.save()  # type: ignore[attr-defined]
        request.session["count"] = 3

    assert "set-cookie" not in (await browser.visit(too_late)).headers
    assert await store.length() == 0


async def test_a_websocket_that_is_closed_stores_no_new_session() -> None:
    store = MemoryStore()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["count"] = 1
        await send({"type": "websocket.close", "code": 1000})

    await call(SessionMiddleware(app, secret=SECRET, store=store), websocket_scope())
    assert await store.length() == 0


async def test_a_taken_id_is_drawn_again(usual: list[object]) -> None:
    ids = ["taken", "taken", "free"]
    store = MemoryStore()
    browsers = [Browser(store=store, genid=lambda connection: ids.pop(0)) for _ in range(2)]
    for number, browser in enumerate(browsers):
        await browser.visit(put(number=number))
    assert len(usual) == 2
    assert [await browser.read() for browser in browsers] == [{"number": 0}, {"number": 1}]
    assert ids == []


class Replacing(MemoryStore):
    """Counts writes, and says that the next one failed: made all the same, or not."""

    writes = 0
    fails: Literal["made", "not made", None] = None

    @never_suspends
    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        self.writes += 1
        if self.fails is None:
            return await super().replace(sid, record, expected=expected)
        if self.fails == "made":
            await super().replace(sid, record, expected=expected)
        self.fails = None
        raise StoreError("no answer")


@pytest.mark.parametrize("fails", ["made", "not made"])
@pytest.mark.parametrize(
    ("change", "change_after", "expected"),
    [
        (lambda session: session.increment("count"), lambda session: None, 2),
        (lambda session: session.update(count=2), lambda session: session.update(count=1), 1),
    ],
    ids=["a count", "a change that is taken back"],
)
async def test_a_write_of_which_nobody_knows_whether_it_was_made(
    fails: Literal["made", "not made"],
    change: Callable[[Any], object],
    change_after: Callable[[Any], object],
    expected: int,
    usual: list[object],
) -> None:
    store = Replacing()
    browser = Browser(store=store)
    await browser.visit(put(**DATA))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        change(scope["session"])
        store.fails = fails
        with pytest.raises(StoreError):
            await send({"type": "http.response.start", "status": 200, "headers": []})
        change_after(scope["session"])
        await scope["session"].save()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    middleware = SessionMiddleware(app, secret=SECRET, store=store, on_store_error="raise")
    await call(middleware, http_scope(headers=cookie_header(browser.cookies)))
    assert len(usual) == 2
    assert await browser.read() == {**DATA, "count": expected}


# Afterwards


@pytest.mark.parametrize("before", [[put(**DATA)], []], ids=["stored", "new"])
async def test_what_was_stored_is_no_change_any_more(before: list[Handler]) -> None:
    store = Replacing()
    browser = Browser(app=SessionMiddleware(Browser.serve, secret=SECRET, store=store))
    for visit in before:
        await browser.visit(visit)
    seen: list[tuple[bool, bool]] = []

    async def streams(request: Request) -> StreamingResponse:
        request.session.update(count=2, cart={"lines": [2]})

        async def body() -> AsyncIterator[bytes]:
            seen.append((request.session.modified, request.session.is_new))  # type: ignore[attr-defined]
            yield b""

        return StreamingResponse(body())

    await browser.visit(streams)
    assert seen == [(False, False)]
    assert store.writes == len(before)
