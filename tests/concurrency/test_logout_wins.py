"""What was in flight when its session ended neither brings it back nor sends a cookie for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from asgi_session import Cookie, SessionMiddleware, SessionNotFound
from tests.clients import SECRET, Browser, call, cookie_header, put, set_cookies, websocket_scope
from tests.clock import Clock
from tests.spy_store import SpyStore

End = Callable[[Request], None]


def log_out(request: Request) -> None:
    request.session.clear()
    request.state.session.destroy()


def sign_in_as_another(request: Request) -> None:
    request.state.session.regenerate()
    request.session["user"] = "another"


def renew(request: Request) -> None:
    request.state.session.regenerate(keep=True)


def empty(request: Request) -> None:
    request.session.clear()


class Visitor:
    """A signed-in client with two tabs: `browser`, whose request is in flight, and another that ends the session."""

    def __init__(self, store: SpyStore, end: End, **options: Any) -> None:
        self.store = store
        self.browser = Browser(store=store, **{"cookie": Cookie(max_age=3600), **options})
        self._end = end

    async def arrive(self) -> None:
        await self.browser.visit(put(user="me", list=[]))
        await self.browser.visit(lambda request: request.state.flash("info", "hello"))

    async def end(self) -> None:
        """End the session in the other tab, and remember what is stored then."""
        tab = Browser(app=self.browser.app)
        tab.cookies.update(self.browser.cookies)
        response = await tab.visit(self._end)
        assert response.status_code == 200
        self.stored = await self._records()

    async def assert_gone(self) -> None:
        """Nothing was written since."""
        assert await self._records() == self.stored

    async def _records(self) -> dict[str, Any]:
        return {sid: await self.store.inner.get(sid) for sid in await self.store.sids()}


@pytest.fixture(params=[log_out, sign_in_as_another, renew, empty], ids=lambda end: end.__name__)
async def visitor(request: pytest.FixtureRequest) -> Visitor:
    visitor = Visitor(SpyStore(), request.param)
    await visitor.arrive()
    return visitor


def change(request: Request) -> None:
    request.session["late"] = 1


def change_inside(request: Request) -> None:
    request.session["list"].append(1)


def empty_it(request: Request) -> None:
    request.session.clear()


def touch(request: Request) -> None:
    request.state.session.touch()


def count(request: Request) -> None:
    request.state.session.increment("n")


def say(request: Request) -> None:
    request.state.flash("info", "late")


def drain(request: Request) -> None:
    request.state.flash("info")


def destroy(request: Request) -> None:
    request.state.session.destroy()


def remember_me(request: Request) -> None:
    request.state.session.cookie.max_age = 86400


def write_anyway(request: Request) -> None:
    request.state.session.mark_modified()


def renew_it(request: Request) -> None:
    request.state.session.regenerate(keep=True)


LATE = [change, change_inside, empty_it, touch, count, say, drain, destroy, remember_me, write_anyway, renew_it]
late_changes = pytest.mark.parametrize("late", LATE, ids=lambda late: late.__name__)


@late_changes
async def test_a_request_in_flight(visitor: Visitor, late: End) -> None:
    async def handler(request: Request) -> None:
        late(request)
        await visitor.end()

    response = await visitor.browser.visit(handler)
    assert response.status_code == 200
    assert set_cookies(response) == []
    await visitor.assert_gone()


@late_changes
async def test_a_request_that_changes_the_session_after_its_end(visitor: Visitor, late: End) -> None:
    async def handler(request: Request) -> None:
        await visitor.end()
        late(request)

    response = await visitor.browser.visit(handler)
    assert response.status_code == 200
    assert set_cookies(response) == []
    await visitor.assert_gone()


@pytest.mark.parametrize("option", ["rolling", "resave", "save_uninitialized", "touch_after"])
async def test_a_request_that_changes_nothing_but_would_extend_the_session(option: str) -> None:
    visitor = Visitor(SpyStore(), log_out, **{option: 0 if option == "touch_after" else True})
    await visitor.arrive()
    response = await visitor.browser.visit(lambda request: visitor.end())
    assert set_cookies(response) == []
    await visitor.assert_gone()


async def test_a_claim_gets_nothing(visitor: Visitor) -> None:
    async def handler(request: Request) -> Any:
        await visitor.end()
        return await request.state.flash.claim("info")

    response = await visitor.browser.visit(handler)
    assert response.json() == []
    assert set_cookies(response) == []
    await visitor.assert_gone()


async def test_saving_says_that_the_session_is_gone(visitor: Visitor) -> None:
    async def handler(request: Request) -> str:
        await visitor.end()
        request.session["late"] = 1
        with pytest.raises(SessionNotFound):
            await request.state.session.save()
        return "told"

    response = await visitor.browser.visit(handler)
    assert response.json() == "told"
    assert set_cookies(response) == []
    await visitor.assert_gone()


async def test_saving_before_the_end_keeps_nothing_alive(visitor: Visitor) -> None:
    async def handler(request: Request) -> None:
        request.session["early"] = 1
        await request.state.session.save()
        await visitor.end()
        request.session["late"] = 1

    response = await visitor.browser.visit(handler)
    assert set_cookies(response) == []
    await visitor.assert_gone()


@late_changes
async def test_a_stream(visitor: Visitor, late: End) -> None:
    async def handler(request: Request) -> Response:
        async def body() -> AsyncIterator[str]:
            yield "one"
            await visitor.end()
            late(request)
            yield "two"

        return StreamingResponse(body())

    response = await visitor.browser.visit(handler)
    assert response.text == "onetwo"
    await visitor.assert_gone()


@late_changes
async def test_a_background_task(visitor: Visitor, late: End) -> None:
    async def handler(request: Request) -> Response:
        async def task() -> None:
            await visitor.end()
            late(request)

        return Response(background=BackgroundTask(task))

    await visitor.browser.visit(handler)
    await visitor.assert_gone()


@late_changes
async def test_a_web_socket(visitor: Visitor, late: Callable[[Any], None]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        await visitor.end()
        late(socket)
        await socket.close()

    wrapped = SessionMiddleware(app, secret=SECRET, store=visitor.store, cookie=Cookie(max_age=3600))
    sent = await call(wrapped, websocket_scope(headers=cookie_header(visitor.browser.cookies)))
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
    await visitor.assert_gone()


async def test_a_session_that_expired_in_flight(clock: Clock) -> None:
    async def let_it_expire(request: Request) -> None:
        request.session["late"] = 1
        clock.advance(3601)

    store = SpyStore()
    browser = Browser(store=store, cookie=Cookie(max_age=3600))
    await browser.visit(put(user="me"))
    response = await browser.visit(let_it_expire)
    assert response.status_code == 200
    assert set_cookies(response) == []
    assert await store.sids() == []


async def test_dropped_changes_are_logged_without_the_id(caplog: pytest.LogCaptureFixture) -> None:
    visitor = Visitor(SpyStore(), log_out)
    await visitor.arrive()
    (sid,) = await visitor.store.sids()

    async def handler(request: Request) -> None:
        request.session["late"] = "secret content"
        await visitor.end()

    await visitor.browser.visit(handler)
    (entry,) = caplog.records
    assert entry.name == "asgi_session"
    assert "dropped" in entry.getMessage()
    assert sid not in caplog.text
    assert "secret content" not in caplog.text


async def test_of_two_sign_ins_at_once_both_work() -> None:
    visitor = Visitor(SpyStore(), sign_in_as_another)
    await visitor.arrive()

    async def handler(request: Request) -> None:
        request.state.session.regenerate()
        await visitor.end()
        request.session["user"] = "me again"

    response = await visitor.browser.visit(handler)
    assert len(set_cookies(response)) == 1
    assert await visitor.browser.read() == {"user": "me again"}
    assert len(await visitor.store.sids()) == 2


async def test_the_new_record_is_written_before_the_old_one_is_deleted() -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(user="me"))
    (old,) = await store.sids()
    stored: list[list[str]] = []

    async def look() -> None:
        stored.append(await store.sids())

    store.before["destroy"] = look
    await browser.visit(renew)
    ((first, second),) = stored
    assert old in (first, second)
    assert await browser.read() == {"user": "me"}


@pytest.mark.parametrize("keep", [False, True])
async def test_a_renewal_whose_second_half_fails_leaves_the_old_session_valid(keep: bool) -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(user="me"))
    (old,) = await store.sids()
    store.fail("destroy")

    def handler(request: Request) -> None:
        request.state.session.regenerate(keep=keep)
        request.session["new"] = 1

    response = await browser.visit(handler)
    assert response.status_code == 503
    assert set_cookies(response) == []
    store.work()
    assert await browser.read() == {"user": "me"}
    assert old in await store.sids()


@pytest.mark.parametrize("ends", [2, 5])
async def test_of_logouts_at_once_all_succeed(ends: int) -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(user="me"))
    tabs = [Browser(app=browser.app) for _ in range(ends)]
    waiting: Awaitable[Any] = asyncio.gather(*(leave(tab, browser) for tab in tabs))
    assert [response.status_code for response in await waiting] == [200] * ends
    assert await store.sids() == []


async def leave(tab: Browser, browser: Browser) -> Any:
    tab.cookies.update(browser.cookies)
    return await tab.visit(destroy)
