"""Several tasks of one request at its session: the response waits for what they ask of the store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from asgi_session import Cookie, SessionNotFound, StoreError

from .clients import Browser, put, set_cookie
from .spy_store import SpyStore, either_store

store = either_store


def while_it_works(store: SpyStore, method: str) -> tuple[asyncio.Event, asyncio.Event]:
    """Let the next call of a method tell that it is under way, and wait until it may go on."""
    under_way, go_on = asyncio.Event(), asyncio.Event()

    async def step() -> None:
        del store.before[method]
        under_way.set()
        await go_on.wait()

    store.before[method] = step
    return under_way, go_on


def answering_during(
    store: SpyStore, method: str, work: Callable[[Request], Awaitable[Any]], status: int = 200
) -> tuple[Callable[[Request], Awaitable[Response]], list[asyncio.Task[Any]]]:
    """An endpoint that answers while another task's call of a method is under way, which goes on a little later."""
    tasks: list[asyncio.Task[Any]] = []

    async def endpoint(request: Request) -> Response:
        under_way, go_on = while_it_works(store, method)
        tasks.append(asyncio.ensure_future(work(request)))
        await under_way.wait()
        asyncio.get_running_loop().call_later(0.01, go_on.set)
        return Response(status_code=status)

    return endpoint, tasks


async def save_something(request: Request) -> None:
    request.session["b"] = 2
    await request.state.session.save()


@pytest.mark.parametrize("status", [200, 500])
async def test_a_new_session_that_is_being_saved_gets_its_cookie(store: SpyStore, status: int) -> None:
    browser = Browser(store=store)
    endpoint, tasks = answering_during(store, "create", save_something, status)
    assert set_cookie(await browser.visit(endpoint)) is not None
    await tasks[0]
    assert await browser.read() == {"b": 2}


async def test_a_new_id_that_is_being_stored_reaches_the_client(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=1))

    async def renew(request: Request) -> None:
        request.state.session.regenerate(keep=True)
        await request.state.session.save()

    endpoint, tasks = answering_during(store, "create", renew)
    assert set_cookie(await browser.visit(endpoint)) is not None
    await tasks[0]
    assert await browser.read() == {"a": 1}


async def test_a_save_that_fails_while_the_response_waits_is_tried_again_by_it(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=1))

    async def save_in_vain(request: Request) -> None:
        async def fail() -> None:
            store.fail("replace")
            raise OSError

        store.after["replace"] = fail
        await save_something(request)

    endpoint, tasks = answering_during(store, "replace", save_in_vain)
    assert (await browser.visit(endpoint)).status_code == 503
    with pytest.raises(StoreError):
        await tasks[0]


async def test_what_is_changed_during_the_commit_is_committed_before_the_start(store: SpyStore) -> None:
    """However often; so that a failure can still be told."""
    browser = Browser(store=store)
    await browser.visit(put(n=0))

    async def endpoint(request: Request) -> None:
        session = request.state.session

        async def meanwhile() -> None:
            session["n"] += 1
            if session["n"] == 3:
                store.fail("replace")

        store.after["replace"] = meanwhile
        session["n"] = 1

    assert (await browser.visit(endpoint)).status_code == 503
    assert await store.data() == {"n": 2}


async def test_a_session_that_is_renewed_during_the_commit_gets_its_cookie(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=1))

    async def endpoint(request: Request) -> None:
        session = request.state.session
        steps = iter([lambda: session.update(a=3), lambda: session.regenerate(keep=True)])

        async def meanwhile() -> None:
            next(steps, lambda: None)()

        store.after["replace"] = meanwhile
        session["a"] = 2

    assert set_cookie(await browser.visit(endpoint)) is not None
    store.work()
    assert await browser.read() == {"a": 3}


async def test_a_touch_that_is_asked_for_during_an_automatic_one_sends_the_cookie(store: SpyStore) -> None:
    browser = Browser(store=store, touch_after=0, cookie=Cookie(max_age=600))
    await browser.visit(put(a=1))

    async def endpoint(request: Request) -> None:
        async def meanwhile() -> None:
            store.work()
            request.state.session.touch()

        store.before["touch"] = meanwhile
        await request.state.session.save()

    assert set_cookie(await browser.visit(endpoint)) is not None


async def test_messages_whose_claim_is_under_way_when_the_response_fails_stay_queued(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(lambda request: request.state.flash.info("hello"))
    claims: list[asyncio.Task[Any]] = []

    async def endpoint(request: Request) -> None:
        under_way, go_on = while_it_works(store, "replace")
        request.session["a"] = 1
        claims.append(asyncio.ensure_future(request.state.flash.claim("info")))
        await under_way.wait()
        asyncio.get_running_loop().call_later(0.01, go_on.set)
        raise LookupError

    with pytest.raises(LookupError):
        await browser.visit(endpoint)
    assert await claims[0] == []
    store.work()
    assert (await browser.visit(lambda request: request.state.flash("info"))).json() == ["hello"]


async def test_what_is_claimed_after_a_save_that_the_failing_response_waits_for_goes_back(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(lambda request: request.state.flash.info("hello"))
    claims: list[asyncio.Task[Any]] = []

    async def save_and_claim(request: Request) -> None:
        saving = asyncio.ensure_future(save_something(request))
        claims.append(asyncio.ensure_future(request.state.flash.claim("info")))
        await saving

    endpoint, tasks = answering_during(store, "replace", save_and_claim, 500)
    await browser.visit(endpoint)
    await tasks[0]
    assert await claims[0] == ["hello"]
    assert (await browser.visit(lambda request: request.state.flash("info"))).json() == ["hello"]


async def test_a_session_that_ended_meanwhile_ends_the_waiting(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=1))

    async def lose(request: Request) -> None:
        await store.inner.clear()
        with pytest.raises(SessionNotFound):
            await save_something(request)

    endpoint, tasks = answering_during(store, "replace", lose)
    response = await browser.visit(endpoint)
    await tasks[0]
    assert (response.status_code, set_cookie(response)) == (200, None)
    assert await store.sids() == []
