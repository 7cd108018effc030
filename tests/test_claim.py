"""`claim`: of any number of concurrent readers each message reaches one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from asgi_session import Cookie, Flash, Session, SessionError, SessionMiddleware, SessionNotFound, StoreError

from .clients import (
    SECRET,
    Browser,
    Handler,
    attributes,
    call,
    cookie_header,
    http_scope,
    put,
    set_cookie,
    websocket_scope,
)
from .clock import START, Clock
from .spy_store import SpyStore
from .test_merge import race, yielding


async def waiting(**options: Any) -> tuple[Browser, SpyStore]:
    """A browser whose session holds data and three messages."""
    store = SpyStore()
    browser = Browser(store=store, **options)

    def handler(request: Request) -> None:
        request.session["a"] = 1
        request.state.flash("info", ["x", "y"])
        request.state.flash.error("z")

    await browser.visit(handler)
    store.calls.clear()
    return browser, store


async def claim(request: Request) -> Any:
    return await request.state.flash.claim()


async def claim_info(request: Request) -> Any:
    return await request.state.flash.claim("info")


async def claim_in_vain(request: Request, store: SpyStore, category: str | None = "info", *, made: bool) -> None:
    store.fail_once("replace", made=made)
    with pytest.raises(StoreError):
        await request.state.flash.claim(category)


async def queued(store: SpyStore) -> Any:
    return (await store.data()).get("flash")


async def test_a_claim_of_all_gives_every_category() -> None:
    browser, store = await waiting()
    assert (await browser.visit(claim)).json() == {"info": ["x", "y"], "error": ["z"]}
    assert await store.data() == {"a": 1}


async def test_a_claim_of_a_category_leaves_the_others() -> None:
    browser, store = await waiting()
    assert (await browser.visit(claim_info)).json() == ["x", "y"]
    assert await queued(store) == {"error": ["z"]}


async def test_a_claim_is_in_the_store_when_it_returns() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Any:
        await request.state.flash.claim("info")
        return await queued(store)

    assert (await browser.visit(handler)).json() == {"error": ["z"]}


async def test_a_claim_finds_nothing_more_the_second_time() -> None:
    browser, _ = await waiting()

    async def handler(request: Request) -> Any:
        return [await request.state.flash.claim("info"), await request.state.flash.claim("info")]

    assert (await browser.visit(handler)).json() == [["x", "y"], []]
    assert (await browser.visit(claim_info)).json() == []


async def test_a_claim_on_an_empty_queue_asks_the_store_for_nothing() -> None:
    store = SpyStore()
    browser = Browser(store=store)
    assert (await browser.visit(claim)).json() == {}
    assert store.calls == []
    await browser.visit(put(a=1))
    store.calls.clear()
    assert (await browser.visit(claim_info)).json() == []
    assert store.calls == ["get"]


async def test_a_claim_neither_sends_a_cookie_nor_moves_the_expiry(clock: Clock) -> None:
    browser, store = await waiting(cookie=Cookie(max_age=600), touch_after=3600)
    clock.advance(30)
    response = await browser.visit(claim)
    assert set_cookie(response) is None
    assert (await store.only()).expires == START + 600
    assert store.calls == ["get", "get", "replace"]  # the second for the expiry, which others may have moved


async def test_a_claim_does_not_save_other_pending_changes() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Response:
        request.session["b"] = 2
        request.state.flash.debug("mine")
        await request.state.flash.claim("info")
        assert await store.data() == {"a": 1, "flash": {"error": ["z"]}}
        return Response(status_code=200)

    await browser.visit(handler)
    assert await store.data() == {"a": 1, "b": 2, "flash": {"error": ["z"], "debug": ["mine"]}}


async def test_pending_changes_of_every_kind_survive_a_claim() -> None:
    browser, store = await waiting()
    await browser.visit(put(list=[1], n=5, gone=True))

    async def handler(request: Request) -> Any:
        request.session["list"].append(2)
        request.state.session.increment("n")
        del request.session["gone"]
        await browser.visit(lambda request: request.state.session.increment("n", 10))
        return await request.state.flash.claim()

    assert (await browser.visit(handler)).json() == {"info": ["x", "y"], "error": ["z"]}
    assert await store.data() == {"a": 1, "list": [1, 2], "n": 16}


async def test_a_claim_takes_what_this_request_queued_itself() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Any:
        request.state.flash.info("mine")
        return await request.state.flash.claim("info")

    assert (await browser.visit(handler)).json() == ["x", "y", "mine"]
    assert await queued(store) == {"error": ["z"]}


async def test_a_claim_takes_what_came_in_since_the_session_was_loaded() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Any:
        await browser.visit(lambda request: request.state.flash.info("late"))
        return await request.state.flash.claim("info")

    assert (await browser.visit(handler)).json() == ["x", "y", "late"]
    assert await queued(store) == {"error": ["z"]}


async def test_a_claim_after_a_drain_gives_no_message_twice() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Any:
        return [request.state.flash("info"), await request.state.flash.claim()]

    assert (await browser.visit(handler)).json() == [["x", "y"], {"error": ["z"]}]
    assert await store.data() == {"a": 1}


async def test_a_claim_by_a_new_session_takes_its_own_messages() -> None:
    async def handler(request: Request) -> Any:
        request.state.flash.info("mine")
        return await request.state.flash.claim()

    store = SpyStore()
    response = await Browser(store=store).visit(handler)
    assert response.json() == {"info": ["mine"]}
    assert (store.calls, set_cookie(response)) == ([], None)


@pytest.mark.parametrize("then", ["claimed", "given back"])
async def test_what_a_failed_claim_took_from_the_old_session_does_not_come_to_the_new_one(then: str) -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Any:
        session, flash = request.state.session, request.state.flash
        await claim_in_vain(request, store, "info", made=True)
        await flash.claim("debug")  # which tells what became of the other
        await claim_in_vain(request, store, "error", made=True)
        session.regenerate()
        session["user"] = "b"
        await session.save()
        return await flash.claim() if then == "claimed" else Response(status_code=500)

    browser.raise_errors = False
    response = await browser.visit(handler)
    if then == "claimed":
        assert response.json() == {}
    assert await store.data() == {"user": "b"}


async def test_what_was_claimed_under_an_earlier_id_of_a_session_that_ended_does_not_go_to_the_next_one() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Response:
        session = request.state.session
        await request.state.flash.claim("info")
        session.regenerate(keep=True)
        await session.save()
        await store.inner.clear()  # it ends elsewhere
        session["late"] = 1
        with pytest.raises(SessionNotFound):
            await session.save()
        session.regenerate()
        session["user"] = "b"
        await session.save()
        return Response(status_code=500)

    await browser.visit(handler)
    assert await store.data() == {"user": "b"}


async def test_a_session_that_a_claim_emptied_is_deleted_at_commit() -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(lambda request: request.state.flash.info("x"))

    async def handler(request: Request) -> Any:
        claimed = await request.state.flash.claim()
        assert len(await store.sids()) == 1
        return claimed

    response = await browser.visit(handler)
    assert response.json() == {"info": ["x"]}
    header = set_cookie(response)
    assert header is not None
    assert "Max-Age=0" in header
    assert await store.sids() == []


async def test_the_messages_are_gone_from_the_session_in_hand() -> None:
    browser, _ = await waiting()

    async def handler(request: Request) -> Any:
        await request.state.flash.claim()
        return [dict(request.session), len(request.state.flash), request.state.session.modified]

    assert (await browser.visit(handler)).json() == [{"a": 1}, 0, False]


async def test_a_claim_after_destroy_finds_nothing() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Any:
        request.state.session.destroy()
        return await request.state.flash.claim()

    assert (await browser.visit(handler)).json() == {}
    assert store.calls == ["get", "destroy"]


async def test_a_claim_after_regenerate_finds_nothing_of_the_old_session() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Any:
        request.state.session.regenerate()
        request.session["b"] = 2
        return await request.state.flash.claim()

    assert (await browser.visit(handler)).json() == {}
    assert await store.data() == {"b": 2}


async def test_a_claim_before_a_kept_regenerate_stays_claimed() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Any:
        claimed = await request.state.flash.claim()
        request.state.session.regenerate(keep=True)
        return claimed

    assert (await browser.visit(handler)).json() == {"info": ["x", "y"], "error": ["z"]}
    assert await store.data() == {"a": 1}


async def test_a_claim_after_a_kept_regenerate_works_too() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Any:
        request.state.session.regenerate(keep=True)
        return await request.state.flash.claim()

    assert (await browser.visit(handler)).json() == {"info": ["x", "y"], "error": ["z"]}
    assert await store.data() == {"a": 1}


async def test_a_claim_in_a_session_that_is_gone_finds_nothing_and_creates_nothing() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Any:
        await browser.visit(lambda request: request.state.session.destroy())
        return await request.state.flash.claim()

    response = await browser.visit(handler)
    assert (response.json(), set_cookie(response)) == ({}, None)
    assert await store.sids() == []


async def test_a_session_without_a_request_has_no_store_to_agree() -> None:
    with pytest.raises(SessionError):
        await Flash(Session()).claim()


# Many readers


async def test_each_message_reaches_one_of_many_readers() -> None:
    store = yielding()
    browser = Browser(store=store)
    messages = list(range(12))

    def prepare(request: Request) -> None:
        request.session["a"] = 1
        request.state.flash("info", messages)

    await browser.visit(prepare)
    responses = await race(*[claim_info] * 10, browsers=[browser])
    claimed = [message for response in responses for message in response.json()]
    assert sorted(claimed) == messages


async def test_each_message_reaches_one_reader_while_others_are_queued() -> None:
    store = yielding()
    browser = Browser(store=store)
    await browser.visit(put(a=1))

    def say(number: int) -> Any:
        return lambda request: request.state.flash.info(number) and []

    turns = [handler for number in range(10) for handler in (say(number), claim_info)]
    responses = await race(*turns, browsers=[browser])
    claimed = [message for response in responses for message in response.json()]
    rest = (await browser.visit(claim_info)).json()
    assert sorted([*claimed, *rest]) == list(range(10))


async def test_each_message_reaches_one_reader_in_two_processes() -> None:
    store = yielding()
    here, there = Browser(store=store), Browser(store=store)
    await here.visit(lambda request: request.state.flash("info", list(range(6))) and put(a=1)(request))
    there.cookies.update(here.cookies)
    responses = await race(*[claim_info] * 6, browsers=[here, there])
    claimed = [message for response in responses for message in response.json()]
    assert sorted(claimed) == list(range(6))


# Given back


async def test_messages_go_back_when_the_response_is_an_error() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Response:
        await request.state.flash.claim()
        return Response(status_code=500)

    await browser.visit(handler)
    assert await store.data() == {"a": 1, "flash": {"info": ["x", "y"], "error": ["z"]}}


async def test_messages_go_back_when_the_handler_raises() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> None:
        await request.state.flash.claim("info")
        raise RuntimeError("oops")

    with pytest.raises(RuntimeError, match="oops"):
        await browser.visit(handler)
    assert await queued(store) == {"info": ["x", "y"], "error": ["z"]}


async def test_messages_go_back_to_the_front() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Response:
        await request.state.flash.claim("info")
        await browser.visit(lambda request: request.state.flash.info("newer"))
        return Response(status_code=503)

    await browser.visit(handler)
    assert (await queued(store))["info"] == ["x", "y", "newer"]


async def test_messages_go_back_when_the_commit_fails() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> None:
        await request.state.flash.claim("info")
        request.session["b"] = 2

        async def fail_once() -> None:
            store.work()
            raise OSError

        store.before["replace"] = fail_once

    assert (await browser.visit(handler)).status_code == 503
    assert await store.data() == {"a": 1, "flash": {"info": ["x", "y"], "error": ["z"]}}


async def test_messages_go_back_when_a_value_is_no_json() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> None:
        await request.state.flash.claim("info")
        request.session["bad"] = {1}

    browser.raise_errors = False
    assert (await browser.visit(handler)).status_code == 500
    assert (await queued(store))["info"] == ["x", "y"]


async def test_messages_go_back_when_the_request_is_cancelled() -> None:
    browser, store = await waiting()
    claimed = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await scope["state"]["flash"].claim()
        claimed.set()
        await asyncio.Event().wait()

    middleware = SessionMiddleware(app, secret=SECRET, store=store)
    task = asyncio.create_task(call(middleware, http_scope(headers=cookie_header(browser.cookies))))
    await claimed.wait()
    assert await queued(store) is None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await queued(store) == {"info": ["x", "y"], "error": ["z"]}


async def test_messages_go_back_when_the_request_is_cancelled_in_the_middle_of_the_claim() -> None:
    browser, store = await waiting()
    writing = asyncio.Event()

    async def linger() -> None:
        writing.set()
        await asyncio.sleep(0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await scope["state"]["flash"].claim()
        raise AssertionError

    store.after["replace"] = linger
    middleware = SessionMiddleware(app, secret=SECRET, store=store)
    task = asyncio.create_task(call(middleware, http_scope(headers=cookie_header(browser.cookies))))
    await writing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await queued(store) == {"info": ["x", "y"], "error": ["z"]}


async def test_messages_of_a_session_that_was_destroyed_meanwhile_do_not_bring_it_back() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Response:
        await request.state.flash.claim()
        await browser.visit(lambda request: request.state.session.destroy())
        return Response(status_code=500)

    await browser.visit(handler)
    assert await store.sids() == []


async def test_messages_of_a_response_that_went_out_do_not_go_back_when_its_background_task_fails() -> None:
    browser, store = await waiting()

    def fail() -> None:
        raise RuntimeError("oops")

    async def handler(request: Request) -> Response:
        return JSONResponse(await request.state.flash.claim(), background=BackgroundTask(fail))

    with pytest.raises(RuntimeError, match="oops"):
        await browser.visit(handler)
    assert await queued(store) is None


async def test_messages_go_back_when_the_response_breaks_off() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Response:
        messages = await request.state.flash.claim("info")

        async def body() -> AsyncIterator[str]:
            yield messages[0]
            raise RuntimeError("oops")

        return StreamingResponse(body())

    with pytest.raises(RuntimeError, match="oops"):
        await browser.visit(handler)
    assert await queued(store) == {"info": ["x", "y"], "error": ["z"]}


async def test_messages_of_a_good_response_do_not_go_back() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Response:
        await request.state.flash.claim()
        return Response(status_code=404)

    await browser.visit(handler)
    assert await queued(store) is None


async def test_a_store_that_fails_lets_nothing_be_claimed() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Any:
        store.fail("replace")
        with pytest.raises(StoreError):
            await request.state.flash.claim()
        store.work()
        return request.state.flash.peek()

    assert (await browser.visit(handler)).json() == {"info": ["x", "y"], "error": ["z"]}
    assert await queued(store) == {"info": ["x", "y"], "error": ["z"]}


async def test_messages_whose_removal_the_store_did_not_acknowledge_go_back() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Any:
        store.fail_once("replace", made=True)
        return await request.state.flash.claim()

    assert (await browser.visit(handler)).status_code == 503
    assert await queued(store) == {"info": ["x", "y"], "error": ["z"]}


async def test_they_go_back_too_where_the_handler_answers_all_the_same() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> None:
        await claim_in_vain(request, store, None, made=True)

    assert (await browser.visit(handler)).status_code == 200
    assert await queued(store) == {"info": ["x", "y"], "error": ["z"]}


async def test_they_go_back_where_the_request_also_stores_something_else() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> None:
        await claim_in_vain(request, store, made=True)
        request.session["b"] = 2

    assert (await browser.visit(handler)).status_code == 200
    assert await store.data() == {"a": 1, "b": 2, "flash": {"info": ["x", "y"], "error": ["z"]}}


@pytest.mark.parametrize("made", [True, False], ids=["made", "not made"])
async def test_a_claim_that_is_tried_again_gives_no_message_twice(made: bool) -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Any:
        await claim_in_vain(request, store, made=made)
        return await request.state.flash.claim("info")

    given = (await browser.visit(handler)).json()
    assert [*given, *(await queued(store)).get("info", [])] == ["x", "y"]


async def test_finding_out_about_a_failed_claim_overwrites_nobodys_change() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> JSONResponse:
        await claim_in_vain(request, store, made=False)
        await browser.tab().visit(put(other="paid"))

        async def late() -> None:
            request.session["late"] = 1

        return JSONResponse(None, background=BackgroundTask(late))

    await browser.visit(handler)
    messages = {"info": ["x", "y"], "error": ["z"]}
    assert await store.data() == {"a": 1, "flash": messages, "other": "paid", "late": 1}


@pytest.mark.parametrize("added", ["more", object()], ids=["JSON", "not JSON"])
async def test_what_the_handler_does_to_a_claimed_message_does_not_go_back_with_it(added: object) -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(lambda request: request.state.flash("info", {"text": "hello"}))

    async def handler(request: Request) -> Response:
        (message,) = await request.state.flash.claim("info")
        message["added"] = added
        return Response(status_code=500)

    assert (await browser.visit(handler)).status_code == 500
    assert await store.data() == {"flash": {"info": [{"text": "hello"}]}}


async def test_a_message_that_was_drained_and_changed_is_not_claimed_again() -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(lambda request: request.state.flash("info", {"text": "hello"}))

    async def handler(request: Request) -> Any:
        (message,) = request.state.flash("info")
        message["seen"] = True
        return await request.state.flash.claim("info")

    assert (await browser.visit(handler)).json() == []
    assert await store.sids() == []


async def test_a_claim_leaves_what_the_handler_put_beside_the_queue() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> None:
        request.session["flash"]["n"] = 2
        await request.state.flash.claim()

    await browser.visit(handler)
    assert await queued(store) == {"n": 2}


@pytest.mark.parametrize("status", [200, 500])
async def test_a_late_claim_leaves_the_life_that_others_have_given_the_session(status: int, clock: Clock) -> None:
    browser, store = await waiting(cookie=Cookie(max_age=3600), rolling=True)

    other = browser.tab()

    async def handler(request: Request) -> Response:
        for _ in range(4):
            clock.advance(1200)
            await other.visit()
        await request.state.flash.claim("info")
        return Response(status_code=status)

    await browser.visit(handler)
    assert (await store.only()).expires == clock.now + 3600


async def test_a_claim_on_a_long_connection_finds_what_was_queued_meanwhile() -> None:
    browser, store = await waiting()
    claimed: list[Any] = []

    async def handler(request: Request) -> StreamingResponse:
        async def body() -> AsyncIterator[str]:
            yield "first"
            await browser.tab().visit(lambda other: other.state.flash("news", "n"))
            claimed.extend(await request.state.flash.claim("news"))
            yield "last"

        return StreamingResponse(body())

    await browser.visit(handler)
    assert claimed == ["n"]
    assert await queued(store) == {"info": ["x", "y"], "error": ["z"]}


@pytest.mark.parametrize("what", ["regenerate", "destroy"])
async def test_what_ends_the_session_while_a_claim_is_under_way_ends_it(what: str) -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> dict[str, Any]:
        session = request.state.session

        async def end() -> None:
            del store.before["replace"]
            getattr(session, what)()
            if what == "regenerate":
                session["user"] = 1

        store.before["replace"] = end
        await request.state.flash.claim("info")
        return dict(session)

    left = {"user": 1} if what == "regenerate" else {}
    assert (await browser.visit(handler)).json() == left
    assert await store.sids() == [] if what == "destroy" else await store.data() == left


async def test_messages_go_back_although_nobody_knows_what_became_of_the_commit() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> None:
        await request.state.flash.claim("info")
        request.state.session.increment("n")

        async def beaten_and_cut_off() -> None:
            store.work()
            await browser.tab().visit(put(other=1))
            raise OSError("connection reset")

        store.before["replace"] = beaten_and_cut_off

    assert (await browser.visit(handler)).status_code == 503
    assert await store.data() == {"a": 1, "other": 1, "flash": {"info": ["x", "y"], "error": ["z"]}}


async def test_messages_of_a_claim_that_was_cancelled_go_back() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> str:
        request.state.flash("info", "own")

        async def cancel() -> None:
            store.work()
            claiming.cancel()
            await asyncio.sleep(0)

        async def claim() -> None:
            await asyncio.sleep(0)  # so that `claiming` is known, even if tasks begin at once
            await request.state.flash.claim("info")

        store.before["replace"] = cancel
        claiming = asyncio.create_task(claim())
        with pytest.raises(asyncio.CancelledError):
            await claiming
        return "later"

    assert (await browser.visit(handler)).json() == "later"
    assert await queued(store) == {"info": ["x", "y", "own"], "error": ["z"]}


@pytest.mark.parametrize("drained_by", ["a drain", "a drain and a claim"])
async def test_a_message_drained_after_a_claim_that_was_made_in_secret_stays_drained(drained_by: str) -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> list[list[str]]:
        await claim_in_vain(request, store, made=True)
        shown = [request.state.flash("info")]
        request.state.session["b"] = 1
        return shown if drained_by == "a drain" else [*shown, await request.state.flash.claim("info")]

    assert (await browser.visit(handler)).json()[0] == ["x", "y"]
    assert await queued(store) == {"error": ["z"]}


@pytest.mark.parametrize("meanwhile", ["an age is assigned by another request", "the session is reloaded"])
async def test_a_session_that_a_claim_emptied_goes_whatever_else_happens(meanwhile: str) -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(lambda request: request.state.flash("info", "m"))

    async def handler(request: Request) -> None:
        async def claim_here(other: Request) -> None:
            other.state.session.cookie.max_age = 999
            await request.state.flash.claim("info")

        if meanwhile == "the session is reloaded":
            await request.state.flash.claim("info")
            await request.state.session.reload()
        else:
            await browser.tab().visit(claim_here)

    response = await browser.visit(handler)
    assert attributes(set_cookie(response))["max-age"] == "0"
    assert await store.sids() == []


@pytest.mark.parametrize("keep", [True, False])
async def test_messages_go_back_to_the_session_that_they_are_from(keep: bool) -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Response:
        await request.state.flash.claim("info")
        request.state.session.regenerate(keep=keep)
        request.state.session["user"] = 1

        async def body() -> AsyncIterator[str]:
            yield "a"
            raise LookupError

        return StreamingResponse(body())

    with pytest.raises(LookupError):
        await browser.visit(handler)
    old = {"a": 1, "flash": {"error": ["z"], "info": ["x", "y"]}} if keep else {}
    assert await store.data() == {**old, "user": 1}


async def test_messages_of_the_visitor_before_do_not_go_to_a_fresh_start() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Response:
        await request.state.flash.claim("info")
        request.state.session.regenerate()
        request.state.session["user"] = 1
        await request.state.session.save()
        assert await request.state.flash.claim("info") == []
        return Response(status_code=500)

    await browser.visit(handler)
    assert await store.data() == {"user": 1}


async def test_messages_go_back_where_no_response_is_sent_at_all() -> None:
    browser, store = await waiting()

    async def says_nothing(scope: Scope, receive: Receive, send: Send) -> None:
        assert await scope["state"]["flash"].claim("info") == ["x", "y"]

    scope = http_scope(headers=cookie_header(browser.cookies))
    assert await call(SessionMiddleware(says_nothing, secret=SECRET, store=store), scope) == []
    assert await queued(store) == {"info": ["x", "y"], "error": ["z"]}


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
async def test_messages_go_back_when_the_client_hangs_up_in_mid_stream(spec_version: str) -> None:
    browser, store = await waiting()
    streaming = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        messages = await scope["state"]["flash"].claim("info")

        async def body() -> AsyncIterator[str]:
            while True:
                yield messages[0]
                await asyncio.sleep(0)

        await StreamingResponse(body())(scope, receive, send)

    async def receive() -> Message:
        await streaming.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            streaming.set()
            if spec_version == "2.4":
                raise OSError

    scope = http_scope(headers=cookie_header(browser.cookies), asgi={"version": "3.0", "spec_version": spec_version})
    with contextlib.suppress(ClientDisconnect):
        await SessionMiddleware(app, secret=SECRET, store=store)(scope, receive, send)
    assert await queued(store) == {"info": ["x", "y"], "error": ["z"]}


async def test_what_a_background_task_claimed_in_vain_goes_back() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Response:
        return JSONResponse(None, background=BackgroundTask(claim_in_vain, request, store, made=True))

    await browser.visit(handler)
    assert await queued(store) == {"info": ["x", "y"], "error": ["z"]}


async def connect(browser: Browser, store: SpyStore, endpoint: Callable[[WebSocket], Awaitable[None]]) -> None:
    """Open a WebSocket with the browser's cookies, which the client closes at once."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await endpoint(WebSocket(scope, receive, send))

    scope = websocket_scope(headers=cookie_header(browser.cookies))
    await call(SessionMiddleware(app, secret=SECRET, store=store), scope)


@pytest.mark.parametrize("end", ["raise", "return"])
async def test_what_a_websocket_claimed_in_vain_goes_back(end: str) -> None:
    browser, store = await waiting()

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        store.fail_once("replace", made=True)
        with pytest.raises(StoreError):
            await websocket.state.flash.claim("info")
        with contextlib.suppress(*[] if end == "raise" else [WebSocketDisconnect]):
            await websocket.receive_text()

    with contextlib.suppress(WebSocketDisconnect):
        await connect(browser, store, endpoint)
    assert await queued(store) == {"info": ["x", "y"], "error": ["z"]}


async def test_messages_claimed_for_a_websocket_that_is_not_accepted_go_back() -> None:
    browser, store = await waiting()

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.state.flash.claim("info")
        await websocket.close()

    await connect(browser, store, endpoint)
    assert await queued(store) == {"info": ["x", "y"], "error": ["z"]}


async def test_messages_that_a_websocket_claimed_do_not_go_back_when_it_ends() -> None:
    browser, store = await waiting()

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(await websocket.state.flash.claim("info"))

    await connect(browser, store, endpoint)
    assert await queued(store) == {"error": ["z"]}


# What the handler does to the queue by hand


async def test_messages_queued_and_cleared_again_are_not_claimed() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Any:
        request.state.flash.info("late")
        request.session.clear()
        return await request.state.flash.claim()

    assert (await browser.visit(handler)).json() == {}
    assert await store.sids() == []


async def test_a_claim_finds_the_queue_that_the_handler_put_there() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Any:
        request.state.flash.info("late")
        request.session["flash"] = {"info": ["other"]}
        return await request.state.flash.claim()

    assert (await browser.visit(handler)).json() == {"info": ["other"]}
    assert await store.data() == {"a": 1}


async def test_a_message_that_the_handler_took_out_by_hand_is_not_claimed() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Any:
        request.session["flash"]["info"].remove("x")
        return await request.state.flash.claim("info")

    assert (await browser.visit(handler)).json() == ["y"]
    assert await queued(store) == {"error": ["z"]}


@pytest.mark.parametrize("made", [True, False])
async def test_a_claim_that_failed_loses_nothing_where_somebody_else_wrote_meanwhile(made: bool) -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> None:
        await claim_in_vain(request, store, made=made)
        await browser.tab().visit(put(other="paid"))

    await browser.visit(handler)
    assert await store.data() == {"a": 1, "flash": {"info": ["x", "y"], "error": ["z"]}, "other": "paid"}


async def test_and_gives_it_to_the_next_claim_of_the_request() -> None:
    browser, store = await waiting()

    async def handler(request: Request) -> Any:
        await claim_in_vain(request, store, made=True)
        await browser.tab().visit(lambda other: other.state.flash.info("new"))
        return await request.state.flash.claim("info")

    assert (await browser.visit(handler)).json() == ["x", "y", "new"]
    assert await store.data() == {"a": 1, "flash": {"error": ["z"]}}


def queueing(text: str) -> Handler:
    return lambda request: request.state.flash("info", text)


async def test_once_the_response_has_started_every_claim_looks_at_the_store() -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    claimed: list[list[Any]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        claimed.append(await scope["state"]["flash"].claim("info"))
        await send({"type": "websocket.accept"})
        for text in ("one", "two"):
            await browser.tab().visit(queueing(text))
            claimed.append(await scope["state"]["flash"].claim("info"))
        await send({"type": "websocket.close"})

    middleware = SessionMiddleware(app, secret=SECRET, store=store)
    await call(middleware, websocket_scope(headers=cookie_header(browser.cookies)))
    assert claimed == [[], ["one"], ["two"]]
