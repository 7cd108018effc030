"""A store that fails or hangs: what clients are told, what is logged, and what is neither lost nor revived."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any
from unittest.mock import AsyncMock

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import Message, Receive, Scope, Send

from asgi_session import (
    Cookie,
    MemoryStore,
    Record,
    SessionConflict,
    SessionMiddleware,
    SessionSerializationError,
    StoreError,
    load_session,
)
from asgi_session.stores.base import never_suspends, takes_waiter
from asgi_session.stores.pending import Waiter
from tests.clients import SECRET, Browser, Handler, call, cookie_header, http_scope, put, session_app, set_cookie
from tests.spy_store import SpyStore, either_store

HANDLING = ["unavailable", "raise", "anonymous"]


store = either_store


async def signed_in(store: SpyStore, **options: Any) -> Browser:
    """A client with a stored session."""
    browser = Browser(store=store, **{**options, "autoload": True})
    await browser.visit(put(a=1))
    browser.app = session_app(store=store, **options)
    store.calls.clear()
    return browser


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.ERROR]


def is_unavailable(response: Any) -> bool:
    """Whether this is the whole answer of a server without its store: 503, when to come back, no cookie."""
    return (
        response.status_code == 503
        and int(response.headers["retry-after"]) > 0
        and "set-cookie" not in response.headers
        and int(response.headers["content-length"]) == len(response.content)
    )


# The load


async def test_a_failed_load_is_answered_with_503_and_logged(store: SpyStore, caplog: pytest.LogCaptureFixture) -> None:
    browser = await signed_in(store)
    store.fail()
    asked: list[Request] = []
    response = await browser.visit(asked.append)
    assert is_unavailable(response)
    assert asked == []
    assert len(errors(caplog)) == 1


async def test_a_failed_load_leaves_the_client_its_cookie(store: SpyStore) -> None:
    browser = await signed_in(store)
    store.fail()
    await browser.visit()
    store.work()
    assert await browser.read() == {"a": 1}


async def test_503_is_not_to_be_cached(store: SpyStore) -> None:
    browser = await signed_in(store)
    store.fail()
    assert (await browser.visit()).headers["cache-control"] == "no-store"


async def test_503_of_a_head_request_has_no_body(store: SpyStore) -> None:
    browser = await signed_in(store)
    store.fail()
    sent = await call(browser.app, http_scope(method="HEAD", headers=cookie_header(browser.cookies)))
    assert [message.get("status") for message in sent] == [503, None]
    assert sent[1].get("body", b"") == b""


async def test_a_request_without_our_cookie_does_not_notice_a_failing_store(store: SpyStore) -> None:
    store.fail()
    assert (await Browser(store=store).visit(lambda request: request.session.get("a"))).status_code == 200


async def test_a_failed_load_comes_out_for_those_who_want_errors(store: SpyStore) -> None:
    browser = await signed_in(store, on_store_error="raise")
    store.fail()
    with pytest.raises(StoreError) as caught:
        await browser.visit()
    assert isinstance(caught.value.__cause__, OSError)


async def test_an_anonymous_request_is_served_with_an_empty_session(
    store: SpyStore, caplog: pytest.LogCaptureFixture
) -> None:
    browser = await signed_in(store, on_store_error="anonymous")
    store.fail()
    response = await browser.visit(lambda r: [dict(r.session), r.state.session.is_new, r.state.flash()])
    assert response.json() == [{}, True, {}]
    assert len(errors(caplog)) == 1


@pytest.mark.parametrize(
    "endpoint",
    [
        pytest.param(lambda r: r.session.update(a=2), id="a write"),
        pytest.param(lambda r: r.state.session.touch(), id="touch()"),
        pytest.param(lambda r: r.state.session.mark_modified(), id="mark_modified()"),
        pytest.param(lambda r: r.state.flash.info("hello"), id="flash"),
        pytest.param(lambda r: setattr(r.state.session.cookie, "max_age", 60), id="another age"),
        pytest.param(lambda r: r.state.session.regenerate(keep=True), id="regenerate(keep=True)"),
        pytest.param(lambda r: [r.state.session.regenerate(), r.session.update(user="ann")], id="a sign-in"),
        pytest.param(lambda r: setattr(r.state, "session", None), id="unset"),
        pytest.param(lambda r: r.session.get("a"), id="a look"),
    ],
)
async def test_an_anonymous_session_is_never_saved_and_never_touches_the_cookie(store: SpyStore, endpoint: Any) -> None:
    browser = await signed_in(
        store, on_store_error="anonymous", rolling=True, resave=True, save_uninitialized=True, touch_after=0
    )
    store.fail("get")

    async def and_then_it_works_again(request: Request) -> None:
        store.work()
        endpoint(request)

    response = await browser.visit(and_then_it_works_again)
    assert "set-cookie" not in response.headers
    assert store.calls == ["get"]
    assert await store.data() == {"a": 1}


@pytest.mark.parametrize("unset", ["destroy", "keep"])
async def test_an_anonymous_request_that_unsets_its_session_destroys_nobodys(store: SpyStore, unset: Any) -> None:
    browser = await signed_in(store, on_store_error="anonymous", unset=unset)
    store.fail("get")
    await browser.visit(lambda request: setattr(request.state, "session", None))
    assert await store.data() == {"a": 1}


async def test_an_anonymous_logout_does_not_claim_success(store: SpyStore) -> None:
    browser = await signed_in(store, on_store_error="anonymous")
    store.fail("get")
    response = await browser.visit(lambda request: request.state.session.destroy())
    assert is_unavailable(response)


@pytest.mark.parametrize("keep", [True, False])
async def test_nor_does_an_anonymous_request_for_a_new_id(keep: bool, store: SpyStore) -> None:
    browser = await signed_in(store, on_store_error="anonymous")
    store.fail("get")

    def sign_out(request: Request) -> None:
        request.state.session.regenerate(keep=keep)
        request.state.flash.info("See you")

    assert is_unavailable(await browser.visit(sign_out))


async def test_dropped_changes_of_an_anonymous_request_are_logged(
    store: SpyStore, caplog: pytest.LogCaptureFixture
) -> None:
    browser = await signed_in(store, on_store_error="anonymous")
    store.fail("get")
    await browser.visit(put(a=2))
    assert "dropped" in caplog.text


async def test_save_of_an_anonymous_session_is_a_store_error(store: SpyStore) -> None:
    browser = await signed_in(store, on_store_error="anonymous")
    store.fail("get")

    async def endpoint(request: Request) -> str:
        request.session["a"] = 2
        with pytest.raises(StoreError):
            await request.state.session.save()
        return "told"

    assert (await browser.visit(endpoint)).json() == "told"
    assert await store.data() == {"a": 1}


# The commit

CHANGES = [
    pytest.param("create", None, put(a=1), id="create"),
    pytest.param("replace", "stored", put(a=2), id="replace"),
    pytest.param("destroy", "stored", lambda r: r.state.session.destroy(), id="destroy"),
    pytest.param("destroy", "stored", lambda r: r.session.clear(), id="discard"),
    pytest.param("create", "stored", lambda r: r.state.session.regenerate(keep=True), id="renew, at create"),
    pytest.param("destroy", "stored", lambda r: r.state.session.regenerate(keep=True), id="renew, at destroy"),
    pytest.param(
        "create", "stored", lambda r: [r.state.session.regenerate(), r.session.update(b=1)], id="sign-in, at create"
    ),
    pytest.param("destroy", "stored", lambda r: r.state.session.regenerate(), id="regenerate with nothing after"),
]


@pytest.mark.parametrize(("method", "before", "endpoint"), CHANGES)
@pytest.mark.parametrize("handling", ["unavailable", "anonymous"])
async def test_a_failed_commit_is_answered_with_503(
    store: SpyStore, handling: Any, method: str, before: str | None, endpoint: Any, caplog: pytest.LogCaptureFixture
) -> None:
    browser = Browser(store=store, on_store_error=handling)
    if before:
        await browser.visit(put(a=1))
    store.fail(method)
    assert is_unavailable(await browser.visit(endpoint))
    assert errors(caplog) != []


@pytest.mark.parametrize(("method", "before", "endpoint"), CHANGES)
async def test_a_failed_commit_comes_out_for_those_who_want_errors(
    store: SpyStore, method: str, before: str | None, endpoint: Any
) -> None:
    browser = Browser(store=store, on_store_error="raise")
    if before:
        await browser.visit(put(a=1))
    store.fail(method)
    with pytest.raises(StoreError):
        await browser.visit(endpoint)


@pytest.mark.parametrize(("method", "before", "endpoint"), [change for change in CHANGES if change.values[1]])
async def test_a_failed_commit_leaves_the_client_one_session_that_works(
    store: SpyStore, method: str, before: str | None, endpoint: Any
) -> None:
    browser = await signed_in(store)
    failing = [True]

    async def fail_once() -> None:
        if failing:
            failing.clear()
            raise OSError("connection reset")

    store.before[method] = fail_once
    assert is_unavailable(await browser.visit(endpoint))
    assert await browser.read() == {"a": 1}
    assert len(await store.sids()) == 1


async def test_nothing_of_the_apps_response_goes_out_with_503(store: SpyStore) -> None:
    store.fail()

    def endpoint(request: Request) -> Response:
        request.session["a"] = 1
        return PlainTextResponse("You are signed in.", headers={"x-own": "1"})

    response = await Browser(store=store).visit(endpoint)
    assert is_unavailable(response)
    assert "signed in" not in response.text
    assert "x-own" not in response.headers


async def test_a_streamed_response_is_replaced_as_a_whole(store: SpyStore) -> None:
    store.fail()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["session"]["a"] = 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})
        await send({"type": "http.response.trailers", "headers": []})

    sent = await call(SessionMiddleware(app, secret=SECRET, store=store), http_scope())
    assert [(message["type"], message.get("status")) for message in sent] == [
        ("http.response.start", 503),
        ("http.response.body", None),
    ]


async def test_a_commit_that_failed_is_not_tried_again_by_the_error_page(store: SpyStore) -> None:
    failing = [True]

    async def fail_once() -> None:
        if failing:
            failing.clear()
            raise OSError("connection reset")

    store.before["create"] = fail_once

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["session"]["a"] = 1
        try:
            await PlainTextResponse("ok")(scope, receive, send)
        except StoreError:
            await PlainTextResponse("sorry", 409)(scope, receive, send)

    sent = await call(SessionMiddleware(app, secret=SECRET, store=store, on_store_error="raise"), http_scope())
    assert sent[0]["status"] == 409
    assert not any(name == b"set-cookie" for name, _ in sent[0]["headers"])
    assert store.calls == ["create"]


async def test_a_value_that_is_no_json_is_not_tried_again_by_the_error_page(store: SpyStore) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["session"]["a"] = {1}
        try:
            await PlainTextResponse("ok")(scope, receive, send)
        except SessionSerializationError:
            scope["state"]["session"]["a"] = 1
            await PlainTextResponse("sorry", 400)(scope, receive, send)

    sent = await call(SessionMiddleware(app, secret=SECRET, store=store), http_scope())
    assert sent[0]["status"] == 400
    assert store.calls == []


async def test_a_commit_that_failed_in_a_save_that_was_caught_is_tried_again(store: SpyStore) -> None:
    async def endpoint(request: Request) -> str:
        request.session["a"] = 1
        store.fail()
        with pytest.raises(StoreError):
            await request.state.session.save()
        store.work()
        return "caught"

    browser = Browser(store=store)
    response = await browser.visit(endpoint)
    assert response.json() == "caught"
    assert store.calls == ["create", "create"]
    assert await browser.read() == {"a": 1}


@pytest.mark.parametrize(
    ("change", "then"),
    [
        (lambda s: s.increment("a"), {"a": 2}),
        (lambda s: s.update(a=[1]), {"a": [1]}),
        (lambda s: s.mark_modified(), {"a": 1}),
        (lambda s: setattr(s.cookie, "max_age", 60), {"a": 1}),
        (lambda s: s.update(flash={"info": ["x"]}), {"a": 1, "flash": {"info": ["x"]}}),
        (lambda s: s.pop("a"), None),
        (lambda s: s.destroy(), None),
        (lambda s: s.regenerate(keep=True), {"a": 1}),
    ],
)
async def test_a_save_that_was_caught_loses_no_change_and_counts_none_twice(
    store: SpyStore, change: Any, then: Any
) -> None:
    browser = await signed_in(store)

    async def endpoint(request: Request) -> None:
        change(request.state.session)
        store.fail("create", "replace", "destroy")
        with pytest.raises(StoreError):
            await request.state.session.save()
        store.work()

    await browser.visit(endpoint)
    assert len(await store.sids()) == (then is not None)
    if then is not None:
        assert await store.data() == then
        assert await browser.read() == then


async def test_a_save_that_fails_and_escapes_is_answered_with_503(store: SpyStore) -> None:
    async def endpoint(request: Request) -> None:
        request.session["a"] = 1
        await request.state.session.save()

    store.fail()
    assert is_unavailable(await Browser(store=store).visit(endpoint))


async def test_a_reload_that_fails_and_escapes_is_answered_with_503(store: SpyStore) -> None:
    browser = await signed_in(store)

    async def endpoint(request: Request) -> None:
        store.fail()
        await request.state.session.reload()

    assert is_unavailable(await browser.visit(endpoint))


async def test_a_claim_that_fails_and_escapes_is_answered_with_503(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(lambda request: request.state.flash.info("hello"))

    async def endpoint(request: Request) -> None:
        store.fail("replace")
        await request.state.flash.claim()

    assert is_unavailable(await browser.visit(endpoint))
    store.work()
    assert await store.data() == {"flash": {"info": ["hello"]}}


async def test_load_session_that_fails_and_escapes_is_answered_with_503(store: SpyStore) -> None:
    browser = await signed_in(store, autoload=False)

    async def endpoint(request: Request) -> None:
        await load_session(request)

    store.fail()
    assert is_unavailable(await browser.visit(endpoint))


async def test_load_session_that_fails_can_be_caught(store: SpyStore) -> None:
    browser = await signed_in(store, autoload=False)

    async def endpoint(request: Request) -> str:
        with pytest.raises(StoreError):
            await load_session(request)
        return "a page without a session"

    store.fail()
    response = await browser.visit(endpoint)
    assert response.json() == "a page without a session"
    assert set_cookie(response) is None


async def test_load_session_of_an_anonymous_request_gives_an_empty_session(store: SpyStore) -> None:
    browser = await signed_in(store, autoload=False, on_store_error="anonymous")

    async def endpoint(request: Request) -> dict[str, Any]:
        return dict(await load_session(request))

    store.fail("get")
    assert (await browser.visit(endpoint)).json() == {}


async def test_a_response_from_500_on_does_not_ask_a_failing_store(store: SpyStore) -> None:
    browser = await signed_in(store)

    def endpoint(request: Request) -> None:
        request.session["a"] = 2
        store.fail()
        raise HTTPException(500, "the app's own")

    response = await browser.visit(endpoint)
    assert response.status_code == 500
    assert response.text == "the app's own"


async def test_a_conflict_that_escapes_save_is_answered_with_503(store: SpyStore) -> None:
    taken = Browser(store=store, genid=lambda connection: "taken")
    await taken.visit(put(a=1))

    async def endpoint(request: Request) -> None:
        request.session["a"] = 2
        await request.state.session.save()

    assert is_unavailable(await Browser(store=store, genid=lambda connection: "taken").visit(endpoint))


async def test_a_conflict_can_be_caught(store: SpyStore) -> None:
    await Browser(store=store, genid=lambda connection: "taken").visit(put(a=1))
    drawn = iter(["taken"] * 5 + ["free"])

    async def endpoint(request: Request) -> None:
        request.session["a"] = 2
        with pytest.raises(SessionConflict):
            await request.state.session.save()

    response = await Browser(store=store, genid=lambda connection: next(drawn)).visit(endpoint)
    assert response.status_code == 200
    assert await store.sids() == ["taken", "free"]


# After the start


async def test_after_the_start_a_failed_commit_is_only_a_log_entry(
    store: SpyStore, caplog: pytest.LogCaptureFixture
) -> None:
    browser = await signed_in(store)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        scope["state"]["session"]["a"] = 2
        store.fail()
        await send({"type": "http.response.body", "body": b"whole"})

    wrapped = SessionMiddleware(app, secret=SECRET, store=store)
    sent = await call(wrapped, http_scope(headers=cookie_header(browser.cookies)))
    assert [message.get("status", message.get("body")) for message in sent] == [200, b"whole"]
    assert len(errors(caplog)) == 1


async def test_after_the_response_a_save_that_fails_and_escapes_is_only_a_log_entry(
    store: SpyStore, caplog: pytest.LogCaptureFixture
) -> None:
    browser = await signed_in(store)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"whole"})
        scope["state"]["session"]["a"] = 2
        store.fail()
        await Request(scope).state.session.save()

    wrapped = SessionMiddleware(app, secret=SECRET, store=store)
    sent = await call(wrapped, http_scope(headers=cookie_header(browser.cookies)))
    assert [message.get("status", message.get("body")) for message in sent] == [200, b"whole"]
    assert len(errors(caplog)) == 1


# Touches


@pytest.mark.parametrize("handling", HANDLING)
@pytest.mark.parametrize(
    ("rolling", "endpoint"),
    [
        pytest.param(False, lambda r: r.session["a"], id="automatic"),
        pytest.param(True, lambda r: r.session["a"], id="automatic, rolling"),
        pytest.param(False, lambda r: r.state.session.touch(), id="touch()"),
    ],
)
async def test_a_failed_touch_is_logged_and_harms_nobody(
    store: SpyStore, handling: Any, rolling: bool, endpoint: Any, caplog: pytest.LogCaptureFixture
) -> None:
    browser = await signed_in(store, touch_after=0, rolling=rolling, on_store_error=handling, cookie=Cookie(max_age=60))
    store.fail("touch")
    response = await browser.visit(endpoint)
    assert response.status_code == 200
    assert set_cookie(response) is None
    assert len(errors(caplog)) == 1
    store.work()
    assert await store.data() == {"a": 1}


async def test_a_failed_touch_takes_nobody_the_cookie_of_a_session_that_save_made(store: SpyStore) -> None:
    async def endpoint(request: Request) -> None:
        request.session["a"] = 1
        await request.state.session.save()
        request.state.session.touch()
        store.fail("touch")

    browser = Browser(store=store)
    await browser.visit(endpoint)
    store.work()
    assert await browser.read() == {"a": 1}


async def test_a_failed_look_whether_the_session_is_there_harms_nobody(
    store: SpyStore, caplog: pytest.LogCaptureFixture
) -> None:
    browser = await signed_in(store, rolling=True, touch_after=1000)
    response = await browser.visit(lambda request: store.fail("get"))
    assert response.status_code == 200
    assert set_cookie(response) is None
    assert len(errors(caplog)) == 1


async def test_a_touch_that_finds_nothing_is_no_error(store: SpyStore, caplog: pytest.LogCaptureFixture) -> None:
    browser = await signed_in(store, touch_after=0)

    async def endpoint(request: Request) -> None:
        await store.inner.clear()

    response = await browser.visit(endpoint)
    assert response.status_code == 200
    assert errors(caplog) == []
    assert await store.sids() == []


# Deadlines


@pytest.mark.parametrize("method", ["get", "replace", "destroy"])
async def test_a_store_that_hangs_is_answered_with_503_in_time(store: SpyStore, method: str) -> None:
    browser = await signed_in(store, store_timeout=0.03)
    store.hang(method)

    def endpoint(request: Request) -> None:
        if method == "destroy":
            request.state.session.destroy()
        else:
            request.session["a"] = 2

    async with asyncio.timeout(2):
        assert is_unavailable(await browser.visit(endpoint))


async def test_the_deadline_holds_even_where_a_driver_ignores_cancellation(store: SpyStore) -> None:
    browser = await signed_in(store, store_timeout=0.03)
    free = asyncio.Event()

    async def stubborn() -> None:
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue

    store.before["get"] = stubborn
    async with asyncio.timeout(2):
        assert is_unavailable(await browser.visit())
    free.set()
    await asyncio.sleep(0)


async def test_what_an_abandoned_call_does_later_is_nobodys_concern(
    store: SpyStore, caplog: pytest.LogCaptureFixture
) -> None:
    browser = await signed_in(store, store_timeout=0.03)
    free, ended = asyncio.Event(), asyncio.Event()

    async def fail_late() -> None:
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue
        ended.set()
        raise OSError("too late")

    store.before["get"] = fail_late
    await browser.visit()
    caplog.clear()
    free.set()
    await ended.wait()
    await asyncio.sleep(0)
    assert caplog.records == []


async def test_the_call_of_a_request_cancelled_while_it_loads_ends_at_the_deadline(store: SpyStore) -> None:
    browser = await signed_in(store, store_timeout=0.03)
    reached, stopped = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    store.before["get"] = wait
    request = asyncio.create_task(browser.visit())
    await reached.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    async with asyncio.timeout(2):
        await stopped.wait()


async def test_a_call_that_took_too_long_is_cancelled(store: SpyStore) -> None:
    browser = await signed_in(store, store_timeout=0.03)
    stopped = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    store.before["get"] = wait
    await browser.visit()
    async with asyncio.timeout(2):
        await stopped.wait()


async def test_a_call_that_took_too_long_goes_on_where_its_driver_would_take_harm() -> None:
    class EndsByItself(SpyStore):
        ends_by_itself = True

    store = EndsByItself()
    browser = await signed_in(store, store_timeout=0.03)
    go_on, ended = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        await go_on.wait()
        ended.set()

    store.before["get"] = wait
    assert is_unavailable(await browser.visit())
    await asyncio.sleep(0)
    go_on.set()
    async with asyncio.timeout(2):
        await ended.wait()


REQUESTS: dict[str, tuple[str, Handler]] = {
    "loading": ("get", lambda request: None),
    "writing": ("replace", put(a=2)),
    "a new session": ("create", lambda request: request.state.session.regenerate(keep=True)),
    "signing out": ("destroy", lambda request: request.state.session.destroy()),
}


@pytest.mark.parametrize(("method", "handler"), REQUESTS.values(), ids=REQUESTS)
async def test_a_store_in_memory_fails_like_any_other_where_a_test_lets_it(
    method: str, handler: Handler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    with monkeypatch.context() as patch:
        patch.setattr(store, method, AsyncMock(side_effect=OSError("connection refused")))
        assert is_unavailable(await browser.visit(handler))
    assert "the session store failed (OSError)" in caplog.text
    assert await browser.read() == {"a": 1}


async def test_so_does_the_first_write_of_a_visitor(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    browser = Browser(store=store)
    await browser.visit()
    monkeypatch.setattr(store, "create", AsyncMock(side_effect=OSError("connection refused")))
    assert is_unavailable(await browser.visit(put(a=1)))


async def test_a_count_that_failed_in_memory_is_in_doubt_as_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    browser = Browser(store=store)
    await browser.visit(put(n=1))

    async def handler(request: Request) -> None:
        request.state.session.increment("n")
        with monkeypatch.context() as patch:

            async def reply_is_lost(sid: str, record: Record, *, expected: Record) -> bool:
                await MemoryStore.replace(store, sid, record, expected=expected)
                raise OSError("connection reset")

            patch.setattr(store, "replace", reply_is_lost)
            with pytest.raises(StoreError):
                await request.state.session.save()

    await browser.visit(handler)
    assert await browser.read() == {"n": 2}


@pytest.mark.parametrize("mark", [never_suspends, takes_waiter])
async def test_calls_that_need_no_task_get_none(mark: Callable[[Any], Any]) -> None:
    class Marked(SpyStore):
        task: asyncio.Task[Any] | None = None

        @mark
        async def get(self, sid: str, **waiter: Waiter) -> Record | None:
            self.task = asyncio.current_task()
            return await self.inner.get(sid)

    store = Marked()
    browser = await signed_in(store)
    await browser.visit()
    assert store.task is asyncio.current_task()


@pytest.mark.parametrize("method", ["get", "replace"])
async def test_a_driver_that_swallows_a_cancellation_does_not_keep_the_request_alive(
    store: SpyStore, method: str
) -> None:
    browser = await signed_in(store)
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def swallow() -> None:
        reached.set()
        with contextlib.suppress(asyncio.CancelledError):
            await go_on.wait()

    store.before[method] = swallow
    request = asyncio.create_task(browser.visit(put(a=2)))
    await reached.wait()
    request.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await request


async def test_a_hanging_touch_harms_nobody(store: SpyStore) -> None:
    browser = await signed_in(store, store_timeout=0.03, touch_after=0)
    store.hang("touch")
    async with asyncio.timeout(2):
        assert (await browser.visit(lambda request: request.session["a"])).json() == 1


async def test_many_requests_of_one_session_do_not_add_up_their_deadlines(store: SpyStore) -> None:
    browser = await signed_in(store, store_timeout=0.1)
    store.hang("replace")
    async with asyncio.timeout(2):
        responses = await asyncio.gather(*[browser.visit(put(a=n + 2)) for n in range(40)])
    assert all(is_unavailable(response) for response in responses)


async def test_a_call_that_has_ended_leaves_no_deadline_behind(store: SpyStore) -> None:
    middleware = SessionMiddleware(Browser.serve, secret=SECRET, store=store)
    browser = Browser(app=middleware)
    await browser.visit(put(a=1))
    store.fail("get")
    await browser.visit()
    watch = middleware._settings._deadlines.watch()
    assert watch._timer is not None
    assert not watch._due


async def test_nor_do_they_where_they_take_turns_by_then(store: SpyStore) -> None:
    browser = await signed_in(store, store_timeout=0.1)
    loaded = asyncio.Barrier(41)
    go_on = asyncio.Event()

    async def endpoint(request: Request) -> None:
        request.session["a"] = 2
        await loaded.wait()
        await go_on.wait()

    requests = [asyncio.ensure_future(browser.visit(endpoint)) for _ in range(40)]
    await loaded.wait()
    await browser.tab().visit(put(b=1))  # so that all of them collide
    store.hang("get")
    go_on.set()
    async with asyncio.timeout(2):
        responses = await asyncio.gather(*requests)
    assert all(is_unavailable(response) for response in responses)


async def test_without_a_deadline_a_slow_store_is_waited_for(store: SpyStore) -> None:
    browser = await signed_in(store, store_timeout=None)
    free = asyncio.Event()

    async def wait() -> None:
        await free.wait()

    store.before["get"] = wait
    request = asyncio.create_task(browser.read())
    await asyncio.wait([request], timeout=0.05)
    assert not request.done()
    free.set()
    assert await request == {"a": 1}


async def test_a_timeout_is_a_store_error_for_those_who_want_errors(store: SpyStore) -> None:
    browser = await signed_in(store, store_timeout=0.03, on_store_error="raise")
    store.hang("get")
    with pytest.raises(StoreError):
        await browser.visit()


# Stores of third parties


class Odd(Exception):
    """What nobody expects."""


@pytest.mark.parametrize("error", [Odd("x"), KeyError("x"), TimeoutError(), AttributeError("x"), StoreError("own")])
async def test_any_exception_of_a_store_counts_as_a_store_error(store: SpyStore, error: Exception) -> None:
    browser = await signed_in(store)
    store.fail("get", error=error)
    assert is_unavailable(await browser.visit())


async def test_a_stores_own_exception_is_the_cause(store: SpyStore) -> None:
    browser = await signed_in(store, on_store_error="raise")
    error = Odd("x")
    store.fail("get", error=error)
    with pytest.raises(StoreError) as caught:
        await browser.visit()
    assert caught.value.__cause__ is error


async def test_a_store_that_cancels_itself_is_a_store_that_failed(store: SpyStore) -> None:
    browser = await signed_in(store)

    async def cancel() -> None:
        raise asyncio.CancelledError

    store.before["get"] = cancel
    async with asyncio.timeout(2):
        assert is_unavailable(await browser.visit())


async def test_a_write_whose_reply_was_lost_is_not_acknowledged(store: SpyStore) -> None:
    browser = await signed_in(store)

    async def lose_the_reply() -> None:
        raise OSError("connection reset")

    store.after["replace"] = lose_the_reply
    response = await browser.visit(lambda request: request.state.session.increment("a"))
    assert is_unavailable(response)
    assert store.calls == ["get", "replace"]
    assert await store.data() == {"a": 2}


async def test_an_error_of_the_app_that_is_no_store_error_passes(store: SpyStore) -> None:
    def endpoint(request: Request) -> None:
        raise OSError("the app's own")

    with pytest.raises(OSError, match="own"):
        await Browser(store=store).visit(endpoint)


async def test_the_client_is_not_told_what_the_backend_said(store: SpyStore) -> None:
    browser = await signed_in(store)
    store.fail("get", error=OSError("redis://user:password@10.0.0.1 is down"))
    response = await browser.visit()
    assert "password" not in response.text
    assert "10.0.0.1" not in str(response.headers)


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (OSError("redis://user:password@10.0.0.1 is down"), "the session store failed (OSError)"),
        (StoreError("the Redis store failed: TimeoutError"), "the Redis store failed: TimeoutError"),
    ],
    ids=["any other error", "a StoreError that names it"],
)
async def test_the_log_is_told_the_kind_of_failure_once(
    store: SpyStore, error: Exception, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    browser = await signed_in(store)
    if isinstance(error, StoreError):
        error.__cause__ = TimeoutError("10.0.0.1")
    store.fail("get", error=error)
    await browser.visit()
    assert caplog.messages == [logged]


async def test_when_the_store_works_again_so_does_everything(store: SpyStore) -> None:
    browser = await signed_in(store)
    store.fail()
    for _ in range(3):
        assert is_unavailable(await browser.visit(put(a=9)))
    store.work()
    await browser.visit(lambda request: request.state.session.increment("a"))
    assert await browser.read() == {"a": 2}


async def test_the_client_learns_of_a_failed_commit_before_anything_else() -> None:
    store = SpyStore()
    store.fail()
    first: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["session"]["a"] = 1
        await send({"type": "http.response.start", "status": 302, "headers": [(b"location", b"/home")]})
        await send({"type": "http.response.body", "body": b""})

    await call(SessionMiddleware(app, secret=SECRET, store=store), http_scope(), on_send=first.append)
    assert first[0]["status"] == 503


async def test_a_stream_without_end_ends_when_it_is_replaced(store: SpyStore) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def ticks() -> AsyncIterator[str]:
            while True:
                await asyncio.sleep(0)
                yield "tick"

        scope["session"]["a"] = 1
        await StreamingResponse(ticks())(scope, receive, send)

    store.fail()
    scope = http_scope(asgi={"version": "3.0", "spec_version": "2.4"})
    async with asyncio.timeout(5):
        sent = await call(SessionMiddleware(app, secret=SECRET, store=store), scope)
    assert [message.get("status") for message in sent] == [503, None]


async def test_an_error_of_the_app_after_503_comes_out_all_the_same(store: SpyStore) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["a"] = 1
        await PlainTextResponse("ok")(scope, receive, send)
        raise LookupError

    store.fail()
    with pytest.raises(LookupError):
        await call(SessionMiddleware(app, secret=SECRET, store=store), http_scope())


async def test_503_brings_the_cookie_of_what_an_earlier_save_committed(store: SpyStore) -> None:
    browser = await signed_in(store)

    async def endpoint(request: Request) -> None:
        session = request.state.session
        session.regenerate()
        session["user"] = 1
        await session.save()
        session["more"] = 1
        store.fail("replace")

    assert (await browser.visit(endpoint)).status_code == 503
    store.work()
    assert await browser.read() == {"user": 1}


@pytest.mark.parametrize("failing", ["the store", "a value that is no JSON"])
async def test_an_error_handler_that_comes_too_late_does_not_change_the_error(failing: str, store: SpyStore) -> None:
    kind = StoreError if failing == "the store" else SessionSerializationError

    def page(request: Request, error: Exception) -> Response:
        raise AssertionError("the response has begun")

    app = Starlette(
        routes=[Mount("/", Browser.serve)],
        middleware=[Middleware(SessionMiddleware, secret=SECRET, store=store, on_store_error="raise")],
        exception_handlers={kind: page},
    )
    store.fail()
    with pytest.raises(kind):
        await Browser(app=app).visit(put(a=1 if failing == "the store" else {1}))


async def save(request: Request) -> Response:
    """An endpoint that stores a change before it answers."""
    session = await load_session(request)
    session["a"] = 2
    await session.save()
    return Response()


@pytest.mark.parametrize("wrapped", [False, True], ids=["mounted", "wrapped"])
@pytest.mark.parametrize("autoload", [True, False])
async def test_an_app_inside_that_answers_500_by_itself_does_not_hide_the_failure(
    wrapped: bool, autoload: bool, store: SpyStore
) -> None:
    browser = await signed_in(store)
    inner = Starlette(routes=[Route("/", save)])
    options: Any = {"store": store, "autoload": autoload}
    browser.app = SessionMiddleware(inner, secret=SECRET, **options) if wrapped else session_app(inner, **options)
    store.fail("replace")
    browser.raise_errors = False
    assert is_unavailable(await browser.visit())


async def test_an_app_inside_that_answers_500_for_its_own_failure_does_so(store: SpyStore) -> None:
    def broken(request: Request) -> Response:
        raise RuntimeError("oops")

    browser = await signed_in(store)
    browser.app = SessionMiddleware(Starlette(routes=[Route("/", broken)]), secret=SECRET, store=store)
    browser.raise_errors = False
    assert (await browser.visit()).status_code == 500


@pytest.mark.parametrize("wrapped", [False, True], ids=["with middleware", "wrapped"])
async def test_a_handler_for_store_errors_may_answer_500(wrapped: bool, store: SpyStore) -> None:
    def handle(request: Request, error: Exception) -> Response:
        return PlainTextResponse("handled", 500)

    browser = await signed_in(store)
    options: Any = {"routes": [Route("/", save)], "exception_handlers": {StoreError: handle}}
    middleware = Middleware(SessionMiddleware, secret=SECRET, store=store)
    if wrapped:
        browser.app = SessionMiddleware(Starlette(**options), secret=SECRET, store=store)
    else:
        browser.app = Starlette(**options, middleware=[middleware])
    store.fail("replace")
    response = await browser.visit()
    assert (response.status_code, response.text) == (500, "handled")


async def test_raise_lets_an_app_inside_answer_500(store: SpyStore) -> None:
    browser = await signed_in(store)
    inner = Starlette(routes=[Route("/", save)])
    browser.app = SessionMiddleware(inner, secret=SECRET, store=store, on_store_error="raise")
    store.fail("replace")
    browser.raise_errors = False
    assert (await browser.visit()).status_code == 500


async def _in_a_group(*tasks: Any) -> None:
    async with asyncio.TaskGroup() as group:
        for task in tasks:
            group.create_task(task)


async def test_a_failed_save_in_a_task_group_is_503(store: SpyStore) -> None:
    browser = await signed_in(store)
    store.fail("replace")

    async def save(request: Request) -> None:
        request.session["a"] = 2
        await _in_a_group(request.state.session.save())

    assert is_unavailable(await browser.visit(save))


async def test_a_group_that_holds_the_applications_own_failure_too_comes_out_whole(store: SpyStore) -> None:
    browser = await signed_in(store)
    store.fail("replace")

    async def oops() -> None:
        raise RuntimeError("oops")

    async def save(request: Request) -> None:
        request.session["a"] = 2
        await _in_a_group(request.state.session.save(), oops())

    with pytest.raises(ExceptionGroup) as raised:
        await browser.visit(save)
    assert raised.group_contains(RuntimeError)


async def test_a_stream_out_of_a_task_group_ends_where_503_took_its_place(store: SpyStore) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["a"] = 2

        async def stream() -> None:
            await send({"type": "http.response.start", "status": 200})
            while True:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})

        await _in_a_group(stream())

    browser = await signed_in(store)
    store.fail("replace")
    sent = await call(
        SessionMiddleware(app, secret=SECRET, store=store), http_scope(headers=cookie_header(browser.cookies))
    )
    assert [message.get("status") for message in sent] == [503, None]
