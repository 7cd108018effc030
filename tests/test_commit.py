"""When a session is saved: before the first header leaves, and never for a response that failed."""

from __future__ import annotations

import asyncio
import functools
import time
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from asgi_session import Cookie, MemoryStore, Record, SessionMiddleware, SessionNotFound, SessionSerializationError
from asgi_session.patience import Hold
from asgi_session.stores.base import never_suspends
from tests.clients import SECRET, Browser, attributes, call, cookie_header, http_scope, put, set_cookie
from tests.clock import Clock
from tests.event_loop import turns
from tests.spy_store import SpyStore, either_store

store = either_store


# Order


async def calls_when_sent(store: SpyStore, app: Any, **scope: Any) -> list[tuple[str, list[str]]]:
    """For each message that went out, the store calls that were over by then."""
    seen: list[tuple[str, list[str]]] = []

    async def slow() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    finished: list[str] = []

    def finishing(method: str) -> Any:
        async def step() -> None:
            await slow()
            finished.append(method)

        return step

    store.after = {method: finishing(method) for method in ("get", "create", "replace", "touch", "destroy")}

    def note(message: Message) -> None:
        kind = message["type"].removeprefix("http.response.")
        seen.append((f"{kind} {message['status']}" if "status" in message else kind, list(finished)))

    await call(SessionMiddleware(app, secret=SECRET, store=store), http_scope(**scope), on_send=note)
    return seen


async def test_a_new_session_is_in_the_store_before_the_first_header_leaves(store: SpyStore) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["session"]["a"] = 1
        await PlainTextResponse("ok")(scope, receive, send)

    assert await calls_when_sent(store, app) == [("start 200", ["create"]), ("body", ["create"])]


async def test_a_redirect_does_not_overtake_its_save(store: SpyStore) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["flash"].info("Welcome")
        await RedirectResponse("/home")(scope, receive, send)

    assert (await calls_when_sent(store, app))[0] == ("start 307", ["create"])


async def test_a_change_is_in_the_store_before_the_first_header_leaves(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=1))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["session"]["a"] = 2
        await Response(status_code=204)(scope, receive, send)

    seen = await calls_when_sent(store, app, headers=cookie_header(browser.cookies))
    assert seen[0] == ("start 204", ["get", "replace"])


async def test_the_end_of_a_session_is_in_the_store_before_the_first_header_leaves(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=1))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["session"].destroy()
        await PlainTextResponse("bye")(scope, receive, send)

    seen = await calls_when_sent(store, app, headers=cookie_header(browser.cookies))
    assert seen[0] == ("start 200", ["get", "destroy"])


async def test_an_interim_response_is_not_the_start(store: SpyStore) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["session"]["a"] = 1
        await send({"type": "http.response.start", "status": 103, "headers": [(b"link", b"</style.css>")]})
        scope["state"]["session"]["b"] = 2
        await PlainTextResponse("ok")(scope, receive, send)

    seen = await calls_when_sent(store, app)
    assert seen == [("start 103", []), ("start 200", ["create"]), ("body", ["create"])]
    assert await store.data() == {"a": 1, "b": 2}


async def test_an_interim_response_carries_nothing_of_the_session() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["session"]["a"] = 1
        for status in (100, 103, 200):
            await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    sent = await call(SessionMiddleware(app, secret=SECRET), http_scope())
    assert [bool(message["headers"]) for message in sent[:3]] == [False, False, True]


async def test_early_hints_pass_through() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["session"]["a"] = 1
        await send({"type": "http.response.early_hint", "links": [b"</style.css>"]})
        await PlainTextResponse("ok")(scope, receive, send)

    sent = await call(SessionMiddleware(app, secret=SECRET), http_scope())
    assert sent[0] == {"type": "http.response.early_hint", "links": [b"</style.css>"]}


async def test_the_apps_own_message_is_not_changed() -> None:
    start: Message = {"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]}
    before = {**start, "headers": list(start["headers"])}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["session"]["a"] = 1
        await send(start)
        await send({"type": "http.response.body", "body": b""})

    wrapped = SessionMiddleware(app, secret=SECRET)
    for _ in range(2):
        sent = await call(wrapped, http_scope())
        assert [name for name, _ in sent[0]["headers"]].count(b"set-cookie") == 1
    assert start == before


@pytest.mark.parametrize("headers", [None, (), ((b"x-own", b"1"),), iter([(b"x-own", b"1")])])
async def test_headers_may_be_missing_or_any_iterable(headers: Any) -> None:
    start: Message = {"type": "http.response.start", "status": 200}
    if headers is not None:
        start["headers"] = headers

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["session"]["a"] = 1
        await send(start)
        await send({"type": "http.response.body", "body": b""})

    sent = await call(SessionMiddleware(app, secret=SECRET), http_scope())
    assert b"set-cookie" in dict(sent[0]["headers"])


# Which responses save


@pytest.mark.parametrize("status", [200, 201, 204, 206, 301, 302, 303, 304, 400, 401, 404, 409, 418, 499])
async def test_a_response_below_500_saves(store: SpyStore, status: int) -> None:
    def endpoint(request: Request) -> Response:
        request.session["a"] = 1
        return Response(status_code=status)

    response = await Browser(store=store).visit(endpoint)
    assert set_cookie(response) is not None
    assert await store.data() == {"a": 1}


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 599])
async def test_a_response_from_500_on_saves_nothing_and_sends_no_cookie(store: SpyStore, status: int) -> None:
    def endpoint(request: Request) -> Response:
        request.session["a"] = 1
        return Response(status_code=status)

    response = await Browser(store=store, save_uninitialized=True).visit(endpoint)
    assert response.status_code == status
    assert set_cookie(response) is None
    assert store.calls == []


@pytest.mark.parametrize("what", ["destroy", "regenerate", "touch", "clear", "mark_modified"])
async def test_a_response_from_500_on_undoes_whatever_was_asked_of_the_session(store: SpyStore, what: str) -> None:
    browser = Browser(store=store, rolling=True, resave=True, touch_after=0)
    await browser.visit(put(a=1))
    before = await store.only()
    store.calls.clear()

    def endpoint(request: Request) -> Response:
        getattr(request.session, what)()
        return Response(status_code=500)

    assert set_cookie(await browser.visit(endpoint)) is None
    assert store.calls == ["get"]
    assert await store.only() == before


async def test_an_unhandled_exception_saves_nothing_and_sends_no_cookie(store: SpyStore) -> None:
    browser = Browser(store=store)
    browser.raise_errors = False

    def endpoint(request: Request) -> None:
        request.session["a"] = 1
        raise LookupError

    response = await browser.visit(endpoint)
    assert response.status_code == 500
    assert set_cookie(response) is None
    assert store.calls == []


async def test_an_unhandled_exception_comes_out_as_it_was_raised() -> None:
    error = LookupError("the app's own")

    def endpoint(request: Request) -> None:
        request.session["a"] = 1
        raise error

    with pytest.raises(LookupError) as caught:
        await Browser().visit(endpoint)
    assert caught.value is error


async def test_an_http_exception_below_500_saves(store: SpyStore) -> None:
    def endpoint(request: Request) -> None:
        request.session["a"] = 1
        raise HTTPException(403)

    response = await Browser(store=store).visit(endpoint)
    assert response.status_code == 403
    assert set_cookie(response) is not None
    assert await store.data() == {"a": 1}


async def test_an_http_exception_from_500_on_does_not_save(store: SpyStore) -> None:
    def endpoint(request: Request) -> None:
        request.session["a"] = 1
        raise HTTPException(503)

    response = await Browser(store=store).visit(endpoint)
    assert response.status_code == 503
    assert set_cookie(response) is None
    assert store.calls == []


async def test_an_exception_that_the_app_answers_with_a_4xx_saves(store: SpyStore) -> None:
    async def endpoint(request: Request) -> None:
        request.session["a"] = 1
        raise LookupError

    async def not_found(request: Request, error: Exception) -> Response:
        return PlainTextResponse("not found", 404)

    app = Starlette(
        routes=[Route("/", endpoint)],
        middleware=[Middleware(SessionMiddleware, secret=SECRET, store=store)],
        exception_handlers={LookupError: not_found},
    )
    assert set_cookie(await Browser(app=app).visit()) is not None
    assert await store.data() == {"a": 1}


async def test_a_response_that_never_comes_saves_nothing(store: SpyStore) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["session"]["a"] = 1

    assert await call(SessionMiddleware(app, secret=SECRET, store=store), http_scope()) == []
    assert store.calls == []


# Insisting


async def test_what_save_committed_stays_and_keeps_its_cookie_when_the_response_fails(store: SpyStore) -> None:
    async def endpoint(request: Request) -> Response:
        request.session["a"] = 1
        await request.state.session.save()
        request.session["b"] = 2
        return Response(status_code=500)

    browser = Browser(store=store)
    assert set_cookie(await browser.visit(endpoint)) is not None
    assert await store.data() == {"a": 1}
    assert await browser.read() == {"a": 1}


async def test_what_save_committed_stays_when_the_handler_fails(store: SpyStore) -> None:
    async def endpoint(request: Request) -> None:
        request.session["a"] = 1
        await request.state.session.save()
        request.session["b"] = 2
        raise LookupError

    with pytest.raises(LookupError):
        await Browser(store=store).visit(endpoint)
    assert await store.data() == {"a": 1}


async def test_a_destruction_that_save_committed_keeps_its_cookie_when_the_response_fails(store: SpyStore) -> None:
    async def endpoint(request: Request) -> Response:
        request.state.session.destroy()
        await request.state.session.save()
        return Response(status_code=500)

    browser = Browser(store=store)
    await browser.visit(put(a=1))
    assert attributes(set_cookie(await browser.visit(endpoint)))["max-age"] == "0"
    assert await store.sids() == []


@pytest.mark.parametrize(
    "undone",
    [
        pytest.param(lambda s: setattr(s.cookie, "max_age", 5), id="another age"),
        pytest.param(lambda s: s.regenerate(), id="regenerate()"),
    ],
)
async def test_the_cookie_of_a_failed_response_is_the_one_that_save_committed(
    store: SpyStore, clock: Clock, undone: Any
) -> None:
    async def endpoint(request: Request) -> Response:
        request.session["a"] = 1
        request.state.session.cookie.max_age = 700
        await request.state.session.save()
        undone(request.state.session)
        return Response(status_code=500)

    sent = attributes(set_cookie(await Browser(store=store).visit(endpoint)))
    assert (await store.only()).expires == clock.now + 700
    assert sent["max-age"] == "700"


async def test_what_save_committed_is_not_written_again(store: SpyStore) -> None:
    async def endpoint(request: Request) -> None:
        request.session["a"] = 1
        await request.state.session.save()

    response = await Browser(store=store).visit(endpoint)
    assert store.calls == ["create"]
    assert set_cookie(response) is not None


async def test_changes_after_save_are_written_at_the_start(store: SpyStore) -> None:
    async def endpoint(request: Request) -> None:
        request.session["a"] = 1
        await request.state.session.save()
        request.session["b"] = 2

    await Browser(store=store).visit(endpoint)
    assert store.calls == ["create", "replace"]
    assert await store.data() == {"a": 1, "b": 2}


async def test_a_session_that_was_saved_is_no_longer_new() -> None:
    async def endpoint(request: Request) -> list[bool]:
        session = request.state.session
        before = session.is_new
        session["a"] = 1
        between = session.is_new
        await session.save()
        return [before, between, session.is_new]

    assert (await Browser().visit(endpoint)).json() == [True, True, False]


async def test_save_of_a_session_that_was_destroyed_elsewhere_says_so(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=1))

    async def endpoint(request: Request) -> str:
        request.session["a"] = 2
        await store.inner.clear()
        with pytest.raises(SessionNotFound):
            await request.state.session.save()
        return "told"

    response = await browser.visit(endpoint)
    assert response.json() == "told"
    assert set_cookie(response) is None
    assert await store.sids() == []


# Nothing to do


async def test_a_request_without_cookie_that_leaves_the_session_alone_costs_no_store_call(store: SpyStore) -> None:
    response = await Browser(store=store).visit()
    assert store.calls == []
    assert "set-cookie" not in response.headers
    assert "vary" not in response.headers


async def test_a_request_that_reads_costs_one_get(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a={"b": [1, 2]}))
    store.calls.clear()
    response = await browser.visit(lambda request: request.session["a"]["b"])
    assert response.json() == [1, 2]
    assert store.calls == ["get"]
    assert set_cookie(response) is None


@pytest.mark.parametrize(
    "endpoint",
    [
        pytest.param(lambda r: r.session.update(a=[1, {"b": 2}]), id="an equal value"),
        pytest.param(lambda r: [r.session["a"].append(3), r.session["a"].pop()], id="there and back"),
        pytest.param(lambda r: [r.session.update(b=1), r.session.pop("b")], id="a key that came and went"),
        pytest.param(lambda r: r.session.setdefault("a", 7), id="a default that was not needed"),
        pytest.param(lambda r: [list(r.session.items()), dict(r.session), "x" in r.session], id="looking around"),
    ],
)
async def test_what_ends_as_it_began_is_no_change(store: SpyStore, endpoint: Any) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=[1, {"b": 2}]))
    store.calls.clear()
    assert set_cookie(await browser.visit(endpoint)) is None
    assert store.calls == ["get"]


@pytest.mark.parametrize(
    "endpoint",
    [
        pytest.param(lambda r: r.session["a"].append(3), id="append"),
        pytest.param(lambda r: r.session["a"][1].update(b=3), id="two levels down"),
        pytest.param(lambda r: [a.append(3) for a in r.session.values()], id="through values()"),
        pytest.param(lambda r: dict(r.session)["a"].append(3), id="through a copy"),
        pytest.param(lambda r: r.session.get("a").pop(), id="through get()"),
        pytest.param(lambda r: r.session.update(a=[True, {"b": 2}]), id="True for 1"),
    ],
)
async def test_a_change_in_place_is_written_without_a_flag(store: SpyStore, endpoint: Any) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=[1, {"b": 2}]))
    store.calls.clear()
    await browser.visit(endpoint)
    assert store.calls == ["get", "replace"]


async def test_a_session_that_a_request_made_empty_is_deleted(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    response = await browser.visit(lambda request: request.session.pop("a"))
    assert await store.sids() == []
    assert attributes(set_cookie(response))["max-age"] == "0"


async def test_reading_an_empty_session_as_express_stores_it_changes_nothing(store: SpyStore) -> None:
    express = Browser(store=store, save_uninitialized=True)
    await express.visit()
    before = await store.only()
    browser = Browser(store=store)
    browser.cookies = express.cookies
    response = await browser.visit(lambda request: request.session.get("a"))
    assert set_cookie(response) is None
    assert await store.only() == before


@pytest.mark.parametrize("options", [{"touch_after": 0}, {"rolling": True}, {"resave": True}])
async def test_an_empty_session_as_express_stores_it_is_kept_like_any_other(store: SpyStore, options: Any) -> None:
    express = Browser(store=store, save_uninitialized=True)
    await express.visit()
    before = await store.sids()
    browser = Browser(store=store, **options)
    browser.cookies = express.cookies
    await browser.visit(lambda request: request.session.get("a"))
    assert await store.sids() == before
    assert len(browser.cookies) == 1


async def test_destroying_a_session_that_never_was_does_nothing(store: SpyStore) -> None:
    response = await Browser(store=store).visit(lambda request: request.state.session.destroy())
    assert store.calls == []
    assert set_cookie(response) is None


# What can't be saved


@pytest.mark.parametrize("value", [{1, 2}, object(), float("nan"), float("inf"), b"bytes", {"deep": [{3}]}])
async def test_a_value_that_is_no_json_is_an_error_before_the_response_and_saves_nothing(
    store: SpyStore, value: Any
) -> None:
    browser = Browser(store=store)

    def endpoint(request: Request) -> None:
        request.session["good"] = 1
        request.session["the_key"] = value

    with pytest.raises(SessionSerializationError, match="the_key"):
        await browser.visit(endpoint)
    assert store.calls == []
    browser.raise_errors = False
    response = await browser.visit(endpoint)
    assert response.status_code == 500
    assert set_cookie(response) is None


async def test_a_value_that_became_no_json_leaves_the_stored_session_alone(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=[1], b=1))
    before = await store.only()

    def endpoint(request: Request) -> None:
        request.session["b"] = 2
        request.session["a"].append({3})

    with pytest.raises(SessionSerializationError, match="'a'"):
        await browser.visit(endpoint)
    assert await store.only() == before


# Sessions that end while a request is at work


@pytest.mark.parametrize(
    "endpoint",
    [
        pytest.param(lambda s: s.update(a=2), id="a write"),
        pytest.param(lambda s: s.touch(), id="touch()"),
        pytest.param(lambda s: s.regenerate(keep=True), id="regenerate(keep=True)"),
        pytest.param(lambda s: s.regenerate(), id="regenerate()"),
        pytest.param(lambda s: s.destroy(), id="destroy()"),
        pytest.param(lambda s: s.clear(), id="clear()"),
        pytest.param(lambda s: setattr(s.cookie, "max_age", 60), id="another age"),
        pytest.param(lambda s: None, id="an automatic touch"),
    ],
)
async def test_a_session_that_ended_meanwhile_is_not_revived_and_no_cookie_is_sent(
    store: SpyStore, endpoint: Any
) -> None:
    browser = Browser(store=store, touch_after=0, cookie=Cookie(max_age=3600))
    await browser.visit(put(a=1))

    async def handler(request: Request) -> str:
        await store.inner.clear()
        endpoint(request.state.session)
        return "answered"

    response = await browser.visit(handler)
    assert response.json() == "answered"
    assert set_cookie(response) is None
    assert await store.sids() == []


async def test_a_session_that_ended_after_it_was_saved_gets_no_cookie_either(store: SpyStore) -> None:
    browser = Browser(store=store, cookie=Cookie(max_age=3600))
    await browser.visit(put(a=1))

    async def handler(request: Request) -> None:
        request.session["a"] = 2
        await request.state.session.save()
        await store.inner.clear()
        request.session["a"] = 3

    assert set_cookie(await browser.visit(handler)) is None
    assert await store.sids() == []


async def test_regenerate_of_a_session_that_ended_meanwhile_stores_what_was_written_after(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=1))

    async def sign_in(request: Request) -> None:
        await store.inner.clear()
        request.state.session.regenerate()
        request.session["user"] = "ann"

    assert set_cookie(await browser.visit(sign_in)) is not None
    assert await store.data() == {"user": "ann"}


# Whom the commit waits for


async def test_a_def_endpoint_works_like_an_async_one(store: SpyStore) -> None:
    def change(request: Request) -> Response:
        session = request.state.session
        session["n"] = session.get("n", 0) + 1
        session.regenerate(keep=True)
        request.state.flash.info("changed")
        return PlainTextResponse(str(session["n"]))

    app = Starlette(routes=[Route("/", change)], middleware=[Middleware(SessionMiddleware, secret=SECRET, store=store)])
    browser = Browser(app=app)
    assert [(await browser.visit()).text for _ in range(3)] == ["1", "2", "3"]
    assert await store.data() == {"n": 3, "flash": {"info": ["changed"] * 3}}


async def test_a_cancelled_request_still_finishes_the_commit_under_way(store: SpyStore) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def at_the_store() -> None:
        reached.set()
        await go_on.wait()

    store.before["create"] = at_the_store
    request = asyncio.create_task(Browser(store=store).visit(put(a=1)))
    await reached.wait()
    request.cancel()
    await asyncio.sleep(0)
    assert not request.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert await store.data() == {"a": 1}


@pytest.mark.parametrize("status", [200, 303, 408])
async def test_an_app_that_answers_although_it_was_cancelled_is_saved_with_that_answer(
    status: int, store: SpyStore
) -> None:
    """A timeout inside of the middleware ends the endpoint while its commit is under way, and answers for it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        session, flash = scope["state"]["session"], scope["state"]["flash"]
        session["a"] = 2
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def at_the_store() -> None:
            reached.set()
            await go_on.wait()

        store.before["replace"] = at_the_store
        endpoint = asyncio.ensure_future(send({"type": "http.response.start", "status": 200, "headers": []}))
        await reached.wait()
        endpoint.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await endpoint
        session["b"] = 1
        flash("error", "too slow")
        await send({"type": "http.response.start", "status": status, "headers": []})
        session["c"] = 1
        await send({"type": "http.response.body", "body": b""})
        session["d"] = 1

    browser = Browser(store=store)
    await browser.visit(put(a=1))
    wrapped = SessionMiddleware(app, secret=SECRET, store=store)
    sent = await call(wrapped, http_scope(headers=cookie_header(browser.cookies)))
    assert [message.get("status") for message in sent] == [status, None]
    assert await store.data() == {"a": 2, "b": 1, "flash": {"error": ["too slow"]}, "c": 1, "d": 1}


class HalfAtOnce(SpyStore):
    """Only its `replace` never suspends."""

    @never_suspends
    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        return await self.inner.replace(sid, record, expected=expected)


@pytest.mark.parametrize("kind", [SpyStore, HalfAtOnce])
async def test_a_cancelled_regeneration_leaves_one_session_not_two(kind: type[SpyStore]) -> None:
    store = kind()
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    (old,) = await store.sids()
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def at_the_store() -> None:
        reached.set()
        await go_on.wait()

    store.before["destroy"] = at_the_store  # the new record is written, the old one not yet deleted
    request = asyncio.create_task(browser.visit(lambda r: r.state.session.regenerate(keep=True)))
    await reached.wait()
    request.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert await store.data() == {"a": 1}
    assert await store.sids() != [old]


async def test_a_cancel_scope_that_never_tires_of_cancelling_finds_the_commit_finished(store: SpyStore) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def at_the_store() -> None:
        reached.set()
        await go_on.wait()

    store.before["create"] = at_the_store
    async with anyio.create_task_group() as tasks:  # as BaseHTTPMiddleware has it
        tasks.start_soon(Browser(store=store).visit, put(a=1))
        await reached.wait()
        tasks.cancel_scope.cancel()
        asyncio.get_running_loop().call_soon(go_on.set)
    assert await store.data() == {"a": 1}


async def test_a_wrapped_method_does_not_inherit_the_mark_of_one_that_never_suspends() -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    class Wrapping(MemoryStore):
        async def create(self, sid: str, record: Record) -> bool:
            reached.set()
            await go_on.wait()
            return await super().create(sid, record)

    functools.update_wrapper(Wrapping.create, MemoryStore.create)
    store = Wrapping()
    request = asyncio.create_task(Browser(store=store).visit(put(a=1)))
    await reached.wait()
    request.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert await store.length() == 1  # the commit was not cut off


@pytest.mark.parametrize("waiting", ["for the store", "for others"])
async def test_a_cancellation_that_waits_does_not_keep_the_processor_busy(
    waiting: str, store: SpyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """anyio repeats a cancellation at every turn of the event loop until it comes out of the task."""
    kept = 0
    keep = Hold.keep

    def count(self: Hold, cancelled: asyncio.CancelledError) -> None:
        nonlocal kept
        kept += 1
        keep(self, cancelled)

    monkeypatch.setattr(Hold, "keep", count)
    middleware = SessionMiddleware(Browser.serve, secret=SECRET, store=store)
    browser = Browser(app=middleware)
    await browser.visit(put(n=1))
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def at_the_store() -> None:
        store.before.pop("replace")
        reached.set()
        if waiting == "for the store":
            await go_on.wait()
        else:  # somebody else is faster, and is at it again when this request wants to try once more
            (sid,) = await store.sids()
            turns = middleware._settings.turns
            turns.take(sid)
            await store.inner.replace(sid, Record('{"n":5}', None), expected=await store.only())

            async def end() -> None:
                await go_on.wait()
                turns.give_back(sid)

            others.append(asyncio.ensure_future(end()))

    others: list[asyncio.Future[None]] = []
    store.before["replace"] = at_the_store
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(browser.visit, lambda r: r.state.session.increment("n"))
        await reached.wait()
        await asyncio.sleep(0.01)
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await turns(100)
            go_on.set()
    assert 1 <= kept <= 3
    assert await store.data() == {"n": 2 if waiting == "for the store" else 6}
    await asyncio.gather(*others)


async def test_a_save_that_was_cancelled_while_others_were_faster_owes_its_cookie_all_the_same() -> None:
    class Contested(MemoryStore):
        """Another process writes before each of the first deletions."""

        left = 4

        @never_suspends
        async def destroy(self, sid: str, *, expected: Record | None = None) -> bool:
            if expected is not None and self.left:
                self.left -= 1
                found = await self.get(sid)
                assert found is not None
                await self.replace(sid, Record(f'{{"n":{self.left}}}', found.expires), expected=found)
            return await super().destroy(sid, expected=expected)

    async def endpoint(request: Request) -> None:
        request.state.session.regenerate(keep=True)
        saving = asyncio.ensure_future(request.state.session.save())
        await asyncio.sleep(0)
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving

    browser = Browser(store=Contested())
    await browser.visit(put(user=1))
    assert set_cookie(await browser.visit(endpoint)) is not None
    assert await browser.read() == {"n": 0}


async def test_several_tasks_of_one_request_may_save_at_once(store: SpyStore) -> None:
    async def pause() -> None:
        await asyncio.sleep(0)

    store.before = {"get": pause, "create": pause, "replace": pause}

    async def endpoint(request: Request) -> None:
        session = request.state.session

        async def one(n: int) -> None:
            session[f"k{n}"] = n
            await asyncio.sleep(0)
            session.increment("total")
            await session.save()

        await asyncio.gather(*[one(n) for n in range(10)])

    browser = Browser(store=store)
    for total in (10, 20):
        await browser.visit(endpoint)
        assert await store.data() == {**{f"k{n}": n for n in range(10)}, "total": total}


async def test_what_changes_while_a_commit_is_under_way_is_saved_by_the_next(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    sessions: list[Any] = []

    async def change() -> None:
        sessions[0]["b"] = 2

    def endpoint(request: Request) -> None:
        sessions.append(request.state.session)
        request.session["a"] = 2

    store.before["replace"] = change
    await browser.visit(endpoint)
    assert await store.data() == {"a": 2, "b": 2}


async def test_a_request_cancelled_before_its_response_saves_nothing(store: SpyStore) -> None:
    reached = asyncio.Event()

    async def endpoint(request: Request) -> None:
        request.session["a"] = 1
        reached.set()
        await asyncio.Event().wait()

    request = asyncio.create_task(Browser(store=store).visit(endpoint))
    await reached.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert store.calls == []


async def test_a_client_that_hung_up_loses_no_commit(store: SpyStore) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["session"]["a"] = 1
        await PlainTextResponse("ok")(scope, receive, send)

    def gone(message: Message) -> None:
        raise OSError("the client is gone")

    with pytest.raises(OSError, match="gone"):
        await call(SessionMiddleware(app, secret=SECRET, store=store), http_scope(), on_send=gone)
    assert await store.data() == {"a": 1}


# Expiry of what is written


async def test_a_write_starts_the_full_age_anew(store: SpyStore, clock: Clock) -> None:
    browser = Browser(store=store, cookie=Cookie(max_age=3600))
    await browser.visit(put(a=1))
    clock.advance(1800)
    await browser.visit(put(a=2))
    assert (await store.only()).expires == clock.now + 3600


async def test_a_browser_session_lives_as_long_as_the_store_says(clock: Clock) -> None:
    store = SpyStore(ttl=500)
    await Browser(store=store).visit(put(a=1))
    assert (await store.only()).expires == time.time() + 500
