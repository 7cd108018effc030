"""Taking the session off the request's state: `request.state.session = None`, or `del`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from asgi_session import Cookie, SessionMiddleware
from tests.clients import SECRET, Browser, attributes, call, cookie_header, http_scope, put, set_cookie, websocket_scope
from tests.spy_store import SpyStore


def assign_none(request: Request) -> None:
    request.state.session = None


def delete(request: Request) -> None:
    del request.state.session


BOTH = pytest.mark.parametrize("unset_it", [assign_none, delete])


@pytest.fixture
def store() -> SpyStore:
    return SpyStore()


async def signed_in(store: SpyStore, **options: Any) -> Browser:
    browser = Browser(store=store, **options)
    await browser.visit(put(a=1))
    store.calls.clear()
    return browser


@BOTH
async def test_keep_does_nothing_at_all_to_the_session(store: SpyStore, unset_it: Callable[[Request], None]) -> None:
    browser = await signed_in(store, rolling=True, resave=True, touch_after=0, cookie=Cookie(max_age=60))
    before = await store.only()
    response = await browser.visit(unset_it)
    assert set_cookie(response) is None
    assert store.calls == ["get"]
    assert await store.only() == before


@BOTH
async def test_keep_drops_what_was_changed_before(store: SpyStore, unset_it: Callable[[Request], None]) -> None:
    def endpoint(request: Request) -> None:
        request.session["a"] = 2
        unset_it(request)

    browser = await signed_in(store)
    await browser.visit(endpoint)
    assert await store.data() == {"a": 1}


@BOTH
@pytest.mark.parametrize("moment", ["at the start", "saved", "late"])
@pytest.mark.parametrize(
    "sign_out",
    [lambda session: session.destroy(), lambda session: session.regenerate(), lambda s: s.regenerate(keep=True)],
    ids=["destroy", "regenerate", "regenerate(keep=True)"],
)
async def test_a_sign_out_before_it_is_carried_out_all_the_same(
    store: SpyStore, unset_it: Callable[[Request], None], sign_out: Callable[[Any], None], moment: str
) -> None:
    async def endpoint(request: Request) -> Response:
        session = request.state.session

        def end() -> None:
            sign_out(session)
            unset_it(request)

        async def body() -> AsyncIterator[bytes]:
            end()
            yield b""

        if moment == "late":
            return StreamingResponse(body())
        end()
        if moment == "saved":
            await session.save()
        return Response(status_code=200)

    browser = await signed_in(store)
    await browser.visit(endpoint)
    assert await store.sids() == []


@BOTH
async def test_keep_stores_no_new_session(store: SpyStore, unset_it: Callable[[Request], None]) -> None:
    def endpoint(request: Request) -> None:
        request.session["a"] = 2
        unset_it(request)

    response = await Browser(store=store, save_uninitialized=True).visit(endpoint)
    assert store.calls == []
    assert set_cookie(response) is None


@BOTH
async def test_keep_is_the_default(store: SpyStore, unset_it: Callable[[Request], None]) -> None:
    browser = await signed_in(store)
    await browser.visit(unset_it)
    assert await browser.read() == {"a": 1}


@BOTH
async def test_destroy_deletes_the_record_and_takes_the_cookie(
    store: SpyStore, unset_it: Callable[[Request], None]
) -> None:
    browser = await signed_in(store, unset="destroy")
    response = await browser.visit(unset_it)
    assert attributes(set_cookie(response))["max-age"] == "0"
    assert await store.sids() == []
    assert len(browser.cookies) == 0


@BOTH
async def test_destroy_of_a_new_session_does_nothing(store: SpyStore, unset_it: Callable[[Request], None]) -> None:
    def endpoint(request: Request) -> None:
        request.session["a"] = 2
        unset_it(request)

    response = await Browser(store=store, unset="destroy", save_uninitialized=True).visit(endpoint)
    assert store.calls == []
    assert set_cookie(response) is None


@BOTH
async def test_destroy_is_undone_by_a_response_that_fails(store: SpyStore, unset_it: Callable[[Request], None]) -> None:
    def endpoint(request: Request) -> Response:
        unset_it(request)
        return Response(status_code=500)

    browser = await signed_in(store, unset="destroy")
    await browser.visit(endpoint)
    assert await browser.read() == {"a": 1}


@pytest.mark.parametrize("value", [{}, {"a": 1}, 7, "None", False, []])
@pytest.mark.parametrize("unset", ["keep", "destroy"])
async def test_anything_else_is_a_type_error_at_commit(store: SpyStore, unset: Any, value: Any) -> None:
    browser = await signed_in(store, unset=unset)
    with pytest.raises(TypeError, match="session"):
        await browser.visit(lambda request: setattr(request.state, "session", value))
    assert await store.data() == {"a": 1}


async def test_anything_else_is_a_type_error_for_a_new_session_too(store: SpyStore) -> None:
    with pytest.raises(TypeError, match="session"):
        await Browser(store=store).visit(lambda request: setattr(request.state, "session", {"a": 1}))
    assert store.calls == []


async def test_putting_the_same_session_back_is_fine(store: SpyStore) -> None:
    def endpoint(request: Request) -> None:
        session = request.state.session
        request.state.session = None
        request.state.session = session
        session["a"] = 2

    browser = await signed_in(store, unset="destroy")
    await browser.visit(endpoint)
    assert await store.data() == {"a": 2}


async def test_what_stands_in_the_scope_alone_does_not_matter(store: SpyStore) -> None:
    def endpoint(request: Request) -> None:
        request.session["a"] = 2
        del request.scope["session"]

    browser = await signed_in(store, unset="destroy")
    await browser.visit(endpoint)
    assert await store.data() == {"a": 2}


async def test_unsetting_late_destroys_late(store: SpyStore) -> None:
    browser = await signed_in(store, unset="destroy")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        scope["state"]["session"] = None
        await send({"type": "http.response.body", "body": b""})

    wrapped = SessionMiddleware(app, secret=SECRET, store=store, unset="destroy")
    await call(wrapped, http_scope(headers=cookie_header(browser.cookies)))
    assert await store.sids() == []


async def test_anything_else_assigned_late_is_logged_and_breaks_no_response(
    store: SpyStore, caplog: pytest.LogCaptureFixture
) -> None:
    browser = await signed_in(store)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        scope["state"]["session"] = {}
        await send({"type": "http.response.body", "body": b"whole"})

    wrapped = SessionMiddleware(app, secret=SECRET, store=store)
    sent = await call(wrapped, http_scope(headers=cookie_header(browser.cookies)))
    assert sent[1]["body"] == b"whole"
    assert "TypeError" in caplog.text


async def test_unsetting_on_a_websocket_destroys_as_well(store: SpyStore) -> None:
    browser = await signed_in(store, unset="destroy")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["session"] = None
        await send({"type": "websocket.accept"})

    wrapped = SessionMiddleware(app, secret=SECRET, store=store, unset="destroy")
    sent = await call(wrapped, websocket_scope(headers=cookie_header(browser.cookies)))
    assert b"Max-Age=0" in dict(sent[0]["headers"])[b"set-cookie"]
    assert await store.sids() == []


# Two middlewares under different names


async def fill_both(request: Request) -> None:
    request.state.session["inner"] = 1
    request.state.outer["outer"] = 1


@BOTH
@pytest.mark.parametrize("unset", ["keep", "destroy"])
async def test_unset_never_concerns_the_outer_session(
    unset: Any, unset_it: Callable[[Request], None], store: SpyStore
) -> None:
    outer, inner = store, SpyStore()

    async def between(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["outer"] = scope["state"]["session"]
        await wrapped(scope, receive, send)

    wrapped = SessionMiddleware(Browser.serve, secret=SECRET, store=inner, name="inner", unset=unset)
    browser = Browser(app=SessionMiddleware(between, secret=SECRET, store=outer, name="outer", unset=unset))
    await browser.visit(fill_both)
    assert (await outer.data(), await inner.data()) == ({"outer": 1}, {"inner": 1})
    response = await browser.visit(unset_it)
    assert response.status_code == 200
    assert await outer.data() == {"outer": 1}
    assert set_cookie(response, "outer") is None
    assert len(await inner.sids()) == (unset == "keep")


async def test_the_outer_session_is_saved_though_the_inner_one_was_unset(store: SpyStore) -> None:
    async def between(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["session"]["outer"] = 2
        await wrapped(scope, receive, send)

    wrapped = SessionMiddleware(Browser.serve, secret=SECRET, name="inner", unset="destroy")
    browser = Browser(app=SessionMiddleware(between, secret=SECRET, store=store, name="outer", unset="destroy"))
    await browser.visit(assign_none)
    assert await store.data() == {"outer": 2}


async def test_an_inner_session_outside_its_path_leaves_the_outer_one_in_charge(store: SpyStore) -> None:
    inner = SessionMiddleware(Browser.serve, secret=SECRET, name="inner", cookie=Cookie(path="/admin"))
    browser = Browser(app=SessionMiddleware(inner, secret=SECRET, store=store, name="outer", unset="destroy"))
    await browser.visit(put(a=1))
    await browser.visit(assign_none)
    assert await store.sids() == []
