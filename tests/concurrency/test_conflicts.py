"""What a conflict costs, and merges that need a closer look; `first` commits while `later` is at work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from asgi_session import Cookie, Record, SessionConflict
from asgi_session.middleware import SessionMiddleware
from tests.clients import SECRET, Browser, Handler, call, cookie_header, http_scope, set_cookies
from tests.clock import Clock
from tests.concurrency.scheduler import stepped_loop
from tests.event_loop import turns
from tests.spy_store import SpyStore


class Session:
    """A stored session that two requests change at once."""

    def __init__(self, data: dict[str, Any], **options: Any) -> None:
        self.store = SpyStore()
        self.browser = Browser(store=self.store, **options)
        self._data = data

    async def start(self) -> None:
        await self.browser.visit(lambda request: request.session.update(self._data))

    async def at_once(self, first: Handler, later: Handler) -> Any:
        """Both load the same state; `later` commits after `first` did."""

        async def handler(request: Request) -> None:
            later(request)
            tab = Browser(app=self.browser.app)
            tab.cookies.update(self.browser.cookies)
            await tab.visit(first)
            self.store.calls.clear()

        response = await self.browser.visit(handler)
        assert response.status_code == 200
        return response


async def merged(data: dict[str, Any], first: Handler, later: Handler) -> dict[str, Any]:
    """What `data` is after both."""
    session = Session(data)
    await session.start()
    await session.at_once(first, later)
    return await session.store.data()


def put(**data: Any) -> Handler:
    return lambda request: request.session.update(data)


async def test_an_increment_counts_on_what_the_other_left() -> None:
    def add(by: float) -> Handler:
        return lambda request: request.state.session.increment("n", by)

    assert await merged({"n": 10}, add(1), add(1)) == {"n": 12}
    assert await merged({"n": 10}, add(0.5), add(-3)) == {"n": 7.5}
    assert await merged({"z": 0}, add(1), add(1)) == {"z": 0, "n": 2}
    assert await merged({"n": 10}, put(n=100), add(1)) == {"n": 101}
    assert await merged({"n": 10}, add(1), put(n=100)) == {"n": 100}


async def test_an_increment_of_what_is_no_number_any_more_replaces_it() -> None:
    assert await merged({"n": 10}, put(n="ten"), lambda request: request.state.session.increment("n")) == {"n": 11}


async def test_equal_messages_added_at_once_stay_both() -> None:
    def say(request: Request) -> None:
        request.state.flash("info", "Saved")

    assert await merged({"z": 0}, say, say) == {"z": 0, "flash": {"info": ["Saved", "Saved"]}}


async def test_of_equal_messages_each_drain_takes_those_that_it_saw() -> None:
    def drain(request: Request) -> None:
        assert request.state.flash("info") == ["Saved"]

    def say(request: Request) -> None:
        request.state.flash("info", "Saved")

    start = {"z": 0, "flash": {"info": ["Saved"]}}
    assert await merged(start, say, drain) == {"z": 0, "flash": {"info": ["Saved"]}}


async def test_a_drained_message_that_is_added_again_is_there_once() -> None:
    def put_back(request: Request) -> None:
        for message in request.state.flash("info"):
            request.state.flash("info", message)

    start = {"z": 0, "flash": {"info": ["one", "two"]}}
    assert await merged(start, put(z=1), put_back) == {"z": 1, "flash": {"info": ["one", "two"]}}


async def test_of_two_assigned_ages_the_later_commit_stays(clock: Clock) -> None:
    def remember(age: int) -> Handler:
        def handler(request: Request) -> None:
            request.state.session.cookie.max_age = age

        return handler

    session = Session({"z": 0}, cookie=Cookie(max_age=3600))
    await session.start()
    response = await session.at_once(remember(7200), remember(1800))
    assert (await session.store.only()).expires == clock.now + 1800
    assert "Max-Age=1800" in set_cookies(response)[0]


async def test_a_commit_that_meets_nobody_is_one_load_and_one_write() -> None:
    session = Session({"a": 0})
    await session.start()
    session.store.calls.clear()
    await session.browser.visit(put(a=1))
    assert session.store.calls == ["get", "replace"]


async def test_a_commit_that_lost_once_loads_once_more_and_writes_once_more() -> None:
    session = Session({"a": 0})
    await session.start()
    await session.at_once(put(b=1), put(a=1))
    assert session.store.calls == ["replace", "get", "replace"]


async def test_a_new_message_is_not_lost_to_a_request_that_committed_before_it_was_added() -> None:
    session = Session({"z": 0})
    await session.start()

    async def handler(request: Request) -> None:
        request.session["a"] = 1
        await request.state.session.save()
        tab = Browser(app=session.browser.app)
        tab.cookies.update(session.browser.cookies)
        await tab.visit(lambda request: request.state.flash("info", "new"))
        request.session["b"] = 2

    await session.browser.visit(handler)
    assert await session.store.data() == {"z": 0, "a": 1, "b": 2, "flash": {"info": ["new"]}}


async def claim(request: Request) -> None:
    assert await request.state.flash.claim(request.query_params["n"]) == ["x"]


async def write(request: Request) -> None:
    request.session[request.query_params["n"]] = 1


class Crowd:
    """Requests of one process that get between the load and the write of a commit, as often as it loads."""

    def __init__(self) -> None:
        self.session = Session({"n": 0, "flash": {str(number): ["x"] for number in range(50)}})
        self.tasks: list[asyncio.Task[Any]] = []
        self.came = 0

    def send(self, handler: Handler) -> None:
        tab = self.session.browser.tab()
        tab.raise_errors = False
        self.tasks.append(asyncio.create_task(tab.visit(handler, f"/?n={len(self.tasks)}")))

    async def get_between(self, come: Callable[[int], None]) -> None:
        """Have a commit beaten once, and then have another one `come` whenever it loads, with time to be done first."""
        store = self.session.store

        async def let_one_come() -> None:
            if self.came < 50:
                del store.after["get"]
                come(self.came)
                self.came += 1
                await turns(200)
                store.after["get"] = let_one_come

        async def handler(request: Request) -> None:
            request.state.session.increment("n")
            await self.session.browser.tab().visit(lambda request: request.session.update(beaten=True))
            store.after["get"] = let_one_come

        assert (await self.session.browser.visit(handler)).status_code == 200
        store.work()
        assert (await store.data())["n"] == 1
        assert 0 < self.came < 5


@pytest.mark.parametrize("other", [claim, write])
async def test_a_commit_that_was_beaten_is_not_overtaken_time_after_time(other: Handler) -> None:
    crowd = Crowd()
    await crowd.session.start()
    await crowd.get_between(lambda number: crowd.send(other))
    await asyncio.gather(*crowd.tasks)


async def test_nor_is_it_by_claims_that_are_given_back() -> None:
    crowd = Crowd()
    await crowd.session.start()
    failing = [asyncio.Event() for _ in range(50)]

    async def claim_in_vain(request: Request) -> None:
        await claim(request)
        await failing[int(request.query_params["n"])].wait()
        raise HTTPException(500)

    for _ in failing:
        crowd.send(claim_in_vain)
    await turns(5000)
    assert "flash" not in await crowd.session.store.data()
    await crowd.get_between(lambda number: failing[number].set())
    for event in failing:
        event.set()
    await asyncio.gather(*crowd.tasks)
    assert len((await crowd.session.store.data())["flash"]) == 50


class NeverTheSame(SpyStore):
    """A store in which another process writes before each of our writes."""

    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        self.calls.append("replace")
        return False


@pytest.mark.parametrize("claiming", [False, True], ids=["commit", "claim"])
def test_a_session_that_others_keep_writing_to_is_given_up_in_bounded_time(claiming: bool) -> None:
    store = NeverTheSame()
    errors: list[Exception] = []

    async def run() -> tuple[int, float]:
        browser = Browser(store=store)
        await browser.visit(lambda request: request.state.flash("info", "hello"))

        async def app(scope: Any, receive: Any, send: Any) -> None:
            try:
                if claiming:
                    await scope["state"]["flash"].claim("info")
                else:
                    scope["state"]["session"]["a"] = 1
                    await scope["state"]["session"].save()
            except SessionConflict as error:
                errors.append(error)
                raise

        begin = asyncio.get_running_loop().time()
        wrapped = SessionMiddleware(app, secret=SECRET, store=store)
        sent = await call(wrapped, http_scope(headers=cookie_header(browser.cookies)))
        status: int = sent[0]["status"]
        return status, asyncio.get_running_loop().time() - begin

    with stepped_loop() as (loop, _):
        status, seconds = loop.run_until_complete(run())
    assert status == 503
    assert len(errors) == 1
    assert store.calls.count("replace") <= 50
    assert seconds < 5
